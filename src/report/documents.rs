//! What `plan` and `sweep` print as JSON and YAML. The names of the fields are an interface: scripts read them.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;

use jiff::Timestamp;
use serde::Serialize;

use super::figures::{self, Source};
use crate::act::{Reclaimed, StepError};
use crate::names::{EntryId, EntryName, PlanHash, SessionId, SweepId, hex};
use crate::observe::Snapshot;
use crate::plan::{Decision, Hold, Plan, Verdict};
use crate::policy::{Mode, Policy, ResourceName};
use crate::sweep::{Observed, Swept};

/// Several documents of one kind in one.
#[derive(Debug, Serialize)]
pub struct ListDocument<'a, D> {
    /// `List`.
    pub kind: &'static str,
    /// The documents, in the order of the resources.
    pub items: &'a [D],
}

/// Which resource a document is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResourceDocument {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What `plan` prints.
#[derive(Debug, Serialize)]
pub struct PlanDocument {
    /// `Plan`.
    pub kind: &'static str,
    /// The resource.
    pub resource: ResourceDocument,
    /// What was seen and follows from it.
    #[serde(flatten)]
    pub seen: SeenDocument,
}

/// What was seen, and what follows from it: the same in a plan and in the report of a sweep.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenDocument {
    /// `Report` or `Enforce`.
    pub mode: &'static str,
    /// Hash over the resource, the volume, the breaker and all orphans.
    pub plan_hash: PlanHash,
    /// The instant the plan was made for.
    pub generated_at: Timestamp,
    /// How many entries below the root are workspaces.
    pub workspaces: u64,
    /// How many workspaces are orphans.
    pub orphans: u64,
    /// What each source answered.
    pub sources: SourcesDocument,
    /// How many entries have each verdict and reason.
    pub counts: Counts,
    /// Why nothing is quarantined or condemned, if so.
    pub held: Option<HoldDocument>,
    /// One verdict for every entry below the root.
    pub verdicts: Vec<VerdictDocument>,
    /// One decision for every entry of the quarantine.
    pub quarantine: Vec<DecisionDocument>,
}

/// How many entries have each verdict and reason; both verdicts are always there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Counts {
    /// Entries that stay, by reason.
    pub keep: BTreeMap<&'static str, u64>,
    /// Workspaces to quarantine, by reason.
    pub quarantine: BTreeMap<&'static str, u64>,
}

/// What each source answered.
#[derive(Debug, Serialize)]
pub struct SourcesDocument {
    /// The listing of the volume.
    pub volume: SourceDocument,
    /// The session store.
    pub sessions: SourceDocument,
    /// The health of the serving containers.
    pub serving: SourceDocument,
    /// The claims of running containers.
    pub claims: SourceDocument,
    /// The EFS file system; absent where the spec names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub efs: Option<SourceDocument>,
    /// Our own records on the volume.
    pub history: SourceDocument,
}

/// What one source answered.
#[derive(Debug, Serialize)]
pub struct SourceDocument {
    /// `Complete`, `Unavailable` or `NotConfigured`.
    pub state: &'static str,
    /// What it answered in a few words, or why it did not.
    pub message: String,
    /// How many sessions are live; the session store's answer only, and only when it is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<u64>,
}

/// Why nothing is quarantined or condemned.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldDocument {
    /// `Gate` or `Breaker`.
    pub kind: &'static str,
    /// The reason in one word.
    pub reason: &'static str,
    /// The reason as a sentence that ends with what resolves it.
    pub message: String,
    /// The plan to approve or to dismiss, where the hold can be resolved so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_hash: Option<PlanHash>,
    /// Since when, where an earlier sweep stored the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// The verdict about one entry below the root.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerdictDocument {
    /// Its name; bytes that are not UTF-8 are U+FFFD.
    pub name: String,
    /// The name's bytes in hexadecimal, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_bytes: Option<String>,
    /// The session id its name yields; null where the name is foreign.
    pub session: Option<SessionId>,
    /// `Keep` or `Quarantine`.
    pub verdict: &'static str,
    /// The reason in one word.
    pub reason: &'static str,
    /// The reason as a sentence.
    pub message: String,
}

/// The decision about one entry of the quarantine.
#[derive(Debug, Serialize)]
pub struct DecisionDocument {
    /// Its id.
    pub id: EntryId,
    /// The workspace's name; null where its sidecar cannot be read.
    pub name: Option<String>,
    /// `Restore`, `Condemn` or `Retain`.
    pub decision: &'static str,
    /// The reason in one word.
    pub reason: &'static str,
    /// The reason as a sentence.
    pub message: String,
}

/// What `sweep` prints.
#[derive(Debug, Serialize)]
pub struct SweepDocument {
    /// `SweepReport`.
    pub kind: &'static str,
    /// The sweep, as the journal calls it.
    pub sweep: SweepId,
    /// The resource.
    pub resource: ResourceDocument,
    /// Names moved to quarantine.
    pub quarantined: Vec<String>,
    /// Names put back.
    pub restored: Vec<String>,
    /// Names condemned: from here on there is no way back.
    pub condemned: Vec<String>,
    /// Names whose tree is gone.
    pub purged: Vec<String>,
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
    #[serde(rename = "leftToShards", skip_serializing_if = "Option::is_none")]
    pub left_to_shards: Option<u64>,
    /// What was seen and follows from it.
    #[serde(flatten)]
    pub seen: SeenDocument,
}

impl From<&ResourceName> for ResourceDocument {
    fn from(name: &ResourceName) -> Self {
        Self { namespace: name.namespace.clone(), name: name.name.clone() }
    }
}

impl From<&Hold> for HoldDocument {
    fn from(hold: &Hold) -> Self {
        Self {
            kind: hold.reason.kind().word(),
            reason: hold.reason.word(),
            message: hold.message.clone(),
            plan_hash: hold.plan.clone(),
            since: hold.since,
        }
    }
}

impl From<Source> for SourceDocument {
    fn from(source: Source) -> Self {
        Self { state: source.state, message: source.message, live: source.live }
    }
}

impl SourcesDocument {
    fn of(snapshot: &Snapshot) -> Self {
        let mut sources: BTreeMap<_, _> = figures::sources(snapshot).into_iter().map(|one| (one.name, one)).collect();
        let mut take = |name| sources.remove(name).map(SourceDocument::from);
        let unknown = || SourceDocument { state: "Unavailable", message: "it was not asked".into(), live: None };
        let [volume, sessions, serving, claims, history] =
            ["volume", "sessions", "serving", "claims", "history"].map(|name| take(name).unwrap_or_else(unknown));
        Self { volume, sessions, serving, claims, efs: take("efs"), history }
    }
}

impl PlanDocument {
    /// The document of a plan.
    pub fn new(policy: &Policy, observed: &Observed) -> Self {
        Self { kind: "Plan", resource: (&policy.resource).into(), seen: SeenDocument::new(policy, observed) }
    }
}

impl SweepDocument {
    /// The document of a sweep.
    pub fn new(policy: &Policy, swept: &Swept) -> Self {
        let acted = swept.acted.clone();
        Self {
            kind: "SweepReport",
            sweep: swept.id.clone(),
            resource: (&policy.resource).into(),
            quarantined: acted.quarantined,
            restored: acted.restored,
            condemned: acted.condemned,
            purged: acted.purged,
            errors: acted.errors,
            reclaimed: acted.reclaimed,
            stopped: acted.stopped,
            paused: acted.paused,
            left_to_shards: Some(acted.left_to_shards).filter(|left| *left > 0),
            seen: SeenDocument::new(policy, &swept.observed),
        }
    }
}

impl SeenDocument {
    fn new(policy: &Policy, Observed { snapshot, plan }: &Observed) -> Self {
        Self {
            mode: mode(policy.mode),
            plan_hash: plan.hash.clone(),
            generated_at: plan.now,
            workspaces: plan.workspaces,
            orphans: plan.orphans,
            sources: SourcesDocument::of(snapshot),
            counts: Counts::of(plan),
            held: plan.held.as_ref().map(HoldDocument::from),
            verdicts: verdicts(policy, snapshot, plan),
            quarantine: plan
                .quarantine
                .iter()
                .map(|e| DecisionDocument::new(&e.id, e.name.clone(), &e.decision, plan.now))
                .collect(),
        }
    }
}

impl Counts {
    /// The counts of a plan.
    pub fn of(plan: &Plan) -> Self {
        let mut counts = Self::default();
        for verdict in &plan.verdicts {
            let by_reason = match verdict {
                Verdict::Keep(_) => &mut counts.keep,
                Verdict::Quarantine(_) => &mut counts.quarantine,
            };
            *by_reason.entry(verdict.reason()).or_default() += 1;
        }
        counts
    }
}

impl DecisionDocument {
    /// The document of one decision.
    pub fn new(id: &EntryId, name: Option<String>, decision: &Decision, now: Timestamp) -> Self {
        let (kind, reason, message) = (decision.kind(), decision.reason(), decision.message(now));
        Self { id: id.clone(), name, decision: kind, reason, message }
    }
}

/// A mode as the spec writes it.
pub fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Report => "Report",
        Mode::Enforce => "Enforce",
    }
}

/// A name as text, and its bytes in hexadecimal where the text cannot tell them.
pub(super) fn name_and_bytes(name: &EntryName) -> (String, Option<String>) {
    match name.as_str() {
        Some(text) => (text.to_owned(), None),
        None => {
            let bytes = hex(name.as_os_str().as_bytes());
            (name.as_os_str().to_string_lossy().into_owned(), Some(bytes))
        }
    }
}

fn verdicts(policy: &Policy, snapshot: &Snapshot, plan: &Plan) -> Vec<VerdictDocument> {
    let Some(volume) = snapshot.volume.complete() else { return Vec::new() };
    let document = |(entry, verdict): (&crate::observe::Entry, &Verdict)| {
        let (name, name_bytes) = name_and_bytes(&entry.name);
        VerdictDocument {
            name,
            name_bytes,
            session: policy.pattern.session(&entry.name),
            verdict: verdict.kind(),
            reason: verdict.reason(),
            message: verdict.message(policy, plan.now),
        }
    };
    volume.entries.iter().zip(&plan.verdicts).map(document).collect()
}
