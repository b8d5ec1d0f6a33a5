//! What a `WorkspaceHygiene` asks for.
//!
//! A default stands in one place, a function or a `Default`, from which both serde and the CRD take it. Where a parent
//! has only defaulted children its default is the whole object, so that the API server fills in everything.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod containers;
mod job;
mod limits;
mod schedule;
mod sessions;
mod volume;
mod workspaces;

pub use containers::*;
pub use job::*;
pub use limits::*;
pub use schedule::*;
pub use sessions::*;
pub use volume::*;
pub use workspaces::*;

/// Where the workspaces are, how live sessions are found, which containers serve them, and how fast to clean.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "hygiene.dev",
    version = "v1alpha1",
    kind = "WorkspaceHygiene",
    namespaced,
    shortname = "wsh",
    status = "super::status::WorkspaceHygieneStatus",
    derive = "PartialEq",
    doc = "Removes orphaned session workspaces from a shared volume: quarantines directories that no live session and \
           no container uses, and purges them after a retention.",
    validation = Rule::new("self.metadata.name.size() <= 40")
        .message("metadata.name: must be at most 40 characters, because the names of Jobs and leases are made from it"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode", description = "Report or Enforce"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether the spec is accepted, the sources can be read and the last sweep finished"
    ),
    printcolumn(
        name = "Hold",
        type_ = "string",
        json_path = ".status.hold.reason",
        description = "Why nothing is deleted now, empty if nothing stands in the way"
    ),
    printcolumn(
        name = "Orphans",
        type_ = "integer",
        json_path = ".status.lastSweep.orphans",
        description = "Orphans the last sweep found"
    ),
    printcolumn(
        name = "Quarantined",
        type_ = "integer",
        json_path = ".status.quarantine.directories",
        description = "Workspaces in quarantine, which can still be restored"
    ),
    printcolumn(
        name = "Reclaimed",
        type_ = "string",
        json_path = ".status.reclaimed.size",
        description = "Bytes given back so far"
    ),
    printcolumn(
        name = "Last Sweep",
        type_ = "date",
        json_path = ".status.lastSweep.completionTime",
        description = "When the last sweep ended"
    ),
    printcolumn(
        name = "Next Sweep",
        type_ = "string",
        json_path = ".status.nextSweepTime",
        priority = "1",
        description = "When the next sweep is due"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Age of the resource"
    )
)]
#[x_kube(
    validation = Rule::new("self.mode == 'Report' || self.volume == oldSelf.volume")
        .message("may change only in an update that leaves mode: Report; set Report, look at a plan, then set Enforce")
        .field_path(".volume"),
    validation = Rule::new("!has(self.job) || has(self.volume.persistentVolumeClaim)")
        .message("belongs to volume.persistentVolumeClaim; a volume.path is swept by the operator itself")
        .field_path(".job")
)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceHygieneSpec {
    /// Report (the default) observes and reports and writes nothing to the volume. Enforce quarantines, restores and
    /// purges. Start with Report and read a few plans first.
    #[serde(default)]
    pub mode: Mode,
    /// True stops new quarantining and purging until it is false again (the default). A workspace whose session is back
    /// is still restored.
    #[serde(default)]
    pub suspend: bool,
    /// When sweeps run; every 15 minutes if nothing is said. The command line runs one sweep at once and ignores this.
    #[serde(default)]
    pub schedule: ScheduleSpec,
    /// The volume with the workspaces directly below its root. It may change only in an update that leaves mode:
    /// Report.
    pub volume: VolumeSpec,
    /// Which directories are workspaces, and which of them are always kept.
    pub workspaces: WorkspacesSpec,
    /// Where the live sessions are read, and what makes the answer believable. A workspace of a live session is never
    /// touched.
    pub sessions: SessionsSpec,
    /// Which containers serve and use the workspaces. Nothing is deleted while they are unhealthy, and a workspace that
    /// a running container claims is kept. Without this part only sessions count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containers: Option<ContainersSpec>,
    /// How fast to clean, and what stops it until a person decides.
    #[serde(default)]
    pub limits: LimitsSpec,
    /// How long a quarantined workspace can be restored.
    #[serde(default)]
    pub quarantine: QuarantineSpec,
    /// How the Jobs that sweep a persistentVolumeClaim are made. Only together with volume.persistentVolumeClaim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobSpec>,
}

/// Whether a sweep may write to the volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// Observe and report; nothing is written anywhere on the volume.
    #[default]
    Report,
    /// Quarantine, restore and purge.
    Enforce,
}
