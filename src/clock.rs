//! The one place that asks the system for the time. Pure modules are handed times; clippy refuses them the clock.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Two clocks that differ by less than this agree: what is newer than now by less is just new, not from the future.
pub const TOLERANCE: Duration = Duration::from_secs(5);

/// Tells the time. Injected, so that tests decide what time it is.
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> Timestamp;
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
