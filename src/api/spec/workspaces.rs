//! `spec.workspaces`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::text::DurationString;

/// Which directories are workspaces, and which of them are always kept.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkspacesSpec {
    /// Regular expression that takes the session id out of a directory's name, in the group named session. It begins
    /// with ^ and ends with $. Whatever does not match is foreign and never touched.
    #[schemars(length(min = 1, max = 512))]
    pub pattern: String,
    /// How long a workspace must have been idle, over its whole tree, to be an orphan. The default is 24h; Enforce
    /// refuses less than 1h.
    #[serde(default = "default_min_age")]
    pub min_age: DurationString,
    /// Globs of directory names that are always kept, such as shared-*. They match quarantined names too: adding one
    /// restores.
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(min = 1, max = 255)))]
    pub keep: Vec<String>,
    /// Allow (the default) lets a file .hygiene-keep inside a workspace pin it: for ever, or until the date written in
    /// it. Ignore gives such a file no meaning.
    #[serde(default)]
    pub keep_file: KeepFile,
    /// What counts as activity. Any (the default) takes the newest of modification, status-change and birth time;
    /// Modified takes the modification time alone, for volumes on which backups or migrations renew the others.
    #[serde(default)]
    pub activity: Activity,
}

fn default_min_age() -> DurationString {
    "24h".into()
}

/// Whether a keep file pins its workspace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum KeepFile {
    /// A `.hygiene-keep` file pins its workspace.
    #[default]
    Allow,
    /// Keep files mean nothing.
    Ignore,
}

/// Which times count as activity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Activity {
    /// The newest of mtime, ctime and birth time.
    #[default]
    Any,
    /// mtime alone.
    Modified,
}
