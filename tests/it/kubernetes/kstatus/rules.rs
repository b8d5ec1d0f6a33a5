//! The rules, each a sentence that says what is wrong.

use jiff::SignedDuration;
use workspace_hygiene::plan::{HoldKind, HoldReason};

use super::{Condition, LONGEST, Status};

/// Why a resource is not swept at all.
const REFUSALS: [&str; 5] =
    ["InvalidSpec", "VolumeNotAllowed", "SessionsNotAllowed", "EvidenceNotAllowed", "OverlappingVolume"];

/// Why a Job cannot be made, does not start, or left no report.
const OF_JOBS: [&str; 16] = [
    "ApiServerUnavailable",
    "ClaimNotFound",
    "ClaimNotShared",
    "NotPermitted",
    "SweeperBadSpec",
    "SweeperClaimNotBound",
    "SweeperEvicted",
    "SweeperFailed",
    "SweeperImageNotPulled",
    "SweeperMountFailed",
    "SweeperNotCreated",
    "SweeperNotScheduled",
    "SweeperOutOfMemory",
    "SweeperQuotaExceeded",
    "SweeperRemoved",
    "SweeperSecretMissing",
];

/// Whether a reason is one that docs/conditions.md and docs/verdicts.md list for this condition.
fn is_known(kind: &str, status: &str, reason: &str) -> bool {
    let is_one_of = |reasons: &[&str]| reasons.contains(&reason);
    match (kind, status) {
        ("Ready", "True") => reason == "Swept",
        ("Ready", "False") => {
            is_one_of(&["SourceUnavailable", "Stopped", "StepFailed", "SweepFailed", "SweepPending"])
                || is_one_of(&OF_JOBS)
                || is_one_of(&REFUSALS)
        }
        ("SourcesAvailable", "True") => reason == "Complete",
        ("SourcesAvailable", "False") | ("BacklogDrained", "Unknown") => reason == "SourceUnavailable",
        ("DeletionAllowed", "True") => reason == "Allowed",
        ("DeletionAllowed", "False") => {
            HoldReason::of(reason).is_some() || is_one_of(&["ReportMode", "Starting", "Paused"]) || is_one_of(&REFUSALS)
        }
        ("DeletionAllowed", "Unknown") => reason == "SweepPending",
        ("BacklogDrained", "True") => reason == "NoOrphans",
        ("BacklogDrained", "False") => reason == "OrphansWait",
        ("Reconciling", "True") => reason == "SweepPending",
        ("Stalled", "True") => is_one_of(&REFUSALS),
        _ => false,
    }
}

fn is_camel_case(reason: &str) -> bool {
    reason.starts_with(|first: char| first.is_ascii_uppercase()) && reason.chars().all(|c| c.is_ascii_alphanumeric())
}

/// What is wrong with each part of it.
pub fn alone(status: &Status) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |wrong: bool, what: String| faults.extend(wrong.then_some(what));
    let bytes = status.status.to_string().len();
    fault(bytes > LONGEST, format!("it has {bytes} bytes"));
    let observed = status.observed();
    fault(observed > status.generation, format!("observedGeneration {observed} is above {}", status.generation));
    let swept = status.status.pointer("/lastSweep/generation").and_then(serde_json::Value::as_i64);
    fault(swept > Some(observed), format!("the last sweep was of generation {swept:?}, which is not observed"));
    let samples = status.status["orphans"].as_array().map_or(0, Vec::len);
    fault(samples > 10, format!("it has {samples} samples"));
    for one in status.conditions() {
        let (kind, reason) = (one.kind(), one.reason());
        let same = status.conditions().iter().filter(|other| other.kind() == kind).count();
        fault(same > 1, format!("{kind} is there {same} times"));
        fault(!is_camel_case(reason), format!("{kind}: {reason} is no CamelCase word"));
        fault(!is_known(kind, one.status(), reason), format!("{kind}={} never has the reason {reason}", one.status()));
        // What stands in a Job's way ends with the way out, and there are few others then.
        let longest = match kind {
            "Stalled" => 1024,
            "Ready" if OF_JOBS.contains(&reason) => 512,
            _ => 256,
        };
        let length = one.message().len();
        fault(length == 0 || length > longest, format!("{kind}: a message of {length} bytes"));
        let generation = one.generation();
        fault(generation < 0 || generation > status.generation, format!("{kind}: observedGeneration {generation}"));
        // The API server's clock is the controller's; times are cut to whole seconds.
        let to_come = one.since().is_none_or(|since| since > status.at + SignedDuration::from_secs(1));
        fault(to_come, format!("{kind}: lastTransitionTime {} is none, or to come", one.text("lastTransitionTime")));
    }
    faults
}

/// What is wrong with parts that are beside each other.
pub fn beside_each_other(status: &Status) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |wrong: bool, what: &str| faults.extend(wrong.then(|| what.to_owned()));
    let (ready, stalled) = (status.condition("Ready"), status.condition("Stalled"));
    let reconciling = status.condition("Reconciling");
    fault(status.conditions().is_empty(), "it has no condition");
    fault(ready.is_none() && reconciling.is_none(), "neither Ready nor Reconciling is there");
    fault(status.is_true("Ready") && stalled.is_some(), "Ready is True beside Stalled");
    fault(status.is_true("DeletionAllowed") && stalled.is_some(), "DeletionAllowed is True beside Stalled");
    fault(reconciling.is_some() && stalled.is_some(), "Reconciling is there beside Stalled");
    if let Some(stalled) = stalled {
        let same = |one: Option<Condition<'_>>| one.is_some_and(|one| one.reason() == stalled.reason());
        fault(!same(ready) || !same(status.condition("DeletionAllowed")), "others do not have the reason of Stalled");
        fault(status.status.get("nextSweepTime").is_some(), "a next sweep is due while it is stalled");
    }
    // While it is reconciling the newest generation is not observed, so that whoever waits for Ready does wait.
    let waits = reconciling.is_some_and(|one| one.generation() > status.observed());
    fault(reconciling.is_some() && !waits, "Reconciling is there although its generation is observed");
    let of_observed = |one: &Condition<'_>| one.generation() <= status.observed() || one.kind() == "Reconciling";
    fault(!status.conditions().iter().all(of_observed), "a condition is about a generation that is not observed");
    // kstatus reads Ready only once the generation is observed, and takes it to be about that.
    let is_new = ready.is_none_or(|ready| ready.generation() == status.observed() && ready.status() != "Unknown");
    fault(reconciling.is_none() && !is_new, "Ready is not about the generation that is observed");
    faults
}

/// What is wrong with the hold.
pub fn hold(status: &Status) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |wrong: bool, what: String| faults.extend(wrong.then_some(what));
    let hold = status.status.get("hold");
    let deletion = status.condition("DeletionAllowed");
    fault(hold.is_some() && status.is_true("DeletionAllowed"), "DeletionAllowed is True beside a hold".into());
    if let Some(hold) = hold {
        let text = |field: &str| hold[field].as_str().unwrap_or_default();
        let (word, message) = (text("reason"), text("message"));
        let reason = deletion.map(|one| one.reason());
        fault(reason != Some(word), format!("DeletionAllowed has the reason {reason:?}, and the hold {word}"));
        let kind = HoldReason::of(word).map(HoldReason::kind).map(HoldKind::word);
        fault(kind != Some(text("kind")), format!("a hold {word} of the kind {}", text("kind")));
        fault(message.is_empty() || message.len() > 1024, format!("a hold's message of {} bytes", message.len()));
        let hash = text("planHash");
        let commands = ["approve", "dismiss"].map(|what| format!("hygiene.dev/{what}-plan={hash}"));
        let told = commands.iter().all(|command| message.contains(command));
        fault(!hash.is_empty() && !told, format!("the hold's message does not tell how to end it: {message}"));
    } else if let Some(deletion) = deletion.filter(|one| one.status() == "False") {
        let held = HoldReason::of(deletion.reason()).is_some();
        fault(held, format!("DeletionAllowed has the reason {}, and there is no hold", deletion.reason()));
    }
    faults
}

/// What is wrong with what changed.
pub fn after(before: &[&Status], status: &Status) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |wrong: bool, what: String| faults.extend(wrong.then_some(what));
    let Some(last) = before.last() else { return faults };
    let (was, is) = (last.observed(), status.observed());
    fault(is < was, format!("observedGeneration went back from {was} to {is}"));
    for one in status.conditions() {
        let (kind, since) = (one.kind(), one.since());
        let known = before.iter().rev().find_map(|earlier| Some((*earlier, earlier.condition(kind)?)));
        let Some((earlier, known)) = known else { continue };
        let there_before = last.condition(kind).is_some();
        if known.status() != one.status() {
            let changed = since >= earlier.latest();
            fault(!changed, format!("{kind} became {} before {} was reported", one.status(), known.status()));
        } else if there_before {
            fault(since != known.since(), format!("{kind} stayed {}, and lastTransitionTime did not", one.status()));
        } else {
            fault(since < known.since(), format!("{kind} is back, since a time before the one it had"));
        }
    }
    faults
}
