//! Promise 8: a plan's hash stands for the resource, the volume, the breaker and all orphans, and for nothing else.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use workspace_hygiene::names::{EntryName, PlanHash};
use workspace_hygiene::observe::{Inspection, Reading, WalkOutcome};
use workspace_hygiene::plan::{HoldReason, KeepReason, Plan, Resolution, Verdict, plan};
use workspace_hygiene::policy::{Policy, ResourceName};

use super::past::{Bound, Past};
use super::tape::in_every_world;
use super::world::{World, later};

fn orphans(plan: &Plan) -> Vec<usize> {
    let is_orphan = |verdict: &Verdict| match verdict {
        Verdict::Quarantine(_) => true,
        Verdict::Keep(reason) => reason.is_orphan(),
    };
    (0..plan.verdicts.len()).filter(|i| is_orphan(&plan.verdicts[*i])).collect()
}

/// The breaker that is part of the hash: an anomaly of the plan. That nobody agreed to the volume yet is none.
fn breaker(plan: &Plan) -> Option<&'static str> {
    let reason = plan.held.as_ref().map(|hold| hold.reason)?;
    (reason.resolution() == Resolution::Approval && reason != HoldReason::AwaitsApproval).then(|| reason.word())
}

fn with_root(
    world: &World,
    index: usize,
    change: impl FnOnce(&mut workspace_hygiene::observe::DirectoryFacts),
) -> PlanHash {
    let mut world = world.clone();
    let Some(Reading::Complete(root)) = &mut world.places[index].root else {
        unreachable!("an orphan's root was read")
    };
    change(root);
    world.plan().hash
}

#[test]
fn the_hash_changes_with_each_orphan_and_not_with_what_is_kept() {
    in_every_world(600, |world| {
        let before = world.plan();
        let orphans = orphans(&before);
        prop_assert_eq!(orphans.len() as u64, before.orphans);
        prop_assert_eq!(before.hash.as_str().len(), 32);
        if let Some(&orphan) = orphans.get(usize::from(world.dice[0]).checked_rem(orphans.len()).unwrap_or(0)) {
            prop_assert_ne!(&with_root(world, orphan, |root| root.inode += 1), &before.hash);
            if world.spec().any_activity {
                let other = |time: Timestamp| later(time, if time == Timestamp::MIN { 1 } else { -1 });
                let changed = with_root(world, orphan, |root| root.changed = other(root.changed));
                prop_assert_ne!(&changed, &before.hash);
            }
            let mut renamed = world.clone();
            let name = renamed.places[orphan].name.to_string();
            renamed.places[orphan].name = EntryName::new(format!("{name}f"));
            prop_assert_ne!(&renamed.plan().hash, &before.hash);
            let mut inspected = world.clone();
            let outcome = WalkOutcome::Incomplete { why: "x".into() };
            inspected.places[orphan].inspection = Some(Inspection { started: world.now, outcome });
            let after = inspected.plan();
            let same = breaker(&after) == breaker(&before);
            prop_assert!(!same || after.hash == before.hash, "an inspection is not what a person approved");
        }
        let kept = (0..before.verdicts.len()).filter(|i| !orphans.contains(i));
        for index in kept.take(3) {
            let mut changed = world.clone();
            if let Some(Reading::Complete(root)) = &mut changed.places[index].root {
                root.inode += 1;
                root.device = (9, 9);
                root.modified = later(root.modified, 1);
            }
            changed.places[index].inspection = None;
            let after = changed.plan();
            let same = breaker(&after) == breaker(&before) && after.orphans == before.orphans;
            prop_assert!(!same || after.hash == before.hash, "{} is kept", world.places[index].name);
        }
        Ok(())
    });
}

#[test]
fn the_hash_changes_with_the_resource_the_volume_and_the_breaker() {
    in_every_world(700, |world| {
        let (seen, before) = (world.snapshot(), world.plan());
        let named = |namespace: &str, name: &str| {
            let resource = ResourceName::new(namespace, name);
            plan(&Policy { resource, ..world.policy().clone() }, &seen, world.now).hash
        };
        let (namespace, name) = (&world.policy().resource.namespace, &world.policy().resource.name);
        prop_assert_eq!(&named(namespace, name), &before.hash);
        prop_assert_ne!(&named(namespace, &format!("{name}x")), &before.hash);
        prop_assert_ne!(&named(&format!("{namespace}x"), name), &before.hash);
        prop_assert_ne!(&named("pro", "dcollab"), &before.hash, "fields must not run together");
        let mut other = seen.clone();
        if let Reading::Complete(volume) = &mut other.volume {
            volume.identity.push('x');
            prop_assert_ne!(&plan(world.policy(), &other, world.now).hash, &before.hash);
        }
        let mut policy = world.policy().clone();
        policy.limits.breaker.max_orphans = 0;
        let after = plan(&policy, &seen, world.now);
        prop_assert_eq!(after.hash == before.hash, breaker(&after) == breaker(&before));
        Ok(())
    });
}

#[test]
fn the_hash_does_not_change_with_the_time_of_day() {
    in_every_world(1_500, |world| {
        let (seen, before) = (world.snapshot(), world.plan());
        let later: Timestamp = world.now + SignedDuration::from_secs(i64::from(world.dice[0]) * 60);
        let after = plan(world.policy(), &seen, later);
        let same = orphans(&after) == orphans(&before) && breaker(&after) == breaker(&before);
        prop_assert!(!same || after.hash == before.hash);
        // A gate is not in it either: what it holds back now is the same plan later.
        let mut policy = world.policy().clone();
        policy.suspend = true;
        let held = plan(&policy, &seen, world.now);
        prop_assert!(breaker(&before).is_some() || held.hash == before.hash);
        prop_assert!(held.verdicts.iter().all(|v| *v != Verdict::Keep(KeepReason::NotInspected)));
        Ok(())
    });
}

#[test]
fn the_hash_does_not_change_with_the_records_of_the_volume() {
    in_every_world(600, |world| {
        let before = world.plan();
        let changed = |change: &dyn Fn(&mut Past)| {
            let mut world = world.clone();
            change(&mut world.past);
            let after = world.plan();
            (breaker(&after) != breaker(&before), after.hash)
        };
        let ways: [&dyn Fn(&mut Past); 6] = [
            &|past| past.bound = past.bound.take().map(|bound| Bound { id: "id-3", ..bound }),
            &|past| past.bound = past.bound.take().map(|bound| Bound { owner: "other/prod/collab", ..bound }),
            &|past| past.approved.clear(),
            &|past| past.approved = vec![world.keys()],
            &|past| past.confirmed = !past.confirmed,
            &|past| past.same_spec = Some(false),
        ];
        for (way, change) in ways.into_iter().enumerate() {
            let (another_breaker, hash) = changed(change);
            prop_assert!(another_breaker || hash == before.hash, "way {way}");
        }
        Ok(())
    });
}
