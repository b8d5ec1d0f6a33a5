//! The status: what a new resource has, what fits into it, and how kubectl waits for it.

use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::Cluster;
use super::schema::{minimal, schema, walk};

const TIME: &str = "2026-01-02T03:04:05Z";

fn wait_ready(cluster: &Cluster, namespace: &str, timeout: &str) -> (Output, Duration) {
    let started = Instant::now();
    let timeout = format!("--timeout={timeout}");
    let mut wait = cluster.kubectl();
    let waited =
        wait.args(["-n", namespace, "wait", "--for=condition=Ready", &timeout, "wsh/collab"]).output().unwrap();
    (waited, started.elapsed())
}

fn ready(generation: u64, status: &str) -> Value {
    let condition = json!({
        "type": "Ready", "status": status, "reason": "SweepCompleted", "message": "", "lastTransitionTime": TIME,
        "observedGeneration": generation,
    });
    json!({ "observedGeneration": generation, "conditions": [condition] })
}

fn report(cluster: &Cluster, namespace: &str, status: Value) {
    let patch = json!({ "status": status }).to_string();
    cluster.admin(&["-n", namespace, "patch", "wsh", "collab", "--subresource=status", "--type=merge", "-p", &patch]);
}

#[test]
fn kubectl_waits_until_the_newest_generation_is_ready() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("wait");
    cluster.admin_with(&["create", "-f", "-"], &minimal(&namespace, "collab").to_string());
    let observed = ["-n", &namespace, "get", "wsh", "collab", "-o", "jsonpath={.status}"];
    assert_eq!(cluster.admin(&observed), r#"{"observedGeneration":-1}"#);

    let in_vain = |why: &str| {
        let (waited, took) = wait_ready(cluster, &namespace, "2s");
        let said = String::from_utf8_lossy(&waited.stderr);
        assert!(!waited.status.success() && said.contains("timed out waiting"), "{why}: {said}");
        assert!(took >= Duration::from_secs(2), "{why}: {took:?}");
    };
    in_vain("nothing was reported");
    report(cluster, &namespace, ready(1, "False"));
    in_vain("it is not ready");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| wait_ready(cluster, &namespace, "60s"));
        std::thread::sleep(Duration::from_secs(1));
        report(cluster, &namespace, ready(1, "True"));
        let (waited, took) = waiting.join().unwrap();
        assert!(waited.status.success(), "{}", String::from_utf8_lossy(&waited.stderr));
        assert!(took >= Duration::from_secs(1), "{took:?}");
    });
    cluster.admin(&["-n", &namespace, "patch", "wsh", "collab", "--type=merge", "-p", r#"{"spec":{"suspend":true}}"#]);
    in_vain("the spec changed since");
    report(cluster, &namespace, ready(2, "True"));
    assert!(wait_ready(cluster, &namespace, "60s").0.status.success());
}

/// The largest value that a schema lets through. `distinct` makes the keys of a list differ.
fn largest(schema: &Value, distinct: usize) -> Value {
    let size = |bound: &str| schema[bound].as_u64().map(|bound| bound as usize);
    match schema["type"].as_str().unwrap() {
        "object" => {
            let properties = schema["properties"].as_object().unwrap();
            properties
                .iter()
                .map(|(name, schema)| (name.clone(), largest(schema, distinct)))
                .collect::<Map<_, _>>()
                .into()
        }
        "array" => (0..size("maxItems").unwrap()).map(|index| largest(&schema["items"], index)).collect(),
        "string" => largest_text(schema, distinct).into(),
        "integer" => i64::MAX.into(),
        other => panic!("no status has a {other}"),
    }
}

fn largest_text(schema: &Value, distinct: usize) -> String {
    if schema["format"] == "date-time" {
        return TIME.to_owned();
    }
    if let Some(words) = schema["enum"].as_array() {
        return words.iter().map(|word| word.as_str().unwrap()).max_by_key(|word| word.len()).unwrap().to_owned();
    }
    let length = schema["maxLength"].as_u64().unwrap() as usize;
    if schema.get("pattern").is_some() {
        // Both patterns, of a condition's type and reason, take any capitals.
        let letter = char::from(b'A' + u8::try_from(distinct).unwrap());
        return letter.to_string().repeat(length);
    }
    // Lengths are counted in characters, of up to four bytes each.
    "🦀".repeat(length)
}

#[test]
fn a_status_as_large_as_its_schema_allows_is_accepted_and_a_larger_one_is_not() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("status");
    let mut resource = minimal(&namespace, "collab");
    cluster.admin_with(&["create", "-f", "-"], &resource.to_string());
    let replace = |resource: &Value| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), resource.to_string()).unwrap();
        let mut kubectl = cluster.kubectl();
        let replaced = kubectl.args(["replace", "--subresource=status", "-f"]).arg(file.path()).output().unwrap();
        if replaced.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&replaced.stderr).into_owned()) }
    };
    let status = &schema()["properties"]["status"];
    resource["status"] = largest(status, 0);
    assert_eq!(replace(&resource), Ok(()));
    let stored = cluster.admin(&["-n", &namespace, "get", "wsh", "collab", "-o", "jsonpath={.status}"]);
    assert_eq!(serde_json::from_str::<Value>(&stored).unwrap(), resource["status"]);

    // One character or one element more, in each place.
    let mut places = Vec::new();
    walk(&["status"], status, &mut |path, schema| {
        if schema.get("maxLength").is_some() || schema.get("maxItems").is_some() {
            places.push(format!("/{}", path.join("/").replace("[]", "0")));
        }
    });
    assert!(places.len() > 25, "{places:?}");
    for place in places {
        let mut larger = resource.clone();
        match larger.pointer_mut(&place).unwrap() {
            Value::String(text) => text.push('A'),
            Value::Array(elements) => {
                let mut one_more = elements[0].clone();
                if one_more.get("type").is_some() {
                    one_more["type"] = "OneMore".into();
                }
                elements.push(one_more);
            }
            other => panic!("{place}: {other}"),
        }
        let refused = replace(&larger).expect_err(&place);
        assert!(refused.contains("Too long") || refused.contains("Too many"), "{place}: {refused}");
    }
}
