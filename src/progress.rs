//! How far long work has come, for whoever watches.

use std::time::Duration;

/// Is told how far long work has come. Called from any thread.
pub trait Progress: Send + Sync {
    /// A piece of work begins; `total` units, where known.
    fn begin(&self, what: &'static str, total: Option<u64>);

    /// So many more units are done.
    fn advance(&self, units: u64);

    /// What is known by now of work that began without a total.
    fn known(&self, _known: &Known) {}

    /// How a purge does, since it was told last.
    fn purging(&self, _working: &Working) {}

    /// The piece of work ended.
    fn end(&self);
}

/// What is known of the size of work while it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Units that were seen so far, done or not.
    pub total: u64,
    /// Whether these are all. Otherwise it is the least that there are.
    pub whole: bool,
    /// Bytes that are done, where they are counted.
    pub bytes: Option<u64>,
}

/// How a purge does: what was done since it was told last, and by how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Working {
    /// Calls that removed or moved something.
    pub calls: u64,
    /// Time spent in these, by all workers together.
    pub busy: Duration,
    /// Workers that may be at work now.
    pub workers: usize,
}

/// Nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Progress for Unwatched {
    fn begin(&self, _: &'static str, _: Option<u64>) {}

    fn advance(&self, _: u64) {}

    fn end(&self) {}
}
