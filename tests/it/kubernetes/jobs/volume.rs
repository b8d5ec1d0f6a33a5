//! A claim on the node, and its volume as the tests see it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use workspace_hygiene::journal::Record;

use super::node;
use crate::servers::process::{command, output};
use crate::world::{DAY, backdate, manifest};

/// The user of the image.
const USER: &str = "65532:65532";

/// A volume with workspaces below `workspaces`, and the database of their sessions beside it.
pub struct Volume {
    path: PathBuf,
    /// The folder of the workspaces, as it is seen from here.
    root: PathBuf,
}

impl Volume {
    /// Makes the claim `name` of a namespace, shared, with an empty volume.
    pub fn new(namespace: &str, name: &str) -> Self {
        let path = node().volume(&format!("{namespace}-{name}"));
        let root = path.join("workspaces");
        fs::create_dir(&root).unwrap();
        Self { path, root }.claimed(namespace, name)
    }

    /// The same with room for so many bytes of workspaces.
    pub fn with_room(namespace: &str, name: &str, bytes: u64) -> Self {
        let path = node().volume(&format!("{namespace}-{name}"));
        let root = path.join("workspaces");
        fs::create_dir(&root).unwrap();
        let first = node().first();
        let mut mount = command("nsenter");
        mount.arg(format!("--mount=/proc/{first}/ns/mnt")).args(["mount", "-t", "tmpfs"]);
        output(mount.args(["-o", &format!("size={bytes}"), "tmpfs"]).arg(&root), "");
        // Only the node has it mounted, and with the node it goes.
        let seen = Path::new(&format!("/proc/{first}/root")).join(root.strip_prefix("/").unwrap());
        output(Command::new("chown").arg(USER).arg(&seen), "");
        Self { path, root: seen }.claimed(namespace, name)
    }

    fn claimed(self, namespace: &str, name: &str) -> Self {
        self.sql("create table session (id text primary key)");
        output(Command::new("chown").args(["-R", USER]).arg(&self.path), "");
        claim(namespace, name, &["ReadWriteMany"], Some(&self.path));
        self
    }

    /// Takes all the room that is left.
    pub fn fill(&self) {
        let mut file = File::create(self.root.join("filler")).unwrap();
        while file.write(&[1; 4096]).is_ok_and(|written| written > 0) {}
        while File::create(self.root.join(format!("filler-{}", uuid::Uuid::now_v7())))
            .and_then(|mut file| file.write_all(b"x"))
            .is_ok()
        {}
    }

    /// Gives back what [`fill`](Self::fill) took.
    pub fn make_room(&self) {
        for one in fs::read_dir(&self.root).unwrap().map(|one| one.unwrap()) {
            if one.file_name().to_string_lossy().starts_with("filler") {
                fs::remove_file(one.path()).unwrap();
            }
        }
    }

    pub fn root(&self) -> PathBuf {
        self.root.clone()
    }

    /// Makes a workspace with so many files that nobody has used for a month.
    pub fn workspace(&self, name: &str, files: u32) {
        let path = self.root().join(name);
        let folders = files.div_ceil(500).max(1);
        for folder in 0..folders {
            fs::create_dir_all(path.join(format!("src-{folder}"))).unwrap();
        }
        for file in 0..files {
            fs::write(path.join(format!("src-{}/file-{file}", file % folders)), name).unwrap();
        }
        backdate(&path, 30 * DAY);
        output(Command::new("chown").args(["-R", USER]).arg(&path), "");
    }

    /// Makes a session live.
    pub fn session(&self, id: &str) {
        self.sql(&format!("insert into session values ('{id}')"));
    }

    fn sql(&self, sql: &str) {
        let database = rusqlite::Connection::open(self.path.join("sessions.db")).unwrap();
        database.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
        database.execute_batch(sql).unwrap();
    }

    /// The workspaces that are at their places.
    pub fn held(&self) -> Vec<String> {
        let found = fs::read_dir(self.root()).unwrap().map(|one| one.unwrap().file_name().into_string().unwrap());
        let mut found: Vec<_> = found.filter(|name| name != ".hygiene").collect();
        found.sort();
        found
    }

    /// What is in a folder of ours: `quarantine` or `purging`.
    pub fn ours(&self, folder: &str) -> Vec<PathBuf> {
        let found = fs::read_dir(self.root().join(".hygiene").join(folder)).into_iter().flatten();
        found.map(|one| one.unwrap().path()).collect()
    }

    /// Entries below a folder of ours, whatever removes them meanwhile.
    pub fn entries(&self, folder: &str) -> usize {
        self.ours(folder).iter().map(|path| entries(path)).sum()
    }

    /// Everything that is not ours, with content and times.
    pub fn manifest(&self) -> BTreeMap<Vec<u8>, String> {
        manifest(&self.root())
    }

    /// The journal, in order.
    pub fn journal(&self) -> Vec<Record> {
        let files = fs::read_dir(self.root().join(".hygiene/journal")).into_iter().flatten();
        let text: String = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
        let mut records: Vec<Record> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        records.sort_by_key(|record| record.seq);
        records
    }
}

fn entries(path: &Path) -> usize {
    let listed = fs::read_dir(path).into_iter().flatten().flatten();
    listed.map(|one| 1 + if one.file_type().is_ok_and(|kind| kind.is_dir()) { entries(&one.path()) } else { 0 }).sum()
}

/// Makes a claim; without a path there is no volume that it could be bound to.
pub fn claim(namespace: &str, name: &str, modes: &[&str], path: Option<&Path>) {
    let volume = format!("{namespace}-{name}");
    let class = if path.is_some() { "" } else { "nobody-makes-these" };
    let mut spec = json!({
        "accessModes": modes, "storageClassName": class, "resources": {"requests": {"storage": "1Gi"}},
    });
    if let Some(path) = path {
        spec["volumeName"] = json!(volume);
        let volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume},
            "spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": modes, "storageClassName": class,
                "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": path},
                "claimRef": {"namespace": namespace, "name": name},
            },
        });
        node().admin_with(&["apply", "-f", "-"], &volume.to_string());
    }
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    });
    node().admin_with(&["apply", "-f", "-"], &claim.to_string());
}
