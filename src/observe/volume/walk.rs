//! A walk over a whole tree: how recently anything in it was active, and whether it is safe to move at all.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use jiff::Timestamp;
use rustix::io::Errno;

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
}

impl std::fmt::Debug for Walk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk")
            .field("activity", &self.activity)
            .field("young_after", &self.young_after)
            .finish_non_exhaustive()
    }
}

/// Walks the tree `name` in `parent`, up to the first thing that decides.
pub fn walk(parent: &Dir, name: &OsStr, walk: Walk<'_>) -> WalkOutcome {
    let mut walker = Walker { walk, levels: Vec::new(), newest: Timestamp::MIN, entries: 0, bytes: 0 };
    match walker.tree(parent, name) {
        Ok(()) => WalkOutcome::Idle { newest: walker.newest, entries: walker.entries, bytes: walker.bytes },
        Err(outcome) => outcome,
    }
}

struct Level {
    dir: Dir,
    name: OsString,
    pending: Vec<OsString>,
}

struct Walker<'a> {
    walk: Walk<'a>,
    levels: Vec<Level>,
    newest: Timestamp,
    entries: u64,
    bytes: u64,
}

impl Walker<'_> {
    fn tree(&mut self, parent: &Dir, name: &OsStr) -> Result<(), WalkOutcome> {
        let root = parent.facts(name).map_err(|e| self.incomplete(None, &e))?;
        self.look(parent, &root, None)?;
        let dir = parent.open_dir(name).map_err(|e| self.blocked(None, &e))?;
        self.enter(dir, OsString::new())?;
        while let Some(level) = self.levels.last_mut() {
            let Some(name) = level.pending.pop() else {
                self.levels.pop();
                continue;
            };
            let opened = level.dir.open_dir(&name);
            let dir = opened.map_err(|e| self.blocked(Some(&name), &e))?;
            self.enter(dir, name)?;
        }
        Ok(())
    }

    /// Looks at every entry of `dir`, and leaves its directories for later.
    fn enter(&mut self, dir: Dir, name: OsString) -> Result<(), WalkOutcome> {
        if self.levels.len() >= DEEPEST {
            let why = format!("{} is deeper than {DEEPEST} levels", self.place(Some(&name)));
            return Err(WalkOutcome::Incomplete { why });
        }
        if name == HYGIENE {
            for mark in MARKS {
                if dir.find(OsStr::new(mark)).map_err(|e| self.incomplete(Some(&name), &e))?.is_some() {
                    return Err(WalkOutcome::ForeignIdentity { path: self.place(Some(&name)) });
                }
            }
        }
        let mut pending = Vec::new();
        let mut decided = Ok(());
        let before = self.entries;
        let ended = dir.for_each(|child, _| {
            decided = self.child(&dir, &name, child, &mut pending);
            decided.is_ok()
        });
        self.walk.progress.advance(self.entries - before);
        decided?;
        ended.map_err(|e| self.incomplete(Some(&name), &e))?;
        self.levels.push(Level { dir, name, pending });
        Ok(())
    }

    fn child(
        &mut self,
        dir: &Dir,
        dir_name: &OsStr,
        child: &OsStr,
        pending: &mut Vec<OsString>,
    ) -> Result<(), WalkOutcome> {
        let path = || PathBuf::from(dir_name).join(child);
        if self.walk.stop.requested() {
            return Err(WalkOutcome::Incomplete { why: "the sweep was asked to stop".into() });
        }
        let facts = match dir.find(child) {
            Ok(Some(facts)) => facts,
            // Removed between the listing and the look: its directory's mtime tells, and is looked at again here.
            Ok(None) => {
                let facts = dir.own_facts().map_err(|e| self.incomplete(Some(dir_name), &e))?;
                return self.judge(&facts, Some(dir_name));
            }
            Err(e) => return Err(self.incomplete(Some(path().as_os_str()), &e)),
        };
        self.look(dir, &facts, Some(path().as_os_str()))?;
        if facts.kind == Kind::Directory {
            pending.push(child.to_owned());
        }
        Ok(())
    }

    fn look(&mut self, dir: &Dir, facts: &Facts, name: Option<&OsStr>) -> Result<(), WalkOutcome> {
        if !dir.same_mount(facts) {
            return Err(WalkOutcome::MountPoint { path: self.place(name) });
        }
        self.entries += 1;
        // A file with several names counts once its last name goes, so it frees nothing here for certain.
        if facts.kind == Kind::Directory || facts.links == 1 {
            self.bytes = self.bytes.saturating_add(facts.bytes);
        }
        self.judge(facts, name)
    }

    fn judge(&mut self, facts: &Facts, name: Option<&OsStr>) -> Result<(), WalkOutcome> {
        let moved = name.is_none() && self.walk.root_was_moved;
        let at = newest(facts, if moved { Activity::Modified } else { self.walk.activity });
        if at > after(self.walk.now, TOLERANCE) {
            return Err(WalkOutcome::Future { at, path: self.place(name) });
        }
        if at > self.walk.young_after {
            return Err(WalkOutcome::Young { at, path: self.place(name) });
        }
        self.newest = self.newest.max(at);
        Ok(())
    }

    fn incomplete(&self, name: Option<&OsStr>, error: &FsError) -> WalkOutcome {
        WalkOutcome::Incomplete { why: format!("{}: {error}", self.place(name)) }
    }

    fn blocked(&self, name: Option<&OsStr>, error: &FsError) -> WalkOutcome {
        if error.errno == Errno::XDEV {
            return WalkOutcome::MountPoint { path: self.place(name) };
        }
        self.incomplete(name, error)
    }

    /// A path below the workspace's root, for people; `.` is that root.
    fn place(&self, name: Option<&OsStr>) -> String {
        let mut path: PathBuf = self.levels.iter().map(|level| level.name.as_os_str()).collect();
        path.extend(name);
        if path.as_os_str().is_empty() { ".".into() } else { printable(path.as_os_str()) }
    }
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
