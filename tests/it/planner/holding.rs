//! Promises 3, 4, 8 and 11: what holds a sweep holds all of it, and nothing that is doubted adds to what goes.

use std::collections::BTreeSet;

use proptest::prelude::*;
use workspace_hygiene::names::EntryName;
use workspace_hygiene::observe::{Inspection, WalkOutcome};
use workspace_hygiene::plan::{ByName, Decision, HoldReason, Resolution, plan};
use workspace_hygiene::policy::Mode;

use super::past::{Bound, EVERYTHING, HELD_HASH, Past};
use super::tape::in_every_world;
use super::world::{World, victims};

/// Ways to know less of the volume, the database, the spec or the answers of people.
const DOUBTS: u8 = 17;

/// Doubts the whole of `world`; `false` where that way says nothing in this world.
fn doubt(world: &mut World, way: u8) -> bool {
    let enforce = world.spec().enforce;
    let mut bound = world.past.bound.clone().unwrap_or_else(Bound::rightly);
    match way {
        0 => bound.owner = "other/prod/collab",
        1 => bound.root = 3,
        2 => bound.database = "db-2",
        16 => bound.further_before = true,
        3 => {
            bound.same_query = false;
            world.past.bound = Some(bound.clone());
            return enforce || bound.on_volume;
        }
        4 => {
            (world.past.bound, world.past.identity_missing) = (None, true);
            return true;
        }
        5 => {
            world.past.damaged = true;
            return true;
        }
        6 => {
            world.past.held.get_or_insert("TooManyOrphans");
            return enforce;
        }
        7 => {
            world.past.approved.pop();
            return false;
        }
        8 => {
            let kept = usize::from(world.dice[2]) % 3;
            world.past.approved.iter_mut().for_each(|approved| approved.truncate(kept));
            return false;
        }
        9 => {
            world.past.confirmed = false;
            return enforce;
        }
        10 => {
            world.past.same_spec = Some(false);
            return enforce;
        }
        11 => {
            world.missing_right = true;
            return true;
        }
        12 => {
            let left = usize::from(world.dice[2]) % 4;
            world.known.iter_mut().for_each(|known| known.truncate(left));
            return false;
        }
        13 => {
            world.sample = None;
            return false;
        }
        14 => {
            let outcome = WalkOutcome::ForeignIdentity { path: "a/.hygiene/identity".into() };
            let started = world.now;
            let Some(place) = world.places.first_mut() else { return false };
            place.inspection = Some(Inspection { started, outcome });
            return true;
        }
        _ => {
            // In mode Report what is only remembered leaves the query free.
            let bound = world.past.bound.iter_mut().filter(|bound| enforce || bound.same_query);
            bound.for_each(|bound| bound.on_volume = false);
            return false;
        }
    }
    world.past.bound = Some(bound);
    true
}

/// The victims, were there no limit on how many go: with one, whoever stays makes room for the next in line.
fn unlimited(world: &World) -> BTreeSet<EntryName> {
    let mut world = World { spent: Vec::new(), ..world.clone() };
    for place in &mut world.places {
        if let Some(Inspection { outcome: WalkOutcome::Idle { bytes, .. }, .. }) = &mut place.inspection {
            *bytes = 1;
        }
    }
    let mut policy = world.policy().clone();
    (policy.limits.per_sweep, policy.limits.budget.directories) = (u32::MAX, u32::MAX);
    policy.limits.budget.bytes = u64::MAX;
    victims(&plan(&policy, &world.snapshot(), world.now)).into_iter().collect()
}

#[test]
fn more_doubt_about_the_whole_never_adds_a_victim() {
    in_every_world(2_000, |before| {
        let mut after = before.clone();
        let holds = doubt(&mut after, before.dice[1] % DOUBTS);
        let (fewer, all) = (unlimited(&after), unlimited(before));
        prop_assert!(fewer.is_subset(&all), "{:?} added", fewer.difference(&all));
        let plan = after.plan();
        let condemns = plan.quarantine.iter().any(|entry| entry.decision == Decision::Condemn);
        prop_assert!(!holds || plan.held.is_some(), "it does not hold");
        prop_assert!(!holds || !condemns);
        Ok(())
    });
}

#[test]
fn a_gate_or_a_binding_that_does_not_hold_lets_nothing_through() {
    in_every_world(2_000, |world| {
        // Whatever is approved: all of it.
        let past = Past { approved: vec![world.keys()], approved_for: Some(EVERYTHING), ..world.past.clone() };
        let world = World { past, ..world.clone() };
        let plan = world.plan();
        let Some(hold) = &plan.held else { return Ok(()) };
        let condemns = plan.quarantine.iter().any(|entry| entry.decision == Decision::Condemn);
        prop_assert!(!condemns, "{:?} condemns", hold.reason);
        prop_assert!(plan.wanted.second_walks.is_empty());
        if hold.reason.resolution() == Resolution::Approval {
            prop_assert!(hold.plan.is_some() && hold.message.contains("hygiene approve"));
        } else {
            prop_assert_eq!((plan.victims.len(), plan.wanted.inspections.len(), plan.wanted.confirmed), (0, 0, 0));
            prop_assert_eq!(&hold.plan, &None);
        }
        Ok(())
    });
}

#[test]
fn a_held_plan_latches_whatever_its_cause_does() {
    in_every_world(1_500, |world| {
        let past = Past { held: Some("SessionsDropped"), ..Past::calm() };
        let world = World { past, highest_live: None, ..world.clone() };
        let plan = world.plan();
        let gated = plan.held.as_ref().is_some_and(|hold| hold.reason.resolution() == Resolution::Itself);
        if gated || !world.spec().enforce {
            return Ok(());
        }
        let hold = plan.held.unwrap();
        prop_assert_eq!(hold.reason, HoldReason::SessionsDropped);
        prop_assert_eq!(hold.plan.as_ref().map(|hash| hash.as_str()), Some(HELD_HASH));
        prop_assert_eq!(hold.since, Some(world.now));
        prop_assert_eq!(plan.victims.len(), 0);
        Ok(())
    });
}

#[test]
fn a_sample_that_nobody_asked_for_changes_nothing() {
    in_every_world(1_500, |world| {
        let mut seen = world.snapshot();
        let live = ByName::of(world.policy(), &seen).sample_wanted(world.policy(), &seen, world.now);
        let before = plan(world.policy(), &seen, world.now);
        if live.is_empty() {
            seen.sample = None;
            let after = plan(world.policy(), &seen, world.now);
            prop_assert_eq!((before.held, before.verdicts), (after.held, after.verdicts));
        } else {
            prop_assert_eq!(live.len() as u64, before.live);
        }
        Ok(())
    });
}

/// So that what a person read in mode Report is what they approve.
#[test]
fn the_plan_of_mode_report_is_the_first_plan_that_is_held() {
    in_every_world(1_500, |world| {
        let mut world = world.clone();
        (world.past.held, world.past.confirmed) = (None, false);
        let seen = world.snapshot();
        let in_mode = |mode| {
            let mut policy = world.policy().clone();
            policy.mode = mode;
            plan(&policy, &seen, world.now)
        };
        let (report, enforce) = (in_mode(Mode::Report), in_mode(Mode::Enforce));
        prop_assert!(enforce.held.is_some(), "the first plan waits for a person");
        let Some(held) = enforce.held.and_then(|hold| hold.plan) else { return Ok(()) };
        prop_assert_eq!(&report.hash, &held);
        prop_assert_eq!(&report.hash, &enforce.hash);
        prop_assert_eq!(report.orphans, enforce.orphans);
        Ok(())
    });
}
