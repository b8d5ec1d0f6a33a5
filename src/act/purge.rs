//! Removes condemned trees: relative to held handles, never across a mount point, never through a symlink, at the rate
//! the spec allows, and stopping before the next call when asked to.

use std::ffi::{OsStr, OsString};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use governor::clock::Clock as _;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use rustix::io::Errno;

use super::{Act, Service, StepError, Undone};
use crate::fsio::{Dir, FsError, Kind, printable};
use crate::journal::{Event, Op, Step};
use crate::names::EntryId;
use crate::observe::Sidecar;
use crate::observe::volume::{ENTRY, WORKSPACE};
use crate::progress::Progress;
use crate::stop::Stop;

/// Longest sidecar that is read, in bytes.
const SIDECAR_LIMIT: u64 = 64 * 1024;
/// A directory deeper than this is first moved up beside its tree, so that open handles do not grow with depth.
const DEEPEST: usize = 128;
/// What a directory is called that was moved up, before its number.
const MOVED_UP: &str = "deep-";
/// How often a directory is read again that still holds something after everything in it was removed.
const PASSES: u32 = 4;
/// Longest time between two looks at the request to stop while waiting for the rate limit.
const SLICE: Duration = Duration::from_millis(50);
/// Errors named one by one for a tree; the rest are counted.
const NAMED_ERRORS: usize = 20;

/// A tree in the purge folder. Made only by looking there: nothing else can be purged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condemned {
    id: EntryId,
    folder: OsString,
}

impl Condemned {
    /// Everything that is condemned and not yet gone, in id order.
    ///
    /// # Errors
    /// When the purge folder cannot be listed.
    pub fn all(purging: &Dir) -> Result<Vec<Self>, FsError> {
        let mut all: Vec<Self> = purging
            .names()?
            .into_iter()
            .map(|(folder, _)| Self { id: EntryId::new(printable(&folder)), folder })
            .collect();
        all.sort_by(|a, b| a.folder.cmp(&b.folder));
        Ok(all)
    }

    /// Its entry id.
    pub fn id(&self) -> &EntryId {
        &self.id
    }
}

impl Act<'_> {
    /// Removes everything that is condemned, whichever sweep condemned it.
    pub(crate) fn purge_condemned(&mut self) {
        let condemned = match Condemned::all(&self.hygiene.purging) {
            Ok(condemned) => condemned,
            Err(error) => return self.note("purge", "purging", Err(error.into())),
        };
        if condemned.is_empty() {
            return;
        }
        let sidecars: Vec<_> = condemned.iter().map(|one| self.sidecar_of(one)).collect();
        let total = sidecars.iter().map(|s| s.as_ref().map(|s| s.evidence.entries)).sum::<Option<u64>>();
        self.progress.begin("purging", total);
        let limit = NonZeroU32::new(self.policy.limits.purge.entries_per_second).unwrap_or(NonZeroU32::MIN);
        let bucket =
            RateLimiter::direct(Quota::per_second(limit).allow_burst(NonZeroU32::new(100).unwrap_or(limit).min(limit)));
        for (one, sidecar) in condemned.iter().zip(sidecars) {
            if let Err(undone) = self.may_delete() {
                self.note("purge", "purging", Err(undone));
                break;
            }
            let name = sidecar.as_ref().map_or_else(|| one.id.to_string(), |sidecar| sidecar.name.clone());
            let result = self.purge(one, sidecar.as_ref(), &name, &bucket);
            self.note("purge", &name, result);
        }
        self.progress.end();
    }

    /// The sidecar of a condemned tree. One that cannot be read costs the report its figures, and nothing else.
    fn sidecar_of(&self, one: &Condemned) -> Option<Sidecar> {
        let folder = self.hygiene.purging.open_dir(&one.folder).ok()?;
        let content = folder.read_file(OsStr::new(ENTRY), SIDECAR_LIMIT).ok()??;
        serde_json::from_slice(&content).ok()
    }

    fn purge(
        &mut self,
        one: &Condemned,
        sidecar: Option<&Sidecar>,
        name: &str,
        bucket: &DefaultDirectRateLimiter,
    ) -> Result<(), Undone> {
        let folder = self.hygiene.purging.open_dir(&one.folder)?;
        let Some(inode) = self.journal.ledger().condemned.get(&one.id).copied() else {
            return Err(Undone::Wrong("the journal does not say that we condemned it; move it away".into()));
        };
        if folder.find(OsStr::new(WORKSPACE))?.is_some_and(|tree| tree.inode != inode) {
            return Err(Undone::Wrong("its tree is not the one that was condemned; move it away".into()));
        }
        let mut remover = Remover {
            folder: &folder,
            bucket,
            stop: self.stop,
            service: &self.service,
            progress: self.progress,
            moved_up: 0,
            errors: Vec::new(),
        };
        let result = remover.trees();
        let errors = remover.errors;
        let failed = errors.len();
        for (path, error) in errors.into_iter().take(NAMED_ERRORS) {
            self.acted.errors.push(StepError {
                name: name.to_owned(),
                step: "purge",
                message: format!("{path}: {error}"),
            });
        }
        result?;
        if failed > 0 {
            let what =
                format!("{failed} entries could not be removed; the rest is gone, and the next sweep tries again");
            return Err(Undone::Wrong(what));
        }
        if !self.journal.ledger().purged.contains(&one.id) {
            let evidence = sidecar.map(|sidecar| &sidecar.evidence);
            let (entries, bytes) = evidence.map_or((0, 0), |evidence| (evidence.entries, evidence.bytes));
            let why = evidence.map_or_else(
                || "its entry.json cannot be read".to_owned(),
                |evidence| format!("condemned after quarantine by sweep {}, plan {}", evidence.sweep, evidence.plan),
            );
            let step = Step { op: Op::Purge, entry: one.id.clone(), name: name.to_owned(), inode, entries, bytes, why };
            self.journal(Event::Purged(step))?;
            self.acted.reclaimed.directories += 1;
            self.acted.reclaimed.entries += entries;
            self.acted.reclaimed.bytes += bytes;
        }
        // The sidecar goes last: while it is there, what the tree was is known.
        if folder.find(OsStr::new(ENTRY))?.is_some() {
            folder.unlink(OsStr::new(ENTRY))?;
        }
        self.hygiene.purging.remove_dir(&one.folder)?;
        tracing::info!(name, entry = %one.id, "purged");
        self.acted.purged.push(name.to_owned());
        Ok(())
    }
}

struct Level {
    dir: Dir,
    path: PathBuf,
    pending: Vec<OsString>,
    passes: u32,
    /// Whether something below could not be removed, so that this directory cannot go either.
    stuck: bool,
}

struct Remover<'a> {
    folder: &'a Dir,
    bucket: &'a DefaultDirectRateLimiter,
    stop: &'a Stop,
    service: &'a Service<'a>,
    progress: &'a dyn Progress,
    moved_up: u32,
    errors: Vec<(String, FsError)>,
}

impl Remover<'_> {
    /// Removes the tree, and what was moved up from it. Anything else in the folder is not ours: it stays, and the folder
    /// with it.
    fn trees(&mut self) -> Result<(), Undone> {
        loop {
            let mut names = self.folder.names()?;
            names.retain(|(name, _)| name == WORKSPACE || is_moved_up(name));
            let before = self.errors.len();
            for (name, _) in &names {
                let folder = self.folder;
                match folder.open_dir(name) {
                    Ok(dir) => self.tree(dir, name)?,
                    Err(e) if matches!(e.errno, Errno::NOTDIR | Errno::LOOP) => {
                        self.unlink(folder, name, Path::new(""))?;
                    }
                    Err(error) => self.cannot(Path::new(name), error),
                }
            }
            if names.is_empty() || self.errors.len() > before {
                return Ok(());
            }
        }
    }

    fn tree(&mut self, dir: Dir, name: &OsStr) -> Result<(), Undone> {
        let mut levels = vec![Level { dir, path: name.into(), pending: Vec::new(), passes: 0, stuck: false }];
        self.pass(&mut levels[0])?;
        while let Some(mut level) = levels.pop() {
            let Some(child) = level.pending.pop() else {
                self.leave(level, &mut levels)?;
                continue;
            };
            if levels.len() + 1 >= DEEPEST {
                self.move_up(&mut level, &child)?;
                levels.push(level);
                continue;
            }
            let path = level.path.join(&child);
            let opened = level.dir.open_dir(&child);
            level.stuck |= opened.is_err();
            levels.push(level);
            match opened {
                Ok(dir) => {
                    let mut below = Level { dir, path, pending: Vec::new(), passes: 0, stuck: false };
                    self.pass(&mut below)?;
                    levels.push(below);
                }
                Err(error) => self.cannot(&path, error),
            }
        }
        Ok(())
    }

    /// Unlinks everything in the directory that is no directory itself, and lists those for later.
    fn pass(&mut self, level: &mut Level) -> Result<(), Undone> {
        level.passes += 1;
        let entries = match level.dir.names() {
            Ok(entries) => entries,
            Err(error) => {
                level.stuck = true;
                self.cannot(&level.path, error);
                return Ok(());
            }
        };
        for (name, kind) in entries {
            // A file system that does not say what an entry is gets asked; one that vanished needs no removal.
            let kind = match kind {
                Some(kind) => Some(kind),
                None => level.dir.find(&name)?.map(|facts| facts.kind),
            };
            match kind {
                Some(Kind::Directory) => level.pending.push(name),
                Some(Kind::Symlink | Kind::Other) => level.stuck |= !self.unlink(&level.dir, &name, &level.path)?,
                None => {}
            }
        }
        Ok(())
    }

    /// Removes a directory that was emptied; one that is not empty after all is read again, a few times.
    fn leave(&mut self, mut level: Level, levels: &mut Vec<Level>) -> Result<(), Undone> {
        let mut removed = !level.stuck;
        if removed {
            self.wait()?;
            let parent = levels.last().map_or(self.folder, |parent| &parent.dir);
            let name = level.path.file_name().unwrap_or_default().to_owned();
            let result = with_rights(parent, || parent.remove_dir(&name));
            match result {
                Ok(()) => self.progress.advance(1),
                Err(e) if e.errno == Errno::NOENT => {}
                Err(e) if e.errno == Errno::NOTEMPTY && level.passes < PASSES => {
                    self.pass(&mut level)?;
                    levels.push(level);
                    return Ok(());
                }
                Err(error) => {
                    removed = false;
                    self.cannot(&level.path, error);
                }
            }
        }
        if let Some(parent) = levels.last_mut() {
            parent.stuck |= !removed;
        }
        Ok(())
    }

    /// Whether the entry is gone.
    fn unlink(&mut self, dir: &Dir, name: &OsStr, path: &Path) -> Result<bool, Undone> {
        self.wait()?;
        match with_rights(dir, || dir.unlink(name)) {
            Ok(()) => {
                self.progress.advance(1);
                Ok(true)
            }
            Err(e) if e.errno == Errno::NOENT => Ok(true),
            Err(error) => {
                self.cannot(&path.join(name), error);
                Ok(false)
            }
        }
    }

    /// Moves a deep directory beside its tree, where the next round removes it.
    fn move_up(&mut self, level: &mut Level, child: &OsStr) -> Result<(), Undone> {
        self.wait()?;
        let moved = loop {
            self.moved_up += 1;
            let name = OsString::from(format!("{MOVED_UP}{}", self.moved_up));
            let result = with_rights(&level.dir, || level.dir.rename_new(child, self.folder, &name));
            match result {
                Err(e) if e.errno == Errno::EXIST => {}
                // A directory without the right to write cannot be given another parent.
                Err(e) if e.errno == Errno::ACCESS => {
                    let opened = level.dir.open_dir(child).and_then(|dir| dir.make_writable());
                    break opened.and_then(|()| level.dir.rename_new(child, self.folder, &name));
                }
                other => break other,
            }
        };
        if let Err(error) = moved {
            level.stuck = true;
            self.cannot(&level.path.join(child), error);
        }
        Ok(())
    }

    fn cannot(&mut self, path: &Path, error: FsError) {
        self.errors.push((printable(path.as_os_str()), error));
    }

    /// Waits for the rate limit; asked to stop, or with a service that is not well, it stops at once.
    fn wait(&self) -> Result<(), Undone> {
        loop {
            if self.stop.requested() {
                return Err(Undone::Stopped);
            }
            if let Err(why) = self.service.is_well() {
                return Err(if self.stop.requested() { Undone::Stopped } else { Undone::Paused(why) });
            }
            match self.bucket.check() {
                Ok(()) => return Ok(()),
                Err(not_yet) => {
                    std::thread::sleep(not_yet.wait_time_from(self.bucket.clock().now()).min(SLICE));
                }
            }
        }
    }
}

/// Whether a name is one that a deep directory was given beside its tree.
fn is_moved_up(name: &OsStr) -> bool {
    let number = name.to_str().and_then(|name| name.strip_prefix(MOVED_UP));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Runs `remove`, and once more with every right on the directory where the first try lacked one: a tree may hold
/// read-only directories, and it is condemned as a whole.
fn with_rights(dir: &Dir, remove: impl Fn() -> Result<(), FsError>) -> Result<(), FsError> {
    match remove() {
        Err(e) if e.errno == Errno::ACCESS && dir.make_writable().is_ok() => remove(),
        other => other,
    }
}
