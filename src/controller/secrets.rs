//! Values of Secrets and ConfigMaps of a resource's own namespace, read through the API each time they are used and kept
//! nowhere.

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};
use secrecy::SecretString;

use crate::cluster::{Unanswered, answered};
use crate::secrets::{SecretKey, SecretKind, Secrets};

/// Reads them with this client. A key names the resource's own namespace and no other: a spec has no place for one.
#[derive(Clone)]
pub struct ClusterSecrets(pub Client);

impl std::fmt::Debug for ClusterSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterSecrets").finish_non_exhaustive()
    }
}

#[async_trait]
impl Secrets for ClusterSecrets {
    async fn read(&self, key: &SecretKey) -> Result<SecretString, String> {
        let (client, namespace, name) = (self.0.clone(), key.namespace.as_str(), key.name.as_str());
        let value = match key.kind {
            SecretKind::Secret => {
                let held = answered(Api::<Secret>::namespaced(client, namespace).get(name)).await;
                let mut held = held.map_err(|error| failed(key, &error))?;
                held.data.as_mut().and_then(|data| data.remove(&key.key)).map(|value| value.0)
            }
            SecretKind::ConfigMap => {
                let held = answered(Api::<ConfigMap>::namespaced(client, namespace).get(name)).await;
                let mut held = held.map_err(|error| failed(key, &error))?;
                held.data.as_mut().and_then(|data| data.remove(&key.key)).map(String::into_bytes)
            }
        };
        let value = value.ok_or_else(|| format!("{key} is not there; add it"))?;
        // The error would hold the value.
        String::from_utf8(value).map(SecretString::from).map_err(|_| format!("{key} is not UTF-8"))
    }
}

fn failed(key: &SecretKey, error: &Unanswered) -> String {
    if let Unanswered::Error(kube::Error::SerdeError(_)) = error {
        // The error would tell a part of what was sent.
        return format!("{key} cannot be read: what the API server sent is no such object");
    }
    match error.code() {
        Some(404) => format!("{key} is not there; create it"),
        Some(403) => format!("{key} may not be read; allow the controller's ServiceAccount to get it"),
        _ => format!("{key} cannot be read: {error}"),
    }
}
