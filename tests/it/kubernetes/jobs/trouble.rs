//! What stands in the way of a Job: each with its reason, and soon.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::release::release;
use super::volume::claim;
use super::{LONGEST, Swept, Volume, condition, node};
use crate::servers::process::output;
use crate::world::id;

/// Within which a condition follows its event.
const SOON: Duration = Duration::from_secs(30);

/// Waits for a reason of `Ready=False`, and for words in its message.
#[track_caller]
fn says(swept: &Swept, longest: Duration, reason: &str, words: &[&str]) -> Value {
    swept.wait_for(longest, &format!("{reason} with {words:?}"), || {
        let status = swept.status();
        let (ready, job) = (condition(&status, "Ready"), &status["job"]["message"]);
        // Where it is too long for a condition, the Job's has all of it.
        let message = job.as_str().filter(|_| reason.starts_with("Sweeper")).or(ready["message"].as_str());
        let told = words.iter().all(|word| message.unwrap_or_default().contains(word));
        (ready["status"] == "False" && ready["reason"] == reason && told).then_some(status)
    })
}

/// The same within [`SOON`] of an event about a Job or a pod of the resource.
#[track_caller]
fn says_soon_after(swept: &Swept, event: &str, reason: &str, words: &[&str]) -> Value {
    swept.wait_for(LONGEST, event, || {
        let select = format!("--field-selector=reason={event}");
        let told = swept.kubectl(&["get", "events", &select, "-o", "jsonpath={.items[*].involvedObject.name}"]);
        told.split(' ').any(|name| name.starts_with(&format!("hygiene-{}-", swept.name))).then_some(())
    });
    says(swept, SOON, reason, words)
}

fn swept(name: &'static str) -> Swept {
    let swept = Swept::new("jobs-trouble", name);
    swept.volume.workspace(&id(1), 1);
    swept.volume.session(&id(1));
    swept
}

/// A resource about a claim that some other test made, or that is not there.
fn about(name: &'static str, claim: &str) -> Value {
    json!({"volume": {"persistentVolumeClaim": {"claimName": claim, "subPath": name}}})
}

#[test]
fn a_claim_that_is_not_there_or_not_shared_or_never_bound_is_told_as_that() {
    let _release = release();
    let swept = swept("claims");
    swept.apply(about("claims", "nowhere"));
    says(&swept, SOON, "ClaimNotFound", &["claimName", "nowhere", "create it"]);

    claim("jobs-trouble", "alone", &["ReadWriteOnce"], None);
    swept.patch(about("claims", "alone"));
    says(&swept, SOON, "ClaimNotShared", &["alone", "ReadWriteOnce", "ReadWriteMany"]);
    assert!(swept.made("jobs").is_empty(), "no Job is made for a claim that it cannot mount");

    claim("jobs-trouble", "unbound", &["ReadWriteMany"], None);
    swept.patch(about("claims", "unbound"));
    let seen = says_soon_after(&swept, "FailedScheduling", "SweeperClaimNotBound", &["unbound", "describe pvc"]);
    assert_eq!(seen["job"]["phase"], "Pending", "{seen:#}");

    // Mended, it reports.
    swept.patch(about("workspaces", "claims"));
    swept.wait("report", |status| condition(status, "Ready")["reason"] == "Swept");
    swept.delete();
    swept.assert_all_is_well();
}

#[test]
fn a_key_that_is_not_there_is_named_and_the_pod_goes_on_once_it_is() {
    let _release = release();
    let swept = swept("keys");
    let sessions = |key: &str| {
        json!({"sessions": {
            "sqlite": null, "liveQuery": "select id::text from session",
            "postgres": {"url": {"secretKeyRef": {"name": "keys", "key": key}}, "tls": {"mode": "Disable"}},
        }})
    };
    swept.apply(sessions("url"));
    says_soon_after(&swept, "FailedMount", "SweeperSecretMissing", &["Secret keys", "jobs-trouble", "create it"]);
    swept.kubectl(&["create", "secret", "generic", "keys", "--from-literal=other=x"]);
    says(&swept, LONGEST, "SweeperSecretMissing", &["no key url", "secretKeyRef"]);

    // With it the pod starts, and finds nobody at that address.
    swept.kubectl(&[
        "patch",
        "secret",
        "keys",
        "--type=merge",
        "-p",
        r#"{"stringData":{"url":"postgres://a@127.0.0.1:1/b"}}"#,
    ]);
    let seen = swept.wait("its pod", |status| condition(status, "Ready")["reason"] == "SourceUnavailable");
    assert!(!seen.to_string().contains("postgres://"), "{seen:#}");
    swept.delete();
    swept.assert_all_is_well();
}

#[test]
fn a_pod_that_no_node_takes_or_that_needs_more_memory_than_it_may_is_told_as_that() {
    let _release = release();
    let swept = swept("resources");
    swept.apply(json!({"job": {"template": {"nodeSelector": {"disk": "none"}}}}));
    says_soon_after(&swept, "FailedScheduling", "SweeperNotScheduled", &["nodeSelector"]);

    // A query that keeps a hundred megabytes, to sort them.
    let query = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 500000) \
                 select hex(randomblob(100)) from n order by 1";
    swept.patch(json!({
        "sessions": {"liveQuery": query},
        "job": {"template": {"nodeSelector": null, "resources": {"limits": {"memory": "48Mi"}}}},
    }));
    let seen = says(&swept, LONGEST, "SweeperOutOfMemory", &["48Mi", "limits.memory"]);
    assert_eq!(seen["job"]["phase"], "Failed", "{seen:#}");
    swept.delete();
    swept.assert_all_is_well();
}

#[test]
fn a_quota_that_leaves_no_room_is_named_and_the_job_goes_on_once_it_does() {
    let _release = release();
    let swept = Swept::new("jobs-quota", "collab");
    swept.volume.workspace(&id(1), 1);
    swept.volume.session(&id(1));
    swept.kubectl(&["create", "quota", "none", "--hard=pods=0"]);
    swept.apply(json!({}));
    says_soon_after(&swept, "FailedCreate", "SweeperQuotaExceeded", &["quota", "jobs-quota"]);
    swept.kubectl(&["delete", "quota", "none"]);
    swept.wait("report", |status| condition(status, "Ready")["reason"] == "Swept");
    swept.assert_all_is_well();
}

#[test]
fn a_job_that_somebody_removed_did_what_nobody_knows_and_the_next_sweep_looks() {
    let _release = release();
    let swept = swept("removed");
    // Its pod never starts, so there is time.
    swept.apply(json!({"job": {"template": {"nodeSelector": {"disk": "none"}}}}));
    let job = swept.wait_for(LONGEST, "Job", || swept.made("jobs").pop());
    swept.kubectl(&["delete", "job", job["metadata"]["name"].as_str().unwrap()]);
    says(&swept, SOON, "SweeperRemoved", &["removed before it ended"]);
    swept.patch(json!({"job": {"template": {"nodeSelector": null}}}));
    swept.wait("report", |status| condition(status, "Ready")["reason"] == "Swept");
    swept.delete();
    swept.assert_all_is_well();
}

#[test]
fn a_job_by_hand_finds_its_spec_however_late_it_starts() {
    let _release = release();
    let swept = swept("by-hand");
    swept.apply(json!({}));
    swept.wait("report", |status| condition(status, "Ready")["reason"] == "Swept");
    let mut printing = node().command(Path::new(env!("CARGO_BIN_EXE_hygiene")));
    printing.args(["job-manifest", "jobs-trouble/by-hand", "--image", "local/hygiene:test", "--output", "json", "--"]);
    let mut printed: Value = serde_json::from_str(&output(printing.args(["quarantine", "list"]), "")).unwrap();
    let items = printed["items"].as_array_mut().unwrap();
    let named = |kind: &str| items.iter().position(|one| one["kind"] == kind).unwrap();
    let (spec, job) = (named("ConfigMap"), named("Job"));
    items[job]["spec"]["suspend"] = json!(true);
    let name = |at: usize| items[at]["metadata"]["name"].as_str().unwrap().to_owned();
    let (spec, job) = (name(spec), name(job));
    node().admin_with(&["apply", "-f", "-"], &printed.to_string());

    // The spec changes meanwhile, and what older sweeps went by goes.
    let specs = || swept.made("configmaps").into_iter().map(|one| one["metadata"]["name"].clone()).collect::<Vec<_>>();
    for minimum in ["2h", "3h"] {
        swept.patch(json!({"workspaces": {"minAge": minimum}}));
        let newest = swept.kubectl(&["get", "wsh", swept.name, "-o", "jsonpath={.metadata.generation}"]);
        let newest: i64 = newest.parse().unwrap();
        swept.wait("report", |status| status["lastSweep"]["generation"] == newest);
    }
    swept.wait_for(LONGEST, "end of older specs", || (specs().len() == 2).then_some(()));
    assert!(specs().contains(&json!(spec)), "{:?}", specs());
    swept.kubectl(&["patch", "job", &job, "--type=merge", "-p", r#"{"spec": {"suspend": false}}"#]);
    swept.kubectl(&["wait", "--for=condition=Complete", "--timeout=2m", &format!("job/{job}")]);

    // With it goes its spec, some time.
    swept.kubectl(&["delete", "job", &job]);
    swept.annotate("hygiene.dev/sweep-requested-at=now");
    swept.wait_for(LONGEST, "end of its spec", || (specs().len() == 1).then_some(()));
    swept.delete();
    swept.assert_all_is_well();
}

#[test]
fn a_spec_that_somebody_else_put_where_ours_would_be_is_not_swept_by() {
    let _release = release();
    let swept = swept("forged");
    swept.apply(json!({}));
    swept.wait("report", |status| condition(status, "Ready")["reason"] == "Swept");
    let mut forged = swept.made("configmaps").remove(0);
    let spec = forged["data"]["resource.json"].as_str().unwrap().replace("select id from session", "select 'nobody'");
    forged["data"]["resource.json"] = json!(spec);
    let name = forged["metadata"]["name"].as_str().unwrap().to_owned();
    swept.kubectl(&["delete", "configmap", &name]);
    let metadata = json!({"name": name, "namespace": "jobs-trouble"});
    forged["metadata"] = metadata;
    node().admin_with(&["create", "-f", "-"], &forged.to_string());
    swept.annotate("hygiene.dev/sweep-requested-at=now");
    says(&swept, SOON, "SweeperNotCreated", &[&name, "delete it"]);
    swept.kubectl(&["delete", "configmap", &name]);
    swept.annotate("hygiene.dev/sweep-requested-at=again");
    swept.wait("report", |status| condition(status, "Ready")["reason"] == "Swept");
    swept.delete();
    swept.assert_all_is_well();
}

#[test]
fn a_volume_that_is_full_is_told_as_that_and_what_was_condemned_makes_room() {
    let _release = release();
    let volume = Volume::with_room("jobs-trouble", "full", 4 << 20);
    let swept = Swept { namespace: "jobs-trouble", name: "full", volume };
    (1..=2).for_each(|n| swept.volume.workspace(&id(n), 20));
    swept.volume.session(&id(1));
    swept.volume.fill();
    // Looking needs no room.
    swept.apply(json!({"quarantine": {"retention": "1s"}}));
    swept.wait("report", |status| condition(status, "Ready")["reason"] == "Swept");
    swept.patch(json!({"mode": "Enforce"}));
    let failed = |job: &Value| condition(&job["status"], "Failed")["status"] == "True";
    swept.wait_for(LONGEST, "Job that failed", || swept.jobs("sweep").into_iter().find(failed));
    says(&swept, SOON, "SweeperFailed", &["the volume is full", "free some space"]);

    // With room it goes on by itself, and room was set aside: once condemned, a workspace goes from a full volume too.
    swept.volume.make_room();
    swept.approve();
    swept.wait("quarantining", |status| status["quarantine"]["directories"] == 1);
    swept.volume.fill();
    swept.wait_for_retention();
    swept.annotate("hygiene.dev/sweep-requested-at=purge");
    swept.wait("purge", |status| status["reclaimed"]["directories"] == 1);
    swept.volume.make_room();
    assert_eq!(swept.volume.held(), [id(1)]);
    swept.delete();
    swept.assert_all_is_well();
}

/// A controller on the node itself, with another image for its Jobs.
struct Controller(Child);

impl Drop for Controller {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn an_image_that_is_not_there_is_named() {
    let _release = release();
    node().admin(&["create", "namespace", "jobs-image"]);
    let swept = Swept::new("jobs-image", "collab");
    let mut controller = node().command(Path::new(env!("CARGO_BIN_EXE_hygiene")));
    controller.args(["controller", "--namespace", "jobs-image", "--lease-namespace", "jobs-image"]);
    controller.args(["--job-image", "local/nobody-built-this:1", "--listen", "127.0.0.1:0"]);
    let _controller = Controller(controller.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    swept.apply(json!({}));
    says_soon_after(&swept, "Failed", "SweeperImageNotPulled", &["local/nobody-built-this:1", "imagePullSecrets"]);
    swept.delete();
}
