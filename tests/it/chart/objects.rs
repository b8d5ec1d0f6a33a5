//! What the chart makes, as a real API server and the program take it.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::{CHART, PROJECT, documents, examples_of_values, of_kind, rendered, rendered_with, the};
use crate::kubernetes::Cluster;
use crate::servers::process::output;

/// The shared cluster, with the namespaces and the kinds that the examples of values are about.
pub(super) fn cluster() -> &'static Cluster {
    static READY: OnceLock<&Cluster> = OnceLock::new();
    READY.get_or_init(|| {
        let cluster = Cluster::shared();
        for namespace in ["hygiene", "team-a", "team-b"] {
            cluster.admin(&["create", "namespace", namespace]);
        }
        let enforced = "pod-security.kubernetes.io/enforce=restricted";
        cluster.admin(&["create", "namespace", "restricted"]);
        cluster.admin(&["label", "namespace", "restricted", enforced]);
        // Pods need it, and it comes some time after its namespace.
        crate::servers::process::wait_for("the ServiceAccount", || {
            let mut get = cluster.kubectl();
            get.args(["-n", "restricted", "get", "serviceaccount", "default"]).output().unwrap().status.success()
        });
        let kinds = format!("{PROJECT}/tests/kubernetes/monitoring");
        cluster.admin(&["apply", "--server-side", "-f", &kinds]);
        cluster.admin(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]);
        cluster
    })
}

pub(super) fn as_list(objects: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string()
}

/// What the API server makes of objects, every field of which it has to know.
fn tried(objects: &[Value]) -> String {
    // Pods are refused whose ServiceAccount is not there.
    let accounts: Vec<_> = of_kind(objects, "ServiceAccount").into_iter().cloned().collect();
    if !accounts.is_empty() {
        cluster().admin_with(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &as_list(&accounts));
    }
    let apply = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-"];
    cluster().admin_with(&apply, &as_list(objects))
}

#[test]
fn an_api_server_knows_every_field_of_every_object() {
    for values in examples_of_values() {
        let objects = rendered_with(&values);
        let said = tried(&objects);
        assert_eq!(said.lines().count(), objects.len(), "{said}");
    }
}

#[test]
fn a_field_that_it_does_not_know_would_be_told() {
    let mut objects = rendered(&[]);
    let deployment = objects.iter_mut().find(|one| one["kind"] == "Deployment").unwrap();
    deployment["spec"]["template"]["spec"]["containers"][0]["memory"] = json!("1Gi");
    let mut apply = cluster().kubectl();
    apply.args(["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"]);
    apply.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = apply.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), as_list(&objects).as_bytes()).unwrap();
    let ran = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(!ran.status.success() && said.contains("memory"), "{said}");
}

#[test]
fn its_pods_are_restricted_unless_they_run_as_root() {
    for values in examples_of_values() {
        let objects = rendered_with(&values);
        let template = &the(&objects, "Deployment")["spec"]["template"];
        let tests = of_kind(&objects, "Pod");
        let specs = [&template["spec"]].into_iter().chain(tests.iter().map(|pod| &pod["spec"]));
        for (n, spec) in specs.enumerate() {
            let mut spec = spec.clone();
            spec["serviceAccountName"] = json!("default");
            let pod = json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one", "namespace": "restricted"}, "spec": spec,
            });
            let mut create = cluster().kubectl();
            create.args(["create", "--dry-run=server", "-f", "-"]);
            let as_root = n == 0 && values.ends_with("full-values.yaml");
            if as_root {
                assert_eq!(spec["securityContext"]["runAsNonRoot"], false);
            } else {
                output(&mut create, &pod.to_string());
            }
            for container in spec["containers"].as_array().unwrap() {
                assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{container:#}");
                assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]), "{container:#}");
            }
            assert!(spec["securityContext"].get("fsGroup").is_none());
        }
    }
}

/// Rules as a set of verb, group and resource; one that names objects says so.
pub(super) fn rights<'a>(roles: impl IntoIterator<Item = &'a Value>) -> BTreeSet<String> {
    let words = |rule: &Value, field: &str| -> Vec<String> {
        rule[field].as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = BTreeSet::new();
    for rule in roles.into_iter().flat_map(|role| role["rules"].as_array().unwrap()) {
        let by_name = rule.get("resourceNames").map_or("", |_| " by name");
        for group in words(rule, "apiGroups") {
            for resource in words(rule, "resources") {
                rights.extend(words(rule, "verbs").iter().map(|verb| format!("{verb} {group}/{resource}{by_name}")));
            }
        }
    }
    rights
}

pub(super) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

pub(super) fn namespace(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or_default()
}

#[test]
fn the_controllers_rights_are_those_that_it_is_tested_with() {
    let tested = documents(&fs::read_to_string(format!("{PROJECT}/deploy/kubernetes/rbac.yaml")).unwrap());
    let of = |objects: &[Value], kind: &str, end: &str| {
        let fitting: Vec<_> =
            of_kind(objects, kind).into_iter().filter(|one| name(one).ends_with(end)).cloned().collect();
        assert!(!fitting.is_empty(), "{kind} {end}");
        // Each namespace has the same.
        let all: BTreeSet<_> = fitting.iter().map(|role| rights([role])).collect();
        assert_eq!(all.len(), 1, "{all:?}");
        all.into_iter().next().unwrap()
    };
    let of_file = |file: &str| rendered_with(&std::path::Path::new(CHART).join("ci").join(file));
    let (few, all) = (of_file("namespaces-values.yaml"), of_file("cluster-wide-values.yaml"));
    for end in ["-controller", "-secrets", "-lease", "-jobs", "-lease-reader", "-sweeper"] {
        // What Jobs' pods see is bound by name, and has one name in all namespaces.
        let kind = if end == "-sweeper" { "ClusterRole" } else { "Role" };
        assert_eq!(of(&few, kind, end), of(&tested, "ClusterRole", end), "{end}");
        let kind = if ["-controller", "-jobs", "-sweeper"].contains(&end) { "ClusterRole" } else { "Role" };
        assert_eq!(of(&all, kind, end), of(&tested, "ClusterRole", end), "{end}");
    }

    // Where they are: Secrets are read in the namespaces of volumes, and nowhere else.
    let places = |objects: &[Value], end: &str| -> Vec<String> {
        let bindings = of_kind(objects, "RoleBinding").into_iter().filter(|one| name(one).ends_with(end));
        bindings.map(|one| namespace(one).to_owned()).collect()
    };
    assert_eq!(places(&few, "-controller"), ["team-a", "team-b"]);
    assert_eq!(places(&few, "-secrets"), ["team-a", "team-b"]);
    assert_eq!(places(&few, "-lease"), ["hygiene"]);
    assert_eq!(places(&few, "-jobs"), ["team-a", "team-b"]);
    assert_eq!(places(&few, "-lease-reader"), ["hygiene"]);
    assert_eq!(places(&all, "-controller"), [""; 0]);
    assert_eq!(places(&all, "-jobs"), [""; 0]);
    assert_eq!(places(&all, "-secrets"), ["team-a", "team-b"]);
    let bound: Vec<_> =
        of_kind(&all, "ClusterRoleBinding").into_iter().map(|one| one["roleRef"]["name"].clone()).collect();
    assert_eq!(bound, ["hygiene-test-workspace-hygiene-controller", "hygiene-test-workspace-hygiene-jobs"]);
    let none = of_file("bare-values.yaml");
    for kind in ["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "ServiceAccount"] {
        assert!(of_kind(&none, kind).is_empty(), "{kind}");
    }
}

#[test]
fn people_who_may_view_see_resources_and_admins_may_change_them() {
    let objects = rendered(&[]);
    let labelled = |label: &str| -> Vec<&Value> {
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{label}");
        of_kind(&objects, "ClusterRole").into_iter().filter(|one| one["metadata"]["labels"][&label] == "true").collect()
    };
    assert!(rights(labelled("view")).iter().all(|right| !right.starts_with("patch") && !right.starts_with("create")));
    assert!(rights(labelled("admin")).contains("patch hygiene.dev/workspacehygienes"));
    assert!(labelled("edit").is_empty(), "whoever may patch a resource may approve its plans");

    cluster().admin_with(
        &["apply", "-f", "-"],
        &as_list(&of_kind(&objects, "ClusterRole").into_iter().cloned().collect::<Vec<_>>()),
    );
    for (role, may, may_not) in [("view", "get", "patch"), ("edit", "get", "patch"), ("admin", "patch", "nothing")] {
        let user = format!("somebody-with-{role}");
        let (clusterrole, option) = (format!("--clusterrole={role}"), format!("--user={user}"));
        cluster().admin(&["-n", "team-a", "create", "rolebinding", &user, &clusterrole, &option]);
        let can = |verb: &str| {
            let mut ask = cluster().kubectl();
            ask.args(["-n", "team-a", "auth", "can-i", verb, "workspacehygienes.hygiene.dev", "--as", &user]);
            ask.output().unwrap().status.success()
        };
        // The aggregation is the controller manager's work.
        crate::servers::process::wait_for("the aggregation", || can(may));
        assert!(!can(may_not), "{role} may {may_not}");
    }
}

#[test]
fn the_program_takes_the_arguments_that_the_pods_give_it() {
    for values in examples_of_values() {
        let objects = rendered_with(&values);
        let container = &the(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
        let mut program = Command::new(env!("CARGO_BIN_EXE_hygiene"));
        program.env_clear().env("KUBECONFIG", "/nowhere").stdin(Stdio::null());
        program.args(container["args"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()));
        for variable in container["env"].as_array().unwrap() {
            program.env(variable["name"].as_str().unwrap(), variable["value"].as_str().unwrap());
        }
        let ran = program.output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        // Bad usage would be 2; here it is only the API server that is missing.
        assert_eq!(ran.status.code(), Some(1), "{said}");
        assert!(said.contains("API server is not known"), "{said}");
    }
}

#[test]
fn the_plain_manifests_are_a_kustomization_that_an_api_server_takes() {
    let folder = format!("{PROJECT}/deploy/kubernetes");
    let built = cluster().admin(&["kustomize", &folder]);
    let objects = documents(&built);
    the(&objects, "CustomResourceDefinition");
    the(&objects, "Deployment");
    assert!(!built.contains("Helm") && !built.contains("helm.sh"), "{built}");
    tried(&objects);
}
