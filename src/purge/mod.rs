//! The purge engine: removes whole trees, fast and politely. Only through held handles, never across a mount point, never
//! through a symlink; stopped before the next file-system call; with nothing to replay, since what is left is what is left to
//! do.
//!
//! One worker removes one directory, since the unlinks of a directory wait for each other anyhow; many directories are
//! removed at once. The work is a stack, so that what was begun last is finished first and few handles are held. The last
//! child that goes removes its parent.

mod direct;
mod pace;
mod shared;
mod tree;

use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::fsio::{Dir, FsError, printable};
use crate::progress::Working;
use crate::stop::Stop;
pub use direct::{Spared, Target};
pub use pace::Pace;
use shared::Shared;
use tree::{Node, Task};

/// Stack of a worker, in bytes: it calls itself nowhere, and a thousand of them are no burden.
const STACK: usize = 256 * 1024;
/// Time between two looks of the thread that waits; the first are closer to each other, so that a short purge has its workers.
const TICK: Duration = Duration::from_millis(20);
const FIRST_TICK: Duration = Duration::from_millis(1);
/// How long a worker may take to come back once it was asked to stop; one that hangs in a call is left behind.
const PATIENCE: Duration = Duration::from_millis(500);
/// A call that takes longer is told.
const STUCK: Duration = Duration::from_secs(10);
/// Errors named one by one for a tree; the rest are counted.
const NAMED_ERRORS: usize = 20;

/// Removes trees, one after the other, and remembers between them what it learnt of the file system.
#[derive(Debug)]
pub struct Engine {
    pace: Arc<Pace>,
    /// Whether each file is asked for its size before it goes, which costs a call each.
    measure: bool,
}

/// Picks entries of a folder by their names, always the same ones.
pub type Meant = Box<dyn Fn(&OsStr) -> bool + Send + Sync>;

/// Whoever is asked whether to go on, and told how far it is. Both from the thread that waits.
pub trait Watcher {
    /// Whether the removal may go on; asked some fifty times a second. A yes is good for five seconds: where the next takes
    /// longer, the workers wait for it.
    ///
    /// # Errors
    /// Why not.
    fn may_go_on(&self) -> Result<(), String>;

    /// So many more entries are gone.
    fn removed(&self, entries: u64);

    /// What is known of the tree by now.
    fn found(&self, _found: &Found) {}

    /// What was done since this was told last, and by how many.
    fn working(&self, _working: &Working) {}
}

/// What is known of a tree that nobody counted, while it is being removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Entries that were seen so far, removed or not.
    pub entries: u64,
    /// Whether these are all: no directory is known that was not read to its end.
    pub all: bool,
    /// Bytes that are free by now, where sizes are asked for.
    pub bytes: Option<u64>,
}

/// What came of one tree.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Removed {
    /// Whether nothing is left of it.
    pub whole: bool,
    /// Why it was stopped, where it was; empty where the stop was asked for.
    pub halted: Option<String>,
    /// Entries that were removed.
    pub entries: u64,
    /// Bytes they had allocated, where that was asked for: a file counts when its last link goes.
    pub bytes: u64,
    /// File-system calls.
    pub calls: u64,
    /// How long it took.
    pub took: Duration,
    /// Most workers that were at work at once.
    pub peak: usize,
    /// What could not be removed: path and error. At most twenty.
    pub errors: Vec<(String, FsError)>,
    /// How many could not be removed.
    pub failed: u64,
}

impl Engine {
    /// An engine with this pace; `measure` asks each file for its size.
    pub fn new(pace: Arc<Pace>, measure: bool) -> Self {
        Self { pace, measure }
    }

    /// Removes `name` in `parent`, a tree or a single entry. What cannot be removed stays, with what leads to it.
    pub fn remove(&self, parent: Dir, name: &OsStr, stop: &Stop, watcher: &dyn Watcher) -> Removed {
        let shared = Shared::new(Arc::clone(&self.pace), stop.clone(), self.measure);
        self.work(shared, parent, |parent| Task::Enter { parent, name: name.into() }, watcher)
    }

    /// Removes those entries of `folder` that `meant` picks, each with all that is below it; the folder itself stays.
    pub fn remove_from(&self, folder: Dir, meant: Meant, stop: &Stop, watcher: &dyn Watcher) -> Removed {
        let shared = Shared::new(Arc::clone(&self.pace), stop.clone(), self.measure).only(meant);
        self.work(shared, folder, Task::Top, watcher)
    }

    fn work(&self, shared: Shared, top: Dir, first: impl FnOnce(Arc<Node>) -> Task, watcher: &dyn Watcher) -> Removed {
        let stop = shared.stop();
        let begun = now();
        let (shared, top) = (Arc::new(shared), Arc::new(Node::top(top)));
        shared.push(first(Arc::clone(&top)));
        self.pace.begin();
        shared.make_room();
        let (mut spawned, mut told, mut tick, mut known) = (0, 0, FIRST_TICK, Working::default());
        loop {
            while spawned < self.pace.target() && shared.is_wanted(spawned) {
                match spawn(&shared, spawned) {
                    Ok(()) => spawned += 1,
                    // With fewer threads than wanted it is slower, and no more.
                    Err(_) if spawned > 0 => break,
                    Err(error) => {
                        shared.halt(format!("no thread could be started: {error}"));
                        break;
                    }
                }
            }
            let done = shared.wait(tick);
            tick = (tick * 2).min(TICK);
            let removed = shared.entries.load(Ordering::Relaxed);
            watcher.removed(removed - told);
            told = removed;
            watcher.found(&shared.found());
            let working = shared.working();
            watcher.working(&Working {
                calls: working.calls - known.calls,
                busy: working.busy - known.busy,
                ..working
            });
            known = working;
            if done || (spawned == 0 && shared.is_halted()) {
                break;
            }
            let asked = shared.elapsed();
            match watcher.may_go_on() {
                _ if stop.requested() => shared.halt(String::new()),
                Ok(()) => shared.confirm(asked),
                Err(why) => shared.halt(why),
            }
            if shared.is_halted() {
                shared.wait(PATIENCE);
                break;
            }
            self.pace.look(&shared.changes, &shared.busy);
            shared.tell_stuck(STUCK);
        }
        shared.outcome(begun.elapsed(), &top)
    }
}

fn spawn(shared: &Arc<Shared>, number: usize) -> std::io::Result<()> {
    let shared = Arc::clone(shared);
    let worker = std::thread::Builder::new().name(format!("purge-{number}")).stack_size(STACK);
    worker.spawn(move || shared.work(Shared::run)).map(drop)
}

#[allow(clippy::disallowed_methods)] // how long a call takes, not what time it is
fn now() -> Instant {
    Instant::now()
}

/// The path of an entry below the tree's own parent, for messages.
fn path_of(node: &Node, name: Option<&OsStr>) -> String {
    let mut parts: Vec<_> = name.into_iter().map(printable).collect();
    let mut at = Some(node);
    while let Some(node) = at {
        if let Some((parent, name)) = &node.place {
            parts.push(printable(name));
            at = Some(parent);
        } else {
            at = None;
        }
    }
    parts.reverse();
    parts.join("/")
}
