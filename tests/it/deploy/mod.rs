//! The files of `deploy/`: whether AWS would take them, whether they agree with one another and with the program, and
//! whether what their README says to type is right.

mod actions;
mod alarms;
mod commands;
mod ecs;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

fn folder() -> PathBuf {
    Path::new(PROJECT).join("deploy/ecs")
}

fn text(name: &str) -> String {
    let path = folder().join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn json(name: &str) -> Value {
    serde_json::from_str(&text(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// What a command printed.
///
/// # Panics
///
/// With all that it said, where it fails.
#[track_caller]
fn output(command: &mut Command, input: &str) -> String {
    let child =
        command.current_dir(PROJECT).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|e| panic!("{command:?}: {e}; `make setup` installs what the tests need"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    let ran = child.wait_with_output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{command:?}: {}\n{stdout}\n{stderr}", ran.status);
    stdout.into_owned()
}

/// A program of the environment that `scripts/setup` makes.
fn python_program(name: &str) -> Command {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| {
        let script = ". scripts/lib.sh && python_directory";
        PathBuf::from(output(Command::new("bash").args(["-c", script]), "").trim_end())
    });
    Command::new(directory.join("bin").join(name))
}

/// What `scripts/ecs-json` makes of the template.
fn made() -> &'static Value {
    static MADE: OnceLock<Value> = OnceLock::new();
    MADE.get_or_init(|| serde_json::from_str(&output(python_program("python").arg("scripts/ecs-json"), "")).unwrap())
}

/// What the stand-in for AWS answers to the files; see `register.py`.
fn registered() -> &'static Value {
    static REGISTERED: OnceLock<Value> = OnceLock::new();
    REGISTERED.get_or_init(|| {
        let overrides = serde_json::to_string(&overrides()).unwrap();
        let mut register = python_program("python");
        register.args(["tests/it/deploy/register.py", "deploy/ecs"]);
        serde_json::from_str(&output(&mut register, &overrides)).unwrap()
    })
}

/// The overrides of the one-off commands that the README shows.
fn overrides() -> Vec<Value> {
    let readme = text("README.md");
    let shown = readme.split("--overrides '").skip(1).map(|rest| rest.split('\'').next().unwrap());
    shown.map(|json| serde_json::from_str(json).unwrap_or_else(|e| panic!("{e}: {json}"))).collect()
}

/// The arguments in a container's definition, or in an override of it.
fn arguments(container: &Value) -> Vec<String> {
    container["command"].as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

/// One or several strings, as policies have them.
fn strings(value: &Value) -> BTreeSet<String> {
    let many = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
    many.iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}
