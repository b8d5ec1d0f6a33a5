//! Holds: the gate or breaker that keeps a whole sweep from quarantining and condemning.

use jiff::Timestamp;

use crate::observe::{Health, Reading, Snapshot};
use crate::policy::Policy;
use crate::report::text::length;

/// Why nothing is quarantined or condemned now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The reason in one word.
    pub reason: HoldReason,
    /// The reason as a sentence that ends with what resolves it.
    pub message: String,
}

/// Whether a hold goes away by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldKind {
    /// A temporary reason to change nothing now.
    Gate,
    /// An anomaly that a person must look at.
    Breaker,
}

/// The reason of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldReason {
    /// A source is unavailable.
    SourceUnavailable,
    /// The resource is suspended.
    Suspended,
    /// `canaryQuery` returned no row.
    NoCanary,
    /// `freshnessQuery` returned a time older than `maxStaleness`.
    StaleSessions,
    /// Fewer live sessions than `minimumLive`.
    TooFewLiveSessions,
    /// The serving containers are not healthy.
    ServiceUnhealthy,
    /// More orphans than `maxOrphans`.
    TooManyOrphans,
    /// More orphans than `maxOrphanPercent`.
    TooManyOrphansPercent,
    /// The number of live sessions fell by more than `maxSessionDropPercent`.
    SessionsDropped,
}

impl HoldReason {
    /// Gate or breaker.
    pub fn kind(self) -> HoldKind {
        match self {
            Self::TooManyOrphans | Self::TooManyOrphansPercent | Self::SessionsDropped => HoldKind::Breaker,
            _ => HoldKind::Gate,
        }
    }

    /// The reason in one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::SourceUnavailable => "SourceUnavailable",
            Self::Suspended => "Suspended",
            Self::NoCanary => "NoCanary",
            Self::StaleSessions => "StaleSessions",
            Self::TooFewLiveSessions => "TooFewLiveSessions",
            Self::ServiceUnhealthy => "ServiceUnhealthy",
            Self::TooManyOrphans => "TooManyOrphans",
            Self::TooManyOrphansPercent => "TooManyOrphansPercent",
            Self::SessionsDropped => "SessionsDropped",
        }
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

/// The per-cent breaker holds only above this many orphans: on a small volume a few are many per cent (DESIGN: 10).
pub(super) const PERCENT_FLOOR: u64 = 10;

/// The first gate that is closed, before anything about orphans is known.
pub(super) fn gate(policy: &Policy, seen: &Snapshot, now: Timestamp) -> Option<Hold> {
    let hold = |reason, message| Some(Hold { reason, message });
    if let Some((source, why)) = unavailable(seen).next() {
        return hold(HoldReason::SourceUnavailable, format!("{source}: {why}"));
    }
    if policy.suspend {
        return hold(HoldReason::Suspended, "spec.suspend is true; set it to false to sweep".into());
    }
    if let Some(sessions) = seen.sessions.complete() {
        if sessions.canary == Some(false) {
            let message = "sessions.canaryQuery returned no row: is this the right database?".into();
            return hold(HoldReason::NoCanary, message);
        }
        let oldest = crate::clock::before(now, policy.sessions.max_staleness);
        if let Some(freshest) = sessions.freshest.filter(|freshest| *freshest < oldest) {
            let most = length(policy.sessions.max_staleness);
            let message =
                format!("the newest row is of {freshest}, and sessions.maxStaleness is {most}: is this a copy?");
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
    }
    if let Some(Reading::Complete(Health::Unhealthy(why))) = &seen.serving {
        return hold(HoldReason::ServiceUnhealthy, why.clone());
    }
    None
}

/// The sources that did not answer, each with its reason.
pub(super) fn unavailable(seen: &Snapshot) -> impl Iterator<Item = (&'static str, &str)> {
    [
        ("volume", seen.volume.unavailable()),
        ("sessions", seen.sessions.unavailable()),
        ("serving", seen.serving.as_ref().and_then(|r| r.unavailable())),
        ("claims", seen.claims.as_ref().and_then(|r| r.unavailable())),
        ("history", seen.history.unavailable()),
    ]
    .into_iter()
    .filter_map(|(source, why)| Some((source, why?)))
}

/// The first breaker that trips, once the orphans are counted.
pub(super) fn breaker(policy: &Policy, seen: &Snapshot, workspaces: u64, orphans: u64) -> Option<Hold> {
    let limits = &policy.limits.breaker;
    let hold = |reason, message| Some(Hold { reason, message });
    if let (Some(sessions), Some(history)) = (seen.sessions.complete(), seen.history.complete()) {
        let (live, highest) = (sessions.ids.len(), history.highest_live.unwrap_or(0));
        if dropped_beyond(live, highest, limits.max_session_drop_percent) {
            let message = format!(
                "{live} live sessions, {highest} at most in the last 7 days: a fall of more than \
                 {} %. Check the database; if it is right, raise limits.breaker.maxSessionDropPercent",
                limits.max_session_drop_percent
            );
            return hold(HoldReason::SessionsDropped, message);
        }
    }
    if orphans > u64::from(limits.max_orphans) {
        let message = format!(
            "{orphans} orphans, and limits.breaker.maxOrphans is {}. Look at them with `hygiene plan`; if they are \
             what they seem, raise the limit",
            limits.max_orphans
        );
        return hold(HoldReason::TooManyOrphans, message);
    }
    let percent = u64::from(limits.max_orphan_percent);
    if orphans > PERCENT_FLOOR && orphans.saturating_mul(100) > workspaces.saturating_mul(percent) {
        let message = format!(
            "{orphans} of {workspaces} workspaces are orphans, and limits.breaker.maxOrphanPercent is {percent}. Look \
             at them with `hygiene plan`; if they are what they seem, raise the limit"
        );
        return hold(HoldReason::TooManyOrphansPercent, message);
    }
    None
}

/// Whether `live` is more than `percent` per cent below `highest`.
pub(super) fn dropped_beyond(live: u64, highest: u64, percent: u32) -> bool {
    // Wide enough for whatever number a damaged memory may hold: one that saturates would hide the fall.
    let fell = u128::from(highest.saturating_sub(live));
    fell.saturating_mul(100) > u128::from(highest).saturating_mul(u128::from(percent))
}
