//! How long each step of a sweep takes, and how a purge does, noted in the metrics; how far a step is, on the board.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::{Board, Metrics};
use crate::policy::ResourceName;
use crate::progress::{Progress, Working};

/// Told of the steps of one resource's sweeps.
#[derive(Debug)]
pub struct Steps {
    metrics: Arc<Metrics>,
    board: Arc<Board>,
    resource: ResourceName,
    current: Mutex<Option<(&'static str, Instant)>>,
}

impl Steps {
    /// Notes what it is told in `metrics` and on `board`.
    pub fn new(metrics: Arc<Metrics>, board: Arc<Board>, resource: ResourceName) -> Self {
        Self { metrics, board, resource, current: Mutex::default() }
    }

    fn swap(&self, next: Option<(&'static str, Option<u64>)>) {
        self.board.working(&self.resource, next);
        let next = next.map(|(step, _)| (step, now()));
        let before = std::mem::replace(&mut *self.current.lock().unwrap_or_else(PoisonError::into_inner), next);
        if let Some((step, begun)) = before {
            self.metrics.step(step, begun.elapsed());
        }
    }
}

impl Progress for Steps {
    fn begin(&self, what: &'static str, total: Option<u64>) {
        self.swap(Some((what, total)));
    }

    fn advance(&self, units: u64) {
        self.board.advance(&self.resource, units);
    }

    fn purging(&self, working: &Working) {
        self.metrics.purging(&self.resource, working);
    }

    fn end(&self) {
        self.swap(None);
    }
}

#[allow(clippy::disallowed_methods)] // how long a step takes, not what time it is
fn now() -> Instant {
    Instant::now()
}
