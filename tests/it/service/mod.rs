//! `hygiene run`, from outside: what it does when, and what it goes on after.

mod incident;
mod loops;
mod schedule;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::world::World;

/// Longest time that a test waits for something that must come.
const LONGEST: Duration = Duration::from_secs(60);

/// A service that runs until the test ends.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// The service over the world's spec, as it is, with further arguments.
    fn start(world: &World, args: &[&str]) -> Self {
        Self::of(world, args, |_| ())
    }

    /// The same, in an environment or with a standard output that the test says.
    pub fn of(world: &World, args: &[&str], more: impl FnOnce(&mut Command)) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let log = world.path(&format!("service-{}.log", NEXT.fetch_add(1, Ordering::SeqCst)));
        let mut command = Command::new(env!("CARGO_BIN_EXE_hygiene"));
        command
            .args(["run", "--listen", "127.0.0.1:0", "--unsafe-short-times", "-f"])
            .arg(world.path("spec.yaml"))
            .args(args)
            .env("HYGIENE_STATE_DIR", world.path("state"))
            .env_remove("HYGIENE_LOG")
            .env_remove("HYGIENE_CLUSTER")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap());
        more(&mut command);
        Self { child: command.spawn().unwrap(), log }
    }

    /// What it logged so far, one object a line.
    pub fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    pub fn sweeps(&self) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line["message"] == "swept").collect()
    }

    /// Where its admin server listens.
    fn address(&self) -> Option<String> {
        let lines = self.lines();
        lines.iter().find_map(|line| Some(line.get("address")?.as_str()?.to_owned()))
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until something is so.
    #[track_caller]
    pub fn wait(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(self.child.try_wait().unwrap().is_none(), "it ended before {what}: {:#?}", self.lines());
            assert!(begun.elapsed() < LONGEST, "no {what}: {:#?}", self.lines());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks it to stop, and waits for its end.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
