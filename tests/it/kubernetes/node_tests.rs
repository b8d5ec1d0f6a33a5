//! The node itself: pods run on it, and nothing of it stays.

use std::fs;
use std::process::Command;

use serde_json::json;

use super::Node;
use crate::servers::process::{is_alive, wait_for};

fn cgroups(name: &str) -> String {
    let mut find = Command::new("find");
    let found = find.args(["/sys/fs/cgroup", "-type", "d", "-name", name]).output().unwrap();
    String::from_utf8(found.stdout).unwrap()
}

#[test]
fn a_pod_runs_on_it_and_reaches_the_api_server_and_nothing_of_it_stays() {
    let node = Node::start();
    node.load(crate::image::archive(), "docker.io/local/hygiene:test");
    // `hygiene controller` needs a lease; that it is refused is an answer of the API server.
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{
                "name": "one", "image": "local/hygiene:test", "imagePullPolicy": "Never",
                "args": ["controller", "--namespace", "default", "--volume-root", "state=/state:default"],
            }],
        },
    });
    node.admin_with(&["apply", "-f", "-"], &pod.to_string());
    wait_for("the pod to be refused its lease", || {
        let mut logs = node.command(&super::program("kubectl"));
        let said = logs.args(["logs", "one"]).output().unwrap();
        String::from_utf8_lossy(&said.stdout).contains("forbidden")
    });

    let (first, name) = (node.first(), node.cgroup().to_owned());
    assert!(cgroups(&name).contains(&name));
    let mounted = || fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounted().contains("kubelet"), "{}", mounted());
    drop(node);
    assert!(!is_alive(first));
    assert_eq!(cgroups(&name), "");
}
