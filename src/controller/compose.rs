//! The status of an object as it is written: what the sweeps tell, and what only the controller knows.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::api::WorkspaceHygieneStatus;
use crate::policy::ResourceName;
use crate::report::status::{cut, keep_transitions};

/// Longest status, in bytes of JSON (DESIGN: 8 KiB whatever the volume holds).
const LONGEST: usize = 8 * 1024 - 64;
/// Longest message of a condition, in bytes: what the schema allows.
const LONGEST_MESSAGE: usize = 1024;
/// The same of conditions that are there beside others.
const SHORT_MESSAGE: usize = 256;

/// The status after a sweep, beside what was published before.
pub(super) fn swept(
    mut status: WorkspaceHygieneStatus,
    before: &WorkspaceHygieneStatus,
    name: &ResourceName,
    handled: Option<&String>,
    at: Timestamp,
) -> WorkspaceHygieneStatus {
    status.last_handled_sweep_request = handled.cloned();
    if let Some(hold) = &mut status.hold {
        hold.message = cut(&for_kubectl(&hold.message, name), LONGEST_MESSAGE);
    }
    for condition in &mut status.conditions {
        condition.message = cut(&for_kubectl(&condition.message, name), SHORT_MESSAGE);
    }
    // What was published counts. In mode Report without a state directory only the object itself remembers since when something
    // is so, and what sweeps remember knows nothing of a refusal in between.
    keep_transitions(&mut status.conditions, &before.conditions);
    for condition in &mut status.conditions {
        let is_same = |one: &Condition| one.type_ == condition.type_ && one.status == condition.status;
        if !before.conditions.iter().any(is_same) {
            condition.last_transition_time = Time(at);
        }
    }
    fitting(status)
}

/// The status of an object whose newest generation waits for its first sweep.
pub(super) fn pending(before: &WorkspaceHygieneStatus, generation: i64, at: Timestamp) -> WorkspaceHygieneStatus {
    let mut status = before.clone();
    let message = "the first sweep of this generation is under way";
    let reconciling = condition(("Reconciling", "True"), "SweepPending", message, generation, at);
    status.conditions.retain(|one| one.type_ != "Stalled" && one.type_ != "Reconciling");
    status.conditions.push(reconciling);
    keep_transitions(&mut status.conditions, &before.conditions);
    fitting(status)
}

/// The status of an object that is not swept, for a fault that only a change mends.
pub(super) fn refused(
    before: &WorkspaceHygieneStatus,
    generation: i64,
    reason: &str,
    message: &str,
    at: Timestamp,
) -> WorkspaceHygieneStatus {
    let mut status = before.clone();
    status.observed_generation = generation;
    status.hold = None;
    status.next_sweep_time = None;
    let make = |kind, message: &str| condition(kind, reason, message, generation, at);
    let short = cut(message, SHORT_MESSAGE);
    status.conditions = vec![
        make(("Ready", "False"), &short),
        make(("DeletionAllowed", "False"), "nothing is swept"),
        make(("Stalled", "True"), &cut(message, LONGEST_MESSAGE)),
    ];
    keep_transitions(&mut status.conditions, &before.conditions);
    fitting(status)
}

fn condition((kind, status): (&str, &str), reason: &str, message: &str, generation: i64, at: Timestamp) -> Condition {
    Condition {
        type_: kind.into(),
        status: status.into(),
        reason: reason.into(),
        message: message.into(),
        last_transition_time: Time(at),
        observed_generation: Some(generation),
    }
}

/// What a message tells to run, for people who have kubectl and no shell beside the volume.
fn for_kubectl(message: &str, name: &ResourceName) -> String {
    let annotate = |what| format!("kubectl -n {} annotate wsh {} hygiene.dev/{what}-plan=", name.namespace, name.name);
    message
        .replace("hygiene approve -f SPEC ", &annotate("approve"))
        .replace("hygiene dismiss -f SPEC ", &annotate("dismiss"))
}

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
    use crate::api::{HoldKind, HoldStatus, OrphanSample};

    use super::*;

    fn name() -> ResourceName {
        ResourceName { namespace: "team".into(), name: "collab".into() }
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
        let status =
            swept(status, &WorkspaceHygieneStatus::default(), &name(), Some(&"now".to_owned()), Timestamp::UNIX_EPOCH);
        let message = status.hold.unwrap().message;
        assert!(message.contains("kubectl -n team annotate wsh collab hygiene.dev/approve-plan=abc"), "{message}");
        assert!(message.contains("hygiene.dev/dismiss-plan=abc"), "{message}");
        assert_eq!(status.last_handled_sweep_request.as_deref(), Some("now"));
    }

    #[test]
    fn a_condition_that_changed_since_it_was_published_changed_after_that() {
        let second = |n| Timestamp::from_second(n).unwrap();
        let ready = |status, at| condition(("Ready", status), "Swept", "x", 1, second(at));
        let with = |ready| WorkspaceHygieneStatus { conditions: vec![ready], ..WorkspaceHygieneStatus::default() };
        let since = |before, after| {
            let status = swept(with(after), &with(before), &name(), None, second(9));
            status.conditions[0].last_transition_time.0
        };
        assert_eq!(since(ready("False", 5), ready("True", 2)), second(9), "sweeps do not know that it was False");
        assert_eq!(since(ready("True", 5), ready("True", 2)), second(5));
        assert_eq!(since(ready("True", 5), ready("True", 7)), second(5));
    }

    #[test]
    fn a_refusal_stalls_and_fits_whatever_was_there_before_and_a_pending_sweep_mends_it() {
        let sample = || OrphanSample { name: "x".repeat(255), last_activity_time: None, size: None };
        let orphans = std::iter::repeat_with(sample).take(40).collect();
        let before = WorkspaceHygieneStatus { orphans, ..WorkspaceHygieneStatus::default() };
        let at = Timestamp::UNIX_EPOCH;
        let refused = refused(&before, 7, "InvalidSpec", &"long ".repeat(1000), at);
        assert!(serde_json::to_vec(&refused).unwrap().len() <= 8 * 1024);
        assert_eq!(refused.observed_generation, 7);
        let stalled = refused.conditions.iter().find(|one| one.type_ == "Stalled").unwrap();
        assert!(stalled.status == "True" && stalled.message.len() <= 1024);
        let pending = pending(&refused, 8, at);
        assert!(pending.conditions.iter().all(|one| one.type_ != "Stalled"));
        assert_eq!(pending.observed_generation, 7, "nothing was observed of it yet");
    }
}
