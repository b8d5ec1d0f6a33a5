//! Fills in defaults as the API server does.

use serde_json::Value;

/// Fills what is missing in `value` with the defaults of `schema`. A null where there is a default counts as missing.
pub(super) fn fill(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            for (name, schema) in properties.into_iter().flatten() {
                if let Some(default) = schema.get("default")
                    && fields.get(name).is_none_or(Value::is_null)
                {
                    fields.insert(name.clone(), default.clone());
                }
                if let Some(field) = fields.get_mut(name) {
                    fill(schema, field);
                }
            }
        }
        Value::Array(elements) => {
            if let Some(schema) = schema.get("items") {
                elements.iter_mut().for_each(|element| fill(schema, element));
            }
        }
        _ => {}
    }
}

/// Drops each null for which `schema` has a default, so that an empty `limits:` means all defaults.
pub(super) fn drop_nulls(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            for (name, schema) in properties.into_iter().flatten() {
                if schema.get("default").is_some() && fields.get(name).is_some_and(Value::is_null) {
                    fields.remove(name);
                }
                if let Some(field) = fields.get_mut(name) {
                    drop_nulls(schema, field);
                }
            }
        }
        Value::Array(elements) => {
            if let Some(schema) = schema.get("items") {
                elements.iter_mut().for_each(|element| drop_nulls(schema, element));
            }
        }
        _ => {}
    }
}
