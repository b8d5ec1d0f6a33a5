//! Purges what is condemned, with the engine, at the rate the spec allows: which trees, on whose word, and what the journal
//! says of it.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use super::watched::Watched;
use super::{Act, LockError, LockWait, Shard, ShardLock, StepError, Undone};
use crate::fsio::{Dir, FsError, printable};
use crate::journal::{Event, Op, Step};
use crate::names::EntryId;
use crate::observe::Sidecar;
use crate::observe::volume::{ENTRY, WORKSPACE};
use crate::purge::{Engine, Pace};

/// Longest sidecar that is read, in bytes.
const SIDECAR_LIMIT: u64 = 64 * 1024;

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

    /// The folder that holds tree and sidecar.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn open(&self, purging: &Dir) -> Result<Dir, FsError> {
        purging.open_dir(&self.folder)
    }

    /// Its sidecar; `None` where there is none, or none that makes sense.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn sidecar(&self, purging: &Dir) -> Result<Option<Sidecar>, FsError> {
        let content = self.open(purging)?.read_file(OsStr::new(ENTRY), SIDECAR_LIMIT)?;
        Ok(content.and_then(|content| serde_json::from_slice(&content).ok()))
    }
}

/// A condemned tree by its folder, with what is known of it.
struct Known<'a> {
    one: &'a Condemned,
    /// One that cannot be read costs the report its figures, and nothing else.
    sidecar: Option<Sidecar>,
    name: String,
}

impl<'a> Known<'a> {
    fn of(one: &'a Condemned, purging: &Dir) -> Self {
        let sidecar = one.sidecar(purging).ok().flatten();
        let name = sidecar.as_ref().map_or_else(|| one.id.to_string(), |sidecar| sidecar.name.clone());
        Self { one, sidecar, name }
    }

    fn entries(&self) -> Option<u64> {
        self.sidecar.as_ref().map(|sidecar| sidecar.evidence.entries)
    }
}

impl Act<'_> {
    /// Removes everything that is condemned, whichever sweep condemned it. Where several remove it side by side, it only brings
    /// to an end what they removed.
    pub(crate) fn purge_condemned(&mut self) {
        let condemned = match Condemned::all(&self.hygiene.purging) {
            Ok(condemned) => condemned,
            Err(error) => return self.note("purge", "purging", Err(error.into())),
        };
        if condemned.is_empty() {
            return;
        }
        let condemned: Vec<_> = condemned.iter().map(|one| Known::of(one, &self.hygiene.purging)).collect();
        if self.policy.limits.purge.shards > 1 {
            self.end_condemned(&condemned);
        } else {
            match self.alone() {
                Ok(alone) => self.remove_condemned(&condemned, &alone),
                Err(undone) => self.note("purge", "purging", Err(undone)),
            }
        }
    }

    /// The lock of whoever removes condemned trees alone: none is removed by two.
    fn alone(&self) -> Result<ShardLock, Undone> {
        let holder = self.lock.holder();
        let whom = (holder.who.as_str(), holder.command.as_str());
        let (hygiene, wait) = (&self.hygiene.dir, LockWait::default());
        ShardLock::take(hygiene, Shard::WHOLE, whom, wait, self.clock, self.stop).map_err(|error| match error {
            LockError::Stopped => Undone::Stopped,
            error => Undone::Wrong(format!(
                "what is condemned stays for now: {}; the next sweep tries again",
                error.without_way_out()
            )),
        })
    }

    fn remove_condemned(&mut self, condemned: &[Known<'_>], alone: &ShardLock) {
        self.progress.begin("purging", condemned.iter().map(Known::entries).sum());
        let limits = &self.policy.limits.purge;
        let most = usize::try_from(limits.concurrency).unwrap_or(usize::MAX);
        let engine = Engine::new(Arc::new(Pace::new(Some(limits.entries_per_second), most)), false);
        for known in condemned {
            if let Err(undone) = self.may_delete() {
                self.note("purge", "purging", Err(undone));
                break;
            }
            let result = self.purge(known, &engine, alone);
            self.note("purge", &known.name, result);
        }
        self.progress.end();
    }

    /// Writes down which trees are gone, and counts the others.
    fn end_condemned(&mut self, condemned: &[Known<'_>]) {
        for known in condemned {
            if self.is_over() {
                break;
            }
            let result = self.end_where_gone(known);
            self.note("purge", &known.name, result);
        }
    }

    fn end_where_gone(&mut self, known: &Known<'_>) -> Result<(), Undone> {
        let folder = known.one.open(&self.hygiene.purging)?;
        let inode = self.is_ours(known.one, &folder)?;
        let name = OsStr::new(WORKSPACE);
        // It was removed on another host: both what a look-up and what a listing tells must say so.
        if folder.find(name)?.is_some() || folder.listed_inode(name)?.is_some() {
            self.acted.left_to_shards += 1;
            return Ok(());
        }
        self.go_on()?;
        self.end(known, inode, &folder)
    }

    /// The inode of a tree that we condemned, by the journal. One that is gone is ours too.
    fn is_ours(&self, one: &Condemned, folder: &Dir) -> Result<u64, Undone> {
        let Some(inode) = self.journal.ledger().condemned.get(&one.id).copied() else {
            return Err(Undone::Wrong("the journal does not say that we condemned it; move it away".into()));
        };
        if folder.find(OsStr::new(WORKSPACE))?.is_some_and(|tree| tree.inode != inode) {
            return Err(Undone::Wrong("its tree is not the one that was condemned; move it away".into()));
        }
        Ok(inode)
    }

    #[tracing::instrument(level = "debug", skip_all, fields(name = known.name))]
    fn purge(&mut self, known: &Known<'_>, engine: &Engine, alone: &ShardLock) -> Result<(), Undone> {
        let folder = known.one.open(&self.hygiene.purging)?;
        let inode = self.is_ours(known.one, &folder)?;
        let go_on = || {
            self.go_on()?;
            alone.prove(&self.hygiene.dir).map_err(|lost| Undone::Halted(lost.to_string()))
        };
        let prove = || go_on().map_err(|undone| undone.to_string());
        let watched = Watched::new(&self.service, &self.policy.schedule, self.clock, self.progress, &prove);
        let removed = engine.remove(folder.again()?, OsStr::new(WORKSPACE), self.stop, &watched);
        // Orders that stand no more, or a lock that is lost, end the sweep; a service that is unwell only pauses it.
        let halted = removed.halted.map(|why| match go_on() {
            Err(undone) => undone,
            Ok(()) if why.is_empty() || self.stop.requested() => Undone::Stopped,
            Ok(()) => Undone::Paused(why),
        });
        for (path, error) in removed.errors {
            let message = format!("{path}: {error}");
            self.acted.errors.push(StepError { name: known.name.clone(), step: "purge", message });
        }
        if let Some(undone) = halted {
            return Err(undone);
        }
        if !removed.whole {
            return Err(Undone::in_part(removed.failed));
        }
        self.end(known, inode, &folder)
    }

    /// Writes down that a tree is gone, and removes what is left of its entry.
    fn end(&mut self, known: &Known<'_>, inode: u64, folder: &Dir) -> Result<(), Undone> {
        let (one, name) = (known.one, &known.name);
        if !self.journal.ledger().purged.contains(&one.id) {
            let evidence = known.sidecar.as_ref().map(|sidecar| &sidecar.evidence);
            let (entries, bytes) = evidence.map_or((0, 0), |evidence| (evidence.entries, evidence.bytes));
            let why = evidence.map_or_else(
                || "its entry.json cannot be read".to_owned(),
                |evidence| format!("condemned after quarantine by sweep {}, plan {}", evidence.sweep, evidence.plan),
            );
            let step = Step { op: Op::Purge, entry: one.id.clone(), name: name.clone(), inode, entries, bytes, why };
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
        self.acted.purged.push(name.clone());
        Ok(())
    }
}
