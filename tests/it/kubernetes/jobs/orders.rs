//! Orders reach a pod, or it stops: one that is cut off, a controller that is killed, a pod that has to go.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use workspace_hygiene::journal::Op;

use super::release::release;
use super::{LONGEST, Swept, done, node};
use crate::servers::process::{command, output};
use crate::world::id;

/// Until a pod has stopped that nobody confirms its orders: a minute, and some time to notice it.
const CUT_OFF: Duration = Duration::from_secs(70);

/// A resource that purges one workspace, at so many entries a second.
fn purging(namespace: &'static str, files: u32, rate: u32) -> Swept {
    let swept = Swept::new(namespace, "collab");
    (1..=3).for_each(|n| swept.volume.workspace(&id(n), 5));
    (1..=3).for_each(|n| swept.volume.session(&id(n)));
    swept.volume.workspace(&id(4), files);
    swept.apply(json!({"limits": {"purge": {"entriesPerSecond": rate}}, "quarantine": {"retention": "1s"}}));
    swept.enforce(json!({}));
    swept.wait("quarantining", |status| status["quarantine"]["directories"] == 1);
    swept.wait_for_retention();
    swept.annotate("hygiene.dev/sweep-requested-at=purge");
    swept.wait_for(LONGEST, "purge", || (!swept.volume.ours("purging").is_empty()).then_some(()));
    let all = swept.volume.entries("purging");
    swept.wait_for(LONGEST, "entry that is removed", || (swept.volume.entries("purging") < all).then_some(()));
    swept
}

/// The pods of the resource that run.
fn running(swept: &Swept) -> Vec<Value> {
    let pods = swept.made("pods").into_iter();
    pods.filter(|pod| pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null()).collect()
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

/// It is purged, once, and nothing else was touched.
fn assert_done(swept: &Swept) -> Value {
    let seen = swept.wait("end of the purge", |status| status["reclaimed"]["directories"] == 1);
    let journal = swept.volume.journal();
    assert_eq!((done(&journal, Op::Condemn), done(&journal, Op::Purge)), (vec![id(4)], vec![id(4)]));
    assert_eq!(swept.volume.held(), [1, 2, 3].map(id));
    assert!(swept.volume.ours("purging").is_empty());
    seen
}

/// A command in the network of the node.
fn in_network(program: &str, args: &[&str]) -> Command {
    let mut enter = command("nsenter");
    enter.arg(format!("--net=/proc/{}/ns/net", node().first())).arg("--").arg(program).args(args);
    enter
}

/// The node's end of the wire to a pod.
fn wire(pod: &Value) -> String {
    let ip = pod["status"]["podIP"].as_str().unwrap();
    let known = output(&mut in_network("ip", &["neighbour", "show", ip]), "");
    let mac = known.split_whitespace().skip_while(|word| *word != "lladdr").nth(1).unwrap().to_owned();
    let ports = output(&mut in_network("bridge", &["fdb", "show", "br", "pods"]), "");
    let port = ports.lines().find(|line| line.starts_with(&mac)).unwrap_or_else(|| panic!("{mac} in {ports}"));
    port.split_whitespace().skip_while(|word| *word != "dev").nth(1).unwrap().to_owned()
}

#[test]
fn a_pod_that_is_cut_off_stops_within_a_minute_and_the_next_one_finishes() {
    let _release = release();
    // More than three minutes of work.
    let swept = purging("jobs-orders", 4000, 20);
    let pod = running(&swept).remove(0);
    let wire = wire(&pod);
    output(&mut in_network("ip", &["link", "set", &wire, "down"]), "");
    let at_first = swept.volume.entries("purging");
    std::thread::sleep(CUT_OFF);
    let left = swept.volume.entries("purging");
    assert!(left > 0 && left < at_first, "{left} of {at_first}");
    std::thread::sleep(Duration::from_secs(10));
    assert_eq!(swept.volume.entries("purging"), left, "nothing is removed without orders");

    // Its Job is over, and what is left is the next one's.
    swept.patch(json!({"limits": {"purge": {"entriesPerSecond": 2000}}}));
    assert_done(&swept);
    assert!(swept.made("pods").iter().all(|one| name(one) != name(&pod)) || running(&swept).is_empty());
    swept.assert_all_is_well();
}

/// A controller on the node itself.
struct Controller(Child);

impl Controller {
    fn start(namespace: &str) -> Self {
        let mut controller = node().command(Path::new(env!("CARGO_BIN_EXE_hygiene")));
        controller.args(["controller", "--namespace", namespace, "--lease-namespace", namespace]);
        controller.args(["--job-image", "local/hygiene:test", "--job-pull-policy", "Never", "--unsafe-short-times"]);
        controller.args(["--startup-delay", "0s", "--listen", "127.0.0.1:0"]);
        Self(controller.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_controller_that_is_killed_and_a_pod_that_is_evicted_are_followed_by_others_that_go_on() {
    let _release = release();
    let namespace = "jobs-restart";
    node().admin(&["create", "namespace", namespace]);
    // The rights as they are without the chart.
    node().admin(&["apply", "-f", concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kubernetes/rbac.yaml")]);
    let pods = format!("--group=system:serviceaccounts:{namespace}");
    let reader = ["create", "rolebinding", "lease-reader", "--clusterrole=hygiene-lease-reader", &pods];
    node().admin(&[&["-n", namespace], &reader[..]].concat());
    let controller = Controller::start(namespace);
    let swept = purging(namespace, 3000, 60);
    let before: BTreeSet<_> = swept.made("jobs").iter().map(|job| name(job).to_owned()).collect();
    let (job, pod) = (swept.status()["job"]["name"].clone(), running(&swept).remove(0));

    // Another one takes up the Job that runs.
    drop(controller);
    let _controller = Controller::start(namespace);
    let at_first = swept.status()["job"]["entriesRemoved"].clone();
    let seen = swept.wait("progress", |status| status["job"]["entriesRemoved"] != at_first);
    assert_eq!((&seen["job"]["name"], &seen["job"]["podName"]), (&job, &json!(name(&pod))), "{seen:#}");

    // As from a node that is drained.
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name(&pod), "namespace": namespace},
    });
    let path = format!("/api/v1/namespaces/{namespace}/pods/{}/eviction", name(&pod));
    node().admin_with(&["create", "--raw", &path, "-f", "-"], &eviction.to_string());
    swept.wait_for(LONGEST, "another pod", || running(&swept).into_iter().find(|one| name(one) != name(&pod)));
    let after: BTreeSet<_> = swept.made("jobs").iter().map(|job| name(job).to_owned()).collect();
    assert!(after.is_subset(&before), "no other Job was made: {after:?}");
    let seen = assert_done(&swept);
    assert_eq!((&seen["job"]["name"], &seen["job"]["phase"]), (&job, &json!("Succeeded")), "{seen:#}");
    swept.delete();
}
