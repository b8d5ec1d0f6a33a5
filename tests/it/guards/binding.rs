//! Promise 4: the right volume, bound to one resource, one database and one spec.

use std::fs;

use workspace_hygiene::fsio::Dir;
use workspace_hygiene::plan::HoldReason;
use workspace_hygiene::records::{AnswerKind, Identity, Records};
use workspace_hygiene::sweep::SweepError;

use super::{LIVE, approved, approved_on_disk, fresh, held, holds, swept};
use crate::world::{DAY, World, id, manifest};

fn identity(world: &World) -> Option<Identity> {
    let dir = Dir::open_root(&world.root().join(".hygiene")).ok()?;
    Records::read(Some(&dir), None).unwrap().identity
}

#[test]
fn the_first_enforce_binds_the_volume_and_waits_for_a_person() {
    let world = fresh(2);
    let before = manifest(&world.root());
    let first = holds(&world, HoldReason::AwaitsApproval);
    assert_eq!(manifest(&world.root()), before);
    let bound = identity(&world).unwrap();
    assert_eq!((bound.owner.as_str(), bound.approved), ("local/default/test", false));
    let hold = first.observed.plan.held.unwrap();
    let commands = format!("hygiene approve -f SPEC {}", hold.plan.as_ref().unwrap());
    assert!(hold.message.contains(&commands), "{}", hold.message);
    holds(&world, HoldReason::AwaitsApproval);
    world.answer(AnswerKind::Approve, &first.observed.plan.hash).unwrap();
    assert_eq!(swept(&world).acted.quarantined, [id(1), id(2)]);
    assert!(identity(&world).unwrap().approved);
    // From then on no plan waits for anybody.
    world.workspace(&id(3), 30 * DAY);
    assert_eq!(swept(&world).acted.quarantined, [id(3)]);
}

#[test]
fn a_volume_without_the_workspace_of_a_live_session_is_not_bound() {
    let world = World::fresh();
    world.workspace(&id(1), 60 * DAY);
    holds(&world, HoldReason::NoLiveWorkspace);
    assert!(!world.root().join(".hygiene").exists());
    world.workspace(LIVE, 60 * DAY);
    holds(&world, HoldReason::AwaitsApproval);
}

#[test]
fn an_unmounted_volume_is_not_an_empty_one() {
    let world = approved_on_disk(1);
    let aside = world.path("aside");
    fs::rename(world.root(), &aside).unwrap();
    fs::create_dir(world.root()).unwrap();
    holds(&world, HoldReason::VolumeEmpty);
    assert_eq!(fs::read_dir(world.root()).unwrap().count(), 0);
    fs::remove_dir(world.root()).unwrap();
    holds(&world, HoldReason::SourceUnavailable);
    fs::rename(aside, world.root()).unwrap();
    assert_eq!(swept(&world).acted.quarantined, [id(1)]);
}

#[test]
fn a_copy_of_the_volume_is_not_the_volume() {
    let world = approved_on_disk(1);
    let aside = world.path("aside");
    fs::rename(world.root(), &aside).unwrap();
    let copied = std::process::Command::new("cp").arg("-a").args([&aside, &world.root()]).status().unwrap();
    assert!(copied.success());
    holds(&world, HoldReason::RootReplaced);
    world.adopt().unwrap();
    holds(&world, HoldReason::AwaitsApproval);
}

#[test]
fn another_clusters_volume_is_left_alone() {
    let mut world = approved(2);
    world.set_live(&id(1), true);
    world.name = "another";
    world.part("limits", "{perSweep: 5}");
    let before = manifest(&world.root());
    let swept = holds(&world, HoldReason::OwnedByAnother);
    let message = &swept.observed.plan.held.unwrap().message;
    assert!(message.contains("local/default/test") && message.contains("hygiene adopt -f SPEC"), "{message}");
    assert_eq!(manifest(&world.root()), before);
}

#[test]
fn another_database_deletes_nothing_before_it_is_adopted() {
    let world = approved(1);
    let other = world.path("other.db");
    rusqlite::Connection::open(&other)
        .unwrap()
        .execute_batch(&format!(
            "create table session (id text primary key, deleted_at text); insert into session values ('{LIVE}', null)"
        ))
        .unwrap();
    fs::rename(&other, world.path("sessions.db")).unwrap();
    holds(&world, HoldReason::DatabaseChanged);
    let adoption = world.adopt().unwrap();
    assert_eq!(adoption.differences.iter().map(|d| d.what).collect::<Vec<_>>(), ["database"]);
    // Adopted is not approved: the new database's first plan waits for a person again.
    let plan = holds(&world, HoldReason::AwaitsApproval).observed.plan.hash;
    world.answer(AnswerKind::Approve, &plan).unwrap();
    assert_eq!(swept(&world).acted.quarantined, [id(1)]);
}

#[test]
fn a_pattern_that_changed_deletes_nothing_before_it_is_adopted() {
    let mut world = approved(1);
    world.part("workspaces", "{pattern: '^(?<session>[0-9A-Za-z-]{30,36})$', activity: Modified}");
    holds(&world, HoldReason::QueryChanged);
    world.adopt().unwrap();
    holds(&world, HoldReason::AwaitsApproval);
}

#[test]
fn an_identity_that_is_gone_is_missed() {
    let world = approved(1);
    fs::remove_file(world.root().join(".hygiene/identity")).unwrap();
    holds(&world, HoldReason::IdentityMissing);
    assert!(identity(&world).is_none(), "it is not made anew by itself");
}

#[test]
fn a_memory_that_is_gone_is_missed() {
    let world = approved(1);
    fs::remove_file(world.root().join(".hygiene/memory.json")).unwrap();
    holds(&world, HoldReason::RecordsDamaged);
    world.adopt().unwrap();
    holds(&world, HoldReason::AwaitsApproval);
}

#[test]
fn another_volume_inside_a_workspace_latches() {
    let mut world = approved(2);
    let path = world.root().join(id(2)).join("backup");
    fs::create_dir_all(path.join(".hygiene/journal")).unwrap();
    crate::world::backdate(&world.root().join(id(2)), 58 * DAY);
    holds(&world, HoldReason::NestedVolume);
    fs::remove_dir_all(path).unwrap();
    let hash = holds(&world, HoldReason::NestedVolume).observed.plan.held.unwrap().plan.unwrap();
    world.answer(AnswerKind::Dismiss, &hash).unwrap();
    // The orphan whose root was touched has its turn again once it is idle.
    world.part("limits", "{perSweep: 5}");
    assert_eq!(swept(&world).acted.quarantined, [id(1)]);
}

#[test]
fn a_volume_of_which_nothing_shows_that_it_is_ours_is_not_adopted() {
    let world = World::fresh();
    world.workspace(&id(1), 60 * DAY);
    assert!(matches!(world.adopt(), Err(SweepError::Records(_))));
    world.db("delete from session");
    assert!(matches!(world.adopt(), Err(SweepError::Records(_))));
}

#[test]
fn a_report_remembers_root_and_database_outside_the_volume() {
    let mut world = fresh(1);
    world.part("mode", "Report");
    assert_eq!(held(&swept(&world)), None);
    assert!(!world.root().join(".hygiene").exists());
    let other = world.path("other.db");
    fs::copy(world.path("sessions.db"), &other).unwrap();
    fs::rename(&other, world.path("sessions.db")).unwrap();
    assert_eq!(held(&swept(&world)), Some(HoldReason::DatabaseChanged));
    world.part("mode", "Enforce");
    holds(&world, HoldReason::DatabaseChanged);
    assert!(!world.root().join(".hygiene").exists(), "what does not belong together is not bound");
    world.part("mode", "Report");
    world.adopt().unwrap();
    assert_eq!(held(&swept(&world)), None);
    world.part("mode", "Enforce");
    holds(&world, HoldReason::AwaitsApproval);
}
