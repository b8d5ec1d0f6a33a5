//! `spec.schedule`.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::forms;
use crate::api::text::DurationString;

/// When sweeps run.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("has(self.every) != has(self.cron)").message("give exactly one of every and cron"),
    validation = Rule::new(
        "!has(self.every) || \
         (duration(self.every) >= duration('1m') && duration(self.every) <= duration('168h'))"
    )
        .message("must be from 1m to 168h")
        .field_path(".every"),
    validation = Rule::new("!has(self.timeZone) || has(self.cron) || has(self.windows)")
        .message("is for cron and windows; every needs none")
        .field_path(".timeZone")
)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleSpec {
    /// Time from the start of one sweep to the start of the next, from 1m to 168h. The default is 15m, unless cron is
    /// given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<DurationString>,
    /// Starts of sweeps as a cron expression with five fields, instead of every. Times are in timeZone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = forms::CRON.pattern))]
    pub cron: Option<String>,
    /// IANA time zone of cron and of windows, such as Europe/Berlin. UTC if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = forms::TIME_ZONE.pattern))]
    pub time_zone: Option<String>,
    /// Times in which workspaces may be quarantined and purged; outside of them sweeps only observe and restore.
    /// Without windows it is always allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    pub windows: Option<Vec<WindowSpec>>,
}

impl Default for ScheduleSpec {
    fn default() -> Self {
        Self { every: Some("15m".into()), cron: None, time_zone: None, windows: None }
    }
}

/// A time in which deletion is allowed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowSpec {
    /// Starts of the window as a cron expression with five fields.
    #[schemars(length(max = 128), regex(pattern = forms::CRON.pattern))]
    pub start: String,
    /// Length of the window.
    pub duration: DurationString,
}
