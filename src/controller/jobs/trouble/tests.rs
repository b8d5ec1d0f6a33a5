//! Objects as a cluster shows them, and what is told of them.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::*;

fn pod(status: Value) -> Pod {
    let item = |key: &str, name: &str| json!([{"key": key, "path": format!("{name}/{key}")}]);
    let sources = json!([
        {"secret": {"name": "collab-db", "items": item("url", "collab-db")}},
        {"secret": {"name": "other", "items": item("password", "other")}},
    ]);
    let maps = json!([{"configMap": {"name": "rds-ca", "items": item("ca.pem", "rds-ca")}}]);
    let container = json!({
        "name": "sweeper", "image": "registry.example.com/hygiene:9", "resources": {"limits": {"memory": "400Mi"}},
    });
    let volumes = json!([
        {"name": "volume", "persistentVolumeClaim": {"claimName": "collab-efs"}},
        {"name": "spec", "configMap": {"name": "hygiene-collab-0123"}},
        {"name": "secrets", "projected": {"sources": sources}},
        {"name": "config-maps", "projected": {"sources": maps}},
    ]);
    serde_json::from_value(json!({
        "metadata": {"name": "hygiene-collab-0123abcd-x7k2p", "namespace": "team", "uid": "pod-1"},
        "spec": {"nodeName": "node-a", "containers": [container], "volumes": volumes},
        "status": status,
    }))
    .unwrap()
}

fn pending() -> Pod {
    let state = json!({"waiting": {"reason": "ContainerCreating"}});
    pod(json!({"phase": "Pending", "containerStatuses": [status(state)]}))
}

fn status(state: Value) -> Value {
    json!({"name": "sweeper", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state})
}

fn waiting(reason: &str, message: &str) -> Pod {
    let state = json!({"waiting": {"reason": reason, "message": message}});
    pod(json!({"phase": "Pending", "containerStatuses": [status(state)]}))
}

fn ended(code: i32, reason: &str) -> Pod {
    let report = "{\"result\":\"Failed\"}";
    let state = json!({"terminated": {"exitCode": code, "reason": reason, "message": report}});
    pod(json!({"phase": "Failed", "containerStatuses": [status(state)]}))
}

/// An event about an object, so many seconds after the hour.
fn event(uid: &str, second: u32, reason: &str, message: &str) -> Event {
    let warns = reason.starts_with("Failed");
    serde_json::from_value(json!({
        "metadata": {}, "involvedObject": {"uid": uid}, "reason": reason, "message": message,
        "type": if warns { "Warning" } else { "Normal" },
        "lastTimestamp": format!("2026-11-28T12:{:02}:{:02}Z", second / 60, second % 60),
    }))
    .unwrap()
}

/// The message of a trouble that must be there for this reason, with what every message has.
#[track_caller]
fn told(trouble: Option<Trouble>, reason: &str) -> String {
    let Trouble { reason: found, message } = trouble.expect("a trouble");
    assert_eq!(found, reason, "{message}");
    assert!(message.len() <= 512 && !message.contains('\n') && message.contains("; "), "{message}");
    message
}

fn mount(message: &str) -> Option<Trouble> {
    of_pod(&pending(), &[event("pod-1", 9, "FailedMount", message)])
}

#[test]
fn an_image_that_is_not_there() {
    let back_off = waiting("ImagePullBackOff", "Back-off pulling image \"registry.example.com/hygiene:9\"");
    let why = "Failed to pull image \"registry.example.com/hygiene:9\": rpc error: code = NotFound desc = failed to \
               resolve reference: not found";
    let events = [event("pod-1", 5, "Failed", why), event("pod-1", 6, "Failed", "Error: ErrImagePull")];
    let message = told(of_pod(&back_off, &events[..1]), "SweeperImageNotPulled");
    assert_eq!(
        message,
        "the image registry.example.com/hygiene:9 of pod hygiene-collab-0123abcd-x7k2p on node node-a is not there: \
         Failed to pull image \"registry.example.com/hygiene:9\": rpc error: code = NotFound desc = failed to resolve \
         reference: not found; correct the image that the controller is told to use, or name what pulls it in \
         spec.job.template.imagePullSecrets"
    );
    // The newest says less than the state itself.
    assert!(told(of_pod(&back_off, &events), "SweeperImageNotPulled").contains("Back-off"));
    let never = "Container image \"registry.example.com/hygiene:9\" is not present with pull policy of Never";
    let message = told(of_pod(&waiting("ErrImageNeverPull", never), &[]), "SweeperImageNotPulled");
    assert!(message.contains("pull policy of Never; load it on that node"), "{message}");
    for reason in ["ErrImagePull", "InvalidImageName"] {
        told(of_pod(&waiting(reason, "couldn't parse image name"), &[]), "SweeperImageNotPulled");
    }
}

#[test]
fn a_claim_that_does_not_bind_and_a_pod_that_no_node_takes() {
    let unscheduled = |message: &str| {
        let condition = json!({
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
        });
        of_pod(&pod(json!({"phase": "Pending", "conditions": [condition]})), &[])
    };
    let message = told(unscheduled("persistentvolumeclaim \"collab-efs\" not found"), "SweeperClaimNotBound");
    assert!(message.starts_with("the claim collab-efs in namespace team is not bound"), "{message}");
    assert!(message.ends_with("correct spec.volume.persistentVolumeClaim.claimName"), "{message}");
    let unbound = "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/3 nodes are \
                   available: 3 Preemption is not helpful for scheduling.";
    let message = told(unscheduled(unbound), "SweeperClaimNotBound");
    assert!(message.contains("scheduling; `kubectl -n team describe pvc collab-efs` says"), "{message}");
    // As Kubernetes 1.37 says it, of another thing that it did not find.
    let unbound = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found";
    let message = told(unscheduled(unbound), "SweeperClaimNotBound");
    assert!(message.ends_with("describe pvc collab-efs` says what it waits for"), "{message}");
    let full = "0/3 nodes are available: 3 Insufficient memory.";
    let message = told(unscheduled(full), "SweeperNotScheduled");
    assert!(message.contains("Insufficient memory; change nodeSelector, tolerations or resources"), "{message}");
}

#[test]
fn a_secret_or_a_key_that_is_missing() {
    let of = |what: &str| format!("MountVolume.SetUp failed for volume \"secrets\" : {what}");
    let message = told(mount(&of("secret \"collab-db\" not found")), "SweeperSecretMissing");
    assert_eq!(
        message,
        "Secret collab-db in namespace team is not there, and pod hygiene-collab-0123abcd-x7k2p on node node-a waits for \
         it; create it, or correct the secretKeyRef in spec.sessions"
    );
    let message = told(mount(&of("references non-existent secret key: url")), "SweeperSecretMissing");
    assert!(message.starts_with("Secret collab-db in namespace team has no key url, and pod"), "{message}");
    let both = of("[references non-existent secret key: password, secret \"collab-db\" not found]");
    assert!(told(mount(&both), "SweeperSecretMissing").contains("collab-db"));
    let message = told(mount(&of("configmap references non-existent config key: ca.pem")), "SweeperSecretMissing");
    assert!(message.starts_with("ConfigMap rds-ca in namespace team has no key ca.pem"), "{message}");
    assert!(message.ends_with("correct the configMapKeyRef in spec.sessions"), "{message}");
    assert!(told(mount(&of("configmap \"rds-ca\" not found")), "SweeperSecretMissing").contains("create it"));
    let spec = told(mount(&of("configmap \"hygiene-collab-0123\" not found")), "SweeperSecretMissing");
    assert!(spec.contains("the controller makes it anew"), "{spec}");
    let of_env = waiting("CreateContainerConfigError", "secret \"collab-db\" not found");
    told(of_pod(&of_env, &[]), "SweeperSecretMissing");
}

#[test]
fn a_volume_that_is_not_mounted() {
    let nfs = "MountVolume.SetUp failed for volume \"pvc-7d1c\" : rpc error: code = Internal desc = Could not mount \
               \"fs-0123:/\" at \"/var/lib/kubelet/pods\": mount failed: exit status 32\nMounting command: mount";
    let message = told(mount(nfs), "SweeperMountFailed");
    let begins = "the claim collab-efs cannot be mounted for pod hygiene-collab-0123abcd-x7k2p on node node-a: Mount";
    assert!(message.starts_with(begins), "{message}");
    let own = "MountVolume.SetUp failed for volume \"secrets\" : failed to sync secret cache: timed out waiting";
    assert!(told(mount(own), "SweeperMountFailed").starts_with("volume secrets cannot be mounted"));

    let attach = event("pod-1", 5, "FailedAttachVolume", "Multi-Attach error for volume \"pvc-7d1c\"");
    told(of_pod(&pending(), std::slice::from_ref(&attach)), "SweeperMountFailed");
    let later = event("pod-1", 6, "SuccessfulAttachVolume", "AttachVolume.Attach succeeded");
    assert_eq!(of_pod(&pending(), &[attach, later]), None);
}

#[test]
fn of_all_that_is_said_of_mounts_the_newest_counts_that_says_why() {
    let together = "Unable to attach or mount volumes: unmounted volumes=[secrets], unattached volumes=[], failed to \
                    process volumes=[]: context deadline exceeded";
    let why = "MountVolume.SetUp failed for volume \"secrets\" : references non-existent secret key: url";
    let together = event("pod-1", 130, "FailedMount", together);
    let said = |second| event("pod-1", second, "FailedMount", why);
    told(of_pod(&pending(), &[said(100), together.clone()]), "SweeperSecretMissing");
    told(of_pod(&pending(), std::slice::from_ref(&together)), "SweeperMountFailed");
    let pulling = event("pod-1", 140, "Pulling", "Pulling image");
    assert_eq!(of_pod(&pending(), &[said(100), together, pulling]), None, "the volumes are there");
    // Of the same second what is wrong counts, and of another pod nothing.
    told(of_pod(&pending(), &[said(5), event("pod-1", 5, "SuccessfulAttachVolume", "")]), "SweeperSecretMissing");
    assert_eq!(of_pod(&pending(), &[event("pod-0", 5, "FailedMount", why)]), None);
}

#[test]
fn a_container_that_cannot_be_started() {
    let root = "container's runAsUser breaks non-root policy (pod: \"hygiene\", container: sweeper)";
    let message = told(of_pod(&waiting("CreateContainerConfigError", root), &[]), "SweeperNotCreated");
    assert!(message.ends_with("correct spec.job.template.securityContext"), "{message}");
    let sandbox = event("pod-1", 5, "FailedCreatePodSandBox", "plugin type=\"calico\" failed (add)");
    told(of_pod(&pending(), &[sandbox]), "SweeperNotCreated");
    told(of_pod(&waiting("RunContainerError", "exec: no such file"), &[]), "SweeperNotCreated");
}

#[test]
fn how_a_pod_ended() {
    let message = told(of_pod(&ended(137, "OOMKilled"), &[]), "SweeperOutOfMemory");
    assert_eq!(
        message,
        "pod hygiene-collab-0123abcd-x7k2p on node node-a was killed: it needed more memory than its limit of 400Mi; raise \
         spec.job.template.resources.limits.memory"
    );
    let message = told(of_pod(&ended(2, "Error"), &[]), "SweeperBadSpec");
    assert!(
        message.contains("(exit code 2); `kubectl -n team logs hygiene-collab-0123abcd-x7k2p` says why"),
        "{message}"
    );
    for (code, how) in [
        (1, "ended with exit code 1: a step failed"),
        (3, "exit code 3: a gate or a breaker holds it;"),
        (4, "exit code 4: the volume is locked by somebody else;"),
        (101, "exit code 101: a fault of the program;"),
        (137, "exit code 137: it was killed;"),
        (77, "exit code 77;"),
    ] {
        let message = told(of_pod(&ended(code, "Error"), &[]), "SweeperFailed");
        assert!(message.contains(how) && !message.contains("result"), "the report is told elsewhere: {message}");
    }
    assert_eq!(of_pod(&ended(0, "Completed"), &[]), None);
    let lost = pod(json!({"phase": "Failed", "reason": "OutOfmemory", "message": "Pod was rejected: no memory"}));
    assert!(told(of_pod(&lost, &[]), "SweeperFailed").contains("failed (OutOfmemory): Pod was rejected"));
}

#[test]
fn a_pod_that_had_to_go() {
    let gone = |reason: &str, message: &str, phase: &str| {
        let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message});
        let state = json!({"terminated": {"exitCode": 137, "reason": "Error"}});
        let state = json!({"phase": phase, "conditions": [condition], "containerStatuses": [status(state)]});
        told(of_pod(&pod(state), &[]), "SweeperEvicted")
    };
    let low = "The node was low on resource: memory. ";
    let message = gone("TerminationByKubelet", low, "Failed");
    assert!(
        message.contains("had to go (TerminationByKubelet): The node was low on resource: memory; another"),
        "{message}"
    );
    assert!(message.contains("resources.requests"), "{message}");
    assert!(gone("PreemptionByScheduler", "", "Failed").contains("priorityClassName"));
    assert!(
        gone("EvictionByEvictionAPI", "Eviction API: evicting", "Running").ends_with("another one takes its place")
    );
    let old = pod(json!({"phase": "Failed", "reason": "Evicted", "message": low}));
    told(of_pod(&old, &[]), "SweeperEvicted");
}

#[test]
fn a_pod_that_is_well_or_of_which_nothing_is_known_is_no_trouble() {
    for state in [json!({"phase": "Running"}), json!({"phase": "Succeeded"}), json!({"phase": "Pending"}), json!({})] {
        assert_eq!(of_pod(&pod(state), &[]), None);
    }
    assert_eq!(of_pod(&Pod::default(), &[]), None);
    assert_eq!(of_pod(&pending(), &[event("pod-1", 1, "Scheduled", "assigned")]), None);
}

fn job(conditions: Value) -> Job {
    serde_json::from_value(json!({
        "metadata": {"name": "hygiene-collab-0123abcd", "namespace": "team", "uid": "job-1"},
        "status": {"conditions": conditions},
    }))
    .unwrap()
}

fn refused(why: &str) -> Option<Trouble> {
    let message = format!("Error creating: pods \"hygiene-collab-0123abcd-x7k2p\" is forbidden: {why}");
    of_job(&job(json!([])), &[event("job-1", 5, "FailedCreate", &message)])
}

#[test]
fn a_quota_that_is_used_up() {
    let quota =
        "exceeded quota: compute, requested: limits.memory=400Mi, used: limits.memory=1Gi, limited: limits.memory=1Gi";
    let message = told(refused(quota), "SweeperQuotaExceeded");
    assert_eq!(
        message,
        "the pods of Job hygiene-collab-0123abcd are more than the quota of namespace team has left: exceeded quota: \
         compute, requested: limits.memory=400Mi, used: limits.memory=1Gi, limited: limits.memory=1Gi; raise that \
         ResourceQuota, or lower spec.job.template.resources"
    );
    let message = format!("(combined from similar events): Error creating: pods \"p\" is forbidden: {quota}");
    let failed = event("job-1", 5, "FailedCreate", &message);
    told(of_job(&job(json!([])), std::slice::from_ref(&failed)), "SweeperQuotaExceeded");
    let created = event("job-1", 6, "SuccessfulCreate", "Created pod: p");
    assert_eq!(of_job(&job(json!([])), &[created, failed.clone()]), None);
    let other = Event { involved_object: event("job-0", 0, "", "").involved_object, ..failed };
    assert_eq!(of_job(&job(json!([])), &[other]), None, "an older Job had the same name");
}

#[test]
fn pods_that_are_refused() {
    for (why, way_out) in [
        ("violates PodSecurity \"restricted:latest\": runAsNonRoot != true", "allow it in that namespace"),
        (
            "error looking up service account team/hygiene-collab: serviceaccount \"x\" not found",
            "create that ServiceAccount",
        ),
        ("no PriorityClass with name low was found", "priorityClassName"),
        ("failed quota: compute: must specify limits.cpu for: sweeper", "as that quota asks"),
        ("maximum memory usage per Container is 100Mi, but limit is 400Mi", "LimitRange"),
        ("something else", "`kubectl -n team describe job hygiene-collab-0123abcd` tells more"),
    ] {
        let message = told(refused(why), "SweeperNotCreated");
        assert!(message.contains(way_out) && message.contains(why), "{message}");
    }
    let message = "Error creating: admission webhook \"policy.example.com\" denied the request: no";
    let failed = event("job-1", 5, "FailedCreate", message);
    assert!(told(of_job(&job(json!([])), &[failed]), "SweeperNotCreated").contains("ask whoever runs that webhook"));
}

#[test]
fn how_a_job_ended() {
    let failed = |reason: &str, message: &str| {
        of_job(&job(json!([{"type": "Failed", "status": "True", "reason": reason, "message": message}])), &[])
    };
    let said = "Container sweeper for pod team/p failed with exit code 2 matching FailJob rule at index 1";
    told(failed("PodFailurePolicy", said), "SweeperBadSpec");
    let message = told(failed("BackoffLimitExceeded", "Job has reached the specified backoff limit"), "SweeperFailed");
    assert!(message.contains("job-name=hygiene-collab-0123abcd` shows its pods"), "{message}");
    let old = event("job-1", 5, "FailedCreate", "Error creating: exceeded quota: compute");
    for kind in ["Complete", "Suspended"] {
        let ended = job(json!([{"type": kind, "status": "True"}]));
        assert_eq!(of_job(&ended, std::slice::from_ref(&old)), None, "{kind}");
    }
    assert_eq!(of_job(&Job::default(), &[]), None);
}

#[test]
fn the_way_out_stays_however_much_is_said() {
    let long = format!("secret \"{}\" not found", "x".repeat(253));
    told(mount(&long), "SweeperSecretMissing");
    let message = told(refused(&"é".repeat(2000)), "SweeperNotCreated");
    assert!(message.ends_with("tells more") && message.contains("…; `kubectl"), "{message}");
}
