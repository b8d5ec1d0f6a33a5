//! `hygiene controller` from outside: the built binary on a real API server, as a user who may do what the manifest allows and
//! nothing else.

mod answers;
mod leases;
mod life;
mod pods;
mod refusals;
mod secrets;
mod self_test;
mod trouble;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::Cluster;
use crate::world::World;

/// The rights, as people apply them.
const RIGHTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kubernetes/rbac.yaml");
const USER: &str = "hygiene";
/// Longest time that a test waits for something that must come.
const LONGEST: Duration = Duration::from_secs(60);

/// The shared cluster, with the rights and the user of the controller.
fn cluster() -> &'static Cluster {
    static READY: OnceLock<&Cluster> = OnceLock::new();
    READY.get_or_init(|| {
        let cluster = Cluster::shared();
        cluster.admin(&["apply", "-f", RIGHTS]);
        cluster.user(USER, "");
        cluster
    })
}

/// A namespace in which the controller's user has its rights.
pub fn namespace(purpose: &str) -> String {
    let namespace = cluster().namespace(purpose);
    for role in ["hygiene-controller", "hygiene-secrets", "hygiene-pods", "hygiene-lease"] {
        let role_option = format!("--clusterrole={role}");
        let user = format!("--user={USER}");
        cluster().admin(&["-n", &namespace, "create", "rolebinding", role, &role_option, &user]);
    }
    namespace
}

/// A world whose resource is in this namespace.
pub fn in_namespace(mut world: World, namespace: &str) -> World {
    world.name = Box::leak(format!("test, namespace: {namespace}").into_boxed_str());
    world.part("schedule", "{every: 1m}");
    world
}

pub fn apply(world: &World) {
    world.spec_file();
    cluster().admin_with(&["apply", "-f", "-"], &world.spec());
}

fn patch(namespace: &str, patch: &str) {
    cluster().admin(&["-n", namespace, "patch", "wsh", "test", "--type=merge", "-p", patch]);
}

pub fn annotate(namespace: &str, annotation: &str) {
    cluster().admin(&["-n", namespace, "annotate", "wsh", "test", "--overwrite", annotation]);
}

fn object(namespace: &str, name: &str) -> Value {
    serde_json::from_str(&cluster().admin(&["-n", namespace, "get", "wsh", name, "-o", "json"])).unwrap()
}

pub fn status(namespace: &str) -> Value {
    let status = object(namespace, "test")["status"].clone();
    assert!(status.to_string().len() <= 8 * 1024, "{status}");
    status
}

fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
    let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().find(|one| one["type"] == kind).unwrap_or(&Value::Null)
}

/// The reasons of the events about the resources of a namespace.
fn events(namespace: &str) -> Vec<(String, String)> {
    let listed = cluster().admin(&["-n", namespace, "get", "events.events.k8s.io", "-o", "json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    listed["items"].as_array().unwrap().iter().map(|event| (text(&event["reason"]), text(&event["note"]))).collect()
}

/// Waits until something is so.
#[track_caller]
pub fn wait(what: &str, controller: &mut Controller, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(controller.child.try_wait().unwrap().is_none(), "it ended before {what}: {:#?}", controller.lines());
        assert!(begun.elapsed() < LONGEST, "no {what}: {:#?}", controller.lines());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A controller that runs until the test ends.
pub struct Controller {
    child: Child,
    log: PathBuf,
}

impl Controller {
    /// A controller of one namespace over the world's folder, with further arguments.
    pub fn start(world: &World, namespace: &str, args: &[&str]) -> Self {
        Self::start_for(&cluster().kubeconfig(USER), world, namespace, args)
    }

    /// The same as another user, or of another cluster.
    pub fn start_for(kubeconfig: &Path, world: &World, namespace: &str, args: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let log = world.path(&format!("controller-{}.log", NEXT.fetch_add(1, Ordering::SeqCst)));
        let mut command = Command::new(env!("CARGO_BIN_EXE_hygiene"));
        command
            .args(["controller", "--listen", "127.0.0.1:0", "--unsafe-short-times", "--namespace", namespace])
            .args(["--startup-delay", "0s", "--restore-every", "300ms", "--lease-namespace", namespace])
            .arg("--volume-root")
            .arg(format!("world={}:{namespace}", world.path("").display().to_string().trim_end_matches('/')))
            .args(args)
            .env_clear()
            .env("KUBECONFIG", kubeconfig)
            .env("HYGIENE_STATE_DIR", world.path("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap());
        Self { child: command.spawn().unwrap(), log }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// What it logged so far, one object a line.
    pub fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    fn says(&self, message: &str) -> bool {
        self.lines().iter().any(|line| line["message"].as_str().is_some_and(|said| said.contains(message)))
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it although it asked for what it was not allowed.
    fn may_be_forbidden(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        fs::write(&self.log, "").unwrap();
    }

    fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.child.wait().unwrap()
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let text = self.text();
        assert!(
            std::thread::panicking() || !text.contains("orbidden"),
            "it did what the manifest does not allow: {text}"
        );
    }
}
