//! The volume of the guides: an ext4 of its own, in which times can be written that nobody can wait for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::kubernetes::Node;
use crate::servers::process::output;

/// Workspaces of live sessions, and of sessions that are gone.
const LIVE: u32 = 4;
const GONE: u32 = 12;
/// The user whose workspaces they are.
const USER: &str = "1000:1000";

/// Makes the claim `name` of a namespace: a volume with workspaces that have been idle for a month, and the database of their
/// sessions.
pub fn provide(node: &Node, namespace: &str, name: &str) -> PathBuf {
    let path = node.volume(name);
    let content = node.volume(&format!("{name}-content"));
    let mut statements = String::from("create table session (id text primary key, deleted_at text);");
    for (letter, count) in [('a', LIVE), ('b', GONE)] {
        for number in 1..=count {
            let id = format!("{}-0000-4000-8000-{number:012}", letter.to_string().repeat(8));
            let workspace = content.join("workspaces").join(&id);
            fs::create_dir_all(workspace.join("src")).unwrap();
            fs::write(workspace.join("src/main.rs"), "fn main() {}\n".repeat(100)).unwrap();
            if letter == 'a' {
                statements += &format!("insert into session (id) values ('{id}');");
            }
        }
    }
    rusqlite::Connection::open(content.join("sessions.db")).unwrap().execute_batch(&statements).unwrap();
    let image = node.volume("images").join(format!("{name}.img"));
    make_image(&image, &content);
    // Seen by the node, whose mounts are its own.
    let mount = Command::new("nsenter")
        .arg(format!("--mount=/proc/{}/ns/mnt", node.first()))
        .arg("--")
        .args(["mount", "-o", "loop"])
        .arg(&image)
        .arg(&path)
        .output()
        .unwrap();
    assert!(mount.status.success(), "{}", String::from_utf8_lossy(&mount.stderr));
    claim(node, namespace, name, &path);
    path
}

/// An ext4 image with this content, all of it last changed a month ago.
fn make_image(image: &Path, content: &Path) {
    output(Command::new("chown").args(["-R", USER]).arg(content), "");
    fs::File::create(image).unwrap().set_len(64 << 20).unwrap();
    output(Command::new("/sbin/mkfs.ext4").args(["-q", "-F", "-I", "256", "-d"]).arg(content).arg(image), "");
    let then = (SystemTime::now() - Duration::from_secs(30 * 86_400)).duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut commands = String::new();
    for path in below(&content.join("workspaces")) {
        let path = path.strip_prefix(content).unwrap().display().to_string();
        for field in ["atime", "mtime", "ctime", "crtime"] {
            commands += &format!("set_inode_field \"/{path}\" {field} @{then}\n");
        }
    }
    output(Command::new("/sbin/debugfs").args(["-w", "-f", "-"]).arg(image), &commands);
}

fn below(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![path.to_owned()];
    if path.is_dir() {
        found.extend(fs::read_dir(path).unwrap().flat_map(|entry| below(&entry.unwrap().path())));
    }
    found
}

fn claim(node: &Node, namespace: &str, name: &str, path: &Path) {
    node.admin(&["create", "namespace", namespace]);
    let metadata = json!({"name": name, "namespace": namespace});
    let spec = json!({"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany"], "storageClassName": "",
        "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": path}, "claimRef": metadata});
    let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec});
    let spec = json!({"accessModes": ["ReadWriteMany"], "storageClassName": "", "volumeName": name,
        "resources": {"requests": {"storage": "1Gi"}}});
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec});
    for object in [volume, claim] {
        node.admin_with(&["apply", "-f", "-"], &object.to_string());
    }
}
