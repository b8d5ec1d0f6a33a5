//! The oracle's word on what stops a whole sweep, and on whom a person let through all the same.

use std::collections::BTreeSet;

use workspace_hygiene::observe::{Reading, WalkOutcome};

use super::super::past::{Bound, DATABASE, EVERYTHING, OWNER, ROOT};
use super::super::world::{Efs, FILE_SYSTEM, HOUR, Kept, Place, SECOND, World};
use super::{Known, ns, plain};

/// What a person may let orphans through in spite of. Whatever else holds lets nothing through.
const APPROVABLE: [&str; 10] = [
    "SessionsDropped",
    "RowsBehindVolume",
    "NearMatches",
    "UnusableIDs",
    "NestedVolume",
    "NotTheSame",
    "ServiceSuffers",
    "TooManyOrphans",
    "TooManyOrphansPercent",
    "AwaitsApproval",
];

pub fn is_approvable(reason: &str) -> bool {
    APPROVABLE.contains(&reason)
}

/// What is counted before anything holds.
#[derive(Debug, Default)]
pub struct Counted {
    pub workspaces: usize,
    /// Workspaces of live sessions.
    pub live: usize,
    pub near: usize,
    /// Young workspaces of which the database knows nothing.
    pub strangers: usize,
    /// Orphans that nobody approved.
    pub unapproved: usize,
}

impl World {
    /// Whether a person approved that this place goes, as it is now.
    pub(super) fn approved(&self, place: &Place) -> bool {
        let Some(Reading::Complete(root)) = &place.root else { return false };
        self.past.approved.iter().flatten().any(|seen| {
            place.name.as_str() == Some(&seen.name) && seen.inode == root.inode && ns(seen.changed) == ns(root.changed)
        })
    }

    /// Whether what was approved passes this hold: how many there are was looked at whatever held the plan; that what tells
    /// of them is in doubt was looked at only where it was that.
    pub(super) fn approval_passes(&self, reason: &str) -> bool {
        let numbers = ["TooManyOrphans", "TooManyOrphansPercent", "AwaitsApproval"].contains(&reason);
        let approved_for = self.past.approved_for;
        numbers || (is_approvable(reason) && (approved_for == Some(reason) || approved_for == Some(EVERYTHING)))
    }

    /// Whether the database was asked for sessions in any state and has none of this place.
    pub(super) fn is_row_unknown(&self, place: &Place, known: &Known) -> bool {
        let id = self.id_of(place).map(plain);
        known.rows.as_ref().zip(id).is_some_and(|(rows, id)| !rows.contains(&id))
    }

    /// The first that holds, in the order in which they are told.
    pub(super) fn hold(&self, counted: &Counted) -> Option<(&'static str, &'static str)> {
        let (gates, binding) = (self.gates().to_vec(), self.binding(counted));
        let stored = [("Breaker", self.stored(), self.spec().enforce && self.past.held.is_some())];
        let all = [&gates[..], &binding, &stored, &self.anomalies(counted)].concat();
        all.into_iter().find(|(.., applies)| *applies).map(|(kind, reason, _)| (kind, reason))
    }

    /// Everything that holds at once. Behind a gate, and where things do not belong together, nothing else is asked.
    pub(super) fn in_force(&self, counted: &Counted) -> Vec<&'static str> {
        let applying = |holds: &[(&'static str, &'static str, bool)]| {
            holds.iter().filter(|(.., applies)| *applies).map(|(_, reason, _)| *reason).collect::<Vec<_>>()
        };
        let closed = [applying(&self.gates()), applying(&self.binding(counted))].concat();
        if !closed.is_empty() {
            return closed;
        }
        let stored = (self.spec().enforce && self.past.held.is_some()).then(|| self.stored());
        stored.into_iter().chain(applying(&self.anomalies(counted))).collect()
    }

    fn gates(&self) -> [(&'static str, &'static str, bool); 11] {
        let spec = self.spec();
        let live = self.distinct_live();
        let staleness = i128::from(spec.staleness_s) * SECOND;
        let hour_of_day = ns(self.now).div_euclid(HOUR) % 24;
        [
            ("Gate", "SourceUnavailable", !self.down.is_empty()),
            ("Gate", "VolumeEmpty", self.places.is_empty()),
            ("Gate", "MissingRight", self.missing_right),
            ("Gate", "OtherFileSystem", self.efs == Some(Efs::Elsewhere)),
            ("Gate", "ReplicationDestination", self.efs == Some(Efs::Copy)),
            ("Gate", "Suspended", spec.suspend),
            ("Gate", "OutsideWindow", spec.window.is_some_and(|hour| i128::from(hour) != hour_of_day)),
            ("Gate", "NoCanary", self.canary == Some(false)),
            ("Gate", "StaleSessions", self.freshest.is_some_and(|time| (ns(time) - ns(self.now)).abs() > staleness)),
            ("Gate", "TooFewLiveSessions", live == 0 || live < i128::from(spec.minimum_live)),
            ("Gate", "ServiceUnhealthy", self.healthy == Some(false)),
        ]
    }

    /// Volume, database, resource and spec that do not belong together.
    fn binding(&self, counted: &Counted) -> [(&'static str, &'static str, bool); 10] {
        let (past, enforce) = (&self.past, self.spec().enforce);
        let differs = |how: &dyn Fn(&Bound) -> bool| past.bound.as_ref().is_some_and(how);
        let on_volume = differs(&|bound| bound.on_volume);
        [
            ("Breaker", "RecordsDamaged", past.damaged),
            ("Breaker", "IdentityMissing", past.identity_missing),
            ("Breaker", "OwnedByAnother", differs(&|bound| bound.owner != OWNER)),
            // A spec that names none leaves it as it was.
            (
                "Breaker",
                "FileSystemChanged",
                self.efs.is_some() && differs(&|bound| bound.efs.is_some_and(|efs| efs != FILE_SYSTEM)),
            ),
            ("Breaker", "RootReplaced", differs(&|bound| bound.root != ROOT)),
            ("Breaker", "DatabaseChanged", differs(&|bound| bound.database != DATABASE)),
            ("Breaker", "DatabaseWentBack", differs(&|bound| bound.further_before)),
            ("Breaker", "QueryChanged", (enforce || on_volume) && differs(&|bound| !bound.same_query)),
            ("Gate", "NoLiveWorkspace", enforce && !on_volume && counted.live == 0),
            ("Gate", "SpecChanged", enforce && past.same_spec == Some(false)),
        ]
    }

    /// The reason of the plan that was stored. One in words of a newer version is held too.
    fn stored(&self) -> &'static str {
        self.past.held.filter(|reason| is_approvable(reason)).unwrap_or("NotTheSame")
    }

    fn anomalies(&self, counted: &Counted) -> [(&'static str, &'static str, bool); 8] {
        let spec = self.spec();
        let wide = |n: usize| n as i128;
        let (workspaces, orphans) = (wide(counted.workspaces), wide(counted.unapproved));
        let (live, highest) = (self.distinct_live(), self.highest_live.map_or(0, i128::from));
        let unusable = wide(self.live.iter().filter(|id| cannot_name_a_directory(id)).count());
        let nested = |place: &Place| {
            let outcome = place.inspection.as_ref().map(|inspection| &inspection.outcome);
            matches!(outcome, Some(WalkOutcome::ForeignIdentity { .. }))
        };
        let nested_in_quarantine = |kept: &Kept| {
            matches!(kept.second_walk.as_ref().map(|walk| &walk.outcome), Some(WalkOutcome::ForeignIdentity { .. }))
        };
        [
            ("Breaker", "SessionsDropped", 100 * live < (100 - i128::from(spec.max_drop)) * highest),
            ("Breaker", "RowsBehindVolume", self.rows_lag(counted)),
            ("Breaker", "NearMatches", 100 * wide(counted.near) > workspaces),
            ("Breaker", "UnusableIDs", 100 * unusable > live),
            (
                "Breaker",
                "NestedVolume",
                self.places.iter().any(nested) || self.quarantine.iter().any(nested_in_quarantine),
            ),
            ("Breaker", "TooManyOrphans", orphans > i128::from(spec.max_orphans)),
            (
                "Breaker",
                "TooManyOrphansPercent",
                orphans > 10 && 100 * orphans > i128::from(spec.max_percent) * workspaces,
            ),
            ("Breaker", "AwaitsApproval", spec.enforce && !self.past.confirmed),
        ]
    }

    /// Whether more than three, and more than five per cent of the young workspaces, are strangers to the database. The
    /// share of young ones among the live is that of the sample; without one none of them is young.
    fn rows_lag(&self, counted: &Counted) -> bool {
        let strangers = counted.strangers as i128;
        let (taken, young) = match self.sample {
            Some((taken, young)) if taken > 0 => (i128::from(taken), i128::from(young)),
            other => (1, other.map_or(0, |(_, young)| i128::from(young))),
        };
        // strangers / (strangers + live * young / taken) > 5 / 100
        strangers > 3 && 95 * strangers * taken > 5 * counted.live as i128 * young
    }

    fn distinct_live(&self) -> i128 {
        self.live.iter().collect::<BTreeSet<_>>().len() as i128
    }
}

fn cannot_name_a_directory(id: &str) -> bool {
    ["", ".", ".."].contains(&id) || id.chars().any(|c| c == '/' || c == '\0') || id.len() > 255
}
