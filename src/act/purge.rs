//! Purges what is condemned, with the engine, at the rate the spec allows: which trees, on whose word, and what the journal
//! says of it.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::Duration;

use super::{Act, StepError, Undone};
use crate::fsio::{Dir, FsError, printable};
use crate::journal::{Event, Op, Step};
use crate::names::EntryId;
use crate::observe::Sidecar;
use crate::observe::volume::{ENTRY, WORKSPACE};
use crate::progress::Working;
use crate::purge::{Engine, Pace, Watcher};

/// Longest sidecar that is read, in bytes.
const SIDECAR_LIMIT: u64 = 64 * 1024;
/// While trees are removed the service is asked again after so long: the engine relies on a yes for five seconds more, and no
/// answer may be older than ten.
const ASK_AFTER: Duration = Duration::from_secs(5);

/// And orders and lock are proved again after so long, which costs calls.
const PROVE_AFTER: Duration = Duration::from_secs(1);

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
        let limits = &self.policy.limits.purge;
        let most = usize::try_from(limits.concurrency).unwrap_or(usize::MAX);
        let engine = Engine::new(Arc::new(Pace::new(Some(limits.entries_per_second), most)), false);
        for (one, sidecar) in condemned.iter().zip(sidecars) {
            if let Err(undone) = self.may_delete() {
                self.note("purge", "purging", Err(undone));
                break;
            }
            let name = sidecar.as_ref().map_or_else(|| one.id.to_string(), |sidecar| sidecar.name.clone());
            let result = self.purge(one, sidecar.as_ref(), &name, &engine);
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

    #[tracing::instrument(level = "debug", skip(self, one, sidecar, engine))]
    fn purge(&mut self, one: &Condemned, sidecar: Option<&Sidecar>, name: &str, engine: &Engine) -> Result<(), Undone> {
        let folder = self.hygiene.purging.open_dir(&one.folder)?;
        let Some(inode) = self.journal.ledger().condemned.get(&one.id).copied() else {
            return Err(Undone::Wrong("the journal does not say that we condemned it; move it away".into()));
        };
        if folder.find(OsStr::new(WORKSPACE))?.is_some_and(|tree| tree.inode != inode) {
            return Err(Undone::Wrong("its tree is not the one that was condemned; move it away".into()));
        }
        let watched = Watched { act: self, proved: Cell::new(self.clock.uptime()) };
        let removed = engine.remove(folder.again()?, OsStr::new(WORKSPACE), self.stop, &watched);
        for (path, error) in removed.errors {
            let message = format!("{path}: {error}");
            self.acted.errors.push(StepError { name: name.to_owned(), step: "purge", message });
        }
        if let Some(why) = removed.halted {
            // Orders that stand no more, or a lock that is lost, end the sweep; a service that is unwell only pauses it.
            self.go_on()?;
            return Err(if why.is_empty() || self.stop.requested() { Undone::Stopped } else { Undone::Paused(why) });
        }
        if !removed.whole {
            let failed = removed.failed;
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

/// Asked by the engine whether to go on.
struct Watched<'a> {
    act: &'a Act<'a>,
    /// When orders and lock were proved last, by the machine's uptime.
    proved: Cell<Duration>,
}

impl Watcher for Watched<'_> {
    fn may_go_on(&self) -> Result<(), String> {
        self.act.service.is_well_by(ASK_AFTER)?;
        self.act.policy.schedule.open(self.act.clock.now()).map_err(|closed| closed.to_string())?;
        let now = self.act.clock.uptime();
        if now.saturating_sub(self.proved.get()) >= PROVE_AFTER {
            self.act.go_on().map_err(|undone| undone.to_string())?;
            self.proved.set(now);
        }
        Ok(())
    }

    fn removed(&self, entries: u64) {
        if entries > 0 {
            self.act.progress.advance(entries);
        }
    }

    fn working(&self, working: &Working) {
        self.act.progress.purging(working);
    }
}
