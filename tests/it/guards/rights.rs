//! What is missing is said before anything is moved, with what to set.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::fresh;
use crate::world::{World, id};

const NOBODY: u32 = 65_534;

/// The binary as user nobody: a copy that anybody may run, in a world that is theirs.
fn as_nobody(world: &World, args: &[&str]) -> Value {
    let spec = world.spec_file();
    let home = spec.parent().unwrap();
    fs::set_permissions(home, Permissions::from_mode(0o755)).unwrap();
    for file in ["sessions.db", "spec.yaml"] {
        chown(home.join(file), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let binary = world.path("hygiene");
    fs::copy(env!("CARGO_BIN_EXE_hygiene"), &binary).unwrap();
    let mut command = Command::new(binary);
    command.args(args).args(["-o", "json", "-f"]).arg(spec).env("HYGIENE_STATE_DIR", "/nonexistent");
    command.uid(NOBODY).gid(NOBODY);
    let output = loop {
        match command.output() {
            // A process that another test is just starting holds what was copied open until it runs its own program.
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            ran => break ran.unwrap(),
        }
    };
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn give(path: &Path, uid: u32) {
    chown(path, Some(uid), Some(uid)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        fs::read_dir(path).unwrap().for_each(|entry| {
            let entry = entry.unwrap().path();
            if !entry.is_symlink() {
                give(&entry, uid);
            }
        });
    }
}

#[test]
fn a_root_that_we_may_not_write_to_holds_and_names_the_user() {
    let world = fresh(1);
    fs::set_permissions(world.root(), Permissions::from_mode(0o755)).unwrap();
    let report = as_nobody(&world, &["sweep"]);
    assert_eq!(report["held"]["reason"], "MissingRight");
    let message = report["held"]["message"].as_str().unwrap();
    for part in ["belongs to user 0", "user 65534", "CAP_DAC_OVERRIDE"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!world.root().join(".hygiene").exists());
}

#[test]
fn another_users_directory_is_named_before_anything_is_moved() {
    let world = fresh(3);
    chown(world.root(), Some(NOBODY), Some(NOBODY)).unwrap();
    give(&world.root().join(id(2)), NOBODY);
    let report = as_nobody(&world, &["plan"]);
    let verdict = |n: u32| report["verdicts"].as_array().unwrap().iter().find(|v| v["name"] == id(n)).unwrap().clone();
    // Held, since it is the volume's first plan; `explain` tells each guard.
    assert_eq!(verdict(1)["reason"], "Held");
    for (n, answer) in [(1, "Keeps"), (2, "Passes")] {
        let explained = as_nobody(&world, &["explain", &id(n)]);
        let guard = explained["guards"].as_array().unwrap().iter().find(|g| g["guard"] == "we may move it").unwrap();
        assert_eq!(guard["answer"], answer, "{n}: {guard}");
        if n == 1 {
            let message = guard["message"].as_str().unwrap();
            assert!(message.contains("belongs to user 0") && message.contains("run as user 0"), "{message}");
        }
    }
}

/// A world whose volume is on a claim, which is mounted where the root is.
fn on_a_claim(n: u32) -> (World, String) {
    let mut world = fresh(n);
    world.part("volume", "{persistentVolumeClaim: {claimName: efs}}");
    let mount = format!("efs={}", world.root().display());
    (world, mount)
}

/// The user of whoever made the workspaces.
const OWNER: u32 = 4_711;

#[test]
fn a_sweeper_of_a_claim_is_told_which_user_to_run_as() {
    let (world, mount) = on_a_claim(3);
    chown(world.root(), Some(NOBODY), Some(NOBODY)).unwrap();
    give(&world.root().join(id(1)), OWNER);
    give(&world.root().join(id(2)), OWNER);
    // One that may not even be read.
    fs::set_permissions(world.root().join(id(2)), Permissions::from_mode(0o700)).unwrap();
    let way_out = "belongs to user 4711 with mode ";
    for (n, mode) in [(1, "0755"), (2, "0700")] {
        let explained = as_nobody(&world, &["--claim-mount", &mount, "explain", &id(n)]).to_string();
        let said =
            format!("{way_out}{mode}, and this is user 65534; set spec.job.template.securityContext.runAsUser: 4711");
        assert!(explained.contains(&said), "{explained}");
    }
    chown(world.root(), Some(OWNER), Some(OWNER)).unwrap();
    let message = |report: &Value| report["held"]["message"].as_str().unwrap_or_default().to_owned();
    let held = message(&as_nobody(&world, &["--claim-mount", &mount, "plan"]));
    assert!(held.contains("set spec.job.template.securityContext.runAsUser: 4711"), "{held}");
    fs::set_permissions(world.root(), Permissions::from_mode(0o700)).unwrap();
    let held = message(&as_nobody(&world, &["--claim-mount", &mount, "plan"]));
    assert!(held.contains("cannot be read: it belongs to user 4711 with mode 0700"), "{held}");
    assert!(held.contains("set spec.job.template.securityContext.runAsUser: 4711"), "{held}");
}

#[test]
fn a_sticky_root_needs_the_owner() {
    let world = fresh(1);
    fs::set_permissions(world.root(), Permissions::from_mode(0o1777)).unwrap();
    let orphan = world.root().join(id(1));
    fs::set_permissions(&orphan, Permissions::from_mode(0o777)).unwrap();
    let explained = as_nobody(&world, &["explain", &id(1)]);
    let guard =
        explained["guards"].as_array().unwrap().iter().find(|g| g["guard"] == "we may move it").unwrap().clone();
    assert_eq!(guard["answer"], "Keeps");
    assert!(guard["message"].as_str().unwrap().contains("CAP_FOWNER"), "{guard}");
}

#[test]
fn a_folder_of_ours_that_others_may_enter_is_not_used() {
    let world = super::approved(1);
    fs::set_permissions(world.root().join(".hygiene"), Permissions::from_mode(0o755)).unwrap();
    let refused = world.try_sweep(world.sources()).unwrap_err().to_string();
    assert!(refused.contains("mode 0755"), "{refused}");
    fs::set_permissions(world.root().join(".hygiene"), Permissions::from_mode(0o700)).unwrap();
    chown(world.root().join(".hygiene"), Some(NOBODY), None).unwrap();
    let refused = world.try_sweep(world.sources()).unwrap_err().to_string();
    assert!(refused.contains("belongs to user 65534"), "{refused}");
    assert!(world.root().join(id(1)).exists());
}
