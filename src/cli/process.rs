//! What a command is handed by the process it runs in: the clock, ids, who it is, and the request to stop.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use crate::clock::{Clock, SystemClock};
use crate::stop::Stop;

/// Exit code of a process that SIGINT ended, by the shells' convention: 128 and the signal's number.
const ENDED_BY_SIGINT: i32 = 130;

/// What a command is handed by the process it runs in.
pub struct Process {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) new_id: Arc<dyn Fn() -> String + Send + Sync>,
    pub(super) actor: String,
    pub(super) stop: Stop,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("actor", &self.actor).field("stop", &self.stop).finish_non_exhaustive()
    }
}

impl Process {
    /// This process. From here on the first SIGINT or SIGTERM asks the work to stop, and the second SIGINT ends it at
    /// once, which the journal makes harmless.
    pub fn this() -> Self {
        let stop = Stop::default();
        raise_open_files();
        leave_no_core();
        let registered = flag::register_conditional_shutdown(SIGINT, ENDED_BY_SIGINT, stop.flag())
            .and_then(|_| flag::register(SIGINT, stop.flag()))
            .and_then(|_| flag::register(SIGTERM, stop.flag()))
            .and_then(|_| wake_by_signals(stop.clone()));
        if let Err(error) = registered {
            // Without a handler a signal ends the process at once: harmless, and better than refusing to work.
            super::output::complain(format_args!("signals cannot be handled ({error}); one ends the process at once"));
        }
        Self {
            clock: Arc::new(SystemClock),
            // Version 7 sorts by time, so entries and sweeps list in the order in which they were made.
            new_id: Arc::new(|| uuid::Uuid::now_v7().to_string()),
            actor: actor(),
            stop,
        }
    }
}

impl Process {
    /// The name of this host: in Kubernetes the pod's.
    pub(super) fn host(&self) -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }
}

/// The handlers only set the flag, which is all that a handler may do: this thread wakes whoever waits for it.
fn wake_by_signals(stop: Stop) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let wake = move || signals.forever().for_each(|_| stop.request());
    thread::Builder::new().name("signals".into()).spawn(wake).map(drop)
}

/// A core dump would hold the passwords of the databases. Neither the kernel nor a program it hands cores to gets one.
fn leave_no_core() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if setrlimit(Resource::Core, none).is_err() | set_dumpable_behavior(DumpableBehavior::NotDumpable).is_err() {
        super::output::complain(format_args!(
            "core dumps cannot be switched off; one would hold the databases' passwords"
        ));
    }
}

/// Who changes the volume, as the journal and the lock tell others.
fn actor() -> String {
    let user = rustix::process::geteuid().as_raw();
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    let pid = rustix::process::getpid().as_raw_nonzero();
    format!("uid={user}@{host} pid {pid} hygiene {}", env!("CARGO_PKG_VERSION"))
}

/// A walk holds a descriptor for each level of a tree, on several threads at once; the usual soft limit of 1024 is for
/// programs that use select(2).
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where it is refused the limit stays, and a tree that needs more is kept as incomplete.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
