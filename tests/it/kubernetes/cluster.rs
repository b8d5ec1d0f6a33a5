//! A Kubernetes without nodes: etcd, API server and controller manager in a folder of their own, with the flags and the
//! certificates of `scripts/cluster`. It ends with the value that stands for it, or with the test process.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use hyper::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::runtime::Runtime;

use crate::servers::process::{Folder, Process, command, free_port, output, wait_for};

pub const PARTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kubernetes");

/// The committed definition, as people apply it.
pub const DEFINITION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/crds/hygiene.dev_workspacehygienes.yaml");

/// A running cluster.
pub struct Cluster {
    // Fields are dropped in this order: an API server without etcd would wait for it.
    api_server: Mutex<Option<Process>>,
    manager: Process,
    etcd: Process,
    port: u16,
    folder: Folder,
}

impl Cluster {
    /// The one cluster of this test process, with the definition in force. For tests that keep to a namespace of their own and
    /// leave the servers alone.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| {
            let cluster = Self::start();
            cluster.install_definition();
            cluster
        })
    }

    /// A cluster of one's own, with nothing in it. The controller manager comes to work some seconds later.
    pub fn start() -> Self {
        let folder = Folder::new();
        certificates(&folder, "cluster", &[]);
        let etcd = start_part(&folder, "etcd", 0);
        let (port, api_server) = (0..20)
            .find_map(|_| {
                let port = free_port();
                make_user(&folder, "admin", port, "admin", "system:masters");
                Some((port, start_api_server(&folder, port)?))
            })
            .expect("a port that nobody else takes");
        make_user(&folder, "controller-manager", port, "system:kube-controller-manager", "");
        let manager = start_part(&folder, "kube-controller-manager", port);
        Self { api_server: Mutex::new(Some(api_server)), manager, etcd, port, folder }
    }

    /// Applies the committed definition, and waits until clients find it.
    pub fn install_definition(&self) {
        self.admin(&["apply", "--server-side", "-f", DEFINITION]);
        // kubectl fails where there is no condition at all yet.
        wait_for("the definition to be established", || {
            let mut wait = self.kubectl();
            let arguments =
                ["wait", "--for=condition=Established", "--timeout=5s", "crd/workspacehygienes.hygiene.dev"];
            wait.args(arguments).output().unwrap().status.success()
        });
        // The schemas that clients read are put together some seconds later.
        wait_for("the API server to explain the resource", || {
            self.kubectl().args(["explain", "workspacehygiene.spec"]).output().unwrap().status.success()
        });
    }

    /// kubectl as the administrator, with an environment and a home of its own.
    pub fn kubectl(&self) -> Command {
        self.kubectl_as("admin")
    }

    /// kubectl as a user that [`Cluster::user`] made.
    pub fn kubectl_as(&self, name: &str) -> Command {
        let mut kubectl = command(programs().join("kubectl"));
        kubectl.env("HOME", self.folder.path()).env("KUBECONFIG", self.kubeconfig(name));
        kubectl
    }

    /// What kubectl prints as the administrator.
    ///
    /// # Panics
    ///
    /// With all that it said, where it fails.
    pub fn admin(&self, arguments: &[&str]) -> String {
        self.admin_with(arguments, "")
    }

    /// The same with something on standard input, for `-f -`.
    pub fn admin_with(&self, arguments: &[&str], input: &str) -> String {
        output(self.kubectl().args(arguments), input)
    }

    /// Makes a user with a client certificate of its own, in a group unless that is empty.
    pub fn user(&self, name: &str, group: &str) -> PathBuf {
        self.user_through(name, group, self.port)
    }

    /// The same for a user that finds the API server at another port: that of a proxy.
    pub fn user_through(&self, name: &str, group: &str, port: u16) -> PathBuf {
        make_user(&self.folder, name, port, name, group);
        self.kubeconfig(name)
    }

    /// The port of the API server.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The kubeconfig of a user that there is.
    pub fn kubeconfig(&self, name: &str) -> PathBuf {
        self.folder.join(&format!("{name}.kubeconfig"))
    }

    /// A new namespace, with a name that begins with `purpose`.
    pub fn namespace(&self, purpose: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{purpose}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.admin(&["create", "namespace", &name]);
        name
    }

    /// A client of the administrator's.
    pub fn access(&self) -> Access {
        Access::new(&self.kubeconfig("admin"))
    }

    /// Sends a signal, `STOP` for example, to the API server.
    pub fn signal_api_server(&self, signal: &str) {
        self.api_server.lock().unwrap().as_ref().unwrap().signal(signal);
    }

    /// Kills the API server, and starts it again with the same address and content.
    pub fn restart_api_server(&self) {
        let mut api_server = self.api_server.lock().unwrap();
        // Which waits for it: as a zombie whose threads are not all gone it may still have its port.
        drop(api_server.take());
        *api_server = Some(start_api_server(&self.folder, self.port).expect("the port it had before"));
    }

    pub fn pids(&self) -> [u32; 3] {
        [self.etcd.pid(), self.api_server.lock().unwrap().as_ref().unwrap().pid(), self.manager.pid()]
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// A program that `scripts/kubernetes` built.
pub fn program(name: &str) -> PathBuf {
    programs().join(name)
}

/// The folder of the programs; builds them where that was not done before.
pub fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kubernetes");
        let ran = Command::new(script).stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
        assert!(ran.status.success(), "scripts/kubernetes: {}; `make setup` installs what the tests need", ran.status);
        PathBuf::from(String::from_utf8(ran.stdout).unwrap().trim_end())
    })
}

fn certificates(folder: &Folder, what: &str, arguments: &[&str]) {
    let script = format!("{PARTS}/certificates.sh");
    output(command("sh").args([&script, what]).arg(folder.path()).args(arguments), "");
}

fn make_user(folder: &Folder, file: &str, port: u16, name: &str, group: &str) {
    certificates(folder, "user", &[file, &port.to_string(), name, group]);
}

/// Starts a part in the folder. What it says is in the file `log` of a folder with its name there.
fn start_part(folder: &Folder, name: &str, port: u16) -> Process {
    let flags = fs::read_to_string(format!("{PARTS}/{name}.flags")).unwrap();
    let flags = flags.lines().filter(|line| !line.starts_with('#'));
    let mut chdir = OsString::from("--chdir=");
    chdir.push(folder.path());
    let mut command_line = vec!["env".into(), chdir, programs().join(name).into_os_string()];
    command_line.extend(flags.map(|flag| OsString::from(flag.replace("{port}", &port.to_string()))));
    let logs = folder.join(name);
    fs::create_dir_all(&logs).unwrap();
    Process::start_as_it_is(&logs, &command_line)
}

/// Starts the API server and waits until it is ready; `None` where another process has the port.
fn start_api_server(folder: &Folder, port: u16) -> Option<Process> {
    let process = start_part(folder, "kube-apiserver", port);
    let admin = folder.join("admin.kubeconfig");
    let mut alive = true;
    wait_for("the API server to be ready", || {
        alive = process.is_alive();
        !alive || is_ready(&admin)
    });
    if alive {
        return Some(process);
    }
    let log = fs::read_to_string(folder.join("kube-apiserver").join("log")).unwrap();
    assert!(log.contains("address already in use"), "the API server ended:\n{log}");
    None
}

fn is_ready(kubeconfig: &Path) -> bool {
    let access = Access::new(kubeconfig);
    let asked = Request::get("/readyz").body(Vec::new()).unwrap();
    access.run(access.client.request_text(asked)).is_ok_and(|answer| answer == "ok")
}

/// A client for tests that are not asynchronous. It tries nothing twice.
pub struct Access {
    runtime: Runtime,
    pub client: Client,
}

impl Access {
    fn new(kubeconfig: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(client(kubeconfig));
        Self { runtime, client }
    }

    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}

/// A client of the user that a kubeconfig is of. It tries nothing twice.
pub async fn client(kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.default_retry = false;
    Client::try_from(config).unwrap()
}
