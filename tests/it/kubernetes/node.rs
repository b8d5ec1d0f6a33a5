//! A whole Kubernetes: an API server and a node with scheduler, kubelet and containerd, on which pods run. It has a network, mounts
//! and processes of its own (`tests/kubernetes/node.sh`), and ends with the test process.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::cluster::{PARTS, program, programs};
use crate::servers::process::{Folder, Process, command, outliving, output};

/// Until all parts run on a machine that is busy.
const START: Duration = Duration::from_secs(120);

/// A running node.
pub struct Node {
    process: Process,
    folder: Folder,
    /// The first process in its namespaces, as it is seen from here.
    first: u32,
    /// The name of its cgroups.
    cgroup: String,
    keeper: Child,
}

impl Node {
    /// The one node of this test process. For tests that keep to namespaces of their own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Node> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A node with nothing on it but what pods need.
    pub fn start() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let folder = Folder::new();
        let dir = folder.join("node");
        fs::create_dir(&dir).unwrap();
        let name = format!("hygiene-node-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut keeper = outliving("node-keeper", include_str!("node-keeper.sh"));
        let keeper = keeper.arg(&name).spawn().unwrap();
        hierarchies().iter().for_each(|one| fs::create_dir(one.join(&name)).unwrap());
        let namespaces = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
        let mut command_line: Vec<OsString> = vec!["unshare".into()];
        command_line.extend(namespaces.map(OsString::from));
        command_line.extend([
            "sh".into(),
            format!("{PARTS}/node.sh").into(),
            dir.clone().into(),
            programs().into(),
            name.clone().into(),
        ]);
        let process = Process::start_as_it_is(folder.path(), &command_line);
        let begun = Instant::now();
        while !dir.join("ready").exists() {
            let told = || fs::read_to_string(folder.join("log")).unwrap_or_default() + &ends_of_logs(&dir);
            assert!(process.is_alive(), "the node ended:\n{}", told());
            assert!(begun.elapsed() < START, "the node is not ready:\n{}", told());
            std::thread::sleep(Duration::from_millis(100));
        }
        let first = fs::read_to_string(format!("/proc/{0}/task/{0}/children", process.pid())).unwrap();
        let first = first.trim().parse().unwrap();
        let node = Self { process, folder, first, cgroup: name, keeper };
        let pause = node.folder.join("pause.tar");
        output(command("sh").arg(format!("{PARTS}/pause.sh")).arg(&pause), "");
        node.load(&pause, "docker.io/local/pause:1");
        node
    }

    /// Makes an archive an image that pods can name, with `imagePullPolicy: Never`.
    pub fn load(&self, archive: &Path, name: &str) {
        let mut ctr = command(program("ctr"));
        ctr.arg("--address").arg(self.dir().join("containerd.sock"));
        // Without a base the name that is in the archive would count too, and the kubelet finds nothing by one without a registry.
        ctr.args(["--namespace", "k8s.io", "images", "import", "--base-name", "docker.io/local"]);
        ctr.args(["--index-name", name]).arg(archive);
        output(&mut ctr, "");
    }

    /// A command that finds the API server, as the administrator.
    pub fn command(&self, program: &Path) -> Command {
        let mut enter = command("nsenter");
        enter.arg(format!("--net=/proc/{}/ns/net", self.first)).arg("--").arg(program);
        enter.env("HOME", self.dir()).env("KUBECONFIG", self.dir().join("admin.kubeconfig"));
        enter
    }

    /// What kubectl prints as the administrator.
    ///
    /// # Panics
    ///
    /// With all that it said, where it fails.
    #[track_caller]
    pub fn admin(&self, arguments: &[&str]) -> String {
        self.admin_with(arguments, "")
    }

    /// The same with something on standard input, for `-f -`.
    #[track_caller]
    pub fn admin_with(&self, arguments: &[&str], input: &str) -> String {
        output(self.command(&program("kubectl")).args(arguments), input)
    }

    /// A new folder of this machine, for a volume on the node.
    pub fn volume(&self, name: &str) -> PathBuf {
        let path = self.folder.join("volumes").join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// The pid of the first process in its namespaces.
    pub fn first(&self) -> u32 {
        self.first
    }

    /// The name of its cgroups.
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// The folder that the API server's audit log is in.
    pub fn audited(&self) -> PathBuf {
        self.dir()
    }

    /// The ends of what the parts logged, for a test that fails.
    pub fn logs(&self) -> String {
        ends_of_logs(&self.dir())
    }

    fn dir(&self) -> PathBuf {
        self.folder.join("node")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.process.signal_all("KILL");
        drop(self.keeper.stdin.take());
        self.keeper.wait().ok();
    }
}

/// Where cgroups are: in the second version one place, in the first one for each controller.
fn hierarchies() -> Vec<PathBuf> {
    let root = PathBuf::from("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return vec![root];
    }
    let found = fs::read_dir(root).unwrap().map(|one| one.unwrap());
    found.filter(|one| one.file_type().unwrap().is_dir()).map(|one| one.path()).collect()
}

fn ends_of_logs(dir: &Path) -> String {
    let mut told = String::new();
    for part in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "containerd", "kubelet"] {
        let log = fs::read_to_string(dir.join(format!("{part}.log"))).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        told += &format!("--- {part}\n{}\n", lines[lines.len().saturating_sub(15)..].join("\n"));
    }
    told
}
