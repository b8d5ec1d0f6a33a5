//! Reading specs: what is accepted, and how what is not is told.

use std::fs;
use std::path::PathBuf;

use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;
use workspace_hygiene::api;
use workspace_hygiene::policy::PolicyOptions;
use workspace_hygiene::spec::{self, Fault, LoadOptions, Loaded, Objects};

pub mod anything;

const GOOD: &str = r"
apiVersion: hygiene.dev/v1alpha1
kind: WorkspaceHygiene
metadata:
  name: collab
spec:
  volume:
    path: /mnt/efs/workspaces
  workspaces:
    pattern: '^(?<session>[0-9a-f-]{36})$'
  sessions:
    sqlite:
      path: /mnt/db/sessions.db
    liveQuery: select id from session
";

/// Loads `args`, with `text` on standard input and in the variable SPEC.
pub fn load(args: &[&str], text: &str, short: bool) -> Result<Vec<Loaded>, Vec<Fault>> {
    let options = LoadOptions {
        policy: PolicyOptions {
            allow_short_times: short,
            home: Some(PathBuf::from("/home/me")),
            cluster: "local".into(),
            ..PolicyOptions::default()
        },
        stdin: Box::new(text.as_bytes()),
        env: Box::new(|name| (name == "SPEC").then(|| text.to_owned())),
        objects: Objects::new(),
    };
    spec::load(&args.iter().map(ToString::to_string).collect::<Vec<_>>(), options)
}

fn good() -> Value {
    let mut spec: Value = serde_saphyr::from_str(GOOD).unwrap();
    spec["spec"]["schedule"] = json!({ "every": "15m" });
    spec
}

/// The good spec with `value` at `pointer`.
fn with(pointer: &str, value: Value) -> String {
    let mut spec = good();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    spec.pointer_mut(parent).unwrap()[name] = value;
    spec.to_string()
}

fn faults(text: &str) -> Vec<String> {
    let faults = load(&["-"], text, false).expect_err(text);
    faults.iter().map(|fault| fault.to_string().replacen("standard input", "spec", 1)).collect()
}

/// The one fault of `text`, without its place.
fn only_fault(text: &str) -> String {
    let faults = faults(text);
    let [fault] = faults.as_slice() else { panic!("{faults:#?}") };
    fault.split_once(": ").unwrap().1.to_owned()
}

#[test]
fn a_minimal_spec_is_filled_in_with_the_documented_defaults() {
    let loaded = load(&["-"], GOOD, false).unwrap().remove(0);
    assert_eq!(loaded.origin, "standard input");
    let policy = &loaded.policy;
    assert_eq!((policy.resource.namespace.as_str(), policy.resource.name.as_str()), ("default", "collab"));
    assert_eq!((policy.min_age.as_secs(), policy.retention.as_secs()), (24 * 3600, 168 * 3600));
    assert_eq!((policy.limits.per_sweep, policy.limits.budget.bytes), (10, 500 << 30));
    let spec = serde_json::to_value(&loaded.resource.spec).unwrap();
    assert_eq!(spec["mode"], "Report");
    assert_eq!(spec["schedule"], json!({ "every": "15m" }));
    assert_eq!(loaded.resource.status, None);
}

#[test]
fn an_empty_parent_means_its_defaults() {
    let loaded = load(&["-"], &format!("{GOOD}  limits:\n  schedule:\n"), false).unwrap().remove(0);
    assert_eq!(loaded.policy.limits.budget.directories, 100);
}

#[test]
fn an_unknown_field_names_the_nearest_known_one() {
    assert_eq!(
        only_fault(&with("/spec/workspaces/minage", json!("48h"))),
        "spec.workspaces.minage: is not a known field; did you mean minAge?"
    );
    assert_eq!(
        only_fault(&with("/spec/minAge", json!("48h"))),
        "spec.minAge: is not a known field; did you mean spec.workspaces.minAge?"
    );
    assert!(only_fault(&with("/spec/quarantine", json!({ "xyzzy": 1 }))).ends_with("known here: retention"));
}

#[test]
fn seven_days_are_168_hours() {
    let fault = only_fault(&with("/spec/workspaces/minAge", json!("7d")));
    assert!(fault.starts_with("spec.workspaces.minAge: \"7d\": is not a duration; 7d is 168h (accepted: "), "{fault}");
}

#[rstest]
#[case("/spec/containers", json!({ "http": { "url": "http://c/", "timeout": "11s" } }), "spec.containers.http.timeout: \"11s\": must be from 1ms to 10s")]
#[case("/spec/containers", json!({ "http": { "url": "http://c/" }, "settle": "25h" }), "spec.containers.settle: \"25h\": must be from 0s to 24h")]
#[case("/spec/containers", json!({ "http": { "url": "http://c/", "maxEventLoopLag": "0s" } }), "spec.containers.http.maxEventLoopLag: \"0s\": must be from 1ms to 1h")]
#[case("/spec/containers", json!({ "http": { "url": "http://c:0/" } }), "spec.containers.http.url: has a port that is none")]
#[case("/spec/containers", json!({ "http": { "url": "http://me:hunter2@c/" } }), "spec.containers.http.url: is not accepted here (accepted: an http or https address without a user")]
#[case("/spec/mode", json!("enforce"), "spec.mode: \"enforce\": must be Report or Enforce; did you mean Enforce?")]
#[case("/spec/suspend", json!("yes"), "spec.suspend: \"yes\": must be true or false")]
#[case("/spec/limits", json!({ "perSweep": 5000 }), "spec.limits.perSweep: \"5000\": must be from 1 to 1000")]
#[case("/spec/limits", json!({ "perSweep": "5" }), "spec.limits.perSweep: \"5\": must be a number; remove the quotes")]
#[case("/spec/limits", json!([]), "spec.limits: must be a mapping of fields, not a list")]
#[case("/spec/schedule", json!({ "every": "30s" }), "spec.schedule.every: \"30s\": must be from 1m to 168h")]
#[case("/spec/schedule", json!({}), "spec.schedule: give exactly one of every and cron")]
#[case("/spec/limits", json!({ "purge": { "shards": 65 } }), "spec.limits.purge.shards: \"65\": must be from 1 to 64")]
#[case("/spec/limits", json!({ "purge": { "shards": 2 } }), "spec.limits.purge.shards: \"2\": several shards are purged by Jobs, which only a persistentVolumeClaim has; use 1")]
#[case("/spec/volume", json!({}), "spec.volume: give exactly one of path and persistentVolumeClaim")]
#[case("/spec/volume/path", json!("/etc"), "spec.volume.path: \"/etc\": is a directory of the operating system")]
#[case("/spec/volume/path", json!("/home/me"), "spec.volume.path: \"/home/me\": is or holds the home")]
#[case("/spec/volume/path", json!("/mnt/../etc"), "spec.volume.path: \"/mnt/../etc\": is not accepted here (")]
#[case("/spec/workspaces/keep", json!(["ok", "["]), "spec.workspaces.keep[1]: \"[\": is not a glob")]
#[case("/spec/workspaces/pattern", json!("^a|(b)$"), "spec.workspaces.pattern: \"^a|(b)$\": is not anchored")]
#[case("/spec/sessions/liveQuery", json!("x;"), "spec.sessions.liveQuery: is not accepted here (accepted: one ")]
#[case("/spec/sessions/sqlite/path", json!("s.db"), "spec.sessions.sqlite.path: \"s.db\": is not accepted here (")]
#[case("/metadata/name", json!("x".repeat(41)), &format!("metadata.name: \"{}\": must be at most 40", "x".repeat(41)))]
#[case("/metadata/labels", json!({ "a.b/c": 1 }), "metadata.labels[a.b/c]: \"1\": must be a text; put it in quotes")]
#[case("/apiVersion", json!("hygiene.dev/v1"), "apiVersion: \"hygiene.dev/v1\": must be hygiene.dev/v1alpha1")]
#[case("/kind", json!("Deployment"), "kind: \"Deployment\": must be WorkspaceHygiene")]
fn a_fault_names_field_value_and_accepted_form(#[case] pointer: &str, #[case] value: Value, #[case] expected: &str) {
    let fault = only_fault(&with(pointer, value));
    assert!(fault.starts_with(expected), "{fault}");
}

#[test]
fn a_claim_that_nothing_mounts_is_refused_with_the_way_out() {
    let claim = json!({ "persistentVolumeClaim": { "claimName": "efs" } });
    let fault = only_fault(&with("/spec/volume", claim));
    assert!(fault.starts_with("spec.volume.persistentVolumeClaim.claimName: \"efs\": is swept by Jobs"), "{fault}");
}

#[rstest]
#[case(json!({ "key": "app", "operator": "In" }), "must name at least one value")]
#[case(json!({ "key": "app", "operator": "NotIn", "values": [] }), "must name at least one value")]
#[case(json!({ "key": "app", "operator": "Exists", "values": ["collab"] }), "must be left out")]
fn a_selector_that_no_api_server_takes_is_refused(#[case] requirement: Value, #[case] expected: &str) {
    let selector = json!({ "matchExpressions": [requirement] });
    let fault = only_fault(&with("/spec/containers", json!({ "kubernetes": { "serving": { "selector": selector } } })));
    let field = "spec.containers.kubernetes.serving.selector.matchExpressions[0].values: ";
    assert!(fault.strip_prefix(field).is_some_and(|rest| rest.starts_with(expected)), "{fault}");
}

#[rstest]
#[case("/spec/sessions/replica", json!("Accept"), "spec.sessions.replica: \"Accept\": is for database servers")]
#[case("/spec/sessions/liveQuery", json!("select id from session limit 10"), "spec.sessions.liveQuery: ends with LIMIT")]
#[case("/spec/sessions/knownQuery", json!("select id from session fetch first row only"), "spec.sessions.knownQuery: ends with LIMIT")]
fn sessions_that_could_hide_some_are_refused(#[case] pointer: &str, #[case] value: Value, #[case] expected: &str) {
    let fault = only_fault(&with(pointer, value));
    assert!(fault.starts_with(expected), "{fault}");
}

#[test]
fn a_database_server_is_named_by_a_url_or_by_its_parts() {
    let url = || json!({ "secretKeyRef": { "name": "db", "key": "url" } });
    let parts = |host: Value| json!({ "host": host, "database": { "value": "app" }, "user": { "value": "hygiene" }, "password": url() });
    for engine in ["postgres", "mysql"] {
        let spec = |server: Value| {
            let mut spec = good();
            spec["spec"]["sessions"] = json!({ engine: server, "liveQuery": "select 1" });
            spec.to_string()
        };
        for server in [json!({ "url": url() }), json!({ "connection": parts(json!({ "value": "db.example" })) })] {
            assert!(load(&["-"], &spec(server), false).is_ok());
        }
        for (server, expected) in [
            (json!({}), "give exactly one of url and connection"),
            (json!({ "url": url(), "connection": parts(url()) }), "give exactly one of url and connection"),
            (json!({ "connection": parts(json!({})) }), "give exactly one of value and secretKeyRef"),
            (json!({ "url": url(), "tls": { "mode": "Require", "ca": url() } }), "has no meaning with a tls.mode"),
        ] {
            let fault = only_fault(&spec(server));
            assert!(fault.starts_with(&format!("spec.sessions.{engine}")) && fault.contains(expected), "{fault}");
        }
    }
}

#[test]
fn enforce_refuses_short_times_unless_told_they_are_wanted() {
    let mut spec = good();
    spec["spec"]["mode"] = "Enforce".into();
    spec["spec"]["workspaces"]["minAge"] = "59m".into();
    spec["spec"]["quarantine"] = json!({ "retention": "23h" });
    let text = spec.to_string();
    let told = faults(&text);
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told.iter().all(|fault| fault.contains("--unsafe-short-times")), "{told:#?}");
    assert!(load(&["-"], &text, true).is_ok());
    spec["spec"]["mode"] = "Report".into();
    assert!(load(&["-"], &spec.to_string(), false).is_ok());
}

#[test]
fn all_faults_are_told_at_once_each_with_its_line() {
    let text = r"apiVersion: hygiene.dev/v1alpha1
kind: WorkspaceHygiene
metadata: {}
spec:
  mode: Enforce
  volume:
    path: /var
  workspaces:
    patern: x
    minAge: 5m
    keep:
      - shared-*
      - a/b
  sessions:
    sqlite: {}
  quarantine: {retention: 7}
";
    let told = faults(text);
    let places: Vec<_> = told.iter().map(|fault| fault.splitn(3, ": ").take(2).collect::<Vec<_>>().join(" ")).collect();
    let expected = [
        "spec:3 metadata.name",
        "spec:7 spec.volume.path",
        "spec:8 spec.workspaces.pattern",
        "spec:9 spec.workspaces.patern",
        "spec:10 spec.workspaces.minAge",
        "spec:13 spec.workspaces.keep[1]",
        "spec:14 spec.sessions.liveQuery",
        "spec:15 spec.sessions.sqlite.path",
        "spec:16 spec.quarantine.retention",
    ];
    assert_eq!(places, expected, "{told:#?}");
}

#[test]
fn a_file_a_variable_and_standard_input_are_read_alike() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("spec.yaml");
    fs::write(&file, GOOD).unwrap();
    for arg in [file.to_str().unwrap(), "env:SPEC", "-"] {
        let loaded = load(&[arg], GOOD, false).unwrap();
        assert_eq!(loaded[0].policy.resource.name, "collab", "{arg}");
    }
}

#[test]
fn what_cannot_be_read_is_a_fault_and_does_not_hide_the_others() {
    let dir = TempDir::new().unwrap();
    let missing = dir.path().join("missing.yaml");
    let broken = dir.path().join("broken.yaml");
    fs::write(&broken, "a: 1\nb: [\n").unwrap();
    let args =
        [missing.to_str().unwrap(), dir.path().to_str().unwrap(), "env:NOPE", broken.to_str().unwrap(), "-", "-"];
    let told: Vec<_> = load(&args, "", false).unwrap_err().iter().map(ToString::to_string).collect();
    let expected =
        ["no such file", "is a directory", "is not set", "given twice", "not valid YAML", "holds no resource"];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (fault, expected) in told.iter().zip(expected) {
        assert!(fault.contains(expected), "{fault}: {expected}");
    }
    assert!(load(&[], "", false).is_err());
}

#[test]
fn several_documents_and_lists_hold_several_resources() {
    let other = GOOD.replace("collab", "other").replace("/mnt/efs/", "/mnt/other/");
    let loaded = load(&["-"], &format!("{GOOD}---\n# nothing\n---{other}"), false).unwrap();
    let origins: Vec<_> = loaded.iter().map(|one| one.origin.as_str()).collect();
    assert_eq!(origins, ["standard input (document 1)", "standard input (document 2)"]);

    let other: Value = serde_saphyr::from_str(&other).unwrap();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": [good(), other] });
    let loaded = load(&["-"], &list.to_string(), false).unwrap();
    let names: Vec<_> = loaded.iter().map(|one| one.policy.resource.name.as_str()).collect();
    assert_eq!(names, ["collab", "other"]);
}

#[test]
fn what_kubectl_prints_can_be_piped_in() {
    let mut spec = good();
    spec["metadata"] = json!({
        "name": "collab", "namespace": "team", "uid": "0", "resourceVersion": "7", "generation": 3,
        "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": [{}], "annotations": { "a": "b" }, "labels": null,
    });
    spec["status"] = json!({ "observedGeneration": 3, "whatever": null });
    let loaded = load(&["-"], &spec.to_string(), false).unwrap().remove(0);
    assert_eq!((loaded.policy.resource.namespace.as_str(), loaded.policy.generation), ("team", 0));
    assert_eq!(loaded.resource.metadata.uid, None);
}

#[test]
fn a_key_that_stands_twice_is_a_fault() {
    let fault = only_fault(&format!("{GOOD}  mode: Report\n  mode: Enforce\n"));
    assert!(fault.contains("duplicate") && fault.contains("mode"), "{fault}");
}

#[test]
fn two_resources_share_neither_name_nor_volume() {
    let told = faults(&format!("{GOOD}---{}", GOOD.replace("efs/workspaces", "elsewhere")));
    assert_eq!(told, ["spec:19: metadata.name: \"collab\": is also defined at standard input:2, in namespace default"]);

    for path in ["/mnt/efs/workspaces/", "/mnt/efs/workspaces/below", "/mnt/efs"] {
        let other = GOOD.replace("collab", "other").replace("/mnt/efs/workspaces", path);
        let told = faults(&format!("{GOOD}---{other}"));
        let expected = "overlaps with the volume of default/collab at standard input:2";
        assert!(told.len() == 1 && told[0].contains(expected), "{path}: {told:#?}");
    }
    let beside = GOOD.replace("collab", "other").replace("/mnt/efs/workspaces", "/mnt/efs/workspaces-2");
    assert!(load(&["-"], &format!("{GOOD}---{beside}"), false).is_ok());
}

#[test]
fn no_secret_is_repeated_in_a_fault() {
    let mut spec = good();
    spec["spec"]["sessions"] = json!({
        "postgres": "host=db password=hunter2", "mysql": { "url": "mysql://me:hunter2@db/app" },
        "password": "hunter2", "liveQuery": "select hunter2;", "timeout": "postgres://me:hunter2@db",
    });
    let told = faults(&spec.to_string());
    assert!(told.len() >= 6 && told.iter().all(|fault| !fault.contains("hunter2")), "{told:#?}");
    for text in ["hunter2", "hunter2: [hunter2", "- hunter2", "\"hunter2"] {
        assert!(faults(text).iter().all(|fault| !fault.contains("hunter2")), "{text}");
    }
}

#[test]
fn a_query_that_leaves_rows_out_is_refused() {
    for query in ["select id from session limit 10", "select id from session fetch first 10 rows only"] {
        let fault = only_fault(&with("/spec/sessions/liveQuery", json!(query)));
        assert!(fault.contains("spec.sessions.liveQuery") && fault.contains("LIMIT or FETCH FIRST"), "{fault}");
    }
}

#[test]
fn a_database_inside_a_workspace_is_refused() {
    let inside = "/mnt/efs/workspaces/0a1b2c3d-0000-4000-8000-00000000abcd/sessions.db";
    let fault = only_fault(&with("/spec/sessions/sqlite/path", json!(inside)));
    assert!(fault.contains("a sweep may remove"), "{fault}");
    assert!(load(&["-"], &with("/spec/sessions/sqlite/path", json!("/mnt/efs/workspaces/sessions.db")), false).is_ok());
}

#[test]
fn the_committed_definition_is_the_generated_one() {
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/crds/hygiene.dev_workspacehygienes.yaml");
    let same = fs::read_to_string(committed).unwrap_or_default() == api::crd_yaml();
    assert!(same, "run: hygiene crd > crds/hygiene.dev_workspacehygienes.yaml");
}

#[rstest]
#[case(json!({ "family": "session", "sessionTag": "session" }), None)]
#[case(json!({ "service": "session", "sessionTag": "session" }), None)]
#[case(json!({ "sessionTag": "session" }), Some("give exactly one of family and service"))]
#[case(json!({ "family": "a", "service": "b", "sessionTag": "c" }), Some("give exactly one of family and service"))]
fn tasks_that_claim_are_those_of_a_family_or_of_a_service(#[case] claims: Value, #[case] expected: Option<&str>) {
    let ecs = json!({ "ecs": { "cluster": "prod", "region": "eu-central-1", "claims": claims } });
    let text = with("/spec/containers", ecs);
    match expected {
        None => assert!(load(&["-"], &text, false).is_ok()),
        Some(expected) => assert!(only_fault(&text).contains(expected)),
    }
}
