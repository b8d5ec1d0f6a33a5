//! Which finished Jobs of a resource go: the oldest beyond the limits of `spec.job`, as a CronJob counts them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;

use super::manifest::Work;

/// A Job that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    /// Its name.
    pub(crate) name: String,
    /// Whether it did what it was made for.
    pub(crate) succeeded: bool,
    /// When it ended, or when it was made where that is not told.
    pub(crate) at: Option<Timestamp>,
    /// What it did: the value of the label `hygiene.dev/work`.
    pub(crate) work: String,
}

/// How many stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// `spec.job.successfulJobsHistoryLimit`.
    pub(crate) succeeded: usize,
    /// `spec.job.failedJobsHistoryLimit`.
    pub(crate) failed: usize,
}

/// The names of those that go, the oldest first. Sweeps and purges are counted apart, so that neither pushes the other out;
/// a command is its owner's, who may not have read its log yet.
pub(crate) fn superfluous(finished: &[Finished], limits: Limits) -> Vec<&str> {
    let mut kinds: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for job in finished.iter().filter(|job| counts(&job.work)) {
        kinds.entry((job.work.as_str(), job.succeeded)).or_default().push(job);
    }
    let mut gone = Vec::new();
    for ((_, succeeded), mut jobs) in kinds {
        // One of no known time counts as the oldest.
        jobs.sort_by_key(|job| Reverse((job.at, &job.name)));
        let stay = if succeeded { limits.succeeded } else { limits.failed };
        gone.extend(jobs.into_iter().skip(stay));
    }
    gone.sort_by_key(|job| (job.at, &job.name));
    gone.into_iter().map(|job| job.name.as_str()).collect()
}

fn counts(work: &str) -> bool {
    [Work::Sweep, Work::Look, Work::Purge { shards: 1 }].iter().any(|counted| counted.label() == work)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: &str, succeeded: bool, second: Option<i64>, work: &str) -> Finished {
        let at = second.map(|second| Timestamp::from_second(second).unwrap());
        Finished { name: name.into(), succeeded, at, work: work.into() }
    }

    const ONE: Limits = Limits { succeeded: 1, failed: 1 };

    #[test]
    fn the_oldest_beyond_the_limits_go() {
        let jobs = [
            job("c", true, Some(30), "sweep"),
            job("a", true, Some(10), "sweep"),
            job("b", true, Some(20), "sweep"),
            job("x", false, Some(15), "sweep"),
        ];
        assert_eq!(superfluous(&jobs, ONE), ["a", "b"], "one that failed is not counted with those that did not");
        assert_eq!(superfluous(&jobs, Limits { succeeded: 2, failed: 0 }), ["a", "x"]);
        assert_eq!(superfluous(&jobs, Limits { succeeded: 0, failed: 0 }), ["a", "x", "b", "c"]);
        assert!(superfluous(&jobs, Limits { succeeded: 3, failed: 1 }).is_empty());
        assert!(superfluous(&[], ONE).is_empty());
    }

    #[test]
    fn sweeps_and_purges_do_not_push_each_other_out_and_commands_stay() {
        let jobs = [
            job("sweep", true, Some(1), "sweep"),
            job("purge-1", true, Some(2), "purge"),
            job("purge-2", true, Some(3), "purge"),
            job("command-1", true, Some(0), "command"),
            job("command-2", true, Some(1), "command"),
            job("later", true, Some(1), "of a later version"),
        ];
        assert_eq!(superfluous(&jobs, ONE), ["purge-1"]);
        assert_eq!(superfluous(&jobs, Limits { succeeded: 0, failed: 0 }), ["sweep", "purge-1", "purge-2"]);
    }

    #[test]
    fn times_that_are_equal_or_missing_leave_no_doubt() {
        let mut jobs =
            vec![job("b", false, Some(5), "sweep"), job("a", false, Some(5), "sweep"), job("z", false, None, "sweep")];
        assert_eq!(superfluous(&jobs, ONE), ["z", "a"]);
        jobs.reverse();
        assert_eq!(superfluous(&jobs, ONE), ["z", "a"]);
    }
}
