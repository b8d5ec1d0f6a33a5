//! Every rule of the definition refuses something and lets something through, on the API server as on the command line.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Cluster;
use super::schema::{minimal, schema, walk};

/// What a rule is tried with: merge patches on the object that the rule is about.
struct Case {
    /// The message of the rule, without what comes after a semicolon.
    message: &'static str,
    /// What is changed in the resource before an update, for a rule that looks at the old resource.
    before: Option<Value>,
    accepted: Vec<Value>,
    refused: Vec<Value>,
}

fn case(message: &'static str, accepted: &[Value], refused: &[Value]) -> Case {
    Case { message, before: None, accepted: accepted.to_vec(), refused: refused.to_vec() }
}

fn cases() -> Vec<Case> {
    let key = json!({ "name": "db", "key": "url" });
    let claim = json!({ "claimName": "collab" });
    let sqlite = json!({ "path": "/mnt/db/sessions.db" });
    let long = |length: usize| json!({ "metadata": { "name": "a".repeat(length) } });
    let labels = json!({ "app": "collab" });
    let exists = json!([{ "key": "app", "operator": "Exists" }]);
    let windows = json!([{ "start": "0 1 * * *", "duration": "4h" }]);
    let moved = |mode: &str| json!({ "mode": mode, "volume": { "path": "/mnt/other" } });
    vec![
        case("metadata.name: must be at most 40 characters", &[long(1), long(40)], &[long(41)]),
        Case {
            before: Some(json!({ "mode": "Enforce" })),
            ..case(
                "may change only in an update that leaves mode: Report",
                &[moved("Report"), json!({ "mode": "Enforce", "suspend": true })],
                &[moved("Enforce"), json!({ "volume": { "efs": { "pricePerGiBMonth": "0.30" } } })],
            )
        },
        case(
            "belongs to volume.persistentVolumeClaim",
            &[json!({ "job": {}, "volume": { "path": null, "persistentVolumeClaim": claim } })],
            &[json!({ "job": {} })],
        ),
        case(
            "give exactly one of every and cron",
            &[json!({ "every": "1m" }), json!({ "every": null, "cron": "0 3 * * *" })],
            &[json!({ "every": "1m", "cron": "0 3 * * *" }), json!({ "every": null })],
        ),
        case(
            "must be from 1m to 168h",
            &[json!({ "every": "60s" }), json!({ "every": "167h60m" })],
            &[json!({ "every": "59s999ms" }), json!({ "every": "168h1ms" })],
        ),
        case(
            "is for cron and windows",
            &[
                json!({ "timeZone": "Europe/Berlin", "windows": windows }),
                json!({ "timeZone": "UTC", "every": null, "cron": "0 3 * * *" }),
            ],
            &[json!({ "timeZone": "Europe/Berlin" })],
        ),
        case(
            "give exactly one of path and persistentVolumeClaim",
            &[json!({ "path": "/srv" }), json!({ "path": null, "persistentVolumeClaim": claim })],
            &[json!({ "persistentVolumeClaim": claim }), json!({ "path": null })],
        ),
        case(
            "give exactly one of postgres, mysql and sqlite",
            &[json!({ "postgres": null, "mysql": null, "sqlite": sqlite })],
            &[json!({ "sqlite": sqlite }), json!({ "postgres": null, "mysql": null })],
        ),
        case(
            "give exactly one of url and connection",
            &[json!({}), json!({ "connection": null, "url": { "secretKeyRef": key } })],
            &[json!({ "url": { "secretKeyRef": key } }), json!({ "connection": null })],
        ),
        case(
            "give exactly one of value and secretKeyRef",
            &[json!({ "value": "db" }), json!({ "value": null, "secretKeyRef": key })],
            &[json!({ "value": "db", "secretKeyRef": key }), json!({ "value": null })],
        ),
        case(
            "give exactly one of configMapKeyRef and secretKeyRef",
            &[json!({}), json!({ "configMapKeyRef": null, "secretKeyRef": key })],
            &[json!({ "secretKeyRef": key }), json!({ "configMapKeyRef": null })],
        ),
        case(
            "give at least one of kubernetes, ecs and http",
            &[json!({}), json!({ "kubernetes": null, "ecs": null, "http": { "url": "http://collab/healthz" } })],
            &[json!({ "kubernetes": null, "ecs": null })],
        ),
        case(
            "give at least one of serving and claims",
            &[json!({ "claims": null }), json!({ "serving": null })],
            &[json!({ "serving": null, "claims": null })],
        ),
        case(
            "give matchLabels or matchExpressions",
            &[json!({ "matchLabels": labels }), json!({ "matchLabels": null, "matchExpressions": exists })],
            &[json!({ "matchLabels": null })],
        ),
        case(
            "give exactly one of label, annotation and subPathOfVolume",
            &[json!({ "label": "a/b" }), json!({ "label": null, "annotation": "b" })],
            &[json!({ "label": "a/b", "subPathOfVolume": "work" }), json!({ "label": null })],
        ),
    ]
}

/// A resource in which everything is there that has rules; the sessions come from `engine`.
fn whole(namespace: &str, engine: &str) -> Value {
    let key = json!({ "name": "db", "key": "url" });
    let value = json!({ "value": "db" });
    let connection = json!({ "host": value, "port": value, "database": value, "user": value });
    let selector = json!({ "matchLabels": { "app": "collab" } });
    let mut resource = minimal(namespace, "collab");
    let spec = &mut resource["spec"];
    spec["schedule"] = json!({ "every": "15m" });
    spec["volume"]["efs"] = json!({ "fileSystemID": "fs-01234567", "region": "eu-central-1" });
    spec["sessions"] = json!({ "liveQuery": "select 1" });
    spec["sessions"][engine] = json!({ "connection": connection, "tls": { "ca": { "configMapKeyRef": key } } });
    spec["containers"] = json!({
        "kubernetes": {
            "serving": { "selector": selector },
            "claims": { "selector": selector, "sessionFrom": { "label": "example.com/session" } },
        },
        "ecs": {
            "cluster": "prod",
            "region": "eu-central-1",
            "serving": { "service": "collab" },
            "claims": { "family": "session", "sessionTag": "session" },
        },
    });
    resource
}

/// A JSON merge patch.
fn merge(value: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *value = patch.clone();
        return;
    };
    if !value.is_object() {
        *value = json!({});
    }
    for (name, field) in fields {
        if field.is_null() {
            value.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut value[name], field);
        }
    }
}

/// `resource` with `patch` on what is at `path`.
fn patched(resource: &Value, path: &[&str], patch: &Value) -> Value {
    let mut resource = resource.clone();
    let place = path.iter().map(|name| format!("/{name}")).collect::<String>();
    merge(resource.pointer_mut(&place).unwrap_or_else(|| panic!("the whole resource has {place}")), patch);
    resource
}

/// What the API server says to a resource that it may only look at.
fn judged(cluster: &Cluster, how: &str, resource: &Value) -> Result<(), String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), resource.to_string()).unwrap();
    let ran = cluster.kubectl().args([how, "--dry-run=server", "-f"]).arg(file.path()).output().unwrap();
    if ran.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&ran.stderr).into_owned()) }
}

/// Whether the command line complains with `message`, whatever else it says.
fn told_by_the_command_line(resource: &Value, message: &str) -> bool {
    // What stands before a colon is the name of the field there.
    let message = message.rsplit_once("name: ").map_or(message, |(_, message)| message);
    let faults = crate::spec::load(&["-"], &resource.to_string(), false).err().unwrap_or_default();
    faults.iter().any(|fault| fault.message.contains(message))
}

#[test]
fn every_rule_lets_through_what_is_right_and_refuses_what_is_not_with_clear_words() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("rules");
    let mut rules = Vec::new();
    walk(&[], schema(), &mut |path, schema| {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            rules.push((path.to_vec(), rule));
        }
    });
    assert!(rules.len() > 20, "{}", rules.len());

    let cases = cases();
    let mut used = BTreeSet::new();
    for (path, rule) in rules {
        let message = rule["message"].as_str().unwrap_or_else(|| panic!("{path:?}: a rule without a message: {rule}"));
        let case = cases.iter().find(|case| message.starts_with(case.message));
        let case = case.unwrap_or_else(|| panic!("{path:?}: no test tries the rule: {message}"));
        used.insert(case.message);
        let engine = if path.contains(&"mysql") { "mysql" } else { "postgres" };
        let mut base = whole(&namespace, engine);
        let mut how = "create";
        if let Some(before) = &case.before {
            base["metadata"]["name"] = "there-before".into();
            base = patched(&base, &path, before);
            cluster.admin_with(&["apply", "--server-side", "-f", "-"], &base.to_string());
            how = "replace";
        }
        let field = path.join(".") + rule["fieldPath"].as_str().unwrap_or_default();
        for patch in &case.accepted {
            let resource = patched(&base, &path, patch);
            assert_eq!(judged(cluster, how, &resource), Ok(()), "{field}: {patch}");
            assert!(!told_by_the_command_line(&resource, message), "{field}: {patch}");
        }
        for patch in &case.refused {
            let resource = patched(&base, &path, patch);
            let said = judged(cluster, how, &resource).expect_err(&format!("{field}: {patch}"));
            assert!(said.contains(&format!("{field}: ")) && said.contains(message), "{field}: {patch}: {said}");
            // The command line knows no old resource.
            assert!(case.before.is_some() || told_by_the_command_line(&resource, message), "{field}: {patch}");
        }
    }
    assert_eq!(used.len(), cases.len(), "each case belongs to a rule: {used:?}");
}
