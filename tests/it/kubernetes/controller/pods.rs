//! `containers.kubernetes`: pods of a real API server. No kubelet runs here; what one would report is written by hand.

use serde_json::{Value, json};

use super::{
    Controller, USER, annotate, apply, cluster, condition, events, in_namespace, namespace, object, status, wait,
};
use crate::fuse::Op;
use crate::kubernetes::Asked;
use crate::world::{DAY, World, id};

const LIVE: &str = "aaaaaaaa-0000-4000-8000-000000000000";
const SERVING: &str = "serving: {selector: {matchLabels: {app: collab}}}";
const CLAIMS: &str = "claims: {selector: {matchLabels: {role: session}}, sessionFrom: {label: example.com/session}}";

/// A world with two orphans, whose resource asks pods.
fn world(purpose: &str, parts: &str) -> (World, String) {
    world_on(World::new(), purpose, parts)
}

fn world_on(world: World, purpose: &str, parts: &str) -> (World, String) {
    let namespace = namespace(purpose);
    let mut world = in_namespace(world, &namespace);
    world.part("mode", "Enforce");
    world.part("containers", &format!("{{kubernetes: {{{parts}}}, settle: 1s}}"));
    world.workspace(LIVE, 30 * DAY);
    (1..=2).for_each(|n| drop(world.workspace(&id(n), 30 * DAY)));
    (world, namespace)
}

fn pod(namespace: &str, name: &str, labels: Value) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": "app", "image": "none"}], "terminationGracePeriodSeconds": 30, "nodeName": "nowhere"},
    });
    cluster().admin_with(&["-n", namespace, "apply", "-f", "-"], &pod.to_string());
}

/// Writes what a kubelet would report.
fn report(namespace: &str, name: &str, status: Value) {
    let patch = json!({"status": status}).to_string();
    cluster().admin(&["-n", namespace, "patch", "pod", name, "--subresource=status", "--type=merge", "-p", &patch]);
}

fn readiness(ready: bool) -> Value {
    let at = "2026-01-01T00:00:00Z";
    let status = if ready { "True" } else { "False" };
    json!({"phase": "Running", "conditions": [{"type": "Ready", "status": status, "lastTransitionTime": at}]})
}

fn serving(namespace: &str, name: &str) {
    pod(namespace, name, json!({"app": "collab"}));
    report(namespace, name, readiness(true));
}

fn hold(namespace: &str) -> String {
    status(namespace)["hold"]["message"].as_str().unwrap_or_default().to_owned()
}

fn sweep_again(namespace: &str) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    annotate(namespace, &format!("hygiene.dev/sweep-requested-at={now}"));
}

fn start(world: &World, namespace: &str) -> Controller {
    apply(world);
    Controller::start(world, namespace, &["--leader-elect", "false"])
}

#[test]
fn nothing_is_deleted_until_every_serving_pod_is_ready() {
    let (world, namespace) = world("serving", SERVING);
    pod(&namespace, "collab-1", json!({"app": "collab"}));
    report(&namespace, "collab-1", readiness(false));
    let mut controller = start(&world, &namespace);
    wait("a hold", &mut controller, || hold(&namespace).contains("pod collab-1 is not ready (Running)"));
    assert_eq!(status(&namespace)["hold"]["reason"], "ServiceUnhealthy");
    report(&namespace, "collab-1", readiness(true));
    // A pod of another selector is nobody's business.
    pod(&namespace, "other-1", json!({"app": "other"}));
    wait("settling", &mut controller, || {
        sweep_again(&namespace);
        world.quarantined_trees().len() == 2
    });
    assert_eq!(controller.stop().code(), Some(0));
}

#[test]
fn a_restart_holds_and_so_does_a_pod_that_was_gone_at_once() {
    let (world, namespace) = world("stops", SERVING);
    serving(&namespace, "collab-1");
    serving(&namespace, "collab-2");
    let now = jiff::Timestamp::now().to_string();
    let end = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": now}});
    let container =
        json!({"name": "app", "image": "", "imageID": "", "ready": true, "restartCount": 1, "lastState": end});
    let mut restarted = readiness(true);
    restarted["containerStatuses"] = json!([container]);
    report(&namespace, "collab-2", restarted);
    let mut controller = start(&world, &namespace);
    let said = "container app of pod collab-2 was restarted (OOMKilled, exit code 137)";
    wait("a hold", &mut controller, || hold(&namespace).contains(said));
    // It stays known although the pod is no more.
    cluster().admin(&["-n", &namespace, "delete", "pod", "collab-2", "--force", "--grace-period=0"]);
    std::thread::sleep(std::time::Duration::from_millis(500));
    sweep_again(&namespace);
    wait("an answer", &mut controller, || {
        let object = object(&namespace, "test");
        object["status"]["lastHandledSweepRequest"]
            == object["metadata"]["annotations"]["hygiene.dev/sweep-requested-at"]
    });
    assert!(hold(&namespace).contains(said), "{}", hold(&namespace));
    assert!(world.quarantined_trees().is_empty());
    assert_eq!(controller.stop().code(), Some(0));
}

#[test]
fn a_rollout_holds_and_so_does_a_service_without_pods() {
    let (world, namespace) = world("rollout", SERVING);
    let mut controller = start(&world, &namespace);
    wait("a hold", &mut controller, || hold(&namespace).contains("no pod serves"));
    // The controller manager sees to it, and no node runs its pod.
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "collab"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "collab"}}, "template": {
            "metadata": {"labels": {"app": "collab"}}, "spec": {"containers": [{"name": "app", "image": "none"}]}}},
    });
    cluster().admin_with(&["-n", &namespace, "apply", "-f", "-"], &deployment.to_string());
    wait("a hold", &mut controller, || {
        sweep_again(&namespace);
        hold(&namespace).contains("Deployment collab: 0 of 1 pods are available")
    });
    assert!(world.quarantined_trees().is_empty());
    assert_eq!(controller.stop().code(), Some(0));
}

#[test]
fn a_workspace_that_a_pod_claims_is_kept_and_comes_back() {
    let (world, namespace) = world("claims", CLAIMS);
    pod(&namespace, "s-1", json!({"role": "session", "example.com/session": id(1)}));
    let mut controller = start(&world, &namespace);
    wait("a quarantine", &mut controller, || !world.root().join(id(2)).exists());
    assert!(world.root().join(id(1)).exists());
    // One that is being stopped may still write.
    cluster().admin(&["-n", &namespace, "delete", "pod", "s-1", "--wait=false"]);
    sweep_again(&namespace);
    wait("an answer", &mut controller, || {
        let object = object(&namespace, "test");
        object["status"]["lastHandledSweepRequest"]
            == object["metadata"]["annotations"]["hygiene.dev/sweep-requested-at"]
    });
    assert!(world.root().join(id(1)).exists());
    // A session that begins after its workspace was moved gets it back.
    pod(&namespace, "s-2", json!({"role": "session", "example.com/session": id(2)}));
    wait("a restore", &mut controller, || world.root().join(id(2)).exists());
    assert_eq!(controller.stop().code(), Some(0));
}

#[test]
fn a_pod_without_a_readable_id_makes_the_claims_unknown() {
    let (world, namespace) = world("unreadable", CLAIMS);
    pod(&namespace, "s-1", json!({"role": "session"}));
    let mut controller = start(&world, &namespace);
    wait("a hold", &mut controller, || status(&namespace)["hold"]["reason"] == "SourceUnavailable");
    assert!(hold(&namespace).contains("pod s-1 has no label example.com/session"), "{}", hold(&namespace));
    assert_eq!(condition(&status(&namespace), "SourcesAvailable")["status"], "False");
    wait("an event", &mut controller, || events(&namespace).iter().any(|(reason, _)| reason == "SourceLost"));
    cluster().admin(&["-n", &namespace, "label", "pod", "s-1", &format!("example.com/session={}", id(1))]);
    sweep_again(&namespace);
    wait("a quarantine", &mut controller, || !world.root().join(id(2)).exists());
    wait("an event", &mut controller, || events(&namespace).iter().any(|(reason, _)| reason == "SourceBack"));
    assert_eq!(controller.stop().code(), Some(0));
}

#[test]
fn a_service_that_turns_unready_in_mid_sweep_pauses_it() {
    let (world, namespace) = world_on(World::on_fuse(), "pause", SERVING);
    serving(&namespace, "collab-1");
    let hang = world.fuse().control().on(Op::Rename, &id(1)).times(1).hang();
    let mut controller = start(&world, &namespace);
    hang.wait_until_reached();
    report(&namespace, "collab-1", readiness(false));
    // Older than an answer about the service may be.
    std::thread::sleep(std::time::Duration::from_secs(11));
    hang.release();
    wait("the pause", &mut controller, || {
        let seen = status(&namespace);
        let deletion = condition(&seen, "DeletionAllowed");
        deletion["reason"] == "Paused" && deletion["message"].as_str().unwrap().contains("pod collab-1 is not ready")
    });
    assert!(world.root().join(id(2)).exists(), "a step was begun while the service was not ready");
    assert_eq!(controller.stop().code(), Some(0));
}

#[test]
fn at_rest_pods_are_watched_and_never_listed() {
    let (mut world, namespace) = world("rest", &format!("{SERVING}, {CLAIMS}"));
    world.part("mode", "Report");
    serving(&namespace, "collab-1");
    let mut controller = start(&world, &namespace);
    wait("a report", &mut controller, || status(&namespace)["lastSweep"]["orphans"] == 2);
    let asked = || {
        let of_ours = |asked: &Asked| asked.namespace == namespace && asked.verb != "watch";
        cluster().requests_of(USER).into_iter().filter(of_ours).collect::<Vec<_>>()
    };
    // What the sweep that just ended asked is complete, and the status is written.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let before = asked().len();
    std::thread::sleep(std::time::Duration::from_secs(12));
    let since: Vec<_> = asked().into_iter().skip(before).collect();
    assert!(since.is_empty(), "{since:?}");
    assert_eq!(controller.stop().code(), Some(0));
}
