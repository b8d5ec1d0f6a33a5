//! One owner for each tree, whoever begins when.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use workspace_hygiene::act::{LockError, LockWait};
use workspace_hygiene::sweep::{Context, SweepError};

use super::{Backlog, directories};
use crate::fuse::Op;

/// What holds the lock that was not taken.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, SweepError>) -> String {
    match result {
        Err(SweepError::Lock(error @ LockError::Held { .. })) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

/// For a shard that must not begin: where it does, it is stopped soon, since it may wait for what hangs.
fn not_for_long(backlog: &Backlog) -> Context {
    let stop = backlog.world.stop.child();
    let asked = stop.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(10));
        asked.request();
    });
    Context { stop, ..backlog.world.context() }
}

#[test]
fn two_pods_of_one_index_are_one_after_the_other() {
    let backlog = Backlog::of_enormous(1, 2, |_, path| directories(path, 20, 1));
    std::thread::scope(|scope| {
        // One call, and dropped in here: a test that fails does not wait for what hangs.
        let hang = backlog.world.fuse().control().on(Op::Unlink, "**/dir-*/*").times(1).hang();
        let first = scope.spawn(|| backlog.run(0));
        hang.wait_until_reached();
        let why = refused(backlog.run_with(0, not_for_long(&backlog)));
        assert!(why.starts_with("the purge of shard 0 of 2 is locked by test running `test` since "), "{why}");
        // One that is told to waits.
        let second = scope.spawn(|| {
            let lock = LockWait { timeout: Duration::from_secs(60), asks: false };
            backlog.run_with(0, Context { lock, ..backlog.world.context() }).unwrap()
        });
        std::thread::sleep(Duration::from_millis(300));
        hang.release();
        assert!(first.join().unwrap().entries > 0);
        let second = second.join().unwrap();
        assert_eq!((second.entries, second.left), (0, 0), "{second:?}");
    });
}

#[test]
fn shards_of_two_numbers_are_never_at_work_at_once() {
    let backlog = Backlog::of_enormous(1, 4, |_, path| directories(path, 20, 1));
    std::thread::scope(|scope| {
        // One call, and dropped in here: a test that fails does not wait for what hangs.
        let hang = backlog.world.fuse().control().on(Op::Unlink, "**/dir-*/*").times(1).hang();
        let first = scope.spawn(|| backlog.run(1));
        hang.wait_until_reached();
        let two = backlog.world.policy_of_shards(2);
        for index in 0..2 {
            let shard = workspace_hygiene::act::Shard::new(index, 2).unwrap();
            let why = refused(backlog.world.purge_shard(&two, backlog.sources.clone(), not_for_long(&backlog), shard));
            assert!(why.starts_with("the purge of shard 1 of 4 is locked by test"), "{why}");
        }
        // A sweep that removes them alone leaves them as well, and one that leaves them to shards goes on.
        let acted = backlog.world.sweep();
        assert_eq!((acted.purged.len(), acted.errors.len()), (0, 1), "{acted:?}");
        let why = &acted.errors[0].message;
        assert!(
            why.starts_with("what is condemned stays for now: the purge of shard 1 of 4 is locked by test"),
            "{why}"
        );
        let acted = backlog.world.sweep_by(Arc::clone(&backlog.policy));
        assert_eq!((acted.left_to_shards, acted.errors.len()), (1, 0), "{acted:?}");
        hang.release();
        assert!(first.join().unwrap().entries > 0);
    });
    // Once it is given back, the other number is free to begin.
    assert_eq!(backlog.world.sweep().purged.len(), 1);
}

#[test]
fn no_shard_begins_while_a_sweep_removes_them_alone() {
    let backlog = Backlog::new(1, 2, |_, path| directories(path, 20, 1));
    std::thread::scope(|scope| {
        // One call, and dropped in here: a test that fails does not wait for what hangs.
        let hang = backlog.world.fuse().control().on(Op::Unlink, "**/dir-*/*").times(1).hang();
        let sweep = scope.spawn(|| backlog.world.sweep());
        hang.wait_until_reached();
        for index in 0..2 {
            let why = refused(backlog.run_with(index, not_for_long(&backlog)));
            assert!(why.starts_with("the purge is locked by test running `test`"), "{why}");
        }
        hang.release();
        assert_eq!(sweep.join().unwrap().purged.len(), 1);
    });
}

#[test]
fn the_folder_of_the_locks_is_nobody_elses() {
    use std::os::unix::fs::PermissionsExt;
    let backlog = Backlog::new(1, 2, |_, _| ());
    backlog.run_all();
    let folder = backlog.world.fuse().backing().join(".hygiene/shards");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("0-of-2.lock")), 0o600);
    backlog.ends(1);
}
