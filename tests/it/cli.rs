//! The built binary, from outside: every command, every exit code, every kind of entry below the root.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::world::{DAY, World, id};

mod exit_codes;
mod explain;
mod help;
mod journal;
mod kinds;
mod output;
mod plan;
mod purge;
mod quarantine;
mod report_mode;
mod secrets;
mod specs;
mod sweep;
mod terminal;
#[cfg(feature = "otel")]
mod traces;
mod trees;

const BINARY: &str = env!("CARGO_BIN_EXE_hygiene");
/// The session that is live in every world.
const LIVE: &str = "aaaaaaaa-0000-4000-8000-000000000000";

/// What a run of the binary gave.
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    /// Standard output as JSON, and as nothing else.
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}:\n{}\n{}", self.stdout, self.stderr))
    }

    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\nstdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
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

/// The binary with these arguments, its environment clean of what would change its output.
fn command(args: &[&str]) -> Command {
    command_at(Path::new(BINARY), args)
}

fn command_at(binary: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.args(args).stdin(Stdio::null()).env_remove("HYGIENE_LOG").env_remove("RUST_LOG").env_remove("NO_COLOR");
    // No test may remember anything in the home of whoever runs it.
    command.env("HYGIENE_STATE_DIR", "/nonexistent/state").env_remove("HYGIENE_CLUSTER");
    command
}

fn hygiene(args: &[&str]) -> Ran {
    command(args).output().unwrap().into()
}

/// The binary with these arguments, what it remembers being kept in `world`.
fn command_in(world: &World, args: &[&str]) -> Command {
    let mut command = command(args);
    command.env("HYGIENE_STATE_DIR", world.path("state"));
    command
}

/// The binary with these arguments and the spec of `world`.
fn on(world: &World, args: &[&str]) -> Ran {
    let spec = world.spec_file();
    let mut all = args.to_vec();
    all.extend(["-f", spec.to_str().unwrap()]);
    command_in(world, &all).output().unwrap().into()
}

fn with_stdin(args: &[&str], input: impl AsRef<[u8]>) -> Ran {
    let mut command = command(args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_ref()).unwrap();
    child.wait_with_output().unwrap().into()
}

/// A world with one live workspace and `orphans` orphans, the first idle the longest.
fn world_with(orphans: u32) -> World {
    let world = World::new();
    world.workspace(LIVE, 30 * DAY);
    for n in 1..=orphans {
        world.workspace(&id(n), (40 - n) * DAY);
    }
    world
}

/// The same with a volume that no sweep has seen yet.
fn fresh_world_with(orphans: u32) -> World {
    let world = World::fresh();
    world.workspace(LIVE, 30 * DAY);
    for n in 1..=orphans {
        world.workspace(&id(n), (40 - n) * DAY);
    }
    world
}

/// The verdict and reason of one name in a plan or a report.
fn verdict(document: &Value, name: impl AsRef<OsStr>) -> String {
    let name = name.as_ref().to_string_lossy();
    let verdicts = document["verdicts"].as_array().unwrap();
    let found: Vec<_> = verdicts.iter().filter(|verdict| verdict["name"] == *name).collect();
    let [one] = found.as_slice() else { panic!("{} verdicts for {name} in {document:#}", found.len()) };
    format!("{} {}", one["verdict"].as_str().unwrap(), one["reason"].as_str().unwrap())
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect()
}
