//! What ends a shard, and what goes on afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use workspace_hygiene::names::SessionId;
use workspace_hygiene::observe::containers::{ContainerEvidence, Look};
use workspace_hygiene::observe::{Health, IdSet, Reading};
use workspace_hygiene::sweep::Context;

use super::{After, Backlog, Withdrawn, directories};
use crate::fuse::Op;

/// Two enormous trees, of which so many milliseconds are needed for two files.
fn slow(milliseconds: u64) -> Backlog {
    let mut backlog = Backlog::of_enormous(2, 2, |_, path| directories(path, 20, 30));
    let mut policy = (*backlog.policy).clone();
    policy.limits.purge.concurrency = 2;
    backlog.policy = Arc::new(policy);
    backlog.world.fuse().control().set_latency_of(Op::Unlink, Duration::from_millis(milliseconds));
    backlog
}

#[test]
fn a_shard_that_is_stopped_stops_at_once_and_one_that_begins_again_finishes() {
    let backlog = slow(5);
    let all = backlog.left();
    // A request of its own: the world's would stop the next ones too.
    let stop = backlog.world.stop.child();
    let asked = stop.clone();
    let progress = After::new(100, move || asked.request());
    let done = backlog.run_with(0, Context { stop, progress, ..backlog.world.context() }).unwrap();
    assert!(done.stopped && done.left == 2 && done.errors.is_empty(), "{done:?}");
    assert!((100..500).contains(&done.entries), "{done:?}");
    assert_eq!(backlog.left(), all - done.entries, "nothing after the stop");

    let again: u64 = backlog.run_all().iter().map(|one| one.entries).sum();
    assert_eq!((backlog.left(), done.entries + again), (0, all - 2));
    backlog.ends(2);
}

#[test]
fn orders_that_fall_stop_it_within_a_second() {
    let backlog = slow(20);
    let orders = Arc::new(Withdrawn::default());
    let withdrawn = Arc::clone(&orders);
    let context = Context {
        orders,
        progress: After::new(50, move || withdrawn.0.store(true, Ordering::SeqCst)),
        ..backlog.world.context()
    };
    let began = Instant::now();
    let done = backlog.run_with(0, context).unwrap();
    assert!(done.stopped && done.left == 2 && began.elapsed() < Duration::from_secs(10), "{done:?}");
    assert_eq!(done.errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>(), ["the spec changed"]);
    assert!(backlog.left() > 900, "{}", backlog.left());
}

#[test]
fn a_lock_that_was_taken_away_stops_it_within_a_second() {
    for what in [".hygiene/shards/0-of-2.lock", ".hygiene/shards"] {
        let backlog = slow(20);
        let path = backlog.world.fuse().backing().join(what);
        let context = Context {
            progress: After::new(50, move || _ = std::fs::rename(&path, path.with_extension("gone"))),
            ..backlog.world.context()
        };
        let done = backlog.run_with(0, context).unwrap();
        let why = "the lock on the purge of shard 0 of 2 was lost: somebody removed .hygiene/shards/0-of-2.lock; nothing more is \
                   done";
        assert!(done.stopped && done.left == 2 && done.errors[0].message == why, "{what}: {done:?}");
        assert!(backlog.left() > 900, "{what}: {}", backlog.left());
    }
}

/// A service that is well until it is not.
#[derive(Default)]
struct Service(AtomicBool);

#[async_trait]
impl ContainerEvidence for Service {
    async fn serving(&self, _: Look) -> Option<Reading<Health>> {
        let is_well = !self.0.load(Ordering::SeqCst);
        Some(Reading::Complete(if is_well { Health::Healthy } else { Health::Unhealthy("it is sick".into()) }))
    }

    async fn claims(&self) -> Option<Reading<IdSet>> {
        None
    }

    async fn is_claimed(&self, _: &SessionId) -> Option<Reading<bool>> {
        None
    }
}

#[test]
fn a_service_that_is_not_well_comes_first() {
    // So slow that the service is asked once more meanwhile.
    let backlog = slow(60);
    let service = Arc::new(Service::default());
    let sources = || {
        let mut sources = backlog.sources.clone();
        sources.containers.push(Arc::clone(&service) as _);
        sources
    };
    let sick = Arc::clone(&service);
    let progress = After::new(20, move || sick.0.store(true, Ordering::SeqCst));
    let done = backlog.run_by(0, sources(), Context { progress, ..backlog.world.context() }).unwrap();
    assert_eq!(done.paused.as_deref(), Some("the service is unhealthy: it is sick"), "{done:?}");
    assert!(done.left == 2 && !done.stopped && done.errors.is_empty(), "{done:?}");
    let left = backlog.left();
    let done = backlog.run_by(1, sources(), backlog.world.context()).unwrap();
    assert!(done.paused.is_some() && done.entries == 0 && backlog.left() == left, "{done:?}");
}
