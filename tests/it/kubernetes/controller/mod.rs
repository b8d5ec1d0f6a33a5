//! `hygiene controller` from outside: the built binary on a real API server, as a user who may do what the manifest allows and
//! nothing else.

mod answers;
mod faults;
mod fuzzed;
mod history;
mod large;
mod leases;
mod life;
mod pods;
mod process;
mod refusals;
mod requests;
mod rights;
mod secrets;
mod self_test;
mod trouble;
mod turns;
mod whole_life;

use std::sync::OnceLock;
use std::time::Duration;

pub use process::Controller;
use serde_json::Value;

use super::Cluster;
use crate::world::World;

/// The rights, as people apply them.
const RIGHTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kubernetes/rbac.yaml");
const USER: &str = "hygiene";
/// Longest time that a test waits for something that must come.
const LONGEST: Duration = Duration::from_secs(60);

/// The shared cluster, with the rights and the user of the controller.
fn cluster() -> &'static Cluster {
    static READY: OnceLock<&Cluster> = OnceLock::new();
    READY.get_or_init(|| {
        let cluster = Cluster::shared();
        cluster.admin(&["apply", "-f", RIGHTS]);
        cluster.user(USER, "");
        cluster
    })
}

/// A namespace in which the controller's user has its rights.
pub fn namespace(purpose: &str) -> String {
    let namespace = cluster().namespace(purpose);
    for role in ["hygiene-controller", "hygiene-secrets", "hygiene-lease"] {
        let role_option = format!("--clusterrole={role}");
        let user = format!("--user={USER}");
        cluster().admin(&["-n", &namespace, "create", "rolebinding", role, &role_option, &user]);
    }
    namespace
}

/// A world whose resource is in this namespace.
pub fn in_namespace(mut world: World, namespace: &str) -> World {
    world.name = Box::leak(format!("test, namespace: {namespace}").into_boxed_str());
    world.part("schedule", "{every: 1m}");
    world
}

pub fn apply(world: &World) {
    world.spec_file();
    cluster().admin_with(&["apply", "-f", "-"], &world.spec());
}

fn patch(namespace: &str, patch: &str) {
    cluster().admin(&["-n", namespace, "patch", "wsh", "test", "--type=merge", "-p", patch]);
}

pub fn annotate(namespace: &str, annotation: &str) {
    cluster().admin(&["-n", namespace, "annotate", "wsh", "test", "--overwrite", annotation]);
}

fn object(namespace: &str, name: &str) -> Value {
    serde_json::from_str(&cluster().admin(&["-n", namespace, "get", "wsh", name, "-o", "json"])).unwrap()
}

pub fn status(namespace: &str) -> Value {
    let status = object(namespace, "test")["status"].clone();
    assert!(status.to_string().len() <= 8 * 1024, "{status}");
    status
}

fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
    let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().find(|one| one["type"] == kind).unwrap_or(&Value::Null)
}

/// Waits until what is in quarantine now may be purged.
fn wait_for_retention(namespace: &str, controller: &mut Controller) {
    let due = || status(namespace)["quarantine"]["nextPurgeTime"].as_str().map(str::to_owned);
    wait("when it may be purged", controller, || due().is_some());
    // Times in a status are cut to whole seconds.
    let due = due().unwrap().parse::<jiff::Timestamp>().unwrap() + jiff::SignedDuration::from_secs(1);
    wait("the end of its retention", controller, || jiff::Timestamp::now() > due);
}

/// The reasons of the events about the resources of a namespace.
fn events(namespace: &str) -> Vec<(String, String)> {
    let listed = cluster().admin(&["-n", namespace, "get", "events.events.k8s.io", "-o", "json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    listed["items"].as_array().unwrap().iter().map(|event| (text(&event["reason"]), text(&event["note"]))).collect()
}

/// Waits until something is so.
#[track_caller]
pub fn wait(what: &str, controller: &mut Controller, is_so: impl Fn() -> bool) {
    controller.wait(what, |_| is_so());
}
