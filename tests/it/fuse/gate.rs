//! Where calls wait: for a slot, or until a test lets them go on.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A lock that a panic elsewhere does not take away: a call that waits must still be released.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The slots of a session: as many calls are in flight at once, and no more.
pub struct Slots {
    state: Mutex<Used>,
    freed: Condvar,
}

struct Used {
    limit: usize,
    now: usize,
    peak: usize,
}

impl Slots {
    pub fn new(limit: usize) -> Self {
        Self { state: Mutex::new(Used { limit, now: 0, peak: 0 }), freed: Condvar::new() }
    }

    pub fn set_limit(&self, limit: usize) {
        lock(&self.state).limit = limit;
        self.freed.notify_all();
    }

    /// Waits for a slot, which is free again when what is returned is dropped.
    pub fn take(&self) -> Slot<'_> {
        let waited = self.freed.wait_while(lock(&self.state), |used| used.now >= used.limit);
        let mut used = waited.unwrap_or_else(PoisonError::into_inner);
        used.now += 1;
        used.peak = used.peak.max(used.now);
        Slot(self)
    }

    pub fn peak(&self) -> usize {
        lock(&self.state).peak
    }

    pub fn reset_peak(&self) {
        let mut used = lock(&self.state);
        used.peak = used.now;
    }
}

pub struct Slot<'a>(&'a Slots);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).now -= 1;
        self.0.freed.notify_one();
    }
}

/// Closed until it is opened, once and for ever.
#[derive(Default)]
pub struct Gate {
    state: Mutex<Passage>,
    changed: Condvar,
}

#[derive(Default)]
struct Passage {
    open: bool,
    reached: usize,
}

impl Gate {
    /// Waits until the gate is open.
    pub fn pass(&self) {
        let mut passage = lock(&self.state);
        passage.reached += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(passage, |passage| !passage.open));
    }

    pub fn open(&self) {
        lock(&self.state).open = true;
        self.changed.notify_all();
    }

    /// Waits until `calls` calls have come to the gate; false when they did not within `patience`.
    pub fn wait_until_reached(&self, calls: usize, patience: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(lock(&self.state), patience, |passage| passage.reached < calls);
        waited.unwrap_or_else(PoisonError::into_inner).0.reached >= calls
    }
}
