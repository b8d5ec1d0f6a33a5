//! The cluster is what it says.

use std::process::Stdio;
use std::time::Duration;

use super::Cluster;
use crate::servers::process::{is_alive, wait_for};

#[test]
fn a_cluster_answers_stops_starts_again_and_leaves_nothing_behind() {
    let cluster = Cluster::start();
    let (folder, pids) = (cluster.folder().to_owned(), cluster.pids());
    assert!(cluster.admin(&["version"]).contains("Server Version: v1.37"), "{}", cluster.admin(&["version"]));

    let name = cluster.namespace("kept");
    // The controller manager is at work.
    wait_for("a ServiceAccount", || {
        cluster.kubectl().args(["-n", &name, "get", "serviceaccount", "default"]).output().unwrap().status.success()
    });

    cluster.user("ada", "");
    let mut asked = cluster.kubectl_as("ada");
    let refused = asked.args(["get", "pods"]).output().unwrap();
    let refused = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.contains("User \"ada\" cannot list resource \"pods\""), "{refused}");

    cluster.signal_api_server("STOP");
    let mut asked = cluster.kubectl().args(["get", "namespaces"]).stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert!(asked.try_wait().unwrap().is_none(), "a stopped server answers nothing");
    cluster.signal_api_server("CONT");
    assert!(asked.wait().unwrap().success());

    cluster.restart_api_server();
    assert!(cluster.admin(&["get", "namespaces"]).contains(&name));
    assert_ne!(cluster.pids()[1], pids[1]);

    let pids = [pids, cluster.pids()].concat();
    drop(cluster);
    assert!(!pids.into_iter().any(is_alive));
    assert!(!folder.exists());
}
