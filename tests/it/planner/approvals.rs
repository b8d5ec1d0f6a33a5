//! Promise 8: what a person approves goes, in the state in which it was seen, and an approval gives way for nothing else.

use std::collections::BTreeSet;

use proptest::prelude::*;
use workspace_hygiene::names::EntryName;
use workspace_hygiene::observe::{KeepFileState, Reading};
use workspace_hygiene::plan::{KeepReason, Plan, Verdict, orphan_keys, plan};
use workspace_hygiene::records::OrphanKey;

use super::oracle::plain;
use super::past::{EVERYTHING, Past};
use super::specs::SHAPES;
use super::tape::in_every_world;
use super::world::{World, later, victims};

/// The world with these approvals and no others.
fn approving(world: &World, approved: Vec<OrphanKey>) -> World {
    World {
        past: Past { approved: vec![approved], approved_for: Some(EVERYTHING), ..world.past.clone() },
        ..world.clone()
    }
}

/// The world in which nothing is approved.
fn unapproved(world: &World) -> World {
    World { past: Past { approved: Vec::new(), ..world.past.clone() }, ..world.clone() }
}

fn is_orphan(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Quarantine(_) => true,
        Verdict::Keep(reason) => reason.is_orphan(),
    }
}

/// What of a plan an approval may change.
fn acts(plan: Plan) -> impl PartialEq + std::fmt::Debug {
    (plan.hash, plan.held, plan.verdicts, plan.victims, plan.quarantine, plan.wanted)
}

#[test]
fn an_approval_lets_nothing_through_that_is_no_orphan() {
    in_every_world(2_000, |world| {
        let approving = approving(world, world.keys());
        let (without, with) = (unapproved(world).plan(), approving.plan());
        prop_assert_eq!(without.orphans, with.orphans);
        for (before, after) in without.verdicts.iter().zip(&with.verdicts) {
            prop_assert_eq!(is_orphan(before), is_orphan(after));
            prop_assert!(is_orphan(before) || before == after);
        }
        let spells = |ids: &[String], id: &str| ids.iter().any(|other| plain(other) == plain(id));
        for victim in &with.victims {
            let name = victim.name.as_str().unwrap_or_default();
            let id = (SHAPES[world.spec().shape].session)(name).unwrap_or_default();
            prop_assert!(!spells(&world.live, id), "{name} is live, or near to a live one");
            prop_assert!(!spells(world.claims.as_deref().unwrap_or_default(), id), "{name} is claimed");
            let pinned = victim.root.keep_file == KeepFileState::Pins && world.spec().keep_files;
            prop_assert!(!pinned, "{name} is pinned");
            let age = world.now.as_nanosecond() - victim.root.modified.as_nanosecond();
            let least = i128::from(world.spec().min_age_s) * super::world::SECOND;
            prop_assert!(age >= least, "{name} is young");
            prop_assert!(victim.root.immovable.is_none(), "{name} cannot be moved");
        }
        Ok(())
    });
}

#[test]
fn an_approval_of_nothing_that_is_there_changes_nothing() {
    in_every_world(1_000, |world| {
        let none = acts(unapproved(world).plan());
        prop_assert_eq!(&none, &acts(approving(world, Vec::new()).plan()));
        let changed = |change: &dyn Fn(&mut OrphanKey)| {
            let mut keys = world.keys();
            keys.iter_mut().for_each(change);
            keys.sort();
            acts(approving(world, keys).plan())
        };
        let other = |key: &OrphanKey| later(key.changed, if key.changed.as_nanosecond() > 0 { -1 } else { 1 });
        prop_assert_eq!(&none, &changed(&|key| key.inode += 1_000), "another directory of that name");
        prop_assert_eq!(&none, &changed(&|key| key.changed = other(key)), "a root that was touched since");
        prop_assert_eq!(&none, &changed(&|key| key.name.push_str(".old")), "another name");
        Ok(())
    });
}

#[test]
fn under_a_breaker_only_what_was_approved_goes() {
    in_every_world(2_500, |world| {
        let plan = world.plan();
        let Some(hold) = &plan.held else { return Ok(()) };
        let approved: BTreeSet<_> = world.past.approved.iter().flatten().collect();
        for victim in &plan.victims {
            let (name, inode, changed) = (victim.name.to_string(), victim.root.inode, victim.root.changed);
            prop_assert!(approved.contains(&OrphanKey { name, inode, changed }), "{:?}", hold.reason);
        }
        Ok(())
    });
}

#[test]
fn a_plan_approved_in_whole_goes_as_if_nothing_held() {
    in_every_world(1_500, |world| {
        let first = world.plan();
        let seen = world.snapshot();
        let mut approved = approving(world, orphan_keys(&seen, &first));
        approved.past.held = None;
        let free = approved.plan();
        prop_assert_eq!(orphan_keys(&seen, &first).len() as u64, first.orphans);
        approved.past.held = Some("TooManyOrphans");
        let held = approved.plan();
        if free.held.is_none() && world.spec().enforce {
            prop_assert!(held.held.is_some());
            prop_assert_eq!(&held.victims, &free.victims);
            prop_assert_eq!(&held.verdicts, &free.verdicts);
        }
        // Approved orphans do not count, so no number of them trips a breaker.
        let mut policy = world.policy().clone();
        (policy.limits.breaker.max_orphans, policy.limits.breaker.max_orphan_percent) = (0, 0);
        let strict = plan(&policy, &approved.snapshot(), world.now);
        prop_assert_eq!(strict.held, held.held);
        Ok(())
    });
}

#[test]
fn an_orphan_whose_row_is_unknown_goes_only_when_it_is_approved() {
    in_every_world(1_500, |world| {
        let world = World { known: Some(Vec::new()), ..unapproved(world) };
        prop_assert_eq!(world.plan().victims, vec![]);
        let keys = world.keys();
        let Some(key) = keys.get(usize::from(world.dice[0]).checked_rem(keys.len()).unwrap_or(0)).cloned() else {
            return Ok(());
        };
        let name = EntryName::new(key.name.clone());
        let plan = approving(&world, vec![key]).plan();
        prop_assert!(victims(&plan).iter().all(|victim| *victim == name));
        let place = world.places.iter().position(|place| place.name == name);
        let verdict = place.and_then(|index| plan.verdicts.get(index));
        prop_assert_ne!(verdict, Some(&Verdict::Keep(KeepReason::RowUnknown)));
        Ok(())
    });
}

#[test]
fn a_root_that_was_read_again_and_differs_is_approved_no_more() {
    in_every_world(1_500, |world| {
        let mut world = approving(world, world.keys());
        world.past.held = Some("TooManyOrphans");
        let before = world.plan();
        let Some(victim) = before.victims.first().filter(|_| world.spec().enforce) else { return Ok(()) };
        let Some(Reading::Complete(root)) = &mut world.places[victim.index].root else { return Ok(()) };
        match world.dice[0] % 2 {
            0 => root.inode += 1_000,
            // The first moment of all has none before it.
            _ => root.changed = later(root.changed, if root.changed.as_nanosecond() <= 0 { 1 } else { -1 }),
        }
        prop_assert!(!victims(&world.plan()).contains(&victim.name));
        Ok(())
    });
}
