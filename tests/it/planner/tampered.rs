//! The checker against a plan of yesterday: what was planned while all was well is carried to a world that is not well, and
//! each thing that is wrong with it is told.

use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::prelude::*;
use workspace_hygiene::observe::{Inspection, Reading, WalkOutcome};
use workspace_hygiene::plan::{Decision, Plan, check};

use super::past::{Bound, Past};
use super::tape::in_every_world;
use super::world::World;

/// What goes wrong with a world in which `Plan` was made: the promise, what is told of it, whether it concerns a condemned
/// entry too, and the change.
type Wrong = (u8, &'static str, bool, fn(&mut World, &Plan));

fn bound(world: &mut World, change: fn(&mut Bound)) {
    let mut bound = Bound::rightly();
    change(&mut bound);
    world.past.bound = Some(bound);
}

fn first_victim(world: &mut World, plan: &Plan, change: fn(&mut super::world::Place)) {
    plan.victims.iter().take(1).for_each(|victim| change(&mut world.places[victim.index]));
}

const WRONGS: [Wrong; 20] = [
    (14, "our records are damaged", true, |world, _| world.past.damaged = true),
    (4, "the volume's identity is gone", true, |world, _| world.past.identity_missing = true),
    (4, "the volume is empty", true, |world, _| world.places.clear()),
    (8, "we may not write to the volume", true, |world, _| world.missing_right = true),
    (11, "the spec changed", true, |world, _| world.past.same_spec = Some(false)),
    (4, "another resource owns the volume", true, |world, _| bound(world, |bound| bound.owner = "other/prod/collab")),
    (4, "the root is another", true, |world, _| bound(world, |bound| bound.root = 3)),
    (3, "the database is another", true, |world, _| bound(world, |bound| bound.database = "db-2")),
    (3, "the database is an older copy", true, |world, _| bound(world, |bound| bound.further_before = true)),
    (4, "pattern or liveQuery changed", true, |world, _| bound(world, |bound| bound.same_query = false)),
    (8, "a plan waits for a person", true, |world, _| world.past.held = Some("SessionsDropped")),
    (8, "nobody has approved a plan yet", true, |world, _| world.past.confirmed = false),
    (3, "the number of live sessions fell", true, |world, _| world.highest_live = Some(1_000_000)),
    (7, "too many unusable ids", true, |world, _| world.live.extend((0..9).map(|n| format!("a/{n}")))),
    (3, "the rows lag behind the volume", true, |world, _| world.sample = None),
    (4, "another volume is inside a workspace", true, |world, _| {
        let outcome = WalkOutcome::ForeignIdentity { path: "a".into() };
        let started = world.now;
        world.places.iter_mut().take(1).for_each(|place| {
            place.inspection = Some(Inspection { started, outcome: outcome.clone() });
        });
    }),
    (3, "the database does not know its id, and nobody approved it", false, |world, _| {
        world.known = Some(Vec::new());
    }),
    (5, "we may not move it", false, |world, plan| {
        first_victim(world, plan, |place| {
            if let Some(Reading::Complete(root)) = &mut place.root {
                root.immovable = Some("it is append-only".into());
            }
        });
    }),
    (8, "there are too many orphans", true, |world, _| world.case = strictest()),
    (1, "its retention began again after a gap", true, |world, _| world.past.watched_since = Some(world.now)),
];

/// The spec of shape 0 that allows no orphan at all and differs in nothing else that matters here.
fn strictest() -> usize {
    let cases = &super::specs::CASES;
    cases.iter().position(|case| case.spec.max_orphans == 0 && case.spec.shape == 0 && case.spec.enforce).unwrap()
}

#[test]
fn whatever_went_wrong_since_the_plan_was_made_is_told() {
    let told = Mutex::new(BTreeMap::<&str, u32>::new());
    in_every_world(2_000, |world| {
        let past = Past { watched_since: world.past.watched_since, ..Past::calm() };
        let mut world = World { past, ..world.clone() };
        if world.dice[3] > 200 {
            world.add_young(5);
            world.list();
            world.sample = Some((1, 1_000));
        }
        let plan = world.plan();
        let condemns = plan.quarantine.iter().any(|entry| entry.decision == Decision::Condemn);
        if plan.held.is_some() || !world.spec().enforce || (plan.victims.is_empty() && !condemns) {
            return Ok(());
        }
        prop_assert_eq!(check(world.policy(), &world.snapshot(), &plan), vec![]);
        for (promise, what, of_condemned, change) in &WRONGS {
            let mut wrong = world.clone();
            change(&mut wrong, &plan);
            let found = check(wrong.policy(), &wrong.snapshot(), &plan);
            let count = found.iter().filter(|violation| violation.what == *what).count();
            let promised = found.iter().filter(|v| v.what == *what).all(|violation| violation.promise == *promise);
            prop_assert!(promised, "{what}: {found:?}");
            // Some of them need more than any plan has: orphans, young ones, a limit, or something due.
            let rare =
                ["there are too many orphans", "the rows lag behind the volume", "the number of live sessions fell"];
            let always = !rare.contains(what) && *promise != 1 && (!plan.victims.is_empty() || *of_condemned);
            prop_assert!(!always || count > 0, "{what} is not told");
            *told.lock().unwrap().entry(what).or_default() += u32::from(count > 0);
        }
        Ok(())
    });
    let told = told.into_inner().unwrap();
    for (_, what, ..) in &WRONGS {
        assert!(told.get(what).is_some_and(|count| *count >= 5), "{what}: {told:?}");
    }
}
