//! The spec parsed once into validated types. Nothing after this step can fail for want of validation.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use globset::GlobSet;
use regex::Regex;

use crate::names::{EntryName, SessionId};
use crate::secrets::SecretKey;

mod containers;
mod convert;
mod ecs;
mod faults;
mod kubernetes;
mod paths;
mod pattern;
mod schedule;
mod sessions;
mod sql;

#[cfg(test)]
mod tests;

pub use containers::{ContainerPolicy, HealthUrl, HttpPolicy, WhenAbsent};
pub use ecs::{EcsClaims, EcsPolicy, EcsTasks, EfsPolicy};
pub(crate) use faults::Quoted;
pub use faults::{Claims, PolicyFault, PolicyOptions};
pub use kubernetes::{KubernetesPolicy, PodClaims, PodSession};
pub use schedule::{Closed, Schedule};

/// What one resource asks for, validated.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Which resource asks.
    pub resource: ResourceName,
    /// `metadata.generation`, 0 where the resource came from a file.
    pub generation: i64,
    /// The cluster or account it is of; together with the resource it owns a volume.
    pub cluster: String,
    /// Hashes of the parts of the spec that decide what an orphan is.
    pub digests: SpecDigests,
    /// Whether the volume may be written to at all.
    pub mode: Mode,
    /// Whether the resource is suspended.
    pub suspend: bool,
    /// When sweeps run, and when deletion is allowed.
    pub schedule: Schedule,
    /// The volume's root.
    pub root: PathBuf,
    /// What the root must lie below, without a symlink on the way; `None` where whoever wrote the spec may name any path.
    pub beneath: Option<PathBuf>,
    /// The claim that the volume is on, where the spec names one.
    pub claim: Option<ClaimPolicy>,
    /// The EFS file system behind it, where the spec names one.
    pub efs: Option<EfsPolicy>,
    /// How a directory's name yields a session id.
    pub pattern: NamePattern,
    /// How long a workspace must have been idle.
    pub min_age: Duration,
    /// Names that are always kept.
    pub keep: KeepGlobs,
    /// Whether a `.hygiene-keep` file pins a workspace.
    pub keep_file: KeepFileRule,
    /// Which times count as activity.
    pub activity: Activity,
    /// Where live sessions are read.
    pub sessions: Arc<SessionPolicy>,
    /// Which containers serve the workspaces; `None` where the spec names none.
    pub containers: Option<Box<ContainerPolicy>>,
    /// How fast to clean, and what stops it.
    pub limits: Limits,
    /// How long a workspace stays in quarantine.
    pub retention: Duration,
}

/// A persistentVolumeClaim of the resource's own namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPolicy {
    /// Its name.
    pub name: String,
    /// The directory on it whose children are the workspaces; `None` for its root.
    pub sub_path: Option<String>,
}

/// Hashes of the parts of the spec that decide what an orphan is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecDigests {
    /// Of volume, workspaces, sessions and containers: the first sweep after a change of them only plans.
    pub evidence: String,
    /// Of `workspaces.pattern` and `sessions.liveQuery`: the volume is bound to them.
    pub query: String,
}

impl Policy {
    /// Who owns a volume that this resource cleans.
    pub fn owner(&self) -> String {
        format!("{}/{}/{}", self.cluster, self.resource.namespace, self.resource.name)
    }
}

/// Namespace and name of a resource. Much is kept by it, so clones share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResourceName(Arc<NamespacedName>);

/// What a [`ResourceName`] is made of.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamespacedName {
    /// The namespace, `default` where a file names none.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Deref for ResourceName {
    type Target = NamespacedName;

    fn deref(&self) -> &NamespacedName {
        &self.0
    }
}

impl ResourceName {
    /// The resource of this name in this namespace.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self(Arc::new(NamespacedName { namespace: namespace.into(), name: name.into() }))
    }

    /// What `NAMESPACE/NAME` names; `None` for a text of another form.
    pub fn parse(text: &str) -> Option<Self> {
        let sound = |part: &str| !part.is_empty() && !part.contains('/');
        let (namespace, name) = text.split_once('/').filter(|(namespace, name)| sound(namespace) && sound(name))?;
        Some(Self::new(namespace, name))
    }
}

/// Whether a sweep may write to the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Observe and report; nothing is written anywhere on the volume.
    Report,
    /// Quarantine, condemn and purge.
    Enforce,
}

/// Whether keep files are honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepFileRule {
    /// A `.hygiene-keep` file pins its workspace.
    Allow,
    /// Keep files mean nothing.
    Ignore,
}

/// Which times of an entry count as activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// The newest of mtime, ctime and birth time.
    Any,
    /// mtime alone.
    Modified,
}

/// An anchored regular expression with one group named `session`.
#[derive(Clone, Debug)]
pub struct NamePattern {
    regex: Arc<Regex>,
    /// How many bytes come before the group and after it, where that is the same in every name.
    around: Option<(usize, usize)>,
}

impl std::str::FromStr for NamePattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        pattern::name_pattern(text)
    }
}

impl NamePattern {
    /// The same pattern without what it has in memory to match faster, which can be as large as the pattern itself: for use in
    /// one place and for a while.
    #[must_use]
    pub(crate) fn afresh(&self) -> Self {
        Self { regex: Arc::new((*self.regex).clone()), around: self.around }
    }

    /// The pattern as it was written.
    pub(crate) fn text(&self) -> &str {
        self.regex.as_str()
    }

    /// The session id that `name` yields, or `None` where the name is foreign. A name that is not UTF-8 yields none.
    pub fn session(&self, name: &EntryName) -> Option<SessionId> {
        let name = name.as_str()?;
        let session = match self.around {
            // To find out whether a name matches takes a fifth of the time that finding a group in it takes.
            Some((before, after)) if self.regex.is_match(name) => name.get(before..name.len().checked_sub(after)?)?,
            Some(_) => return None,
            None => self.regex.captures(name)?.name("session")?.as_str(),
        };
        Some(SessionId::new(session))
    }
}

/// Globs whose matches are always kept, as they were written and compiled.
#[derive(Clone, Debug)]
pub struct KeepGlobs {
    pub(crate) globs: Vec<String>,
    pub(crate) set: GlobSet,
}

impl KeepGlobs {
    /// The index of the first glob that matches `name`.
    pub fn matching(&self, name: &EntryName) -> Option<usize> {
        self.set.matches(name.as_os_str()).into_iter().min()
    }

    /// The glob at `index`, as it was written.
    pub fn glob(&self, index: usize) -> Option<&str> {
        self.globs.get(index).map(String::as_str)
    }
}

/// Where live sessions are read, and what makes the answer believable.
#[derive(Clone, Debug)]
pub struct SessionPolicy {
    /// The store and how to reach it.
    pub store: StorePolicy,
    /// Returns the ids of all live sessions.
    pub live_query: String,
    /// Returns a row if the session whose id is the one parameter is live; without it `live_query` is wrapped.
    pub live_by_id_query: Option<String>,
    /// Returns one timestamp that must not be older than `max_staleness`.
    pub freshness_query: Option<String>,
    /// See `freshness_query`.
    pub max_staleness: Duration,
    /// Must return a row.
    pub canary_query: Option<String>,
    /// Returns the ids of sessions in any state.
    pub known_query: Option<String>,
    /// Fewer live sessions than this are not believed.
    pub minimum_live: u64,
    /// After this a query is stopped.
    pub timeout: Duration,
    /// Whether a replica is believed.
    pub replica: ReplicaRule,
}

/// The store that holds sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorePolicy {
    /// A SQLite database file.
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// What it must lie below, without a symlink on the way; `None` where whoever wrote the spec may name any path.
        beneath: Option<PathBuf>,
    },
    /// A PostgreSQL server.
    Postgres(ServerPolicy),
    /// A MySQL or MariaDB server.
    Mysql(ServerPolicy),
}

impl StorePolicy {
    /// The keys of Secrets and ConfigMaps it names, each with the field that names it.
    pub fn secrets(&self) -> Vec<(String, SecretKey)> {
        match self {
            Self::Sqlite { .. } => Vec::new(),
            Self::Postgres(server) => server.secrets("spec.sessions.postgres"),
            Self::Mysql(server) => server.secrets("spec.sessions.mysql"),
        }
    }
}

/// A database server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerPolicy {
    /// How to reach it.
    pub address: AddressPolicy,
    /// How the connection is encrypted.
    pub tls: TlsMode,
    /// The authorities to trust instead of the public ones.
    pub ca: Option<SecretKey>,
}

/// How to reach a database server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressPolicy {
    /// By a URL that holds everything.
    Url(SecretKey),
    /// By its parts.
    Parts(Box<PartsPolicy>),
}

/// The parts of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartsPolicy {
    /// Host, address or socket.
    pub host: ValuePolicy,
    /// Port, the engine's own if nothing is said.
    pub port: Option<ValuePolicy>,
    /// The database.
    pub database: ValuePolicy,
    /// The user.
    pub user: ValuePolicy,
    /// The password.
    pub password: Option<SecretKey>,
}

/// A value of the spec, or one that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValuePolicy {
    /// Written in the spec.
    Given(String),
    /// To be read.
    Secret(SecretKey),
}

/// How much of the server's identity is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Certificate and host name.
    VerifyFull,
    /// The certificate alone.
    VerifyCa,
    /// Encrypted, nothing checked.
    Require,
    /// Not encrypted.
    Disable,
}

/// Whether a replica is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaRule {
    /// Never.
    Refuse,
    /// When its lag is known and below `max_staleness`.
    Accept,
}

impl ServerPolicy {
    fn secrets(&self, field: &str) -> Vec<(String, SecretKey)> {
        let mut keys = Vec::new();
        let mut add = |part: &str, key: &SecretKey| keys.push((format!("{field}.{part}"), key.clone()));
        match &self.address {
            AddressPolicy::Url(key) => add("url.secretKeyRef", key),
            AddressPolicy::Parts(parts) => {
                let PartsPolicy { host, port, database, user, password } = &**parts;
                let values =
                    [("host", Some(host)), ("port", port.as_ref()), ("database", Some(database)), ("user", Some(user))];
                for (part, value) in values {
                    if let Some(ValuePolicy::Secret(key)) = value {
                        add(&format!("connection.{part}.secretKeyRef"), key);
                    }
                }
                if let Some(key) = password {
                    add("connection.password.secretKeyRef", key);
                }
            }
        }
        if let Some(key) = &self.ca {
            add("tls.ca", key);
        }
        keys
    }
}

/// How fast to clean, and what stops it.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Most workspaces quarantined by one sweep.
    pub per_sweep: u32,
    /// Most that may be quarantined in a rolling period.
    pub budget: Budget,
    /// Past these a person decides.
    pub breaker: BreakerLimits,
    /// How fast to purge.
    pub purge: PurgeLimits,
}

/// Most that may be quarantined in a rolling period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Length of the rolling period.
    pub period: Duration,
    /// Directories.
    pub directories: u32,
    /// Bytes.
    pub bytes: u64,
}

/// Anomaly limits.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerLimits {
    /// Most orphans.
    pub max_orphans: u32,
    /// Most orphans, in per cent of the workspaces; holds only above 10 orphans.
    pub max_orphan_percent: u32,
    /// Most the live count may fall below the highest of the last seven days, in per cent.
    pub max_session_drop_percent: u32,
}

/// How fast to purge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeLimits {
    /// Most entries removed in a second.
    pub entries_per_second: u32,
    /// Most directories worked on at once.
    pub concurrency: u32,
    /// How many purge side by side. With more than one a sweep leaves the condemned trees to them.
    pub shards: u32,
}
