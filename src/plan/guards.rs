//! The guards, in the order in which they decide. The first that keeps an entry gives the reason; `explain` shows all.

use jiff::{SignedDuration, Timestamp};

use super::hold::{HoldReason, unavailable};
use super::verdict::KeepReason;
use crate::fsio::Kind;
use crate::names::SessionId;
use crate::observe::volume::HYGIENE;
use crate::observe::{DirectoryFacts, Entry, KeepFileState, Reading, Snapshot, Volume, WalkOutcome};
use crate::policy::{KeepFileRule, Policy};
use crate::records::{Approval, OrphanKey, orphan_key};

/// One entry with everything that is known about it.
pub(super) struct Subject<'a> {
    pub(super) policy: &'a Policy,
    pub(super) seen: &'a Snapshot,
    pub(super) now: Timestamp,
    pub(super) index: usize,
    pub(super) entry: &'a Entry,
    pub(super) session: Option<SessionId>,
    pub(super) twins: &'a Twins,
    /// Everything that holds, once it is known.
    pub(super) holds: &'a [HoldReason],
    /// Whether a person approved that it goes.
    pub(super) approved: bool,
}

type Guard = (&'static str, fn(&Subject<'_>) -> Option<KeepReason>);

/// What the name and the session rows alone decide.
pub(super) const BY_NAME: &[Guard] = &[
    ("it is not our own folder", |s| (s.entry.name.as_os_str() == HYGIENE).then_some(KeepReason::Reserved)),
    ("its name is UTF-8", |s| s.entry.name.as_str().is_none().then_some(KeepReason::NotUtf8)),
    ("its name yields a session id", |s| s.session.is_none().then_some(KeepReason::ForeignName)),
    ("it is a directory", kind),
    ("no keep glob matches", keep_glob),
    ("its id can be an id", |s| s.session.as_ref().filter(|id| !id.is_usable()).map(|_| KeepReason::UnusableId)),
    ("no other name has its id", |s| {
        s.session.as_ref().filter(|id| s.twins.contain(id)).map(|_| KeepReason::DuplicateId)
    }),
    ("every source answered", |s| unavailable(s.seen).next().map(|_| KeepReason::SourceUnavailable)),
    ("no live session", live),
    ("no live session spelt otherwise", near_match),
    ("no container claims it", claimed),
];

/// What the root directory decides.
pub(super) const BY_ROOT: &[Guard] = &[
    ("its root can be read", |s| s.root().err().map(|why| KeepReason::RootUnreadable(why.into()))),
    ("nothing is mounted on it", |s| s.root().ok()?.mount_point.then_some(KeepReason::MountPoint)),
    ("no keep file pins it", keep_file),
    ("its root carries no time to come", |s| {
        let newest = s.root().ok()?.newest(s.policy.activity);
        (newest > crate::clock::after(s.now, crate::clock::TOLERANCE)).then_some(KeepReason::FutureTime(newest))
    }),
    ("its root is older than minAge", |s| {
        let newest = s.root().ok()?.newest(s.policy.activity);
        s.is_young(newest).then_some(KeepReason::TooYoung(newest))
    }),
];

/// What decides about an orphan.
pub(super) const BY_INSPECTION: &[Guard] = &[
    ("no other volume is inside", nested_volume),
    ("nothing holds the sweep", held),
    ("the database knows its id, or it was approved", row_unknown),
    ("we may move it", |s| s.root().ok()?.immovable.clone().map(KeepReason::NotMovable)),
    ("it was not inspected and kept just now", |s| s.back_off().map(KeepReason::BackOff)),
    ("its whole tree is idle for minAge", inspection),
];

impl<'a> Subject<'a> {
    /// An entry of which nothing is decided yet.
    pub(super) fn new(
        policy: &'a Policy,
        seen: &'a Snapshot,
        now: Timestamp,
        index: usize,
        entry: &'a Entry,
        twins: &'a Twins,
    ) -> Self {
        let session = policy.pattern.session(&entry.name);
        Self { policy, seen, now, index, entry, session, twins, holds: &[], approved: false }
    }

    fn root(&self) -> Result<&DirectoryFacts, &str> {
        match self.seen.roots.get(&self.index) {
            Some(Reading::Complete(facts)) => Ok(facts),
            Some(Reading::Unavailable(why)) => Err(why),
            None => Err("it was not asked for"),
        }
    }

    fn is_young(&self, time: Timestamp) -> bool {
        let age = self.now.duration_since(time);
        SignedDuration::try_from(self.policy.min_age).map_or(true, |least| age < least)
    }

    /// Whether sessions in any state are known, and none of them has its id.
    fn is_unknown_row(&self) -> bool {
        let known = self.seen.sessions.complete().and_then(|sessions| sessions.known.as_ref());
        known.zip(self.session.as_ref()).is_some_and(|(known, id)| !known.contains(id))
    }

    /// Whether it is young and the database knows nothing of it: without a query for known sessions it is known only
    /// when it is live.
    pub(super) fn is_young_unknown(&self, kept: Option<&KeepReason>) -> bool {
        let known = self.seen.sessions.complete().and_then(|sessions| sessions.known.as_ref());
        matches!(kept, Some(KeepReason::TooYoung(_))) && (known.is_none() || self.is_unknown_row())
    }

    /// Its name and the state of its root, where it was read.
    pub(super) fn key(&self) -> Option<OrphanKey> {
        let root = self.root().ok()?;
        Some(orphan_key(&self.entry.name, root.inode, root.changed))
    }

    /// Whether a person approved that it goes, in the state in which it is.
    pub(super) fn is_approved(&self) -> bool {
        self.is_approved_by(|_| true)
    }

    /// Whether it may go while this hold is in force.
    fn is_approved_under(&self, reason: HoldReason) -> bool {
        let by_this = |approval: &Approval| approval.reason.as_deref() == Some(reason.word());
        self.approved && reason.yields_to_approval() && (reason.is_about_numbers() || self.is_approved_by(by_this))
    }

    fn is_approved_by(&self, wanted: impl Fn(&Approval) -> bool) -> bool {
        // Where history is not known nothing counts as approved.
        let history = self.seen.history.complete();
        let mut approvals =
            history.into_iter().flat_map(|history| &history.approved).filter(|one| wanted(one)).peekable();
        approvals.peek().is_some() && self.key().is_some_and(|key| approvals.any(|approval| approval.covers(&key)))
    }

    /// When the next inspection is due, where one is not due yet.
    pub(super) fn back_off(&self) -> Option<Timestamp> {
        let note = self.seen.history.complete()?.inspected.get(self.entry.name.as_str()?)?;
        let same = self.root().ok()?.inode == note.inode;
        let next = note.next(self.policy.min_age);
        (same && next > self.now).then_some(next)
    }

    /// The first of `guards` that keeps the entry.
    pub(super) fn first(&self, guards: &[Guard]) -> Option<KeepReason> {
        guards.iter().find_map(|(_, guard)| guard(self))
    }
}

/// Ids that more than one name below the root yields, by canonical form.
#[derive(Debug, Default)]
pub(super) struct Twins(Vec<u64>);

impl Twins {
    pub(super) fn of(volume: &Volume, policy: &Policy) -> Self {
        let ids = volume.entries.iter().filter_map(|entry| policy.pattern.session(&entry.name));
        let mut hashes: Vec<u64> = ids.map(|id| id.canonical_hash()).collect();
        hashes.sort_unstable();
        let next = hashes.iter().skip(1);
        let mut twins: Vec<u64> = hashes.iter().zip(next).filter(|(a, b)| a == b).map(|(a, _)| *a).collect();
        twins.dedup();
        Self(twins)
    }

    fn contain(&self, id: &SessionId) -> bool {
        !self.0.is_empty() && self.0.binary_search(&id.canonical_hash()).is_ok()
    }
}

fn kind(s: &Subject<'_>) -> Option<KeepReason> {
    match s.entry.kind {
        Some(Kind::Directory) => None,
        Some(Kind::Symlink) => Some(KeepReason::Symlink),
        Some(Kind::Other) => Some(KeepReason::NotADirectory),
        None => Some(KeepReason::KindUnknown),
    }
}

fn keep_glob(s: &Subject<'_>) -> Option<KeepReason> {
    s.policy.keep.matching(&s.entry.name).map(KeepReason::KeepGlob)
}

fn live(s: &Subject<'_>) -> Option<KeepReason> {
    let sessions = s.seen.sessions.complete()?;
    sessions.ids.contains(s.session.as_ref()?).then_some(KeepReason::LiveSession)
}

fn near_match(s: &Subject<'_>) -> Option<KeepReason> {
    let sessions = s.seen.sessions.complete()?;
    let id = s.session.as_ref()?;
    (sessions.ids.contains_canonical(id) && !sessions.ids.contains(id)).then_some(KeepReason::NearMatch)
}

fn claimed(s: &Subject<'_>) -> Option<KeepReason> {
    let claims = s.seen.claims.as_ref()?.complete()?;
    let id = s.session.as_ref()?;
    (claims.contains(id) || claims.contains_canonical(id)).then_some(KeepReason::Claimed)
}

fn keep_file(s: &Subject<'_>) -> Option<KeepReason> {
    pin(s.policy, &s.root().ok()?.keep_file, s.now).map(KeepReason::KeepFile)
}

/// Whether a keep file pins now: `Some(None)` for ever, `Some(Some(t))` until `t`.
pub(super) fn pin(policy: &Policy, file: &KeepFileState, now: Timestamp) -> Option<Option<Timestamp>> {
    match (policy.keep_file, file) {
        (KeepFileRule::Ignore, _) | (_, KeepFileState::Absent) => None,
        (KeepFileRule::Allow, KeepFileState::Pins) => Some(None),
        (KeepFileRule::Allow, KeepFileState::PinsUntil(end)) => (*end > now).then_some(Some(*end)),
    }
}

/// Told before the hold that it makes.
fn nested_volume(s: &Subject<'_>) -> Option<KeepReason> {
    match &s.seen.inspections.get(&s.index)?.outcome {
        WalkOutcome::ForeignIdentity { path } => Some(KeepReason::NestedVolume(path.as_str().into())),
        _ => None,
    }
}

/// A breaker lets through what a person approved; a gate lets nothing through.
fn held(s: &Subject<'_>) -> Option<KeepReason> {
    s.holds.iter().copied().find(|reason| !s.is_approved_under(*reason)).map(KeepReason::Held)
}

fn row_unknown(s: &Subject<'_>) -> Option<KeepReason> {
    (s.is_unknown_row() && !s.approved).then_some(KeepReason::RowUnknown)
}

fn inspection(s: &Subject<'_>) -> Option<KeepReason> {
    let Some(inspection) = s.seen.inspections.get(&s.index) else { return Some(KeepReason::NotInspected) };
    match &inspection.outcome {
        WalkOutcome::Idle { newest, .. } if s.is_young(*newest) => Some(KeepReason::ActiveInside(*newest, ".".into())),
        WalkOutcome::Idle { .. } => None,
        WalkOutcome::Young { at, path } => Some(KeepReason::ActiveInside(*at, path.as_str().into())),
        WalkOutcome::Future { at, path } => Some(KeepReason::FutureInside(*at, path.as_str().into())),
        WalkOutcome::MountPoint { path } => Some(KeepReason::MountPointInside(path.as_str().into())),
        WalkOutcome::ForeignIdentity { path } => Some(KeepReason::NestedVolume(path.as_str().into())),
        WalkOutcome::Incomplete { why } => Some(KeepReason::InspectionIncomplete(why.as_str().into())),
    }
}

/// One guard's answer about one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What the guard asks for.
    pub guard: &'static str,
    /// What it answered.
    pub answer: GuardAnswer,
}

/// What a guard answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuardAnswer {
    /// It does not keep the entry.
    Passes,
    /// It keeps the entry.
    Keeps(KeepReason),
    /// An earlier guard made the observation unnecessary that this one needs.
    NotAsked,
}

/// Every guard's answer about the entry at `index`, in order. The first that keeps decided.
pub fn explain(policy: &Policy, seen: &Snapshot, now: Timestamp, index: usize) -> Vec<Finding> {
    let Some(volume) = seen.volume.complete() else { return Vec::new() };
    let Some(entry) = volume.entries.get(index) else { return Vec::new() };
    let twins = Twins::of(volume, policy);
    let mut subject = Subject::new(policy, seen, now, index, entry, &twins);
    let holds = super::plan(policy, seen, now).in_force;
    subject.holds = &holds;
    subject.approved = subject.is_approved();
    let mut kept_before = false;
    let mut findings = Vec::new();
    for (group, guards) in [BY_NAME, BY_ROOT, BY_INSPECTION].into_iter().enumerate() {
        // Root facts and inspections are observed only for entries that every earlier group let pass.
        let observed = group == 0 || !kept_before;
        for (guard, ask) in guards {
            let answer = match observed.then(|| ask(&subject)) {
                None => GuardAnswer::NotAsked,
                Some(None) => GuardAnswer::Passes,
                Some(Some(reason)) => GuardAnswer::Keeps(reason),
            };
            findings.push(Finding { guard, answer });
        }
        kept_before |= findings.iter().any(|f| matches!(f.answer, GuardAnswer::Keeps(_)));
    }
    findings
}
