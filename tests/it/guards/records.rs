//! Promise 14: the journal and all that is remembered, also on a full volume and after a year.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use workspace_hygiene::journal::Event;
use workspace_hygiene::plan::HoldReason;
use workspace_hygiene::records::AnswerKind;

use super::{LIVE, approved, held, holds, swept};
use crate::world::{DAY, World, id};

/// A settled world with so many sessions that one more or less is no drop.
fn busy(world: World) -> World {
    world.workspace(LIVE, 60 * DAY);
    (500..530).for_each(|n| world.set_live(&id(n), true));
    world
}

/// The files of the journal, the oldest first.
fn files(world: &World) -> Vec<PathBuf> {
    let names = fs::read_dir(world.root().join(".hygiene/journal")).unwrap().map(|name| name.unwrap().path());
    let mut names: Vec<_> = names.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).collect();
    names.sort();
    names
}

/// A sweep that quarantines a workspace and one that brings it back: two files of the journal.
fn there_and_back(world: &World, n: u32) {
    world.workspace(&id(n), 700 * DAY);
    assert_eq!(swept(world).acted.quarantined, [id(n)]);
    world.set_live(&id(n), true);
    assert_eq!(swept(world).acted.restored, [id(n)]);
    fs::remove_dir_all(world.root().join(id(n))).unwrap();
    world.set_live(&id(n), false);
}

#[test]
fn many_files_of_the_journal_become_one_and_nothing_is_lost() {
    let world = busy(World::new());
    for n in 0..20 {
        there_and_back(&world, n);
    }
    assert!(files(&world).len() <= 17, "{:?}", files(&world));
    let records = world.listed().records;
    assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), (1..=80).collect::<Vec<_>>());
}

#[test]
fn a_crash_while_files_are_put_together_leaves_the_journal_as_it_was() {
    let world = busy(World::new());
    for n in 0..3 {
        there_and_back(&world, n);
    }
    // As if it had died after the first file was replaced by all of them.
    let names = files(&world);
    let all: Vec<u8> = names.iter().flat_map(|name| fs::read(name).unwrap()).collect();
    fs::write(&names[0], all).unwrap();
    assert_eq!(world.listed().records.len(), 12);
    there_and_back(&world, 3);
    assert_eq!(world.listed().records.len(), 16);
    // A file that tells another story of the same numbers is no leftover.
    let text = fs::read_to_string(&names[1]).unwrap();
    fs::write(&names[1], text.replacen("SessionLive", "sessionLive", 1)).unwrap();
    holds(&world, HoldReason::RecordsDamaged);
}

#[test]
fn old_records_go_and_what_is_still_needed_stays() {
    let mut world = busy(World::new());
    world.part("quarantine", "{retention: 20000h}");
    world.rewind(500 * DAY);
    world.workspace(&id(99), 600 * DAY);
    assert_eq!(swept(&world).acted.quarantined, [id(99)]);
    there_and_back(&world, 0);
    world.pass(500 * DAY);
    for n in 1..12 {
        there_and_back(&world, n);
    }
    let records = world.listed().records;
    // The first sweep's file tells of 99, which is in quarantine still, so it and all after it stay.
    assert!(records.iter().any(|record| record.event.is_about(&id(99))), "{records:#?}");
    assert_eq!(records[0].seq, 1);
    world.set_live(&id(99), true);
    swept(&world);
    for n in 20..30 {
        there_and_back(&world, n);
    }
    let records = world.listed().records;
    assert!(records[0].seq > 1 && !records.iter().any(|record| record.event.is_about(&id(0))), "{:?}", records[0]);
    assert_eq!(held(&swept(&world)), None, "the chain begins where it was cut");
}

#[test]
fn a_file_of_the_journal_that_was_removed_is_missed() {
    let world = busy(World::new());
    for n in 0..3 {
        there_and_back(&world, n);
    }
    let names = files(&world);
    fs::remove_file(&names[2]).unwrap();
    holds(&world, HoldReason::RecordsDamaged);
}

#[test]
fn a_damaged_journal_can_be_set_apart_and_then_keeps_what_it_told_of() {
    let world = approved(2);
    assert_eq!(swept(&world).acted.quarantined.len(), 2);
    let names = files(&world);
    let text = fs::read_to_string(&names[0]).unwrap();
    fs::write(&names[0], text.replacen("bound to", "Bound to", 1)).unwrap();
    holds(&world, HoldReason::RecordsDamaged);
    assert!(world.adopt().unwrap().damage.is_some());
    let hash = holds(&world, HoldReason::AwaitsApproval).observed.plan.hash;
    world.answer(AnswerKind::Approve, &hash).unwrap();
    world.pass(400 * DAY);
    let swept = swept(&world);
    assert_eq!((held(&swept), swept.acted.condemned.len()), (None, 0));
    assert_eq!(world.quarantined_trees().len(), 2, "what the journal does not tell of stays for a person");
    let bound = |event: &Event| matches!(event, Event::Bound(remark) if remark.why.contains("a new journal begins"));
    assert_eq!(world.listed().records.iter().filter(|record| bound(&record.event)).count(), 1);
}

#[test]
fn a_full_volume_can_still_be_purged() {
    let world = busy(World::on_small_tmpfs());
    let path = world.workspace(&id(1), 60 * DAY);
    fs::write(path.join("large"), vec![7; 300_000]).unwrap();
    crate::world::backdate(&path, 60 * DAY);
    let hash = holds(&world, HoldReason::AwaitsApproval).observed.plan.hash;
    world.answer(AnswerKind::Approve, &hash).unwrap();
    assert_eq!(swept(&world).acted.quarantined, [id(1)]);
    for _ in 0..6 {
        world.pass(DAY);
        swept(&world);
    }
    world.pass(DAY);
    // Not one byte is left.
    let full = Command::new("dd")
        .args(["if=/dev/zero", "bs=4096", "status=none", "conv=notrunc"])
        .arg(format!("of={}", world.root().join("filler").display()))
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(!full.success(), "the volume is full");
    assert_eq!(rustix::fs::statvfs(world.root()).unwrap().f_bavail, 0);
    let acted = world.try_sweep(world.sources()).unwrap().acted;
    assert_eq!(acted.purged, [id(1)], "{acted:?}");
    assert!(rustix::fs::statvfs(world.root()).unwrap().f_bavail > 0);
    assert_eq!(world.listed().records.iter().filter(|r| matches!(r.event, Event::Purged(_))).count(), 1);
    fs::remove_file(world.root().join("filler")).unwrap();
    swept(&world);
    assert!(world.root().join(".hygiene/reserve").exists(), "and there is a reserve again");
}
