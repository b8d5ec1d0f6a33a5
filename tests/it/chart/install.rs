//! The chart at work on a whole node: installed, tested, upgraded, rolled back and uninstalled.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::CHART;
use crate::kubernetes::program;
use crate::kubernetes::turns::{alone, node};
use crate::servers::process::{output, wait_for};

const IMAGE: [&str; 4] = ["--set", "image.repository=local/hygiene", "--set", "image.tag=test,image.pullPolicy=Never"];
const NAME: &str = "hygiene-workspace-hygiene";
/// The user of the image.
const USER: u32 = 65_532;
const LIVE: &str = "aaaaaaaa-0000-4000-8000-000000000000";
const GONE: &str = "bbbbbbbb-0000-4000-8000-000000000000";

fn helm(which: &str, args: &[&str]) -> String {
    output(helm_command(which).args(args), "")
}

fn helm_command(which: &str) -> Command {
    node().command(&program(which))
}

/// A volume with a live and an orphaned workspace, and the database of its sessions, as a claim of a namespace.
fn make_volume(namespace: &str, name: &str) -> std::path::PathBuf {
    let path = node().volume(&format!("{namespace}-{name}"));
    let old = SystemTime::now() - Duration::from_secs(30 * 86_400);
    for id in [LIVE, GONE] {
        let workspace = path.join("workspaces").join(id);
        fs::create_dir_all(&workspace).unwrap();
        fs::write(workspace.join("file"), id).unwrap();
        for one in [workspace.join("file"), workspace] {
            fs::File::open(&one).unwrap().set_modified(old).unwrap();
        }
    }
    let database = rusqlite::Connection::open(path.join("sessions.db")).unwrap();
    database.execute_batch(&format!("create table session (id text); insert into session values ('{LIVE}')")).unwrap();
    output(Command::new("chown").args(["-R", &format!("{USER}:{USER}")]).arg(&path), "");
    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": format!("{namespace}-{name}")},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany"], "storageClassName": "",
            "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": path},
            "claimRef": {"namespace": namespace, "name": name},
        },
    });
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "accessModes": ["ReadWriteMany"], "storageClassName": "", "volumeName": format!("{namespace}-{name}"),
            "resources": {"requests": {"storage": "1Gi"}},
        },
    });
    for object in [volume, claim] {
        node().admin_with(&["apply", "-f", "-"], &object.to_string());
    }
    path
}

fn resource(namespace: &str) -> Value {
    json!({
        "apiVersion": "hygiene.dev/v1alpha1", "kind": "WorkspaceHygiene",
        "metadata": {"name": "collab", "namespace": namespace},
        "spec": {
            "mode": "Report",
            "volume": {"path": "/mnt/efs/workspaces"},
            "workspaces": {"pattern": "^(?<session>[0-9a-f-]{36})$", "activity": "Modified"},
            "sessions": {"sqlite": {"path": "/mnt/efs/sessions.db"}, "liveQuery": "select id from session"},
        },
    })
}

fn volume_setting(namespace: &str) -> String {
    format!(
        "volumes[0].name=efs,volumes[0].existingClaim=efs,volumes[0].mountPath=/mnt/efs,volumes[0].namespaces={{{namespace}}}"
    )
}

fn wait_ready(namespace: &str) {
    node().admin(&["-n", namespace, "wait", "wsh/collab", "--for=condition=Ready", "--timeout=60s"]);
}

fn get(namespace: &str, what: &str, path: &str) -> String {
    let path = format!("jsonpath={{{path}}}");
    node().admin(&["-n", namespace, "get", what, "-o", &path])
}

/// What the controllers of a namespace log.
fn log(namespace: &str) -> String {
    node().admin(&["-n", namespace, "logs", "--prefix", "--tail=-1", "-l", "app.kubernetes.io/component=controller"])
}

/// What the volume holds, without our own folder.
fn held(volume: &Path) -> Vec<String> {
    let found = fs::read_dir(volume.join("workspaces")).unwrap().map(|one| one.unwrap().file_name());
    let mut found: Vec<_> = found.map(|name| name.into_string().unwrap()).collect();
    found.sort();
    found
}

#[test]
fn a_release_is_installed_tested_upgraded_rolled_back_and_uninstalled_and_volumes_and_resources_stay() {
    let _turn = alone();
    let system = "life";
    node().admin(&["create", "namespace", system]);
    // As strict as a namespace can be.
    node().admin(&["label", "namespace", system, "pod-security.kubernetes.io/enforce=restricted"]);
    let volume = make_volume(system, "efs");
    let setting = volume_setting(system);
    let release = ["hygiene", CHART, "--namespace", system, "--wait", "--timeout", "2m", "--set", &setting];
    let with = |verb: &'static str, more: &[&'static str]| -> Vec<&str> {
        [verb].into_iter().chain(release).chain(IMAGE).chain(more.iter().copied()).collect()
    };

    let said = helm("helm", &with("install", &[]));
    for next in ["helm test hygiene", "apply --filename", "get workspacehygienes"] {
        assert!(said.contains(next), "{said}");
    }
    let tested = helm("helm", &["test", "hygiene", "--namespace", system, "--timeout", "2m", "--logs"]);
    assert!(tested.contains("Succeeded") && tested.contains("1 orphan, as it should be"), "{tested}");
    // Nothing of the test stays.
    assert_eq!(
        node().admin(&[
            "-n",
            system,
            "get",
            "wsh,pod,role,serviceaccount",
            "-o",
            "name",
            "-l",
            "app.kubernetes.io/component=self-test"
        ]),
        ""
    );
    assert_eq!(node().admin(&["-n", system, "get", "wsh", "-o", "name"]), "");

    node().admin_with(&["apply", "-f", "-"], &resource(system).to_string());
    wait_ready(system);
    assert_eq!(get(system, "wsh/collab", ".status.lastSweep.orphans"), "1");
    let uid = get(system, "wsh/collab", ".metadata.uid");

    // A newer chart, with a definition that has a column more and a field that this version does not know.
    let newer = tempfile::tempdir().unwrap();
    output(Command::new("cp").args(["-a", CHART]).arg(newer.path()), "");
    let newer = newer.path().join("workspace-hygiene");
    let definition = newer.join("templates/crd.yaml");
    let text = fs::read_to_string(&definition).unwrap();
    let changed = text.replacen("      name: Mode\n", "      name: Mode-Of-A-Newer-Version\n", 1);
    assert_ne!(text, changed);
    fs::write(&definition, changed).unwrap();
    let column =
        || get("default", "crd/workspacehygienes.hygiene.dev", ".spec.versions[0].additionalPrinterColumns[0].name");
    assert_eq!(column(), "Mode");
    let upgrade = with("upgrade", &["--set", "replicas=2"]);
    let upgrade: Vec<_> =
        upgrade.into_iter().map(|one| if one == CHART { newer.to_str().unwrap() } else { one }).collect();
    helm("helm", &upgrade);
    assert_eq!(column(), "Mode-Of-A-Newer-Version");
    assert_eq!(get(system, &format!("deployment/{NAME}"), ".status.readyReplicas"), "2");
    wait_ready(system);
    assert_eq!(get(system, "wsh/collab", ".metadata.uid"), uid, "the resource is the one that it was");

    helm("helm", &["rollback", "hygiene", "1", "--namespace", system, "--wait", "--timeout", "2m"]);
    assert_eq!(column(), "Mode");
    wait_for("the second pod to go", || get(system, &format!("deployment/{NAME}"), ".status.replicas") == "1");
    wait_ready(system);
    assert_eq!(get(system, "wsh/collab", ".metadata.uid"), uid);
    let logged = log(system);
    assert!(!logged.contains("orbidden"), "{logged}");

    helm("helm", &["uninstall", "hygiene", "--namespace", system, "--wait", "--timeout", "2m"]);
    assert_eq!(get(system, "wsh/collab", ".metadata.uid"), uid, "the definition and the resource stay");
    assert_eq!(get(system, "pvc/efs", ".status.phase"), "Bound");
    assert_eq!(held(&volume), [LIVE, GONE], "mode Report leaves the volume as it is");
    wait_for("the pods to end", || node().admin(&["-n", system, "get", "pod", "-o", "name"]).is_empty());
    let left = node().admin(&["-n", system, "get", "deployment,role,rolebinding,service,lease", "-o", "name"]);
    // The lease is the controllers' own. Its Role is gone before they could give it away.
    assert_eq!(left, format!("lease.coordination.k8s.io/{NAME}"), "{left}");

    // Again, over what stayed, and by the other helm.
    let mut again = with("install", &["--take-ownership"]);
    again[1] = "again";
    helm("helm3", &again);
    wait_ready(system);
    helm("helm3", &["uninstall", "again", "--namespace", system, "--wait", "--timeout", "2m"]);
    node().admin(&["delete", "namespace", system, "--timeout=120s"]);
}

#[test]
fn a_release_for_the_whole_cluster_sweeps_other_namespaces_and_enforces() {
    let _turn = alone();
    let (system, team) = ("wide", "wide-team");
    for namespace in [system, team] {
        node().admin(&["create", "namespace", namespace]);
    }
    let volume = make_volume(system, "efs");
    chown(&volume, Some(USER), Some(USER)).unwrap();
    let setting = volume_setting(team);
    let release = ["hygiene", CHART, "--namespace", system, "--wait", "--timeout", "2m", "--set", &setting];
    let more = ["--set", "watchAllNamespaces=true,replicas=2,controller.startupDelay=0s"];
    helm("helm", &[&["install"], &release[..], &IMAGE, &more].concat());
    let mut enforced = resource(team);
    enforced["spec"]["schedule"] = json!({"every": "1m"});
    node().admin_with(&["apply", "-f", "-"], &enforced.to_string());
    wait_ready(team);
    let tested = helm("helm", &["test", "hygiene", "--namespace", system, "--timeout", "2m"]);
    assert!(tested.contains("Succeeded"), "{tested}");

    enforced["spec"]["mode"] = json!("Enforce");
    node().admin_with(&["apply", "-f", "-"], &enforced.to_string());
    wait_for("the first plan to wait for approval", || {
        get(team, "wsh/collab", ".status.hold.reason") == "AwaitsApproval"
    });
    let approval = format!("hygiene.dev/approve-plan={}", get(team, "wsh/collab", ".status.hold.planHash"));
    node().admin(&["-n", team, "annotate", "wsh/collab", &approval]);
    node().admin(&["-n", team, "annotate", "wsh/collab", "hygiene.dev/sweep-requested-at=now"]);
    wait_for("quarantining", || held(&volume) == [".hygiene", LIVE]);
    wait_for("status", || get(team, "wsh/collab", ".status.quarantine.directories") == "1");
    let logged = log(system);
    assert!(!logged.contains("orbidden"), "{logged}");

    // The one that leads goes, and the other one leads.
    let leader = || get(system, &format!("lease/{NAME}"), ".spec.holderIdentity");
    let (led, pod) = (leader(), leader().split('_').next().unwrap().to_owned());
    node().admin(&["-n", system, "delete", "pod", &pod, "--wait=false"]);
    wait_for("another leader", || !leader().is_empty() && leader() != led);

    helm("helm", &["uninstall", "hygiene", "--namespace", system, "--wait", "--timeout", "2m"]);
    assert_eq!(held(&volume), [".hygiene", LIVE], "what is in quarantine stays there");
    for namespace in [team, system] {
        node().admin(&["delete", "namespace", namespace, "--timeout=120s"]);
    }
}
