//! A time during which this process may act. It ends by itself, by a clock that also runs while the process or the machine
//! stands still, and a term that ended never begins again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::stop::Once;

/// Longest time after the machine was suspended until somebody who waits hears that the term ran out meanwhile: timers stand
/// still with the machine.
const AFTER_SUSPENSION: Duration = Duration::from_millis(500);

/// A term, until a time of the machine's uptime (CLOCK_BOOTTIME). Whoever shares it sees its end at the same moment.
#[derive(Debug)]
pub struct Term {
    /// Its end, in milliseconds of uptime.
    end: AtomicU64,
    over: Once,
}

impl Term {
    /// A term until `end`, by the machine's uptime. Whoever leads by it also runs [`Term::run_out`].
    pub fn until(end: Duration) -> Arc<Self> {
        Arc::new(Self { end: AtomicU64::new(millis(end)), over: Once::default() })
    }

    /// A term that ends only when it is closed.
    pub fn unlimited() -> Arc<Self> {
        Self::until(Duration::MAX)
    }

    /// Whether this process may still act.
    pub fn stands(&self) -> bool {
        if self.over.happened() {
            return false;
        }
        let end = self.end.load(Ordering::Acquire);
        if end != u64::MAX && millis(SystemClock.uptime()) >= end {
            self.close();
            return false;
        }
        true
    }

    /// Lets it end later; whether it still stood, so that this counts.
    pub fn extend(&self, end: Duration) -> bool {
        if !self.stands() {
            return false;
        }
        self.end.fetch_max(millis(end), Ordering::AcqRel);
        // It may have been closed meanwhile, and then stays so.
        self.stands()
    }

    /// Ends it now.
    pub fn close(&self) {
        self.over.happen();
    }

    /// Completes once it is known that the term ended: when it was closed, or when somebody saw that it ran out.
    pub(crate) async fn ended(&self) {
        self.over.wait().await;
    }

    /// Sees that the term ran out, for all who wait for its end; one for each term is enough. Completes with the term's end.
    pub async fn run_out(self: Arc<Self>) {
        while self.stands() {
            let end = self.end.load(Ordering::Acquire);
            let left = end.saturating_sub(millis(SystemClock.uptime()));
            // By at least as much as the clocks' ticks differ.
            let left = Duration::from_millis(left.max(1)).min(AFTER_SUSPENSION);
            let _ = tokio::time::timeout(left, self.ended()).await;
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_ends_by_itself_and_a_late_extension_does_not_bring_it_back() {
        let now = SystemClock.uptime();
        let term = Term::until(now + Duration::from_millis(80));
        assert!(term.stands() && term.extend(now + Duration::from_millis(120)));
        std::thread::sleep(Duration::from_millis(150));
        assert!(!term.extend(now + Duration::from_secs(3600)), "it had ended before anybody looked");
        assert!(!term.stands());
        let unlimited = Term::unlimited();
        assert!(unlimited.stands() && unlimited.extend(Duration::ZERO));
        unlimited.close();
        assert!(!unlimited.extend(Duration::MAX) && !unlimited.stands());
    }
}
