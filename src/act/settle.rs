//! Every sweep first finds out what became of the steps a killed predecessor meant to take.

use std::ffi::OsStr;

use super::{Act, Undone};
use crate::fsio::FsError;
use crate::journal::{Event, Op, Step};
use crate::observe::volume::WORKSPACE;

impl Act<'_> {
    /// Settles every open intent by looking at both names, and removes folders that hold no tree.
    pub fn settle(&mut self) {
        for step in self.journal.ledger().open.clone() {
            let result = match step.op {
                Op::Quarantine => self.settle_quarantine(&step),
                Op::Restore => self.settle_restore(&step),
                Op::Condemn | Op::Purge => self.settle_condemn(&step),
            };
            self.note("settle", &step.name, result);
        }
        let result = self.tidy().map_err(Undone::from);
        self.note("settle", "quarantine", result);
    }

    fn settle_quarantine(&mut self, step: &Step) -> Result<(), Undone> {
        let moved = self.in_quarantine(step)?;
        match moved {
            Some(inode) if inode == step.inode => {
                // It may have been on its way back.
                self.root.remove_placeholder(OsStr::new(&step.name))?;
                self.settled(step, true, "it had been moved")
            }
            None => self.settled(step, false, "it had not been moved"),
            Some(_) => {
                let why = "a sweep that was killed had moved something else than it had inspected";
                self.acted.latched = Some(format!("{}: {why}", step.name));
                self.root.remove_placeholder(OsStr::new(&step.name))?;
                let folder = self.hygiene.quarantine.open_dir(OsStr::new(step.entry.as_str()))?;
                folder.rename_new(OsStr::new(WORKSPACE), self.root, OsStr::new(&step.name))?;
                self.root.sync()?;
                self.settled(step, false, "something else had been moved, and was put back")
            }
        }
    }

    fn settle_restore(&mut self, step: &Step) -> Result<(), Undone> {
        if self.in_quarantine(step)? == Some(step.inode) {
            self.root.remove_placeholder(OsStr::new(&step.name))?;
            return self.settled(step, false, "it had not been put back");
        }
        let back = self.root.find(OsStr::new(&step.name))?.is_some_and(|facts| facts.inode == step.inode);
        let why = if back { "it had been put back" } else { "it had been put back, and is gone from there since" };
        self.settled(step, true, why)
    }

    fn settle_condemn(&mut self, step: &Step) -> Result<(), Undone> {
        if self.in_quarantine(step)?.is_some() {
            self.hygiene.purging.remove_placeholder(OsStr::new(step.entry.as_str()))?;
            return self.settled(step, false, "it had not been condemned");
        }
        self.settled(step, true, "it had been condemned")
    }

    /// Inode of the entry's tree in quarantine, if it is there.
    fn in_quarantine(&self, step: &Step) -> Result<Option<u64>, FsError> {
        let name = OsStr::new(step.entry.as_str());
        if self.hygiene.quarantine.find(name)?.is_none() {
            return Ok(None);
        }
        // From the listing, which no client answers from what it remembers.
        self.hygiene.quarantine.open_dir(name)?.listed_inode(OsStr::new(WORKSPACE))
    }

    fn settled(&mut self, step: &Step, done: bool, what: &str) -> Result<(), Undone> {
        tracing::info!(name = step.name, entry = %step.entry, op = ?step.op, what, "an open step was settled");
        let step = Step { why: format!("settled: {what}"), ..step.clone() };
        self.journal(if done { Event::Done(step) } else { Event::Abandoned(step) })
    }

    /// Removes folders of the quarantine that hold no tree and are not on record as holding one. What cannot be removed
    /// holds something that is not ours: it stays, and the plan shows it as damaged.
    fn tidy(&self) -> Result<(), FsError> {
        for (name, kind) in self.hygiene.quarantine.names()? {
            let id = crate::names::EntryId::new(crate::fsio::printable(&name));
            let on_record = self.journal.ledger().quarantined.contains_key(&id);
            if kind == Some(crate::fsio::Kind::Directory)
                && !on_record
                && let Err(error) = self.remove_folder(&id)
            {
                tracing::warn!(entry = %id, %error, "a folder in quarantine is not ours and stays");
            }
        }
        Ok(())
    }
}
