//! Whatever an object says, as far as a definition without rules lets it.

use kube::Api;
use kube::api::{ApiResource, DynamicObject, PostParams};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use workspace_hygiene::api::WorkspaceHygiene;

use super::super::Cluster;
use super::super::schema::{definition, minimal};
use super::process::Controller;
use super::{RIGHTS, USER, condition, in_namespace, wait};
use crate::spec::anything::{odd_value, pointers, whole};
use crate::world::{DAY, World, id};

const OBJECTS: usize = 240;

/// The committed definition, without anything that is asked of a spec.
fn without_rules() -> Value {
    let mut definition = definition().clone();
    let schema = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    schema.as_object_mut().unwrap().remove("x-kubernetes-validations");
    schema["properties"]["spec"] = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    definition
}

/// An object in which something odd stands in one to three places of the spec, or beside it.
fn odd(runner: &mut TestRunner, namespace: &str, number: usize, world: &World) -> Value {
    let mut drawn = |strategy: BoxedStrategy<Value>| strategy.new_tree(runner).unwrap().current();
    let mut object = match number % 2 {
        0 => whole(),
        _ => minimal(namespace, ""),
    };
    object["metadata"] = json!({ "namespace": namespace, "name": format!("odd-{number}") });
    object["spec"]["volume"] = json!({ "path": world.path(&format!("volume-{number}")) });
    object["spec"]["sessions"]["sqlite"] = json!({ "path": world.path("sessions.db") });
    for _ in 0..=number % 3 {
        let mut places = Vec::new();
        pointers("", &object["spec"], &mut places);
        let place = drawn((1..places.len()).prop_map(Value::from).boxed()).as_u64().unwrap();
        *object["spec"].pointer_mut(&places[place as usize]).unwrap() = drawn(odd_value().boxed());
    }
    let text = drawn("\\PC{0,80}".prop_map(Value::from).boxed());
    let annotation = ["approve-plan", "dismiss-plan", "sweep-requested-at", "of-tomorrow"][number % 4];
    object["metadata"]["annotations"] = json!({ format!("hygiene.dev/{annotation}"): text });
    object
}

fn kind() -> ApiResource {
    ApiResource::erase::<WorkspaceHygiene>(&())
}

#[test]
fn whatever_an_object_says_it_gets_a_condition_and_hides_no_other() {
    let cluster = Cluster::start();
    cluster.install_definition();
    let replaced = cluster.admin_with(&["replace", "-f", "-"], &without_rules().to_string());
    assert!(replaced.contains("replaced"), "{replaced}");
    // As people let it watch everything: with the rights of all namespaces, and secrets of one.
    let (one, other) = (cluster.namespace("one"), cluster.namespace("other"));
    cluster.admin(&["apply", "-f", RIGHTS]);
    let kubeconfig = cluster.user(USER, "");
    let user = format!("--user={USER}");
    cluster.admin(&["create", "clusterrolebinding", "all", "--clusterrole=hygiene-controller", &user]);
    for role in ["hygiene-secrets", "hygiene-lease"] {
        cluster.admin(&["-n", &one, "create", "rolebinding", role, &format!("--clusterrole={role}"), &user]);
    }
    let mut world = in_namespace(World::new(), &other);
    world.part("mode", "Report");
    world.workspace("aaaaaaaa-0000-4000-8000-000000000000", 30 * DAY);
    world.workspace(&id(1), 30 * DAY);
    world.spec_file();

    let mut runner = TestRunner::deterministic();
    let access = cluster.access();
    let create = |object: Value| {
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let namespace = object.metadata.namespace.clone().unwrap();
        let api: Api<DynamicObject> = Api::namespaced_with(access.client.clone(), &namespace, &kind());
        access.run(api.create(&PostParams::default(), &object))
    };
    let mut accepted = 0;
    for number in 0..OBJECTS {
        // The first are there before it is, the others come while it works.
        let namespace = if number % 3 == 0 { &other } else { &one };
        match create(odd(&mut runner, namespace, number, &world)) {
            Ok(_) => accepted += 1,
            // A spec that is no object.
            Err(kube::Error::Api(status)) if status.code == 422 => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(accepted > OBJECTS / 2, "{accepted}");
    let mut controller = Controller::start_in(&kubeconfig, &world, &[&one, &other], &["--all-namespaces"]);
    cluster.admin_with(&["apply", "-f", "-"], &world.spec());
    let get = |name: &str| -> Value {
        serde_json::from_str(&cluster.admin(&["-n", &other, "get", "wsh", name, "-o", "json"])).unwrap()
    };
    wait("the one in order", &mut controller, || condition(&get("test")["status"], "Ready")["status"] == "True");

    let all: Api<DynamicObject> = Api::all_with(access.client.clone(), &kind());
    let without = || {
        let all = access.run(all.list(&Default::default())).unwrap().items;
        assert_eq!(all.len(), accepted + 1);
        let mut without = all.iter().filter(|object| {
            let status = &object.data["status"];
            status["observedGeneration"] != json!(object.metadata.generation) || condition(status, "Ready").is_null()
        });
        without.next().map(|object| serde_json::to_string(object).unwrap())
    };
    wait("a condition of each", &mut controller, || without().is_none());
    assert_eq!(controller.stop().code(), Some(0));
}
