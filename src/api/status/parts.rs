//! The parts of the status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The volume as it was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeStatus {
    /// Random id written on the volume when it was adopted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub identity: Option<String>,
    /// When the identity was last found to be the right one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_time: Option<Time>,
    /// Size of the whole volume, such as 3Ti.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub size: Option<String>,
    /// What the volume costs in a month at volume.efs.pricePerGiBMonth, whatever storage class its bytes are in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub monthly_cost: Option<String>,
    /// The EFS file system that volume.efs names, as AWS describes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub efs: Option<EfsStatus>,
}

/// An EFS file system as AWS describes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EfsStatus {
    /// Id of the file system.
    #[serde(rename = "fileSystemID")]
    #[schemars(length(max = 64))]
    pub file_system_id: String,
    /// What shows that it is mounted below the root: MountTarget or MountHelper; IdentityFile where nothing but the
    /// identity on the volume does; Nothing while another one is mounted.
    #[schemars(length(max = 16))]
    pub verified_by: String,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub message: Option<String>,
    /// Size in storage class Standard, such as 2Ti.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub standard: Option<String>,
    /// Size in storage class Infrequent Access.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub infrequent_access: Option<String>,
    /// Size in storage class Archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub archive: Option<String>,
}

/// The session store as it was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionsStatus {
    /// What tells this database from another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub database_identity: Option<String>,
    /// Live sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<u64>,
    /// When they were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_time: Option<Time>,
}

/// One sweep.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SweepStatus {
    /// Id of the sweep, as in the journal.
    #[schemars(length(max = 64))]
    pub id: String,
    /// metadata.generation the sweep ran for.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub generation: i64,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// How it ended: Completed, Held by a gate or breaker, Stopped half-way, or Failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<SweepResult>,
    /// Hash of its plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub plan_hash: Option<String>,
    /// Entries below the volume's root.
    #[serde(default)]
    pub directories: u64,
    /// Orphans it found.
    #[serde(default)]
    pub orphans: u64,
    /// Orphans whose whole tree was inspected and found idle.
    #[serde(default)]
    pub confirmed: u64,
    /// Workspaces it quarantined.
    #[serde(default)]
    pub quarantined: u64,
    /// Workspaces it put back.
    #[serde(default)]
    pub restored: u64,
    /// Workspaces it purged.
    #[serde(default)]
    pub purged: u64,
    /// Steps that failed.
    #[serde(default)]
    pub errors: u64,
    /// Number of the last record in the volume's journal after it. None while nothing was recorded there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal_sequence: Option<u64>,
    /// Directories by verdict and reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub verdicts: Vec<VerdictCount>,
}

/// How a sweep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SweepResult {
    /// It did all it planned.
    Completed,
    /// A gate or a breaker held it.
    Held,
    /// It was asked to stop half-way.
    Stopped,
    /// It failed.
    Failed,
}

impl SweepResult {
    /// The result in one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Completed => "Completed",
            Self::Held => "Held",
            Self::Stopped => "Stopped",
            Self::Failed => "Failed",
        }
    }
}

/// Directories with one verdict for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerdictCount {
    /// Reason of the verdict, as plans name it.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// Keep or Quarantine.
    #[schemars(length(max = 16))]
    pub verdict: String,
    /// How many directories.
    pub directories: u64,
}

/// Why nothing is deleted now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HoldStatus {
    /// A Gate ends by itself; a Breaker ends when a person approves or dismisses the held plan.
    pub kind: HoldKind,
    /// One word for the cause.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// The cause in full; ends with the commands that resolve it.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// Since when it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Hash of the held plan, to approve or dismiss it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub plan_hash: Option<String>,
    /// Orphans in the held plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directories: Option<u64>,
}

/// What kind of hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HoldKind {
    /// A temporary reason that ends by itself.
    Gate,
    /// An anomaly that a person must look at.
    Breaker,
}

impl HoldKind {
    /// `Gate` or `Breaker`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Gate => "Gate",
            Self::Breaker => "Breaker",
        }
    }
}

/// The approved plan that is being carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalStatus {
    /// Hash of the approved plan.
    #[schemars(length(max = 64))]
    pub plan_hash: String,
    /// When the approval was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_time: Option<Time>,
    /// Approved orphans that are still to be quarantined.
    #[serde(default)]
    pub remaining: u64,
}

/// Confirmed orphans that wait for their turn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BacklogStatus {
    /// How many.
    #[serde(default)]
    pub directories: u64,
    /// Their size, such as 1.4Gi, estimated from what the sweep inspected. Missing if it inspected nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub size: Option<String>,
    /// What that costs in a month at volume.efs.pricePerGiBMonth.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub monthly_cost: Option<String>,
    /// When the last of them will be quarantined at the present limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_drain_time: Option<Time>,
}

/// What is in quarantine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineStatus {
    /// How many workspaces.
    #[serde(default)]
    pub directories: u64,
    /// Their size, such as 1.4Gi.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub size: Option<String>,
    /// When the oldest of them entered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_time: Option<Time>,
    /// When the next of them may be purged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_purge_time: Option<Time>,
}

/// What was given back since the resource exists.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReclaimedStatus {
    /// Workspaces purged.
    #[serde(default)]
    pub directories: u64,
    /// Files and directories removed.
    #[serde(default)]
    pub entries: u64,
    /// Bytes given back, such as 3Ti.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub size: Option<String>,
    /// What they would cost in a month at volume.efs.pricePerGiBMonth.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub monthly_cost: Option<String>,
}

/// What is left of the budget.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BudgetStatus {
    /// Workspaces that may still be quarantined.
    #[serde(default)]
    pub directories_left: u64,
    /// Bytes that may still be quarantined, such as 499Gi.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub size_left: Option<String>,
    /// When more becomes free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_release_time: Option<Time>,
}

/// Disagreements between the sources.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftStatus {
    /// Live sessions that have no directory.
    #[serde(default)]
    pub sessions_without_directory: u64,
    /// Running containers whose session is not live.
    #[serde(default)]
    pub containers_without_session: u64,
}

/// One orphan, as a sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrphanSample {
    /// Name of the directory.
    #[schemars(length(max = 255))]
    pub name: String,
    /// When anything in it changed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_activity_time: Option<Time>,
    /// Its size, such as 1.4Gi.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub size: Option<String>,
}

/// The Job that sweeps or purges now, or did last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobStatus {
    /// Name of the Job.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Name of its pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub pod_name: Option<String>,
    /// Node the pod runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node_name: Option<String>,
    /// Pending, Running, Succeeded or Failed.
    pub phase: JobPhase,
    /// Files and directories removed so far.
    #[serde(default)]
    pub entries_removed: u64,
    /// When it last made progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress_time: Option<Time>,
    /// What it says about itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub message: Option<String>,
}

impl JobStatus {
    /// Longest message, in bytes: what the schema has room for.
    pub const LONGEST_MESSAGE: usize = 512;
}

/// How far a Job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum JobPhase {
    /// Not started yet.
    Pending,
    /// At work.
    Running,
    /// Done.
    Succeeded,
    /// Failed.
    Failed,
}
