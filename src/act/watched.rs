//! Whether a removal may go on, as the engine asks while it is at it.

use std::cell::Cell;
use std::time::Duration;

use super::Service;
use crate::clock::Clock;
use crate::policy::Schedule;
use crate::progress::{Progress, Working};
use crate::purge::Watcher;

/// While trees are removed the service is asked again after so long: the engine relies on a yes for five seconds more, and no
/// answer may be older than ten.
const ASK_AFTER: Duration = Duration::from_secs(5);

/// And orders and lock are proved again after so long, which costs calls.
const PROVE_AFTER: Duration = Duration::from_secs(1);

/// Asked by the engine whether to go on.
pub(super) struct Watched<'a> {
    service: &'a Service<'a>,
    schedule: &'a Schedule,
    clock: &'a dyn Clock,
    progress: &'a dyn Progress,
    /// Proves that the orders stand and that the locks are held.
    prove: &'a dyn Fn() -> Result<(), String>,
    /// When that was done last, by the machine's uptime.
    proved: Cell<Duration>,
}

impl<'a> Watched<'a> {
    /// For whoever has just proved that the orders stand and that the locks are held.
    pub(super) fn new(
        service: &'a Service<'a>,
        schedule: &'a Schedule,
        clock: &'a dyn Clock,
        progress: &'a dyn Progress,
        prove: &'a dyn Fn() -> Result<(), String>,
    ) -> Self {
        Self { service, schedule, clock, progress, prove, proved: Cell::new(clock.uptime()) }
    }
}

impl Watcher for Watched<'_> {
    fn may_go_on(&self) -> Result<(), String> {
        self.service.is_well_by(ASK_AFTER)?;
        self.schedule.open(self.clock.now()).map_err(|closed| closed.to_string())?;
        let now = self.clock.uptime();
        if now.saturating_sub(self.proved.get()) >= PROVE_AFTER {
            (self.prove)()?;
            self.proved.set(now);
        }
        Ok(())
    }

    fn removed(&self, entries: u64) {
        if entries > 0 {
            self.progress.advance(entries);
        }
    }

    fn working(&self, working: &Working) {
        self.progress.purging(working);
    }
}
