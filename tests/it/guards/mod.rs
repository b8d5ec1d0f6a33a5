//! Each guard from outside: a world in which it alone keeps somebody's work, and what happens once it need not.

mod approval;
mod binding;
mod breakers;
mod clocks;
mod faults;
pub mod lock;
mod orders;
mod records;
mod rights;

use workspace_hygiene::plan::HoldReason;
use workspace_hygiene::sweep::Swept;

use crate::world::{DAY, World, id};

/// The session that is live in every world.
pub const LIVE: &str = "aaaaaaaa-0000-4000-8000-000000000000";

/// What a sweep of `world` came to.
#[track_caller]
pub fn swept(world: &World) -> Swept {
    world.try_sweep(world.sources()).unwrap()
}

/// Why the sweep was held, if it was.
pub fn held(swept: &Swept) -> Option<HoldReason> {
    swept.observed.plan.held.as_ref().map(|hold| hold.reason)
}

/// Sweeps, and makes sure that it was held for this reason and moved nothing.
#[track_caller]
pub fn holds(world: &World, reason: HoldReason) -> Swept {
    let swept = swept(world);
    assert_eq!(held(&swept), Some(reason), "{:?}", swept.observed.plan.held);
    assert_eq!(swept.acted.quarantined.len() + swept.acted.condemned.len() + swept.acted.purged.len(), 0);
    swept
}

/// A volume that no sweep has seen and that can be moved about, bound and approved.
pub fn approved_on_disk(orphans: u32) -> World {
    approve(World::fresh_on_disk(), orphans)
}

/// A volume that no sweep has seen, with one live workspace and so many orphans.
pub fn fresh(orphans: u32) -> World {
    let world = World::fresh();
    world.workspace(LIVE, 60 * DAY);
    for n in 1..=orphans {
        world.workspace(&id(n), (60 - n) * DAY);
    }
    world
}

/// The same, bound and approved by a person.
pub fn approved(orphans: u32) -> World {
    approve(World::fresh(), orphans)
}

fn approve(world: World, orphans: u32) -> World {
    world.workspace(LIVE, 60 * DAY);
    let first = holds(&world, HoldReason::AwaitsApproval);
    world.answer(workspace_hygiene::records::AnswerKind::Approve, &first.observed.plan.hash).unwrap();
    assert_eq!(held(&swept(&world)), None);
    for n in 1..=orphans {
        world.workspace(&id(n), (60 - n) * DAY);
    }
    world
}
