//! Whose volume it is. Written once, compared by every sweep: a volume, a database or a pattern that is not the one it was
//! bound to deletes nothing before a person says so.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The file below `.hygiene`.
pub const IDENTITY: &str = "identity";

/// What a volume is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// A random id, made when the volume was bound.
    pub id: String,
    /// Cluster, namespace and name of the resource that cleans it.
    pub owner: String,
    /// Inode of the root: a copy of the volume has another.
    pub root: u64,
    /// The EFS file system it was found to be on, where that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub efs: Option<String>,
    /// Which database the sessions are in.
    pub database: String,
    /// Hash of `workspaces.pattern` and `sessions.liveQuery`.
    pub query: String,
    /// When it was bound.
    pub bound: Timestamp,
    /// Whether a person has approved a plan since.
    pub approved: bool,
}

/// What a volume is bound to, and what is found now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// What differs.
    pub what: &'static str,
    /// What the volume is bound to.
    pub bound: String,
    /// What is found now.
    pub now: String,
}

impl Identity {
    /// An identity that is bound to nothing yet.
    pub fn unbound(id: String, now: Timestamp) -> Self {
        let none = String::new;
        Self { id, owner: none(), root: 0, efs: None, database: none(), query: none(), bound: now, approved: false }
    }

    /// What belongs together, as one text: an answer that was given under another binding is not an answer here.
    pub fn binding(&self) -> String {
        format!("{} root {} database {} query {}", self.owner, self.root, self.database, self.query)
    }

    /// Everything in which `now` differs.
    pub fn differences(&self, now: &Self) -> Vec<Difference> {
        let rows = [
            ("owner", self.owner.clone(), now.owner.clone()),
            ("root inode", self.root.to_string(), now.root.to_string()),
            ("EFS file system", self.efs.clone().unwrap_or_default(), now.efs.clone().unwrap_or_default()),
            ("database", self.database.clone(), now.database.clone()),
            ("pattern and liveQuery", self.query.clone(), now.query.clone()),
        ];
        rows.into_iter()
            .filter(|(_, bound, now)| bound != now)
            .map(|(what, bound, now)| Difference { what, bound, now })
            .collect()
    }
}
