//! How long the service has been healthy, as far as looks at it tell.

use std::time::Duration;

use crate::observe::{Health, Reading};

/// How long the service has been healthy without a break. Times are the machine's uptime, which never jumps, whatever
/// becomes of the time of day. Between two looks nothing is known: what is too long apart is no unbroken health.
#[derive(Clone, Debug)]
pub struct HealthHistory {
    longest_gap: Duration,
    /// When the first and the last were begun of the healthy looks that follow one another unbroken.
    unbroken: Option<(Duration, Duration)>,
}

impl HealthHistory {
    /// Nothing is known yet. Two looks that are further apart than `longest_gap` say nothing of the time between them.
    pub fn new(longest_gap: Duration) -> Self {
        Self { longest_gap, unbroken: None }
    }

    /// Records what a look found that was begun at the uptime `at`.
    pub fn record(&mut self, at: Duration, health: &Reading<Health>) {
        let first = match self.unbroken {
            Some((first, last)) if self.follows(last, at) => first,
            _ => at,
        };
        // Whatever is not known to be healthy breaks it.
        self.unbroken = matches!(health, Reading::Complete(Health::Healthy)).then_some((first, at));
    }

    /// How long it has been healthy at the uptime `now`: from the first look to the last. Zero where the last look is too
    /// long ago.
    pub fn healthy_for(&self, now: Duration) -> Duration {
        match self.unbroken {
            Some((first, last)) if self.follows(last, now) => last.saturating_sub(first),
            _ => Duration::ZERO,
        }
    }

    fn follows(&self, last: Duration, at: Duration) -> bool {
        at.checked_sub(last).is_some_and(|gap| gap <= self.longest_gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(found: &[(u64, bool)]) -> HealthHistory {
        let mut history = HealthHistory::new(Duration::from_secs(10));
        for (at, healthy) in found {
            let health = if *healthy { Health::Healthy } else { Health::Unhealthy("it answers 500".into()) };
            history.record(Duration::from_secs(*at), &Reading::Complete(health));
        }
        history
    }

    fn healthy_for(found: &[(u64, bool)], now: u64) -> u64 {
        looks(found).healthy_for(Duration::from_secs(now)).as_secs()
    }

    #[test]
    fn health_is_counted_from_the_first_look_to_the_last() {
        assert_eq!(healthy_for(&[], 5), 0);
        assert_eq!(healthy_for(&[(100, true)], 105), 0);
        assert_eq!(healthy_for(&[(100, true), (105, true), (112, true)], 115), 12);
    }

    #[test]
    fn a_single_unhealthy_look_begins_it_again() {
        assert_eq!(healthy_for(&[(100, true), (105, false)], 105), 0);
        assert_eq!(healthy_for(&[(100, true), (105, false), (110, true), (115, true)], 115), 5);
    }

    #[test]
    fn a_look_that_gave_no_answer_begins_it_again() {
        let mut history = looks(&[(100, true), (105, true)]);
        history.record(Duration::from_secs(110), &Reading::Unavailable("no answer".into()));
        assert_eq!(history.healthy_for(Duration::from_secs(110)), Duration::ZERO);
    }

    #[test]
    fn what_was_not_looked_at_was_not_healthy() {
        // The machine slept for an hour: nobody knows what was meanwhile.
        assert_eq!(healthy_for(&[(100, true), (3700, true), (3705, true)], 3705), 5);
        assert_eq!(healthy_for(&[(100, true), (105, true)], 116), 0, "and the last look is too long ago");
    }

    #[test]
    fn a_clock_that_goes_back_settles_nothing() {
        assert_eq!(healthy_for(&[(100, true), (105, true), (50, true)], 50), 0);
        assert_eq!(healthy_for(&[(100, true), (105, true)], 50), 0);
    }
}
