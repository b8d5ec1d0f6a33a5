//! What the chart gives for Jobs: rights, and who reaches their pods.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::objects::{as_list, cluster, name, namespace, rights};
use super::{CHART, PROJECT, documents, examples_of_values, of_kind, rendered, rendered_with, the};

const NAME: &str = "test-workspace-hygiene";

fn roles(objects: &[Value]) -> Vec<&Value> {
    [of_kind(objects, "Role"), of_kind(objects, "ClusterRole")].concat()
}

/// What the chart makes of one of its examples of values, and further settings.
fn rendered_of(file: &str, settings: &[&str]) -> Vec<Value> {
    let file = Path::new(CHART).join("ci").join(file).display().to_string();
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    rendered(&["--values", &file].into_iter().chain(settings).collect::<Vec<_>>())
}

#[test]
fn without_volumes_of_its_own_nobody_reads_secrets() {
    let ours = rendered(&[]);
    let all = rendered(&["--set", "watchAllNamespaces=true"]);
    let two = rendered(&["--set", "watchNamespaces={team-a,team-b}"]);
    for objects in [&ours, &all, &two] {
        assert!(roles(objects).len() > 5, "{objects:#?}");
        for right in rights(roles(objects)) {
            assert!(!right.contains("secrets") && !right.contains('*'), "{right}");
            // The spec of a Job is in one.
            assert!(!right.contains("configmaps") || !right.contains("update"), "{right}");
        }
        let ends = [of_kind(objects, "RoleBinding"), of_kind(objects, "ClusterRoleBinding")].concat();
        assert!(ends.iter().all(|one| !name(one).ends_with("-secrets")));
    }
    // Here somebody does.
    let some = rights(roles(&rendered_of("minimal-values.yaml", &[])));
    assert!(some.contains("get /secrets"), "{some:?}");
}

#[test]
fn of_roles_it_may_bind_one_and_that_one_is_there() {
    let mut bound = 0;
    for values in examples_of_values() {
        let objects = rendered_with(&values);
        for role in roles(&objects) {
            for rule in role["rules"].as_array().unwrap() {
                let words = rule["verbs"].to_string();
                assert!(!["escalate", "impersonate", "*"].iter().any(|word| words.contains(word)), "{rule}");
                if words.contains("bind") {
                    bound += 1;
                    assert_eq!((&rule["verbs"], &rule["resources"]), (&json!(["bind"]), &json!(["clusterroles"])));
                    let [one] = &rule["resourceNames"].as_array().unwrap()[..] else { panic!("{rule}") };
                    let reader =
                        of_kind(&objects, "ClusterRole").into_iter().find(|role| role["metadata"]["name"] == *one);
                    assert!(
                        rights(reader).iter().all(|right| right.starts_with("list ") || right.starts_with("watch "))
                    );
                    let args =
                        the(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["args"].to_string();
                    assert!(args.contains(&format!("--job-reader-role={}", one.as_str().unwrap())), "{args}");
                }
            }
        }
    }
    assert!(bound >= 4, "{bound}");
}

#[test]
fn where_no_jobs_are_wanted_nothing_is_given_for_them() {
    let objects = rendered_of("full-values.yaml", &["jobs.enabled=false"]);
    let ends = ["-jobs", "-sweeper", "-lease-reader"];
    assert!(objects.iter().all(|one| !ends.iter().any(|end| name(one).ends_with(end))), "{objects:#?}");
    let rights = rights(roles(&objects));
    assert!(rights.iter().all(|right| !right.contains("batch/") && !right.contains("rbac")), "{rights:?}");
    let container = &the(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    let said = format!("{}{}", container["args"], container["env"]);
    assert!(!said.contains("-job") && !said.contains("HYGIENE_IMAGE"), "{said}");
    let egress = &the(&objects, "NetworkPolicy")["spec"]["egress"];
    assert_eq!(egress.as_array().unwrap().len(), 1, "{egress}");
}

/// Makes the roles and bindings of a release in the shared cluster.
fn install(objects: &[Value]) {
    let kinds = ["Role", "RoleBinding", "ClusterRole", "ServiceAccount"];
    let kept: Vec<_> = objects.iter().filter(|one| kinds.contains(&one["kind"].as_str().unwrap())).cloned().collect();
    cluster().admin_with(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &as_list(&kept));
}

fn binding(namespace: &str, name: &str, (kind, role): (&str, &str)) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "hygiene-sweeper.collab", "namespace": namespace}],
    })
}

/// A Role with one rule.
fn role(namespace: &str, name: &str, (group, resource, verb): (&str, &str, &str)) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": name, "namespace": namespace},
        "rules": [{"apiGroups": [group], "resources": [resource], "resourceNames": ["collab"], "verbs": [verb]}],
    })
}

/// What an API server says to it as the controller of the release `only-jobs`, where it says no.
fn refusal(object: &Value) -> Option<String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), object.to_string()).unwrap();
    let mut apply = cluster().kubectl();
    apply.args(["apply", "--server-side", "--as", "system:serviceaccount:hygiene:only-jobs", "-f"]).arg(file.path());
    let ran = apply.output().unwrap();
    (!ran.status.success()).then(|| String::from_utf8_lossy(&ran.stderr).into_owned())
}

#[test]
fn an_api_server_lets_it_make_what_jobs_need_and_nobody_more_powerful_than_itself() {
    // One that mounts volumes itself reads Secrets, and could let others read them.
    install(&rendered_of("namespaces-values.yaml", &["volumes=null", "fullnameOverride=only-jobs"]));
    let reader = "hygiene-only-jobs-sweeper";
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "hygiene-sweeper.collab", "namespace": "team-a"},
    });
    let own = role("team-a", "hygiene-sweeper.collab", ("hygiene.dev", "workspacehygienes", "get"));
    for object in [
        account,
        own,
        binding("team-a", "hygiene-sweeper.collab", ("Role", "hygiene-sweeper.collab")),
        binding("team-a", "hygiene-sweeper.collab:reader", ("ClusterRole", reader)),
    ] {
        assert_eq!(refusal(&object), None, "{object:#}");
        // The second time it is changed, not created.
        assert_eq!(refusal(&object), None, "{object:#}");
    }

    let secrets = role("team-a", "powerful", ("", "secrets", "get"));
    cluster().admin_with(&["apply", "-f", "-"], &secrets.to_string());
    for object in [
        role("team-a", "mine", ("", "secrets", "get")),
        role("team-a", "hygiene-sweeper.collab", ("", "pods", "delete")),
        binding("team-a", "mine", ("ClusterRole", "cluster-admin")),
        binding("team-a", "mine", ("ClusterRole", "admin")),
        binding("team-a", "mine", ("Role", "powerful")),
        binding("restricted", "mine", ("ClusterRole", reader)),
    ] {
        let said = refusal(&object).unwrap_or_else(|| panic!("it may: {object:#}"));
        assert!(said.contains("forbidden"), "{said}");
    }
}

#[test]
fn the_pods_of_watched_namespaces_read_the_lease_and_no_others_do() {
    for (values, others) in [("namespaces-values.yaml", false), ("cluster-wide-values.yaml", true)] {
        install(&rendered_of(values, &[]));
        let may = |namespace: &str, what: &str, verb: &str| {
            let (user, group) =
                (format!("system:serviceaccount:{namespace}:any"), format!("system:serviceaccounts:{namespace}"));
            let mut ask = cluster().kubectl();
            ask.args(["-n", "hygiene", "auth", "can-i", verb, what, "--as", &user]);
            ask.args(["--as-group", &group, "--as-group", "system:serviceaccounts"]);
            ask.output().unwrap().status.success()
        };
        let lease = format!("leases.coordination.k8s.io/{NAME}");
        assert!(may("team-a", &lease, "get") && may("team-b", &lease, "get"), "{values}");
        assert_eq!(may("restricted", &lease, "get"), others, "{values}");
        assert!(
            !may("team-a", &lease, "update") && !may("team-a", "leases.coordination.k8s.io/other", "get"),
            "{values}"
        );
    }
}

#[test]
fn the_controller_reaches_the_pods_of_jobs_and_nobody_else_does() {
    let objects = rendered_of("full-values.yaml", &[]);
    let pods =
        json!({"app.kubernetes.io/name": "workspace-hygiene-sweeper", "app.kubernetes.io/managed-by": "hygiene"});
    let controller = &the(&objects, "Deployment")["spec"]["selector"];
    let of_pods: Vec<_> =
        of_kind(&objects, "NetworkPolicy").into_iter().filter(|one| name(one).ends_with("-sweeper")).collect();
    assert_eq!(of_pods.iter().map(|one| namespace(one)).collect::<Vec<_>>(), ["hygiene", "team-a"]);
    for policy in of_pods {
        let spec = &policy["spec"];
        assert_eq!((&spec["podSelector"]["matchLabels"], &spec["policyTypes"]), (&pods, &json!(["Ingress"])));
        let from = json!([{
            "podSelector": controller,
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "hygiene"}},
        }]);
        assert_eq!(spec["ingress"], json!([{"ports": [{"port": 8080}], "from": from}]));
    }
    let egress = |objects: &[Value]| {
        let policies = of_kind(objects, "NetworkPolicy");
        let own = policies.iter().find(|one| !name(one).ends_with("-sweeper")).unwrap();
        own["spec"]["egress"].as_array().unwrap().last().unwrap().clone()
    };
    let to = |namespaces: Value| json!({"ports": [{"port": 8080}], "to": [{"podSelector": {"matchLabels": pods}, "namespaceSelector": namespaces}]});
    let named = json!({"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["hygiene", "team-a"]}]});
    assert_eq!(egress(&objects), to(named));

    let all = rendered_of("full-values.yaml", &["watchAllNamespaces=true", "watchNamespaces=null"]);
    assert_eq!(egress(&all), to(json!({})));
    assert_eq!(of_kind(&all, "NetworkPolicy").len(), 1, "which namespaces there are the chart cannot know");
}

#[test]
fn whoever_changes_the_image_of_the_plain_manifests_changes_that_of_jobs_as_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let plain = format!("{PROJECT}/deploy/kubernetes");
    let copied =
        std::process::Command::new("cp").args(["-r", &plain]).arg(folder.path().join("base")).status().unwrap();
    assert!(copied.success());
    let text = fs::read_to_string(format!("{plain}/kustomization.yaml")).unwrap();
    let told: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix("#   ")).filter(|line| !line.starts_with("kubectl")).collect();
    let told = told.join("\n").replace("newName: …, newTag: …", "newName: registry.local/hygiene, newTag: \"9\"");
    fs::write(folder.path().join("kustomization.yaml"), format!("resources: [base]\n{told}\n")).unwrap();
    let objects = documents(&cluster().admin(&["kustomize", folder.path().to_str().unwrap()]));
    let container = &the(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "registry.local/hygiene:9");
    let image = container["env"].as_array().unwrap().iter().find(|one| one["name"] == "HYGIENE_IMAGE").unwrap();
    assert_eq!(image["value"], "registry.local/hygiene:9");
}
