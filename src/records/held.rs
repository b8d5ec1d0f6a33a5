//! Held plans, and what people say to them.

use std::ffi::OsStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{RecordsError, read, remove, write};
use crate::fsio::Dir;
use crate::names::PlanHash;

/// The folder of held plans and answers, below `.hygiene` or in the state directory.
pub const HELD: &str = "held";
pub(super) const PLAN: &str = "plan.json";
pub(super) const APPROVED: &str = "approved.json";
const ANSWER: &str = "answer-";

/// One orphan, in the state in which a person saw it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrphanKey {
    /// Its name below the root.
    pub name: String,
    /// Inode of its root.
    pub inode: u64,
    /// When the inode last changed: a root that was touched since is another matter.
    pub changed: Timestamp,
}

/// A plan that a breaker stopped, stored whole until a person approves or dismisses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldPlan {
    /// Its hash.
    pub hash: PlanHash,
    /// Why it is held, in one word.
    pub reason: String,
    /// Why it is held, as a sentence.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
    /// How many sessions were live, where their number is what held it: approving it says that it is right.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub live: Option<u64>,
    /// All its orphans, in name order.
    pub orphans: Vec<OrphanKey>,
}

/// What a person approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// The plan.
    pub hash: PlanHash,
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What held the plan when it was approved, if anything did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The orphans that are not through yet, in name order.
    pub orphans: Vec<OrphanKey>,
}

impl Approval {
    /// Whether the orphan, in this very state, is part of it.
    pub fn covers(&self, orphan: &OrphanKey) -> bool {
        self.orphans.binary_search(orphan).is_ok()
    }
}

/// What a person says to a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AnswerKind {
    /// Its orphans may go.
    Approve,
    /// It is dropped, and the next sweep looks afresh.
    Dismiss,
}

/// What a person said, until a sweep has taken it over. Leaving one needs no lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Which of the two.
    pub kind: AnswerKind,
    /// The plan's hash.
    pub hash: PlanHash,
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What the volume was bound to then; see [`super::Identity::binding`].
    pub binding: String,
    /// What held the plan, if anything did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The plan's orphans, in name order.
    pub orphans: Vec<OrphanKey>,
}

impl Answer {
    fn file(&self) -> String {
        format!("{ANSWER}{}-{}.json", self.at.as_nanosecond(), self.hash)
    }

    /// Leaves the answer in `dir`, where the next sweep finds it.
    ///
    /// # Errors
    /// When it cannot be made durable.
    pub fn leave(&self, dir: &Dir) -> Result<(), String> {
        let held = dir.ensure_dir(OsStr::new(HELD)).map_err(|e| e.to_string())?;
        write(&held, &self.file(), self)
    }

    pub(super) fn remove(&self, held: &Dir) -> Result<(), String> {
        remove(held, &self.file())
    }

    /// Removes every answer in the folder `held`, whether it can be read or not.
    pub(super) fn remove_all(held: &Dir) -> Result<(), String> {
        for (name, _) in held.names().map_err(|e| e.to_string())? {
            if let Some(name) = name.to_str().filter(|name| name.starts_with(ANSWER)) {
                remove(held, name)?;
            }
        }
        Ok(())
    }

    pub(super) fn all(held: &Dir) -> Result<Vec<Self>, RecordsError> {
        let mut answers = Vec::new();
        for (name, _) in held.names()? {
            let Some(name) = name.to_str().filter(|name| name.starts_with(ANSWER) && name.ends_with(".json")) else {
                continue;
            };
            answers.extend(read::<Self>(held, name)?);
        }
        Ok(answers)
    }
}
