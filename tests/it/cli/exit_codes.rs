//! 0 done, 1 failed, 2 bad usage or invalid spec, 3 held, 4 locked by somebody else.

use std::fs::{self, File};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

use super::{command, hygiene, on, world_with};
use crate::world::World;

const HOLDER: &str = r#"{"who":"uid=7@elsewhere pid 9","command":"hygiene sweep a/b","since":"2026-01-31T12:00:00Z"}"#;

/// The lock of the world's volume, held by somebody else.
fn locked(world: &World) -> File {
    on(world, &["sweep"]).exits(0);
    let path = world.root().join(".hygiene/lock");
    fs::write(&path, HOLDER).unwrap();
    let file = File::open(path).unwrap();
    flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
    file
}

#[test]
fn done_is_0() {
    let world = world_with(1);
    on(&world, &["plan"]).exits(0);
    on(&world, &["plan", "--exit-code"]).exits(0);
    on(&world, &["sweep"]).exits(0);
}

#[test]
fn a_suspended_resource_is_held_by_a_gate() {
    let mut world = world_with(1);
    world.part("suspend", "true");
    for args in [&["plan"][..], &["plan", "--exit-code"], &["sweep"]] {
        let ran = on(&world, args).exits(if args == ["plan"] { 0 } else { 3 });
        assert!(ran.stdout.contains("HELD by the gate Suspended"), "{}", ran.stdout);
    }
    assert!(world.quarantined_trees().is_empty());
}

#[test]
fn a_session_store_that_is_not_there_holds() {
    let mut world = world_with(1);
    world.part("sessions", "{sqlite: {path: /nowhere/sessions.db}, liveQuery: select id from session}");
    let ran = on(&world, &["sweep", "-o", "json"]).exits(3);
    let report = ran.json();
    assert_eq!(report["sources"]["sessions"]["state"], "Unavailable");
    assert_eq!(report["sources"]["sessions"].get("live"), None);
    assert_eq!(report["held"]["reason"], "SourceUnavailable");
    assert_eq!(report["counts"]["Keep"]["SourceUnavailable"], 2);
}

#[test]
fn more_orphans_than_the_breaker_allows_hold_and_the_report_mode_says_so_too() {
    let mut world = world_with(3);
    world.part("limits", "{breaker: {maxOrphans: 2}}");
    let ran = on(&world, &["sweep"]).exits(3);
    assert!(ran.stdout.contains("HELD by the breaker TooManyOrphans"), "{}", ran.stdout);
    assert!(world.quarantined_trees().is_empty());
    world.part("mode", "Report");
    let held = on(&world, &["sweep", "-o", "json"]).exits(3).json()["held"].clone();
    assert_eq!((held["kind"].as_str(), held["reason"].as_str()), (Some("Breaker"), Some("TooManyOrphans")));
    on(&world, &["plan"]).exits(0);
    on(&world, &["plan", "--exit-code"]).exits(3);
}

#[test]
fn a_locked_volume_is_4_and_says_who_and_since_when() {
    let world = world_with(1);
    let _lock = locked(&world);
    for args in [&["sweep"][..], &["quarantine", "restore", "--all"], &["quarantine", "purge", "--all", "--yes"]] {
        let ran = on(&world, &[args, &["--lock-timeout", "0s"]].concat()).exits(4);
        for part in ["locked by uid=7@elsewhere pid 9", "`hygiene sweep a/b`", "since 2026-01-31T12:00:00Z"] {
            assert!(ran.stderr.starts_with("error: ") && ran.stderr.contains(part), "{args:?}: {}", ran.stderr);
        }
    }
    // Looking needs no lock.
    on(&world, &["plan"]).exits(0);
    on(&world, &["quarantine", "list"]).exits(0);
    on(&world, &["journal"]).exits(0);
}

#[test]
fn the_lock_is_waited_for_as_long_as_was_asked() {
    let world = world_with(1);
    let lock = locked(&world);
    on(&world, &["sweep", "--lock-timeout", "200ms"]).exits(4);
    let release = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        drop(lock);
    });
    on(&world, &["sweep", "--lock-timeout", "30s"]).exits(0);
    release.join().unwrap();
    hygiene(&["sweep", "-f", "x", "--lock-timeout", "1d"]).exits(2);
}

#[test]
fn a_step_that_failed_is_1() {
    let world = world_with(1);
    on(&world, &["sweep"]).exits(0);
    // The name is taken again, so what is in quarantine cannot go back.
    fs::create_dir(world.root().join(crate::world::id(1))).unwrap();
    let ran = on(&world, &["quarantine", "restore", "--all", "-o", "json"]).exits(1);
    let errors = &ran.json()["errors"];
    assert_eq!(errors[0]["step"], "restore");
    assert!(errors[0]["message"].as_str().unwrap().contains("RestoreConflict"), "{errors}");
    assert_eq!(world.quarantined_trees().len(), 1);
}

#[test]
fn a_sweep_that_a_signal_stopped_is_1_and_changed_nothing_more() {
    let mut world = world_with(1);
    // Counts for longer than the timeout, so that the signal surely arrives while the query runs.
    let slow = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000000000) \
                select id from session where (select max(i) from n) > 0";
    let db = world.path("sessions.db");
    world.part("sessions", &format!("{{sqlite: {{path: {}}}, timeout: 2s, liveQuery: '{slow}'}}", db.display()));
    let spec = world.spec_file();
    let mut command = command(&["sweep", "-o", "json", "-f", spec.to_str().unwrap()]);
    let child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(800));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let ran: super::Ran = child.wait_with_output().unwrap().into();
    let ran = ran.exits(1);
    assert_eq!(ran.json()["stopped"], true);
    assert!(ran.stderr.contains("stopped on request"), "{}", ran.stderr);
    assert!(world.quarantined_trees().is_empty());
}

#[test]
fn of_several_resources_all_are_processed_and_the_worst_counts() {
    let mut held = world_with(1);
    held.part("suspend", "true");
    let mut locked_world = world_with(1);
    let _lock = locked(&locked_world);
    let mut good = world_with(1);
    let path = |world: &mut World, name: &'static str| {
        world.name = name;
        world.spec_file().to_str().unwrap().to_owned()
    };
    let held = path(&mut held, "held");
    let (locked_spec, good_spec) = (path(&mut locked_world, "locked"), path(&mut good, "good"));
    hygiene(&["sweep", "-f", &held, "-f", &good_spec]).exits(3);
    assert_eq!(good.quarantined_trees().len(), 1, "the one after the held one was swept");
    let ran = hygiene(&["sweep", "-f", &held, "-f", &locked_spec, "-f", &good_spec, "-o", "json"]).exits(4);
    let list = ran.json();
    assert_eq!(list["kind"], "List");
    let names: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| &item["resource"]["name"]).collect();
    assert_eq!(names, ["held", "good"], "the locked one has no report");
    assert!(ran.stderr.contains("default/locked: the volume is locked"), "{}", ran.stderr);
    hygiene(&["sweep", "-f", &good_spec, "-f", "/nowhere.yaml"]).exits(2);
}

#[test]
fn bad_usage_is_2() {
    for args in [
        &[][..],
        &["plan"],
        &["nonsense"],
        &["plan", "-f", "x", "--nonsense"],
        &["plan", "-f", "x", "-o", "xml"],
        &["plan", "-f", "x", "--log-level", "loud"],
        &["explain", "-f", "x"],
        &["quarantine", "restore", "-f", "x"],
        &["quarantine", "restore", "-f", "x", "NAME", "--all"],
        &["quarantine", "purge", "-f", "x", "--yes"],
        &["journal", "-f", "x", "--since", "yesterday"],
        &["completions", "csh"],
    ] {
        let ran = hygiene(args).exits(2);
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{args:?}");
    }
}
