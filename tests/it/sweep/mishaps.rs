//! What goes wrong between one call and the next, and what people and other programs leave lying about.

use std::fs;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use workspace_hygiene::act::Pin;
use workspace_hygiene::fsio::Dir;
use workspace_hygiene::journal::{self, Event, Journal, JournalError, Op, Step};
use workspace_hygiene::names::{EntryId, SweepId};
use workspace_hygiene::plan::HoldReason;

use super::races::sweep_with;
use crate::world::{DAY, World, backdate, id, manifest};

/// A world with one workspace in quarantine, its retention over.
fn due() -> World {
    let world = World::on_disk();
    world.workspace(&id(1), 30 * DAY);
    assert_eq!(world.sweep().quarantined, [id(1)]);
    world.pass(8 * DAY);
    world
}

#[test]
fn what_is_written_between_the_second_walk_and_the_last_step_is_not_lost() {
    for written in ["src/deep/data", ".hygiene-keep"] {
        let world = due();
        let tree = world.quarantined_trees()[0].clone();
        let acted = sweep_with(&world, move |call| {
            if call == 1 {
                fs::write(tree.join(written), "hours of work").unwrap();
            }
            None
        });
        assert!(acted.errors.is_empty(), "{acted:?}");
        assert_eq!(world.sweep().restored, [id(1)], "{written}");
    }
}

#[test]
fn an_old_file_that_is_moved_into_a_quarantined_tree_is_work_too() {
    let world = due();
    // As tar, cp -a and rsync -a do in a shell whose working directory is the workspace: only the root's mtime tells.
    fs::write(world.path("precious"), "work").unwrap();
    backdate(&world.path("precious"), 60 * DAY);
    fs::rename(world.path("precious"), world.quarantined_trees()[0].join("precious")).unwrap();
    assert_eq!(world.sweep().restored, [id(1)]);
    assert!(world.root().join(id(1)).join("precious").exists());
}

#[test]
fn something_else_in_an_entrys_folder_is_not_purged_with_it() {
    let world = due();
    // What a process whose working directory is the workspace writes to `../results`.
    fs::write(world.quarantined_trees()[0].join("../results"), "young work").unwrap();
    let acted = world.sweep();
    assert!(acted.errors[0].message.contains("results"), "{acted:?}");
    assert_eq!((acted.condemned.len(), world.quarantined_trees().len()), (0, 1));
}

#[test]
fn a_restore_by_hand_pins_also_where_an_old_keep_file_has_run_out() {
    let world = World::new();
    let path = world.workspace(&id(1), 30 * DAY);
    fs::write(path.join(".hygiene-keep"), "2020-01-01").unwrap();
    backdate(&path, 30 * DAY);
    assert_eq!(world.sweep().quarantined, [id(1)]);
    assert_eq!(world.restore(&[&id(1)], Pin::Yes).unwrap().restored, [id(1)]);
    world.pass(30 * DAY);
    assert_eq!(world.sweep().quarantined.len(), 0);
}

#[test]
fn an_id_that_is_taken_where_we_purge_condemns_nothing() {
    let world = due();
    let folder = world.quarantined_trees()[0].parent().unwrap().to_owned();
    let taken = world.root().join(".hygiene/purging").join(folder.file_name().unwrap());
    fs::create_dir_all(taken.join("copy")).unwrap();
    let acted = world.sweep();
    assert_eq!((acted.condemned.len(), acted.purged.len()), (0, 0), "{acted:?}");
    assert!(taken.join("copy").exists());
    world.set_live(&id(1), true);
    assert_eq!(world.sweep().restored, [id(1)]);
}

#[test]
fn a_folder_of_ours_that_was_removed_is_missed() {
    let mut world = World::new();
    for n in 0..3 {
        world.workspace(&id(n), 30 * DAY);
    }
    world.part("limits", "{budget: {period: 24h, directories: 2, size: 500Gi}}");
    assert_eq!(world.sweep().quarantined.len(), 2);
    fs::remove_dir(world.root().join(".hygiene/purging")).unwrap();
    let held = world.plan().plan.held.unwrap();
    assert_eq!(held.reason, HoldReason::SourceUnavailable);
    assert!(held.message.contains("purging"), "{}", held.message);
    assert!(world.try_sweep(world.sources()).is_err(), "the budget is not forgotten");
}

#[test]
fn a_lost_sidecar_does_not_lose_the_name() {
    let world = due();
    fs::write(world.quarantined_trees()[0].parent().unwrap().join("entry.json"), "").unwrap();
    assert_eq!(world.sweep().purged.len(), 0);
    let entry = world.listed().entries[0].id.to_string();
    assert_eq!(world.restore(&[&entry], Pin::No).unwrap().restored, [id(1)]);
}

#[test]
fn strangers_in_quarantine_stay_and_stop_nobody() {
    let world = World::new();
    world.workspace(&id(1), 30 * DAY);
    world.sweep();
    let quarantine = world.root().join(".hygiene/quarantine");
    fs::write(quarantine.join(".nfs0001"), "x").unwrap();
    fs::create_dir_all(quarantine.join("strange/inside")).unwrap();
    fs::create_dir(quarantine.join("zempty")).unwrap();
    assert_eq!(world.sweep().errors, []);
    assert!(quarantine.join(".nfs0001").exists() && quarantine.join("strange/inside").exists());
    assert!(!quarantine.join("zempty").exists());
    world.set_live(&id(1), true);
    assert_eq!(world.sweep().restored, [id(1)]);
}

#[test]
fn a_victim_that_cannot_be_moved_does_not_starve_the_rest() {
    let mut world = World::on_disk();
    let stuck = world.workspace(&id(1), 60 * DAY);
    world.workspace(&id(2), 30 * DAY);
    world.part("limits", "{perSweep: 1}");
    let chattr = |flag: &str| Command::new("chattr").arg(flag).arg(&stuck).status().unwrap().success();
    assert!(chattr("+i"), "an immutable directory is needed: run on ext4 as root");
    let swept = world.try_sweep(world.sources()).unwrap();
    let verdicts = format!("{:?}", swept.observed.plan.verdicts);
    assert!(chattr("-i"));
    assert_eq!((swept.acted.quarantined.as_slice(), swept.acted.errors.len()), ([id(2)].as_slice(), 0));
    assert!(verdicts.contains("NotMovable(\"it is immutable"), "{verdicts}");
    assert_eq!(world.sweep().quarantined, [id(1)]);
}

#[test]
fn a_torn_last_line_is_no_record_and_holds_nobody() {
    let world = due();
    let journal = fs::read_dir(world.root().join(".hygiene/journal")).unwrap().next().unwrap().unwrap().path();
    for torn in [b"{\"seq\":3,\"at\"".as_slice(), b"\0\0\0\0\0\0 tail of a line\"}\n"] {
        let mut text = fs::read(&journal).unwrap();
        text.truncate(text.iter().rposition(|byte| *byte == b'}').unwrap() + 2);
        text.extend_from_slice(torn);
        fs::write(&journal, text).unwrap();
        assert_eq!(world.plan().plan.held, None);
    }
    assert_eq!(world.sweep().purged, [id(1)]);
    assert_eq!(world.sweep(), Default::default());
}

#[test]
fn a_journal_that_somebody_else_writes_is_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    let dir = Dir::open_root(temp.path()).unwrap();
    let step = |n: u32| Step {
        op: Op::Quarantine,
        entry: EntryId::new(format!("entry-{n}")),
        name: id(n),
        inode: 1,
        entries: 0,
        bytes: 0,
        why: String::new(),
    };
    let open =
        |sweep: &str| Journal::new(&dir, &dir, journal::read(&dir, |_| ()).unwrap(), SweepId::new(sweep), "us".into());
    let (mut one, mut stale) = (open("one"), open("stale"));
    one.append(Timestamp::now(), Event::Intent(step(1))).unwrap();
    let refused = stale.append(Timestamp::now(), Event::Intent(step(2)));
    assert_eq!(refused, Err(JournalError::Closed));
    one.append(Timestamp::now(), Event::Done(step(1))).unwrap();
    let mut records = 0;
    journal::read(&dir, |_| records += 1).unwrap();
    assert_eq!(records, 2);
}

/// Runs one sweep of the built binary under strace, with one call made to fail.
fn with_fault(world: &World, call: &str, fault: &str) -> serde_json::Value {
    let output = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")])
        .args(["-e", &format!("inject={call}:{fault}")])
        .args([env!("CARGO_BIN_EXE_hygiene"), "sweep", "--no-progress", "-o", "json", "-f"])
        .arg(world.spec_file())
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("strace is missing ({e}); `make test` installs it"));
    serde_json::from_slice(&output.stdout).unwrap_or(serde_json::Value::Null)
}

#[test]
fn whatever_call_answers_that_there_is_nothing_no_work_is_lost() {
    // ENOENT for something that is there, once, at each call: stale negative look-ups of a network file system.
    for call in ["statx", "openat2"] {
        for n in 1..60 {
            let world = World::new();
            world.workspace("aaaaaaaa-0000-4000-8000-000000000000", 60 * DAY);
            let before = manifest(&world.workspace(&id(1), 60 * DAY));
            with_fault(&world, call, &format!("error=ENOENT:when={n}"));
            world.sweep();
            world.pass(30 * DAY);
            world.set_live(&id(1), true);
            let acted = world.sweep();
            let path = world.root().join(id(1));
            assert!(path.exists(), "{call} {n}: {acted:?} {:?}", world.plan().plan.quarantine);
            assert_eq!(manifest(&path), before, "{call} {n}");
        }
    }
}
