//! On a file system that behaves as EFS does: answers that are late, wrong, stale or missing.

use std::fs;
use std::time::Duration;

use rustix::io::Errno;
use workspace_hygiene::act::Acted;
use workspace_hygiene::journal::{Event, Op as Steps};
use workspace_hygiene::plan::{HoldReason, KeepReason, Verdict};
use workspace_hygiene::records::AnswerKind;

use super::lock::sweep_and;
use super::{LIVE, held, holds, swept};
use crate::fuse::{Control, Cost, Op, TimeOuts};
use crate::world::{DAY, World, id, manifest};

/// A settled world with a live workspace and so many orphans.
fn on_efs(orphans: u32) -> (World, Control) {
    let world = World::on_fuse();
    world.workspace(LIVE, 60 * DAY);
    for n in 1..=orphans {
        world.workspace(&id(n), (60 - n) * DAY);
    }
    let control = world.fuse().control();
    (world, control)
}

/// Names and attributes are as old as on an NFS client that was told nothing.
fn stale() -> TimeOuts {
    let minute = Duration::from_secs(60);
    TimeOuts { attributes: minute, names: minute, absences: minute }
}

fn done(world: &World, op: Steps) -> usize {
    let is = |event: &Event| matches!(event, Event::Done(step) if step.op == op);
    world.listed().records.iter().filter(|record| is(&record.event)).count()
}

#[test]
fn what_another_client_put_in_its_place_between_check_and_rename_goes_straight_back_and_latches() {
    for time_outs in [TimeOuts::default(), stale()] {
        let (world, control) = on_efs(2);
        control.set_time_outs(time_outs);
        let backing = world.fuse().backing().to_owned();
        let old = manifest(&backing.join(id(1)));
        let swap = backing.clone();
        control.before(Op::Rename, &id(1), move || {
            fs::rename(swap.join(id(1)), swap.join("aside")).unwrap();
            fs::create_dir(swap.join(id(1))).unwrap();
            fs::write(swap.join(id(1)).join("new"), "work").unwrap();
        });
        let acted = swept(&world).acted;
        assert_eq!(acted.quarantined.len(), 0, "nothing more after it: {acted:?}");
        assert!(acted.latched.is_some() && acted.errors[0].message.contains("not what was inspected"), "{acted:?}");
        assert_eq!(fs::read_to_string(backing.join(id(1)).join("new")).unwrap(), "work");
        assert_eq!(manifest(&backing.join("aside")), old);
        assert!(backing.join(id(2)).exists());
        let hash = holds(&world, HoldReason::NotTheSame).observed.plan.held.unwrap().plan.unwrap();
        world.answer(AnswerKind::Dismiss, &hash).unwrap();
        if time_outs == TimeOuts::default() {
            assert_eq!(swept(&world).acted.quarantined, [id(2)]);
        } else {
            // As long as this client does not know what is there it inspects the one and would move the other.
            assert_eq!(swept(&world).acted.quarantined.len(), 0);
        }
    }
}

#[test]
fn a_mismatch_latches_over_a_plan_that_is_held_already() {
    let (mut world, control) = on_efs(6);
    world.part("limits", "{perSweep: 2, breaker: {maxOrphans: 4}}");
    let many = holds(&world, HoldReason::TooManyOrphans).observed.plan.hash;
    world.answer(AnswerKind::Approve, &many).unwrap();
    for n in 7..=12 {
        world.workspace(&id(n), 30 * DAY);
    }
    let backing = world.fuse().backing().to_owned();
    control.before(Op::Rename, &id(2), move || {
        fs::rename(backing.join(id(2)), backing.join("aside")).unwrap();
        fs::create_dir(backing.join(id(2))).unwrap();
    });
    // The first is approved and goes; the new ones are too many by themselves, and held.
    let acted = swept(&world).acted;
    assert_eq!((acted.quarantined.as_slice(), acted.latched.is_some()), ([id(1)].as_slice(), true), "{acted:?}");
    // What was approved for their number only waits from here on.
    let held = holds(&world, HoldReason::NotTheSame).observed.plan.held.unwrap().plan.unwrap();
    assert_ne!(held, many);
    world.answer(AnswerKind::Dismiss, &held).unwrap();
    let swept = swept(&world);
    assert_eq!(super::held(&swept), Some(HoldReason::TooManyOrphans));
    assert_eq!(swept.acted.quarantined, [id(3), id(4)]);
}

#[test]
fn what_is_written_to_between_check_and_rename_goes_straight_back() {
    let (world, control) = on_efs(1);
    let path = world.fuse().backing().join(id(1));
    let written = path.clone();
    control.before(Op::Rename, &id(1), move || fs::write(written.join("new"), "work").unwrap());
    assert_eq!(swept(&world).acted.quarantined.len(), 0);
    assert_eq!(fs::read_to_string(path.join("new")).unwrap(), "work");
}

#[test]
fn a_success_that_is_reported_as_an_error_is_a_success() {
    for errno in [Errno::IO, Errno::NOENT, Errno::STALE] {
        let (world, control) = on_efs(1);
        control.on(Op::Rename, &id(1)).times(1).succeed_but_answer(errno);
        let acted = swept(&world).acted;
        assert_eq!((acted.quarantined.as_slice(), acted.errors.as_slice()), ([id(1)].as_slice(), [].as_slice()));
        world.set_live(&id(1), true);
        control.on(Op::Rename, &id(1)).times(1).succeed_but_answer(errno);
        assert_eq!(swept(&world).acted.restored, [id(1)], "{errno:?}");
        assert_eq!((done(&world, Steps::Quarantine), done(&world, Steps::Restore)), (1, 1));
        assert_eq!(fs::read_to_string(world.root().join(id(1)).join("README")).unwrap(), id(1));
    }
}

#[test]
fn a_condemnation_that_is_reported_as_an_error_is_one() {
    let (world, control) = on_efs(1);
    assert_eq!(swept(&world).acted.quarantined, [id(1)]);
    world.pass(8 * DAY);
    control.on(Op::Rename, ".hygiene/quarantine/*").times(1).succeed_but_answer(Errno::IO);
    let acted = swept(&world).acted;
    assert_eq!((acted.condemned.as_slice(), acted.purged.as_slice()), ([id(1)].as_slice(), [id(1)].as_slice()));
}

#[test]
fn an_error_before_the_rename_moves_nothing() {
    for (op, errno) in
        [(Op::Getattr, Errno::IO), (Op::Rename, Errno::IO), (Op::Rename, Errno::BUSY), (Op::Mkdir, Errno::NOSPC)]
    {
        let (world, control) = on_efs(1);
        let before = manifest(&world.root());
        let glob = if op == Op::Mkdir { ".hygiene/quarantine/*".to_owned() } else { id(1) };
        // The inspection still succeeds: the fault comes with the step.
        let faulty = control.clone();
        let acted = if op == Op::Getattr {
            sweep_and(&world, move || faulty.on(op, &glob).fail(errno)).acted
        } else {
            control.on(op, &glob).fail(errno);
            swept(&world).acted
        };
        assert_eq!((acted.quarantined.len(), acted.errors.len()), (0, 1), "{op:?} {errno:?}: {acted:?}");
        control.clear();
        assert_eq!(manifest(&world.root()), before);
        assert_eq!(world.quarantined_trees().len(), 0);
    }
}

#[test]
fn one_that_cannot_be_moved_does_not_starve_the_rest() {
    let (mut world, control) = on_efs(2);
    world.part("limits", "{perSweep: 1}");
    control.on(Op::Rename, &id(1)).fail(Errno::BUSY);
    let (first, second) = (swept(&world).acted, swept(&world).acted);
    assert_eq!((first.quarantined.len(), first.errors.len()), (0, 1), "{first:?}");
    let message = &first.errors[0].message;
    assert!(message.contains("rename") && message.contains(&id(1)), "{message}");
    assert_eq!(second.quarantined, [id(2)], "{second:?}");
    control.clear();
    world.pass(DAY);
    assert_eq!(swept(&world).acted.quarantined, [id(1)]);
}

#[test]
fn a_volume_that_cannot_be_listed_or_read_is_no_empty_one() {
    let (world, control) = on_efs(2);
    control.on(Op::Readdir, "/").fail(Errno::STALE);
    holds(&world, HoldReason::SourceUnavailable);
    control.clear();
    control.on(Op::Readdir, "src").fail(Errno::IO);
    let swept_now = swept(&world);
    assert_eq!(swept_now.acted, Acted::default());
    let kept = |v: &&Verdict| matches!(v, Verdict::Keep(KeepReason::InspectionIncomplete(_)));
    assert_eq!(swept_now.observed.plan.verdicts.iter().filter(kept).count(), 2);
}

#[test]
fn a_read_only_volume_is_named_as_such() {
    let (world, control) = on_efs(1);
    let before = manifest(&world.root());
    world.spec_file();
    for op in [Op::Write, Op::Mkdir, Op::Create, Op::Rename, Op::Unlink, Op::Setattr] {
        control.on(op, "**").fail(Errno::ROFS);
    }
    let refused = world.runtime_sweep().unwrap_err().to_string();
    assert!(refused.contains("read-only"), "{refused}");
    control.clear();
    assert_eq!(manifest(&world.root()), before);
}

#[test]
fn what_another_client_wrote_is_seen_past_the_cache() {
    let (world, control) = on_efs(1);
    control.set_time_outs(stale());
    let path = world.fuse().backing().join(id(1));
    let acted = sweep_and(&world, move || fs::write(path.join("new"), "work").unwrap()).acted;
    assert_eq!(acted, Acted::default());
    assert!(world.fuse().backing().join(id(1)).join("new").exists());
}

#[test]
fn a_name_that_another_client_took_is_never_overwritten() {
    let (world, control) = on_efs(1);
    assert_eq!(swept(&world).acted.quarantined, [id(1)]);
    control.set_time_outs(stale());
    // Remembered as absent; and then it is not.
    assert!(!world.root().join(id(1)).exists());
    let taken = world.fuse().backing().join(id(1));
    fs::create_dir(&taken).unwrap();
    world.set_live(&id(1), true);
    let acted = swept(&world).acted;
    assert_eq!(acted.restored.len(), 0, "{acted:?}");
    assert_eq!(fs::read_dir(&taken).unwrap().count(), 0);
    control.set_time_outs(TimeOuts::default());
    std::thread::sleep(Duration::from_millis(10));
    fs::remove_dir(&taken).unwrap();
    let mut restored = Vec::new();
    for _ in 0..70 {
        restored = swept(&world).acted.restored;
        if !restored.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    assert_eq!(restored, [id(1)]);
}

#[test]
fn a_name_that_is_taken_right_before_the_rename_is_never_overwritten() {
    let (world, control) = on_efs(1);
    assert_eq!(swept(&world).acted.quarantined, [id(1)]);
    world.set_live(&id(1), true);
    let taken = world.fuse().backing().join(id(1));
    let theirs = taken.clone();
    // The first attempt is told that this file system knows no RENAME_NOREPLACE; the name is taken by then.
    control.before(Op::Rename, &id(1), move || fs::create_dir(theirs).unwrap());
    let acted = swept(&world).acted;
    assert!(acted.restored.is_empty() && acted.errors[0].message.contains("RestoreConflict"), "{acted:?}");
    assert_eq!(fs::read_dir(&taken).unwrap().count(), 0);
    assert_eq!(world.quarantined_trees().len(), 1);
}

#[test]
fn ages_are_by_the_file_servers_clock() {
    for days in [3, -3] {
        let (world, control) = on_efs(0);
        control.set_clock_ahead(days * 86_400);
        // Written just now by the server's clock; a wrong host's clock would call it three days old, or still to come.
        world.workspace(&id(1), 30 * DAY);
        fs::write(world.root().join(id(1)).join("src/main.rs"), "new work").unwrap();
        let swept = swept(&world);
        assert_eq!((held(&swept), swept.acted.quarantined.len()), (None, 0), "{days}: {:?}", swept.observed.plan);
        assert_eq!(world.plan().plan.victims.len(), 0);
    }
}

#[test]
fn a_lock_that_cannot_be_proved_stops_the_sweep() {
    let (world, control) = on_efs(2);
    let before = manifest(&world.root());
    world.spec_file();
    let acted = sweep_and(&world, move || control.on(Op::Fsync, "lock").fail(Errno::IO)).acted;
    assert_eq!((acted.quarantined.len(), acted.stopped), (0, true), "{acted:?}");
    world.fuse().control().clear();
    assert_eq!(manifest(&world.root()), before);
}

#[test]
fn a_file_system_that_hangs_for_a_while_is_waited_for() {
    let (world, control) = on_efs(1);
    let hang = control.on(Op::Rename, &id(1)).times(1).hang();
    let sources = world.sources();
    let released = std::thread::scope(|scope| {
        let sweep = scope.spawn(|| world.try_sweep(sources).unwrap().acted);
        hang.wait_until_reached();
        assert!(!sweep.is_finished());
        hang.release();
        sweep.join().unwrap()
    });
    assert_eq!(released.quarantined, [id(1)]);
}

#[test]
fn an_idle_sweep_reads_pages_of_the_directory_and_no_live_workspace() {
    let (world, control) = on_efs(0);
    control.set_time_outs(TimeOuts { attributes: Duration::from_secs(30), ..TimeOuts::default() });
    let counted = |range: std::ops::Range<u32>| {
        for n in range.clone() {
            fs::create_dir(world.fuse().backing().join(id(n))).unwrap();
        }
        let rows: Vec<String> = range.map(|n| format!("('{}', null)", id(n))).collect();
        world.db(&format!("insert into session values {}", rows.join(",")));
        world.spec_file();
        world.runtime_sweep().unwrap();
        control.reset_counts();
        assert_eq!(held(&world.runtime_sweep().unwrap()), None);
        let mut counts = control.counts();
        let pages = counts.remove(&Op::Readdir).unwrap_or(0);
        // The kernel sends what nobody waits for when it likes: a close of the sweep before may come after the counts began.
        counts.retain(|op, _| op.cost() != Cost::Free);
        (counts.values().sum::<u64>(), pages)
    };
    let (few, _) = counted(1_000..1_100);
    let (many, pages) = counted(2_000..5_000);
    assert_eq!(many, few, "calls other than pages of the directory");
    assert!(pages < 100, "{pages} pages for 3 100 names");
}
