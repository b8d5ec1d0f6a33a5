//! From quarantine to the purge: the one step that cannot be taken back.

use std::ffi::OsStr;

use super::{Act, Undone};
use crate::fsio::{Dir, printable};
use crate::journal::{Event, Op, Step};
use crate::names::EntryId;
use crate::observe::volume::{ENTRY, Hands, WORKSPACE, Walk, read_keep_file, walk};
use crate::observe::{KeepFileState, Sidecar, WalkOutcome};
use crate::progress::Unwatched;

/// Longest sidecar that is read, in bytes.
const SIDECAR_LIMIT: u64 = 64 * 1024;

impl Act<'_> {
    /// Moves the folder of `entry`, tree and sidecar together, from quarantine to the purge.
    #[tracing::instrument(level = "debug", skip(self, entry, why))]
    pub(crate) fn condemn(&mut self, entry: &EntryId, name: &str, why: &str) -> Result<(), Undone> {
        self.may_delete()?;
        let id = OsStr::new(entry.as_str());
        let sidecar = self.last_checks(entry)?;
        let step = Step {
            op: Op::Condemn,
            entry: entry.clone(),
            name: name.to_owned(),
            inode: sidecar.inode,
            entries: sidecar.evidence.entries,
            bytes: sidecar.evidence.bytes,
            why: format!("{why}, quarantined {:.0} by sweep {}", sidecar.quarantined, sidecar.evidence.sweep),
        };
        self.journal(Event::Intent(step.clone()))?;
        if let Err(undone) = self.last_words(entry, &sidecar) {
            return Err(self.abandon(&step, undone));
        }
        let renamed = self.hygiene.quarantine.rename_new(id, &self.hygiene.purging, id);
        // What the call answered is only a hint; what the two names say is what happened.
        if self.hygiene.quarantine.find(id)?.is_some() {
            let undone = match renamed {
                Err(e) => Undone::Fs(e),
                Ok(()) => Undone::Wrong("the rename succeeded and moved nothing".into()),
            };
            return Err(self.abandon(&step, undone));
        }
        let moved = self.hygiene.purging.open_dir(id)?.find(OsStr::new(WORKSPACE))?;
        if moved.is_none_or(|tree| tree.inode != sidecar.inode) {
            // The intent stays open: the next sweep looks again.
            return Err(Undone::Wrong("it left quarantine and is not where it was moved to".into()));
        }
        self.hygiene.purging.sync()?;
        self.hygiene.quarantine.sync()?;
        self.journal(Event::Done(step))?;
        tracing::info!(name, entry = %entry, "condemned");
        self.acted.condemned.push(name.to_owned());
        Ok(())
    }

    /// Everything is asked anew. A walk over a large tree takes its time, so what was asked before it may be asked again.
    fn last_words(&mut self, entry: &EntryId, sidecar: &Sidecar) -> Result<(), Undone> {
        let mut asked = self.nobody_speaks_for(&sidecar.session)?;
        self.still_idle(entry, sidecar)?;
        let folder = self.hygiene.quarantine.open_dir(OsStr::new(entry.as_str()))?;
        self.no_keep_file(&folder)?;
        if !self.still_fresh(asked) {
            asked = self.nobody_speaks_for(&sidecar.session)?;
        }
        self.service_is_well()?;
        if !self.still_fresh(asked) {
            return Err(Undone::Changed("its sources need more than 30 s to answer".into()));
        }
        // Last of all: what is condemned is not put back, whatever the orders are then.
        self.go_on()
    }

    fn no_keep_file(&self, folder: &Dir) -> Result<(), Undone> {
        match read_keep_file(&folder.open_dir(OsStr::new(WORKSPACE))?, self.policy)? {
            KeepFileState::Pins => Err(Undone::Changed("a keep file appeared".into())),
            KeepFileState::PinsUntil(end) if end > self.clock.now() => {
                Err(Undone::Changed("a keep file appeared".into()))
            }
            KeepFileState::PinsUntil(_) | KeepFileState::Absent => Ok(()),
        }
    }

    /// What must hold of the entry itself right before it is condemned.
    fn last_checks(&self, entry: &EntryId) -> Result<Sidecar, Undone> {
        let folder = self.hygiene.quarantine.open_dir(OsStr::new(entry.as_str()))?;
        let content = folder.read_file(OsStr::new(ENTRY), SIDECAR_LIMIT)?;
        let content = content.ok_or_else(|| Undone::Wrong("its entry.json is missing".into()))?;
        let sidecar: Sidecar =
            serde_json::from_slice(&content).map_err(|e| Undone::Wrong(format!("entry.json: {e}")))?;
        let tree = folder.facts(OsStr::new(WORKSPACE))?;
        let ours = self.journal.ledger().quarantined.get(entry).is_some_and(|moved| moved.inode == tree.inode);
        if !ours || tree.inode != sidecar.inode || tree.born != sidecar.born || !folder.same_mount(&tree) {
            return Err(Undone::Wrong("its tree is not the one the journal says was moved here".into()));
        }
        let mut strange = None;
        folder.for_each(|name, _| {
            strange = Some(name).filter(|name| *name != ENTRY && *name != WORKSPACE).map(printable);
            strange.is_none()
        })?;
        if let Some(name) = strange {
            // A process whose working directory is the workspace writes here when it writes to `..`.
            return Err(Undone::Wrong(format!("its folder holds {name}, which is not ours; move it away")));
        }
        self.no_keep_file(&folder)?;
        Ok(sidecar)
    }

    /// The last look before the step that cannot be taken back: the plan's second walk may be minutes old by now, and a
    /// process that still has a directory of the tree open can write to it.
    fn still_idle(&self, entry: &EntryId, sidecar: &Sidecar) -> Result<(), Undone> {
        let folder = self.hygiene.quarantine.open_dir(OsStr::new(entry.as_str()))?;
        let walk_for = Walk {
            activity: self.policy.activity,
            young_after: sidecar.evidence.newest,
            now: self.clock.now(),
            root_was_moved: true,
            stop: self.stop,
            progress: &Unwatched,
            hands: &Hands::beside(1),
        };
        match walk(&folder, OsStr::new(WORKSPACE), walk_for) {
            WalkOutcome::Idle { .. } => Ok(()),
            WalkOutcome::Young { path, .. } => Err(Undone::Changed(format!("{path} was written to just now"))),
            other => Err(Undone::Changed(format!("its tree cannot be called idle any more: {other:?}"))),
        }
    }
}
