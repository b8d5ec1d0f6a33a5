//! The schema of `status.conditions`.

use schemars::{Schema, SchemaGenerator, json_schema};

use crate::api::forms;

/// k8s-openapi's own schema of a condition sets no bounds.
pub(super) fn conditions_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 8,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "description": "One aspect of the resource's state.",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": {
                    "type": "string",
                    "description": "Name of the condition.",
                    "maxLength": 64,
                    "pattern": forms::CONDITION_TYPE.pattern,
                },
                "status": {
                    "type": "string",
                    "description": "True, False or Unknown.",
                    "enum": ["True", "False", "Unknown"],
                },
                "reason": {
                    "type": "string",
                    "description": "One word for the cause of the last change, for programs.",
                    "minLength": 1,
                    "maxLength": 64,
                    "pattern": forms::CONDITION_REASON.pattern,
                },
                "message": {
                    "type": "string",
                    "description": "The cause of the last change, for people.",
                    "maxLength": 1024,
                },
                "lastTransitionTime": {
                    "type": "string",
                    "format": "date-time",
                    "description": "When status changed last.",
                },
                "observedGeneration": {
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                    "description": "metadata.generation the condition is about.",
                },
            },
        },
    })
}
