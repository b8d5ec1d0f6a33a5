//! What a sweeper says when it ends: by the termination message of its container, which the kubelet keeps. One that is missing,
//! or that cannot be read, says nothing of what was done.

use serde::{Deserialize, Serialize};

use crate::api::WorkspaceHygieneStatus;
use crate::report::outcome::Outcome;
use crate::report::status::{LastState, PastSweep, Total, cut};

/// Longest termination message, in bytes: the kubelet cuts what is longer (kubernetes.io, "Customizing the termination message").
const LONGEST: usize = 4096;
/// Longest text of a failure or of a note, in bytes.
const LONGEST_TEXT: usize = 512;

/// What a sweeper says when it ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JobReport {
    /// uid of the resource it was for.
    pub uid: String,
    /// Generation of the resource it was for.
    pub generation: i64,
    /// What a sweep came to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sweep: Option<SweepReport>,
    /// What a shard of a purge came to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardReport>,
    /// Why it came to nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What people said by annotations, and what came of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub heard: Vec<Heard>,
}

/// What a sweep came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SweepReport {
    /// The sweep in figures.
    pub outcome: Outcome,
    /// The status that follows from it.
    pub status: WorkspaceHygieneStatus,
    /// What was given back so far.
    pub reclaimed: Total,
    /// Condemned trees that are left to the shards of a purge.
    pub left_to_shards: u64,
}

/// What a shard of a purge came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ShardReport {
    /// Entries it removed.
    pub entries: u64,
    /// Condemned trees of which its share is gone.
    pub done: u64,
    /// Condemned trees of which something of its share is left.
    pub left: u64,
    /// Why it ended before all of its share was gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What a person said by an annotation, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Heard {
    /// The annotation, without `hygiene.dev/`.
    pub what: String,
    /// Its value.
    pub value: String,
    /// What came of it in one word, as events have it.
    pub reason: String,
    /// Whether it was followed.
    pub followed: bool,
    /// Whether it is over with: otherwise it is tried again.
    pub settled: bool,
    /// What came of it.
    pub note: String,
}

impl Heard {
    /// The text as it fits.
    #[must_use]
    pub fn with_note(mut self, note: &str) -> Self {
        self.note = cut(note, LONGEST_TEXT);
        self
    }
}

impl JobReport {
    /// One of a sweeper that came to nothing.
    #[must_use]
    pub fn failed(mut self, why: &str) -> Self {
        self.failure = Some(cut(why, LONGEST_TEXT));
        self
    }

    /// Whether it was asked to stop before everything was done.
    pub fn stopped(&self) -> bool {
        self.sweep.as_ref().is_some_and(|sweep| sweep.outcome.stopped())
    }

    /// The message as it is written: samples, then counts by reason, then texts give way until it fits.
    pub fn message(mut self) -> String {
        let json = |report: &Self| serde_json::to_string(report).unwrap_or_default();
        for shorten in SHORTER {
            let message = json(&self);
            if message.len() <= LONGEST {
                return message;
            }
            shorten(&mut self);
        }
        json(&self)
    }

    /// The report in a message.
    ///
    /// # Errors
    /// That it is none of this resource.
    pub fn read(message: &str, uid: &str) -> Result<Self, String> {
        let report: Self = serde_json::from_str(message).map_err(|_| "its last words are no report".to_owned())?;
        match report.uid == uid {
            true => Ok(report),
            false => Err("its report is about another resource".into()),
        }
    }
}

/// What gives way, in this order.
const SHORTER: [fn(&mut JobReport); 6] = [
    |report| of_sweep(report, |sweep| sweep.status.orphans.truncate(3)),
    |report| of_sweep(report, |sweep| sweep.status.orphans.clear()),
    |report| {
        of_sweep(report, |sweep| {
            sweep.status.conditions.iter_mut().for_each(|one| one.message = cut(&one.message, 128));
            sweep.outcome.first_error.iter_mut().for_each(|(_, message)| *message = cut(message, 128));
            sweep.outcome.held.iter_mut().for_each(|held| held.cause = cut(&held.cause, 256));
        });
        report.heard.iter_mut().for_each(|heard| heard.note = cut(&heard.note, 128));
    },
    // The newest counts are lost to the metrics then, and come again with the next sweep.
    |report| of_sweep(report, |sweep| sweep.status.last_sweep.iter_mut().for_each(|last| last.verdicts.truncate(8))),
    |report| {
        report.heard.truncate(2);
        of_sweep(report, |sweep| sweep.status.hold.iter_mut().for_each(|hold| hold.message = cut(&hold.message, 512)));
    },
    |report| {
        of_sweep(report, |sweep| {
            sweep.status.last_sweep.iter_mut().for_each(|last| last.verdicts.clear());
            sweep.status.conditions.iter_mut().for_each(|one| one.message = cut(&one.message, 32));
            sweep.outcome.first_error = None;
        });
    },
];

fn of_sweep(report: &mut JobReport, shorten: impl FnOnce(&mut SweepReport)) {
    if let Some(sweep) = &mut report.sweep {
        shorten(sweep);
    }
}

impl SweepReport {
    /// The state of the resource after this sweep, where it was `before`.
    pub fn after(&self, before: &LastState) -> LastState {
        let last = self.status.last_sweep.clone().unwrap_or_default();
        let held = self.outcome.held.as_ref().map(|held| held.reason.clone());
        let sweep = crate::api::SweepStatus { verdicts: Vec::new(), ..last };
        LastState {
            status: self.status.clone(),
            reclaimed: self.reclaimed,
            sweeps: before.with(PastSweep { sweep, held }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{HoldKind, HoldStatus, OrphanSample, SweepStatus, VerdictCount};
    use crate::report::outcome::Held;

    #[test]
    fn a_message_fits_whatever_is_to_be_told() {
        let sample = |_| OrphanSample { name: "é".repeat(127), last_activity_time: None, size: Some("1Gi".into()) };
        let verdict = |n| VerdictCount { reason: format!("{n:064}"), verdict: "Keep".into(), directories: u64::MAX };
        let condition = |n: usize| k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition {
            type_: format!("{n:024}"),
            status: "False".into(),
            reason: "r".repeat(40),
            message: "\u{1}".repeat(256),
            last_transition_time: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::MAX),
            observed_generation: Some(i64::MAX),
        };
        let heard = Heard { what: "approve-plan".into(), value: "f".repeat(64), ..Heard::default() };
        let status = WorkspaceHygieneStatus {
            orphans: (0..10).map(sample).collect(),
            conditions: (0..5).map(condition).collect(),
            last_sweep: Some(SweepStatus { verdicts: (0..32).map(verdict).collect(), ..SweepStatus::default() }),
            hold: Some(HoldStatus {
                kind: HoldKind::Breaker,
                reason: "TooManyOrphans".into(),
                message: "m".repeat(1024),
                since: None,
                plan_hash: None,
                directories: None,
            }),
            ..WorkspaceHygieneStatus::default()
        };
        let outcome = Outcome {
            held: Some(Held { kind: HoldKind::Breaker, reason: "x".into(), cause: "c".repeat(512) }),
            first_error: Some(("quarantine".into(), "e".repeat(512))),
            ..Outcome::default()
        };
        let report = JobReport {
            uid: "u".repeat(36),
            sweep: Some(SweepReport { outcome, status, ..SweepReport::default() }),
            heard: vec![heard.with_note(&"n".repeat(5000)); 4],
            ..JobReport::default()
        };
        let message = report.message();
        assert!(message.len() <= LONGEST, "{}", message.len());
        let read = JobReport::read(&message, &"u".repeat(36)).unwrap();
        assert!(read.sweep.unwrap().status.hold.is_some());
    }

    #[test]
    fn last_words_that_are_no_report_of_this_resource_say_nothing() {
        let report = JobReport { uid: "a".into(), ..JobReport::default() }.failed("why").message();
        assert_eq!(JobReport::read(&report, "a").unwrap().failure.as_deref(), Some("why"));
        assert!(JobReport::read(&report, "b").is_err());
        assert!(["", "{", "done", "null", "[]"].into_iter().all(|text| JobReport::read(text, "a").is_err()));
        assert!(JobReport::read(&report[..report.len() - 1], "a").is_err(), "one that was cut short");
    }
}
