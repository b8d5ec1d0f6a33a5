//! The rate of the resource is divided among the shards that run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Backlog, directories};

/// Two of three shards, at 400 a second.
#[test]
fn shards_together_are_no_faster_than_the_limit() {
    let mut backlog = Backlog::of_enormous(1, 3, |_, path| directories(path, 150, 15));
    let mut policy = (*backlog.policy).clone();
    policy.limits.purge.entries_per_second = 400;
    backlog.policy = Arc::new(policy);
    let began = Instant::now();
    let done = backlog.run_at_once(2);
    let took = began.elapsed();
    let removed: u64 = done.iter().map(|one| one.entries).sum();
    assert!(removed > 1_000, "{done:?}");
    // Each waits for two seconds before it begins, since it sees the other; then each may let a hundred through at once, and a
    // hundred more where its limit was changed meanwhile.
    let least = Duration::from_secs(2) + Duration::from_secs_f64((removed - 400) as f64 / 400.0);
    assert!(took >= least, "{took:?}, and {least:?} were the least");
    // And they go at half of the rate each, not at a third as if all three ran.
    let longest = done.iter().map(|one| one.entries).max().unwrap();
    let most = Duration::from_secs(3) + Duration::from_secs_f64(longest as f64 / 200.0);
    assert!(took <= most, "{took:?}, and {most:?} were the most");
}

/// Whoever is alone has all of it.
#[test]
fn a_shard_that_runs_alone_goes_at_the_whole_rate() {
    let mut backlog = Backlog::of_enormous(1, 2, |_, path| directories(path, 100, 15));
    let mut policy = (*backlog.policy).clone();
    policy.limits.purge.entries_per_second = 400;
    backlog.policy = Arc::new(policy);
    let began = Instant::now();
    let done = backlog.run(0);
    let took = began.elapsed();
    // By half of the rate it would need a second and a half longer.
    let most = Duration::from_secs_f64(done.entries as f64 / 400.0) + Duration::from_millis(700);
    assert!(done.entries > 400 && took <= most, "{took:?} for {} entries", done.entries);
}
