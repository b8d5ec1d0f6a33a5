//! The journal: an append-only list of what was meant and what came of it, one JSON object a line. Each line carries the
//! SHA-256 of the line before, so that a line changed or removed later shows. Every process writes a file of its own; old
//! ones are put together, and dropped once nothing needs them.

mod ledger;
mod reserve;
mod rotate;
mod write;

pub use ledger::{Ledger, Moved, read};
pub(crate) use reserve::give_free as make_room;
pub use reserve::{RESERVE, set_aside};
pub use rotate::set_apart;
pub use write::Journal;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::fsio::FsError;
use crate::names::{EntryId, PlanHash, SweepId, hex};

/// The `prev` of the first record.
const GENESIS: &str = "0";

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// When it was written.
    pub at: Timestamp,
    /// The sweep or command it belongs to.
    pub sweep: SweepId,
    /// Who wrote it: user, host, process, version.
    pub actor: String,
    /// What it says.
    #[serde(flatten)]
    pub event: Event,
    /// SHA-256 of the line before.
    pub prev: String,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Event {
    /// A step is about to be taken.
    Intent(Step),
    /// A step was taken.
    Done(Step),
    /// A step was not taken, or undone.
    Abandoned(Step),
    /// A condemned tree is gone.
    Purged(Step),
    /// A plan was held because of an anomaly.
    Held(Remark),
    /// A person approved a plan.
    Approved(Remark),
    /// A person dismissed a plan.
    Dismissed(Remark),
    /// The volume was bound to a resource and a database.
    Bound(Remark),
}

impl Event {
    /// The step it is about; `None` for what is said of a whole plan or volume.
    pub fn step(&self) -> Option<&Step> {
        match self {
            Self::Intent(step) | Self::Done(step) | Self::Abandoned(step) | Self::Purged(step) => Some(step),
            Self::Held(_) | Self::Approved(_) | Self::Dismissed(_) | Self::Bound(_) => None,
        }
    }

    /// Whether it is about the workspace with this name, or the quarantine entry with this id.
    pub fn is_about(&self, name_or_id: &str) -> bool {
        self.step().is_some_and(|step| step.name == name_or_id || step.entry.as_str() == name_or_id)
    }

    /// What is said of a whole plan or volume.
    pub fn remark(&self) -> Option<&Remark> {
        match self {
            Self::Held(remark) | Self::Approved(remark) | Self::Dismissed(remark) | Self::Bound(remark) => Some(remark),
            Self::Intent(_) | Self::Done(_) | Self::Abandoned(_) | Self::Purged(_) => None,
        }
    }

    /// Why, and on what evidence.
    pub fn why(&self) -> &str {
        match (self.step(), self.remark()) {
            (Some(step), _) => &step.why,
            (None, Some(remark)) => &remark.why,
            (None, None) => "",
        }
    }
}

/// What is said of a whole plan or volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    /// The plan, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub plan: Option<PlanHash>,
    /// Who said it, and why.
    pub why: String,
}

/// A step and its subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The step.
    pub op: Op,
    /// The quarantine entry.
    pub entry: EntryId,
    /// The workspace's name below the root.
    pub name: String,
    /// Inode of the workspace's root.
    pub inode: u64,
    /// Entries in the tree.
    pub entries: u64,
    /// Bytes allocated by the tree.
    pub bytes: u64,
    /// Why, and on what evidence.
    pub why: String,
}

/// A step that changes the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// From the root into quarantine.
    Quarantine,
    /// From quarantine back under its name.
    Restore,
    /// From quarantine to the purge; irreversible.
    Condemn,
    /// Removal of a condemned tree.
    Purge,
}

/// Why the journal cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// A file-system call failed.
    #[error("journal: {0}")]
    Fs(#[from] FsError),
    /// A line is not a record.
    #[error("journal: {file} line {line} is no record ({why}): a line was damaged")]
    Damaged {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// A file of the journal was listed and could not be found.
    #[error("journal: {file} was listed and then not found; sweep again")]
    Vanished {
        /// The file.
        file: String,
    },
    /// An earlier record could not be made durable.
    #[error(
        "journal: a record could not be made durable, or somebody else writes, so nothing more is done; sweep again"
    )]
    Closed,
    /// The chain does not hold.
    #[error("journal: the chain breaks at {file} line {line}: a line was changed, added or removed by somebody else")]
    BrokenChain {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
    },
}

impl JournalError {
    /// Whether the journal was read, and is not as we left it: trying again does not help.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::BrokenChain { .. })
    }
}

fn digest(line: &[u8]) -> String {
    hex(&Sha256::digest(line))
}

/// The whole lines of a file, without their newlines.
fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let whole = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    content[..whole].split_inclusive(|byte| *byte == b'\n').map(|line| &line[..line.len() - 1])
}
