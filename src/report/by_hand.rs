//! What came of a restore or a purge by hand.

use std::fmt::Write as _;

use serde::Serialize;

use super::documents::{HoldDocument, ResourceDocument};
use super::plan::{View, hold_line};
use super::sweep::{errors, moved, reclaimed};
use super::table::{Tone, count, plain};
use crate::act::{Acted, Reclaimed, StepError};
use crate::names::SweepId;
use crate::plan::Hold;
use crate::policy::Policy;

/// What `quarantine restore` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreDocument {
    /// `QuarantineRestore`.
    pub kind: &'static str,
    /// The resource.
    pub resource: ResourceDocument,
    /// Names put back.
    pub restored: Vec<String>,
    /// Whether each got a keep file, so that no later sweep takes it again.
    pub pinned: bool,
    /// What failed.
    pub errors: Vec<StepError>,
    /// Whether it was asked to stop before everything was done.
    pub stopped: bool,
}

/// What `quarantine purge` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PurgeDocument {
    /// `QuarantinePurge`.
    pub kind: &'static str,
    /// The sweep, as the journal calls it; null where there was nothing to purge.
    pub sweep: Option<SweepId>,
    /// The resource.
    pub resource: ResourceDocument,
    /// Why nothing was condemned, if so.
    pub held: Option<HoldDocument>,
    /// Names condemned.
    pub condemned: Vec<String>,
    /// Names whose tree is gone.
    pub purged: Vec<String>,
    /// Names put back, because something speaks for them.
    pub restored: Vec<String>,
    /// What failed.
    pub errors: Vec<StepError>,
    /// What the purge freed.
    pub reclaimed: Reclaimed,
    /// Whether it was asked to stop before everything was done.
    pub stopped: bool,
    /// Why it ended before everything was done though nobody asked it to; absent where it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    /// Condemned trees that are left to the shards of the purge; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_to_shards: Option<u64>,
}

impl RestoreDocument {
    /// The document of a restore.
    pub fn new(policy: &Policy, pinned: bool, acted: Acted) -> Self {
        Self {
            kind: "QuarantineRestore",
            resource: (&policy.resource).into(),
            restored: acted.restored,
            pinned,
            errors: acted.errors,
            stopped: acted.stopped,
        }
    }

    /// The restore as text.
    pub fn text(&self, view: View<'_>) -> String {
        let mut out = title(view, "Restore into", &self.resource);
        let acted = Acted { restored: self.restored.clone(), ..Acted::default() };
        out += &moved(view, &acted);
        out += &errors(view, &self.errors);
        let n = self.restored.len() as u64;
        out += &match (n, self.pinned) {
            (0, _) if self.errors.is_empty() => "\nnothing is in quarantine\n".to_owned(),
            (0, _) => "\nnothing was put back\n".to_owned(),
            (_, true) => format!(
                "\n{} put back, with a .hygiene-keep file: no sweep takes it again before that file is removed\n",
                count(n, "workspace", "workspaces")
            ),
            (_, false) => format!(
                "\n{} put back without a keep file: a later sweep takes an orphan again\n",
                count(n, "workspace", "workspaces")
            ),
        };
        out
    }
}

impl PurgeDocument {
    /// The document of a purge.
    pub fn new(policy: &Policy, sweep: Option<SweepId>, held: Option<&Hold>, acted: Acted) -> Self {
        Self {
            kind: "QuarantinePurge",
            sweep,
            resource: (&policy.resource).into(),
            held: held.map(HoldDocument::from),
            condemned: acted.condemned,
            purged: acted.purged,
            restored: acted.restored,
            errors: acted.errors,
            reclaimed: acted.reclaimed,
            stopped: acted.stopped,
            paused: acted.paused,
            left_to_shards: Some(acted.left_to_shards).filter(|left| *left > 0),
        }
    }

    /// The purge as text.
    pub fn text(&self, view: View<'_>) -> String {
        let mut out = title(view, "Purge in", &self.resource);
        if let Some(hold) = &self.held {
            out += &hold_line(view, hold);
        }
        let acted = Acted {
            condemned: self.condemned.clone(),
            purged: self.purged.clone(),
            restored: self.restored.clone(),
            reclaimed: self.reclaimed,
            ..Acted::default()
        };
        out += &moved(view, &acted);
        out += &errors(view, &self.errors);
        out += &match (self.condemned.len() as u64, self.purged.len() as u64) {
            (0, 0) if self.sweep.is_none() => "\nnothing is in quarantine\n".to_owned(),
            (0, 0) => "\nnothing was purged\n".to_owned(),
            (_, purged) => format!("\n{} purged{}\n", count(purged, "workspace", "workspaces"), reclaimed(&acted)),
        };
        if let Some(left) = self.left_to_shards {
            let trees = count(left, "condemned tree is", "condemned trees are");
            let _ = writeln!(out, "{trees} left to the shards of the purge, which the controller starts");
        }
        if let Some(why) = &self.paused {
            let _ = writeln!(out, "paused before everything was done, and the next sweep goes on: {why}");
        }
        out
    }
}

fn title(view: View<'_>, what: &str, resource: &ResourceDocument) -> String {
    let title = format!("{what} {}/{}", resource.namespace, resource.name);
    format!("{}\n", view.style.paint(Tone::Strong, &plain(&title)))
}
