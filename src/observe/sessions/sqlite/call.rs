//! One call: two threads of its own, so that no query ever runs on the runtime's threads and one that runs too long, or
//! that nobody waits for any more, is really stopped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::InterruptHandle;
use tokio::sync::oneshot;

use super::{Fault, Store};

/// How often the watchdog looks whether the caller still waits, and repeats an interrupt: one that arrives between two
/// statements is forgotten by SQLite.
const TICK: Duration = Duration::from_millis(50);

/// How long a query may take to notice that it was stopped; after that it hangs in a file-system call (hard mounts do).
const GRACE: Duration = Duration::from_secs(1);

/// Threads that hang are not waited for, but they are counted: past this, nothing new is started.
const MOST_ABANDONED: usize = 16;

/// A year, which no timeout of a spec reaches, keeps the arithmetic on deadlines from overflowing.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// The state of one call, shared by its caller's watchdog, its query and SQLite's callbacks.
pub(super) struct Call {
    started: Instant,
    timeout: Duration,
    cancelled: AtomicBool,
    doing: Mutex<&'static str>,
    interrupt: OnceLock<InterruptHandle>,
}

impl Call {
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            started: monotonic(),
            timeout: timeout.min(LONGEST),
            cancelled: AtomicBool::new(false),
            doing: Mutex::new("starting"),
            interrupt: OnceLock::new(),
        }
    }

    /// Notes which step runs, for the message when it does not end.
    pub(super) fn doing(&self, what: &'static str) {
        *self.doing.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    /// Hands over what stops a running statement.
    pub(super) fn interrupt_with(&self, handle: InterruptHandle) {
        // A second handle of one call would be a bug that costs the interrupt only; the progress handler still stops.
        let _ = self.interrupt.set(handle);
    }

    /// Whether the query has to end now.
    pub(super) fn must_stop(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.left().is_zero()
    }

    /// The fault of a call that has to end now. To be asked after each statement too: an interrupted one may look done.
    pub(super) fn check(&self) -> Result<(), Fault> {
        if self.must_stop() { Err(self.stopped()) } else { Ok(()) }
    }

    /// Why the call was stopped.
    pub(super) fn stopped(&self) -> Fault {
        if self.cancelled.load(Ordering::Relaxed) {
            return Fault::Cancelled;
        }
        Fault::Timeout { doing: self.now_doing(), timeout: self.timeout }
    }

    /// The fault of a call that found the database locked until its time was over.
    pub(super) fn locked(&self) -> Fault {
        Fault::Locked { doing: self.now_doing(), timeout: self.timeout }
    }

    fn now_doing(&self) -> &'static str {
        *self.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left(&self) -> Duration {
        self.timeout.saturating_sub(self.started.elapsed())
    }

    fn hangs(&self) -> bool {
        self.started.elapsed() > self.timeout + GRACE
    }
}

#[allow(clippy::disallowed_methods)] // measures how long a query runs; what time it is, the injected clock says
fn monotonic() -> Instant {
    Instant::now()
}

/// Runs `job` on a thread of its own. When the future is dropped, or the policy's timeout is over, the query is stopped.
pub(super) async fn run<T, J>(store: Arc<Store>, job: J) -> Result<T, Fault>
where
    T: Send + 'static,
    J: FnOnce(&Store, &Arc<Call>) -> Result<T, Fault> + Send + 'static,
{
    let hanging = store.abandoned.load(Ordering::Relaxed);
    if hanging >= MOST_ABANDONED {
        return Err(Fault::Hanging { threads: hanging });
    }
    let (answer, answered) = oneshot::channel();
    let watchdog = move || watch(&store, job, answer);
    thread::Builder::new().name("sqlite-watchdog".into()).spawn(watchdog).map_err(Fault::Thread)?;
    answered.await.unwrap_or(Err(Fault::Lost))
}

fn watch<T, J>(store: &Arc<Store>, job: J, answer: oneshot::Sender<Result<T, Fault>>)
where
    T: Send + 'static,
    J: FnOnce(&Store, &Arc<Call>) -> Result<T, Fault> + Send + 'static,
{
    let call = Arc::new(Call::new(store.policy.timeout));
    let (done, result) = sync_channel(1);
    let query = {
        let (store, call) = (Arc::clone(store), Arc::clone(&call));
        move || report(job(&store, &call), &done)
    };
    if let Err(error) = thread::Builder::new().name("sqlite-query".into()).spawn(query) {
        reply(answer, Err(Fault::Thread(error)));
        return;
    }
    let mut waiting = Some(answer);
    let last = loop {
        let tick = if call.must_stop() { TICK } else { call.left().clamp(Duration::from_millis(1), TICK) };
        match result.recv_timeout(tick) {
            Ok(result) => break result,
            Err(RecvTimeoutError::Disconnected) => break Err(Fault::Lost),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if waiting.as_ref().is_some_and(oneshot::Sender::is_closed) {
            call.cancelled.store(true, Ordering::Relaxed);
        }
        if call.must_stop()
            && let Some(handle) = call.interrupt.get()
        {
            handle.interrupt();
        }
        let given_up = call.hangs() || call.cancelled.load(Ordering::Relaxed);
        if given_up && let Some(answer) = waiting.take() {
            store.abandoned.fetch_add(1, Ordering::Relaxed);
            reply(answer, Err(Fault::Blocked { doing: call.now_doing(), timeout: call.timeout }));
        }
    };
    match waiting {
        Some(answer) => reply(answer, last),
        None => drop(store.abandoned.fetch_sub(1, Ordering::Relaxed)),
    }
}

fn report<T>(result: Result<T, Fault>, done: &SyncSender<Result<T, Fault>>) {
    // The watchdog outlives the query; where it does not, nobody is left to tell.
    let _ = done.send(result);
}

fn reply<T>(answer: oneshot::Sender<Result<T, Fault>>, result: Result<T, Fault>) {
    // Nobody waits for an answer whose future was dropped.
    let _ = answer.send(result);
}
