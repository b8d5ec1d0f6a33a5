//! What the task definition and the README have the program do, done by the built binary.

use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};

use super::{arguments, json, overrides, registered};
use crate::world::{DAY, World, id};

/// The binary with the environment of the task, and a value for each secret.
fn hygiene(args: &[String]) -> Command {
    let task = json("task-definition.json");
    let container = &task["containerDefinitions"][0];
    let mut command = Command::new(env!("CARGO_BIN_EXE_hygiene"));
    command.args(args).env_clear().stdin(Stdio::null());
    for variable in container["environment"].as_array().unwrap() {
        command.env(variable["name"].as_str().unwrap(), variable["value"].as_str().unwrap());
    }
    for secret in container["secrets"].as_array().unwrap() {
        command.env(secret["name"].as_str().unwrap(), "a value");
    }
    command
}

fn said(ran: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
}

fn one_off() -> Vec<Vec<String>> {
    overrides()
        .iter()
        .map(|overrides| {
            let [container] = overrides["containerOverrides"].as_array().unwrap().as_slice() else {
                panic!("{overrides}")
            };
            assert_eq!(container["name"], json("task-definition.json")["containerDefinitions"][0]["name"]);
            arguments(container)
        })
        .collect()
}

#[test]
fn the_program_takes_the_commands_of_the_task_and_of_the_readme() {
    let service = arguments(&json("task-definition.json")["containerDefinitions"][0]);
    for mut args in one_off().into_iter().chain([service]) {
        args.push("--help".into());
        let ran = hygiene(&args).output().unwrap();
        assert!(ran.status.success(), "{args:?}: {}", said(&ran));
    }
}

#[test]
fn the_readme_shows_every_command_that_people_need() {
    // ECS takes each as an override: `register.py` checks them.
    assert!(registered()["taskDefinition"].is_object());
    let shown: BTreeSet<_> = one_off()
        .iter()
        .map(|args| args.iter().take_while(|arg| !arg.starts_with('-')).take(2).cloned().collect::<Vec<_>>().join(" "))
        .collect();
    for command in [
        "adopt",
        "approve ",
        "dismiss ",
        "explain ",
        "journal",
        "plan",
        "quarantine list",
        "quarantine restore",
        "status",
        "sweep",
    ] {
        assert!(shown.iter().any(|shown| shown.starts_with(command)), "{command}: {shown:?}");
    }
}

#[test]
fn each_one_off_command_runs_on_a_volume() {
    let world = World::on_disk();
    world.workspace(&id(1), 30 * DAY);
    world.workspace("aaaaaaaa-0000-4000-8000-000000000000", 30 * DAY);
    world.spec_file();
    for args in one_off() {
        let mut command = hygiene(&args);
        command.env("HYGIENE_SPEC", world.spec()).env("HYGIENE_STATE_DIR", world.path("state"));
        let ran = command.output().unwrap();
        // The README's plan and workspace are not there: that is an answer, and no misuse.
        let unknown =
            args.iter().any(|arg| arg.len() >= 32 && arg.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'));
        let code = ran.status.code().unwrap();
        assert!(code == 0 || code == 3 || (code == 1 && unknown), "{args:?}: {code}: {}", said(&ran));
    }
}

#[test]
fn the_program_takes_the_spec() {
    let state = tempfile::tempdir().unwrap();
    let status = one_off().into_iter().find(|args| args[0] == "status").unwrap();
    let ran = hygiene(&status).env("HYGIENE_STATE_DIR", state.path()).output().unwrap();
    assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
    assert!(said(&ran).contains("no sweep was run yet"), "{}", said(&ran));
}
