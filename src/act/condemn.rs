//! From quarantine to the purge: the one step that cannot be taken back.

use std::ffi::OsStr;

use super::{Act, Undone};
use crate::journal::{Event, Op, Step};
use crate::names::EntryId;
use crate::observe::volume::{ENTRY, WORKSPACE, read_keep_file};
use crate::observe::{KeepFileState, Sidecar};

/// Longest sidecar that is read, in bytes.
const SIDECAR_LIMIT: u64 = 64 * 1024;

impl Act<'_> {
    /// Moves the folder of `entry`, tree and sidecar together, from quarantine to the purge.
    pub(crate) fn condemn(&mut self, entry: &EntryId, name: &str, why: &str) -> Result<(), Undone> {
        self.go_on()?;
        let id = OsStr::new(entry.as_str());
        let sidecar = self.last_checks(entry)?;
        let step = Step {
            op: Op::Condemn,
            entry: entry.clone(),
            name: name.to_owned(),
            inode: sidecar.inode,
            entries: sidecar.evidence.entries,
            bytes: sidecar.evidence.bytes,
            why: format!("{why}, quarantined {} by sweep {}", sidecar.quarantined, sidecar.evidence.sweep),
        };
        self.journal(Event::Intent(step.clone()))?;
        if let Err(undone) = self.nobody_speaks_for(&sidecar.session).and_then(|()| self.go_on()) {
            return Err(self.abandon(&step, undone));
        }
        let renamed = self.hygiene.quarantine.rename(id, &self.hygiene.purging, id);
        if self.hygiene.purging.find(id)?.is_none() {
            let undone = match renamed {
                Err(e) => Undone::Fs(e),
                Ok(()) => Undone::Wrong("the rename succeeded and moved nothing".into()),
            };
            return Err(self.abandon(&step, undone));
        }
        self.hygiene.purging.sync()?;
        self.hygiene.quarantine.sync()?;
        self.journal(Event::Done(step))?;
        tracing::info!(name, entry = %entry, "condemned");
        self.acted.condemned.push(name.to_owned());
        Ok(())
    }

    /// What must hold of the entry itself right before it is condemned.
    fn last_checks(&self, entry: &EntryId) -> Result<Sidecar, Undone> {
        let folder = self.hygiene.quarantine.open_dir(OsStr::new(entry.as_str()))?;
        let content = folder.read_file(OsStr::new(ENTRY), SIDECAR_LIMIT)?;
        let content = content.ok_or_else(|| Undone::Wrong("its entry.json is missing".into()))?;
        let sidecar: Sidecar =
            serde_json::from_slice(&content).map_err(|e| Undone::Wrong(format!("entry.json: {e}")))?;
        let tree = folder.facts(OsStr::new(WORKSPACE))?;
        let ours = self.journal.ledger().quarantined.get(entry) == Some(&tree.inode);
        if !ours || tree.inode != sidecar.inode || tree.born != sidecar.born || !folder.same_mount(&tree) {
            return Err(Undone::Wrong("its tree is not the one the journal says was moved here".into()));
        }
        match read_keep_file(&folder.open_dir(OsStr::new(WORKSPACE))?, self.policy)? {
            KeepFileState::Pins => return Err(Undone::Changed("a keep file appeared".into())),
            KeepFileState::PinsUntil(end) if end > self.clock.now() => {
                return Err(Undone::Changed("a keep file appeared".into()));
            }
            KeepFileState::PinsUntil(_) | KeepFileState::Absent => {}
        }
        Ok(sidecar)
    }
}
