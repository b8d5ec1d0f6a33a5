//! The service comes first: the pods of a real Deployment, which are well or not.

use std::time::Duration;

use serde_json::{Value, json};

use super::release::release;
use super::{LONGEST, Swept, condition, is_because, merge, node};
use crate::world::id;

/// The condition that makes its pods ready, or not.
const GATE: &str = "example.com/well";

/// A Deployment with one pod that does nothing.
struct Service {
    namespace: &'static str,
}

impl Service {
    /// Starts it; `change` says what of its pod's spec is other than usual.
    fn start(namespace: &'static str, change: Value) -> Self {
        let mut deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "collab", "namespace": namespace},
            "spec": {
                "selector": {"matchLabels": {"app": "collab"}},
                "template": {
                    "metadata": {"labels": {"app": "collab"}},
                    "spec": {
                        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                        "containers": [{
                            "name": "collab", "image": "local/pause:1", "imagePullPolicy": "Never",
                            "securityContext": {
                                "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
                            },
                        }],
                    },
                },
            },
        });
        merge(&mut deployment["spec"]["template"]["spec"], change);
        node().admin_with(&["apply", "-f", "-"], &deployment.to_string());
        Self { namespace }
    }

    /// kubectl about its Deployment.
    fn kubectl(&self, verb: &[&str], args: &[&str]) {
        node().admin(&[&["-n", self.namespace], verb, &["deployment/collab"], args].concat());
    }

    /// Its pods are made anew, and its container is so.
    fn roll(&self, container: Value) {
        let mut container = container;
        merge(&mut container, json!({"name": "collab"}));
        let patch = json!({"spec": {"template": {"spec": {"containers": [container]}}}}).to_string();
        self.kubectl(&["patch"], &["-p", &patch]);
    }

    fn pod(&self) -> Option<String> {
        let name = "jsonpath={.items[*].metadata.name}";
        let names = node().admin(&["-n", self.namespace, "get", "pods", "-l", "app=collab", "-o", name]);
        names.split(' ').next().filter(|name| !name.is_empty()).map(str::to_owned)
    }

    fn is_well(&self, well: bool) {
        let condition = json!({"type": GATE, "status": if well { "True" } else { "False" }});
        let patch = json!({"status": {"conditions": [condition]}}).to_string();
        let pod = self.pod().unwrap();
        let args = ["patch", "pod", &pod, "--subresource=status", "--type=strategic", "-p", &patch];
        node().admin(&[&["-n", self.namespace], &args[..]].concat());
    }
}

fn finished(job: &Value) -> bool {
    let conditions = job["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|one| one["status"] == "True" && (one["type"] == "Complete" || one["type"] == "Failed"))
}

#[test]
fn while_the_service_is_not_well_no_job_starts_and_one_that_runs_stands_still() {
    let _release = release();
    let swept = Swept::new("jobs-serving", "collab");
    (1..=3).for_each(|n| swept.volume.workspace(&id(n), 10));
    (1..=3).for_each(|n| swept.volume.session(&id(n)));
    // Long enough to be looked at: fifteen seconds at a hundred entries a second.
    swept.volume.workspace(&id(4), 1500);
    let gated = json!({"readinessGates": [{"conditionType": GATE}]});
    let service = Service::start("jobs-serving", gated);
    swept.wait_for(LONGEST, "pod of the service", || service.pod());

    // In mode Report it looks all the same.
    swept.apply(json!({
        "containers": {"kubernetes": {"serving": {"selector": {"matchLabels": {"app": "collab"}}}}, "settle": "2s"},
        "limits": {"purge": {"entriesPerSecond": 100}},
        "quarantine": {"retention": "1s"},
    }));
    swept.wait("report", |status| is_because(status, "Ready", "True", "Swept"));

    // Enforced it waits, and makes no Job.
    let before = swept.jobs("sweep").len() + swept.jobs("look").len();
    swept.patch(json!({"mode": "Enforce"}));
    let seen = swept.wait("gate", |status| is_because(status, "DeletionAllowed", "False", "ServiceUnhealthy"));
    assert_eq!(seen["hold"]["kind"], "Gate", "{seen:#}");
    std::thread::sleep(Duration::from_secs(10));
    let jobs = [swept.jobs("sweep"), swept.jobs("look")].concat();
    assert!(jobs.iter().all(finished) && jobs.len() <= before, "{jobs:#?}");
    assert!(!swept.volume.root().join(".hygiene").exists());

    // Well again it goes on.
    service.is_well(true);
    swept.approve();
    swept.wait("quarantining", |status| status["quarantine"]["directories"] == 1);
    swept.wait_for_retention();
    swept.annotate("hygiene.dev/sweep-requested-at=purge");
    swept.wait_for(LONGEST, "purge", || (!swept.volume.ours("purging").is_empty()).then_some(()));
    let all = swept.volume.entries("purging");
    let begun = || Some(swept.volume.entries("purging")).filter(|left| *left < all);
    swept.wait_for(LONGEST, "entry that is removed", begun);

    // Not well in mid-purge: the Job is suspended, its pod goes, and nothing more is removed.
    service.is_well(false);
    let standing = || swept.jobs("sweep").into_iter().find(|job| job["spec"]["suspend"] == true && !finished(job));
    let job = swept.wait_for(LONGEST, "suspended Job", standing);
    let seen = swept.wait("gate", |status| is_because(status, "DeletionAllowed", "False", "ServiceUnhealthy"));
    assert_eq!(seen["job"]["name"], job["metadata"]["name"], "{seen:#}");
    let pods = || swept.made("pods").into_iter().filter(|pod| pod["status"]["phase"] == "Running").count();
    swept.wait_for(LONGEST, "end of its pod", || (pods() == 0).then_some(()));
    let left = swept.volume.entries("purging");
    assert!(left > 0, "it was done before it could be stopped");
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(swept.volume.entries("purging"), left);

    // Well once more it comes to its end.
    service.is_well(true);
    let seen = swept.wait("purge", |status| status["reclaimed"]["directories"] == 1);
    assert!(seen.get("hold").is_none(), "{seen:#}");
    assert_eq!(seen["job"]["name"], job["metadata"]["name"], "the same Job went on: {seen:#}");
    assert_eq!(swept.volume.held(), [1, 2, 3].map(id));
    assert!(swept.volume.ours("purging").is_empty());
    swept.assert_all_is_well();
}

#[test]
fn a_service_that_is_scaled_to_zero_rolled_or_out_of_memory_is_not_swept_beside() {
    let _release = release();
    let swept = Swept::new("jobs-stops", "collab");
    (1..=3).for_each(|n| swept.volume.workspace(&id(n), 10));
    (1..=3).for_each(|n| swept.volume.session(&id(n)));
    let service = Service::start("jobs-stops", json!({}));
    service.kubectl(&["rollout", "status"], &["--timeout=2m"]);
    swept.apply(json!({
        "containers": {"kubernetes": {"serving": {"selector": {"matchLabels": {"app": "collab"}}}}, "settle": "2s"},
    }));
    swept.wait("report", |status| is_because(status, "Ready", "True", "Swept"));
    swept.enforce(json!({}));
    let quarantined = |n: u64| swept.wait("quarantining", |status| status["quarantine"]["directories"] == n);
    // Nothing is gone yet; the first plan, which was approved, had no orphans in it or has been carried out.
    swept.wait("first plan", |status| status.get("hold").is_none() && status["quarantine"]["directories"] == 0);

    // While it is not well nothing is done, however often somebody asks, and no Job is made for it.
    let stands = |orphan: u32, words: &[&str]| {
        swept.volume.workspace(&id(orphan), 10);
        let enforced = || swept.jobs("sweep").iter().map(|job| job["metadata"]["name"].clone()).collect::<Vec<_>>();
        swept.wait(&format!("gate with {words:?}"), |status| {
            let allowed = condition(status, "DeletionAllowed");
            let message = allowed["message"].as_str().unwrap_or_default();
            is_because(status, "DeletionAllowed", "False", "ServiceUnhealthy")
                && words.iter().all(|word| message.contains(word))
        });
        let before = enforced();
        swept.annotate(&format!("hygiene.dev/sweep-requested-at=closed-{orphan}"));
        std::thread::sleep(Duration::from_secs(12));
        assert!(enforced().iter().all(|job| before.contains(job)), "a Job was made");
        assert!(swept.volume.held().contains(&id(orphan)));
    };

    service.kubectl(&["scale"], &["--replicas=0"]);
    stands(4, &["no pod serves", "whenAbsent: Proceed"]);
    service.kubectl(&["scale"], &["--replicas=1"]);
    quarantined(1);

    // A rollout whose new pod never comes.
    service.roll(json!({"image": "local/nobody-built-this:1"}));
    stands(5, &["Deployment collab"]);
    service.kubectl(&["rollout", "undo"], &[]);
    quarantined(2);

    // Out of memory: for half an hour.
    service.roll(json!({"args": ["take"], "resources": {"limits": {"memory": "16Mi"}}}));
    stands(6, &["container collab", "OOMKilled"]);
    service.kubectl(&["rollout", "undo"], &[]);
    service.kubectl(&["rollout", "status"], &["--timeout=2m"]);
    stands(7, &["OOMKilled", "nothing is deleted for 30m"]);
    assert_eq!(swept.volume.held(), [1, 2, 3, 6, 7].map(id));
    swept.delete();
    swept.assert_all_is_well();
}
