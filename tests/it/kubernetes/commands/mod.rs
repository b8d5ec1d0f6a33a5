//! Commands of people on resources of a real API server, by the built binary.

mod job_manifest;
mod objects;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::Cluster;

/// The binary as whoever a kubeconfig is of, with nothing else in its environment.
fn command(kubeconfig: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hygiene"));
    command.args(args).env_clear().env("KUBECONFIG", kubeconfig).env("HYGIENE_STATE_DIR", "/nonexistent/state");
    command
}

/// What the binary gave as the administrator.
fn hygiene(args: &[&str]) -> Ran {
    command(&Cluster::shared().kubeconfig("admin"), args).output().unwrap().into()
}

/// What a run of the binary gave.
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\nstdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}:\n{}\n{}", self.stdout, self.stderr))
    }

    /// That all of this was said on standard error, and nothing on standard output.
    #[track_caller]
    fn says(self, parts: &[&str]) {
        assert_eq!(self.stdout, "");
        for part in parts {
            assert!(self.stderr.contains(part), "{part}: {}", self.stderr);
        }
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
