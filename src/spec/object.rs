//! One resource as an API server holds it: judged as a document of a file is, so that a field which this version does not
//! know is a fault here too, and all faults are told at once.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::document::{self, Item};
use super::{Fault, Loaded};
use crate::policy::PolicyOptions;

/// Which version of which object it was that was read. The spec of an object has another generation after each change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectVersion {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.generation`.
    pub generation: i64,
}

impl ObjectVersion {
    /// That of an object.
    pub fn of(object: &Value) -> Self {
        let metadata = &object["metadata"];
        let uid = metadata["uid"].as_str().unwrap_or_default().to_owned();
        Self { uid, generation: metadata["generation"].as_i64().unwrap_or(0) }
    }

    /// Whether this version of the object is what there is.
    ///
    /// # Errors
    /// Why not.
    pub fn stands(&self, found: &ObjectMeta) -> Result<(), String> {
        if found.uid.as_deref() != Some(&self.uid) {
            return Err("the resource was deleted, and another one has its name".into());
        }
        if found.deletion_timestamp.is_some() {
            return Err("the resource was deleted, and is about to go".into());
        }
        if found.generation == Some(self.generation) {
            return Ok(());
        }
        let newest = found.generation.map_or_else(|| "not known".to_owned(), |newest| newest.to_string());
        let then = self.generation;
        Err(format!("the resource changed: this run is of generation {then}, and the newest is {newest}"))
    }

    /// A file's uid and generation are dropped; those of an object tell which spec a status is about.
    pub(super) fn write(&self, loaded: &mut Loaded) {
        loaded.resource.metadata.uid = Some(self.uid.clone());
        loaded.resource.metadata.generation = Some(self.generation);
        loaded.policy.generation = self.generation;
    }
}

/// The resource and its policy, for `metadata.generation` of the object.
///
/// # Errors
/// All faults of the object.
pub fn judge(object: Value, options: &PolicyOptions) -> Result<Loaded, Vec<Fault>> {
    let version = ObjectVersion::of(&object);
    let origin = "the object";
    let item = Item::alone(origin, object);
    let mut faults = Vec::new();
    let checked = document::check(&item, options, &mut faults);
    match (checked.resource, checked.policy) {
        (Some(resource), Some(policy)) if faults.is_empty() => {
            let mut loaded = Loaded { resource, policy, origin: origin.into(), file: None, object: None };
            version.write(&mut loaded);
            loaded.object = Some(version);
            Ok(loaded)
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
        assert_eq!(loaded.object, Some(ObjectVersion { uid: "u".into(), generation: 3 }));
        assert_eq!(loaded.resource.metadata.uid.as_deref(), Some("u"));
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
