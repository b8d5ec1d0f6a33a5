//! The schema of the committed definition, as something to walk through.

use std::fs;
use std::sync::OnceLock;

use serde_json::Value;

use super::cluster::DEFINITION;

/// The committed definition.
pub fn definition() -> &'static Value {
    static READ: OnceLock<Value> = OnceLock::new();
    READ.get_or_init(|| serde_saphyr::from_str(&fs::read_to_string(DEFINITION).unwrap()).unwrap())
}

/// The schema of a resource.
pub fn schema() -> &'static Value {
    &definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

/// Calls `look` with the path and the schema of everything below `schema`. Elements of a list have the name `[]`, values of a
/// map `{}`.
pub fn walk<'a>(path: &[&'a str], schema: &'a Value, look: &mut dyn FnMut(&[&'a str], &'a Value)) {
    look(path, schema);
    let below = |name: &'a str| [path, &[name]].concat();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(&below(name), property, look);
    }
    for (key, name) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(schema) = schema.get(key) {
            walk(&below(name), schema, look);
        }
    }
}

/// The smallest resource that is accepted, in a namespace.
pub fn minimal(namespace: &str, name: &str) -> Value {
    serde_json::json!({
        "apiVersion": "hygiene.dev/v1alpha1",
        "kind": "WorkspaceHygiene",
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "volume": { "path": "/mnt/efs/workspaces" },
            "workspaces": { "pattern": "^(?<session>[0-9a-f-]{36})$" },
            "sessions": { "sqlite": { "path": "/mnt/db/sessions.db" }, "liveQuery": "select id from session" },
        },
    })
}
