//! From orphan to nothing, and every way back.

use std::fs;
use std::time::Duration;

use workspace_hygiene::act::Pin;
use workspace_hygiene::journal::{Event, Op};
use workspace_hygiene::plan::{HoldReason, KeepReason, Verdict};
use workspace_hygiene::sweep::SweepError;

use crate::world::{DAY, World, id, manifest};

#[test]
fn an_orphan_is_quarantined_then_condemned_and_purged_and_nothing_else_changes() {
    let world = World::new();
    world.workspace("aaaaaaaa-0000-4000-8000-000000000000", 30 * DAY);
    world.workspace(&id(1), 30 * DAY);
    world.workspace(&id(2), Duration::from_secs(60));
    fs::write(world.root().join("notes.txt"), "mine").unwrap();
    let mut expected = manifest(&world.root());
    expected.retain(|path, _| !path.starts_with(id(1).as_bytes()));

    let first = world.sweep();
    assert_eq!(first.quarantined, [id(1)]);
    assert_eq!(first.errors, []);
    assert_eq!(manifest(&world.root()), expected);
    assert_eq!(world.quarantined_trees().len(), 1);

    world.pass(6 * DAY);
    // The other orphan grew old meanwhile, by the moved clock; what matters here is that the first one still waits.
    assert!(world.sweep().purged.is_empty());
    world.pass(2 * DAY);
    let last = world.sweep();
    assert!(last.purged.contains(&id(1)), "{last:?}");
    assert_eq!(last.reclaimed.directories, 1);
    assert_eq!(last.reclaimed.entries, 7);
    assert!(last.reclaimed.bytes > 9_000);
    assert!(!world.quarantined_trees().iter().any(|tree| fs::read_to_string(tree.join("README")).unwrap() == id(1)));
    assert_eq!(fs::read_dir(world.root().join(".hygiene/purging")).unwrap().count(), 0);

    let records = world.listed().records;
    let about = |op: Op| {
        records
            .iter()
            .filter(move |r| matches!(&r.event, Event::Done(s) | Event::Purged(s) if s.op == op && s.name == id(1)))
    };
    for op in [Op::Quarantine, Op::Condemn, Op::Purge] {
        assert_eq!(about(op).count(), 1, "{op:?} is in the journal once");
    }
}

#[test]
fn a_row_that_is_back_restores_its_workspace_byte_for_byte() {
    let world = World::new();
    world.workspace(&id(1), 30 * DAY);
    let before = manifest(&world.root());
    assert_eq!(world.sweep().quarantined, [id(1)]);
    world.set_live(&id(1), true);
    let back = world.sweep();
    assert_eq!((back.restored.as_slice(), back.errors.as_slice()), ([id(1)].as_slice(), [].as_slice()));
    assert_eq!(manifest(&world.root()), before);
    assert_eq!(world.quarantined_trees().len(), 0);
    assert_eq!(world.sweep(), Default::default(), "and then all is quiet");
}

#[test]
fn restores_go_on_while_the_sweep_is_held() {
    let mut world = World::new();
    world.workspace(&id(1), 30 * DAY);
    world.workspace(&id(2), 30 * DAY);
    world.part("limits", "{perSweep: 1}");
    assert_eq!(world.sweep().quarantined.len(), 1);
    world.set_live(&id(1), true);
    world.set_live(&id(2), true);
    world.part("suspend", "true");
    let swept = world.try_sweep(world.sources()).unwrap();
    assert_eq!(swept.observed.plan.held.map(|hold| hold.reason), Some(HoldReason::Suspended));
    assert_eq!(swept.acted.restored.len(), 1);
    assert_eq!(swept.acted.quarantined.len(), 0);
}

#[test]
fn a_keep_glob_added_later_restores() {
    let mut world = World::new();
    world.workspace(&id(1), 30 * DAY);
    world.sweep();
    world.part("workspaces", "{pattern: '^(?<session>[0-9A-Za-z-]{36})$', activity: Modified, keep: ['bbbb*']}");
    assert_eq!(world.sweep().restored, [id(1)]);
}

#[test]
fn what_was_written_to_in_quarantine_is_alive_and_goes_back() {
    let world = World::new();
    world.workspace(&id(1), 30 * DAY);
    world.sweep();
    // As a process does that still has the directory open.
    fs::write(world.quarantined_trees()[0].join("src/deep/data"), "new work").unwrap();
    world.pass(8 * DAY);
    let acted = world.sweep();
    assert_eq!(acted.restored, [id(1)]);
    assert!(acted.purged.is_empty());
    assert_eq!(fs::read_to_string(world.root().join(id(1)).join("src/deep/data")).unwrap(), "new work");
}

#[test]
fn a_name_that_exists_again_is_never_overwritten() {
    let world = World::new();
    world.workspace(&id(1), 30 * DAY);
    world.sweep();
    world.set_live(&id(1), true);
    // Empty, because rename(2) silently replaces an empty directory.
    fs::create_dir(world.root().join(id(1))).unwrap();
    let acted = world.sweep();
    assert_eq!(acted.restored.len(), 0);
    assert_eq!(world.quarantined_trees().len(), 1);
    let error = world.restore(&[&id(1)], Pin::No).unwrap().errors.remove(0);
    assert!(error.message.starts_with("RestoreConflict"), "{}", error.message);
    fs::remove_dir(world.root().join(id(1))).unwrap();
    assert_eq!(world.sweep().restored, [id(1)]);
}

#[test]
fn a_restore_by_hand_pins_and_the_pin_holds() {
    let world = World::new();
    world.workspace(&id(1), 30 * DAY);
    world.sweep();
    assert_eq!(world.restore(&[&id(1)], Pin::Yes).unwrap().restored, [id(1)]);
    world.pass(30 * DAY);
    assert_eq!(world.sweep().quarantined.len(), 0);
    let plan = world.plan().plan;
    assert!(plan.verdicts.contains(&Verdict::Keep(KeepReason::KeepFile(None))), "{:?}", plan.verdicts);
}

#[test]
fn a_purge_by_hand_skips_the_retention_and_nothing_else() {
    let world = World::new();
    world.workspace(&id(1), 30 * DAY);
    world.workspace(&id(2), 30 * DAY);
    world.workspace(&id(3), 30 * DAY);
    assert_eq!(world.sweep().quarantined.len(), 3);
    world.set_live(&id(2), true);
    for tree in world.quarantined_trees() {
        if fs::read_to_string(tree.join("README")).unwrap() == id(3) {
            fs::write(tree.join("README"), id(3)).unwrap();
        }
    }
    let acted = world.purge(&[&id(1), &id(2), &id(3)]).unwrap().acted;
    assert_eq!(acted.purged, [id(1)], "{acted:?}");
    assert_eq!(acted.restored, [id(2), id(3)]);
    assert!(matches!(world.purge(&[&id(1)]), Err(SweepError::NotInQuarantine(_))));
}

#[test]
fn report_mode_writes_nothing() {
    let mut world = World::new();
    world.workspace(&id(1), 30 * DAY);
    world.part("mode", "Report");
    let before = manifest(&world.root());
    let swept = world.try_sweep(world.sources()).unwrap();
    assert_eq!(swept.observed.plan.victims.len(), 1);
    assert_eq!(swept.acted, Default::default());
    assert!(!world.root().join(".hygiene").exists());
    assert_eq!(manifest(&world.root()), before);
    assert!(matches!(world.restore(&[&id(1)], Pin::Yes), Err(SweepError::ReportMode)));
    assert!(matches!(world.purge(&[&id(1)]), Err(SweepError::ReportMode)));
}

#[test]
fn an_empty_root_is_not_written_to() {
    let world = World::fresh();
    assert_eq!(world.sweep(), Default::default());
    assert_eq!(fs::read_dir(world.root()).unwrap().count(), 0);
}

#[test]
fn a_root_that_is_no_volume_of_ours_is_not_written_to() {
    // Nothing in it yields a session id; and one whose sessions cannot be read.
    let world = World::fresh();
    fs::create_dir(world.root().join("etc")).unwrap();
    assert_eq!(world.sweep(), Default::default());
    world.workspace(&id(1), 30 * DAY);
    world.db("delete from session");
    let swept = world.try_sweep(world.sources()).unwrap();
    assert_eq!(swept.observed.plan.held.map(|hold| hold.reason), Some(HoldReason::TooFewLiveSessions));
    assert!(!world.root().join(".hygiene").exists());
}

#[test]
fn the_budget_holds_across_processes() {
    let mut world = World::new();
    for n in 0..4 {
        world.workspace(&id(n), (40 - n) * DAY);
    }
    world.part("limits", "{perSweep: 2, budget: {period: 24h, directories: 3, size: 500Gi}}");
    assert_eq!(world.sweep().quarantined, [id(0), id(1)]);
    assert_eq!(world.sweep().quarantined, [id(2)]);
    assert_eq!(world.sweep().quarantined.len(), 0);
    world.pass(DAY + Duration::from_secs(1));
    assert_eq!(world.sweep().quarantined, [id(3)]);
}

#[test]
fn orphans_that_stay_do_not_starve_the_others() {
    let mut world = World::new();
    world.part("limits", "{perSweep: 1, breaker: {maxOrphanPercent: 100}}");
    for n in 0..30 {
        let path = world.workspace(&id(n), 40 * DAY);
        if n < 29 {
            // Old root, young inside: inspected, and kept.
            let then = fs::metadata(&path).unwrap().modified().unwrap();
            fs::write(path.join("src/main.rs"), "young").unwrap();
            fs::File::open(&path).unwrap().set_modified(then).unwrap();
        }
    }
    assert_eq!(world.sweep().quarantined, [id(29)]);
    let again = world.plan();
    assert_eq!(again.snapshot.inspections.len(), 0, "those that were kept are not inspected again right away");
    assert!(again.plan.verdicts.iter().any(|v| matches!(v, Verdict::Keep(KeepReason::BackOff(_)))));
}

#[test]
fn a_changed_line_of_the_journal_holds_everything() {
    let world = World::new();
    world.workspace(&id(1), 30 * DAY);
    world.sweep();
    let journal = fs::read_dir(world.root().join(".hygiene/journal")).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, text.replacen("idle since", "idle Since", 1)).unwrap();
    world.workspace(&id(2), 30 * DAY);
    let swept = world.try_sweep(world.sources()).unwrap();
    let hold = swept.observed.plan.held.unwrap();
    assert_eq!(hold.reason, HoldReason::RecordsDamaged);
    assert!(hold.message.contains("chain breaks"), "{}", hold.message);
    assert_eq!(swept.acted, Default::default());
}
