//! Many resources whose sweeps are Jobs, in many namespaces: so many Jobs at once, and every namespace has its turn. Nothing runs
//! pods here: this file ends them as a kubelet does, with the report that a sweeper leaves.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, Config, ResourceExt};
use serde_json::{Value, json};

use super::process::Controller;
use super::{USER, cluster};
use crate::world::World;

const NAMESPACES: usize = 30;
const RESOURCES: usize = 10;
/// Jobs at once.
const MOST: usize = 20;
/// Until all have been swept once, on a machine that is busy.
const ALL: Duration = Duration::from_secs(420);

/// What a sweeper of `generation` says that saw nothing.
fn report(uid: &str, generation: i64) -> String {
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": "as told", "observedGeneration": generation,
               "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let conditions = [
        condition("Ready", "True", "Swept"),
        condition("SourcesAvailable", "True", "Complete"),
        condition("DeletionAllowed", "False", "ReportMode"),
        condition("BacklogDrained", "True", "NoOrphans"),
    ];
    let status = json!({
        "observedGeneration": generation, "conditions": conditions,
        "lastSweep": {"id": "one", "generation": generation, "result": "Completed", "directories": 1, "orphans": 0, "confirmed": 0,
                      "quarantined": 0, "restored": 0, "purged": 0, "errors": 0},
    });
    json!({"uid": uid, "generation": generation, "sweep": {"outcome": {"sweep": "one", "result": "Completed"}, "status": status}})
        .to_string()
}

/// Ends a pod as a kubelet does.
async fn end(client: &Client, pod: &Pod) {
    let args = pod.spec.as_ref().unwrap().containers[0].args.clone().unwrap();
    let value = |option: &str| args.iter().find_map(|arg| arg.strip_prefix(option)).unwrap().to_owned();
    let said = report(&value("--uid="), value("--generation=").parse().unwrap());
    let time = "2026-01-01T00:00:00Z";
    let ended = json!({"exitCode": 0, "reason": "Completed", "message": said, "startedAt": time, "finishedAt": time});
    let container = json!({"name": pod.spec.as_ref().unwrap().containers[0].name, "ready": false, "restartCount": 0, "image": "",
                           "imageID": "", "state": {"terminated": ended}});
    let status = json!({"status": {"phase": "Succeeded", "containerStatuses": [container]}});
    let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap());
    pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
}

fn resource(namespace: &str, number: usize) -> Value {
    json!({
        "apiVersion": "hygiene.dev/v1alpha1", "kind": "WorkspaceHygiene",
        "metadata": {"name": format!("r{number}"), "namespace": namespace},
        "spec": {
            "schedule": {"every": "168h"},
            "volume": {"persistentVolumeClaim": {"claimName": "efs", "subPath": format!("volume-{number}")}},
            "workspaces": {"pattern": "^(?<session>[0-9a-f-]{36})$"},
            "sessions": {"sqlite": {"path": "/mnt/hygiene/volume/sessions.db"}, "liveQuery": "select id from session"},
        },
    })
}

/// What a namespace has beside its resources: the controller's rights, and the claim.
fn around(namespace: &str) -> Vec<Value> {
    let group = "rbac.authorization.k8s.io";
    let binding = |role: &str| {
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": {"name": role, "namespace": namespace},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": group, "kind": "User", "name": USER}],
        })
    };
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "efs", "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteMany"], "storageClassName": "none", "resources": {"requests": {"storage": "1Gi"}}},
    });
    ["hygiene-controller", "hygiene-lease", "hygiene-jobs"].map(binding).into_iter().chain([claim]).collect()
}

#[test]
fn so_many_jobs_run_at_once_and_every_namespace_has_its_turn() {
    let world = World::new();
    let namespaces: Vec<_> = (0..NAMESPACES).map(|_| cluster().namespace("turns")).collect();
    let around = namespaces.iter().flat_map(|one| around(one));
    let list = |items: Vec<Value>| json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    cluster().admin_with(&["create", "-f", "-"], &list(around.collect()));
    let all = namespaces.iter().flat_map(|one| (0..RESOURCES).map(|number| resource(one, number)));
    cluster().admin_with(&["create", "-f", "-"], &list(all.collect()));

    let names: Vec<_> = namespaces.iter().map(String::as_str).collect();
    let most = MOST.to_string();
    let mut args = vec!["--job-image", "local/hygiene:test", "--max-concurrent-jobs", &most];
    names.iter().for_each(|name| args.extend(["--namespace", name]));
    let controller = Controller::start_in(&cluster().kubeconfig(USER), &world, &names, &args);

    let kubeconfig = kube::config::Kubeconfig::read_from(cluster().folder().join("admin.kubeconfig")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let seen = runtime.block_on(async {
        let config = Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
        let client = Client::try_from(config).unwrap();
        let ours = ListParams::default().labels("app.kubernetes.io/name=workspace-hygiene-sweeper");
        let is_here = |namespace: Option<String>| namespace.is_some_and(|one| namespaces.contains(&one));
        let (begun, mut seen) = (Instant::now(), Vec::<(String, String)>::new());
        loop {
            let jobs = Api::<Job>::all(client.clone()).list(&ours).await.unwrap().items;
            let jobs: Vec<_> = jobs.into_iter().filter(|job| is_here(job.namespace())).collect();
            let is_over = |job: &&Job| job.status.as_ref().is_some_and(|status| status.completion_time.is_some());
            let unfinished = jobs.len() - jobs.iter().filter(is_over).count();
            assert!(unfinished <= MOST, "{unfinished} Jobs at once");
            for job in &jobs {
                let name = (job.namespace().unwrap(), job.name_any());
                if !seen.contains(&name) {
                    seen.push(name);
                }
            }
            if seen.len() == NAMESPACES * RESOURCES && unfinished == 0 {
                break seen;
            }
            assert!(begun.elapsed() < ALL, "only {} Jobs: {:#?}", seen.len(), controller.lines().last());
            let pods = Api::<Pod>::all(client.clone()).list(&ours).await.unwrap().items;
            let waits = |pod: &&Pod| {
                pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Pending")
                    && is_here(pod.namespace())
            };
            for pod in pods.iter().filter(waits) {
                end(&client, pod).await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    // Those that came first may be of few namespaces; then each has its turn.
    let early: BTreeSet<_> = seen.iter().take(MOST + 2 * NAMESPACES).map(|(namespace, _)| namespace).collect();
    assert_eq!(early.len(), NAMESPACES, "a namespace waits for the others: {early:?}");
    let observed = cluster().admin(&["get", "wsh", "-A", "-o", "json"]);
    let observed: Value = serde_json::from_str(&observed).unwrap();
    let swept = observed["items"].as_array().unwrap().iter().filter(|one| {
        names.contains(&one["metadata"]["namespace"].as_str().unwrap()) && one["status"]["lastSweep"]["id"] == "one"
    });
    // The last may still be on its way into the status.
    assert!(swept.count() >= NAMESPACES * RESOURCES - MOST);
    assert_eq!(controller.stop().code(), Some(0));
}
