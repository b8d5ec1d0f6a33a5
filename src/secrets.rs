//! Values that a resource names and does not hold: keys of Secrets and ConfigMaps. They are read anew each time they are
//! used, so that one that was renewed is found.

use std::fmt;

use async_trait::async_trait;
use secrecy::SecretString;

/// What holds the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretKind {
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
}

impl SecretKind {
    /// The option of the command line that says where one is.
    pub fn option(self) -> &'static str {
        match self {
            Self::Secret => "--secret",
            Self::ConfigMap => "--config-map",
        }
    }
}

/// A key of a Secret or ConfigMap of the resource's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretKey {
    /// What holds it.
    pub kind: SecretKind,
    /// The resource's namespace.
    pub namespace: String,
    /// Name of the Secret or ConfigMap.
    pub name: String,
    /// The key in it.
    pub key: String,
}

impl fmt::Display for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            SecretKind::Secret => "Secret",
            SecretKind::ConfigMap => "ConfigMap",
        };
        write!(f, "key {} of {kind} {}/{}", self.key, self.namespace, self.name)
    }
}

/// Reads the values that resources name.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// The value of `key`.
    ///
    /// # Errors
    /// Why there is none, and the way out, without any part of a value.
    async fn read(&self, key: &SecretKey) -> Result<SecretString, String>;
}

/// No value at all, for resources that name none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSecrets;

#[async_trait]
impl Secrets for NoSecrets {
    async fn read(&self, key: &SecretKey) -> Result<SecretString, String> {
        Err(format!("{key} was not given"))
    }
}
