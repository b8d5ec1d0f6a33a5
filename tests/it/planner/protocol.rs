//! The planner runs twice: once to say what to look at, once with what was found. That must come to the same as knowing
//! everything at once.

use std::collections::BTreeMap;

use proptest::prelude::*;
use workspace_hygiene::observe::{Inspection, Reading, Snapshot, WalkOutcome};
use workspace_hygiene::plan::{Decision, KeepReason, Plan, RetainReason, Verdict, candidates, plan};

use super::tape::in_every_world;
use super::world::World;

/// The world with an answer to everything that might be asked.
fn with_all_answers(world: &World) -> World {
    let mut world = world.clone();
    let idle = |newest| WalkOutcome::Idle { newest, entries: 3, bytes: 300 };
    let found = |outcome| Inspection { started: world.now, outcome };
    for place in &mut world.places {
        let root = place.root.get_or_insert_with(|| Reading::Unavailable("it vanished".into()));
        let newest = root.complete().map_or(world.now, |root| root.modified);
        place.inspection.get_or_insert_with(|| found(idle(newest)));
    }
    for kept in &mut world.quarantine {
        let newest = kept.entry.sidecar.complete().map_or(world.now, |sidecar| sidecar.evidence.newest);
        kept.second_walk.get_or_insert_with(|| found(idle(newest)));
    }
    world
}

/// The same, but for volumes inside workspaces: that they hold the sweep is known only once a walk met one.
fn without_nested_volumes(world: &World) -> World {
    let mut world = world.clone();
    let places = world.places.iter_mut().filter_map(|place| place.inspection.as_mut());
    let quarantined = world.quarantine.iter_mut().filter_map(|kept| kept.second_walk.as_mut());
    for inspection in places.chain(quarantined) {
        if let WalkOutcome::ForeignIdentity { path } = &inspection.outcome {
            inspection.outcome = WalkOutcome::Incomplete { why: format!("{path}: Permission denied") };
        }
    }
    world
}

/// What `observe` does: roots of the candidates, then inspections in the order asked for until enough are confirmed.
fn observe(world: &World, truth: &Snapshot) -> (Snapshot, Plan) {
    let mut seen = Snapshot {
        roots: BTreeMap::new(),
        inspections: BTreeMap::new(),
        second_walks: BTreeMap::new(),
        ..truth.clone()
    };
    seen.roots = candidates(world.policy(), &seen).into_iter().map(|i| (i, truth.roots[&i].clone())).collect();
    let first = plan(world.policy(), &seen, world.now);
    let mut confirmed = 0;
    for &index in &first.wanted.inspections {
        if confirmed >= first.wanted.confirmed {
            break;
        }
        let inspection = truth.inspections[&index].clone();
        confirmed += u32::from(matches!(inspection.outcome, WalkOutcome::Idle { .. }));
        seen.inspections.insert(index, inspection);
    }
    seen.second_walks =
        first.wanted.second_walks.iter().map(|id| (id.clone(), truth.second_walks[id].clone())).collect();
    (seen, first)
}

#[test]
fn looking_only_where_the_plan_asks_comes_to_the_same_as_looking_everywhere() {
    in_every_world(1_800, |world| {
        let world = without_nested_volumes(&with_all_answers(world));
        let truth = world.snapshot();
        let all = world.plan();
        let (seen, first) = observe(&world, &truth);
        let second = plan(world.policy(), &seen, world.now);

        for earlier in [&first, &second] {
            prop_assert_eq!(&earlier.hash, &all.hash);
            prop_assert_eq!(&earlier.held, &all.held);
            prop_assert_eq!((earlier.workspaces, earlier.orphans), (all.workspaces, all.orphans));
        }
        prop_assert!(first.victims.is_empty(), "nothing goes that was not looked at");
        prop_assert!(second.wanted.inspections.iter().all(|index| !seen.inspections.contains_key(index)));

        let looked_at = all.victims.iter().filter(|victim| seen.inspections.contains_key(&victim.index));
        prop_assert_eq!(second.victims.iter().collect::<Vec<_>>(), looked_at.collect::<Vec<_>>());
        let larger = all.verdicts.iter().any(|v| matches!(v, Verdict::Keep(KeepReason::LargerThanBudget(_))));
        let no_young_idle = seen.inspections.iter().all(|(index, inspection)| {
            !matches!(inspection.outcome, WalkOutcome::Idle { .. })
                || !matches!(second.verdicts[*index], Verdict::Keep(KeepReason::ActiveInside(..)))
        });
        if !larger && no_young_idle {
            prop_assert_eq!(&second.victims, &all.victims);
        }

        for (index, (ours, theirs)) in second.verdicts.iter().zip(&all.verdicts).enumerate() {
            let not_asked = matches!(
                ours,
                Verdict::Keep(KeepReason::NotInspected | KeepReason::BudgetSpent | KeepReason::PerSweepLimit)
            );
            prop_assert!(
                ours == theirs || (not_asked && !seen.inspections.contains_key(&index)),
                "{ours:?}, {theirs:?}"
            );
        }
        prop_assert_eq!(&second.quarantine, &all.quarantine);
        let awaits = Decision::Retain(RetainReason::AwaitsSecondWalk);
        prop_assert!(second.quarantine.iter().all(|entry| entry.decision != awaits));
        Ok(())
    });
}

#[test]
fn the_same_world_gives_the_same_plan() {
    in_every_world(800, |world| {
        let (one, other) = (world.plan(), world.plan());
        prop_assert_eq!(one.hash, other.hash);
        prop_assert_eq!((one.held, one.verdicts, one.victims), (other.held, other.verdicts, other.victims));
        prop_assert_eq!((one.quarantine, one.wanted), (other.quarantine, other.wanted));
        Ok(())
    });
}

#[test]
fn roots_and_inspections_nobody_asked_for_change_nothing() {
    in_every_world(1_500, |world| {
        let seen = without_nested_volumes(world).snapshot();
        let before = plan(world.policy(), &seen, world.now);
        let asked = candidates(world.policy(), &seen);
        let mut only = seen.clone();
        only.roots.retain(|index, _| asked.binary_search(index).is_ok());
        only.inspections.retain(|index, _| asked.binary_search(index).is_ok());
        let after = plan(world.policy(), &only, world.now);
        prop_assert_eq!(before.hash, after.hash);
        prop_assert_eq!((before.held, before.verdicts, before.victims), (after.held, after.verdicts, after.victims));
        Ok(())
    });
}

#[test]
fn a_volume_that_a_walk_meets_holds_the_sweep() {
    in_every_world(1_500, |world| {
        let world = with_all_answers(world);
        let (seen, first) = observe(&world, &world.snapshot());
        let second = plan(world.policy(), &seen, world.now);
        let mut walks = seen.inspections.values().chain(seen.second_walks.values());
        if walks.any(|walk| matches!(walk.outcome, WalkOutcome::ForeignIdentity { .. })) {
            prop_assert!(first.held.is_none_or(|hold| hold.plan.is_some()), "a gate asks for no walk");
            let hold = second.held.unwrap();
            prop_assert!(hold.plan.is_some(), "it waits for a person: {:?}", hold.reason);
            prop_assert!(second.quarantine.iter().all(|entry| entry.decision != Decision::Condemn));
        } else {
            prop_assert_eq!(&second.held, &first.held);
            prop_assert_eq!(&second.hash, &first.hash);
        }
        Ok(())
    });
}
