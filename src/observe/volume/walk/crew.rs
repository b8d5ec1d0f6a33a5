//! Those who are at one walk: a thread, and helpers where it takes its time.

use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

use super::{Place, Seen, Walk};
use crate::fsio::Dir;
use crate::observe::WalkOutcome;

/// Nobody helps with a walk that is over sooner: a thread costs more than it saves.
const ALONE: Duration = Duration::from_millis(5);
/// A look that takes less is done by our own processors.
const LOCAL: Duration = Duration::from_micros(100);

/// Requests that walks send at once: half of the 64 that the Linux NFS client sends to EFS (its documented number of NFSv4.1
/// slots), so that whoever else uses the mount has the rest.
const REQUESTS: usize = 32;

/// Threads that may help walks along, shared by all walks that go on at once.
#[derive(Debug)]
pub struct Hands(AtomicUsize);

impl Hands {
    /// As many as may be at work beside `walks` at once.
    pub fn beside(walks: usize) -> Self {
        Self(AtomicUsize::new(REQUESTS.saturating_sub(walks)))
    }

    /// Whether there was one more, which is then taken.
    fn take(&self) -> bool {
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| free.checked_sub(1)).is_ok()
    }
}

/// Gives one back, however its work ended.
struct GivenBack<'a>(&'a Hands);

impl Drop for GivenBack<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// What a worker does next.
pub(super) enum Task {
    /// A directory that is not open yet.
    Enter { parent: Arc<Dir>, place: Place },
    /// One that is.
    Read { dir: Arc<Dir>, place: Arc<Place> },
    /// Entries of such a one.
    Look { dir: Arc<Dir>, place: Arc<Place>, names: Vec<OsString> },
}

#[derive(Default)]
pub(super) struct Work {
    /// What was found last is looked at first, so that few directories are held open.
    tasks: Vec<Task>,
    /// Workers that are at a task now.
    active: usize,
    /// Workers that wait for a task.
    idle: usize,
    /// Threads that were started beside the first.
    helpers: usize,
    seen: Seen,
    decided: Option<WalkOutcome>,
}

/// One walk, shared by those who are at it.
pub(super) struct Walker<'a> {
    pub(super) walk: Walk<'a>,
    work: Mutex<Work>,
    /// There is a task more, or none will come any more.
    more: Condvar,
    begun: Instant,
    /// Entries that were looked at.
    pub(super) looked: AtomicUsize,
    /// Something decided: whoever is at a large directory need not see it to its end.
    pub(super) over: AtomicBool,
}

impl<'a> Walker<'a> {
    pub(super) fn new(walk: Walk<'a>) -> Self {
        let (looked, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { walk, work: Mutex::default(), more: Condvar::new(), begun: now(), looked, over }
    }

    /// Begins with what was seen so far, and the first task.
    pub(super) fn begin(&self, seen: Seen, task: Task) {
        let mut work = self.lock();
        work.seen = seen;
        work.tasks.push(task);
    }

    /// It is decided before anything was done.
    pub(super) fn decide(&self, outcome: WalkOutcome) {
        self.lock().decided = Some(outcome);
    }

    /// What came of it.
    pub(super) fn outcome(&self) -> WalkOutcome {
        let mut work = self.lock();
        let Seen { newest, entries, bytes } = work.seen;
        work.decided.take().unwrap_or(WalkOutcome::Idle { newest, entries, bytes })
    }

    pub(super) fn add(&self, seen: &Seen) {
        self.walk.progress.advance(seen.entries);
        let all = &mut self.lock().seen;
        all.newest = all.newest.max(seen.newest);
        all.entries += seen.entries;
        all.bytes = all.bytes.saturating_add(seen.bytes);
    }

    /// Takes up tasks until none is left or something decided.
    pub(super) fn run<'s>(&'s self, scope: &'s Scope<'s, '_>) {
        while let Some(task) = self.next() {
            // However the task ends, also by a panic: whoever waits for it must not wait for ever.
            Ends { walker: self, outcome: None }.with(scope, task);
        }
    }

    fn next(&self) -> Option<Task> {
        let is_waiting = |work: &mut Work| work.decided.is_none() && work.tasks.is_empty() && work.active > 0;
        let mut work = self.lock();
        work.idle += 1;
        let mut work = self.more.wait_while(work, is_waiting).unwrap_or_else(PoisonError::into_inner);
        work.idle -= 1;
        let task = work.tasks.pop().filter(|_| work.decided.is_none())?;
        work.active += 1;
        Some(task)
    }

    /// Leaves `task` for whoever is next, and has one more help where that is worth it.
    pub(super) fn push<'s>(&'s self, scope: &'s Scope<'s, '_>, task: Task) {
        let mut work = self.lock();
        work.tasks.push(task);
        self.more.notify_one();
        let workers = work.active + 1;
        let somebody_waits = work.tasks.len() <= work.idle;
        if !somebody_waits && work.helpers < self.most_helpers(workers) && self.walk.hands.take() {
            work.helpers += 1;
            drop(work);
            let help = move || {
                let _given_back = GivenBack(self.walk.hands);
                self.run(scope);
            };
            let spawned = std::thread::Builder::new().name("walk".into()).spawn_scoped(scope, help);
            if spawned.is_err() {
                // It takes longer, and no more.
                self.lock().helpers -= 1;
            }
        }
    }

    /// How many helpers are worth it by now: none for a walk that is soon over, and where a look takes no time no more than
    /// there are processors.
    fn most_helpers(&self, workers: usize) -> usize {
        let took = self.begun.elapsed();
        if took < ALONE {
            return 0;
        }
        let looked = u32::try_from(self.looked.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        let workers = u32::try_from(workers).unwrap_or(u32::MAX);
        if took.saturating_mul(workers) < LOCAL.saturating_mul(looked) {
            return std::thread::available_parallelism().map_or(1, usize::from) - 1;
        }
        usize::MAX
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether entries are better left to somebody else.
    pub(super) fn has_hands(&self) -> bool {
        if self.begun.elapsed() < ALONE {
            return false;
        }
        let work = self.lock();
        work.tasks.len() <= work.helpers
    }
}

/// The end of a task. What was not seen to its end has decided: a worker that panics leaves a walk that is not complete.
struct Ends<'a, 'b> {
    walker: &'a Walker<'b>,
    outcome: Option<Result<(), WalkOutcome>>,
}

impl<'s> Ends<'s, '_> {
    fn with(mut self, scope: &'s Scope<'s, '_>, task: Task) {
        self.outcome = Some(self.walker.work(scope, task));
    }
}

impl Drop for Ends<'_, '_> {
    fn drop(&mut self) {
        let outcome = self
            .outcome
            .take()
            .unwrap_or_else(|| Err(WalkOutcome::Incomplete { why: "a worker panicked; please report this".into() }));
        let mut work = self.walker.lock();
        work.active -= 1;
        if let Err(outcome) = outcome {
            work.decided.get_or_insert(outcome);
            self.walker.over.store(true, Ordering::Relaxed);
        }
        if work.decided.is_some() || (work.active == 0 && work.tasks.is_empty()) {
            self.walker.more.notify_all();
        }
    }
}

#[allow(clippy::disallowed_methods)] // how long the walk takes, not what time it is
fn now() -> Instant {
    Instant::now()
}
