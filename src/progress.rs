//! How far long work has come, for whoever watches.

/// Is told how far long work has come. Called from any thread.
pub trait Progress: Send + Sync {
    /// A piece of work begins; `total` units, where known.
    fn begin(&self, what: &'static str, total: Option<u64>);

    /// So many more units are done.
    fn advance(&self, units: u64);

    /// The piece of work ended.
    fn end(&self);
}

/// Nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Progress for Unwatched {
    fn begin(&self, _: &'static str, _: Option<u64>) {}

    fn advance(&self, _: u64) {}

    fn end(&self) {}
}
