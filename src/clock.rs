//! The one place that asks the system for the time. Pure modules are handed times; clippy refuses them the clock.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Two clocks that differ by less than this agree: what is newer than now by less is just new, not from the future.
pub const TOLERANCE: Duration = Duration::from_secs(5);

/// Tells the time. Injected, so that tests decide what time it is.
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> Timestamp;

    /// Time since the machine started, also while it was suspended (CLOCK_BOOTTIME): it never jumps, and it does not stand
    /// still while an answer grows old.
    fn uptime(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        // Neither is ever below zero.
        Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.try_into().unwrap_or(0))
    }

    /// The file server's time, read as the modification time of a file that was written just now.
    fn file_server(&self, written: Timestamp) -> Timestamp {
        written
    }
}

/// A difference between two clocks below this is none: times on a file system lag by a tick, and by more on a network.
const AGREE: SignedDuration = SignedDuration::from_secs(1);

/// How far one clock is ahead of another, in whole seconds, so that the noise of two readings is no change.
pub fn ahead(one: Timestamp, of: Timestamp) -> SignedDuration {
    let ahead = one.duration_since(of);
    if ahead.abs() < AGREE { SignedDuration::ZERO } else { SignedDuration::from_secs(ahead.as_secs()) }
}

/// The clock of the file server, as far as this host can tell: its own, and how far the server's is ahead. Ages and
/// retentions are counted by it, since the times in the trees are.
pub struct ServerClock {
    host: Arc<dyn Clock>,
    ahead: SignedDuration,
}

impl std::fmt::Debug for ServerClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerClock").field("ahead", &self.ahead).finish_non_exhaustive()
    }
}

impl ServerClock {
    /// The clock of a server that is ahead of `host` by so much.
    pub fn new(host: Arc<dyn Clock>, ahead: SignedDuration) -> Self {
        Self { host, ahead }
    }
}

impl Clock for ServerClock {
    fn now(&self) -> Timestamp {
        let now = self.host.now();
        now.checked_add(self.ahead).unwrap_or(now)
    }

    fn uptime(&self) -> Duration {
        self.host.uptime()
    }

    fn file_server(&self, written: Timestamp) -> Timestamp {
        self.host.file_server(written)
    }
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // the entry point of time
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// `time` plus `length`, the last representable time where that would overflow: a deadline too far away never comes.
pub fn after(time: Timestamp, length: Duration) -> Timestamp {
    SignedDuration::try_from(length).ok().and_then(|d| time.checked_add(d).ok()).unwrap_or(Timestamp::MAX)
}

/// `time` less `length`, the first representable time where that would overflow.
pub fn before(time: Timestamp, length: Duration) -> Timestamp {
    SignedDuration::try_from(length).ok().and_then(|d| time.checked_sub(d).ok()).unwrap_or(Timestamp::MIN)
}
