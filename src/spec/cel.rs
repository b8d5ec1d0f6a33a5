//! The CEL rules of the CRD, run here as the API server would run them.

use std::sync::LazyLock;

use kube::core::cel::{CompiledSchema, ErrorKind, Validator, compile_schema};
use serde_json::Value;

use crate::api;

static RULES: LazyLock<CompiledSchema> = LazyLock::new(|| compile_schema(&api::open_api_schema()));

/// What a rule found: the field and the message.
pub(super) struct Broken {
    pub(super) field: String,
    pub(super) message: String,
}

/// The rules that `resource` breaks. `partial` says that the schema found faults already: then a rule that could not be
/// evaluated is only their echo.
pub(super) fn broken_rules(resource: &Value, partial: bool) -> Vec<Broken> {
    let Err(errors) = Validator::new().validate_compiled(&RULES, resource, None) else {
        return Vec::new();
    };
    let told = errors.into_vec().into_iter().filter(|error| !partial || error.kind == ErrorKind::ValidationFailure);
    told.map(|error| match error.message.split_once(": ") {
        // A rule on the whole resource cannot point at metadata with a path, so its message does.
        Some((field, message)) if error.field_path.is_empty() => {
            Broken { field: field.to_owned(), message: message.to_owned() }
        }
        _ => Broken { field: error.field_path, message: error.message },
    })
    .collect()
}
