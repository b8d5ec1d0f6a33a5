//! The status of an object as it is written: what the sweeps tell, and what only the controller knows.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::api::{HoldKind, HoldStatus, JobStatus, WorkspaceHygieneStatus};
use crate::plan::HoldReason;
use crate::policy::ResourceName;
use crate::report::status::cut;

/// Longest status, in bytes of JSON (DESIGN: 8 KiB whatever the volume holds).
const LONGEST: usize = 8 * 1024 - 64;
/// Longest message of a condition, in bytes: what the schema allows.
const LONGEST_MESSAGE: usize = 1024;
/// The same of conditions that are there beside others.
const SHORT_MESSAGE: usize = 256;

/// Conditions that no sweep tells of.
const IN_BETWEEN: [&str; 2] = ["Reconciling", "Stalled"];

/// Since when each condition has been as it is, by what was published of the object. In mode Report without a state directory
/// only the object itself remembers that, and what sweeps remember knows nothing of a refusal in between.
#[derive(Clone, Debug, Default)]
pub(super) struct Since(Arc<[(Box<str>, Time)]>);

impl Since {
    /// What these conditions say.
    pub(super) fn of(conditions: &[Condition]) -> Self {
        Self(conditions.iter().map(|one| (Self::state(one), one.last_transition_time.clone())).collect())
    }

    /// Kind and status in one: a condition is as it was while both are.
    fn state(condition: &Condition) -> Box<str> {
        format!("{}={}", condition.type_, condition.status).into()
    }

    /// Writes into conditions that are about to be published since when they are so: as before, or since `now`.
    pub(super) fn settle(&self, conditions: &mut [Condition], now: Timestamp) {
        for condition in conditions {
            let state = Self::state(condition);
            let same = self.0.iter().find(|(known, _)| *known == state);
            condition.last_transition_time = same.map_or(Time(now), |(_, since)| since.clone());
        }
    }
}

/// The status after a sweep. When its conditions changed is written into it when it is published, as in all that are made here.
pub(super) fn swept(
    mut status: WorkspaceHygieneStatus,
    name: &ResourceName,
    in_jobs: bool,
    handled: Option<&String>,
) -> WorkspaceHygieneStatus {
    status.last_handled_sweep_request = handled.cloned();
    // Where what was published is all that is remembered, the sweep began from a status that has them.
    status.conditions.retain(|one| !IN_BETWEEN.contains(&one.type_.as_str()));
    if let Some(hold) = &mut status.hold {
        hold.message = cut(&for_kubectl(&hold.message, name, in_jobs), LONGEST_MESSAGE);
    }
    for condition in &mut status.conditions {
        condition.message = cut(&for_kubectl(&condition.message, name, in_jobs), SHORT_MESSAGE);
    }
    fitting(status)
}

/// The status of an object whose newest generation waits for its first sweep.
pub(super) fn pending(mut status: WorkspaceHygieneStatus, generation: i64) -> WorkspaceHygieneStatus {
    let message = "the first sweep of this generation is under way";
    let reconciling = condition(("Reconciling", "True"), "SweepPending", message, generation);
    status.conditions.retain(|one| !IN_BETWEEN.contains(&one.type_.as_str()));
    status.conditions.push(reconciling);
    fitting(status)
}

/// The status of an object whose newest generation is known to be there, and was not swept yet.
pub(super) fn unswept(mut status: WorkspaceHygieneStatus, generation: i64) -> WorkspaceHygieneStatus {
    let message = "the first sweep of this generation is not over";
    status.observed_generation = generation;
    status.conditions.retain(|one| one.type_ != "Reconciling");
    put(&mut status, condition(("Ready", "False"), "SweepPending", message, generation));
    status
}

/// The status while a Job is at work: which one, how far it is, and what stands in its way.
pub(super) fn working(
    mut status: WorkspaceHygieneStatus,
    generation: i64,
    job: &JobStatus,
    trouble: Option<(&str, &str)>,
) -> WorkspaceHygieneStatus {
    status.job = Some(job.clone());
    if let Some((reason, message)) = trouble {
        // The way out comes last.
        put(&mut status, condition(("Ready", "False"), reason, &cut(message, LONGEST_MESSAGE), generation));
    }
    fitting(status)
}

/// The gate that the controller looks at before and while a Job works.
const GATE: HoldReason = HoldReason::ServiceUnhealthy;

/// The status while a gate keeps the next sweep waiting.
pub(super) fn waiting(
    mut status: WorkspaceHygieneStatus,
    generation: i64,
    message: &str,
    since: Timestamp,
) -> WorkspaceHygieneStatus {
    // Nothing is deleted while a person has to decide, and what they need for it must stay.
    if status.hold.as_ref().is_some_and(|hold| hold.kind == HoldKind::Breaker) {
        return status;
    }
    let reason = GATE.word();
    let known = status.hold.take().filter(|hold| hold.reason == reason).and_then(|hold| hold.since);
    status.hold = Some(HoldStatus {
        kind: HoldKind::Gate,
        reason: reason.into(),
        message: cut(message, LONGEST_MESSAGE),
        since: Some(known.unwrap_or(Time(since))),
        plan_hash: None,
        directories: None,
    });
    // Of a generation that is observed: a new one may have been swept before only as an older one.
    let generation = status.observed_generation.min(generation);
    put(&mut status, condition(("DeletionAllowed", "False"), reason, &cut(message, SHORT_MESSAGE), generation));
    fitting(status)
}

/// Takes back that a gate keeps the next sweep waiting. Whether it did.
pub(super) fn no_longer_waits(status: &mut WorkspaceHygieneStatus, generation: i64) -> bool {
    let waited = status.hold.take_if(|hold| hold.kind == HoldKind::Gate && hold.reason == GATE.word()).is_some();
    if waited {
        let message = "the service is well again; what else may stand in the way the next sweep that ends tells";
        let generation = status.observed_generation.min(generation);
        put(status, condition(("DeletionAllowed", "Unknown"), "SweepPending", message, generation));
    }
    waited
}

/// The status after a sweep of which nothing is known, with what is known of its gate.
pub(super) fn as_gated(mut status: WorkspaceHygieneStatus, known: WorkspaceHygieneStatus) -> WorkspaceHygieneStatus {
    status.hold = known.hold;
    if let Some(allowed) = known.conditions.into_iter().find(|one| one.type_ == "DeletionAllowed") {
        put(&mut status, allowed);
    }
    fitting(status)
}

/// Puts a condition in the place of the one of its kind.
fn put(status: &mut WorkspaceHygieneStatus, new: Condition) {
    match status.conditions.iter_mut().find(|one| one.type_ == new.type_) {
        Some(old) => *old = new,
        None => status.conditions.push(new),
    }
}

/// The status of an object that is not swept, for a fault that only a change mends.
pub(super) fn refused(
    mut status: WorkspaceHygieneStatus,
    generation: i64,
    reason: &str,
    message: &str,
) -> WorkspaceHygieneStatus {
    status.observed_generation = generation;
    status.hold = None;
    status.next_sweep_time = None;
    let make = |kind, message: &str| condition(kind, reason, message, generation);
    let short = cut(message, SHORT_MESSAGE);
    status.conditions = vec![
        make(("Ready", "False"), &short),
        make(("DeletionAllowed", "False"), "nothing is swept"),
        make(("Stalled", "True"), &cut(message, LONGEST_MESSAGE)),
    ];
    fitting(status)
}

fn condition((kind, status): (&str, &str), reason: &str, message: &str, generation: i64) -> Condition {
    Condition {
        type_: kind.into(),
        status: status.into(),
        reason: reason.into(),
        message: message.into(),
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
        observed_generation: Some(generation),
    }
}

/// What a message tells to run, for people who have kubectl and no shell beside the volume.
///
/// Of a volume that only Jobs reach other commands run in one.
fn for_kubectl(message: &str, name: &ResourceName, in_jobs: bool) -> String {
    let (namespace, name) = (&name.namespace, &name.name);
    let annotate = |what| format!("kubectl -n {namespace} annotate wsh {name} hygiene.dev/{what}-plan=");
    let mut message = message
        .replace("hygiene approve -f SPEC ", &annotate("approve"))
        .replace("hygiene dismiss -f SPEC ", &annotate("dismiss"));
    for command in IN_JOBS.iter().filter(|_| in_jobs) {
        let job = format!("hygiene job-manifest {namespace}/{name} -- {command} | kubectl apply -f -");
        message = message.replace(&format!("hygiene {command} -f SPEC"), &job);
    }
    message
}

/// Commands that messages tell to run without more words.
const IN_JOBS: [&str; 2] = ["plan", "adopt"];

/// Samples first, then the counts of the last sweep, are what can be spared.
fn fitting(mut status: WorkspaceHygieneStatus) -> WorkspaceHygieneStatus {
    let is_long = |status: &WorkspaceHygieneStatus| serde_json::to_vec(status).map_or(0, |json| json.len()) > LONGEST;
    while is_long(&status) && status.orphans.pop().is_some() {}
    if let Some(sweep) = &mut status.last_sweep {
        while sweep.verdicts.len() > 8 {
            sweep.verdicts.pop();
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use crate::api::OrphanSample;

    use super::*;

    fn name() -> ResourceName {
        ResourceName::new("team", "collab")
    }

    #[test]
    fn messages_tell_what_to_run_with_kubectl() {
        let message = "x. To let go: hygiene approve -f SPEC abc. To drop: hygiene dismiss -f SPEC abc".to_owned();
        let hold = HoldStatus {
            kind: HoldKind::Breaker,
            reason: "TooManyOrphans".into(),
            message,
            since: None,
            plan_hash: None,
            directories: None,
        };
        let status = WorkspaceHygieneStatus { hold: Some(hold), ..WorkspaceHygieneStatus::default() };
        let status = swept(status, &name(), false, Some(&"now".to_owned()));
        let message = status.hold.unwrap().message;
        assert!(message.contains("kubectl -n team annotate wsh collab hygiene.dev/approve-plan=abc"), "{message}");
        assert!(message.contains("hygiene.dev/dismiss-plan=abc"), "{message}");
        assert_eq!(status.last_handled_sweep_request.as_deref(), Some("now"));
    }

    #[test]
    fn a_condition_that_is_published_is_so_since_it_was_published_so() {
        let second = |n| Timestamp::from_second(n).unwrap();
        let ready = |status, at| Condition {
            last_transition_time: Time(second(at)),
            ..condition(("Ready", status), "Swept", "x", 1)
        };
        let since = |published: &[Condition], now| {
            let mut conditions = [now];
            Since::of(published).settle(&mut conditions, second(9));
            conditions[0].last_transition_time.0
        };
        assert_eq!(since(&[ready("False", 5)], ready("True", 2)), second(9), "sweeps do not know that it was False");
        assert_eq!(since(&[ready("True", 5)], ready("True", 2)), second(5));
        assert_eq!(since(&[ready("True", 5)], ready("True", 7)), second(5));
        assert_eq!(since(&[], ready("True", 7)), second(9));
    }

    #[test]
    fn a_refusal_stalls_and_fits_whatever_was_there_before_and_a_pending_sweep_mends_it() {
        let sample = || OrphanSample { name: "x".repeat(255), last_activity_time: None, size: None };
        let orphans = std::iter::repeat_with(sample).take(40).collect();
        let before = WorkspaceHygieneStatus { orphans, ..WorkspaceHygieneStatus::default() };
        let refused = refused(before, 7, "InvalidSpec", &"long ".repeat(1000));
        assert!(serde_json::to_vec(&refused).unwrap().len() <= 8 * 1024);
        assert_eq!(refused.observed_generation, 7);
        let stalled = refused.conditions.iter().find(|one| one.type_ == "Stalled").unwrap();
        assert!(stalled.status == "True" && stalled.message.len() <= 1024);
        let pending = pending(refused, 8);
        assert!(pending.conditions.iter().all(|one| one.type_ != "Stalled"));
        assert_eq!(pending.observed_generation, 7, "nothing was observed of it yet");
    }
}
