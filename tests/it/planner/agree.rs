//! The planner against the oracle, and against itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use proptest::prelude::*;
use workspace_hygiene::plan::{GuardAnswer, HoldReason, KeepReason, Plan, Verdict, explain, plan};

use super::oracle::Expected;
use super::tape::in_every_world;

/// A plan in the words of the oracle.
fn told(plan: &Plan) -> Expected {
    Expected {
        held: plan.held.as_ref().map(|hold| (hold.reason.kind().word(), hold.reason.word())),
        asks: plan.held.as_ref().is_some_and(|hold| hold.plan.is_some()),
        verdicts: plan.verdicts.iter().map(Verdict::reason).collect(),
        victims: plan.victims.iter().map(|victim| victim.index).collect(),
        quarantine: (plan.quarantine.iter())
            .map(|entry| (entry.id.to_string(), (entry.decision.kind(), entry.decision.reason())))
            .collect(),
        workspaces: usize::try_from(plan.workspaces).unwrap(),
        orphans: usize::try_from(plan.orphans).unwrap(),
        inspections: plan.wanted.inspections.clone(),
        second_walks: plan.wanted.second_walks.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn the_planner_and_the_oracle_agree() {
    in_every_world(36_000, |world| {
        prop_assert_eq!(told(&world.plan()), world.expected());
        Ok(())
    });
}

#[test]
fn every_entry_has_one_verdict_and_victims_stay_within_the_limits() {
    in_every_world(2_500, |world| {
        let (plan, limits) = (world.plan(), &world.policy().limits);
        let listed = if world.down.contains(&super::world::Source::Volume) { 0 } else { world.places.len() };
        prop_assert_eq!(plan.verdicts.len(), listed);
        let moved: BTreeSet<_> = plan
            .verdicts
            .iter()
            .enumerate()
            .filter(|(_, v)| matches!(v, Verdict::Quarantine(_)))
            .map(|(i, _)| i)
            .collect();
        prop_assert_eq!(moved, plan.victims.iter().map(|v| v.index).collect::<BTreeSet<_>>());
        for victim in &plan.victims {
            prop_assert_eq!(&victim.name, &world.places[victim.index].name);
        }
        prop_assert!(plan.victims.len() as u64 <= u64::from(limits.per_sweep.min(limits.budget.directories)));
        prop_assert!(plan.victims.iter().map(|v| u128::from(v.bytes)).sum::<u128>() <= u128::from(limits.budget.bytes));
        Ok(())
    });
}

#[test]
fn the_first_guard_that_keeps_is_the_reason_that_is_told() {
    in_every_world(1_000, |world| {
        let seen = world.snapshot();
        let plan = plan(world.policy(), &seen, world.now);
        // Each explanation makes a plan of its own, so only three entries are asked about.
        let start = usize::from(world.dice[0]) % plan.verdicts.len().max(1);
        for (index, verdict) in plan.verdicts.iter().enumerate().skip(start).take(3) {
            let findings = explain(world.policy(), &seen, world.now, index);
            let first = findings.iter().find_map(|finding| match &finding.answer {
                GuardAnswer::Keeps(reason) => Some(reason),
                _ => None,
            });
            let limited = [KeepReason::PerSweepLimit, KeepReason::BudgetSpent];
            match (verdict, first) {
                (Verdict::Quarantine(_) | Verdict::Keep(KeepReason::LargerThanBudget(_)), None) => {}
                (Verdict::Keep(reason), None | Some(KeepReason::NotInspected)) if limited.contains(reason) => {}
                (Verdict::Keep(reason), Some(first)) => prop_assert_eq!(reason, first),
                (verdict, first) => prop_assert!(false, "{:?} told, {:?} explained", verdict, first),
            }
            prop_assert!(!findings.is_empty());
        }
        Ok(())
    });
}

/// Without this the properties might hold for want of cases.
#[test]
fn the_generated_worlds_reach_every_reason() {
    let counts = Mutex::new(BTreeMap::<&str, u32>::new());
    in_every_world(10_000, |world| {
        let expected = world.expected();
        let decisions = expected.quarantine.values();
        let condemned = decisions.clone().any(|(decision, _)| *decision == "Condemn");
        let more = [
            ("victims", !expected.victims.is_empty()),
            ("several victims", expected.victims.len() > 2),
            ("victims under a breaker", !expected.victims.is_empty() && expected.held.is_some()),
            ("condemned", condemned),
            ("calm", expected.held.is_none()),
        ];
        let words: BTreeSet<_> = (expected.verdicts.into_iter())
            .chain(expected.held.map(|(_, reason)| reason))
            .chain(decisions.map(|(_, reason)| *reason))
            .chain(more.into_iter().filter(|(_, applies)| *applies).map(|(word, _)| word))
            .collect();
        let mut counts = counts.lock().unwrap();
        words.into_iter().for_each(|word| *counts.entry(word).or_default() += 1);
        Ok(())
    });
    let counts = counts.into_inner().unwrap();
    println!("of 10000 worlds: {counts:?}");
    let words = "ActiveInside AwaitsSecondWalk BackOff BudgetSpent Claimed Damaged DuplicateID ForeignName FutureInside \
                 FutureTime Held InspectionIncomplete KeepFile KeepGlob KindUnknown LargerThanBudget LiveSession \
                 MountPoint MountPointInside NearMatch NestedVolume NoLiveSession NotADirectory NotInspected NotMovable \
                 NotUTF8 PerSweepLimit Reserved RestoreConflict Retention RetentionOver RootUnreadable RowUnknown \
                 SecondWalkIncomplete SessionLive Symlink TooYoung UnusableID WrittenTo";
    let holds = HoldReason::ALL.iter().map(|reason| reason.word());
    let missing: Vec<_> = words.split_whitespace().chain(holds).filter(|word| !counts.contains_key(word)).collect();
    assert!(missing.is_empty(), "no world shows {missing:?}");
    // Calm enough: a property about victims must meet them.
    let least = [("victims", 2_000), ("several victims", 300), ("victims under a breaker", 50), ("condemned", 250)];
    for (what, least) in least {
        assert!(counts[what] >= least, "{what} in {} worlds only", counts[what]);
    }
}
