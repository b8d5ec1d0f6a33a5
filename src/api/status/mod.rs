//! What is reported back onto a `WorkspaceHygiene`.
//!
//! Counts and a few samples, never lists that grow with the volume: the whole status stays below 8 KiB.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod conditions;
mod parts;

use conditions::conditions_schema;
pub use parts::*;

/// What was observed and done. Until the first report it is {observedGeneration: -1}, so that waiting for a generation
/// does wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceHygieneStatus {
    /// metadata.generation this status is about, -1 before the first report.
    #[serde(default = "not_observed")]
    #[schemars(range(min = -1))]
    pub observed_generation: i64,
    /// Ready, SourcesAvailable, DeletionAllowed and BacklogDrained; Reconciling and Stalled only while they are True.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// Value of the annotation hygiene.dev/sweep-requested-at that was answered last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub last_handled_sweep_request: Option<String>,
    /// When the next sweep is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_sweep_time: Option<Time>,
    /// The volume as it was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeStatus>,
    /// The session store as it was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<SessionsStatus>,
    /// The last sweep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_sweep: Option<SweepStatus>,
    /// Why nothing is deleted now. Missing if nothing stands in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldStatus>,
    /// The approved plan that is being carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalStatus>,
    /// Confirmed orphans that wait for their turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backlog: Option<BacklogStatus>,
    /// What is in quarantine and can still be restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<QuarantineStatus>,
    /// What was given back since the resource exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reclaimed: Option<ReclaimedStatus>,
    /// What is left of limits.budget in the current period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetStatus>,
    /// Disagreements that are not ours to solve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftStatus>,
    /// At most ten orphans, as samples.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub orphans: Vec<OrphanSample>,
    /// The Job that sweeps or purges now, or did last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobStatus>,
}

fn not_observed() -> i64 {
    -1
}

impl Default for WorkspaceHygieneStatus {
    fn default() -> Self {
        Self {
            observed_generation: not_observed(),
            conditions: Vec::new(),
            last_handled_sweep_request: None,
            next_sweep_time: None,
            volume: None,
            sessions: None,
            last_sweep: None,
            hold: None,
            approval: None,
            backlog: None,
            quarantine: None,
            reclaimed: None,
            budget: None,
            drift: None,
            orphans: Vec::new(),
            job: None,
        }
    }
}
