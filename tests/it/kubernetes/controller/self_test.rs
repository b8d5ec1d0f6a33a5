//! `hygiene self-test`, as `helm test` runs it.

use std::process::{Command, Output, Stdio};

use super::{Controller, cluster, namespace};
use crate::world::{World, manifest};

fn self_test(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hygiene"));
    command.arg("self-test").args(args).env_clear().env("KUBECONFIG", cluster().kubeconfig("admin"));
    command.stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_controller_that_works_passes_its_self_test_which_leaves_nothing_behind() {
    let namespace = namespace("self-test");
    let world = World::on_disk();
    let directory = world.path("self-test").display().to_string();
    for _ in 0..2 {
        let made = self_test(&["make", &directory]);
        assert!(made.status.success(), "{made:?}");
    }
    let before = manifest(&world.path("self-test/volume"));
    assert_eq!(before.keys().filter(|path| path.ends_with(b"notes.txt")).count(), 2);
    let ask = ["ask", &*directory, "--namespace", &namespace, "--timeout", "3s"];

    // Nobody is there to report.
    let asked = self_test(&ask);
    assert_eq!(asked.status.code(), Some(1));
    assert!(text(&asked.stderr).contains("no report within 3 s"), "{asked:?}");

    let _controller = Controller::start(&world, &namespace, &["--leader-elect", "false"]);
    let asked = self_test(&["ask", &directory, "--namespace", &namespace, "--timeout", "60s"]);
    assert!(asked.status.success(), "{asked:?}");
    assert!(text(&asked.stdout).contains("1 live session, 1 orphan, as it should be"), "{asked:?}");
    assert_eq!(manifest(&world.path("self-test/volume")), before, "it only looked");
    let left = cluster().admin(&["-n", &namespace, "get", "wsh", "-o", "name"]);
    assert_eq!(left, "");

    // A resource that is not swept says why.
    let elsewhere = self_test(&["ask", "/elsewhere", "--namespace", &namespace]);
    assert_eq!(elsewhere.status.code(), Some(1));
    let said = text(&elsewhere.stderr);
    assert!(said.contains("does not sweep it") && said.contains("VolumeNotAllowed"), "{said}");
}

#[test]
fn a_resource_of_somebody_elses_is_not_taken_for_the_test() {
    let namespace = namespace("not-mine");
    let theirs = serde_json::to_string(&super::super::schema::minimal(&namespace, "self-test")).unwrap();
    cluster().admin_with(&["apply", "-f", "-"], &theirs);
    let asked = self_test(&["ask", "/self-test", "--namespace", &namespace]);
    assert_eq!(asked.status.code(), Some(1));
    assert!(text(&asked.stderr).contains("about another volume"), "{asked:?}");
    cluster().admin(&["-n", &namespace, "get", "wsh", "self-test"]);
}
