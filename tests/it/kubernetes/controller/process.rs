//! A controller as a process. When it ends, whatever the test was about, what it was not allowed and every status that was ever
//! written in its namespaces is looked at.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::super::kstatus::assert_statuses;
use super::{LONGEST, USER, cluster};
use crate::world::World;

/// A controller that runs until the test ends.
pub struct Controller {
    pub child: Child,
    log: PathBuf,
    /// That of the cluster, which its kubeconfig is in.
    folder: PathBuf,
    namespaces: Vec<String>,
    /// Whether it may be forbidden something.
    pub lacks_rights: bool,
}

impl Controller {
    /// A controller of one namespace over the world's folder, with further arguments.
    pub fn start(world: &World, namespace: &str, args: &[&str]) -> Self {
        Self::start_for(&cluster().kubeconfig(USER), world, namespace, args)
    }

    /// The same as another user, or of another cluster.
    pub fn start_for(kubeconfig: &Path, world: &World, namespace: &str, args: &[&str]) -> Self {
        Self::start_in(kubeconfig, world, &[namespace], &[&["--namespace", namespace], args].concat())
    }

    /// A controller whose arguments say what it watches. The world's folder is for the namespaces, the lease in the first.
    pub fn start_in(kubeconfig: &Path, world: &World, namespaces: &[&str], args: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let log = world.path(&format!("controller-{}.log", NEXT.fetch_add(1, Ordering::SeqCst)));
        let root = world.path("").display().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hygiene"));
        command
            .args(["controller", "--listen", "127.0.0.1:0", "--unsafe-short-times"])
            .args(["--startup-delay", "0s", "--restore-every", "300ms", "--lease-namespace", namespaces[0]])
            .arg("--volume-root")
            .arg(format!("world={}:{}", root.trim_end_matches('/'), namespaces.join(",")))
            .args(args)
            .env_clear()
            .env("KUBECONFIG", kubeconfig)
            .env("HYGIENE_STATE_DIR", world.path("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap());
        Self {
            child: command.spawn().unwrap(),
            log,
            folder: kubeconfig.parent().unwrap().to_owned(),
            namespaces: namespaces.iter().map(ToString::to_string).collect(),
            lacks_rights: false,
        }
    }

    pub fn text(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// What it logged so far, one object a line. The last may be half written.
    pub fn lines(&self) -> Vec<Value> {
        let text = self.text();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    pub fn says(&self, message: &str) -> bool {
        self.lines().iter().any(|line| line["message"].as_str().is_some_and(|said| said.contains(message)))
    }

    /// The values of a field in the lines with this message.
    pub fn said(&self, message: &str, field: &str) -> Vec<String> {
        let lines = self.lines().into_iter().filter(|line| line["message"] == message);
        lines.filter_map(|line| line[field].as_str().map(str::to_owned)).collect()
    }

    /// Waits until something is so.
    #[track_caller]
    pub fn wait(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(self.child.try_wait().unwrap().is_none(), "it ended before {what}: {:#?}", self.lines());
            assert!(begun.elapsed() < LONGEST, "no {what}: {:#?}", self.lines());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub fn pid(&self) -> String {
        self.child.id().to_string()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.child.wait().unwrap()
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            return;
        }
        let text = self.text();
        assert!(self.lacks_rights || !text.contains("orbidden"), "it did what the manifest does not allow: {text}");
        assert!(!text.contains("panicked"), "{text}");
        self.namespaces.iter().for_each(|namespace| assert_statuses(&self.folder, namespace));
    }
}
