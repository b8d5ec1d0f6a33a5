//! The rights of the manifest: each of them is needed.

use serde_json::{Value, json};

use super::process::Controller;
use super::{annotate, cluster, in_namespace, object};
use crate::world::{DAY, World, id};

const ROLES: [&str; 3] = ["hygiene-controller", "hygiene-secrets", "hygiene-lease"];
const LESS: &str = "hygiene-less";
/// Controllers at once.
const CROWD: usize = 4;

/// The rules of the manifest's roles.
fn rules() -> Vec<Value> {
    let rules = ROLES.iter().flat_map(|role| {
        let role: Value = serde_json::from_str(&cluster().admin(&["get", "clusterrole", role, "-o", "json"])).unwrap();
        role["rules"].as_array().unwrap().clone()
    });
    rules.collect()
}

/// What is left of the rules without one verb for one resource; each as the resource and the verb.
fn each_missing() -> Vec<(String, Vec<Value>)> {
    let rules = rules();
    let mut all = Vec::new();
    for (place, rule) in rules.iter().enumerate() {
        let of = |field: &str| rule[field].as_array().unwrap().clone();
        for resource in of("resources") {
            for verb in of("verbs") {
                let mut left = rules.clone();
                let others: Vec<_> = of("resources").into_iter().filter(|other| *other != resource).collect();
                let verbs: Vec<_> = of("verbs").into_iter().filter(|other| *other != verb).collect();
                let part = |resources: Value, verbs: Value| json!({ "apiGroups": rule["apiGroups"], "resources": resources, "verbs": verbs });
                left.remove(place);
                if !others.is_empty() {
                    left.push(part(others.into(), rule["verbs"].clone()));
                }
                if !verbs.is_empty() {
                    left.push(part(json!([resource]), verbs.into()));
                }
                all.push((format!("{verb} {resource}"), left));
            }
        }
    }
    all
}

/// A resource that makes a controller use all its rights, and a controller that has these.
struct Scene {
    controller: Controller,
    /// The folder that its log is in.
    _world: World,
    namespace: String,
    asked: u32,
}

impl Scene {
    fn new(rules: &[Value]) -> Self {
        let namespace = cluster().namespace("rights");
        let named = |kind: &str, api: &str, name: &str| json!({ "kind": kind, "apiVersion": api, "metadata": { "name": name, "namespace": namespace } });
        let group = "rbac.authorization.k8s.io";
        let mut role = named("Role", &format!("{group}/v1"), LESS);
        role["rules"] = rules.into();
        let mut binding = named("RoleBinding", &format!("{group}/v1"), LESS);
        binding["roleRef"] = json!({ "apiGroup": group, "kind": "Role", "name": LESS });
        binding["subjects"] = json!([{ "apiGroup": group, "kind": "User", "name": LESS }]);
        let mut secret = named("Secret", "v1", "db");
        secret["stringData"] = json!({ "url": "postgres://amy@127.0.0.1:1/app" });
        let mut map = named("ConfigMap", "v1", "ca");
        map["data"] = json!({ "ca.pem": "none" });
        let mut world = in_namespace(World::new(), &namespace);
        world.part("mode", "Report");
        world.part(
            "sessions",
            "{postgres: {url: {secretKeyRef: {name: db, key: url}}, \
             tls: {ca: {configMapKeyRef: {name: ca, key: ca.pem}}}}, liveQuery: 'select id from session'}",
        );
        world.part(
            "containers",
            "{kubernetes: {serving: {selector: {matchLabels: {app: one}}}, \
             claims: {selector: {matchLabels: {app: two}}, sessionFrom: {label: session}}}}",
        );
        world.workspace(&id(1), 30 * DAY);
        world.spec_file();
        let mut all = vec![role, binding, secret, map];
        all.push(serde_saphyr::from_str(&world.spec()).unwrap());
        cluster().admin_with(
            &["create", "-f", "-"],
            &json!({ "kind": "List", "apiVersion": "v1", "items": all }).to_string(),
        );
        let election = ["--namespace", &namespace, "--lease-duration", "3s"];
        let mut controller = Controller::start_in(&cluster().kubeconfig(LESS), &world, &[&namespace], &election);
        controller.lacks_rights = true;
        Self { controller, _world: world, namespace, asked: 0 }
    }

    /// Asks for what makes it tell an event, the same again and again, and take an annotation away.
    fn ask(&mut self) {
        self.asked += 1;
        annotate(&self.namespace, &format!("hygiene.dev/approve-plan=no-{}", self.asked));
    }

    fn is_forbidden(&self) -> bool {
        let status = object(&self.namespace, "test")["status"].to_string();
        let words = ["orbidden", "may not be read"];
        [self.controller.text(), status].iter().any(|text| words.iter().any(|word| text.contains(word)))
    }

    fn comes_to_be_forbidden(mut self, missing: &str) {
        for _ in 0..60 {
            self.ask();
            std::thread::sleep(std::time::Duration::from_millis(300));
            if self.is_forbidden() {
                return;
            }
        }
        panic!("nothing needs {missing}: {:#?}", self.controller.lines());
    }

    /// How often each right was used that is in the manifest, with which it is never forbidden anything.
    fn uses_all(mut self) {
        let unused = |namespace: &str| {
            let asked = cluster().requests_of(LESS);
            let mut missing = each_missing().into_iter().map(|(right, _)| right);
            missing.find(|right| {
                let uses = |asked: &super::super::Asked| {
                    asked.namespace == namespace && *right == format!("\"{}\" \"{}\"", asked.verb, asked.what)
                };
                !asked.iter().any(uses)
            })
        };
        for _ in 0..40 {
            self.ask();
            std::thread::sleep(std::time::Duration::from_millis(300));
            if unused(&self.namespace).is_none() {
                break;
            }
        }
        assert_eq!(unused(&self.namespace), None, "{:#?}", self.controller.lines());
        assert!(!self.is_forbidden(), "{}", self.controller.text());
    }
}

#[test]
fn a_controller_uses_each_of_its_rights_and_without_any_of_them_something_is_forbidden() {
    cluster().user(LESS, "");
    Scene::new(&rules()).uses_all();
    let missing = each_missing();
    assert!(missing.len() >= 12, "{missing:?}");
    for crowd in missing.chunks(CROWD) {
        std::thread::scope(|scope| {
            for (right, rules) in crowd {
                scope.spawn(|| Scene::new(rules).comes_to_be_forbidden(right));
            }
        });
    }
}
