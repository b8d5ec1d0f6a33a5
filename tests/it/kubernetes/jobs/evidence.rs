//! Pods that mount the claim are evidence, whatever they are for.

use serde_json::{Value, json};

use super::release::release;
use super::{Swept, is_because, node};
use crate::world::id;

/// A pod that mounts the claim, or a part of it, and does nothing.
fn pod(name: &str, sub_path: Option<&str>) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "jobs-evidence"},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "volumes": [{"name": "efs", "persistentVolumeClaim": {"claimName": "collab"}}],
            "containers": [{
                "name": "one", "image": "local/pause:1", "imagePullPolicy": "Never",
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "efs", "mountPath": "/efs", "subPath": sub_path}],
            }],
        },
    })
}

#[test]
fn a_pod_that_mounts_a_workspace_keeps_it_and_one_that_mounts_all_of_them_keeps_all() {
    let _release = release();
    let swept = Swept::new("jobs-evidence", "collab");
    (1..=5).for_each(|n| swept.volume.workspace(&id(n), 5));
    (1..=3).for_each(|n| swept.volume.session(&id(n)));
    node().admin_with(&["apply", "-f", "-"], &pod("everything", None).to_string());
    swept.apply(json!({}));
    let seen = swept.wait("report", |status| is_because(status, "Ready", "False", "SourceUnavailable"));
    assert!(seen["hold"]["message"].as_str().unwrap().contains("pod everything mounts claim collab"), "{seen:#}");

    // It goes, and somebody is at work on one of the two orphans.
    swept.kubectl(&["delete", "pod", "everything", "--timeout=60s"]);
    let at_work = pod("at-work", Some(&format!("workspaces/{}", id(4))));
    node().admin_with(&["apply", "-f", "-"], &at_work.to_string());
    swept.enforce(json!({}));
    let seen = swept.wait("quarantining", |status| status["quarantine"]["directories"] == 1);
    assert_eq!(seen["lastSweep"]["orphans"], 1, "{seen:#}");
    assert_eq!(swept.volume.held(), [1, 2, 3, 4].map(id));
    let claimed = json!({"reason": "Claimed", "verdict": "Keep", "directories": 1});
    assert!(seen["lastSweep"]["verdicts"].as_array().unwrap().contains(&claimed), "{seen:#}");
    swept.delete();
    swept.assert_all_is_well();
}
