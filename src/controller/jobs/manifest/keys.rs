//! The keys of Secrets and ConfigMaps that a spec names. The kubelet puts their values into files; nobody else reads them.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{
    ConfigMapProjection, KeyToPath, ProjectedVolumeSource, SecretProjection, Volume, VolumeMount, VolumeProjection,
};
use serde_json::{Value, json};

use super::Recipe;
use crate::secrets::SecretKind;

/// Who may read the files: everybody in the pod, whose user is not known to own them.
const MODE: i32 = 0o444;

/// A key that a spec names, in its own namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    kind: SecretKind,
    name: String,
    key: String,
}

impl Key {
    /// The option that tells the program where the value is.
    pub(super) fn option(&self) -> String {
        let Self { kind, name, key } = self;
        format!("{}={name}/{key}=file:{}/{name}/{key}", kind.option(), folder(*kind))
    }
}

fn folder(kind: SecretKind) -> &'static str {
    match kind {
        SecretKind::Secret => "/mnt/hygiene/secrets",
        SecretKind::ConfigMap => "/mnt/hygiene/config-maps",
    }
}

/// All keys that the spec names, wherever in it: one that was forgotten here would be a sweep that cannot begin.
pub(super) fn of(recipe: &Recipe<'_>) -> BTreeSet<Key> {
    let mut keys = BTreeSet::new();
    gather(&json!(recipe.resource.spec), &mut keys);
    keys
}

fn gather(value: &Value, keys: &mut BTreeSet<Key>) {
    let Value::Object(fields) = value else {
        value.as_array().into_iter().flatten().for_each(|element| gather(element, keys));
        return;
    };
    for (field, value) in fields {
        let kind = match field.as_str() {
            "secretKeyRef" => Some(SecretKind::Secret),
            "configMapKeyRef" => Some(SecretKind::ConfigMap),
            _ => None,
        };
        match (kind, value["name"].as_str(), value["key"].as_str()) {
            (Some(kind), Some(name), Some(key)) => {
                keys.insert(Key { kind, name: name.into(), key: key.into() });
            }
            _ => gather(value, keys),
        }
    }
}

/// The volumes that hold the files, and where they are mounted.
pub(super) fn volumes(keys: &BTreeSet<Key>) -> Vec<(Volume, VolumeMount)> {
    let volumes = [("secrets", SecretKind::Secret), ("config-maps", SecretKind::ConfigMap)];
    let volume = |(name, kind): (&str, SecretKind)| {
        let sources: Vec<_> = keys.iter().filter(|key| key.kind == kind).map(projection).collect();
        let projected = ProjectedVolumeSource { default_mode: Some(MODE), sources: Some(sources) };
        let volume = Volume { name: name.into(), projected: Some(projected), ..Volume::default() };
        let mount = VolumeMount {
            name: name.into(),
            mount_path: folder(kind).into(),
            read_only: Some(true),
            ..VolumeMount::default()
        };
        (volume, mount)
    };
    volumes.into_iter().filter(|(_, kind)| keys.iter().any(|key| key.kind == *kind)).map(volume).collect()
}

/// Not optional: a pod without the value waits, and the kubelet says for what.
fn projection(Key { kind, name, key }: &Key) -> VolumeProjection {
    let items = Some(vec![KeyToPath { key: key.clone(), path: format!("{name}/{key}"), mode: Some(MODE) }]);
    let (name, optional) = (name.clone(), Some(false));
    match kind {
        SecretKind::Secret => {
            let secret = Some(SecretProjection { name, items, optional });
            VolumeProjection { secret, ..VolumeProjection::default() }
        }
        SecretKind::ConfigMap => {
            let config_map = Some(ConfigMapProjection { name, items, optional });
            VolumeProjection { config_map, ..VolumeProjection::default() }
        }
    }
}
