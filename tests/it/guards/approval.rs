//! Promise 8: breakers latch, and a person lets exactly one plan through.

use std::fs;

use workspace_hygiene::journal::Event;
use workspace_hygiene::names::PlanHash;
use workspace_hygiene::plan::{HoldReason, KeepReason, Verdict};
use workspace_hygiene::records::AnswerKind;
use workspace_hygiene::sweep::SweepError;

use super::{approved, fresh, held, holds, swept};
use crate::world::{DAY, World, id};

/// Six orphans where four are too many.
fn too_many() -> World {
    let mut world = approved(6);
    world.part("limits", "{perSweep: 2, breaker: {maxOrphans: 4}}");
    world
}

#[test]
fn a_breaker_latches_until_a_person_says_something() {
    let world = too_many();
    let first = holds(&world, HoldReason::TooManyOrphans);
    let hash = first.observed.plan.hash.clone();
    // The anomaly is over, the hold is not.
    for n in 2..=6 {
        world.set_live(&id(n), true);
    }
    let again = holds(&world, HoldReason::TooManyOrphans);
    assert_eq!(again.observed.plan.held.unwrap().plan, Some(hash.clone()));
    let stored = world.held().unwrap();
    assert_eq!((stored.hash, stored.orphans.len()), (hash.clone(), 6));
    world.answer(AnswerKind::Dismiss, &hash).unwrap();
    assert_eq!(swept(&world).acted.quarantined, [id(1)]);
    assert_eq!(world.held(), None);
}

#[test]
fn what_is_approved_goes_over_several_sweeps_and_nothing_else_does() {
    let world = too_many();
    let hash = holds(&world, HoldReason::TooManyOrphans).observed.plan.hash;
    world.answer(AnswerKind::Approve, &hash).unwrap();
    for n in 7..=12 {
        world.workspace(&id(n), 70 * DAY);
    }
    let mut gone = Vec::new();
    for _ in 0..3 {
        let swept = swept(&world);
        assert_eq!(held(&swept), Some(HoldReason::TooManyOrphans), "the new ones are too many by themselves");
        assert_eq!(swept.acted.quarantined.len(), 2);
        gone.extend(swept.acted.quarantined);
    }
    assert_eq!(gone, (1..=6).map(id).collect::<Vec<_>>());
    assert_eq!(swept(&world).acted.quarantined.len(), 0);
}

#[test]
fn only_what_is_not_approved_counts() {
    let world = too_many();
    let hash = holds(&world, HoldReason::TooManyOrphans).observed.plan.hash;
    world.answer(AnswerKind::Approve, &hash).unwrap();
    world.workspace(&id(7), 20 * DAY);
    let swept = swept(&world);
    assert_eq!((held(&swept), swept.observed.plan.orphans), (None, 7));
}

#[test]
fn what_changed_since_it_was_approved_drops_out() {
    let world = too_many();
    let hash = holds(&world, HoldReason::TooManyOrphans).observed.plan.hash;
    world.answer(AnswerKind::Approve, &hash).unwrap();
    // Another directory of that name, as old as the first.
    fs::remove_dir_all(world.root().join(id(1))).unwrap();
    world.workspace(&id(1), 65 * DAY);
    world.set_live(&id(2), true);
    for n in 7..=12 {
        world.workspace(&id(n), 70 * DAY);
    }
    let gone: Vec<_> = (0..4).flat_map(|_| swept(&world).acted.quarantined).collect();
    assert_eq!(gone, (3..=6).map(id).collect::<Vec<_>>());
}

#[test]
fn each_approved_orphan_is_still_asked_about() {
    let world = too_many();
    let hash = holds(&world, HoldReason::TooManyOrphans).observed.plan.hash;
    world.answer(AnswerKind::Approve, &hash).unwrap();
    world.set_live(&id(1), true);
    fs::write(world.root().join(id(2)).join(".hygiene-keep"), "").unwrap();
    let gone: Vec<_> = (0..4).flat_map(|_| swept(&world).acted.quarantined).collect();
    assert_eq!(gone, (3..=6).map(id).collect::<Vec<_>>());
}

#[test]
fn a_gate_holds_what_is_approved_too() {
    let mut world = too_many();
    let hash = holds(&world, HoldReason::TooManyOrphans).observed.plan.hash;
    world.answer(AnswerKind::Approve, &hash).unwrap();
    world.part("suspend", "true");
    let held = holds(&world, HoldReason::Suspended).observed.plan;
    let kept = Verdict::Keep(KeepReason::Held(HoldReason::Suspended));
    assert_eq!(held.verdicts.iter().filter(|verdict| **verdict == kept).count(), 6, "{:?}", held.verdicts);
    world.part("suspend", "false");
    assert_eq!(swept(&world).acted.quarantined.len(), 2);
}

#[test]
fn another_anomaly_holds_what_is_approved_too() {
    let world = too_many();
    let hash = holds(&world, HoldReason::TooManyOrphans).observed.plan.hash;
    world.answer(AnswerKind::Approve, &hash).unwrap();
    // Now the rows lag behind the volume: what the database says of the approved ones is not to be believed either.
    for n in 20..30 {
        world.workspace(&id(n), std::time::Duration::from_secs(3_600));
    }
    let behind = holds(&world, HoldReason::RowsBehindVolume).observed.plan.hash;
    world.answer(AnswerKind::Approve, &behind).unwrap();
    assert_eq!(swept(&world).acted.quarantined, [id(1), id(2)], "in spite of that, says a person");
}

#[test]
fn a_plan_seen_in_report_mode_can_be_approved_in_advance() {
    let mut world = fresh(3);
    world.part("mode", "Report");
    let hash = swept(&world).observed.plan.hash;
    let answered = world.answer(AnswerKind::Approve, &hash).unwrap();
    assert!(!answered.on_volume && !world.root().join(".hygiene").exists());
    world.part("mode", "Enforce");
    let first = swept(&world);
    assert_eq!(first.acted.quarantined, [id(1), id(2), id(3)], "{:?}", first.observed.plan);
    // Taken over once: an orphan of the same name later is not approved by it.
    assert_eq!(fs::read_dir(world.path("state")).unwrap().count(), 1);
    let left = fs::read_dir(fs::read_dir(world.path("state")).unwrap().next().unwrap().unwrap().path().join("held"));
    assert_eq!(left.unwrap().count(), 0);
}

#[test]
fn an_approval_can_be_taken_back() {
    let world = too_many();
    let hash = holds(&world, HoldReason::TooManyOrphans).observed.plan.hash;
    world.answer(AnswerKind::Approve, &hash).unwrap();
    world.answer(AnswerKind::Dismiss, &hash).unwrap();
    holds(&world, HoldReason::TooManyOrphans);
}

#[test]
fn what_another_owner_says_is_no_answer_here() {
    let mut world = too_many();
    world.name = "another";
    let theirs = holds(&world, HoldReason::OwnedByAnother).observed.plan.hash;
    assert!(matches!(world.answer(AnswerKind::Approve, &theirs), Err(SweepError::NoSuchPlan { .. })));
    world.name = "test";
    holds(&world, HoldReason::TooManyOrphans);
}

#[test]
fn an_approval_in_report_mode_is_of_the_query_it_was_given_for() {
    let mut world = fresh(2);
    world.part("mode", "Report");
    let hash = swept(&world).observed.plan.hash;
    world.answer(AnswerKind::Approve, &hash).unwrap();
    world.part("workspaces", "{pattern: '^(?<session>[0-9A-Za-z-]{30,36})$', activity: Modified}");
    swept(&world);
    world.part("mode", "Enforce");
    holds(&world, HoldReason::AwaitsApproval);
}

#[test]
fn a_wrong_hash_says_which_plans_there_are() {
    let world = too_many();
    let hash = holds(&world, HoldReason::TooManyOrphans).observed.plan.hash;
    let wrong = PlanHash::new("0".repeat(32));
    let error = world.answer(AnswerKind::Approve, &wrong).unwrap_err();
    assert!(matches!(error, SweepError::NoSuchPlan { .. }) && error.to_string().contains(hash.as_str()), "{error}");
    assert!(world.answer(AnswerKind::Dismiss, &wrong).is_err());
    holds(&world, HoldReason::TooManyOrphans);
    let quiet = approved(1);
    assert!(matches!(quiet.answer(AnswerKind::Dismiss, &wrong), Err(SweepError::NothingHeld)));
}

#[test]
fn a_plan_that_a_gate_holds_cannot_be_approved() {
    let mut world = fresh(1);
    world.part("mode", "Report");
    world.db("update session set deleted_at = '2026-01-01'");
    let hash = swept(&world).observed.plan.hash;
    assert!(matches!(world.answer(AnswerKind::Approve, &hash), Err(SweepError::NoSuchPlan { .. })));
}

#[test]
fn restores_go_on_while_a_plan_is_held() {
    let mut world = approved(1);
    assert_eq!(swept(&world).acted.quarantined, [id(1)]);
    for n in 2..=7 {
        world.workspace(&id(n), 30 * DAY);
    }
    world.part("limits", "{breaker: {maxOrphans: 4}}");
    holds(&world, HoldReason::TooManyOrphans);
    world.set_live(&id(1), true);
    assert_eq!(holds(&world, HoldReason::TooManyOrphans).acted.restored, [id(1)]);
}

#[test]
fn who_approved_and_who_dismissed_is_in_the_journal() {
    let world = too_many();
    let hash = holds(&world, HoldReason::TooManyOrphans).observed.plan.hash;
    world.answer(AnswerKind::Approve, &hash).unwrap();
    swept(&world);
    let records = world.listed().records;
    let said = |wanted: fn(&Event) -> bool| records.iter().filter(|record| wanted(&record.event)).count();
    assert_eq!(said(|event| matches!(event, Event::Held(_))), 2, "the first plan for the volume, and this one");
    let by_us = |event: &Event| matches!(event, Event::Approved(remark) if remark.why.contains("by test"));
    assert_eq!(said(by_us), 2);
    assert_eq!(said(|event| matches!(event, Event::Bound(_))), 1);
}
