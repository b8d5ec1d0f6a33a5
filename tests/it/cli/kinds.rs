//! Every kind of entry below the root has its verdict and its reason.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::{BINARY, LIVE, Ran, command_at, fresh_world_with, on, verdict, world_with};
use crate::world::{DAY, World, backdate, id};

const NOBODY: u32 = 65534;

fn plan(world: &World) -> Value {
    on(world, &["plan", "-o", "json"]).exits(0).json()
}

/// Like `plan`, in a mount namespace of its own in which `at` is a mount point.
fn plan_with_mount(world: &World, at: &Path) -> Value {
    let spec = world.spec_file();
    let script = "mount --bind \"$2\" \"$2\" && exec \"$0\" plan -o json -f \"$1\"";
    let ran: Ran = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, BINARY])
        .args([spec.as_path(), at])
        .output()
        .expect("unshare is part of util-linux")
        .into();
    assert_eq!(ran.code, Some(0), "the tests run as root, who may mount: {}", ran.stderr);
    ran.json()
}

#[test]
fn what_is_no_workspace_is_kept() {
    let world = world_with(0);
    let name = |n: u32| world.root().join(id(n));
    fs::create_dir(world.root().join("lost+found")).unwrap();
    fs::write(name(1), "a file").unwrap();
    symlink(world.path("elsewhere"), name(2)).unwrap();
    assert!(Command::new("mkfifo").arg(name(3)).status().unwrap().success());
    fs::create_dir(world.root().join(OsStr::from_bytes(b"caf\xe9"))).unwrap();
    on(&world, &["sweep"]).exits(0);

    let plan = plan(&world);
    assert_eq!(verdict(&plan, ".hygiene"), "Keep Reserved");
    assert_eq!(verdict(&plan, "lost+found"), "Keep ForeignName");
    assert_eq!(verdict(&plan, id(1)), "Keep NotADirectory");
    assert_eq!(verdict(&plan, id(2)), "Keep Symlink");
    assert_eq!(verdict(&plan, id(3)), "Keep NotADirectory");
    assert_eq!(verdict(&plan, "caf\u{fffd}"), "Keep NotUTF8");
    let verdicts = plan["verdicts"].as_array().unwrap();
    let odd: Vec<_> = verdicts.iter().filter(|one| one.get("nameBytes").is_some()).collect();
    assert_eq!(odd.len(), 1, "only a name that is not UTF-8 needs its bytes");
    assert_eq!(odd[0]["nameBytes"], "636166e9");
    assert_eq!(odd[0]["session"], Value::Null);
}

#[test]
fn what_the_sessions_speak_for_is_kept() {
    let mut world = world_with(0);
    world.part("workspaces", "{pattern: '^(?:ws-|copy-)?(?<session>[0-9A-Za-z-]*)$', activity: Modified}");
    world.set_live("Case-Differs", true);
    for name in ["case-differs", "copy-twin", "ws-twin", "ws-"] {
        world.workspace(name, 30 * DAY);
    }
    let plan = plan(&world);
    assert_eq!(verdict(&plan, LIVE), "Keep LiveSession");
    assert_eq!(verdict(&plan, "case-differs"), "Keep NearMatch");
    assert_eq!(verdict(&plan, "copy-twin"), "Keep DuplicateID");
    assert_eq!(verdict(&plan, "ws-twin"), "Keep DuplicateID");
    assert_eq!(verdict(&plan, "ws-"), "Keep UnusableID");
}

#[test]
fn what_the_spec_or_a_keep_file_pins_is_kept() {
    let mut world = world_with(7);
    let keep = |n: u32, content: &str| {
        let path = world.root().join(id(n));
        fs::write(path.join(".hygiene-keep"), content).unwrap();
        backdate(&path, 30 * DAY);
    };
    keep(1, "");
    keep(2, "2999-12-31\n");
    keep(3, "2999-12-31T00:00:00Z");
    keep(4, "2001-01-01");
    keep(5, "ask Anna first");
    let globs = "keep: ['*-000000000006']";
    let pattern = "pattern: '^(?<session>[0-9A-Za-z-]{36})$', activity: Modified";
    world.part("workspaces", &format!("{{{pattern}, {globs}}}"));
    let verdicts = |world: &World| {
        let plan = plan(world);
        (1..=7).map(|n| verdict(&plan, id(n)).split_once(' ').unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    let (pinned, goes) = ("KeepFile", "NoLiveSession");
    assert_eq!(verdicts(&world), [pinned, pinned, pinned, goes, pinned, "KeepGlob", goes]);
    world.part("workspaces", &format!("{{{pattern}, keepFile: Ignore}}"));
    assert_eq!(verdicts(&world), [goes; 7]);
}

#[test]
fn what_was_active_lately_or_will_have_been_is_kept() {
    let world = world_with(4);
    let root = |n: u32| world.root().join(id(n));
    backdate(&root(1), Duration::from_secs(3600));
    fs::write(root(2).join("src/deep/new"), "").unwrap();
    let tomorrow = |path: &Path| {
        let ran = Command::new("touch").args(["-d", "tomorrow"]).arg(path).status().unwrap();
        assert!(ran.success());
    };
    tomorrow(&root(3));
    tomorrow(&root(4).join("README"));
    let plan = plan(&world);
    assert_eq!(verdict(&plan, id(1)), "Keep TooYoung");
    assert_eq!(verdict(&plan, id(2)), "Keep ActiveInside");
    assert_eq!(verdict(&plan, id(3)), "Keep FutureTime");
    assert_eq!(verdict(&plan, id(4)), "Keep FutureInside");
}

#[test]
fn what_was_changed_lately_is_active_although_its_mtime_is_old() {
    let mut world = world_with(1);
    world.part("workspaces", "{pattern: '^(?<session>[0-9A-Za-z-]{36})$'}");
    assert_eq!(verdict(&plan(&world), id(1)), "Keep TooYoung");
}

#[test]
fn what_is_mounted_is_kept() {
    let world = world_with(2);
    let on_it = plan_with_mount(&world, &world.root().join(id(1)));
    assert_eq!(verdict(&on_it, id(1)), "Keep MountPoint");
    assert_eq!(verdict(&on_it, id(2)), "Quarantine NoLiveSession");
    let inside = plan_with_mount(&world, &world.root().join(id(1)).join("src/deep"));
    assert_eq!(verdict(&inside, id(1)), "Keep MountPointInside");
    assert_eq!(verdict(&inside, id(2)), "Quarantine NoLiveSession");
}

#[test]
fn a_volume_inside_a_workspace_is_kept() {
    let world = world_with(1);
    let path = world.root().join(id(1));
    fs::create_dir_all(path.join("src/.hygiene/journal")).unwrap();
    backdate(&path, 30 * DAY);
    assert_eq!(verdict(&plan(&world), id(1)), "Keep NestedVolume");
}

#[test]
fn what_cannot_be_read_is_kept() {
    let mut world = fresh_world_with(3);
    world.part("mode", "Report");
    let private = |path: &Path| fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
    private(&world.root().join(id(1)));
    private(&world.root().join(id(2)).join("src"));
    let spec = world.spec_file();
    fs::set_permissions(spec.parent().unwrap(), Permissions::from_mode(0o755)).unwrap();
    // Root may read everything, so somebody else has to look, with a copy of the binary that anybody may run: what was
    // built may be in a private home.
    let binary = world.path("hygiene");
    fs::copy(BINARY, &binary).unwrap();
    let mut command = command_at(&binary, &["plan", "-o", "json", "-f", spec.to_str().unwrap()]);
    let ran: Ran = command.uid(NOBODY).gid(NOBODY).output().unwrap().into();
    let plan = ran.exits(0).json();
    assert_eq!(verdict(&plan, id(1)), "Keep RootUnreadable");
    assert_eq!(verdict(&plan, id(2)), "Keep InspectionIncomplete");
    assert_eq!(verdict(&plan, id(3)), "Quarantine NoLiveSession");
}

#[test]
fn what_would_be_too_much_at_once_waits() {
    let mut world = world_with(3);
    world.part("limits", "{perSweep: 1}");
    let plan_now = plan(&world);
    assert_eq!(verdict(&plan_now, id(1)), "Quarantine NoLiveSession", "the longest idle goes first");
    let waits = verdict(&plan_now, id(3));
    assert!(["Keep PerSweepLimit", "Keep NotInspected"].contains(&waits.as_str()), "{waits}");
    world.part("limits", "{budget: {directories: 1}}");
    on(&world, &["sweep"]).exits(0);
    assert_eq!(verdict(&plan(&world), id(2)), "Keep BudgetSpent");
    world.part("limits", "{budget: {size: 1k}}");
    assert_eq!(verdict(&plan(&world), id(2)), "Keep LargerThanBudget");
}
