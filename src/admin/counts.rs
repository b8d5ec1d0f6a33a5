//! What is counted of one resource, in little memory: a thousand have thousands of these.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

/// Names and values of labels.
pub(super) type Labels = Vec<(&'static str, String)>;

/// Numbers by a word, sorted. A resource has one or two of a kind, and a thousand of them have thousands: a tree makes room for
/// eleven each.
#[derive(Clone, Debug, Default)]
pub(super) struct Few<T>(Vec<(&'static str, T)>);

impl<T: Copy + Default> Few<T> {
    /// The number of a word, 0 where there was none.
    pub(super) fn of(&mut self, word: &'static str) -> &mut T {
        let place = self.0.binary_search_by_key(&word, |(known, _)| known).unwrap_or_else(|place| {
            self.0.reserve_exact(1);
            self.0.insert(place, (word, T::default()));
            place
        });
        &mut self.0[place].1
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, T)> {
        self.0.iter().copied()
    }
}

/// Bounds of the buckets for what takes from a moment to hours, in seconds.
const SWEEP_BUCKETS: [f64; 10] = [0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0];

pub(super) fn step_buckets() -> Histogram {
    Histogram::new(SWEEP_BUCKETS)
}

/// How long the sweeps of one resource took. Of the library's histograms a thousand take ten times as much memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Lengths {
    /// How many were in each bucket, and above the last.
    counts: [u32; SWEEP_BUCKETS.len() + 1],
    seconds: f64,
}

impl Lengths {
    pub(super) fn observe(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = SWEEP_BUCKETS.partition_point(|bound| *bound < seconds);
        self.counts[bucket] = self.counts[bucket].saturating_add(1);
        self.seconds += seconds;
    }

    pub(super) fn any(&self) -> bool {
        self.counts.iter().any(|count| *count > 0)
    }

    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let bounds = SWEEP_BUCKETS.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(self.counts.map(u64::from)).collect();
        let all = self.counts.iter().copied().map(u64::from).sum();
        encoder.encode_histogram::<NoLabelSet>(self.seconds, all, &buckets, None)
    }
}

/// The same of all resources.
#[derive(Debug)]
pub(super) struct SweepLengths(pub(super) Vec<(Labels, Lengths)>);

impl Collector for SweepLengths {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // As the library does with a family without series.
        if self.0.is_empty() {
            return Ok(());
        }
        let (what, unit) = ("How long sweeps with a report took.", Some(&Unit::Seconds));
        let mut family = encoder.encode_descriptor("sweep_duration", what, unit, MetricType::Histogram)?;
        self.0.iter().try_for_each(|(labels, lengths)| lengths.encode(family.encode_family(labels)?))
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn a_word_is_counted_once_whatever_the_order() {
        let mut few = Few::default();
        for word in ["b", "a", "c", "a", "b", "a"] {
            *few.of(word) += 1;
        }
        assert_eq!(few.iter().collect::<Vec<_>>(), [("a", 3), ("b", 2), ("c", 1)]);
    }

    #[test]
    fn lengths_are_told_as_the_librarys_histogram_tells_them() {
        let labels = vec![("name", "collab".to_owned())];
        let mut ours = Lengths::default();
        let family = Family::<Labels, Histogram, fn() -> Histogram>::new_with_constructor(step_buckets);
        for milliseconds in [0, 99, 100, 101, 500, 14_399_999, 14_400_000, 14_400_001, 99_000_000] {
            let took = Duration::from_millis(milliseconds);
            ours.observe(took);
            family.get_or_create(&labels).observe(took.as_secs_f64());
        }
        let [mut one, mut other] = [Registry::default(), Registry::default()];
        one.register_collector(Box::new(SweepLengths(vec![(labels, ours)])));
        other.register_with_unit("sweep_duration", "How long sweeps with a report took", Unit::Seconds, family);
        let text = |registry: &Registry| {
            let mut text = String::new();
            encode(&mut text, registry).unwrap();
            text
        };
        assert!(text(&one).contains("le=\"0.1\""));
        let mut none = Registry::default();
        none.register_collector(Box::new(SweepLengths(Vec::new())));
        assert_eq!(text(&none), text(&Registry::default()));
        assert_eq!(text(&one), text(&other));
    }
}
