//! What happens to the entries of the quarantine: back under their name, on to the purge, or nothing yet.

use jiff::Timestamp;

use super::guards::pin;
use super::hold::HoldReason;
use crate::names::{EntryId, EntryName};
use crate::observe::{Inspection, QuarantineEntry, Reading, Snapshot, WalkOutcome};
use crate::policy::Policy;
use crate::report::text::until;

/// What happens to one entry of the quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryPlan {
    /// The entry.
    pub id: EntryId,
    /// The workspace's name, where its sidecar can be read.
    pub name: Option<String>,
    /// What happens to it.
    pub decision: Decision,
}

/// What happens to one entry of the quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Back under its name.
    Restore(RestoreReason),
    /// On to the purge, after the last checks.
    Condemn,
    /// It stays in quarantine.
    Retain(RetainReason),
}

/// Why an entry goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreReason {
    /// Its session is live again.
    SessionLive,
    /// A running container claims it.
    Claimed,
    /// A keep glob matches its name.
    KeepGlob,
    /// A keep file is in it.
    KeepFile,
    /// It was written to after it was found idle.
    WrittenTo,
}

/// Why an entry stays in quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetainReason {
    /// Its sidecar or tree is not as we left it; never condemned, to be looked at by a person.
    Damaged(String),
    /// It would go back, but its name exists again.
    RestoreConflict,
    /// Its retention ends then.
    Retention(Timestamp),
    /// The sweep is held.
    Held(HoldReason),
    /// Its second walk was not done in this sweep.
    AwaitsSecondWalk,
    /// The second walk could not see all of it.
    SecondWalkIncomplete(String),
}

/// Decides about one entry. With `skip_retention` its deadline counts as passed, and nothing else is skipped.
pub fn assess(
    policy: &Policy,
    seen: &Snapshot,
    hold: Option<HoldReason>,
    now: Timestamp,
    entry: &QuarantineEntry,
    skip_retention: bool,
) -> Decision {
    let sidecar = match &entry.sidecar {
        Reading::Complete(sidecar) => sidecar,
        Reading::Unavailable(why) => return Decision::Retain(RetainReason::Damaged(why.clone())),
    };
    if entry.tree != Some(sidecar.inode) || !entry.journalled {
        let why = "its tree is not the one the journal says was moved here";
        return Decision::Retain(RetainReason::Damaged(why.into()));
    }
    if let Some(reason) = comes_back(policy, seen, now, entry) {
        return restore(entry, reason);
    }
    let watched_since = seen.history.complete().map_or(Some(now), |history| history.watched_since);
    let due = sidecar.due_when_watched(policy.retention, watched_since);
    if due > now && !skip_retention {
        return Decision::Retain(RetainReason::Retention(due));
    }
    if let Some(reason) = hold {
        return Decision::Retain(RetainReason::Held(reason));
    }
    match seen.second_walks.get(&entry.id) {
        None => Decision::Retain(RetainReason::AwaitsSecondWalk),
        Some(Inspection { outcome, .. }) => match outcome {
            WalkOutcome::Idle { newest, .. } if *newest <= sidecar.evidence.newest => Decision::Condemn,
            WalkOutcome::Idle { .. } | WalkOutcome::Young { .. } => restore(entry, RestoreReason::WrittenTo),
            WalkOutcome::Future { at, path } => {
                Decision::Retain(RetainReason::SecondWalkIncomplete(format!("{path} carries a time to come, {at}")))
            }
            WalkOutcome::MountPoint { path } => {
                Decision::Retain(RetainReason::SecondWalkIncomplete(format!("{path} is a mount point")))
            }
            WalkOutcome::ForeignIdentity { path } => Decision::Retain(RetainReason::SecondWalkIncomplete(format!(
                "{path} is the identity of another volume"
            ))),
            WalkOutcome::Incomplete { why } => Decision::Retain(RetainReason::SecondWalkIncomplete(why.clone())),
        },
    }
}

fn restore(entry: &QuarantineEntry, reason: RestoreReason) -> Decision {
    if entry.name_taken { Decision::Retain(RetainReason::RestoreConflict) } else { Decision::Restore(reason) }
}

/// Why an entry goes back, if anything asks for it. Needs no source but the one that asks.
fn comes_back(policy: &Policy, seen: &Snapshot, now: Timestamp, entry: &QuarantineEntry) -> Option<RestoreReason> {
    let sidecar = entry.sidecar.complete()?;
    let lists =
        |set: &crate::observe::IdSet| set.contains(&sidecar.session) || set.contains_canonical(&sidecar.session);
    if seen.sessions.complete().is_some_and(|sessions| lists(&sessions.ids)) {
        return Some(RestoreReason::SessionLive);
    }
    if seen.claims.as_ref().and_then(Reading::complete).is_some_and(lists) {
        return Some(RestoreReason::Claimed);
    }
    if policy.keep.matching(&EntryName::new(&sidecar.name)).is_some() {
        return Some(RestoreReason::KeepGlob);
    }
    pin(policy, &entry.keep_file, now).map(|_| RestoreReason::KeepFile)
}

impl Decision {
    /// `Restore`, `Condemn` or `Retain`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Restore(_) => "Restore",
            Self::Condemn => "Condemn",
            Self::Retain(_) => "Retain",
        }
    }

    /// The reason in one word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Restore(reason) => reason.word(),
            Self::Condemn => "RetentionOver",
            Self::Retain(reason) => reason.word(),
        }
    }

    /// The reason as a sentence for people.
    pub fn message(&self, now: Timestamp) -> String {
        match self {
            Self::Restore(RestoreReason::SessionLive) => "its session is live again".into(),
            Self::Restore(RestoreReason::Claimed) => "a running container claims it".into(),
            Self::Restore(RestoreReason::KeepGlob) => "a keep glob of the spec matches its name".into(),
            Self::Restore(RestoreReason::KeepFile) => "a .hygiene-keep file pins it".into(),
            Self::Restore(RestoreReason::WrittenTo) => "it was written to after it was found idle".into(),
            Self::Condemn => "its retention is over and nothing speaks for it".into(),
            Self::Retain(reason) => match reason {
                RetainReason::Damaged(why) => format!("kept for a person to look at: {why}"),
                RetainReason::RestoreConflict => {
                    "it should go back, but its name exists again: move one of the two away and sweep again".into()
                }
                RetainReason::Retention(due) => format!("its retention ends {}", until(*due, now)),
                RetainReason::Held(hold) => format!("due, but the sweep is held: {}", hold.word()),
                RetainReason::AwaitsSecondWalk => "due; its second walk is still to come".into(),
                RetainReason::SecondWalkIncomplete(why) => format!("its second walk keeps it: {why}"),
            },
        }
    }
}

impl RestoreReason {
    /// The reason in one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::SessionLive => "SessionLive",
            Self::Claimed => "Claimed",
            Self::KeepGlob => "KeepGlob",
            Self::KeepFile => "KeepFile",
            Self::WrittenTo => "WrittenTo",
        }
    }
}

impl RetainReason {
    fn word(&self) -> &'static str {
        match self {
            Self::Damaged(_) => "Damaged",
            Self::RestoreConflict => "RestoreConflict",
            Self::Retention(_) => "Retention",
            Self::Held(_) => "Held",
            Self::AwaitsSecondWalk => "AwaitsSecondWalk",
            Self::SecondWalkIncomplete(_) => "SecondWalkIncomplete",
        }
    }
}
