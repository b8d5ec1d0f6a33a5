//! An API server that makes trouble.

use serde_json::json;

use super::super::Cluster;
use super::super::schema::minimal;
use super::{Controller, condition, in_namespace, wait};
use crate::world::{DAY, World, id};

const SPEC: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";

#[test]
fn an_object_of_another_version_hides_no_other_and_an_api_server_that_comes_back_is_found() {
    let cluster = Cluster::start();
    cluster.install_definition();
    let namespace = cluster.namespace("trouble");
    // A definition that is one field ahead, and one whose field has another type: such an object does not decode.
    let ahead = json!([
        {"op": "add", "path": format!("{SPEC}/workspaces/properties/guardOfTomorrow"), "value": {"type": "string", "description": "x"}},
        {"op": "replace", "path": format!("{SPEC}/suspend"), "value": {"type": "string", "description": "x"}},
    ]);
    let patch = ahead.to_string();
    cluster.admin(&["patch", "crd", "workspacehygienes.hygiene.dev", "--type=json", "-p", &patch]);
    let mut world = in_namespace(World::new(), &namespace);
    world.part("mode", "Report");
    world.workspace("aaaaaaaa-0000-4000-8000-000000000000", 30 * DAY);
    world.workspace(&id(1), 30 * DAY);
    let get = |name: &str| -> serde_json::Value {
        serde_json::from_str(&cluster.admin(&["-n", &namespace, "get", "wsh", name, "-o", "json"])).unwrap()
    };
    let mut later = minimal(&namespace, "later");
    later["spec"]["workspaces"]["guardOfTomorrow"] = "on".into();
    let mut odd = minimal(&namespace, "odd");
    odd["spec"]["suspend"] = "maybe".into();
    let create = |resource: &serde_json::Value| {
        // The new definition is in force some moments after it was accepted.
        let mut left = 100;
        while get_created(&cluster, resource).is_none() {
            left -= 1;
            assert!(left > 0, "{resource} is not accepted");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    };
    create(&odd);
    create(&later);
    let kubeconfig = cluster.kubeconfig("admin");
    let mut controller = Controller::start_for(&kubeconfig, &world, &namespace, &["--leader-elect", "false"]);
    world.spec_file();
    cluster.admin_with(&["apply", "-f", "-"], &world.spec());
    for (name, field) in [("later", "spec.workspaces.guardOfTomorrow"), ("odd", "spec.suspend")] {
        wait(name, &mut controller, || condition(&get(name)["status"], "Stalled")["status"] == "True");
        let stalled = condition(&get(name)["status"], "Stalled").clone();
        assert_eq!(stalled["reason"], "InvalidSpec");
        assert!(stalled["message"].as_str().unwrap().contains(field), "{stalled}");
        assert!(get(name)["status"].get("lastSweep").is_none(), "it was swept");
    }
    wait("the other", &mut controller, || condition(&get("test")["status"], "Ready")["status"] == "True");

    cluster.restart_api_server();
    let asked = "hygiene.dev/sweep-requested-at=back";
    cluster.admin(&["-n", &namespace, "annotate", "wsh", "test", asked]);
    wait("answer", &mut controller, || get("test")["status"]["lastHandledSweepRequest"] == "back");
    assert!(controller.says("the watch broke"), "{:#?}", controller.lines());
    assert_eq!(controller.stop().code(), Some(0));
}

#[test]
fn a_definition_that_is_removed_and_put_back_takes_its_objects_with_it_and_nothing_else() {
    let cluster = Cluster::start();
    cluster.install_definition();
    let namespace = cluster.namespace("removed");
    let mut world = in_namespace(World::new(), &namespace);
    world.part("mode", "Enforce");
    world.workspace("aaaaaaaa-0000-4000-8000-000000000000", 30 * DAY);
    world.workspace(&id(1), 30 * DAY);
    world.spec_file();
    let kubeconfig = cluster.kubeconfig("admin");
    let mut controller = Controller::start_for(&kubeconfig, &world, &namespace, &["--lease-duration", "3s"]);
    let get = || -> serde_json::Value {
        let got = cluster.kubectl().args(["-n", &namespace, "get", "wsh", "test", "-o", "json"]).output().unwrap();
        serde_json::from_slice(&got.stdout).unwrap_or_default()
    };
    let is_ready = || condition(&get()["status"], "Ready")["status"] == "True";
    cluster.admin_with(&["apply", "-f", "-"], &world.spec());
    wait("quarantining", &mut controller, || world.quarantined_trees().len() == 1 && is_ready());
    let uid = get()["metadata"]["uid"].clone();

    cluster.admin(&["delete", "crd", "workspacehygienes.hygiene.dev", "--timeout=30s"]);
    controller.wait("the broken watch", |controller| controller.says("the watch broke"));
    world.workspace(&id(2), 30 * DAY);
    // Three looks for what is needed again: it is not known any more whether anything is to be done.
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(world.root().join(id(2)).exists() && world.quarantined_trees().len() == 1);

    cluster.install_definition();
    cluster.admin_with(&["apply", "-f", "-"], &world.spec());
    wait("another one", &mut controller, || is_ready() && get()["metadata"]["uid"] != uid);
    wait("quarantining", &mut controller, || world.quarantined_trees().len() == 2);
    assert_eq!(controller.said("leading", "identity").len(), 1, "the lease has nothing to do with it");
    assert_eq!(controller.stop().code(), Some(0));
}

/// Creates it, unless the API server drops a field that it does not know yet.
fn get_created(cluster: &Cluster, resource: &serde_json::Value) -> Option<()> {
    let mut create = cluster.kubectl();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), resource.to_string()).unwrap();
    create.args(["create", "--validate=strict", "-f"]).arg(file.path()).output().unwrap().status.success().then_some(())
}
