//! `spec.sessions`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::forms;
use crate::api::text::DurationString;

/// Where the live sessions are read, and what makes the answer believable.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new(
        "(has(self.postgres) ? 1 : 0) + (has(self.mysql) ? 1 : 0) + (has(self.sqlite) ? 1 : 0) == 1"
    )
    .message("give exactly one of postgres, mysql and sqlite")
)]
#[serde(rename_all = "camelCase")]
pub struct SessionsSpec {
    /// A PostgreSQL database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postgres: Option<DatabaseSpec>,
    /// A MySQL or MariaDB database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mysql: Option<DatabaseSpec>,
    /// A SQLite database file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sqlite: Option<SqliteSpec>,
    /// SQL that returns the ids of all live sessions in its only column, as text, such as: select id from session where
    /// deleted_at is null. It runs read-only. Whatever it leaves out looks like an orphan.
    #[schemars(length(min = 1, max = 8192), regex(pattern = forms::SQL.pattern))]
    pub live_query: String,
    /// SQL that returns a row if the session whose id is its one parameter ($1, ? in SQLite and MySQL) is live. Asked
    /// again before each single step. Without it liveQuery is wrapped, which may be slow.
    #[serde(rename = "liveByIDQuery", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8192), regex(pattern = forms::SQL.pattern))]
    pub live_by_id_query: Option<String>,
    /// SQL that returns the ids of all sessions in any state. An orphan that it does not know is removed only after
    /// approval, since another system may have made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8192), regex(pattern = forms::SQL.pattern))]
    pub known_query: Option<String>,
    /// SQL that returns one timestamp, such as: select max(updated_at) from session. If it is older than maxStaleness
    /// the rows are a stale copy and nothing is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8192), regex(pattern = forms::SQL.pattern))]
    pub freshness_query: Option<String>,
    /// Oldest timestamp freshnessQuery may return and still be believed. The default is 1h.
    #[serde(default = "default_max_staleness")]
    pub max_staleness: DurationString,
    /// SQL that must return a row, such as: select 1 from session_canary. Without one it is the wrong database and
    /// nothing is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8192), regex(pattern = forms::SQL.pattern))]
    pub canary_query: Option<String>,
    /// Fewer live sessions than this are not believed and nothing is deleted. The default is 1.
    #[serde(default = "default_minimum_live")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub minimum_live: u64,
    /// Time after which a query is stopped and its answer counts as missing. The default is 60s.
    #[serde(default = "default_timeout")]
    pub timeout: DurationString,
    /// What to do with a read replica. Refuse (the default) deletes nothing, because a replica may lag behind; Accept
    /// reads it, with freshnessQuery as the only guard against lag.
    #[serde(default)]
    pub replica: Replica,
}

fn default_max_staleness() -> DurationString {
    "1h".into()
}

fn default_minimum_live() -> u64 {
    1
}

fn default_timeout() -> DurationString {
    "60s".into()
}

/// A database server.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("has(self.url) != has(self.connection)").message("give exactly one of url and connection")
)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseSpec {
    /// The connection URL, always from a Secret: scheme://user:password@host:port/database, without parameters. Outside a
    /// cluster the command line is told where it is with --secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<SecretSource>,
    /// The parts of a connection, each from a key of its own, as managed secrets hold them; instead of url.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionSpec>,
    /// How the connection is encrypted and whom it trusts. Without it the server's certificate and name are verified
    /// against the public authorities.
    #[serde(default)]
    pub tls: TlsSpec,
}

/// The parts of a connection.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionSpec {
    /// Name or address of the host, or the absolute path of a socket: the socket's folder for PostgreSQL, the socket
    /// itself for MySQL.
    pub host: ValueSource,
    /// Port of the server. The default is 5432 for PostgreSQL and 3306 for MySQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<ValueSource>,
    /// Name of the database.
    pub database: ValueSource,
    /// Name of the user.
    pub user: ValueSource,
    /// The user's password, always from a Secret. None is sent if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretSource>,
}

/// A value that is written here, or comes from a Secret.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("has(self.value) != has(self.secretKeyRef)")
        .message("give exactly one of value and secretKeyRef")
)]
#[serde(rename_all = "camelCase")]
pub struct ValueSource {
    /// The value itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub value: Option<String>,
    /// Name and key of a Secret, in the resource's own namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyReference>,
}

/// A SQLite database file.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SqliteSpec {
    /// Absolute path of the database file. It is opened read-only; its write-ahead log is respected.
    #[schemars(length(max = 1024), regex(pattern = forms::ABSOLUTE_PATH.pattern))]
    pub path: String,
}

/// A value from a Secret.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretSource {
    /// Name and key of the Secret, in the resource's own namespace.
    pub secret_key_ref: KeyReference,
}

/// A key of a Secret or ConfigMap in the resource's own namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyReference {
    /// Name of the Secret or ConfigMap.
    #[schemars(length(min = 1, max = 253), regex(pattern = forms::OBJECT_NAME.pattern))]
    pub name: String,
    /// Key inside it.
    #[schemars(length(min = 1, max = 253), regex(pattern = forms::DATA_KEY.pattern))]
    pub key: String,
}

/// How a database connection is encrypted.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsSpec {
    /// VerifyFull (the default) checks certificate and host name, VerifyCA the certificate alone, Require encrypts
    /// without checking whom it talks to, Disable does not encrypt.
    #[serde(default)]
    pub mode: TlsMode,
    /// Certificates (PEM) of the authorities to trust instead of the public ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<CertificateSource>,
}

/// How much of the server's identity is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsMode {
    /// Certificate and host name.
    #[default]
    VerifyFull,
    /// The certificate alone.
    VerifyCA,
    /// Encrypted, nothing checked.
    Require,
    /// Not encrypted.
    Disable,
}

/// Certificates from a ConfigMap or a Secret.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("has(self.configMapKeyRef) != has(self.secretKeyRef)")
        .message("give exactly one of configMapKeyRef and secretKeyRef")
)]
#[serde(rename_all = "camelCase")]
pub struct CertificateSource {
    /// Name and key of a ConfigMap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyReference>,
    /// Name and key of a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyReference>,
}

/// What to do with a read replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Replica {
    /// Nothing is deleted on the word of a replica.
    #[default]
    Refuse,
    /// A replica is read like a primary.
    Accept,
}
