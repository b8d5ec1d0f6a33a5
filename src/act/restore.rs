//! From quarantine back under its name, never over a name that exists.

use std::ffi::OsStr;

use rustix::io::Errno;

use super::{Act, Undone};
use crate::fsio::Dir;
use crate::journal::{Event, Op, Step};
use crate::names::EntryId;
use crate::observe::KeepFileState;
use crate::observe::volume::{KEEP_FILE, WORKSPACE, read_keep_file};
use crate::policy::KeepFileRule;

/// Whether what is put back gets a keep file, so that no later sweep takes it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// It does.
    Yes,
    /// It does not.
    No,
}

impl Act<'_> {
    /// Puts the tree of `entry` back under `name`.
    #[tracing::instrument(level = "debug", skip(self, entry, pin))]
    pub(crate) fn restore(&mut self, entry: &EntryId, name: &str, why: &str, pin: Pin) -> Result<(), Undone> {
        self.go_on()?;
        let folder = self.hygiene.quarantine.open_dir(OsStr::new(entry.as_str()))?;
        let Some(tree) = folder.find(OsStr::new(WORKSPACE))? else {
            return Err(Undone::Wrong("its tree is not in quarantine".into()));
        };
        let step = Step {
            op: Op::Restore,
            entry: entry.clone(),
            name: name.to_owned(),
            inode: tree.inode,
            entries: 0,
            bytes: 0,
            why: why.to_owned(),
        };
        self.journal(Event::Intent(step.clone()))?;
        if pin == Pin::Yes
            && let Err(undone) = self.pin_tree(&folder)
        {
            return Err(self.abandon(&step, undone));
        }
        let renamed = folder.rename_new(OsStr::new(WORKSPACE), self.root, OsStr::new(name));
        if folder.find(OsStr::new(WORKSPACE))?.is_some() {
            let undone = match renamed {
                Err(e) if e.errno == Errno::EXIST => Undone::Wrong(format!(
                    "RestoreConflict: {name} exists again, so the quarantined one stays as {entry}; move one away"
                )),
                Err(e) => Undone::Fs(e),
                Ok(()) => Undone::Wrong("the rename succeeded and moved nothing".into()),
            };
            return Err(self.abandon(&step, undone));
        }
        let back = self.root.find(OsStr::new(name))?;
        if back.is_none_or(|facts| facts.inode != tree.inode) {
            // The intent stays open: the next sweep looks again.
            return Err(Undone::Wrong("it left quarantine and is not under its name".into()));
        }
        self.root.sync()?;
        folder.sync()?;
        self.journal(Event::Done(step))?;
        tracing::info!(name, entry = %entry, why, "restored");
        self.acted.restored.push(name.to_owned());
        Ok(self.remove_folder(entry)?)
    }
}

impl Act<'_> {
    /// Leaves a keep file in the tree of an entry, one that pins for ever in place of one whose date is over.
    fn pin_tree(&self, folder: &Dir) -> Result<(), Undone> {
        if self.policy.keep_file == KeepFileRule::Ignore {
            let why = "spec.workspaces.keepFile is Ignore, so nothing can be pinned; restore it with --no-pin";
            return Err(Undone::Wrong(why.into()));
        }
        let tree = folder.open_dir(OsStr::new(WORKSPACE))?;
        match read_keep_file(&tree, self.policy)? {
            KeepFileState::Absent => tree.write_new(OsStr::new(KEEP_FILE), b"")?,
            KeepFileState::PinsUntil(end) if end <= self.clock.now() => {
                tree.replace_file(OsStr::new(KEEP_FILE), b"")?
            }
            KeepFileState::PinsUntil(_) | KeepFileState::Pins => {}
        }
        Ok(())
    }
}
