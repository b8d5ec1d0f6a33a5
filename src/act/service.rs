//! The service comes first: nothing is taken away while it is not well, by an answer at most 10 s old.

use std::cell::Cell;
use std::time::Duration;

use super::FreshAnswers;
use crate::clock::Clock;
use crate::observe::{Health, Reading};

/// An answer that was asked for longer ago than this is asked for again (DESIGN, promise 13).
const OLDEST_HEALTH: Duration = Duration::from_secs(10);

/// Whether the service is well.
pub struct Service<'a> {
    sources: &'a dyn FreshAnswers,
    clock: &'a dyn Clock,
    /// When the last answer that called it well was asked for, by the machine's uptime.
    well: Cell<Option<Duration>>,
}

impl std::fmt::Debug for Service<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("well", &self.well).finish_non_exhaustive()
    }
}

impl<'a> Service<'a> {
    /// A service that was not asked about yet.
    pub fn new(sources: &'a dyn FreshAnswers, clock: &'a dyn Clock) -> Self {
        Self { sources, clock, well: Cell::new(None) }
    }

    /// Asks anew where the last answer is too old. Cheap where it is not.
    ///
    /// # Errors
    /// Why nothing may be taken away.
    pub(super) fn is_well(&self) -> Result<(), String> {
        self.is_well_by(OLDEST_HEALTH)
    }

    /// The same by an answer that was asked for at most `oldest` ago, and never longer ago than 10 s.
    ///
    /// # Errors
    /// As [`Self::is_well`].
    pub(super) fn is_well_by(&self, oldest: Duration) -> Result<(), String> {
        if self.is_known_well(oldest) {
            return Ok(());
        }
        let asked = self.clock.uptime();
        match self.sources.serving() {
            None | Some(Reading::Complete(Health::Healthy)) => self.well.set(Some(asked)),
            Some(Reading::Complete(Health::Unhealthy(why))) => return Err(format!("the service is unhealthy: {why}")),
            Some(Reading::Unavailable(why)) => return Err(format!("the service's health is not known: {why}")),
        }
        if self.is_known_well(OLDEST_HEALTH) {
            Ok(())
        } else {
            Err("the service is unhealthy: it needs more than 10 s to say how it is".into())
        }
    }

    fn is_known_well(&self, oldest: Duration) -> bool {
        let age = self.well.get().and_then(|asked| self.clock.uptime().checked_sub(asked));
        age.is_some_and(|age| age <= oldest)
    }
}
