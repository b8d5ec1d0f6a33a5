//! What is remembered between sweeps: whose volume it is, what earlier sweeps saw, which plan is held and what a person
//! said to it. In Enforce all of it lives in `.hygiene` on the volume; in Report, which writes nothing there, in a folder
//! of the state directory. It must never be guessed: a record that cannot be read is unknown, not absent.

mod held;
mod identity;
mod memory;
mod state;

pub use held::{Answer, AnswerKind, Approval, HELD, HeldPlan, OrphanKey};
pub use identity::{Difference, IDENTITY, Identity};
pub use memory::{MEMORY, Memory, Watch};
pub use state::StateDir;

use std::ffi::OsStr;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fsio::{Dir, FsError};
use crate::names::EntryName;

/// Longest record that is read, in bytes: a held plan of a million orphans has some 150 MB.
const LIMIT: u64 = 1 << 29;

/// Why what is remembered is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordsError {
    /// A record cannot be read now.
    #[error("{0}")]
    Unreadable(String),
    /// A record was read and makes no sense, or one is missing that must be there: trying again does not help.
    #[error("{0}")]
    Damaged(String),
}

impl From<FsError> for RecordsError {
    fn from(error: FsError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// Everything that is remembered, from the volume and from the state directory.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// Whose volume it is; `None` where no sweep has bound it yet.
    pub identity: Option<Identity>,
    /// Whether that identity is on the volume.
    pub bound: bool,
    /// What earlier sweeps saw.
    pub memory: Memory,
    /// The plan that waits for a person.
    pub held: Option<HeldPlan>,
    /// What a person approved and is not through yet.
    pub approved: Vec<Approval>,
    /// What people said since the last sweep, oldest first; already part of `held` and `approved` here.
    pub answers: Vec<Answer>,
}

impl Records {
    /// Reads what is remembered: of the volume where it is bound, else of the state directory. Answers count at once,
    /// wherever they were left.
    ///
    /// # Errors
    /// When a record cannot be read or understood, or one is missing that must be there.
    pub fn read(volume: Option<&Dir>, state: Option<&Dir>) -> Result<Self, RecordsError> {
        let on_volume = match volume {
            Some(dir) => Self::of(dir)?,
            None => Self::default(),
        };
        let bound = on_volume.identity.is_some();
        if bound && !on_volume.memory.was_written() {
            let why = ".hygiene/memory.json is missing, and with it the highest number of live sessions";
            return Err(RecordsError::Damaged(why.into()));
        }
        let mut aside = match state {
            Some(dir) => Self::of(dir)?,
            None => Self::default(),
        };
        let mut answers = on_volume.answers.clone();
        answers.append(&mut aside.answers);
        let records = if bound { on_volume } else { Self { held: on_volume.held, ..aside } };
        let mut records = Self { bound, answers, ..records };
        // What was said of another volume, database or spec, or by another owner, is no answer to what is held here.
        let binding = records.identity.as_ref().map(Identity::binding);
        records.answers.retain(|answer| Some(&answer.binding) == binding.as_ref());
        records.answers.sort_by(|a, b| (a.at, &a.hash).cmp(&(b.at, &b.hash)));
        for answer in records.answers.clone() {
            records.apply(&answer);
        }
        Ok(records)
    }

    fn of(dir: &Dir) -> Result<Self, RecordsError> {
        let held = folder(dir)?;
        let held = held.as_ref();
        Ok(Self {
            identity: read(dir, IDENTITY)?,
            bound: false,
            memory: Memory::read(dir)?,
            held: held.map(|held| read(held, held::PLAN)).transpose()?.flatten(),
            approved: held.map(|held| read(held, held::APPROVED)).transpose()?.flatten().unwrap_or_default(),
            answers: held.map(Answer::all).transpose()?.unwrap_or_default(),
        })
    }

    /// Whether a person has approved a plan since the volume was bound.
    pub fn confirmed(&self) -> bool {
        self.identity.as_ref().is_some_and(|identity| identity.approved) || !self.approved.is_empty()
    }

    /// Takes what a person said into account.
    fn apply(&mut self, answer: &Answer) {
        let meant = self.held.as_ref().is_some_and(|held| held.hash == answer.hash);
        if meant && let Some(held) = self.held.take() {
            // The person saw how many sessions were live, and said that it is right.
            if let Some(live) = held.live.filter(|_| answer.kind == AnswerKind::Approve) {
                self.memory.believe_live(held.since, live);
            }
        }
        if answer.kind == AnswerKind::Dismiss {
            self.approved.retain(|known| known.hash != answer.hash);
        }
        if answer.kind == AnswerKind::Approve {
            if let Some(identity) = &mut self.identity {
                identity.approved = true;
            }
            self.approved.retain(|known| known.hash != answer.hash);
            self.approved.push(Approval {
                hash: answer.hash.clone(),
                by: answer.by.clone(),
                at: answer.at,
                reason: answer.reason.clone(),
                orphans: answer.orphans.clone(),
            });
        }
    }

    /// Writes the identity.
    ///
    /// # Errors
    /// When it cannot be made durable.
    pub fn write_identity(dir: &Dir, identity: &Identity) -> Result<(), String> {
        write(dir, IDENTITY, identity)
    }

    /// Writes what the next sweep must know of held plans, and removes the answers that are part of it now.
    ///
    /// # Errors
    /// When it cannot be made durable.
    pub fn write_held(&self, dir: &Dir, state: Option<&Dir>) -> Result<(), String> {
        let text = |e: FsError| e.to_string();
        let held = dir.ensure_dir(OsStr::new(HELD)).map_err(text)?;
        // The approval first: a crash in between leaves a plan held that is approved already, which only asks again.
        replace(&held, held::APPROVED, (!self.approved.is_empty()).then_some(&self.approved))?;
        replace(&held, held::PLAN, self.held.as_ref())?;
        for place in [Some(dir), state].into_iter().flatten() {
            let Some(place) = folder(place).map_err(text)? else { continue };
            for answer in &self.answers {
                answer.remove(&place)?;
            }
        }
        Ok(())
    }

    /// Removes every answer that was left in `dir`, whatever it says.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn forget_answers(dir: &Dir) -> Result<(), String> {
        folder(dir).map_err(|e| e.to_string())?.map_or(Ok(()), |held| Answer::remove_all(&held))
    }

    /// Forgets approvals of orphans that are gone or changed: `still` tells whether one is as it was.
    pub fn prune(&mut self, still: impl Fn(&OrphanKey) -> bool) {
        for approval in &mut self.approved {
            approval.orphans.retain(&still);
        }
        self.approved.retain(|approval| !approval.orphans.is_empty());
    }
}

/// The key of an orphan: what is approved is this directory in this state, and no other of its name.
pub fn orphan_key(name: &EntryName, inode: u64, changed: jiff::Timestamp) -> OrphanKey {
    OrphanKey { name: name.to_string(), inode, changed }
}

/// The folder of held plans and answers, if it is there.
fn folder(dir: &Dir) -> Result<Option<Dir>, FsError> {
    let name = OsStr::new(HELD);
    dir.find(name)?.map(|_| dir.open_dir(name)).transpose()
}

fn read<T: DeserializeOwned>(dir: &Dir, name: &str) -> Result<Option<T>, RecordsError> {
    let Some(content) = dir.read_file(OsStr::new(name), LIMIT)? else { return Ok(None) };
    serde_json::from_slice(&content).map(Some).map_err(|e| RecordsError::Damaged(format!("{name}: {e}")))
}

fn write<T: Serialize + ?Sized>(dir: &Dir, name: &str, record: &T) -> Result<(), String> {
    let mut content = serde_json::to_vec_pretty(record).map_err(|e| e.to_string())?;
    content.push(b'\n');
    dir.replace_file(OsStr::new(name), &content).map_err(|e| e.to_string())
}

/// Writes a record, or removes it where there is none any more.
fn replace<T: Serialize + ?Sized>(dir: &Dir, name: &str, record: Option<&T>) -> Result<(), String> {
    match record {
        Some(record) => write(dir, name, record),
        None => remove(dir, name),
    }
}

fn remove(dir: &Dir, name: &str) -> Result<(), String> {
    match dir.unlink(OsStr::new(name)) {
        Ok(()) => dir.sync().map_err(|e| e.to_string()),
        Err(e) if e.errno == rustix::io::Errno::NOENT => Ok(()),
        Err(e) => Err(e.to_string()),
    }
}
