//! How fast: a limit on entries removed in a second, and the number of workers, which is found by trying.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use governor::clock::Clock as _;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::now;

/// Entries that may go at once after a pause, so that a limit does not make each of them wait for the timer.
const BURST: u32 = 100;
/// Longest sleep of a worker that waits for the limit, so that it sees a request to stop.
const SLICE: Duration = Duration::from_millis(20);
/// A call that takes less than that is done by our own processors, and more workers than those wait for each other.
const LOCAL: Duration = Duration::from_micros(100);
const LEAST_LOCAL: usize = 2;
/// So many calls are enough to tell.
const ENOUGH: u64 = 100;
/// And so few are too few.
const LEAST: u64 = 20;
/// How long a number of workers is tried before it is judged.
const TRIAL: Duration = Duration::from_millis(100);
/// Workers at the beginning.
const FIRST: usize = 4;
/// Better by less than this, in per cent, is no better.
const BETTER: u64 = 5;
/// Trials that the number is left alone once more workers were no faster.
const REST: u32 = 20;
/// The first of these, in which calls that take long do not count.
const FRESH: u32 = 2;

/// How fast trees are removed. Shared by all purges of one volume; both limits may change meanwhile.
#[derive(Debug)]
pub struct Pace {
    limit: RwLock<Option<Arc<DefaultDirectRateLimiter>>>,
    most: AtomicUsize,
    target: AtomicUsize,
    climb: Mutex<Climb>,
}

/// What the search for the best number of workers knows.
#[derive(Debug)]
struct Climb {
    since: Instant,
    calls: u64,
    busy: u64,
    /// Calls in a second at the best number so far, and that number.
    best: (u64, usize),
    /// The shortest mean time of a call so far, in nanoseconds: what the file system needs when it is not pressed.
    base: u64,
    rest: u32,
}

impl Pace {
    /// At most so many entries a second (`None` for no limit), and at most so many workers.
    pub fn new(entries_per_second: Option<u32>, concurrency: usize) -> Self {
        let most = concurrency.max(1);
        let climb = Climb { since: now(), calls: 0, busy: 0, best: (0, 0), base: u64::MAX, rest: 0 };
        let pace = Self {
            limit: RwLock::default(),
            most: AtomicUsize::new(most),
            target: AtomicUsize::new(FIRST.min(most)),
            climb: Mutex::new(climb),
        };
        pace.set_entries_per_second(entries_per_second);
        pace
    }

    /// Changes the limit on entries, also while trees are being removed.
    pub fn set_entries_per_second(&self, limit: Option<u32>) {
        let limit = limit.map(|limit| {
            let limit = NonZeroU32::new(limit).unwrap_or(NonZeroU32::MIN);
            let burst = NonZeroU32::new(BURST).unwrap_or(limit).min(limit);
            Arc::new(RateLimiter::direct(Quota::per_second(limit).allow_burst(burst)))
        });
        *self.limit.write().unwrap_or_else(PoisonError::into_inner) = limit;
    }

    /// Changes the most workers, also while trees are being removed.
    pub fn set_concurrency(&self, most: usize) {
        let most = most.max(1);
        self.most.store(most, Ordering::Relaxed);
        self.target.fetch_min(most, Ordering::Relaxed);
    }

    /// Workers that may be at work now.
    pub(super) fn target(&self) -> usize {
        self.target.load(Ordering::Relaxed)
    }

    /// How long to wait for the limit before the next entry goes; `None` where it may go now.
    pub(super) fn wait(&self) -> Option<Duration> {
        let limit = self.limit.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        let not_yet = limit.check().err()?;
        Some(not_yet.wait_time_from(limit.clock().now()).min(SLICE))
    }

    /// A tree begins: what was counted before says nothing of it.
    pub(super) fn begin(&self) {
        let mut climb = self.climb.lock().unwrap_or_else(PoisonError::into_inner);
        (climb.since, climb.calls, climb.busy) = (now(), 0, 0);
    }

    /// Judges the number of workers by what was done since the last look: calls that change
    /// something, and the nanoseconds spent `busy` in them.
    pub(super) fn look(&self, calls: &AtomicU64, busy: &AtomicU64) {
        let mut climb = self.climb.lock().unwrap_or_else(PoisonError::into_inner);
        let took = climb.since.elapsed();
        let (calls, busy) = (calls.load(Ordering::Relaxed), busy.load(Ordering::Relaxed));
        let (done, spent) = (calls - climb.calls, busy - climb.busy);
        let is_local = done >= ENOUGH && spent < done.saturating_mul(LOCAL.subsec_nanos().into());
        // Too little was done to tell, as at the end of a tree, behind the limit, or by one worker whose calls take long: then
        // it is judged once there is enough.
        if done < LEAST || (took < TRIAL && !is_local) {
            return;
        }
        (climb.since, climb.calls, climb.busy) = (now(), calls, busy);
        let mean = spent / done;
        if is_local {
            let processors = std::thread::available_parallelism().map_or(1, usize::from);
            let target = processors.max(LEAST_LOCAL).min(self.most.load(Ordering::Relaxed));
            return self.target.store(target, Ordering::Relaxed);
        }
        let rate = u64::try_from(u128::from(done) * 1_000_000_000 / took.as_nanos().max(1)).unwrap_or(u64::MAX);
        let target = self.target();
        let next = climb.next(target, self.most.load(Ordering::Relaxed), rate, mean);
        self.target.store(next, Ordering::Relaxed);
        if next != target {
            let (mean, base) = (mean / 1_000, climb.base / 1_000);
            tracing::debug!(from = target, workers = next, calls_per_second = rate, mean_us = mean, least_us = base);
        }
    }
}

impl Climb {
    /// The number of workers to try next, where `target` of them did `rate` calls a second in `mean` nanoseconds each.
    fn next(&mut self, target: usize, most: usize, rate: u64, mean: u64) -> usize {
        self.base = self.base.min(mean);
        // Calls that take twice as long as they need: others wait for the file system too.
        // Right after a change the calls are still judged that were begun before it.
        let is_fresh = self.rest > REST - FRESH;
        if mean > self.base.saturating_mul(2) && target > 1 && !is_fresh {
            (self.best, self.rest) = ((0, 0), REST);
            // A file system that became slower for good must not be called pressed for ever.
            self.base = self.base.saturating_add(self.base / 8);
            return (target / 2).max(1);
        }
        if self.rest > 0 {
            self.rest -= 1;
            return target.min(most);
        }
        if rate > self.best.0 + self.best.0 * BETTER / 100 {
            self.best = (rate, target);
            // Doubling at first, then by a quarter.
            let more = if target < 16 { target * 2 } else { target + target / 4 };
            return more.min(most);
        }
        let back = if self.best.1 > 0 { self.best.1 } else { target };
        (self.best, self.rest) = ((0, 0), REST);
        back.min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the search comes to rest on a file system that serves `slots` calls of a millisecond at once.
    fn settles(slots: usize, most: usize) -> usize {
        let pace = Pace::new(None, most);
        let mut climb = pace.climb.into_inner().unwrap();
        let mut target = FIRST.min(most);
        for _ in 0..100 {
            let rate = 1_000 * target.min(slots) as u64;
            let mean = 1_000_000 * target.max(slots) as u64 / slots as u64;
            target = climb.next(target, most, rate, mean);
        }
        target
    }

    #[test]
    fn the_number_of_workers_grows_while_that_is_faster_and_no_further() {
        assert_eq!(settles(1_000, 64), 64);
        assert_eq!(settles(1_000, 3), 3);
        for slots in [8, 16, 32] {
            let found = settles(slots, 64);
            assert!(found >= slots * 3 / 4 && found <= slots * 2, "{found} for {slots} slots");
        }
        assert!(settles(1, 64) <= 4);
    }

    #[test]
    fn workers_are_halved_when_calls_take_twice_as_long() {
        let pace = Pace::new(None, 64);
        let mut climb = pace.climb.into_inner().unwrap();
        assert_eq!(climb.next(16, 64, 16_000, 1_000_000), 20);
        assert_eq!(climb.next(20, 64, 9_000, 2_100_000), 10);
        // Calls of before are no reason to halve again; those that were begun since are.
        assert_eq!(climb.next(10, 64, 4_000, 2_300_000), 10);
        assert_eq!(climb.next(10, 64, 4_000, 2_300_000), 10);
        assert_eq!(climb.next(10, 64, 4_000, 2_300_000), 5);
    }

    #[test]
    fn where_calls_take_no_time_there_are_as_many_workers_as_processors() {
        let pace = Pace::new(None, 64);
        pace.begin();
        pace.look(&AtomicU64::new(1_000), &AtomicU64::new(10_000_000));
        let processors = std::thread::available_parallelism().unwrap().get();
        assert_eq!(pace.target(), processors.max(2));
        pace.set_concurrency(1);
        pace.look(&AtomicU64::new(2_000), &AtomicU64::new(20_000_000));
        assert_eq!(pace.target(), 1);
    }

    #[test]
    fn one_worker_whose_calls_take_long_is_not_left_alone_for_ever() {
        let pace = Pace::new(None, 64);
        pace.target.store(1, Ordering::Relaxed);
        pace.begin();
        let longest = 2 * TRIAL;
        pace.climb.lock().unwrap().since = now().checked_sub(longest).unwrap();
        // Seven calls of 14 ms in a look of 100 ms.
        for look in 1..=3 {
            pace.look(&AtomicU64::new(7 * look), &AtomicU64::new(7 * look * 14_000_000));
        }
        assert_eq!(pace.target(), 2);
    }

    #[test]
    fn the_limit_lets_a_burst_through_and_then_makes_wait_until_it_is_lifted() {
        let pace = Pace::new(Some(10), 1);
        let passed = (0..50).filter(|_| pace.wait().is_none()).count();
        assert!((10..20).contains(&passed), "{passed}");
        pace.set_entries_per_second(None);
        assert!((0..50).all(|_| pace.wait().is_none()));
    }
}
