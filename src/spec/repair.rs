//! Makes a faulty resource readable, so that the faults of its sound parts are told in the same run.
//!
//! What is put in place of a faulty value is never used: the resource was refused already.

use serde_json::{Map, Value, json};

/// Gives `value` the shape of `schema`: a field of the wrong shape is dropped, or replaced where it is required.
pub(super) fn repair(schema: &Value, value: &mut Value) {
    if !has_shape(schema, value) {
        *value = placeholder(schema);
    }
    match value {
        Value::Object(fields) => repair_fields(schema, fields),
        Value::Array(elements) => {
            let items = schema.get("items").unwrap_or(&Value::Null);
            elements.iter_mut().for_each(|element| repair(items, element));
        }
        _ => {}
    }
}

fn repair_fields(schema: &Value, fields: &mut Map<String, Value>) {
    let properties = schema.get("properties").and_then(Value::as_object);
    let required = schema.get("required").and_then(Value::as_array);
    for (name, schema) in properties.into_iter().flatten() {
        let is_required = required.is_some_and(|required| required.iter().any(|one| one == name));
        match fields.get_mut(name) {
            Some(field) if is_required || has_shape(schema, field) => repair(schema, field),
            Some(_) => drop(fields.remove(name)),
            None if is_required => drop(fields.insert(name.clone(), placeholder(schema))),
            None => {}
        }
    }
    if let Some(schema) = schema.get("additionalProperties").filter(|schema| schema.is_object()) {
        fields.retain(|_, field| has_shape(schema, field));
    }
}

/// Whether `value` can be read as what `schema` describes; its form, its length and what is in it do not matter here.
fn has_shape(schema: &Value, value: &Value) -> bool {
    if let Some(options) = schema.get("enum").and_then(Value::as_array) {
        return options.contains(value);
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => {
            let least = schema.get("minimum").and_then(Value::as_i64).unwrap_or(i64::MIN);
            let most = schema.get("maximum").and_then(Value::as_i64).unwrap_or(i64::MAX);
            value.as_i64().is_some_and(|number| (least..=most).contains(&number))
        }
        _ => true,
    }
}

fn placeholder(schema: &Value) -> Value {
    if let Some(first) = schema.pointer("/enum/0") {
        return first.clone();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => {
            let mut fields = Map::new();
            repair_fields(schema, &mut fields);
            Value::Object(fields)
        }
        Some("array") => json!([]),
        Some("boolean") => json!(false),
        Some("integer") => schema.get("minimum").cloned().unwrap_or(json!(0)),
        _ => json!(""),
    }
}
