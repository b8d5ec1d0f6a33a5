//! Verdicts: one for every entry below the root, each with the one reason that decided.

use jiff::Timestamp;

use super::hold::HoldReason;
use crate::policy::Policy;
use crate::report::text::{ago, length, until};

/// What happens to one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stays.
    Keep(KeepReason),
    /// It is moved to quarantine.
    Quarantine(QuarantineReason),
}

/// Why an entry is quarantined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuarantineReason {
    /// No live session, no claim, and the whole tree idle for `minAge`.
    NoLiveSession,
}

/// Why an entry stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeepReason {
    /// It is our own `.hygiene`.
    Reserved,
    /// Its name is not UTF-8.
    NotUtf8,
    /// Its name yields no session id.
    ForeignName,
    /// It is a symlink in place of a workspace.
    Symlink,
    /// It is neither a directory nor a symlink.
    NotADirectory,
    /// What it is could not be found out.
    KindUnknown,
    /// A keep glob matches; its index in the spec.
    KeepGlob(usize),
    /// The id its name yields cannot be an id.
    UnusableId,
    /// Another name yields the same id.
    DuplicateId,
    /// A source did not answer, so nothing can be said.
    SourceUnavailable,
    /// Its session is live.
    LiveSession,
    /// A live id differs from its own only in spelling.
    NearMatch,
    /// A running container claims it.
    Claimed,
    /// Its root directory could not be read.
    RootUnreadable(Box<str>),
    /// Something is mounted on it.
    MountPoint,
    /// Its keep file pins it, until then or for ever.
    KeepFile(Option<Timestamp>),
    /// Its root directory carries a time to come.
    FutureTime(Timestamp),
    /// Its root directory was active then.
    TooYoung(Timestamp),
    /// It was inspected not long ago and kept; the next inspection is due then.
    BackOff(Timestamp),
    /// No session in any state has its id.
    RowUnknown,
    /// We lack a right that moving it needs.
    NotMovable(Box<str>),
    /// The sweep is held, and this orphan with it.
    Held(HoldReason),
    /// It was not inspected in this sweep.
    NotInspected,
    /// Something inside was active then, there.
    ActiveInside(Timestamp, Box<str>),
    /// Something inside carries a time to come.
    FutureInside(Timestamp, Box<str>),
    /// Something is mounted inside.
    MountPointInside(Box<str>),
    /// Another volume of ours is inside.
    NestedVolume(Box<str>),
    /// The whole tree could not be seen.
    InspectionIncomplete(Box<str>),
    /// The sweep already takes as many as it may.
    PerSweepLimit,
    /// The budget of the rolling period is spent.
    BudgetSpent,
    /// It is larger than the whole budget of a period.
    LargerThanBudget(u64),
}

impl Verdict {
    /// `Keep` or `Quarantine`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Keep(_) => "Keep",
            Self::Quarantine(_) => "Quarantine",
        }
    }

    /// The reason in one word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Quarantine(QuarantineReason::NoLiveSession) => "NoLiveSession",
            Self::Keep(reason) => reason.word(),
        }
    }

    /// The reason as a sentence for people.
    pub fn message(&self, policy: &Policy, now: Timestamp) -> String {
        match self {
            Self::Quarantine(QuarantineReason::NoLiveSession) => {
                format!("no live session, no claim, and nothing in the tree younger than {}", length(policy.min_age))
            }
            Self::Keep(reason) => reason.message(policy, now),
        }
    }
}

impl KeepReason {
    /// Whether the entry counts as an orphan: no live session, no claim, root older than `minAge`, not pinned.
    pub fn is_orphan(&self) -> bool {
        use KeepReason as K;
        matches!(
            self,
            K::BackOff(_)
                | K::Held(_)
                | K::RowUnknown
                | K::NotMovable(_)
                | K::NotInspected
                | K::ActiveInside(..)
                | K::FutureInside(..)
                | K::MountPointInside(_)
                | K::NestedVolume(_)
                | K::InspectionIncomplete(_)
                | K::PerSweepLimit
                | K::BudgetSpent
                | K::LargerThanBudget(_)
        )
    }

    fn word(&self) -> &'static str {
        use KeepReason as K;
        match self {
            K::Reserved => "Reserved",
            K::NotUtf8 => "NotUTF8",
            K::ForeignName => "ForeignName",
            K::Symlink => "Symlink",
            K::NotADirectory => "NotADirectory",
            K::KindUnknown => "KindUnknown",
            K::KeepGlob(_) => "KeepGlob",
            K::UnusableId => "UnusableID",
            K::DuplicateId => "DuplicateID",
            K::SourceUnavailable => "SourceUnavailable",
            K::LiveSession => "LiveSession",
            K::NearMatch => "NearMatch",
            K::Claimed => "Claimed",
            K::RootUnreadable(_) => "RootUnreadable",
            K::MountPoint => "MountPoint",
            K::KeepFile(_) => "KeepFile",
            K::FutureTime(_) => "FutureTime",
            K::TooYoung(_) => "TooYoung",
            K::BackOff(_) => "BackOff",
            K::Held(_) => "Held",
            K::RowUnknown => "RowUnknown",
            K::NotMovable(_) => "NotMovable",
            K::NotInspected => "NotInspected",
            K::ActiveInside(..) => "ActiveInside",
            K::FutureInside(..) => "FutureInside",
            K::MountPointInside(_) => "MountPointInside",
            K::NestedVolume(_) => "NestedVolume",
            K::InspectionIncomplete(_) => "InspectionIncomplete",
            K::PerSweepLimit => "PerSweepLimit",
            K::BudgetSpent => "BudgetSpent",
            K::LargerThanBudget(_) => "LargerThanBudget",
        }
    }

    fn message(&self, policy: &Policy, now: Timestamp) -> String {
        use KeepReason as K;
        match self {
            K::Reserved => "holds the quarantine and the journal".into(),
            K::NotUtf8 => "the name is not UTF-8, so it yields no session id".into(),
            K::ForeignName => "the name does not match spec.workspaces.pattern".into(),
            K::Symlink => "a symlink in place of a workspace is never followed".into(),
            K::NotADirectory => "a workspace is a directory".into(),
            K::KindUnknown => "it vanished or could not be read while the volume was listed".into(),
            K::KeepGlob(index) => {
                let glob = policy.keep.glob(*index).unwrap_or_default();
                format!("spec.workspaces.keep[{index}] ({glob}) matches")
            }
            K::UnusableId => "the id its name yields is empty or no single path component".into(),
            K::DuplicateId => "another name below the root yields the same session id".into(),
            K::SourceUnavailable => "a source did not answer, and unknown is never absent".into(),
            K::LiveSession => "its session is live".into(),
            K::NearMatch => "a live session's id differs from its own only in spelling".into(),
            K::Claimed => "a running container claims it".into(),
            K::RootUnreadable(why) => format!("its root directory cannot be read: {why}"),
            K::MountPoint => "something is mounted on it".into(),
            K::KeepFile(None) => "its .hygiene-keep file pins it".into(),
            K::KeepFile(Some(end)) => format!("its .hygiene-keep file pins it until {end}"),
            K::FutureTime(at) => format!("its root carries a time to come, {at}: a clock is wrong"),
            K::TooYoung(at) => {
                format!("active {}; it must be idle for {}", ago(*at, now), length(policy.min_age))
            }
            K::BackOff(next) => format!("inspected not long ago and kept; due again {}", until(*next, now)),
            K::Held(reason) => format!("an orphan, but the sweep is held: {}", reason.word()),
            K::RowUnknown => {
                "an orphan whose id is unknown to sessions.knownQuery; it goes only when its plan is approved".into()
            }
            K::NotMovable(why) => format!("an orphan that cannot be moved: {why}"),
            K::NotInspected => "an orphan, not inspected in this sweep: longer idle ones come first".into(),
            K::ActiveInside(at, path) => format!("active {} at {path}", ago(*at, now)),
            K::FutureInside(at, path) => format!("{path} carries a time to come, {at}: a clock is wrong"),
            K::MountPointInside(path) => format!("{path} is a mount point"),
            K::NestedVolume(path) => format!("{path} is the identity of another volume"),
            K::InspectionIncomplete(why) => format!("its tree could not be seen whole: {why}"),
            K::PerSweepLimit => format!("a confirmed orphan; limits.perSweep is {}", policy.limits.per_sweep),
            K::BudgetSpent => format!("an orphan; the budget of {} is spent", length(policy.limits.budget.period)),
            K::LargerThanBudget(bytes) => {
                format!("a confirmed orphan of {bytes} bytes; limits.budget.size is {}", policy.limits.budget.bytes)
            }
        }
    }
}
