//! What every status must keep to: the rules of kstatus (sigs.k8s.io/cli-utils, pkg/kstatus), by which `kubectl wait`, `helm
//! --wait` and Flux read it, and our own. A pure function of what was written, in order; it looks at whole histories, since half
//! of the rules are about what changed.

mod rules;
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;

use super::audit::{Written, written};

/// Longest status, in bytes of JSON.
const LONGEST: usize = 8 * 1024;
/// The field manager that writes statuses.
const MANAGER: &str = "hygiene";

/// Looks at every status that a controller wrote in a namespace so far.
///
/// # Panics
///
/// With all faults and the status, at the first that has one.
pub fn assert_statuses(folder: &Path, namespace: &str) {
    let ours = |written: &Written| written.manager.as_deref() == Some(MANAGER);
    let mut histories: BTreeMap<String, Vec<Status>> = BTreeMap::new();
    for written in written(folder, "workspacehygienes/status", namespace).into_iter().filter(ours) {
        let uid = written.object["metadata"]["uid"].to_string();
        histories.entry(uid).or_default().push(Status::of(&written.object, written.at));
    }
    for history in histories.values() {
        let mut before: Vec<&Status> = Vec::new();
        for status in history {
            let faults = faults(&before, status);
            let last = before.last().map_or(&Value::Null, |last| &last.status);
            assert!(faults.is_empty(), "{faults:#?}\nstatus: {:#}\nbefore: {last:#}", status.status);
            before.push(status);
        }
    }
}

/// A status as it was written.
#[derive(Clone, Debug)]
pub struct Status {
    /// `metadata.generation` of the object when it was written.
    generation: i64,
    /// When that was.
    at: Timestamp,
    status: Value,
}

impl Status {
    pub fn of(object: &Value, at: Timestamp) -> Self {
        let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
        Self { generation, at, status: object["status"].clone() }
    }

    fn observed(&self) -> i64 {
        self.status["observedGeneration"].as_i64().unwrap_or(-1)
    }

    fn conditions(&self) -> Vec<Condition<'_>> {
        self.status["conditions"].as_array().into_iter().flatten().map(Condition).collect()
    }

    fn condition(&self, kind: &str) -> Option<Condition<'_>> {
        self.conditions().into_iter().find(|one| one.kind() == kind)
    }

    fn is_true(&self, kind: &str) -> bool {
        self.condition(kind).is_some_and(|one| one.status() == "True")
    }

    /// The latest time at which something is said to have changed.
    fn latest(&self) -> Option<Timestamp> {
        let ended = self.status.pointer("/lastSweep/completionTime").and_then(Value::as_str).and_then(time);
        self.conditions().iter().filter_map(Condition::since).chain(ended).max()
    }
}

/// One condition.
#[derive(Clone, Copy, Debug)]
struct Condition<'a>(&'a Value);

impl<'a> Condition<'a> {
    fn text(&self, field: &str) -> &'a str {
        self.0[field].as_str().unwrap_or_default()
    }

    fn kind(&self) -> &'a str {
        self.text("type")
    }

    fn status(&self) -> &'a str {
        self.text("status")
    }

    fn reason(&self) -> &'a str {
        self.text("reason")
    }

    fn message(&self) -> &'a str {
        self.text("message")
    }

    fn since(&self) -> Option<Timestamp> {
        time(self.text("lastTransitionTime"))
    }

    fn generation(&self) -> i64 {
        self.0["observedGeneration"].as_i64().unwrap_or(-1)
    }
}

fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// What is wrong with a status of one object, after those that were written before.
pub fn faults(before: &[&Status], status: &Status) -> Vec<String> {
    let mut faults = rules::alone(status);
    faults.extend(rules::beside_each_other(status));
    faults.extend(rules::hold(status));
    faults.extend(rules::after(before, status));
    let mut seen = HashSet::new();
    faults.retain(|fault| seen.insert(fault.clone()));
    faults
}
