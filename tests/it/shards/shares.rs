//! Which shard removes what.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use rustix::io::Errno;
use workspace_hygiene::act::Shard;
use workspace_hygiene::policy::{Mode, ResourceName};
use workspace_hygiene::report::by_hand::PurgeDocument;
use workspace_hygiene::report::plan::View;
use workspace_hygiene::report::table::Style;
use workspace_hygiene::sweep::SweepError;

use super::{Backlog, directories, entries};
use crate::fuse::Op;
use crate::world::{DAY, World, id, manifest};

#[test]
fn four_shards_remove_eight_trees_and_nothing_else_and_nothing_twice() {
    let backlog = Backlog::new(8, 4, |n, path| match n {
        1 => directories(path, 60, 200),
        _ => directories(path, 4, 10),
    });
    let world = &backlog.world;
    world.workspace("aaaaaaaa-0000-4000-8000-000000000000", std::time::Duration::ZERO);
    fs::write(world.root().join("notes.txt"), "mine").unwrap();
    // A file with another name outside, which no purge may touch.
    let linked = backlog.folders().iter().map(|folder| folder.join("workspace/README")).next().unwrap();
    fs::hard_link(linked, world.fuse().backing().join("linked")).unwrap();
    let (before, all) = (manifest(&world.root()), backlog.left());
    let enormous = backlog.folders().iter().map(|folder| entries(&folder.join("workspace"))).max();
    assert!(enormous > Some(10_000));
    world.fuse().control().reset_counts();

    let done = backlog.run_all();
    let removed: u64 = done.iter().map(|one| one.entries).sum();
    assert!(done.iter().all(|one| one.left == 0 && one.errors.is_empty() && !one.stopped), "{done:?}");
    assert!(done.iter().all(|one| one.entries > 1_000), "each has its part of the enormous one: {done:?}");
    // The root of what is shared goes by itself.
    assert_eq!((removed, backlog.left()), (all - 1, 0));
    let unlinked = world.fuse().control().count(Op::Unlink);
    let files = 60 * 200 + 7 * 4 * 10 + 8 * 4;
    assert_eq!(unlinked, files, "each file is removed by one call");
    assert_eq!(manifest(&world.root()), before);
    assert_eq!(backlog.folders().len(), 8, "what is left of an entry is the next sweep's");
    backlog.ends(8);
    assert_eq!(manifest(&world.root()), before);
}

#[test]
fn an_enormous_tree_is_shared_by_what_is_at_its_top() {
    let backlog = Backlog::of_enormous(1, 3, |_, path| directories(path, 30, 2));
    let tree = backlog.folders()[0].join("workspace");
    // A root that its owner may not change is opened up.
    fs::set_permissions(&tree, fs::Permissions::from_mode(0o500)).unwrap();
    let mut before = entries(&tree);
    for index in 0..3 {
        let done = backlog.run(index);
        let now = entries(&tree);
        assert!(done.entries > 0 && done.left == 0 && done.removed == [id(1)], "{done:?}");
        // The last one removes the root with it.
        assert_eq!(before - now, done.entries + u64::from(index == 2), "{done:?}");
        before = now;
    }
    assert!(!tree.exists());
    backlog.ends(1);
}

#[test]
fn what_the_journal_does_not_call_condemned_stays() {
    let backlog = Backlog::new(2, 2, |_, _| ());
    let foreign = backlog.purging().join("foreign/workspace");
    fs::create_dir_all(foreign.join("deep")).unwrap();
    fs::write(foreign.join("deep/file"), "somebody's").unwrap();
    // And another tree in place of one that was condemned.
    let swapped = backlog.folders()[0].join("workspace");
    fs::rename(&swapped, backlog.world.fuse().backing().join("moved")).unwrap();
    fs::create_dir(&swapped).unwrap();
    fs::write(swapped.join("file"), "somebody else's").unwrap();

    let done = backlog.run_all();
    let told: Vec<_> = done.iter().flat_map(|one| &one.errors).map(|error| error.message.as_str()).collect();
    assert_eq!(told.len(), 2, "each is told by one of them: {done:?}");
    assert!(told.iter().any(|why| why.contains("does not say that we condemned it")), "{told:?}");
    assert!(told.iter().any(|why| why.contains("is not the one that was condemned")), "{told:?}");
    assert_eq!(done.iter().map(|one| one.left).sum::<u64>(), 1);
    assert_eq!(entries(&foreign), 3);
    assert_eq!(fs::read_to_string(swapped.join("file")).unwrap(), "somebody else's");
    assert_eq!(entries(&backlog.world.fuse().backing().join("moved")), 7);
    let acted = backlog.world.sweep_by(Arc::clone(&backlog.policy));
    assert_eq!((acted.purged.len(), acted.errors.len(), acted.left_to_shards), (1, 2, 0), "{acted:?}");
    assert_eq!(entries(&foreign), 3);
}

#[test]
fn an_enormous_tree_that_was_replaced_stays() {
    let backlog = Backlog::of_enormous(1, 2, |_, path| directories(path, 4, 1));
    let tree = backlog.folders()[0].join("workspace");
    let away = backlog.world.fuse().backing().join("moved");
    // Right after it was looked at: what is held then is another tree than the one that was condemned.
    let (from, to, control) = (tree.clone(), away.clone(), backlog.world.fuse().control());
    control.on(Op::Getattr, ".hygiene/purging/*/workspace").after(move || {
        fs::rename(&from, to).unwrap();
        fs::create_dir(&from).unwrap();
        fs::write(from.join("file"), "somebody else's").unwrap();
    });
    let done = backlog.run(0);
    assert!(done.errors[0].message.contains("is not the one that was condemned"), "{done:?}");
    assert_eq!((done.entries, done.left, entries(&tree)), (0, 1, 2));
    assert_eq!(entries(&away), 4 * 2 + 7);
}

#[test]
fn a_tree_of_which_nothing_can_be_read_is_left() {
    let backlog = Backlog::new(1, 2, |_, _| ());
    backlog.world.fuse().control().on(Op::Open, "entry.json").times(2).fail(Errno::IO);
    for index in 0..2 {
        let done = backlog.run(index);
        assert_eq!((done.left, done.errors.len(), done.entries), (1, 1, 0), "{done:?}");
    }
    assert_eq!(backlog.run_all().iter().map(|one| one.entries).sum::<u64>(), 7);
    backlog.ends(1);
}

#[test]
fn a_purge_by_hand_condemns_and_leaves_the_rest_to_the_shards() {
    let world = World::on_fuse();
    world.workspace(&id(1), 60 * DAY);
    assert_eq!(world.sweep().quarantined, [id(1)]);
    let policy = world.policy_of_shards(2);
    let swept = world.purge_by(Arc::clone(&policy), &[&id(1)]).unwrap();
    let acted = &swept.acted;
    assert_eq!((acted.condemned.as_slice(), acted.purged.len(), acted.left_to_shards), ([id(1)].as_slice(), 0, 1));
    let document = PurgeDocument::new(&policy, Some(swept.id), None, swept.acted);
    assert_eq!(serde_json::to_value(&document).unwrap()["leftToShards"], 1);
    let view = View { style: Style { color: false, fit: false }, spec: "", all: false };
    let text = document.text(view);
    assert!(text.contains("1 condemned tree is left to the shards of the purge"), "{text}");
}

#[test]
fn a_volume_that_is_not_ours_or_is_held_is_left_alone() {
    let mut backlog = Backlog::new(1, 2, |_, _| ());
    let left = backlog.left();
    let policy = Arc::clone(&backlog.policy);
    let changed = |change: &dyn Fn(&mut workspace_hygiene::policy::Policy)| {
        let mut policy = (*policy).clone();
        change(&mut policy);
        Arc::new(policy)
    };
    backlog.policy = changed(&|policy| policy.mode = Mode::Report);
    assert!(matches!(backlog.try_run(0), Err(SweepError::ReportMode)));
    backlog.policy =
        changed(&|policy| policy.resource = ResourceName::new(policy.resource.namespace.as_str(), "another"));
    assert!(
        matches!(backlog.try_run(0), Err(SweepError::NotBound(why)) if why.contains("is cleaned by local/default/test"))
    );
    backlog.policy = changed(&|policy| policy.suspend = true);
    assert_eq!(backlog.run(0).paused.as_deref(), Some("spec.suspend is true"));
    backlog.policy = policy;

    let hygiene = backlog.world.fuse().backing().join(".hygiene");
    let held = hygiene.join("held/plan.json");
    fs::create_dir_all(held.parent().unwrap()).unwrap();
    let plan = r#"{"hash": "ab", "reason": "TooManyOrphans", "message": "too many", "since": "2026-01-01T00:00:00Z", "orphans": []}"#;
    fs::write(&held, plan).unwrap();
    assert_eq!(backlog.run(0).paused.as_deref(), Some("the plan ab is held (TooManyOrphans): too many"));
    fs::remove_file(held).unwrap();

    let journal = hygiene.join("journal/00000000000000000001.jsonl");
    let text = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, text.replacen("idle since", "idle Since", 1)).unwrap();
    assert!(matches!(backlog.try_run(0), Err(SweepError::Journal(_))));
    fs::write(&journal, text).unwrap();
    assert_eq!(backlog.left(), left);
    assert!(Shard::new(2, 2).is_err());
    backlog.run_all();
    backlog.ends(1);
}
