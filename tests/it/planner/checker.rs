//! The checker passes every plan the planner makes, and names the promise that a plan tampered with would break.

use std::collections::BTreeSet;

use proptest::prelude::*;
use workspace_hygiene::names::SessionId;
use workspace_hygiene::observe::{Inspection, Reading, WalkOutcome};
use workspace_hygiene::plan::{
    Decision, HoldReason, KeepReason, Plan, QuarantineReason, RestoreReason, RetainReason, Verdict, Victim, check,
};
use workspace_hygiene::policy::Limits;
use workspace_hygiene::records::orphan_key;

use super::specs::SHAPES;
use super::tape::in_every_world;
use super::world::{Source, World};

fn promises(world: &World, plan: &Plan) -> Vec<u8> {
    check(world.policy(), &world.snapshot(), plan).iter().map(|violation| violation.promise).collect()
}

/// The plan with one more victim, which looks as sound as can be.
fn with_victim(world: &World, plan: &Plan, index: usize) -> Option<Plan> {
    let place = &world.places[index];
    let session = place.name.as_str().and_then(SHAPES[world.spec().shape].session).unwrap_or("x");
    let any_root = world.places.iter().find_map(|place| place.root.as_ref()?.complete());
    let root = place.root.as_ref().and_then(Reading::complete).or(any_root)?.clone();
    let (newest, entries, bytes) = match place.inspection {
        Some(Inspection { outcome: WalkOutcome::Idle { newest, entries, bytes }, .. }) => (newest, entries, bytes),
        _ => (root.modified, 1, 0),
    };
    let (name, session) = (place.name.clone(), SessionId::new(session));
    let mut plan = plan.clone();
    plan.verdicts[index] = Verdict::Quarantine(QuarantineReason::NoLiveSession);
    plan.victims.push(Victim { index, name, session, root, inspection_started: world.now, newest, entries, bytes });
    Some(plan)
}

/// The promise that keeps an entry for this reason; `None` where it is kept for the sake of order alone.
fn promise_of(world: &World, index: usize, reason: &KeepReason) -> Option<&'static [u8]> {
    use KeepReason as K;
    let idle = matches!(world.places[index].inspection, Some(Inspection { outcome: WalkOutcome::Idle { .. }, .. }));
    Some(match reason {
        K::Reserved | K::Symlink | K::NotADirectory | K::KindUnknown | K::MountPoint => &[5],
        K::NotUtf8 | K::ForeignName | K::UnusableId | K::DuplicateId | K::NearMatch => &[7],
        K::KeepGlob(_) | K::LiveSession | K::Claimed | K::KeepFile(_) => &[1],
        K::SourceUnavailable => &[2, 8, 13],
        K::RootUnreadable(_) => &[2],
        K::FutureTime(_) | K::TooYoung(_) | K::NotInspected => &[9],
        K::ActiveInside(..) | K::FutureInside(..) | K::MountPointInside(_) | K::NestedVolume(_) => &[9],
        K::InspectionIncomplete(_) => &[9],
        K::RowUnknown => &[3],
        K::NotMovable(_) => &[5],
        // What a breaker keeps is told as a victim nobody approved, or as the anomaly itself.
        K::Held(reason) if reason.yields_to_approval() => &[3, 4, 7, 8],
        K::Held(_) | K::PerSweepLimit | K::LargerThanBudget(_) => &[8],
        // One that fits may still wait behind a larger one.
        K::BudgetSpent if idle => return None,
        K::BudgetSpent => &[8, 9],
        K::BackOff(_) if idle => return None,
        K::BackOff(_) => &[9],
    })
}

/// The promise that a hold keeps.
fn promise_of_hold(reason: HoldReason) -> &'static [u8] {
    match reason {
        HoldReason::SourceUnavailable => &[2, 8, 13],
        HoldReason::VolumeEmpty | HoldReason::NoLiveWorkspace | HoldReason::IdentityMissing => &[4],
        HoldReason::OwnedByAnother | HoldReason::RootReplaced | HoldReason::QueryChanged => &[4],
        HoldReason::NestedVolume | HoldReason::FileSystemChanged => &[4],
        HoldReason::OtherFileSystem | HoldReason::ReplicationDestination => &[4],
        HoldReason::DatabaseChanged | HoldReason::DatabaseWentBack | HoldReason::RowsBehindVolume => &[3],
        HoldReason::RecordsDamaged => &[14],
        HoldReason::MissingRight | HoldReason::NotTheSame | HoldReason::AwaitsApproval => &[8],
        HoldReason::NearMatches | HoldReason::UnusableIds => &[7],
        HoldReason::Suspended | HoldReason::OutsideWindow | HoldReason::SpecChanged => &[11],
        HoldReason::NoCanary | HoldReason::StaleSessions | HoldReason::TooFewLiveSessions => &[3],
        HoldReason::SessionsDropped => &[3],
        HoldReason::ServiceUnhealthy | HoldReason::ServiceSuffers => &[13],
        HoldReason::TooManyOrphans | HoldReason::TooManyOrphansPercent => &[8],
    }
}

#[test]
fn the_checker_passes_what_the_planner_makes() {
    in_every_world(4_000, |world| {
        prop_assert_eq!(check(world.policy(), &world.snapshot(), &world.plan()), vec![]);
        Ok(())
    });
}

#[test]
fn a_victim_that_should_be_kept_is_told_with_the_promise_that_keeps_it() {
    in_every_world(800, |world| {
        let plan = world.plan();
        // Each is checked with the whole plan, so only some are asked about.
        let start = usize::from(world.dice[0]) % plan.verdicts.len().max(1);
        for (index, verdict) in plan.verdicts.iter().enumerate().skip(start).take(6) {
            let Verdict::Keep(reason) = verdict else { continue };
            let Some(expected) = promise_of(world, index, reason) else { continue };
            let Some(tampered) = with_victim(world, &plan, index) else { continue };
            let told = promises(world, &tampered);
            let unread: &[u8] = if world.down.is_empty() { &[] } else { &[2, 8, 13] };
            prop_assert!(told.iter().any(|p| expected.contains(p) || unread.contains(p)), "{reason:?}: {told:?}");
        }
        Ok(())
    });
}

#[test]
fn a_hold_that_was_taken_off_is_told() {
    in_every_world(1_500, |world| {
        let plan = world.plan();
        let Some(hold) = &plan.held else { return Ok(()) };
        let Some(orphan) = plan.verdicts.iter().position(|v| matches!(v, Verdict::Keep(KeepReason::Held(_)))) else {
            return Ok(());
        };
        let tampered = with_victim(world, &Plan { held: None, ..plan.clone() }, orphan).unwrap();
        let told = promises(world, &tampered);
        // Where the plan is stored its cause may be gone; and the orphan may be approved in spite of it, and held by another.
        let by_another =
            matches!(&plan.verdicts[orphan], Verdict::Keep(KeepReason::Held(reason)) if *reason != hold.reason);
        let promised = if hold.since.is_some() { &[8] } else { promise_of_hold(hold.reason) };
        prop_assert!(by_another || told.iter().any(|p| promised.contains(p)), "{:?}: {told:?}", hold.reason);
        prop_assert!(!told.is_empty());
        let still = promises(world, &with_victim(world, &plan, orphan).unwrap());
        prop_assert!(still.contains(&8) || (by_another && !still.is_empty()), "it is held");
        Ok(())
    });
}

#[test]
fn a_plan_that_acts_on_a_source_that_was_not_read_is_told() {
    in_every_world(1_000, |world| {
        let plan = world.plan();
        if plan.victims.is_empty() && plan.quarantine.iter().all(|entry| entry.decision != Decision::Condemn) {
            return Ok(());
        }
        let promised = [(Source::Volume, 2), (Source::Sessions, 2), (Source::Serving, 13), (Source::Claims, 2)];
        let promised = promised.into_iter().chain([(Source::Efs, 2)]);
        for (source, promise) in promised.chain([(Source::History, 8)]) {
            let told = promises(&World { down: BTreeSet::from([source]), ..world.clone() }, &plan);
            prop_assert!(told.contains(&promise), "{source:?}: {told:?}");
        }
        Ok(())
    });
}

#[test]
fn more_victims_than_the_limits_allow_are_told() {
    in_every_world(1_500, |world| {
        let (seen, plan) = (world.snapshot(), world.plan());
        let Some(victim) = plan.victims.last() else { return Ok(()) };
        let told = |change: &dyn Fn(&mut Limits)| {
            let mut policy = world.policy().clone();
            change(&mut policy.limits);
            check(&policy, &seen, &plan).iter().map(|violation| violation.promise).collect::<Vec<_>>()
        };
        let (count, bytes) = (u32::try_from(plan.victims.len()).unwrap(), victim.bytes);
        prop_assert!(told(&|limits| limits.per_sweep = count).is_empty());
        prop_assert_eq!(told(&|limits| limits.per_sweep = count - 1), vec![8]);
        prop_assert_eq!(told(&|limits| limits.budget.directories = count - 1), vec![8]);
        let approved = |victim: &Victim| {
            let root = victim.root.clone();
            let key = orphan_key(&victim.name, root.inode, root.changed);
            world.past.approved.iter().any(|approved| approved.contains(&key))
        };
        // What was approved does not count.
        let counts = plan.victims.iter().filter(|victim| !approved(victim)).count();
        if let Some(fewer) = u32::try_from(counts).unwrap().checked_sub(1) {
            prop_assert_eq!(told(&|limits| limits.breaker.max_orphans = fewer), vec![8]);
        }
        if bytes > 0 {
            prop_assert_eq!(told(&|limits| limits.budget.bytes = bytes - 1), vec![8]);
        }
        Ok(())
    });
}

#[test]
fn a_plan_that_says_less_than_it_sees_is_told() {
    in_every_world(1_200, |world| {
        let plan = world.plan();
        if !plan.verdicts.is_empty() {
            let mut short = plan.clone();
            short.verdicts.pop();
            prop_assert!(promises(world, &short).contains(&2));
        }
        let fewer = Plan { orphans: plan.orphans.saturating_sub(1), ..plan.clone() };
        prop_assert_eq!(promises(world, &fewer).contains(&8), plan.orphans > 0, "an orphan that is not counted");
        let Some(victim) = plan.victims.first().cloned() else { return Ok(()) };
        let tampered = |change: &dyn Fn(&mut Victim)| {
            let mut plan = plan.clone();
            change(&mut plan.victims[0]);
            promises(world, &plan)
        };
        prop_assert!(tampered(&|victim| victim.root.inode += 1).contains(&6), "another root");
        prop_assert!(tampered(&|victim| victim.index += 1).contains(&6), "another entry");
        prop_assert!(
            tampered(&|victim| victim.session = SessionId::new(format!("{} ", victim.session))).contains(&7),
            "another id"
        );
        prop_assert!(tampered(&|victim| victim.bytes += 1).contains(&8), "a smaller or larger tree than was seen");
        let mut twice = plan.clone();
        twice.victims.push(victim.clone());
        prop_assert!(promises(world, &twice).contains(&8), "the same victim twice");
        let mut unsaid = plan.clone();
        unsaid.verdicts[victim.index] = Verdict::Keep(KeepReason::LiveSession);
        prop_assert!(promises(world, &unsaid).contains(&8), "a victim whose verdict is Keep");
        let mut unmoved = plan;
        unmoved.victims.remove(0);
        prop_assert!(promises(world, &unmoved).contains(&8), "a verdict that nothing follows");
        Ok(())
    });
}

#[test]
fn a_quarantine_entry_condemned_or_restored_too_soon_is_told() {
    in_every_world(1_500, |world| {
        let plan = world.plan();
        for (index, planned) in plan.quarantine.iter().enumerate() {
            let mut tampered = plan.clone();
            tampered.quarantine[index].decision = Decision::Condemn;
            let told = promises(world, &tampered);
            match &planned.decision {
                Decision::Condemn => prop_assert!(told.is_empty()),
                Decision::Retain(RetainReason::Held(_)) => prop_assert!(told.contains(&8), "{told:?}"),
                Decision::Retain(RetainReason::Damaged(_)) => {
                    prop_assert!(told.contains(&6) || told.contains(&1), "{told:?}");
                }
                // Without the records nobody knows of a gap.
                Decision::Retain(RetainReason::Retention(_)) if world.down.contains(&Source::History) => {
                    prop_assert!(told.contains(&8), "{told:?}");
                }
                kept => prop_assert!(told.contains(&1), "{kept:?}: {told:?}"),
            }
            tampered.quarantine[index].decision = Decision::Restore(RestoreReason::SessionLive);
            let told = promises(world, &tampered);
            match &planned.decision {
                Decision::Retain(RetainReason::RestoreConflict) => prop_assert!(told.contains(&1), "over a name"),
                Decision::Retain(RetainReason::Damaged(_)) => prop_assert!(!told.is_empty(), "not as we left it"),
                _ => {}
            }
        }
        Ok(())
    });
}
