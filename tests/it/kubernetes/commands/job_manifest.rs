//! `hygiene job-manifest`: what it prints is taken by a real API server, and what the Job would run is run.

use std::fs;

use serde_json::{Value, json};

use super::{Cluster, Ran, command, hygiene};
use crate::world::{DAY, World, id};

/// As long as a name may be.
const LONGEST: &str = "collab-workspaces-of-the-production-team";
const IMAGE: [&str; 2] = ["--image", "registry.example.com/hygiene:1"];

/// A namespace whose pods must be restricted, with a resource; `spec` is what it has beside the least.
fn resource(name: &str, spec: Value) -> String {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("job-manifest");
    cluster.admin(&["label", "namespace", &namespace, "pod-security.kubernetes.io/enforce=restricted"]);
    let mut object = json!({
        "apiVersion": "hygiene.dev/v1alpha1", "kind": "WorkspaceHygiene",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "volume": {"persistentVolumeClaim": {"claimName": "collab-efs", "subPath": "data/workspaces"}},
            "workspaces": {"pattern": "^(?<session>[0-9A-Za-z-]{36})$", "activity": "Modified"},
            "sessions": {
                "postgres": {"url": {"secretKeyRef": {"name": "collab-db", "key": "url"}}},
                "liveQuery": "select id from session",
            },
        },
    });
    object["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    cluster.admin_with(&["apply", "-f", "-"], &object.to_string());
    namespace
}

fn print(namespace: &str, name: &str, more: &[&str]) -> Ran {
    let resource = format!("{namespace}/{name}");
    hygiene(&[&["job-manifest", &resource], more].concat())
}

/// The ConfigMap and the Job.
fn made(namespace: &str, name: &str, more: &[&str]) -> (Value, Value) {
    let mut list = print(namespace, name, &[&["-o", "json"], &IMAGE[..], more].concat()).exits(0).json();
    assert_eq!((&list["kind"], list["items"].as_array().unwrap().len()), (&json!("List"), 2));
    (list["items"][0].take(), list["items"][1].take())
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect()
}

#[test]
fn what_is_printed_is_applied_as_it_is() {
    let cluster = Cluster::shared();
    for name in [LONGEST, "a.b", "on"] {
        let namespace = resource(name, json!({}));
        for output in ["yaml", "json"] {
            let args = [&IMAGE[..], &["-o", output, "--", "explain", "--", "0777"]].concat();
            let printed = print(&namespace, name, &args).exits(0);
            let follow = format!("kubectl -n {namespace} logs -f job/hygiene-");
            assert!(printed.stderr.contains(&follow), "{}", printed.stderr);
            let applied = cluster.admin_with(&["apply", "--dry-run=server", "-f", "-"], &printed.stdout);
            assert!(applied.contains("configmap/hygiene-") && applied.contains("job.batch/hygiene-"), "{applied}");
        }
    }
}

#[test]
fn its_pod_is_restricted_and_belongs_to_the_resource() {
    let cluster = Cluster::shared();
    let namespace = resource("collab", json!({}));
    let (_, job) = made(&namespace, "collab", &["--", "quarantine", "list"]);
    let uid = cluster.admin(&["-n", &namespace, "get", "wsh", "collab", "-o", "jsonpath={.metadata.uid}"]);
    assert_eq!(job["metadata"]["ownerReferences"][0]["uid"], uid);
    assert_eq!(job["metadata"]["labels"]["hygiene.dev/work"], "command");
    // Of a Job the API server only warns; the pod itself it would refuse.
    let template = &job["spec"]["template"];
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
        "metadata": {"name": "one", "namespace": namespace, "labels": template["metadata"]["labels"]},
    });
    cluster.admin(&["-n", &namespace, "create", "serviceaccount", "hygiene-sweeper.collab"]);
    cluster.admin_with(&["apply", "--dry-run=server", "-f", "-"], &pod.to_string());
    assert!(!job.to_string().contains("fsGroup"));
}

#[test]
fn each_time_it_is_another_job_with_the_same_spec() {
    let namespace = resource("collab", json!({}));
    let (map, job) = made(&namespace, "collab", &["--", "plan"]);
    let (same, other) = made(&namespace, "collab", &["--", "plan"]);
    assert_eq!(map, same);
    assert_ne!(job["metadata"]["name"], other["metadata"]["name"]);
    let patch = ["patch", "wsh", "collab", "--type=merge", "-p", "{\"spec\":{\"suspend\":true}}"];
    Cluster::shared().admin(&[&["-n", &namespace], &patch[..]].concat());
    let (changed, _) = made(&namespace, "collab", &["--", "plan"]);
    assert_ne!(map["metadata"]["name"], changed["metadata"]["name"]);
    assert_eq!(changed["metadata"]["annotations"]["hygiene.dev/generation"], "2");
}

#[test]
fn the_claim_is_read_only_unless_the_mode_is_enforce() {
    for (mode, read_only) in [("Report", true), ("Enforce", false)] {
        let namespace = resource("collab", json!({"mode": mode}));
        let (_, job) = made(&namespace, "collab", &["--", "quarantine", "list"]);
        let mount = &job["spec"]["template"]["spec"]["containers"][0]["volumeMounts"][0];
        assert_eq!(*mount, json!({"name": "volume", "mountPath": "/mnt/hygiene/volume", "readOnly": read_only}));
    }
}

#[test]
fn the_pod_is_told_what_the_command_line_was_told() {
    let namespace = resource("collab", json!({"job": {"serviceAccountName": "irsa"}}));
    let options = ["--cluster", "prod", "--unsafe-short-times", "--log-level", "debug", "--pull-policy", "Never"];
    let (_, job) = made(&namespace, "collab", &[&options[..], &["--", "sweep", "--no-settle"]].concat());
    let pod = &job["spec"]["template"]["spec"];
    let expected = [
        "-f",
        "/mnt/hygiene/spec/resource.json",
        "--claim-mount=collab-efs=/mnt/hygiene/volume",
        "--cluster=prod",
        "--secret=collab-db/url=file:/mnt/hygiene/secrets/collab-db/url",
        "--unsafe-short-times",
        "--log-level=debug",
        "sweep",
        "--no-settle",
    ];
    assert_eq!(strings(&pod["containers"][0]["args"]), expected);
    assert_eq!(pod["containers"][0]["image"], IMAGE[1]);
    assert_eq!(pod["containers"][0]["imagePullPolicy"], "Never");
    assert_eq!(pod["serviceAccountName"], "irsa");
    let by_env = command(&Cluster::shared().kubeconfig("admin"), &["job-manifest"])
        .args([&format!("{namespace}/collab"), "-o", "json", "--", "plan"])
        .env("HYGIENE_IMAGE", "of-the-environment")
        .output()
        .unwrap();
    let by_env = Ran::from(by_env).exits(0).json();
    assert_eq!(by_env["items"][1]["spec"]["template"]["spec"]["containers"][0]["image"], "of-the-environment");
}

/// Runs what the Job would run, in a folder instead of its mounts.
#[test]
fn the_command_does_in_the_pod_what_it_does_by_hand() {
    let world = World::fresh_on_disk();
    world.workspace(&id(1), 30 * DAY);
    let sessions = json!({
        "sqlite": {"path": world.path("sessions.db")},
        "liveQuery": "select id from session where deleted_at is null",
    });
    let namespace = resource("collab", json!({"sessions": sessions}));
    let (map, job) = made(&namespace, "collab", &["--", "explain", &id(1), "-o", "json"]);
    let folder = world.path("pod");
    fs::create_dir_all(folder.join("spec")).unwrap();
    fs::write(folder.join("spec/resource.json"), map["data"]["resource.json"].as_str().unwrap()).unwrap();
    fs::create_dir_all(folder.join("volume/data")).unwrap();
    fs::rename(world.root(), folder.join("volume/data/workspaces")).unwrap();
    let here = format!("{}/", folder.display());
    let args = strings(&job["spec"]["template"]["spec"]["containers"][0]["args"]);
    let args: Vec<_> = args.iter().map(|arg| arg.replace("/mnt/hygiene/", &here)).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let nowhere = std::path::Path::new("/nonexistent/kubeconfig");
    let ran: Ran = command(nowhere, &args).output().unwrap().into();
    let explained = ran.exits(0).json();
    assert_eq!(explained["resource"]["namespace"], namespace);
    assert_eq!(explained["verdict"]["reason"], "NoLiveSession", "{explained}");
}

#[test]
fn what_makes_no_job_says_why_and_what_to_do() {
    let namespace = resource("collab", json!({}));
    let says = |more: &[&str], code: i32, parts: &[&str]| print(&namespace, "collab", more).exits(code).says(parts);
    let with_image = |command: &[&'static str]| [&IMAGE[..], &["--"], command].concat();
    says(&IMAGE, 2, &["-- COMMAND: is not given", "job-manifest NAMESPACE/NAME --image IMAGE -- quarantine list"]);
    says(&["--", "plan"], 2, &["--image: is not given", "HYGIENE_IMAGE"]);
    says(&with_image(&["plam"]), 2, &["-- COMMAND: unrecognized subcommand 'plam'"]);
    says(&with_image(&["crd"]), 2, &["crd is not about one resource"]);
    says(&with_image(&["plan", "-f", "x"]), 2, &["-- COMMAND: -f: the Job is told that by the resource"]);
    says(&[&["-f", "x"], &with_image(&["plan"])[..]].concat(), 2, &["-f: is not for job-manifest"]);
    let absent = format!("there is no WorkspaceHygiene nobody in namespace {namespace}");
    print(&namespace, "nobody", &with_image(&["plan"])).exits(1).says(&[&absent]);
    hygiene(&["job-manifest", "collab", "--image", "i", "--", "plan"]).exits(2).says(&["write NAMESPACE/NAME"]);
    let help = print(&namespace, "collab", &with_image(&["quarantine", "restore", "--help"])).exits(0).stdout;
    assert!(help.contains("hygiene quarantine restore"), "{help}");

    let own = resource("collab", json!({"volume": {"path": "/mnt/efs/workspaces"}}));
    let told = format!("kubectl exec CONTROLLER -- /hygiene -f {own}/collab explain 'a b'");
    let command = with_image(&["explain", "a b"]);
    print(&own, "collab", &command).exits(2).says(&["spec.volume.path: /mnt/efs/workspaces is mounted by the", &told]);

    let wrong = resource("collab", json!({"schedule": {"cron": "0 3 * * *", "timeZone": "Nowhere/Land"}}));
    let told = format!("error: {wrong}/collab: spec.schedule.timeZone");
    print(&wrong, "collab", &with_image(&["plan"])).exits(2).says(&[&told]);
}
