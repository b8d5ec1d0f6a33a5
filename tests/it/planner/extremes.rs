//! Total: whatever the numbers, there is a plan, an explanation and a message, and nothing panics.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use workspace_hygiene::observe::{LiveSample, Reading, Snapshot, Spent, WalkOutcome};
use workspace_hygiene::plan::{Verdict, candidates, check, explain, plan};
use workspace_hygiene::policy::Policy;

use super::tape::in_every_world;
use super::world::World;

const TIMES: [Timestamp; 3] = [Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH];
const LENGTHS: [Duration; 4] = [Duration::MAX, Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(86_400)];

/// The world with some of its numbers at their ends.
fn stretched(world: &World) -> (Policy, Snapshot, Timestamp) {
    let mut dice = world.dice.iter().flat_map(|byte| (0..4).map(move |n| usize::from(byte >> (n * 2) & 3))).cycle();
    let mut roll = move || dice.next().unwrap();
    let mut policy = world.policy().clone();
    policy.min_age = LENGTHS[roll()];
    policy.retention = LENGTHS[roll()];
    policy.limits.budget.period = LENGTHS[roll()];
    let sessions = Arc::make_mut(&mut policy.sessions);
    sessions.max_staleness = LENGTHS[roll()];
    let count = |n: usize| [0, 1, u32::MAX - 1, u32::MAX][n];
    let wide = |n: usize| [0, 1, u64::MAX - 1, u64::MAX][n];
    policy.limits.per_sweep = count(roll());
    policy.limits.budget.directories = count(roll());
    policy.limits.breaker.max_orphans = count(roll());
    policy.limits.breaker.max_orphan_percent = count(roll());
    policy.limits.breaker.max_session_drop_percent = count(roll());
    policy.limits.budget.bytes = wide(roll());
    sessions.minimum_live = wide(roll());
    let mut seen = world.snapshot();
    if let Reading::Complete(history) = &mut seen.history {
        history.highest_live = Some(wide(roll()));
        history.watched_since = TIMES.get(roll()).copied().or(history.watched_since);
        history.spent.extend(std::iter::repeat_n(Spent { at: Timestamp::MAX, bytes: u64::MAX }, roll()));
        history.spent.extend(std::iter::repeat_n(Spent { at: Timestamp::MIN, bytes: u64::MAX }, roll()));
    }
    seen.sample = Some(LiveSample { taken: wide(roll()), young: wide(roll()) });
    for root in seen.roots.values_mut() {
        if let (Reading::Complete(root), Some(time)) = (root, TIMES.get(roll())) {
            (root.modified, root.changed) = (*time, *time);
        }
    }
    for inspection in seen.inspections.values_mut() {
        let (time, bytes) = (TIMES.get(roll()), wide(roll()));
        if let (WalkOutcome::Idle { newest, bytes: size, entries }, Some(time)) = (&mut inspection.outcome, time) {
            (*newest, *size, *entries) = (*time, bytes, bytes);
        }
    }
    let now = TIMES.get(roll()).copied().unwrap_or(world.now);
    (policy, seen, now)
}

#[test]
fn the_planner_is_total() {
    in_every_world(2_500, |world| {
        let (policy, seen, now) = stretched(world);
        let plan = plan(&policy, &seen, now);
        candidates(&policy, &seen);
        for verdict in &plan.verdicts {
            prop_assert!(!verdict.message(&policy, now).is_empty() && !verdict.reason().is_empty());
        }
        for entry in &plan.quarantine {
            prop_assert!(!entry.decision.message(now).is_empty());
        }
        prop_assert!(explain(&policy, &seen, now, plan.verdicts.len()).is_empty());
        explain(&policy, &seen, now, 0);
        prop_assert_eq!(check(&policy, &seen, &plan), vec![]);
        Ok(())
    });
}

#[test]
fn what_is_as_young_as_a_time_can_be_stays() {
    in_every_world(2_000, |world| {
        let (mut policy, seen, now) = stretched(world);
        policy.min_age = policy.min_age.max(Duration::from_secs(1));
        for victim in plan(&policy, &seen, now).victims {
            let least = i128::try_from(policy.min_age.as_nanos()).unwrap_or(i128::MAX);
            for time in [victim.root.newest(policy.activity), victim.newest] {
                prop_assert!(now.as_nanosecond() - time.as_nanosecond() >= least, "{}", victim.name);
            }
        }
        Ok(())
    });
}

#[test]
fn nothing_below_the_root_is_a_plan_too() {
    in_every_world(500, |world| {
        let mut world = world.clone();
        world.places.clear();
        let plan = world.plan();
        prop_assert_eq!((plan.verdicts, plan.victims.len()), (Vec::<Verdict>::new(), 0));
        Ok(())
    });
}
