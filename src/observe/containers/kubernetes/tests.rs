//! What pods and workloads say, judged. The same against a real API server is in tests/it/kubernetes.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::claims;
use super::serving::{ServingPod, judge};
use super::watch::{Gone, Kept};
use super::workloads::MakesPods;
use crate::observe::Health;
use crate::policy::{KubernetesPolicy, PodSession, WhenAbsent};

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn ago(seconds: i64) -> String {
    now().checked_sub(jiff::SignedDuration::from_secs(seconds)).unwrap().to_string()
}

/// A pod that has been ready for an hour, changed.
fn pod(change: impl FnOnce(&mut Value)) -> ServingPod {
    let mut pod = json!({
        "metadata": {"name": "collab-1", "uid": "u1", "resourceVersion": "5", "creationTimestamp": ago(4000)},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": ago(3600)}],
            "containerStatuses": [{
                "name": "app", "ready": true, "restartCount": 0, "image": "", "imageID": "",
                "state": {"running": {"startedAt": ago(3900)}},
            }],
        },
    });
    change(&mut pod);
    ServingPod::of(&serde_json::from_value::<Pod>(pod).unwrap())
}

fn policy(when_absent: WhenAbsent) -> KubernetesPolicy {
    KubernetesPolicy {
        namespace: "team".into(),
        serving: None,
        claims: None,
        settle: Duration::from_secs(90),
        when_absent,
    }
}

/// What holds, of pods that are there and pods that went a minute ago.
fn held(pods: &[ServingPod], gone: &[ServingPod]) -> Option<String> {
    let at = now().checked_sub(jiff::SignedDuration::from_secs(60)).unwrap();
    let gone: Vec<_> = gone.iter().map(|last| Gone { at, last: last.clone() }).collect();
    match judge(&policy(WhenAbsent::Hold), pods, &gone, &[], now()) {
        Health::Healthy => None,
        Health::Unhealthy(why) => Some(why),
    }
}

#[track_caller]
fn holds(pod: ServingPod, words: &str) {
    let why = held(&[pod], &[]).unwrap_or_else(|| panic!("nothing holds, where {words:?} should"));
    assert!(why.contains(words), "{why}");
}

#[test]
fn a_pod_that_is_ready_for_long_enough_is_well() {
    assert_eq!(held(&[pod(|_| ())], &[]), None);
    holds(pod(|pod| pod["status"]["conditions"][0]["lastTransitionTime"] = json!(ago(30))), "ready for only 30s");
    // A clock that is ahead of ours settles nothing.
    holds(pod(|pod| pod["status"]["conditions"][0]["lastTransitionTime"] = json!(ago(-60))), "ready for only 0s");
    holds(pod(|pod| pod["status"]["conditions"][0]["lastTransitionTime"] = Value::Null), "ready for only");
}

#[test]
fn a_pod_that_is_not_ready_says_why() {
    let unready = |state: Value| {
        pod(|pod| {
            pod["status"]["conditions"][0]["status"] = json!("False");
            pod["status"]["containerStatuses"][0]["state"] = state;
        })
    };
    holds(
        unready(json!({"waiting": {"reason": "CrashLoopBackOff"}})),
        "is not ready (container app: CrashLoopBackOff)",
    );
    holds(unready(json!({"waiting": {"reason": "x\nlies: y"}})), "a word that cannot be shown");
    holds(unready(json!({"running": {}})), "is not ready (Running)");
    holds(pod(|pod| pod["status"] = json!({})), "is not ready");
    holds(pod(|pod| pod["metadata"]["deletionTimestamp"] = json!(ago(1))), "is being stopped");
}

#[test]
fn a_restart_holds_for_half_an_hour() {
    let restarted = |seconds: i64, reason: &str| {
        pod(|pod| {
            let end = json!({"terminated": {"exitCode": 137, "reason": reason, "finishedAt": ago(seconds)}});
            pod["status"]["containerStatuses"][0]["lastState"] = end;
        })
    };
    holds(
        restarted(600, "OOMKilled"),
        "container app of pod collab-1 was restarted (OOMKilled, exit code 137) 10m ago",
    );
    assert_eq!(held(&[restarted(1801, "OOMKilled")], &[]), None);
    // A container that ended is never well, whatever its exit code was.
    holds(restarted(60, "Completed"), "(Completed, exit code 137) 1m ago");
    // Without a time of its end the time of its new beginning counts.
    let unseen = |began: i64| {
        pod(|pod| {
            let status = &mut pod["status"]["containerStatuses"][0];
            status["lastState"] = json!({"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}});
            status["state"] = json!({"running": {"startedAt": ago(began)}});
        })
    };
    holds(unseen(120), "ContainerStatusUnknown");
    assert_eq!(held(&[unseen(7200)], &[]), None);
}

#[test]
fn a_pod_that_was_taken_away_holds_and_a_drain_does_not() {
    let disrupted = |reason: &str| {
        pod(|pod| {
            let conditions = pod["status"]["conditions"].as_array_mut().unwrap();
            conditions.push(json!({
                "type": "DisruptionTarget", "status": "True", "reason": reason, "lastTransitionTime": ago(60),
            }));
            pod["metadata"]["deletionTimestamp"] = json!(ago(60));
        })
    };
    for reason in ["PreemptionByScheduler", "DeletionByTaintManager", "DeletionByPodGC", "TerminationByKubelet"] {
        let why = held(&[pod(|_| ())], &[disrupted(reason)]).unwrap();
        assert!(why.contains(&format!("pod collab-1 was taken away ({reason})")), "{why}");
    }
    assert_eq!(held(&[pod(|_| ())], &[disrupted("EvictionByEvictionAPI")]), None);
}

#[test]
fn a_pod_that_is_gone_holds_unless_it_was_being_stopped() {
    let well = [pod(|_| ())];
    let leaving = pod(|pod| pod["metadata"]["deletionTimestamp"] = json!(ago(90)));
    assert_eq!(held(&well, std::slice::from_ref(&leaving)), None);
    let why = held(&well, &[pod(|_| ())]).unwrap();
    assert!(why.contains("pod collab-1 was gone at once 1m ago"), "{why}");
    // What the last version says does not undo what was known before.
    let restarted = pod(|pod| {
        let end = json!({"terminated": {"exitCode": 1, "finishedAt": ago(300)}});
        pod["status"]["containerStatuses"][0]["lastState"] = end;
    });
    let last = leaving.clone().after(Some(&restarted));
    assert!(held(&well, &[last]).unwrap().contains("was restarted (exit code 1) 5m ago"));
    assert_eq!(held(&well, &[pod(|_| ()).after(Some(&leaving))]), None, "it was being stopped when it was seen last");
    // One whose program ends by the signal that stops it, or that never began, fails as a whole.
    let failed = pod(|pod| {
        pod["metadata"]["deletionTimestamp"] = json!(ago(90));
        pod["status"]["phase"] = json!("Failed");
        pod["status"]["containerStatuses"][0]["state"] = json!({"terminated": {"exitCode": 143, "reason": "Error"}});
    });
    assert_eq!(held(&well, std::slice::from_ref(&failed)), None);
    assert_eq!(held(&[pod(|_| ()), failed], &[]), None);
    // One that ended by itself, before anybody wanted it to go, did not.
    let crashed = |before_leaving: i64| {
        pod(|pod| {
            pod["metadata"]["deletionTimestamp"] = json!(ago(60));
            pod["metadata"]["deletionGracePeriodSeconds"] = json!(30);
            pod["status"]["phase"] = json!("Failed");
            let end = json!({"exitCode": 1, "reason": "Error", "finishedAt": ago(90 + before_leaving)});
            pod["status"]["containerStatuses"][0]["state"] = json!({"terminated": end});
        })
    };
    assert!(held(&well, &[crashed(15)]).unwrap().contains("ended (Error, exit code 1)"));
    assert_eq!(held(&well, &[crashed(-5)]), None);
}

#[test]
fn a_pod_that_failed_long_ago_may_lie_around() {
    let failed = |seconds: i64| {
        pod(|pod| {
            pod["status"] = json!({
                "phase": "Failed", "reason": "Evicted", "startTime": ago(9000),
                "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": ago(seconds)}],
            });
        })
    };
    assert_eq!(held(&[pod(|_| ()), failed(3600)], &[]), None);
    let why = held(&[pod(|_| ()), failed(60)], &[]).unwrap();
    assert!(why.contains("pod collab-1 failed (Evicted) 1m ago"), "{why}");
    assert!(held(&[failed(3600)], &[]).unwrap().contains("no pod serves"), "it is none that serves");
}

#[test]
fn no_pod_at_all_holds_unless_that_is_meant() {
    let judged = |when_absent, deployment: Option<Value>| {
        let workloads: Vec<_> = deployment.into_iter().map(workload::<Deployment>).collect();
        judge(&policy(when_absent), &[], &[], &workloads, now())
    };
    let at = |replicas: i32| {
        json!({"metadata": {"name": "collab", "generation": 1}, "spec": {"replicas": replicas, "selector": {}, "template": {}},
               "status": {"observedGeneration": 1, "updatedReplicas": replicas, "replicas": replicas, "availableReplicas": replicas}})
    };
    assert!(matches!(judged(WhenAbsent::Hold, None), Health::Unhealthy(why) if why.contains("whenAbsent: Proceed")));
    assert_eq!(judged(WhenAbsent::Proceed, None), Health::Healthy);
    assert_eq!(judged(WhenAbsent::Proceed, Some(at(0))), Health::Healthy);
    let wanted = judged(WhenAbsent::Proceed, Some(at(2)));
    assert!(
        matches!(wanted, Health::Unhealthy(why) if why.contains("Deployment collab wants 2 pods, and none is there"))
    );
}

fn workload<K: MakesPods>(object: Value) -> super::workloads::Workload {
    super::workloads::Made::of(&serde_json::from_value::<K>(object).unwrap()).workload()
}

#[track_caller]
fn trouble<K: MakesPods>(metadata: Value, spec: Value, status: Value, words: Option<&str>) {
    let mut spec = spec;
    for (key, value) in [("selector", json!({})), ("template", json!({})), ("serviceName", json!(""))] {
        spec[key] = value;
    }
    let told = workload::<K>(json!({"metadata": metadata, "spec": spec, "status": status})).trouble;
    match (&told, words) {
        (None, None) => {}
        (Some(told), Some(words)) if told.contains(words) => {}
        _ => panic!("{told:?}, where {words:?} should be told"),
    }
}

#[test]
fn a_rollout_and_a_missing_pod_are_seen_in_what_makes_pods() {
    let is = |generation: i64| json!({"name": "collab", "generation": generation});
    let deployed = |updated: i32, of: i32, available: i32| json!({"observedGeneration": 2, "updatedReplicas": updated, "replicas": of, "availableReplicas": available});
    let three = || json!({"replicas": 3});
    trouble::<Deployment>(is(2), three(), deployed(3, 3, 3), None);
    trouble::<Deployment>(is(3), three(), deployed(3, 3, 3), Some("a change is about to be rolled out"));
    trouble::<Deployment>(is(2), three(), deployed(1, 3, 3), Some("1 of 3 pods are of the newest version"));
    trouble::<Deployment>(is(2), three(), deployed(3, 4, 3), Some("4 pods are there, and 3 are wanted"));
    trouble::<Deployment>(is(2), three(), deployed(3, 3, 2), Some("2 of 3 pods are available"));
    trouble::<Deployment>(is(2), json!({}), deployed(1, 1, 1), None);
    trouble::<Deployment>(is(1), three(), json!({}), Some("a change is about to be rolled out"));

    let set = |updated: i32, revision: &str| {
        json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": updated, "availableReplicas": 3,
               "currentRevision": "a", "updateRevision": revision})
    };
    trouble::<StatefulSet>(is(2), three(), set(3, "a"), None);
    trouble::<StatefulSet>(is(2), three(), set(1, "b"), Some("1 of 3 pods are of the newest version"));
    let canary = json!({"replicas": 3, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}});
    trouble::<StatefulSet>(is(2), canary, set(1, "b"), None);
    let by_hand = json!({"replicas": 3, "updateStrategy": {"type": "OnDelete"}});
    trouble::<StatefulSet>(is(2), by_hand, set(0, "b"), None);

    let daemons = |updated: i32, available: i32, astray: i32| {
        json!({"observedGeneration": 2, "desiredNumberScheduled": 3, "currentNumberScheduled": 3, "numberReady": 3,
               "numberMisscheduled": astray, "updatedNumberScheduled": updated, "numberAvailable": available})
    };
    trouble::<DaemonSet>(is(2), json!({}), daemons(3, 3, 0), None);
    trouble::<DaemonSet>(is(2), json!({}), daemons(2, 3, 0), Some("2 of 3 pods are of the newest version"));
    trouble::<DaemonSet>(is(2), json!({}), daemons(3, 1, 0), Some("1 of 3 pods are available"));
    trouble::<DaemonSet>(is(2), json!({}), daemons(3, 3, 1), Some("4 pods are there, and 3 are wanted"));
}

fn claimed(session: &PodSession, change: impl FnOnce(&mut Value)) -> Result<Vec<String>, String> {
    let mut pod = json!({
        "metadata": {"name": "s-1", "labels": {"example.com/session": "one"}, "annotations": {"note": "two"}},
        "spec": {"containers": [{"name": "app", "volumeMounts": [{"name": "data", "mountPath": "/w", "subPath": "all/ws-three/src"}]}]},
        "status": {"phase": "Running"},
    });
    change(&mut pod);
    let claim = claims::claim(&serde_json::from_value(pod).unwrap(), session)?;
    Ok(claim.iter().map(|id| id.as_str().to_owned()).collect())
}

fn by_mount() -> PodSession {
    let pattern = Box::new("^ws-(?<session>[a-z]+)$".parse().unwrap());
    PodSession::SubPath { volume: "data".into(), pattern }
}

#[test]
fn a_claim_is_read_where_the_spec_says() {
    let label = PodSession::Label("example.com/session".into());
    assert_eq!(claimed(&label, |_| ()).unwrap(), ["one"]);
    assert_eq!(claimed(&PodSession::Annotation("note".into()), |_| ()).unwrap(), ["two"]);
    assert_eq!(claimed(&by_mount(), |_| ()).unwrap(), ["three"]);
    // Every container and every workspace counts.
    let more = claimed(&by_mount(), |pod| {
        let mount = |path: &str| json!({"name": "data", "mountPath": "/x", "subPath": path});
        pod["spec"]["initContainers"] =
            json!([{"name": "init", "volumeMounts": [mount("ws-four"), mount("settings")]}]);
        pod["spec"]["ephemeralContainers"] = json!([{"name": "debug", "volumeMounts": [mount("ws-five/")]}]);
    });
    assert_eq!(more.unwrap(), ["three", "four", "five"]);
}

#[test]
fn a_pod_that_does_not_say_makes_the_claims_unknown() {
    let label = PodSession::Label("example.com/session".into());
    for (session, change, words) in [
        (&label, json!({"metadata": {"name": "s-1", "labels": {}}}), "has no label example.com/session"),
        (&label, json!({"metadata": {"name": "s-1"}}), "has no label"),
        (&label, json!({"metadata": {"name": "s-1", "labels": {"example.com/session": ""}}}), "cannot be the name"),
        (
            &PodSession::Annotation("note".into()),
            json!({"metadata": {"name": "s-1", "annotations": {"note": "a/b"}}}),
            "cannot be",
        ),
    ] {
        let why = claimed(session, |pod| pod["metadata"] = change["metadata"].clone()).unwrap_err();
        assert!(why.contains(words), "{why}");
    }
    for (mounts, words) in [
        (json!([{"name": "data", "mountPath": "/w"}]), "mounts the whole of its volume data"),
        (json!([{"name": "data", "mountPath": "/w", "subPathExpr": "$(ID)"}]), "only its node knows"),
        (json!([{"name": "data", "mountPath": "/w", "subPath": "settings"}]), "mounts no workspace"),
        (json!([{"name": "other", "mountPath": "/w", "subPath": "ws-one"}]), "mounts no workspace"),
        (
            json!([{"name": "data", "mountPath": "/a", "subPath": "ws-one"}, {"name": "data", "mountPath": "/b"}]),
            "the whole",
        ),
    ] {
        let why = claimed(&by_mount(), |pod| pod["spec"]["containers"][0]["volumeMounts"] = mounts).unwrap_err();
        assert!(why.contains(words), "{why}");
    }
}

#[test]
fn a_pod_claims_until_no_container_of_it_can_write() {
    let label = PodSession::Label("example.com/session".into());
    let claims = |status: Value, leaving: bool| {
        let claimed = claimed(&label, |pod| {
            pod["status"] = status;
            if leaving {
                pod["metadata"]["deletionTimestamp"] = json!(ago(600));
            }
        });
        !claimed.unwrap().is_empty()
    };
    for phase in ["Pending", "Running", "Unknown", "", "Surprising"] {
        assert!(claims(json!({"phase": phase}), false) && claims(json!({"phase": phase}), true), "{phase}");
    }
    assert!(claims(json!({}), false));
    for phase in ["Succeeded", "Failed"] {
        assert!(!claims(json!({"phase": phase}), false), "{phase}");
        let running = json!([{"name": "app", "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": {"running": {}}}]);
        assert!(
            claims(json!({"phase": phase, "containerStatuses": running}), false),
            "{phase}: a container still runs"
        );
    }
    // Nobody asked the node.
    let lost = json!([{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC"}]);
    assert!(claims(json!({"phase": "Failed", "conditions": lost}), false));
    assert!(claims(json!({"phase": "Failed", "reason": "NodeLost"}), true));
}
