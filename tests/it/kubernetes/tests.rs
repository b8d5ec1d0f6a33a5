//! The cluster is what it says.

use std::process::Stdio;
use std::time::Duration;

use super::{Asked, Cluster};
use crate::servers::Proxy;
use crate::servers::killed::end_with_a_killed_process;
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
    let requests = cluster.requests_of("ada");
    let list = Asked { verb: "list".into(), what: "pods".into(), namespace: "default".into(), code: Some(403) };
    assert!(requests.contains(&list), "{requests:?}");
    assert_eq!(requests.iter().filter(|asked| asked.what == "pods").count(), 1, "{requests:?}");

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

#[test]
fn a_user_behind_a_proxy_is_cut_off_alone() {
    let cluster = Cluster::shared();
    let proxy = Proxy::to(cluster.port());
    cluster.user_through("behind", "system:masters", proxy.port());
    let asks = || cluster.kubectl_as("behind").args(["get", "--raw", "/readyz"]).output().unwrap().status.success();
    assert!(asks());
    proxy.cut_after(0);
    assert!(!asks());
    assert_eq!(cluster.admin(&["get", "--raw", "/readyz"]), "ok");
    proxy.pass();
    assert!(asks());
    assert!(cluster.requests_of("behind").iter().any(|asked| asked.what == "/readyz" && asked.code == Some(200)));
}

#[test]
fn a_cluster_ends_with_a_test_process_that_is_killed_and_leaves_no_files() {
    let name = "kubernetes::tests::a_cluster_ends_with_a_test_process_that_is_killed_and_leaves_no_files";
    end_with_a_killed_process(name, || {
        let cluster = Cluster::start();
        let pids = cluster.pids().to_vec();
        (cluster, pids)
    });
}
