//! The CRD's own schema, closed: what it does not name is a fault.

use std::sync::LazyLock;

use jsonschema::{PatternOptions, Validator};
use serde_json::{Value, json};

use super::field;
use super::words;
use crate::api::{self, forms};

/// A fault of the schema: the field, whether its value may be shown, and the message.
#[derive(Debug)]
pub(super) struct SchemaFault {
    pub(super) field: String,
    pub(super) value: Option<Value>,
    pub(super) message: String,
}

static CLOSED: LazyLock<Value> = LazyLock::new(|| {
    let mut schema = api::open_api_schema();
    close(&mut schema);
    if let Some(properties) = schema.pointer_mut("/properties").and_then(Value::as_object_mut) {
        properties.remove("status");
        properties.insert("apiVersion".into(), json!({ "type": "string" }));
        properties.insert("kind".into(), json!({ "type": "string" }));
        properties.insert("metadata".into(), metadata());
    }
    schema["required"] = json!(["metadata", "spec"]);
    schema
});

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    let options = jsonschema::options().with_pattern_options(PatternOptions::regex());
    options.build(&CLOSED).expect("the CRD's schema is a JSON schema; the tests build it")
});

/// What a file may say of itself. The rest of a cluster's metadata was dropped before.
fn metadata() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "required": ["name"],
        "additionalProperties": false,
        "properties": {
            "name": {
                "type": "string",
                "minLength": 1,
                "maxLength": 253,
                "pattern": forms::OBJECT_NAME.pattern,
                "description": "Name of the resource.",
            },
            "namespace": { "type": "string", "minLength": 1, "maxLength": 63, "pattern": forms::LABEL_NAME.pattern },
            "labels": { "type": "object", "additionalProperties": text },
            "annotations": { "type": "object", "additionalProperties": text },
        },
    })
}

fn close(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(close);
        schema.insert("additionalProperties".into(), false.into());
    }
    if let Some(items) = schema.get_mut("items") {
        close(items);
    }
}

/// The schema with which [`faults`] compares.
pub(super) fn closed() -> &'static Value {
    &CLOSED
}

/// All the places where `resource` is not as the schema has it.
pub(super) fn faults(resource: &Value) -> Vec<SchemaFault> {
    VALIDATOR
        .iter_errors(resource)
        .flat_map(|error| {
            let place = Place::find(resource, error.instance_path().as_str());
            words::faults(&place, &error)
        })
        .collect()
}

/// A place in a resource: the field's name, its value and its schema.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) field: String,
    pub(super) value: &'a Value,
    pub(super) schema: &'static Value,
}

impl<'a> Place<'a> {
    fn find(resource: &'a Value, pointer: &str) -> Self {
        let mut place = Place { field: String::new(), value: resource, schema: &CLOSED };
        for segment in pointer.split('/').skip(1) {
            let key = segment.replace("~1", "/").replace("~0", "~");
            place = place.below(&key);
        }
        place
    }

    fn below(self, key: &str) -> Self {
        if let Value::Array(elements) = self.value {
            let index = key.parse().unwrap_or(0);
            let value = elements.get(index).unwrap_or(&Value::Null);
            let schema = self.schema.get("items").unwrap_or(&Value::Null);
            return Place { field: field::element(&self.field, index), value, schema };
        }
        let value = self.value.get(key).unwrap_or(&Value::Null);
        let property = self.schema.get("properties").and_then(|properties| properties.get(key));
        let schema = property.or_else(|| self.schema.get("additionalProperties")).unwrap_or(&Value::Null);
        Place { field: field::child(&self.field, key), value, schema }
    }

    /// The names of the fields that may stand here.
    pub(super) fn known(&self) -> impl Iterator<Item = &'static str> {
        let properties = self.schema.get("properties").and_then(Value::as_object);
        properties.into_iter().flatten().map(|(name, _)| name.as_str())
    }
}
