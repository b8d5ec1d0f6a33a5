//! What the generated definition promises, checked on every schema in it.

use serde_json::{Value, json};

use super::*;

/// Calls `look` with the path and schema of each property below `schema`.
fn walk(path: &str, schema: &Value, look: &mut dyn FnMut(&str, &Value)) {
    look(path, schema);
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        walk(&format!("{path}.{name}"), property, look);
    }
    if let Some(items) = schema.get("items") {
        walk(&format!("{path}[]"), items, look);
    }
    if let Some(values) = schema.get("additionalProperties") {
        walk(&format!("{path}[*]"), values, look);
    }
}

fn faults(mut wrong: impl FnMut(&str, &Value) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    walk("", &open_api_schema(), &mut |path, schema| {
        if wrong(path, schema) {
            found.push(path.to_owned());
        }
    });
    found
}

fn minimal() -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": { "name": "collab" },
        "spec": {
            "volume": { "path": "/mnt/efs/workspaces" },
            "workspaces": { "pattern": "^(?<session>[0-9a-f-]{36})$" },
            "sessions": { "sqlite": { "path": "/mnt/db/sessions.db" }, "liveQuery": "select id from session" },
        },
    })
}

#[test]
fn every_property_has_a_description() {
    let described =
        |schema: &Value| schema["description"].as_str().is_some_and(|text| text.len() > 8 && text.ends_with('.'));
    // The elements of a list and the values of a map are described by the list and the map.
    assert_eq!(faults(|path, schema| !path.ends_with(']') && !described(schema)), Vec::<String>::new());
}

#[test]
fn everything_is_bounded() {
    let unbounded = |_: &str, schema: &Value| match schema["type"].as_str() {
        Some("string") => ["maxLength", "enum", "format"].iter().all(|bound| schema.get(bound).is_none()),
        Some("array") => schema.get("maxItems").is_none(),
        Some("object") => schema.get("additionalProperties").is_some() && schema.get("maxProperties").is_none(),
        Some("integer") => schema.get("minimum").is_none(),
        Some("boolean") => false,
        _ => true,
    };
    assert_eq!(faults(unbounded), Vec::<String>::new());
}

#[test]
fn numbers_in_the_spec_have_both_ends() {
    let open = |path: &str, schema: &Value| {
        path.starts_with(".spec") && schema["type"] == "integer" && schema.get("maximum").is_none()
    };
    assert_eq!(faults(open), Vec::<String>::new());
}

#[test]
fn nothing_is_nullable_or_free_of_schema() {
    let forbidden =
        ["nullable", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string", "anyOf", "oneOf", "$ref"];
    assert_eq!(faults(|_, schema| forbidden.iter().any(|key| schema.get(key).is_some())), Vec::<String>::new());
    assert_eq!(faults(|_, schema| schema.get("default").is_some_and(Value::is_null)), Vec::<String>::new());
    let known_format = |schema: &Value| {
        schema.get("format").is_none_or(|format| ["int32", "int64", "date-time"].iter().any(|known| format == known))
    };
    assert_eq!(faults(|_, schema| !known_format(schema)), Vec::<String>::new());
}

#[test]
fn every_pattern_has_plain_words() {
    let raw = |_: &str, schema: &Value| {
        schema.get("pattern").and_then(Value::as_str).is_some_and(|pattern| forms::by_pattern(pattern).is_none())
    };
    assert_eq!(faults(raw), Vec::<String>::new());
    for form in forms::ALL {
        assert!(regex::Regex::new(form.pattern).is_ok(), "{}", form.pattern);
        assert!(form.pattern.starts_with('^') && form.pattern.ends_with('$'), "{}", form.pattern);
        // The API server's Go takes only ASCII for members of these, Rust what Unicode says.
        assert!(!["\\s", "\\w", "\\d", "\\b"].iter().any(|class| form.pattern.contains(class)), "{}", form.pattern);
    }
}

/// The API server's defaulting, in its simplest words.
fn defaulted(schema: &Value, value: &Value) -> Value {
    let Value::Object(fields) = value else { return value.clone() };
    let mut fields = fields.clone();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = fields.get(name).or(property.get("default")) {
            let value = defaulted(property, value);
            fields.insert(name.clone(), value);
        }
    }
    fields.into()
}

fn through_serde(value: &Value) -> Value {
    let resource: WorkspaceHygiene = serde_json::from_value(value.clone()).unwrap();
    serde_json::to_value(resource).unwrap()
}

#[test]
fn serde_and_the_api_server_fill_in_the_same_defaults() {
    let containers = json!({ "http": { "url": "http://collab/healthz" } });
    let postgres = json!({ "url": { "secretKeyRef": { "name": "db", "key": "url" } } });
    let mut variants = vec![minimal(); 5];
    variants[1]["spec"]["limits"] = json!({ "budget": {}, "purge": { "concurrency": 4 } });
    variants[2]["spec"]["containers"] = containers;
    variants[3]["spec"]["sessions"] = json!({ "postgres": postgres, "liveQuery": "select 1" });
    variants[4]["spec"]["job"] = json!({ "template": { "tolerations": [{ "key": "a" }] } });
    for variant in variants {
        let mut filled = defaulted(&open_api_schema(), &variant);
        // serde leaves a missing status missing: only the API server writes the first one.
        filled.as_object_mut().unwrap().remove("status");
        if let Some(toleration) = filled.pointer_mut("/spec/job/template/tolerations/0") {
            toleration["operator"] = "Equal".into();
        }
        assert_eq!(through_serde(&variant), filled);
        assert_eq!(through_serde(&filled), filled);
    }
}

#[test]
fn a_parent_with_only_defaulted_children_carries_its_whole_default() {
    let children_default = |schema: &Value| {
        schema["properties"].as_object().is_some_and(|all| all.values().any(|child| child.get("default").is_some()))
            && schema.get("required").is_none()
    };
    let incomplete = |path: &str, schema: &Value| {
        // Each of the last two wants one of two others beside what has a default.
        let optional = [
            ".spec.containers",
            ".spec.job",
            ".spec.job.template.tolerations[]",
            ".spec.sessions.mysql",
            ".spec.sessions.postgres",
        ];
        path.starts_with(".spec.") && !optional.contains(&path) && children_default(schema) && {
            let default = schema.get("default");
            default.is_none() || defaulted(schema, default.unwrap()) != *default.unwrap()
        }
    };
    assert_eq!(faults(incomplete), Vec::<String>::new());
}

#[test]
fn a_new_resource_has_a_status_that_observed_nothing() {
    assert_eq!(open_api_schema()["properties"]["status"]["default"], json!({ "observedGeneration": -1 }));
    assert_eq!(WorkspaceHygieneStatus::default().observed_generation, -1);
    assert_eq!(serde_json::to_value(WorkspaceHygieneStatus::default()).unwrap(), json!({ "observedGeneration": -1 }));
}

fn update_errors(old: &Value, new: &Value) -> Vec<String> {
    let result = kube::core::cel::Validator::new().validate(&open_api_schema(), new, Some(old));
    result.err().into_iter().flat_map(|errors| errors.into_vec()).map(|error| error.field_path).collect()
}

#[test]
fn the_volume_changes_only_in_an_update_that_leaves_report() {
    let mut old = defaulted(&open_api_schema(), &minimal());
    old["spec"]["mode"] = "Enforce".into();
    let mut moved = old.clone();
    moved["spec"]["volume"]["path"] = "/mnt/other".into();
    assert_eq!(update_errors(&old, &old), Vec::<String>::new());
    assert_eq!(update_errors(&old, &moved), ["spec.volume"]);
    moved["spec"]["mode"] = "Report".into();
    assert_eq!(update_errors(&old, &moved), Vec::<String>::new());
}

#[test]
fn the_definition_is_the_same_each_time_and_names_its_maker() {
    let yaml = crd_yaml();
    assert!(yaml.starts_with("# Generated by `hygiene crd`") && yaml.ends_with("\n") && !yaml.ends_with("\n\n"));
    assert_eq!(yaml, crd_yaml());
    let read: Value = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(read["metadata"]["name"], "workspacehygienes.hygiene.dev");
    assert_eq!(read["spec"]["versions"][0]["schema"]["openAPIV3Schema"], open_api_schema());
    assert_eq!(crd().spec.names.short_names, Some(vec!["wsh".to_owned()]));
    let columns = crd().spec.versions.remove(0).additional_printer_columns.unwrap_or_default();
    let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
    let expected = ["Mode", "Ready", "Hold", "Orphans", "Quarantined", "Reclaimed", "Last Sweep", "Next Sweep", "Age"];
    assert_eq!(names, expected);
}
