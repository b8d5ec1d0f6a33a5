//! Claims that Jobs sweep, on a whole node: the chart as it is installed, the image as it is built, pods that run, volumes that
//! are mounted.

mod bridge;
mod evidence;
mod life;
mod orders;
mod release;
mod serving;
mod shards;
mod trouble;
mod volume;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use workspace_hygiene::journal::{Op, Record};

use super::program;
use super::turns::node;
pub use volume::Volume;

/// Longest time that a test waits for something that must come: pods start, and two processors are all there is.
const LONGEST: Duration = Duration::from_secs(400);

/// A resource whose volume is a claim, in a namespace of the release.
pub struct Swept {
    pub namespace: &'static str,
    pub name: &'static str,
    pub volume: Volume,
}

impl Swept {
    /// Makes the claim `name`, and remembers what the resource will be called.
    pub fn new(namespace: &'static str, name: &'static str) -> Self {
        Self { namespace, name, volume: Volume::new(namespace, name) }
    }

    /// The resource, in mode Report, with its database on the claim. `change` says what is other than usual.
    pub fn resource(&self, change: Value) -> Value {
        let mut resource = json!({
            "apiVersion": "hygiene.dev/v1alpha1", "kind": "WorkspaceHygiene",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {
                "mode": "Report",
                "schedule": {"every": "1m"},
                "volume": {"persistentVolumeClaim": {"claimName": self.name, "subPath": "workspaces"}},
                "workspaces": {"pattern": "^(?<session>[0-9a-f-]{36})$", "activity": "Modified"},
                "sessions": {
                    "sqlite": {"path": "/mnt/hygiene/volume/sessions.db"}, "liveQuery": "select id from session",
                },
            },
        });
        merge(&mut resource["spec"], change);
        resource
    }

    /// Applies the resource.
    pub fn apply(&self, change: Value) {
        node().admin_with(&["apply", "-f", "-"], &self.resource(change).to_string());
    }

    /// Merges into the spec of the resource that is there.
    pub fn patch(&self, spec: Value) {
        let patch = json!({ "spec": spec }).to_string();
        self.kubectl(&["patch", "wsh", self.name, "--type=merge", "-p", &patch]);
    }

    pub fn annotate(&self, annotation: &str) {
        self.kubectl(&["annotate", "wsh", self.name, "--overwrite", annotation]);
    }

    pub fn delete(&self) {
        self.kubectl(&["delete", "wsh", self.name, "--timeout=60s"]);
    }

    /// kubectl in its namespace.
    #[track_caller]
    pub fn kubectl(&self, args: &[&str]) -> String {
        node().admin(&[&["-n", self.namespace], args].concat())
    }

    pub fn status(&self) -> Value {
        let object: Value = serde_json::from_str(&self.kubectl(&["get", "wsh", self.name, "-o", "json"])).unwrap();
        object["status"].clone()
    }

    /// The objects of a kind that were made for it.
    pub fn made(&self, kind: &str) -> Vec<Value> {
        let label = format!("hygiene.dev/resource={}", self.name);
        let mut listed: Value =
            serde_json::from_str(&self.kubectl(&["get", kind, "-l", &label, "-o", "json"])).unwrap();
        std::mem::take(listed["items"].as_array_mut().unwrap())
    }

    /// Its Jobs of one kind of work: `sweep`, `look` or `purge`.
    pub fn jobs(&self, work: &str) -> Vec<Value> {
        let jobs = self.made("jobs").into_iter();
        jobs.filter(|job| job["metadata"]["labels"]["hygiene.dev/work"] == work).collect()
    }

    /// Reasons and notes of the events about it.
    pub fn events(&self) -> Vec<(String, String)> {
        let listed = self.kubectl(&["get", "events.events.k8s.io", "-o", "json"]);
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let ours = listed["items"].as_array().unwrap().iter().filter(|event| {
            event["regarding"]["kind"] == "WorkspaceHygiene" && event["regarding"]["name"] == self.name
        });
        ours.map(|event| (text(&event["reason"]), text(&event["note"]))).collect()
    }

    /// Waits until its status is so.
    #[track_caller]
    pub fn wait(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        self.wait_for(LONGEST, what, || Some(self.status()).filter(|status| is_so(status)))
    }

    /// Waits for an event, and gives its note.
    #[track_caller]
    pub fn wait_for_event(&self, reason: &str) -> String {
        let find = || self.events().into_iter().find(|(told, _)| told == reason);
        self.wait_for(LONGEST, reason, find).1
    }

    /// Waits until there is something.
    #[track_caller]
    pub fn wait_for<T>(&self, longest: Duration, what: &str, find: impl Fn() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = find() {
                return found;
            }
            assert!(begun.elapsed() < longest, "no {what} of {}/{}:\n{}", self.namespace, self.name, self.told());
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    /// Asks for a sweep, and waits until the status answers.
    #[track_caller]
    pub fn sweep(&self, request: &str) -> Value {
        self.annotate(&format!("hygiene.dev/sweep-requested-at={request}"));
        self.wait(request, |status| status["lastHandledSweepRequest"] == request)
    }

    /// Enforces, and approves the first plan.
    #[track_caller]
    pub fn enforce(&self, change: Value) -> Value {
        let mut spec = json!({"mode": "Enforce"});
        merge(&mut spec, change);
        self.patch(spec);
        self.approve()
    }

    /// Approves the plan that is held once one is.
    #[track_caller]
    pub fn approve(&self) -> Value {
        let held = self.wait("held plan", |status| status["hold"]["planHash"].is_string());
        let hash = held["hold"]["planHash"].as_str().unwrap();
        self.annotate(&format!("hygiene.dev/approve-plan={hash}"));
        held
    }

    /// Waits until what is in quarantine now may be purged.
    #[track_caller]
    pub fn wait_for_retention(&self) {
        let status = self.status();
        let Some(due) = status["quarantine"]["nextPurgeTime"].as_str() else { return };
        // Times in a status are cut to whole seconds.
        let due = due.parse::<jiff::Timestamp>().unwrap() + jiff::SignedDuration::from_secs(1);
        self.wait_for(LONGEST, "end of its retention", || (jiff::Timestamp::now() > due).then_some(()));
    }

    /// Everything that tells why it is as it is.
    fn told(&self) -> String {
        let ours = "app.kubernetes.io/name=workspace-hygiene-sweeper";
        let asked = [
            &["get", "wsh", self.name, "-o", "yaml"][..],
            &["get", "events", "--sort-by=.metadata.creationTimestamp"],
            &["get", "jobs,pods", "-o", "wide"],
            &["logs", "--prefix", "--tail=30", "-l", ours],
        ];
        let one = |args: &[&str]| {
            let mut kubectl = node().command(&program("kubectl"));
            let ran = kubectl.args(["-n", self.namespace]).args(args).output().unwrap();
            format!("--- {args:?}\n{}\n", String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()))
        };
        asked.into_iter().map(one).collect::<String>() + "--- controller\n" + &release::log()
    }

    /// Looks at every status that was ever written in its namespace, and at every answer that the controller and the pods got
    /// there.
    pub fn assert_all_is_well(&self) {
        super::kstatus::assert_statuses(&node().audited(), self.namespace);
        let forbidden: Vec<_> = super::audit::requests(&node().audited(), self.namespace)
            .into_iter()
            .filter(|(user, asked)| user.starts_with("system:serviceaccount:") && asked.code == Some(403))
            .collect();
        assert!(forbidden.is_empty(), "{forbidden:#?}");
    }
}

/// Puts an object's members into another one; `null` takes one out.
pub fn merge(into: &mut Value, change: Value) {
    let (Value::Object(members), Value::Object(change)) = (&mut *into, &change) else {
        *into = change;
        return;
    };
    for (key, value) in change {
        match value {
            Value::Null => drop(members.remove(key)),
            value => merge(members.entry(key).or_insert(json!({})), value.clone()),
        }
    }
}

/// The condition of this type.
pub fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
    let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().find(|one| one["type"] == kind).unwrap_or(&Value::Null)
}

/// Whether a condition is so, for this reason.
pub fn is_because(status: &Value, kind: &str, holds: &str, reason: &str) -> bool {
    let condition = condition(status, kind);
    condition["status"] == holds && condition["reason"] == reason
}

/// How often a step of this kind was brought to an end for each workspace, by the journal.
pub fn done(records: &[Record], op: Op) -> Vec<String> {
    use workspace_hygiene::journal::Event;
    let of = |record: &Record| match &record.event {
        Event::Done(step) if step.op == op => Some(step.name.clone()),
        Event::Purged(step) if op == Op::Purge => Some(step.name.clone()),
        _ => None,
    };
    let mut done: Vec<_> = records.iter().filter_map(of).collect();
    done.sort();
    done
}
