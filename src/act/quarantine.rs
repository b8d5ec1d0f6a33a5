//! From the root into quarantine.

use std::ffi::OsStr;

use jiff::Timestamp;

use super::{Act, Undone};
use crate::clock::after;
use crate::fsio::{Dir, Facts};
use crate::journal::{Event, Op, Step};
use crate::names::EntryId;
use crate::observe::volume::{ENTRY, WORKSPACE, read_keep_file};
use crate::observe::{DirectoryFacts, Evidence, KeepFileState, Sidecar};
use crate::plan::{Plan, Victim};

impl Act<'_> {
    /// Moves one victim into quarantine. `live` is how many sessions were live, and when they were read.
    #[tracing::instrument(level = "debug", skip_all, fields(name = %victim.name))]
    pub(crate) fn quarantine(&mut self, plan: &Plan, victim: &Victim, live: (u64, Timestamp)) -> Result<(), Undone> {
        self.may_delete()?;
        let Some(name) = victim.name.as_str().map(str::to_owned) else {
            return Err(Undone::Wrong("its name is not UTF-8".into()));
        };
        let id = (self.new_id)();
        let sidecar = self.sidecar(plan, victim, &id, &name, live);
        let step = Step {
            op: Op::Quarantine,
            entry: id.clone(),
            name: name.clone(),
            inode: victim.root.inode,
            entries: victim.entries,
            bytes: victim.bytes,
            why: format!(
                "no live session among {} read at {:.0}, idle since {:.0}, plan {}",
                live.0, live.1, victim.newest, plan.hash
            ),
        };
        // The intent comes first, so that a folder without one is never ours to wonder about.
        self.journal(Event::Intent(step.clone()))?;
        let folder = match self.folder(&id, &sidecar) {
            Ok(folder) => folder,
            Err(undone) => return Err(self.give_up(&step, undone)),
        };
        if let Err(undone) = self.still_the_victim(victim) {
            return Err(self.give_up(&step, undone));
        }
        let renamed = self.root.rename(OsStr::new(&name), &folder, OsStr::new(WORKSPACE));
        // What the call answered is only a hint; what the two names say is what happened.
        let moved = folder.find(OsStr::new(WORKSPACE))?;
        let Some(moved) = moved else {
            let left = self.root.find(OsStr::new(&name))?;
            let undone = match (renamed, left) {
                (Err(e), Some(_)) => Undone::Fs(e),
                (Ok(()), Some(_)) => Undone::Wrong("the rename succeeded and moved nothing".into()),
                // Vanished, or a network file system that does not show yet what it did: the intent stays open, and the
                // next sweep looks again.
                (_, None) => return Err(Undone::Changed("it is found under neither of its two names".into())),
            };
            return Err(self.give_up(&step, undone));
        };
        // By the name alone the client could still show us what it remembers; the listing is read from the file server.
        let listed = folder.listed_inode(OsStr::new(WORKSPACE))?;
        if listed != Some(victim.root.inode) || !same_after_rename(&moved, &victim.root) {
            let why = "what was moved is not what was inspected; it was put back";
            // Also where putting it back goes wrong.
            self.acted.latched = Some(format!("{name}: {why}"));
            return Err(self.put_back(&folder, &step, Undone::NotTheSame(why.into())));
        }
        if let Err(undone) = self.still_nobodys(&folder, victim) {
            return Err(self.put_back(&folder, &step, undone));
        }
        folder.sync()?;
        self.root.sync()?;
        self.journal(Event::Done(step))?;
        tracing::info!(name, entry = %id, bytes = victim.bytes, until = %sidecar.deadline, "quarantined");
        self.acted.quarantined.push(name);
        Ok(())
    }

    fn sidecar(
        &self,
        plan: &Plan,
        victim: &Victim,
        id: &EntryId,
        name: &str,
        (live, sessions_read): (u64, Timestamp),
    ) -> Sidecar {
        let quarantined = self.clock.now();
        Sidecar {
            id: id.clone(),
            name: name.to_owned(),
            session: victim.session.clone(),
            inode: victim.root.inode,
            modified: victim.root.modified,
            born: victim.root.born,
            quarantined,
            deadline: after(quarantined, self.policy.retention),
            evidence: Evidence {
                sweep: self.journal.sweep().clone(),
                plan: plan.hash.clone(),
                live,
                sessions_read,
                inspection_started: victim.inspection_started,
                newest: victim.newest,
                entries: victim.entries,
                bytes: victim.bytes,
            },
        }
    }

    /// Makes the entry's folder with its sidecar, durable before anything is moved into it.
    fn folder(&self, id: &EntryId, sidecar: &Sidecar) -> Result<Dir, Undone> {
        let name = OsStr::new(id.as_str());
        let content = serde_json::to_vec_pretty(sidecar).map_err(|e| Undone::Wrong(format!("sidecar: {e}")))?;
        self.hygiene.quarantine.make_dir(name)?;
        let folder = self.hygiene.quarantine.open_dir(name)?;
        folder.write_new(OsStr::new(ENTRY), &content)?;
        self.hygiene.quarantine.sync()?;
        Ok(folder)
    }

    /// Everything that can be asked before the rename, asked anew.
    fn still_the_victim(&self, victim: &Victim) -> Result<(), Undone> {
        let asked = self.nobody_speaks_for(&victim.session)?;
        let name = victim.name.as_os_str();
        let Some(_) = self.root.find(name)? else {
            return Err(Undone::Changed("it is gone".into()));
        };
        self.no_new_keep_file(&self.root.open_dir(name)?, victim)?;
        let facts = self.root.facts(name)?;
        if !self.root.same_mount(&facts) {
            return Err(Undone::Changed("something was mounted on it".into()));
        }
        if !same_before_rename(&facts, &victim.root) {
            return Err(Undone::Changed("its root changed since it was inspected".into()));
        }
        self.may_delete()?;
        if self.still_fresh(asked) {
            Ok(())
        } else {
            Err(Undone::Changed("the answers for it grew older than 30 s before it could be moved".into()))
        }
    }

    /// The same questions once more after the rename, when nothing else can be moved in its place any more.
    fn still_nobodys(&self, folder: &Dir, victim: &Victim) -> Result<(), Undone> {
        self.nobody_speaks_for(&victim.session)?;
        self.no_new_keep_file(&folder.open_dir(OsStr::new(WORKSPACE))?, victim)?;
        self.orders.standing().map_err(Undone::Halted)
    }

    fn no_new_keep_file(&self, workspace: &Dir, victim: &Victim) -> Result<(), Undone> {
        let keep_file = read_keep_file(workspace, self.policy)?;
        if keep_file == KeepFileState::Absent || keep_file == victim.root.keep_file {
            return Ok(());
        }
        Err(Undone::Changed("a keep file appeared".into()))
    }

    /// Ends a step before anything was moved.
    pub(super) fn give_up(&mut self, step: &Step, undone: Undone) -> Undone {
        if let Err(error) = self.remove_folder(&step.entry) {
            // The next sweep tidies it up.
            tracing::debug!(entry = %step.entry, %error, "an empty quarantine folder stays for now");
        }
        self.abandon(step, undone)
    }

    /// Ends a step after the rename: straight back under its name.
    fn put_back(&mut self, folder: &Dir, step: &Step, undone: Undone) -> Undone {
        let name = OsStr::new(&step.name);
        let back = folder.rename_new(OsStr::new(WORKSPACE), self.root, name);
        match folder.find(OsStr::new(WORKSPACE)) {
            Ok(None) => {
                if let Err(error) = self.root.sync() {
                    return Undone::Fs(error);
                }
                self.give_up(step, undone)
            }
            // Still in quarantine: the open intent keeps the next sweep from taking it for anything else.
            Ok(Some(_)) => Undone::Wrong(format!(
                "{undone}; putting it back failed ({}), so it stays in quarantine as {}",
                back.err().map_or_else(|| "no error".to_owned(), |e| e.to_string()),
                step.entry
            )),
            Err(error) => Undone::Fs(error),
        }
    }
}

fn same_before_rename(now: &Facts, then: &DirectoryFacts) -> bool {
    now.inode == then.inode
        && now.device == then.device
        && now.modified == then.modified
        && now.changed == then.changed
        && now.born == then.born
}

/// The rename itself renews the ctime of what it moves.
fn same_after_rename(now: &Facts, then: &DirectoryFacts) -> bool {
    now.inode == then.inode && now.device == then.device && now.modified == then.modified && now.born == then.born
}
