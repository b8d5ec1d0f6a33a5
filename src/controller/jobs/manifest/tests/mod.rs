//! What is made, as an API server is sent it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

mod pods;

/// As long as a resource's name may be.
const LONGEST: &str = "collab-workspaces-of-the-production-team";

fn operator() -> Operator {
    Operator {
        image: "registry.example.com/hygiene:1".into(),
        pull_policy: "IfNotPresent".into(),
        cluster: "prod".into(),
        lease: Some(("hygiene-system".into(), "hygiene".into())),
        short_times: false,
        log_level: None,
        reader: "hygiene-sweeper".into(),
        listen_port: 8080,
    }
}

fn object() -> Value {
    let key = |name: &str, key: &str| json!({"name": name, "key": key});
    let sessions = json!({
        "postgres": {
            "url": {"secretKeyRef": key("collab-db", "url")},
            "tls": {"ca": {"configMapKeyRef": key("rds-ca", "ca.pem")}},
        },
        "liveQuery": "select id from session",
    });
    json!({
        "apiVersion": "hygiene.dev/v1alpha1", "kind": "WorkspaceHygiene",
        "metadata": {"name": LONGEST, "namespace": "team", "uid": "0a1b", "generation": 7, "resourceVersion": "99"},
        "spec": {
            "mode": "Enforce",
            "volume": {"persistentVolumeClaim": {"claimName": "collab-efs", "subPath": "workspaces"}},
            "workspaces": {"pattern": "^(?<session>[0-9a-f-]{36})$"},
            "sessions": sessions,
        },
    })
}

fn resource(change: impl FnOnce(&mut Value)) -> WorkspaceHygiene {
    let mut object = object();
    change(&mut object);
    serde_json::from_value(object).unwrap()
}

/// A Job of the resource, as the API server is sent it.
fn made(resource: &WorkspaceHygiene, work: Work<'_>) -> Value {
    json!(job(&Recipe { resource, operator: &operator() }, &work, "0123abcd"))
}

fn pod_of(job: &Value) -> &Value {
    &job["spec"]["template"]["spec"]
}

fn container_of(job: &Value) -> &Value {
    &pod_of(job)["containers"][0]
}

/// A Job for a template of pods.
fn with_template(template: Value) -> Value {
    made(&resource(|object| object["spec"]["job"] = json!({"template": template})), Work::Sweep)
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect()
}

/// Everything that can be made for a resource.
fn everything(resource: &WorkspaceHygiene) -> Vec<Value> {
    let operator = operator();
    let recipe = Recipe { resource, operator: &operator };
    let command = ["quarantine".to_owned(), "list".to_owned()];
    let mut all = vec![json!(config_map(&recipe)), json!(role(&recipe))];
    all.extend(service_account(&recipe).map(|account| json!(account)));
    all.extend(role_bindings(&recipe).iter().map(|binding| json!(binding)));
    let works = [Work::Sweep, Work::Purge { shards: 64 }, Work::Command(&command)];
    all.extend(works.iter().map(|work| json!(job(&recipe, work, "0123abcd"))));
    all
}

#[test]
fn all_of_it_belongs_to_the_resource_and_says_so() {
    let resource = resource(|_| ());
    let all = everything(&resource);
    let kinds: Vec<_> = all.iter().map(|one| one["kind"].as_str().unwrap()).collect();
    let expected = ["ConfigMap", "Role", "ServiceAccount", "RoleBinding", "RoleBinding", "Job", "Job", "Job"];
    assert_eq!(kinds, expected);
    let owner = json!([{
        "apiVersion": "hygiene.dev/v1alpha1", "kind": "WorkspaceHygiene", "name": LONGEST, "uid": "0a1b",
        "controller": true, "blockOwnerDeletion": false,
    }]);
    for one in &all {
        let metadata = &one["metadata"];
        assert_eq!((&metadata["ownerReferences"], &metadata["namespace"]), (&owner, &json!("team")), "{one}");
        assert_eq!(metadata["annotations"], json!({"hygiene.dev/generation": "7"}));
        let mut labels = metadata["labels"].clone();
        let work = labels.as_object_mut().unwrap().remove("hygiene.dev/work");
        assert_eq!(work.is_some(), one["kind"] == "Job");
        let expected = json!({
            "app.kubernetes.io/name": "workspace-hygiene-sweeper", "app.kubernetes.io/managed-by": "hygiene",
            "hygiene.dev/resource": LONGEST,
        });
        assert_eq!(labels, expected);
    }
    let works: Vec<_> = all[5..].iter().map(|job| &job["metadata"]["labels"]["hygiene.dev/work"]).collect();
    assert_eq!(works, ["sweep", "purge", "command"]);
    for job in &all[5..] {
        let of_pods = &job["spec"]["template"]["metadata"];
        assert_eq!(of_pods["labels"], job["metadata"]["labels"]);
        assert_eq!(of_pods["annotations"], job["metadata"]["annotations"]);
    }
}

#[test]
fn the_longest_name_and_one_with_dots_leave_room_for_what_kubernetes_adds() {
    let is_host = |name: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        name.len() <= 63 && name.chars().all(inner) && !name.ends_with('-')
    };
    for name in [LONGEST, "a.b"] {
        let resource = resource(|object| object["metadata"]["name"] = name.into());
        for one in everything(&resource) {
            let made = one["metadata"]["name"].as_str().unwrap();
            assert!(made.len() <= 63, "{made}");
            if one["kind"] == "Job" {
                // Of an Indexed Job the last index as well: the API server refuses it otherwise.
                assert!(is_host(&format!("{made}-63")), "{made}");
            }
        }
    }
}

#[test]
fn no_two_resources_share_a_name() {
    let names = ["x", "x-reader", "x-0123abcd", "x-0123abcd-p", "x-p", "reader-x", "hygiene-x"];
    let mut seen = BTreeSet::new();
    for name in names {
        let resource = resource(|object| object["metadata"]["name"] = name.into());
        for one in everything(&resource) {
            let (kind, name) = (one["kind"].to_string(), one["metadata"]["name"].to_string());
            assert!(seen.insert((kind.clone(), name.clone())), "{kind} {name} twice");
        }
    }
}

#[test]
fn the_same_gives_the_same_and_a_change_gives_something_else() {
    let (one, same) = (resource(|_| ()), resource(|object| object["metadata"]["resourceVersion"] = "100".into()));
    assert_eq!(everything(&one), everything(&same));
    let other = resource(|object| object["spec"]["suspend"] = true.into());
    let name = |resource: &WorkspaceHygiene| everything(resource)[0]["metadata"]["name"].clone();
    assert_ne!(name(&one), name(&other));
    let at = |seconds| jiff::Timestamp::from_second(seconds).unwrap();
    let marked = mark("0a1b", 7, at(1_700_000_000));
    assert_eq!(marked, mark("0a1b", 7, at(1_700_000_000)));
    assert!(marked.len() == 8 && marked.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let others =
        [mark("0a1c", 7, at(1_700_000_000)), mark("0a1b", 8, at(1_700_000_000)), mark("0a1b", 7, at(1_700_000_001))];
    assert!(!others.contains(&marked));
}

#[test]
fn the_spec_is_there_whole_and_is_what_was_judged() {
    let resource = resource(|_| ());
    let map = &everything(&resource)[0];
    assert_eq!(map["immutable"], true);
    let content: Value = serde_json::from_str(map["data"]["resource.json"].as_str().unwrap()).unwrap();
    assert_eq!(content["metadata"], json!({"name": LONGEST, "namespace": "team"}));
    assert_eq!(content["spec"], json!(resource.spec));
    assert_eq!(content.as_object().unwrap().len(), 4);
    let job = made(&resource, Work::Sweep);
    let spec = &pod_of(&job)["volumes"][1]["configMap"];
    assert_eq!((&spec["name"], &spec["optional"]), (&map["metadata"]["name"], &json!(false)));
}

#[test]
fn the_pods_may_look_at_their_own_resource_and_read_what_the_operator_says() {
    let resource = resource(|_| ());
    let all = everything(&resource);
    let own = format!("hygiene-sweeper.{LONGEST}");
    let rules = json!([{
        "apiGroups": ["hygiene.dev"], "resources": ["workspacehygienes"], "resourceNames": [LONGEST], "verbs": ["get"],
    }]);
    assert_eq!((&all[1]["metadata"]["name"], &all[1]["rules"]), (&json!(own), &rules));
    let bound = |binding: &Value| (binding["roleRef"]["kind"].clone(), binding["roleRef"]["name"].clone());
    assert_eq!(bound(&all[3]), (json!("Role"), json!(own)));
    assert_eq!(bound(&all[4]), (json!("ClusterRole"), json!("hygiene-sweeper")));
    for binding in &all[3..5] {
        let subjects = json!([{"kind": "ServiceAccount", "name": own, "namespace": "team"}]);
        assert_eq!(binding["subjects"], subjects);
    }
    assert_eq!(pod_of(&all[5])["serviceAccountName"], json!(own));
    assert_eq!(pod_of(&all[5])["automountServiceAccountToken"], true);
}

#[test]
fn an_account_that_the_spec_names_is_bound_and_not_made() {
    let resource = resource(|object| object["spec"]["job"] = json!({"serviceAccountName": "irsa"}));
    let all = everything(&resource);
    assert!(all.iter().all(|one| one["kind"] != "ServiceAccount"));
    let bindings: Vec<_> = all.iter().filter(|one| one["kind"] == "RoleBinding").collect();
    assert!(bindings.len() == 2 && bindings.iter().all(|one| one["subjects"][0]["name"] == "irsa"));
    assert_eq!(pod_of(&made(&resource, Work::Sweep))["serviceAccountName"], "irsa");
}
