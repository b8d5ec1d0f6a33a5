//! The planner: a synchronous, total function of (policy, snapshot, now). No clock, no log, no await, no I/O, and no
//! choice left to whoever carries the plan out.

// Total: nothing in here may end in a panic.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod binding;
mod check;
mod decide;
mod guards;
mod hash;
mod hold;
mod quarantine;
mod verdict;

pub use binding::identity_now;
pub use check::{Violation, check};
pub use decide::{ByName, WORK_BUDGET, candidates, hash_held_for, orphan_keys, plan, plan_by};
pub use guards::{Finding, GuardAnswer, explain};
pub use hold::{Hold, HoldKind, HoldReason, Resolution, is_complete};
pub use quarantine::{Decision, EntryPlan, RestoreReason, RetainReason, assess};
pub use verdict::{KeepReason, QuarantineReason, Verdict};

use jiff::Timestamp;

use crate::names::{EntryId, EntryName, PlanHash, SessionId};
use crate::observe::DirectoryFacts;

/// What one sweep will do, and why. Immutable: it can be printed, compared, stored and carried out.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Hash over the resource, the volume, the breaker and all orphans.
    pub hash: PlanHash,
    /// The instant it was made for.
    pub now: Timestamp,
    /// Why nothing is quarantined or condemned, if so.
    pub held: Option<Hold>,
    /// One verdict for every entry below the root, in the order of the snapshot's entries.
    pub verdicts: Vec<Verdict>,
    /// The workspaces to quarantine, in order.
    pub victims: Vec<Victim>,
    /// One decision for every entry of the quarantine.
    pub quarantine: Vec<EntryPlan>,
    /// How many entries are workspaces.
    pub workspaces: u64,
    /// How many workspaces are orphans.
    pub orphans: u64,
    /// How many workspaces belong to live sessions.
    pub live: u64,
    /// Everything that holds, `held` first.
    pub in_force: Vec<HoldReason>,
    /// What must be observed before the plan is final.
    pub wanted: Wanted,
}

impl Plan {
    /// Whether a gate holds it: then nothing was counted that a breaker would ask about.
    pub fn is_gated(&self) -> bool {
        self.held.as_ref().is_some_and(|hold| hold.reason.kind() == HoldKind::Gate)
    }

    /// Whether a person's approval is all that may be missing. A plan that a gate holds says nothing: its sources did not
    /// answer, or did so in a way that is not believed. Nor does one of things that do not belong together.
    pub fn is_approvable(&self) -> bool {
        self.held.as_ref().is_none_or(|hold| hold.reason.yields_to_approval())
    }
}

/// Observations the plan asks for. A plan that still wants something gives those entries no chance to be a victim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Orphans to inspect, by index, the longest idle first.
    pub inspections: Vec<usize>,
    /// Inspections stop once so many were confirmed.
    pub confirmed: u32,
    /// Quarantined trees to walk a second time, in order.
    pub second_walks: Vec<EntryId>,
}

/// One workspace to quarantine, with the evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Victim {
    /// Index into the snapshot's entries.
    pub index: usize,
    /// Its name.
    pub name: EntryName,
    /// Its session id.
    pub session: SessionId,
    /// Its root directory, to prove sameness by.
    pub root: DirectoryFacts,
    /// When the walk that found it idle began.
    pub inspection_started: Timestamp,
    /// The newest activity in the tree.
    pub newest: Timestamp,
    /// Entries in the tree.
    pub entries: u64,
    /// Bytes allocated by the tree.
    pub bytes: u64,
}
