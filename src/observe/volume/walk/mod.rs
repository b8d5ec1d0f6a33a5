//! A walk over a whole tree: how recently anything in it was active, and whether it is safe to move at all.

mod crew;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::Scope;

use jiff::Timestamp;
use rustix::io::Errno;

pub use crew::Hands;
use crew::{Task, Walker};

use super::HYGIENE;
use crate::clock::{TOLERANCE, after};
use crate::fsio::{Dir, Facts, FsError, Kind, printable};
use crate::observe::WalkOutcome;
use crate::policy::Activity;
use crate::progress::Progress;
use crate::stop::Stop;

/// A tree deeper than this is not walked to its end, and so is kept: every level holds a file descriptor. EFS itself
/// allows 1 000 levels (its documented quota).
const DEEPEST: usize = 1_500;
/// Entries of one directory that a helper looks at in one go.
const CHUNK: usize = 8;
/// What a `.hygiene` inside a workspace must hold to be the folder of another volume.
const MARKS: [&str; 2] = ["identity", "journal"];

/// What a walk looks for.
#[derive(Clone, Copy)]
pub struct Walk<'a> {
    /// Which times count.
    pub activity: Activity,
    /// What is later than this is young.
    pub young_after: Timestamp,
    /// What is later than this is a time to come.
    pub now: Timestamp,
    /// Whether all times of the root count, or its mtime alone: after our rename its ctime is ours.
    pub root_was_moved: bool,
    /// Asked before each call.
    pub stop: &'a Stop,
    /// Told of each directory that was looked through.
    pub progress: &'a dyn Progress,
    /// Who may help.
    pub hands: &'a Hands,
}

impl std::fmt::Debug for Walk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk")
            .field("activity", &self.activity)
            .field("young_after", &self.young_after)
            .finish_non_exhaustive()
    }
}

/// Walks the tree `name` in `parent`, up to the first thing that decides. Where it takes its time, helpers look at several
/// entries at once: which of several deciding things is found first may then differ, and never that one is found.
pub fn walk(parent: &Dir, name: &OsStr, walk: Walk<'_>) -> WalkOutcome {
    Walker::new(walk).tree(parent, name)
}

/// Where a directory is below the workspace's root.
struct Place {
    above: Option<Arc<Place>>,
    name: OsString,
    depth: usize,
}

/// What one worker saw, or all of them.
struct Seen {
    newest: Timestamp,
    entries: u64,
    bytes: u64,
}

impl Default for Seen {
    fn default() -> Self {
        Self { newest: Timestamp::MIN, entries: 0, bytes: 0 }
    }
}

impl Walker<'_> {
    fn tree(&self, parent: &Dir, name: &OsStr) -> WalkOutcome {
        std::thread::scope(|scope| match self.root(parent, name) {
            Ok(()) => self.run(scope),
            Err(outcome) => self.decide(outcome),
        });
        self.outcome()
    }

    fn root(&self, parent: &Dir, name: &OsStr) -> Result<(), WalkOutcome> {
        let mut seen = Seen::default();
        let root = parent.facts(name).map_err(|e| incomplete(None, None, &e))?;
        self.look(&mut seen, parent, &root, None, None)?;
        let dir = parent.open_dir(name).map_err(|e| blocked(None, None, &e))?;
        let place = Place { above: None, name: OsString::new(), depth: 0 };
        self.begin(seen, Task::Read { dir: Arc::new(dir), place: Arc::new(place) });
        Ok(())
    }

    fn enter(&self, parent: &Dir, place: Place) -> Result<Task, WalkOutcome> {
        if place.depth >= DEEPEST {
            let why = format!("{} is deeper than {DEEPEST} levels", shown(Some(&place), None));
            return Err(WalkOutcome::Incomplete { why });
        }
        let dir = parent.open_dir(&place.name).map_err(|e| blocked(Some(&place), None, &e))?;
        if place.name == HYGIENE {
            for mark in MARKS {
                if dir.find(OsStr::new(mark)).map_err(|e| incomplete(Some(&place), None, &e))?.is_some() {
                    return Err(WalkOutcome::ForeignIdentity { path: shown(Some(&place), None) });
                }
            }
        }
        Ok(Task::Read { dir: Arc::new(dir), place: Arc::new(place) })
    }

    fn work<'s>(&'s self, scope: &'s Scope<'s, '_>, task: Task) -> Result<(), WalkOutcome> {
        match task {
            Task::Enter { parent, place } => {
                let read = self.enter(&parent, place)?;
                drop(parent);
                self.work(scope, read)
            }
            Task::Read { dir, place } => self.read(scope, &dir, &place),
            Task::Look { dir, place, names } => self.look_at(scope, &dir, &place, &names),
        }
    }

    /// Looks at every entry of `dir`, or leaves some of them to others, and leaves its directories for later.
    fn read<'s>(&'s self, scope: &'s Scope<'s, '_>, dir: &Arc<Dir>, place: &Arc<Place>) -> Result<(), WalkOutcome> {
        let (mut seen, mut decided) = (Seen::default(), Ok(()));
        let mut chunk = Vec::new();
        let ended = dir.for_each(|child, _| {
            if chunk.is_empty() && !self.has_hands() {
                decided = self.child(scope, &mut seen, dir, place, child);
            } else {
                chunk.push(child.to_owned());
                if chunk.len() == CHUNK {
                    let names = std::mem::take(&mut chunk);
                    self.push(scope, Task::Look { dir: Arc::clone(dir), place: Arc::clone(place), names });
                }
            }
            decided.is_ok()
        });
        self.add(&seen);
        decided?;
        ended.map_err(|e| incomplete(Some(place), None, &e))?;
        self.look_at(scope, dir, place, &chunk)
    }

    fn look_at<'s>(
        &'s self,
        scope: &'s Scope<'s, '_>,
        dir: &Arc<Dir>,
        place: &Arc<Place>,
        names: &[OsString],
    ) -> Result<(), WalkOutcome> {
        let mut seen = Seen::default();
        let decided = names.iter().try_for_each(|name| self.child(scope, &mut seen, dir, place, name));
        self.add(&seen);
        decided
    }

    fn child<'s>(
        &'s self,
        scope: &'s Scope<'s, '_>,
        seen: &mut Seen,
        dir: &Arc<Dir>,
        place: &Arc<Place>,
        child: &OsStr,
    ) -> Result<(), WalkOutcome> {
        if self.walk.stop.requested() {
            return Err(WalkOutcome::Incomplete { why: "the sweep was asked to stop".into() });
        }
        if self.over.load(Ordering::Relaxed) {
            return Err(WalkOutcome::Incomplete { why: "something else decided".into() });
        }
        self.looked.fetch_add(1, Ordering::Relaxed);
        let facts = match dir.find(child) {
            Ok(Some(facts)) => facts,
            // Removed between the listing and the look: its directory's mtime tells, and is looked at again here.
            Ok(None) => {
                let facts = dir.own_facts().map_err(|e| incomplete(Some(place), None, &e))?;
                return self.judge(seen, &facts, Some(place), None);
            }
            Err(e) => return Err(incomplete(Some(place), Some(child), &e)),
        };
        self.look(seen, dir, &facts, Some(place), Some(child))?;
        if facts.kind == Kind::Directory {
            let depth = place.depth + 1;
            let place = Place { above: Some(Arc::clone(place)), name: child.to_owned(), depth };
            self.push(scope, Task::Enter { parent: Arc::clone(dir), place });
        }
        Ok(())
    }

    fn look(
        &self,
        seen: &mut Seen,
        dir: &Dir,
        facts: &Facts,
        place: Option<&Place>,
        name: Option<&OsStr>,
    ) -> Result<(), WalkOutcome> {
        if !dir.same_mount(facts) {
            return Err(WalkOutcome::MountPoint { path: shown(place, name) });
        }
        seen.entries += 1;
        // A file with several names counts once its last name goes, so it frees nothing here for certain.
        if facts.kind == Kind::Directory || facts.links == 1 {
            seen.bytes = seen.bytes.saturating_add(facts.bytes);
        }
        self.judge(seen, facts, place, name)
    }

    fn judge(
        &self,
        seen: &mut Seen,
        facts: &Facts,
        place: Option<&Place>,
        name: Option<&OsStr>,
    ) -> Result<(), WalkOutcome> {
        let moved = place.is_none() && self.walk.root_was_moved;
        let at = newest(facts, if moved { Activity::Modified } else { self.walk.activity });
        if at > after(self.walk.now, TOLERANCE) {
            return Err(WalkOutcome::Future { at, path: shown(place, name) });
        }
        if at > self.walk.young_after {
            return Err(WalkOutcome::Young { at, path: shown(place, name) });
        }
        seen.newest = seen.newest.max(at);
        Ok(())
    }
}

fn incomplete(place: Option<&Place>, name: Option<&OsStr>, error: &FsError) -> WalkOutcome {
    WalkOutcome::Incomplete { why: format!("{}: {error}", shown(place, name)) }
}

fn blocked(place: Option<&Place>, name: Option<&OsStr>, error: &FsError) -> WalkOutcome {
    if error.errno == Errno::XDEV {
        return WalkOutcome::MountPoint { path: shown(place, name) };
    }
    incomplete(place, name, error)
}

/// The path below the workspace's root of what is called `name` at `place`, for people; `.` is that root.
fn shown(place: Option<&Place>, name: Option<&OsStr>) -> String {
    let mut names: Vec<&OsStr> = name.into_iter().collect();
    let mut at = place;
    while let Some(place) = at {
        names.push(&place.name);
        at = place.above.as_deref();
    }
    let path: PathBuf = names.iter().rev().collect();
    if path.as_os_str().is_empty() { ".".into() } else { printable(path.as_os_str()) }
}

/// The newest time that counts. Removing one hard link renews the ctime of the inode's other names, so of a file with
/// several names only the mtime tells about this tree.
fn newest(facts: &Facts, activity: Activity) -> Timestamp {
    let shared = facts.kind != Kind::Directory && facts.links > 1;
    match activity {
        Activity::Any if !shared => facts.modified.max(facts.changed).max(facts.born.unwrap_or(Timestamp::MIN)),
        _ => facts.modified,
    }
}
