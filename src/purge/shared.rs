//! What the workers of one tree share: the work that is left, the counts, and the request to stop.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;

use super::tree::{Node, Task};
use super::{Found, Meant, NAMED_ERRORS, Pace, Removed, now, path_of};
use crate::fsio::FsError;
use crate::progress::Working;
use crate::stop::Stop;

/// Why a worker has to come back.
pub(super) struct Halted;

/// Handles that are left to everything else in this process.
const RESERVED_HANDLES: u64 = 64;
/// More directories than this are not held at once, whatever the process may.
const MOST_HANDLES: u64 = 4096;
/// A yes of whoever watches is good for so long; then workers wait for the next.
const GOOD_FOR: Duration = Duration::from_secs(5);
/// What a worker that panicked is called in its error.
const PANICKED: &str = "a worker that panicked in";

pub(super) struct Shared {
    work: Mutex<Work>,
    /// There may be something for a worker to do.
    more: Condvar,
    /// The workers have nothing left to do.
    done: Condvar,
    pub(super) pace: Arc<Pace>,
    stop: Stop,
    halted: AtomicBool,
    why: Mutex<Option<String>>,
    pub(super) measure: bool,
    /// Which entries of the folder that holds them are removed, where it is not one tree as a whole.
    pub(super) meant: Option<Meant>,
    pub(super) entries: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) calls: AtomicU64,
    /// Entries that were found so far, and directories among them that were not read to their end.
    pub(super) found: AtomicU64,
    pub(super) unread: AtomicU64,
    /// Calls that remove or move something, and the nanoseconds spent in these by all workers together. What a file system is
    /// judged by: of the others many are answered from what the client remembers, so that their mean says nothing.
    pub(super) changes: AtomicU64,
    pub(super) busy: AtomicU64,
    errors: Mutex<Vec<(String, FsError)>>,
    failed: AtomicU64,
    peak: AtomicUsize,
    /// Directories that are held open now, and how many may be.
    pub(super) handles: Arc<AtomicU64>,
    pub(super) most_handles: u64,
    pub(super) moved_up: AtomicU64,
    /// What each worker is in: when its call began, in milliseconds since `begun`, 0 between two calls; and the directory.
    calls_now: Mutex<Vec<Arc<InCall>>>,
    begun: std::time::Instant,
    /// When whoever watches last said yes, in milliseconds since `begun`.
    confirmed: AtomicU64,
}

#[derive(Default)]
struct Work {
    tasks: VecDeque<Task>,
    active: usize,
    /// Workers that wait for work, or for their turn.
    idle: usize,
}

/// The call that a worker is in.
#[derive(Default)]
pub(super) struct InCall {
    since: AtomicU64,
    what: Mutex<Option<(&'static str, Arc<Node>)>>,
    told: AtomicBool,
}

impl Shared {
    pub(super) fn new(pace: Arc<Pace>, stop: Stop, measure: bool) -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        Self {
            work: Mutex::default(),
            more: Condvar::new(),
            done: Condvar::new(),
            pace,
            stop,
            halted: AtomicBool::new(false),
            why: Mutex::default(),
            measure,
            meant: None,
            entries: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            found: AtomicU64::new(1),
            unread: AtomicU64::new(1),
            changes: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            errors: Mutex::default(),
            failed: AtomicU64::new(0),
            peak: AtomicUsize::new(0),
            handles: Arc::default(),
            most_handles: (limit.unwrap_or(u64::MAX).saturating_sub(RESERVED_HANDLES) / 2).clamp(8, MOST_HANDLES),
            moved_up: AtomicU64::new(0),
            calls_now: Mutex::default(),
            begun: now(),
            confirmed: AtomicU64::new(0),
        }
    }

    /// Only what `meant` picks of the folder that holds it.
    pub(super) fn only(self, meant: Meant) -> Self {
        Self { meant: Some(meant), ..self }
    }

    /// The request to stop that it heeds.
    pub(super) fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Makes room for all the handles that may be held. The kernel lets every growth of the table wait until no processor uses
    /// the old one, some 15 ms each, as soon as there are several threads: a chain of directories would wait most of the time.
    pub(super) fn make_room(&self) {
        let most = i32::try_from(self.most_handles + RESERVED_HANDLES).unwrap_or(i32::MAX);
        // Where it fails, it grows as it is needed.
        let _ = rustix::io::fcntl_dupfd_cloexec(std::io::stderr(), most);
    }

    /// Whether a piece of work would be taken at once by somebody else.
    pub(super) fn has_hands(&self) -> bool {
        let work = self.lock();
        work.active + work.tasks.len() < self.pace.target()
    }

    /// Whoever watches was asked at `asked`, as a time since the beginning, and said yes.
    pub(super) fn confirm(&self, asked: Duration) {
        self.confirmed.store(u64::try_from(asked.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How long it has been going on.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    fn is_confirmed(&self) -> bool {
        let confirmed = Duration::from_millis(self.confirmed.load(Ordering::Relaxed));
        self.begun.elapsed().saturating_sub(confirmed) <= GOOD_FOR
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Work to be done next.
    pub(super) fn push(&self, task: Task) {
        self.lock().tasks.push_back(task);
        self.more.notify_one();
    }

    /// Work that the worker itself does next: nobody is woken for it, which in a chain of directories would take longer than
    /// the work.
    pub(super) fn push_own(&self, task: Task) {
        self.lock().tasks.push_back(task);
    }

    /// Work to be done once nothing else is left.
    pub(super) fn push_last(&self, task: Task) {
        self.lock().tasks.push_front(task);
        self.more.notify_one();
    }

    /// Whether one more worker than there are would have something to do.
    pub(super) fn is_wanted(&self, workers: usize) -> bool {
        let work = self.lock();
        workers == 0 || (work.idle == 0 && !work.tasks.is_empty())
    }

    /// Waits until all is done, at most so long; whether it is.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let is_over = |work: &mut Work| !(work.active == 0 && (work.tasks.is_empty() || self.is_halted()));
        let waited = self.done.wait_timeout_while(self.lock(), time, is_over);
        let (work, _) = waited.unwrap_or_else(PoisonError::into_inner);
        work.active == 0 && (work.tasks.is_empty() || self.is_halted())
    }

    pub(super) fn halt(&self, why: String) {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        self.halted.store(true, Ordering::Release);
        self.more.notify_all();
        self.done.notify_all();
    }

    pub(super) fn is_halted(&self) -> bool {
        self.halted.load(Ordering::Acquire) || self.stop.requested()
    }

    /// What a worker does until nothing is left: `run` for each piece of work.
    pub(super) fn work(&self, run: impl Fn(&Self, Task, &InCall) -> Result<(), Halted>) {
        let in_call = Arc::new(InCall::default());
        self.calls_now.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&in_call));
        while let Some(task) = self.next() {
            let _counted_out = AtWork { shared: self, in_call: &in_call };
            // Halted is seen by `next` too.
            let _ = run(self, task, &in_call);
        }
    }

    fn next(&self) -> Option<Task> {
        let mut work = self.lock();
        loop {
            if self.is_halted() {
                self.done.notify_all();
                return None;
            }
            if work.active < self.pace.target()
                && let Some(task) = work.tasks.pop_back()
            {
                work.active += 1;
                self.peak.fetch_max(work.active, Ordering::Relaxed);
                return Some(task);
            }
            if work.active == 0 && work.tasks.is_empty() {
                self.done.notify_all();
                return None;
            }
            work.idle += 1;
            // The number of workers may have been changed by whoever waits for them, which wakes nobody.
            let waited = self.more.wait_timeout(work, Duration::from_millis(50));
            work = waited.unwrap_or_else(PoisonError::into_inner).0;
            work.idle -= 1;
        }
    }

    /// Makes one call that changes nothing.
    pub(super) fn look<T>(
        &self,
        (what, node, in_call): (&'static str, &Arc<Node>, &InCall),
        call: impl FnOnce() -> T,
    ) -> Result<T, Halted> {
        self.timed((what, node, in_call), call).map(|(done, _)| done)
    }

    /// Makes one call; answers how many nanoseconds it took as well.
    fn timed<T>(
        &self,
        (what, node, in_call): (&'static str, &Arc<Node>, &InCall),
        call: impl FnOnce() -> T,
    ) -> Result<(T, u64), Halted> {
        if self.is_halted() {
            return Err(Halted);
        }
        let begun = now();
        in_call.enter(what, node, begun.duration_since(self.begun));
        let done = call();
        in_call.since.store(0, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok((done, u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Makes one call that removes or moves something, once the limit lets it.
    pub(super) fn change<T>(
        &self,
        at: (&'static str, &Arc<Node>, &InCall),
        call: impl FnOnce() -> T,
    ) -> Result<T, Halted> {
        loop {
            if self.is_halted() {
                return Err(Halted);
            }
            match self.pace.wait() {
                Some(wait) => std::thread::sleep(wait),
                None if self.is_confirmed() => {
                    let (done, spent) = self.timed(at, call)?;
                    self.changes.fetch_add(1, Ordering::Relaxed);
                    self.busy.fetch_add(spent, Ordering::Relaxed);
                    return Ok(done);
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    pub(super) fn cannot(&self, node: &Node, name: Option<&OsStr>, error: FsError) {
        self.report(path_of(node, name), error);
    }

    fn report(&self, path: String, error: FsError) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        if errors.len() < NAMED_ERRORS {
            errors.push((path, error));
        }
    }

    /// Tells once of each call that takes longer than `most`: a file system that hangs, as a hard mount does.
    pub(super) fn tell_stuck(&self, most: Duration) {
        let now = self.begun.elapsed();
        for call in self.calls_now.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let since = Duration::from_millis(call.since.load(Ordering::Relaxed));
            if since.is_zero() || now.saturating_sub(since) < most || call.told.swap(true, Ordering::Relaxed) {
                continue;
            }
            let what = call.what.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((call, node)) = &*what {
                let seconds = now.saturating_sub(since).as_secs();
                tracing::warn!("stuck for {seconds} s in {call} in {}", path_of(node, None));
            }
        }
    }

    /// What is known of the tree by now.
    pub(super) fn found(&self) -> Found {
        // In this order: entries of a directory are counted before it is called read.
        let all = self.unread.load(Ordering::Acquire) == 0;
        // A directory's entries are counted some hundred at a time, and some may be gone before.
        let entries = self.found.load(Ordering::Relaxed).max(self.entries.load(Ordering::Relaxed));
        Found { entries, all, bytes: self.measure.then(|| self.bytes.load(Ordering::Relaxed)) }
    }

    /// What was done so far.
    pub(super) fn working(&self) -> Working {
        Working {
            calls: self.changes.load(Ordering::Relaxed),
            busy: Duration::from_nanos(self.busy.load(Ordering::Relaxed)),
            workers: self.pace.target(),
        }
    }

    pub(super) fn outcome(&self, took: Duration, top: &Node) -> Removed {
        let why = self.why.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Not whether anything is left to do: what a worker was at when it was halted is in no list.
        let is_over = top.is_over();
        let failed = self.failed.load(Ordering::Relaxed);
        Removed {
            whole: is_over && failed == 0 && !top.is_stuck(),
            // Workers may have seen the request to stop, and have come back, before whoever waits for them saw it.
            halted: (!is_over && self.is_halted()).then(|| why.unwrap_or_default()),
            entries: self.entries.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            calls: self.calls.load(Ordering::Relaxed),
            took,
            peak: self.peak.load(Ordering::Relaxed),
            errors: self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            failed,
        }
    }
}

/// A worker that is at a piece of work. However that ends, it is counted out: nobody waits for one that panicked.
struct AtWork<'a> {
    shared: &'a Shared,
    in_call: &'a InCall,
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        let was_in = self.in_call.leave();
        if std::thread::panicking() {
            // What it was at is never removed by this purge: the tree is not whole.
            let error = FsError { call: PANICKED, what: ".".into(), errno: Errno::NOTRECOVERABLE };
            self.shared.report(was_in.map_or_else(String::new, |(_, node)| path_of(&node, None)), error);
        }
        let mut work = self.shared.lock();
        work.active -= 1;
        // Nobody is woken otherwise: this worker takes what is left itself, or sees that it was halted.
        if work.active == 0 && work.tasks.is_empty() {
            self.shared.done.notify_all();
            self.shared.more.notify_all();
        }
    }
}

impl InCall {
    fn enter(&self, what: &'static str, node: &Arc<Node>, since: Duration) {
        let mut now = self.what.lock().unwrap_or_else(PoisonError::into_inner);
        if now.as_ref().is_none_or(|(before, at)| *before != what || !Arc::ptr_eq(at, node)) {
            *now = Some((what, Arc::clone(node)));
        }
        drop(now);
        self.told.store(false, Ordering::Relaxed);
        let milliseconds = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.since.store(milliseconds.max(1), Ordering::Relaxed);
    }

    /// Lets go of the directory: a worker that waits would otherwise hold its handle, and those of all above it.
    fn leave(&self) -> Option<(&'static str, Arc<Node>)> {
        self.since.store(0, Ordering::Relaxed);
        self.what.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fsio::Dir;

    #[test]
    fn a_worker_that_panics_is_counted_out_and_its_tree_is_not_called_whole() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("tree")).unwrap();
        let shared = Arc::new(Shared::new(Arc::new(Pace::new(None, 4)), Stop::default(), false));
        let top = Arc::new(Node::top(Dir::open_root(folder.path()).unwrap()));
        shared.push(Task::Enter { parent: Arc::clone(&top), name: OsStr::new("tree").into() });
        let at_work = Arc::clone(&shared);
        let worker = std::thread::spawn(move || at_work.work(|_, _, _| panic!("as it is meant to")));
        assert!(worker.join().is_err());
        assert!(shared.wait(Duration::from_secs(10)), "it is waited for");
        let removed = shared.outcome(Duration::ZERO, &top);
        assert_eq!((removed.whole, removed.failed, removed.halted), (false, 1, None));
        assert_eq!(removed.errors[0].1.call, PANICKED);
    }
}
