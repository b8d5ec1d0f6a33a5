//! The built binary, killed at every call that changes the volume, and asked to stop in the middle. strace sends the
//! signal when the call is entered, so that killing at call N+1 is killing after call N.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use workspace_hygiene::journal::{Event, Op};

use crate::world::{DAY, World, id, manifest};

const BINARY: &str = env!("CARGO_BIN_EXE_hygiene");

/// Every call with which the binary changes the volume or makes a change durable.
const CALLS: [&str; 7] = ["mkdirat", "renameat", "renameat2", "unlinkat", "fsync", "openat2", "ftruncate"];

/// A world in which one sweep has everything to do: 1 goes to quarantine, 2 comes back, 3 is condemned and purged.
fn busy_world() -> World {
    let world = World::new();
    world.workspace("aaaaaaaa-0000-4000-8000-000000000000", 60 * DAY);
    world.workspace(&id(2), 60 * DAY);
    world.workspace(&id(3), 60 * DAY);
    world.rewind(20 * DAY);
    assert_eq!(world.sweep().quarantined.len(), 2);
    world.pass(20 * DAY);
    world.workspace(&id(1), 60 * DAY);
    world.set_live(&id(2), true);
    world
}

fn killed_at(world: &World, call: &str, n: u32) -> bool {
    let spec = world.spec_file();
    let status = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")])
        .args(["-e", &format!("inject={call}:signal=KILL:when={n}")])
        .args([BINARY, "sweep", "--no-progress", "-o", "json", "-f"])
        .arg(spec)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap_or_else(|e| panic!("strace is missing ({e}); `make test` installs it"));
    let killed = status.signal() == Some(9) || status.code() == Some(128 + 9);
    assert!(killed || status.success(), "{call} {n}: {status}");
    killed
}

#[test]
fn killed_at_any_call_the_next_sweep_loses_nothing_and_finishes() {
    let mut deaths = 0;
    for call in CALLS {
        for n in 1.. {
            let world = busy_world();
            let live = manifest(&world.root().join("aaaaaaaa-0000-4000-8000-000000000000"));
            let (one, two) = (manifest(&world.root().join(id(1))), manifest(&quarantined(&world, &id(2))));
            let killed = killed_at(&world, call, n);
            deaths += u32::from(killed);
            let acted = world.sweep();
            let at = format!("killed at {call} {n}: {acted:?}");
            assert_eq!(acted.errors, [], "{at}");
            assert_eq!(manifest(&world.root().join("aaaaaaaa-0000-4000-8000-000000000000")), live, "{at}");
            assert_eq!(manifest(&world.root().join(id(2))), two, "{at}");
            assert!(!world.root().join(id(1)).exists() && !world.root().join(id(3)).exists(), "{at}");
            assert_eq!(manifest(&quarantined(&world, &id(1))), one, "{at}");
            assert_eq!(fs::read_dir(world.root().join(".hygiene/quarantine")).unwrap().count(), 1, "{at}");
            assert_eq!(fs::read_dir(world.root().join(".hygiene/purging")).unwrap().count(), 0, "{at}");
            explained(&world, &at);
            assert_eq!(world.sweep(), Default::default(), "{at}");
            if !killed {
                break;
            }
        }
    }
    assert!(deaths > 40, "only {deaths} deaths: is strace doing its work?");
}

fn quarantined(world: &World, name: &str) -> std::path::PathBuf {
    let trees = world.quarantined_trees();
    trees.into_iter().find(|tree| fs::read_to_string(tree.join("README")).unwrap() == name).unwrap()
}

/// Every change is in the journal, once.
fn explained(world: &World, at: &str) {
    let records = world.listed().records;
    for (op, name) in
        [(Op::Quarantine, 1), (Op::Quarantine, 2), (Op::Quarantine, 3), (Op::Restore, 2), (Op::Condemn, 3)]
    {
        let done = |event: &Event| matches!(event, Event::Done(step) if step.op == op && step.name == id(name));
        assert_eq!(records.iter().filter(|record| done(&record.event)).count(), 1, "{op:?} {name}, {at}");
    }
    let purged = |event: &Event| matches!(event, Event::Purged(step) if step.name == id(3));
    assert_eq!(records.iter().filter(|record| purged(&record.event)).count(), 1, "{at}");
}

#[test]
fn asked_to_stop_in_mid_purge_it_stops_at_once_and_the_next_sweep_finishes() {
    let mut world = World::new();
    let path = world.workspace(&id(1), 60 * DAY);
    for n in 0..400 {
        fs::write(path.join(format!("file-{n}")), "x").unwrap();
    }
    crate::world::backdate(&path, 60 * DAY);
    world.rewind(20 * DAY);
    assert_eq!(world.sweep().quarantined.len(), 1);
    world.pass(20 * DAY);
    world.part("limits", "{purge: {entriesPerSecond: 50}}");
    let mut child = Command::new(BINARY)
        .args(["sweep", "--no-progress", "-o", "json", "-f"])
        .arg(world.spec_file())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let left = || {
        let folder = fs::read_dir(world.root().join(".hygiene/purging")).ok()?.next()?.ok()?.path();
        Some(fs::read_dir(folder.join("workspace")).ok()?.count())
    };
    let mut waited = 0;
    while left().is_none_or(|left| left > 395) && waited < 500 {
        std::thread::sleep(Duration::from_millis(20));
        waited += 1;
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let started = std::time::Instant::now();
    assert_eq!(child.wait().unwrap().code(), Some(1), "stopped before the end is not done");
    assert!(started.elapsed() < Duration::from_secs(3), "it stops within one call, not at the end of the purge");
    assert!(left().is_some_and(|left| left > 0), "something was left to do");
    let report: serde_json::Value = serde_json::from_reader(child.stdout.take().unwrap()).unwrap();
    assert_eq!(report["stopped"], true);
    world.part("limits", "{purge: {entriesPerSecond: 100000}}");
    let acted = world.sweep();
    assert_eq!((acted.purged.as_slice(), acted.errors.as_slice()), ([id(1)].as_slice(), [].as_slice()));
}
