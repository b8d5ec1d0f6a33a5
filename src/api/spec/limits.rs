//! `spec.limits` and `spec.quarantine`.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::text::{DurationString, SizeString};

/// How fast to clean, and what stops it until a person decides.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitsSpec {
    /// Most workspaces that one sweep quarantines, from 1 to 1000. The default is 10.
    #[serde(default = "default_per_sweep")]
    #[schemars(range(min = 1, max = 1000))]
    pub per_sweep: u32,
    /// Most that may be quarantined in a rolling period, restarts or not.
    #[serde(default)]
    pub budget: BudgetSpec,
    /// Anomalies past which nothing is quarantined or purged until a person approves or dismisses the held plan.
    #[serde(default)]
    pub breaker: BreakerSpec,
    /// How fast quarantined workspaces are removed once their retention is over.
    #[serde(default)]
    pub purge: PurgeSpec,
}

fn default_per_sweep() -> u32 {
    10
}

impl Default for LimitsSpec {
    fn default() -> Self {
        Self {
            per_sweep: default_per_sweep(),
            budget: BudgetSpec::default(),
            breaker: BreakerSpec::default(),
            purge: PurgeSpec::default(),
        }
    }
}

/// Most that may be quarantined in a rolling period.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetSpec {
    /// Length of the rolling period. The default is 24h.
    #[serde(default = "default_period")]
    pub period: DurationString,
    /// Most workspaces in the period. The default is 100.
    #[serde(default = "default_directories")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub directories: u32,
    /// Most bytes in the period. The default is 500Gi.
    #[serde(default = "default_size")]
    pub size: SizeString,
}

fn default_period() -> DurationString {
    "24h".into()
}

fn default_directories() -> u32 {
    100
}

fn default_size() -> SizeString {
    "500Gi".into()
}

impl Default for BudgetSpec {
    fn default() -> Self {
        Self { period: default_period(), directories: default_directories(), size: default_size() }
    }
}

/// Anomaly limits.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BreakerSpec {
    /// More orphans than this stop deletion. The default is 50.
    #[serde(default = "default_max_orphans")]
    #[schemars(range(max = 1_000_000))]
    pub max_orphans: u32,
    /// More orphans than this many per cent of the workspaces stop deletion; looked at only above 10 orphans. The
    /// default is 30.
    #[serde(default = "default_per_cent")]
    #[schemars(range(max = 100))]
    pub max_orphan_percent: u32,
    /// A live count that falls by more than this many per cent below the highest of the last 7 days stops deletion. The
    /// default is 30.
    #[serde(default = "default_per_cent")]
    #[schemars(range(max = 100))]
    pub max_session_drop_percent: u32,
}

fn default_max_orphans() -> u32 {
    50
}

fn default_per_cent() -> u32 {
    30
}

impl Default for BreakerSpec {
    fn default() -> Self {
        Self {
            max_orphans: default_max_orphans(),
            max_orphan_percent: default_per_cent(),
            max_session_drop_percent: default_per_cent(),
        }
    }
}

/// How fast to purge.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PurgeSpec {
    /// Most files and directories removed in one second. The default is 2000.
    #[serde(default = "default_entries_per_second")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub entries_per_second: u32,
    /// Most directories worked on at once, from 1 to 256. The engine finds the best number below it. The default is 32.
    #[serde(default = "default_concurrency")]
    #[schemars(range(min = 1, max = 256))]
    pub concurrency: u32,
    /// Jobs that purge side by side, each on a node of its own, from 1 to 64. Only with volume.persistentVolumeClaim.
    /// The default is 1.
    #[serde(default = "default_shards")]
    #[schemars(range(min = 1, max = 64))]
    pub shards: u32,
}

fn default_entries_per_second() -> u32 {
    2000
}

fn default_concurrency() -> u32 {
    32
}

fn default_shards() -> u32 {
    1
}

impl Default for PurgeSpec {
    fn default() -> Self {
        Self {
            entries_per_second: default_entries_per_second(),
            concurrency: default_concurrency(),
            shards: default_shards(),
        }
    }
}

/// How long a quarantined workspace can be restored.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineSpec {
    /// Time in quarantine before a workspace is purged for good. The default is 168h; Enforce refuses less than 24h.
    /// Fixed when a workspace enters quarantine: a later edit can only lengthen it.
    #[serde(default = "default_retention")]
    pub retention: DurationString,
}

fn default_retention() -> DurationString {
    "168h".into()
}

impl Default for QuarantineSpec {
    fn default() -> Self {
        Self { retention: default_retention() }
    }
}
