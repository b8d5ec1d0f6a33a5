//! The heartbeat of the async runtime: a task on it stamps a beat, and whoever reads it from another thread sees how long ago
//! that was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The heartbeat of the async runtime.
#[derive(Debug)]
pub struct Pulse {
    beat: Duration,
    stale: Duration,
    /// When the last beat was, in milliseconds of the monotonic clock.
    last: AtomicU64,
}

/// How the runtime is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PulseState {
    /// Whether the last beat is too long ago.
    pub stalled: bool,
    /// How overdue the next beat is, in milliseconds: 0 or a few in normal life.
    pub lag_ms: u64,
    /// How long ago the last beat was, in milliseconds.
    pub last_tick_age_ms: u64,
}

impl Pulse {
    /// A pulse with a beat each `beat`, whose runtime counts as stalled once the last one is older than `stale`. It is as
    /// fresh as if it had just beaten.
    pub fn new(beat: Duration, stale: Duration) -> Arc<Self> {
        Arc::new(Self { beat, stale, last: AtomicU64::new(now()) })
    }

    /// Beats for ever. To be spawned on the runtime that is watched.
    pub async fn run(self: Arc<Self>) {
        loop {
            self.last.store(now(), Ordering::Relaxed);
            tokio::time::sleep(self.beat).await;
        }
    }

    /// How the runtime is now.
    pub fn state(&self) -> PulseState {
        let age = Duration::from_millis(now().saturating_sub(self.last.load(Ordering::Relaxed)));
        PulseState {
            stalled: age > self.stale,
            lag_ms: millis(age.saturating_sub(self.beat)),
            last_tick_age_ms: millis(age),
        }
    }
}

/// The clock that timers run by, too: it stands still while the machine sleeps, which is no stall.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    // Neither is ever below zero.
    millis(Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.try_into().unwrap_or(0)))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
