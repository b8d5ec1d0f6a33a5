//! One resource as an API server holds it: judged as a document of a file is, so that a field which this version does not
//! know is a fault here too, and all faults are told at once.

use serde_json::Value;

use super::document::{self, Item};
use super::{Fault, Loaded};
use crate::policy::PolicyOptions;

/// The resource and its policy, for `metadata.generation` of the object.
///
/// # Errors
/// All faults of the object.
pub fn judge(object: Value, options: &PolicyOptions) -> Result<Loaded, Vec<Fault>> {
    let generation = object.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0);
    let origin = "the object";
    let item = Item::alone(origin, object);
    let mut faults = Vec::new();
    let checked = document::check(&item, options, &mut faults);
    match (checked.resource, checked.policy) {
        (Some(mut resource), Some(mut policy)) if faults.is_empty() => {
            // A file's generation is dropped; that of an object tells which spec a status is about.
            resource.metadata.generation = Some(generation);
            policy.generation = generation;
            Ok(Loaded { resource, policy, origin: origin.into(), file: None })
        }
        _ => Err(faults),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(spec: Value) -> Value {
        let metadata = json!({
            "name": "collab", "namespace": "team", "uid": "u", "generation": 3, "resourceVersion": "9",
            "annotations": {"hygiene.dev/sweep-requested-at": "now"},
        });
        json!({"apiVersion": "hygiene.dev/v1alpha1", "kind": "WorkspaceHygiene", "metadata": metadata, "spec": spec,
               "status": {"observedGeneration": -1}})
    }

    fn sound() -> Value {
        json!({
            "volume": {"path": "/mnt/efs/workspaces"},
            "workspaces": {"pattern": "^(?<session>[0-9a-f-]{36})$"},
            "sessions": {"sqlite": {"path": "/mnt/db/sessions.db"}, "liveQuery": "select id from session"},
        })
    }

    #[test]
    fn an_object_keeps_its_generation_and_a_field_of_a_later_version_is_a_fault() {
        let loaded = judge(object(sound()), &PolicyOptions::default()).unwrap();
        assert_eq!((loaded.policy.generation, loaded.policy.resource.namespace.as_str()), (3, "team"));
        let mut later = sound();
        later["workspaces"]["guardOfTomorrow"] = "on".into();
        later["workspaces"]["minAge"] = "7d".into();
        let faults = judge(object(later), &PolicyOptions::default()).unwrap_err();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert!(fields.contains(&"spec.workspaces.guardOfTomorrow") && fields.contains(&"spec.workspaces.minAge"));
    }

    #[test]
    fn whatever_the_object_is_there_is_an_answer() {
        for odd in [json!(null), json!([]), json!({}), json!({"spec": 7}), object(json!(null)), object(json!({"a": 1}))]
        {
            assert!(!judge(odd.clone(), &PolicyOptions::default()).unwrap_err().is_empty(), "{odd}");
        }
    }
}
