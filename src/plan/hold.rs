//! Holds: the gate or breaker that keeps a whole sweep from quarantining and condemning.

use jiff::Timestamp;

use super::binding;
use crate::names::PlanHash;
use crate::observe::{Health, Mounted, Reading, Snapshot};
use crate::policy::{Mode, Policy};
use crate::report::text::length;

/// Why nothing is quarantined or condemned now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The reason in one word.
    pub reason: HoldReason,
    /// The reason as a sentence that ends with what resolves it.
    pub message: String,
    /// Why, without what resolves it.
    pub cause: String,
    /// The plan that is held, where a person can approve it.
    pub plan: Option<PlanHash>,
    /// Since when, where an earlier sweep stored the plan.
    pub since: Option<Timestamp>,
}

/// Whether a hold goes away by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldKind {
    /// A temporary reason to change nothing now.
    Gate,
    /// An anomaly that a person must look at.
    Breaker,
}

/// What ends a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Its cause goes away, or is mended.
    Itself,
    /// A person approves the plan that is held, or dismisses it. Until then it latches.
    Approval,
    /// A person binds the volume anew.
    Adoption,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $kind:ident, $resolution:ident;)*) => {
        /// The reason of a hold.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum HoldReason { $($(#[$doc])* $name,)* }

        impl HoldReason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Gate or breaker.
            pub fn kind(self) -> HoldKind {
                match self { $(Self::$name => HoldKind::$kind,)* }
            }

            /// What ends it.
            pub fn resolution(self) -> Resolution {
                match self { $(Self::$name => Resolution::$resolution,)* }
            }

            /// The reason in one word.
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

reasons! {
    /// A source is unavailable.
    SourceUnavailable = "SourceUnavailable", Gate, Itself;
    /// There is nothing below the root, not even a folder of ours: the volume may not be mounted.
    VolumeEmpty = "VolumeEmpty", Gate, Itself;
    /// We may not write to the root or to our own folder.
    MissingRight = "MissingRight", Gate, Itself;
    /// The resource is suspended.
    Suspended = "Suspended", Gate, Itself;
    /// Deletion is limited to windows, and none is open.
    OutsideWindow = "OutsideWindow", Gate, Itself;
    /// `canaryQuery` returned no row.
    NoCanary = "NoCanary", Gate, Itself;
    /// `freshnessQuery` returned a time older than `maxStaleness`.
    StaleSessions = "StaleSessions", Gate, Itself;
    /// Fewer live sessions than `minimumLive`.
    TooFewLiveSessions = "TooFewLiveSessions", Gate, Itself;
    /// The serving containers are not healthy.
    ServiceUnhealthy = "ServiceUnhealthy", Gate, Itself;
    /// Below the root is another file system than `volume.efs` names.
    OtherFileSystem = "OtherFileSystem", Gate, Itself;
    /// The EFS file system is the destination of a replication: a read-only copy.
    ReplicationDestination = "ReplicationDestination", Gate, Itself;
    /// The spec changed since the last sweep: this one only plans.
    SpecChanged = "SpecChanged", Gate, Itself;
    /// The volume is not bound yet, and no live session has its workspace on it.
    NoLiveWorkspace = "NoLiveWorkspace", Gate, Itself;
    /// The journal's chain does not hold, or what we remember makes no sense.
    RecordsDamaged = "RecordsDamaged", Breaker, Adoption;
    /// The volume was bound, and its identity is gone.
    IdentityMissing = "IdentityMissing", Breaker, Adoption;
    /// Another cluster or resource cleans this volume.
    OwnedByAnother = "OwnedByAnother", Breaker, Adoption;
    /// The spec names another EFS file system than the one that was bound.
    FileSystemChanged = "FileSystemChanged", Breaker, Adoption;
    /// The root is not the directory that was bound: a copy, or another volume.
    RootReplaced = "RootReplaced", Breaker, Adoption;
    /// The sessions are in another database than the one that was bound.
    DatabaseChanged = "DatabaseChanged", Breaker, Adoption;
    /// The database is at an earlier state than it was: a copy, or restored from a backup.
    DatabaseWentBack = "DatabaseWentBack", Breaker, Adoption;
    /// `workspaces.pattern` or `sessions.liveQuery` changed since the volume was bound.
    QueryChanged = "QueryChanged", Breaker, Adoption;
    /// The number of live sessions fell by more than `maxSessionDropPercent`.
    SessionsDropped = "SessionsDropped", Breaker, Approval;
    /// Too many young workspaces are unknown to the database.
    RowsBehindVolume = "RowsBehindVolume", Breaker, Approval;
    /// Too many workspaces match a live id in another spelling only.
    NearMatches = "NearMatches", Breaker, Approval;
    /// Too many live ids cannot be the name of a directory.
    UnusableIds = "UnusableIDs", Breaker, Approval;
    /// Another volume of ours is inside a workspace.
    NestedVolume = "NestedVolume", Breaker, Approval;
    /// What was moved was not what had been inspected.
    NotTheSame = "NotTheSame", Breaker, Approval;
    /// The service was not well when something was to be taken away, in several sweeps one after the other.
    ServiceSuffers = "ServiceSuffers", Breaker, Approval;
    /// More orphans than `maxOrphans`.
    TooManyOrphans = "TooManyOrphans", Breaker, Approval;
    /// More orphans than `maxOrphanPercent`.
    TooManyOrphansPercent = "TooManyOrphansPercent", Breaker, Approval;
    /// Nobody has approved a plan for this volume since it was bound.
    AwaitsApproval = "AwaitsApproval", Breaker, Approval;
}

impl HoldReason {
    /// The reason with this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.word() == word)
    }

    /// Whether approval lets orphans through while it is in force.
    pub fn yields_to_approval(self) -> bool {
        self.resolution() == Resolution::Approval
    }

    /// Whether it is about how many orphans there are, and not about what tells of them: then it yields to whatever plan
    /// was approved. Any other anomaly yields only to the approval of a plan that it held itself.
    pub fn is_about_numbers(self) -> bool {
        matches!(self, Self::TooManyOrphans | Self::TooManyOrphansPercent | Self::AwaitsApproval)
    }
}

impl HoldKind {
    /// `Gate` or `Breaker`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Gate => "Gate",
            Self::Breaker => "Breaker",
        }
    }
}

impl Hold {
    pub(super) fn new(reason: HoldReason, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { reason, cause: message.clone(), message, plan: None, since: None }
    }

    /// The hold over a plan: its message ends with the commands that resolve it. `SPEC` stands for the spec's file.
    pub fn over(reason: HoldReason, cause: &str, plan: PlanHash, orphans: u64, since: Option<Timestamp>) -> Self {
        let message = format!(
            "{cause}. Look at the plan: hygiene plan -f SPEC{}. To let its orphans go, {orphans} in all: \
             hygiene approve -f SPEC {plan}. To drop it and look afresh: hygiene dismiss -f SPEC {plan}",
            if since.is_some() { " --held" } else { "" }
        );
        Self { reason, message, cause: cause.into(), plan: Some(plan), since }
    }
}

/// The per-cent breaker holds only above this many orphans: on a small volume a few are many per cent (DESIGN: 10).
pub(super) const PERCENT_FLOOR: u64 = 10;
/// So many young workspaces may be unknown to the database whatever their share (DESIGN, promise 3).
pub(super) const LAG_FLOOR: u64 = 3;
/// And so many per cent of the young ones.
const LAG_PERCENT: u64 = 5;
/// Most near matches in per cent of the workspaces, and unusable ids in per cent of the live ones (DESIGN, promise 7).
const SPELLING_PERCENT: u64 = 1;

/// The first gate that is closed, before anything about orphans is known.
pub(super) fn gate(policy: &Policy, seen: &Snapshot, now: Timestamp) -> Option<Hold> {
    let hold = |reason, message: String| Some(Hold::new(reason, message));
    if let Some((source, why)) = unavailable(seen).next() {
        return hold(HoldReason::SourceUnavailable, format!("{source}: {why}"));
    }
    if let Some(volume) = seen.volume.complete() {
        if volume.entries.is_empty() {
            let message = format!("{} is empty. Is the volume mounted?", policy.root.display());
            return hold(HoldReason::VolumeEmpty, message);
        }
        if let Some(why) = &volume.missing_right {
            return hold(HoldReason::MissingRight, why.clone());
        }
    }
    if let Some(hold) = not_the_volume(seen) {
        return Some(hold);
    }
    if policy.suspend {
        return hold(HoldReason::Suspended, "spec.suspend is true; set it to false to sweep".into());
    }
    if let Err(closed) = policy.schedule.open(now) {
        return hold(HoldReason::OutsideWindow, closed.to_string());
    }
    if let Some(hold) = disbelieved(policy, seen, now) {
        return Some(hold);
    }
    if let Some(Reading::Complete(Health::Unhealthy(why))) = &seen.serving {
        return hold(HoldReason::ServiceUnhealthy, why.clone());
    }
    None
}

/// What AWS says against the volume.
fn not_the_volume(seen: &Snapshot) -> Option<Hold> {
    let efs = seen.efs.as_ref()?.complete()?;
    let id = &efs.system.id;
    if let Mounted::Another(why) = &efs.mounted {
        let message = format!("{why}: mount {id} at the root, or correct spec.volume");
        return Some(Hold::new(HoldReason::OtherFileSystem, message));
    }
    let source = efs.system.replica_of.as_ref()?;
    let message = format!(
        "{id} is the destination of a replication of {source}, a read-only copy: name the source in spec.volume.efs and mount \
         it, or end the replication"
    );
    Some(Hold::new(HoldReason::ReplicationDestination, message))
}

/// Why the sessions are not believed though they answered.
fn disbelieved(policy: &Policy, seen: &Snapshot, now: Timestamp) -> Option<Hold> {
    let hold = |reason, message: String| Some(Hold::new(reason, message));
    let sessions = seen.sessions.complete()?;
    if sessions.canary == Some(false) {
        let message = "sessions.canaryQuery returned no row: is this the right database?".into();
        return hold(HoldReason::NoCanary, message);
    }
    let oldest = crate::clock::before(now, policy.sessions.max_staleness);
    if let Some(freshest) = sessions.freshest.filter(|freshest| *freshest < oldest) {
        let most = length(policy.sessions.max_staleness);
        let message = format!("the newest row is of {freshest}, and sessions.maxStaleness is {most}: is this a copy?");
        return hold(HoldReason::StaleSessions, message);
    }
    // A row from a time to come would make the database look fresh until then.
    let latest = crate::clock::after(now, policy.sessions.max_staleness);
    if let Some(freshest) = sessions.freshest.filter(|freshest| *freshest > latest) {
        let message = format!(
            "the newest row is of {freshest}, which is still to come, so that it says nothing: repair the row, or leave \
             such rows out of freshnessQuery"
        );
        return hold(HoldReason::StaleSessions, message);
    }
    let (live, least) = (sessions.ids.len(), policy.sessions.minimum_live);
    if live < least.max(1) {
        let message = format!(
            "{live} live sessions, and sessions.minimumLive is {least}: an empty answer is not believed; \
             check liveQuery and the database"
        );
        return hold(HoldReason::TooFewLiveSessions, message);
    }
    None
}

/// Whether everything that was asked answered, and is believed: what such an observation did not see was not there. Whether
/// anything may be done on its strength, as in a resource that is suspended, is another matter.
pub fn is_complete(policy: &Policy, seen: &Snapshot, now: Timestamp) -> bool {
    let empty = seen.volume.complete().is_none_or(|volume| volume.entries.is_empty());
    !empty
        && unavailable(seen).next().is_none()
        && not_the_volume(seen).is_none()
        && disbelieved(policy, seen, now).is_none()
        && binding::mismatch(policy, seen).is_none()
}

/// The sources that did not answer, each with its reason.
pub(super) fn unavailable(seen: &Snapshot) -> impl Iterator<Item = (&'static str, &str)> {
    [
        ("volume", seen.volume.unavailable()),
        ("sessions", seen.sessions.unavailable()),
        ("serving", seen.serving.as_ref().and_then(|r| r.unavailable())),
        ("claims", seen.claims.as_ref().and_then(|r| r.unavailable())),
        ("efs", seen.efs.as_ref().and_then(|r| r.unavailable())),
        ("history", seen.history.unavailable()),
    ]
    .into_iter()
    .filter_map(|(source, why)| Some((source, why?)))
}

/// What was counted over all entries.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// Workspaces.
    pub(super) workspaces: u64,
    /// Workspaces whose session is live.
    pub(super) live: u64,
    /// Workspaces that match a live id in another spelling only.
    pub(super) near_matches: u64,
    /// Workspaces younger than `minAge` that the database does not know.
    pub(super) young_unknown: u64,
    /// Orphans that nobody approved.
    pub(super) unapproved: u64,
}

/// What holds once everything is counted: the volume's binding first, then a plan that is held already, then the first
/// breaker that trips, its cause told without what resolves it; and the reason of everything that is in force at once. A
/// plan that is held, or a person's approval of it, must not hide an anomaly that came later.
pub(super) fn breaker(policy: &Policy, seen: &Snapshot, tally: &Tally) -> (Option<Tripped>, Vec<HoldReason>) {
    if let Some(hold) = binding::mismatch(policy, seen).or_else(|| binding::not_yet(policy, seen, tally)) {
        let reason = hold.reason;
        return (Some(Tripped::Whole(hold)), vec![reason]);
    }
    let held = seen.history.complete().and_then(|history| history.held.as_ref());
    let stored = held.filter(|_| policy.mode == Mode::Enforce).map(|held| {
        // A word that a newer version wrote: it is held all the same.
        let reason = HoldReason::of(&held.reason).unwrap_or(HoldReason::NotTheSame);
        Hold::over(reason, &held.message, held.hash.clone(), held.orphans.len() as u64, Some(held.since))
    });
    let anomalies = anomalies(policy, seen, tally);
    let in_force = stored.iter().map(|hold| hold.reason).chain(anomalies.iter().map(|(reason, _)| *reason)).collect();
    let first = anomalies.into_iter().next().map(|(reason, cause)| Tripped::New(reason, cause));
    (stored.map(Tripped::Whole).or(first), in_force)
}

/// A hold that is complete, or one whose plan is still to be hashed.
#[derive(Clone, Debug)]
pub(super) enum Tripped {
    /// All is known.
    Whole(Hold),
    /// A breaker tripped just now, for this cause.
    New(HoldReason, String),
}

/// Every anomaly, the gravest first, with its cause.
fn anomalies(policy: &Policy, seen: &Snapshot, tally: &Tally) -> Vec<(HoldReason, String)> {
    let mut found = Vec::new();
    let limits = &policy.limits.breaker;
    let (Some(sessions), Some(history)) = (seen.sessions.complete(), seen.history.complete()) else { return found };
    let (live, highest) = (sessions.ids.len(), history.highest_live.unwrap_or(0));
    if dropped_beyond(live, highest, limits.max_session_drop_percent) {
        let cause = format!(
            "{live} live sessions, {highest} at most in the last 7 days: a fall of more than {} % \
             (limits.breaker.maxSessionDropPercent). Check the database",
            limits.max_session_drop_percent
        );
        found.push((HoldReason::SessionsDropped, cause));
    }
    if lags(seen, tally) {
        let cause = format!(
            "{} workspaces younger than {} are unknown to the database: its rows lag behind the volume, or it is another \
             environment's. If the service deletes sessions that are younger, set sessions.knownQuery",
            tally.young_unknown,
            length(policy.min_age)
        );
        found.push((HoldReason::RowsBehindVolume, cause));
    }
    if more_than_percent(tally.near_matches, tally.workspaces, SPELLING_PERCENT) {
        let cause = format!(
            "{} of {} workspaces match a live id in another spelling only: service and database spell ids apart. Make \
             them agree, or keep the names with a glob of workspaces.keep",
            tally.near_matches, tally.workspaces
        );
        found.push((HoldReason::NearMatches, cause));
    }
    if more_than_percent(sessions.ids.unusable(), live, SPELLING_PERCENT) {
        let cause = format!(
            "{} ids that liveQuery returned cannot be the name of a directory. Check that it selects the right column",
            sessions.ids.unusable()
        );
        found.push((HoldReason::UnusableIds, cause));
    }
    if let Some(path) = binding::nested(seen) {
        let cause = format!("{path} is the folder of another volume, so this may not be the root");
        found.push((HoldReason::NestedVolume, cause));
    }
    let (orphans, workspaces) = (tally.unapproved, tally.workspaces);
    if orphans > u64::from(limits.max_orphans) {
        let cause = format!("{orphans} orphans, and limits.breaker.maxOrphans is {}", limits.max_orphans);
        found.push((HoldReason::TooManyOrphans, cause));
    }
    let percent = u64::from(limits.max_orphan_percent);
    if orphans > PERCENT_FLOOR && more_than_percent(orphans, workspaces, percent) {
        let cause = format!(
            "{orphans} of {workspaces} workspaces are orphans, and limits.breaker.maxOrphanPercent is {percent}"
        );
        found.push((HoldReason::TooManyOrphansPercent, cause));
    }
    if policy.mode == Mode::Enforce && !history.confirmed {
        let cause = "nobody has approved a plan for this volume yet: the first one waits for a person".into();
        found.push((HoldReason::AwaitsApproval, cause));
    }
    found
}

/// Whether more young workspaces are unknown to the database than chance explains. How many young ones it knows is
/// estimated from the sample; without one it counts as knowing none.
fn lags(seen: &Snapshot, tally: &Tally) -> bool {
    let unknown = u128::from(tally.young_unknown);
    let sample = seen.sample.unwrap_or_default();
    let (taken, young, live) = (u128::from(sample.taken.max(1)), u128::from(sample.young), u128::from(tally.live));
    // unknown > LAG_PERCENT % of (unknown + live × young / taken), in whole numbers
    let all = unknown.saturating_mul(taken).saturating_add(live.saturating_mul(young));
    tally.young_unknown > LAG_FLOOR
        && unknown.saturating_mul(taken).saturating_mul(100) > all.saturating_mul(u128::from(LAG_PERCENT))
}

fn more_than_percent(part: u64, whole: u64, percent: u64) -> bool {
    u128::from(part).saturating_mul(100) > u128::from(whole).saturating_mul(u128::from(percent))
}

/// Whether `live` is more than `percent` per cent below `highest`.
pub(super) fn dropped_beyond(live: u64, highest: u64, percent: u32) -> bool {
    // Wide enough for whatever number a damaged memory may hold: one that saturates would hide the fall.
    let fell = u128::from(highest.saturating_sub(live));
    fell.saturating_mul(100) > u128::from(highest).saturating_mul(u128::from(percent))
}
