//! What is in quarantine, since when, and when it goes.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use super::documents::ResourceDocument;
use super::plan::View;
use super::table::{Tone, count, plain};
use super::text::{ago, size, until};
use crate::names::{EntryId, SessionId};
use crate::observe::{Evidence, QuarantineEntry, Reading, Snapshot};
use crate::plan::{Decision, RetainReason, assess};
use crate::policy::Policy;

/// What `quarantine list` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineDocument {
    /// `QuarantineList`.
    pub kind: &'static str,
    /// The resource.
    pub resource: ResourceDocument,
    /// When it was looked at.
    pub generated_at: Timestamp,
    /// The entries, oldest first.
    pub entries: Vec<EntryDocument>,
}

/// One entry of the quarantine.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryDocument {
    /// Its id.
    pub id: EntryId,
    /// The workspace's name; null where its sidecar cannot be read.
    pub name: Option<String>,
    /// The session its name yields.
    pub session: Option<SessionId>,
    /// When it was quarantined.
    pub quarantined: Option<Timestamp>,
    /// Before this it is not condemned.
    pub due: Option<Timestamp>,
    /// What a sweep would do with it, the session rows aside: `Restore`, `Condemn` or `Retain`.
    pub decision: &'static str,
    /// The reason in one word.
    pub reason: &'static str,
    /// The reason as a sentence.
    pub message: String,
    /// Whether the workspace's name exists below the root again: then it cannot be put back.
    pub name_taken: bool,
    /// Inode of the tree; null where the tree is missing.
    pub inode: Option<u64>,
    /// What it was quarantined on.
    pub evidence: Option<Evidence>,
}

impl QuarantineDocument {
    /// The document of a quarantine.
    pub fn new(policy: &Policy, entries: &[QuarantineEntry], now: Timestamp) -> Self {
        let mut entries: Vec<_> = entries.iter().map(|entry| EntryDocument::new(policy, entry, now)).collect();
        entries.sort_by(|a, b| (a.quarantined, &a.id).cmp(&(b.quarantined, &b.id)));
        Self { kind: "QuarantineList", resource: (&policy.resource).into(), generated_at: now, entries }
    }

    /// The quarantine as text.
    pub fn text(&self, view: View<'_>) -> String {
        let title = format!("Quarantine of {}/{}", self.resource.namespace, self.resource.name);
        let title = view.style.paint(Tone::Strong, &plain(&title));
        if self.entries.is_empty() {
            return format!("{title}\n\nnothing is in quarantine\n");
        }
        let headers = ["NAME", "SINCE", "GOES", "SIZE", "ENTRIES", "STATE", "BECAUSE", "ENTRY"];
        let names = self.entries.iter().map(|entry| entry.name.as_deref());
        let mut grid = view.style.grid(with_ids(&headers, view.all || !told_apart(names)));
        for entry in &self.entries {
            let tone = match entry.reason {
                "Retention" => Tone::Plain,
                "Damaged" | "RestoreConflict" => Tone::Alarm,
                _ => Tone::Warn,
            };
            let evidence = entry.evidence.as_ref();
            grid.row([
                (tone, entry.name.as_deref().unwrap_or("(unknown)")),
                (Tone::Plain, &entry.quarantined.map_or_else(|| "-".into(), |at| ago(at, self.generated_at))),
                (Tone::Plain, &entry.due.map_or_else(|| "-".into(), |at| until(at, self.generated_at))),
                (Tone::Plain, &evidence.map_or_else(|| "-".into(), |e| size(e.bytes))),
                (Tone::Plain, &evidence.map_or_else(|| "-".into(), |e| e.entries.to_string())),
                (tone, entry.reason),
                (Tone::Plain, if entry.reason == "Retention" { "" } else { &entry.message }),
                (Tone::Dim, entry.id.as_str()),
            ]);
        }
        let bytes = self.entries.iter().filter_map(|entry| Some(entry.evidence.as_ref()?.bytes)).sum();
        let total = count(self.entries.len() as u64, "workspace", "workspaces");
        format!(
            "{title}\n\n{}\n{total}, {}. To put one back: hygiene quarantine restore {} NAME\n",
            grid.finish(),
            size(bytes),
            view.spec
        )
    }
}

/// Whether names alone tell the entries apart.
pub(super) fn told_apart<'a>(names: impl Iterator<Item = Option<&'a str>>) -> bool {
    let mut seen = BTreeSet::new();
    names.into_iter().all(|name| name.is_some_and(|name| seen.insert(name)))
}

/// `headers` with the last one, the id, only where it is of use: it is long, and people go by names.
pub(super) fn with_ids<'a>(headers: &'a [&'a str], ids: bool) -> &'a [&'a str] {
    match headers {
        [shorter @ .., _] if !ids => shorter,
        all => all,
    }
}

impl EntryDocument {
    /// The document of one entry, as it looks without asking any source.
    pub fn new(policy: &Policy, entry: &QuarantineEntry, now: Timestamp) -> Self {
        Self::decided(policy, entry, &without_sources(policy, entry, now), now)
    }

    /// The document of one entry about which a plan decided.
    pub fn decided(policy: &Policy, entry: &QuarantineEntry, decision: &Decision, now: Timestamp) -> Self {
        let sidecar = entry.sidecar.complete();
        Self {
            id: entry.id.clone(),
            name: sidecar.map(|sidecar| sidecar.name.clone()),
            session: sidecar.map(|sidecar| sidecar.session.clone()),
            quarantined: sidecar.map(|sidecar| sidecar.quarantined),
            due: sidecar.map(|sidecar| sidecar.due(policy.retention)),
            decision: decision.kind(),
            reason: decision.reason(),
            message: match decision {
                Decision::Retain(RetainReason::AwaitsSecondWalk) => {
                    "its retention is over; the next sweep looks at it a last time".into()
                }
                other => other.message(now),
            },
            name_taken: entry.name_taken,
            inode: entry.tree,
            evidence: sidecar.map(|sidecar| sidecar.evidence.clone()),
        }
    }
}

/// What a sweep would decide about the entry if no source spoke for or against it.
fn without_sources(policy: &Policy, entry: &QuarantineEntry, now: Timestamp) -> Decision {
    let not_asked = || "it was not asked".to_owned();
    let seen = Snapshot {
        volume: Reading::Unavailable(not_asked()),
        sessions: Reading::Unavailable(not_asked()),
        serving: None,
        claims: None,
        efs: None,
        history: Reading::Unavailable(not_asked()),
        roots: Default::default(),
        inspections: Default::default(),
        sample: None,
        second_walks: Default::default(),
    };
    assess(policy, &seen, None, now, entry, false)
}
