//! Whole sweeps on it.

use std::fs;
use std::time::Duration;

use rustix::io::Errno;

use crate::fuse::Op;
use crate::world::{DAY, World, id, manifest};

#[test]
fn a_world_can_be_on_it() {
    let world = World::on_fuse();
    world.fuse().control().set_latency(Duration::from_millis(1), Duration::from_micros(2_700));
    world.workspace("aaaaaaaa-0000-4000-8000-000000000000", 30 * DAY);
    let before = manifest(&world.workspace(&id(1), 30 * DAY));
    world.fuse().control().reset_counts();
    assert_eq!(world.sweep().quarantined, [id(1)]);
    assert!(world.fuse().control().count(Op::Rename) >= 1);
    assert_eq!(manifest(&world.quarantined_trees()[0]), before);
    assert!(!world.fuse().backing().join(id(1)).exists());
    world.pass(8 * DAY);
    assert_eq!(world.sweep().purged, [id(1)]);
    assert_eq!(fs::read_dir(world.fuse().backing().join(".hygiene/purging")).unwrap().count(), 0);
}

#[test]
fn a_rename_that_is_answered_as_if_there_were_nothing_is_seen_to_have_happened() {
    let world = World::on_fuse();
    let before = manifest(&world.workspace(&id(1), 30 * DAY));
    world.fuse().control().on(Op::Rename, &format!("/{}", id(1))).times(1).succeed_but_answer(Errno::NOENT);
    let acted = world.sweep();
    let trees = world.quarantined_trees();
    assert_eq!((acted.quarantined.as_slice(), trees.len()), ([id(1)].as_slice(), 1), "{acted:?}");
    assert_eq!(manifest(&trees[0]), before);
}
