//! Promise 2: unknown keeps.

use std::collections::BTreeSet;

use proptest::prelude::*;
use workspace_hygiene::plan::{Decision, HoldReason, RestoreReason, candidates};

use super::tape::in_every_world;
use super::world::{SOURCES, Source, World};

fn nothing_goes(world: &World) -> Result<(), TestCaseError> {
    let plan = world.plan();
    prop_assert!(plan.victims.is_empty(), "a victim with {:?} unavailable", world.down);
    prop_assert!(plan.quarantine.iter().all(|entry| entry.decision != Decision::Condemn));
    prop_assert_eq!(plan.held.map(|hold| hold.reason), Some(HoldReason::SourceUnavailable));
    prop_assert_eq!((plan.wanted.inspections.len(), plan.wanted.confirmed), (0, 0));
    prop_assert!(plan.wanted.second_walks.is_empty());
    prop_assert!(candidates(world.policy(), &world.snapshot()).is_empty());
    Ok(())
}

#[test]
fn with_any_one_source_unavailable_nothing_goes() {
    in_every_world(700, |world| {
        for source in SOURCES {
            nothing_goes(&World { down: BTreeSet::from([source]), ..world.clone() })?;
        }
        Ok(())
    });
}

#[test]
fn with_several_sources_unavailable_nothing_goes() {
    in_every_world(1_500, |world| {
        let down = SOURCES.into_iter().enumerate().filter(|(bit, _)| (world.dice[0] % 63 + 1) >> bit & 1 == 1);
        nothing_goes(&World { down: down.map(|(_, source)| source).collect(), ..world.clone() })
    });
}

#[test]
fn a_row_that_is_back_restores_whatever_else_is_unavailable() {
    in_every_world(1_500, |world| {
        let others = [Source::Serving, Source::Claims, Source::History];
        let down = others.into_iter().enumerate().filter(|(bit, _)| world.dice[0] >> bit & 1 == 1);
        let mut world = World { down: down.map(|(_, source)| source).collect(), ..world.clone() };
        let Some(kept) = world.quarantine.first().cloned() else { return Ok(()) };
        let Some(sidecar) = kept.entry.sidecar.complete() else { return Ok(()) };
        world.live.push(sidecar.session.as_str().to_uppercase());
        world.quarantine.truncate(1);
        let decision = world.plan().quarantine.remove(0).decision;
        let ours = kept.entry.journalled && kept.entry.tree == Some(sidecar.inode);
        if ours && !kept.entry.name_taken {
            prop_assert_eq!(decision, Decision::Restore(RestoreReason::SessionLive));
        } else {
            prop_assert!(matches!(decision, Decision::Retain(_)));
        }
        Ok(())
    });
}
