//! Everything known about one directory: each guard in order, and which decided.

use jiff::Timestamp;
use serde::Serialize;

use super::documents::{HoldDocument, ResourceDocument, name_and_bytes};
use super::quarantine::EntryDocument;
use crate::journal::Record;
use crate::names::{EntryId, EntryName, PlanHash, SessionId};
use crate::observe::{DirectoryFacts, Inspection, KeepFileState, Reading, WalkOutcome};
use crate::plan::{GuardAnswer, Verdict, explain};
use crate::policy::Policy;
use crate::sweep::Observed;

mod text;

pub(super) use text::journal;

/// The guard that is no guard: what passed them all may still have to wait for its turn.
const LIMITS: &str = "the limits of this sweep leave room for it";

/// What `explain` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplanationDocument {
    /// `Explanation`.
    pub kind: &'static str,
    /// The resource.
    pub resource: ResourceDocument,
    /// The directory's name.
    pub name: String,
    /// The name's bytes in hexadecimal, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_bytes: Option<String>,
    /// The session id its name yields; null where the name is foreign.
    pub session: Option<SessionId>,
    /// The instant the plan was made for.
    pub generated_at: Timestamp,
    /// Hash of that plan.
    pub plan_hash: PlanHash,
    /// Why nothing is quarantined or condemned, if so.
    pub held: Option<HoldDocument>,
    /// The verdict of the plan; null where there is no such entry below the root.
    pub verdict: Option<FinalDocument>,
    /// The guards in order.
    pub guards: Vec<GuardDocument>,
    /// Its root directory; null where nothing made it necessary to look.
    pub root: Option<RootDocument>,
    /// The inspection of its whole tree; null where there was none.
    pub inspection: Option<InspectionDocument>,
    /// What is in quarantine under this name or id.
    pub quarantine: Vec<EntryDocument>,
    /// What the journal says of this name or id, oldest first.
    pub journal: Vec<Record>,
}

/// The verdict of the plan.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FinalDocument {
    /// `Keep` or `Quarantine`.
    pub verdict: &'static str,
    /// The reason in one word.
    pub reason: &'static str,
    /// The reason as a sentence.
    pub message: String,
    /// The guard that decided; null where none keeps it.
    pub decided_by: Option<&'static str>,
}

/// One guard's answer.
#[derive(Debug, Serialize)]
pub struct GuardDocument {
    /// What the guard asks for.
    pub guard: &'static str,
    /// `Passes`, `Keeps` or `NotAsked`.
    pub answer: &'static str,
    /// The reason in one word, where it keeps.
    pub reason: Option<&'static str>,
    /// The reason as a sentence, where it keeps.
    pub message: Option<String>,
    /// Whether this is the guard that decided: the first that keeps.
    pub decided: bool,
}

/// A root directory.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RootDocument {
    /// Why it could not be read; then all else is null.
    pub unreadable: Option<String>,
    /// Inode number.
    pub inode: Option<u64>,
    /// Last modification of its list of entries.
    pub modified: Option<Timestamp>,
    /// Last change of its inode.
    pub changed: Option<Timestamp>,
    /// Birth, where the file system reports it.
    pub born: Option<Timestamp>,
    /// The newest time that counts by `spec.workspaces.activity`.
    pub active: Option<Timestamp>,
    /// Whether something is mounted on it.
    pub mount_point: Option<bool>,
    /// `Absent`, `Pins`, or the time until which its keep file pins.
    pub keep_file: Option<String>,
}

/// What the walk over the whole tree found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InspectionDocument {
    /// When it began.
    pub started: Timestamp,
    /// `Idle`, `Young`, `Future`, `MountPoint`, `ForeignIdentity` or `Incomplete`.
    pub outcome: &'static str,
    /// The newest activity, or the time that ended the walk.
    pub active: Option<Timestamp>,
    /// Where the walk ended, below the workspace's root.
    pub path: Option<String>,
    /// Entries, of an idle tree.
    pub entries: Option<u64>,
    /// Bytes allocated, of an idle tree.
    pub bytes: Option<u64>,
    /// Why the tree could not be seen whole.
    pub why: Option<String>,
}

impl ExplanationDocument {
    /// What is known about `name`, or `None` where nothing is: no entry below the root, none in quarantine, no record. An
    /// entry of the quarantine is also found by its id.
    pub fn new(policy: &Policy, observed: &Observed, name: &EntryName, records: &[Record]) -> Option<Self> {
        let Observed { snapshot, plan } = observed;
        let volume = snapshot.volume.complete();
        let index = volume.and_then(|volume| volume.entries.binary_search_by(|entry| entry.name.cmp(name)).ok());
        let text = name.as_str();
        let is_meant =
            |id: &EntryId, of: Option<&str>| text.is_some_and(|text| id.as_str() == text || of == Some(text));
        let meant = plan.quarantine.iter().filter(|entry| is_meant(&entry.id, entry.name.as_deref()));
        let seen = |id: &EntryId| volume?.quarantine.iter().find(|entry| entry.id == *id);
        let quarantine: Vec<_> = meant
            .filter_map(|entry| Some(EntryDocument::decided(policy, seen(&entry.id)?, &entry.decision, plan.now)))
            .collect();
        let journal: Vec<_> =
            records.iter().filter(|record| text.is_some_and(|text| record.event.is_about(text))).cloned().collect();
        if index.is_none() && quarantine.is_empty() && journal.is_empty() {
            return None;
        }
        let verdict = index.and_then(|index| plan.verdicts.get(index));
        let guards = index.map(|index| guards(policy, observed, index, verdict)).unwrap_or_default();
        let root = index.and_then(|index| snapshot.roots.get(&index));
        let inspection = index.and_then(|index| snapshot.inspections.get(&index));
        let (name_text, name_bytes) = name_and_bytes(name);
        Some(Self {
            kind: "Explanation",
            resource: (&policy.resource).into(),
            name: name_text,
            name_bytes,
            session: policy.pattern.session(name),
            generated_at: plan.now,
            plan_hash: plan.hash.clone(),
            held: plan.held.as_ref().map(HoldDocument::from),
            verdict: verdict.map(|verdict| FinalDocument {
                verdict: verdict.kind(),
                reason: verdict.reason(),
                message: verdict.message(policy, plan.now),
                decided_by: guards.iter().find(|guard| guard.decided).map(|guard| guard.guard),
            }),
            guards,
            root: root.map(|root| RootDocument::new(policy, root)),
            inspection: inspection.map(InspectionDocument::new),
            quarantine,
            journal,
        })
    }
}

/// The guards' answers, and the limits last, where only they keep it.
fn guards(policy: &Policy, observed: &Observed, index: usize, verdict: Option<&Verdict>) -> Vec<GuardDocument> {
    let Observed { snapshot, plan } = observed;
    let mut decided = false;
    let mut document = |guard, answer: &GuardAnswer| {
        let (answer, reason) = match answer {
            GuardAnswer::Passes => ("Passes", None),
            GuardAnswer::NotAsked => ("NotAsked", None),
            GuardAnswer::Keeps(reason) => ("Keeps", Some(Verdict::Keep(reason.clone()))),
        };
        let first = reason.is_some() && !decided;
        decided |= first;
        let message = reason.as_ref().map(|reason| reason.message(policy, plan.now));
        GuardDocument { guard, answer, reason: reason.map(|reason| reason.reason()), message, decided: first }
    };
    let findings = explain(policy, snapshot, plan.now, index);
    let mut guards: Vec<_> = findings.iter().map(|finding| document(finding.guard, &finding.answer)).collect();
    let kept = guards.iter().any(|guard| guard.decided);
    let limits = match verdict {
        Some(Verdict::Keep(reason)) if !kept => GuardAnswer::Keeps(reason.clone()),
        Some(Verdict::Quarantine(_)) => GuardAnswer::Passes,
        _ => GuardAnswer::NotAsked,
    };
    guards.push(document(LIMITS, &limits));
    guards
}

/// Whether an inspection of its whole tree, whatever its turn, tells more about an entry with this verdict.
pub fn is_worth_inspecting(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Keep(reason) if reason.is_orphan())
}

impl RootDocument {
    fn new(policy: &Policy, root: &Reading<DirectoryFacts>) -> Self {
        let facts = root.complete();
        Self {
            unreadable: root.unavailable().map(str::to_owned),
            inode: facts.map(|facts| facts.inode),
            modified: facts.map(|facts| facts.modified),
            changed: facts.map(|facts| facts.changed),
            born: facts.and_then(|facts| facts.born),
            active: facts.map(|facts| facts.newest(policy.activity)),
            mount_point: facts.map(|facts| facts.mount_point),
            keep_file: facts.map(|facts| match &facts.keep_file {
                KeepFileState::Absent => "Absent".to_owned(),
                KeepFileState::Pins => "Pins".to_owned(),
                KeepFileState::PinsUntil(end) => end.to_string(),
            }),
        }
    }
}

impl InspectionDocument {
    fn new(inspection: &Inspection) -> Self {
        let (active, path, why) = match &inspection.outcome {
            WalkOutcome::Idle { newest, .. } => (Some(*newest), None, None),
            WalkOutcome::Young { at, path } | WalkOutcome::Future { at, path } => (Some(*at), Some(path.clone()), None),
            WalkOutcome::MountPoint { path } | WalkOutcome::ForeignIdentity { path } => {
                (None, Some(path.clone()), None)
            }
            WalkOutcome::Incomplete { why } => (None, None, Some(why.clone())),
        };
        let (outcome, entries, bytes) = match &inspection.outcome {
            WalkOutcome::Idle { entries, bytes, .. } => ("Idle", Some(*entries), Some(*bytes)),
            WalkOutcome::Young { .. } => ("Young", None, None),
            WalkOutcome::Future { .. } => ("Future", None, None),
            WalkOutcome::MountPoint { .. } => ("MountPoint", None, None),
            WalkOutcome::ForeignIdentity { .. } => ("ForeignIdentity", None, None),
            WalkOutcome::Incomplete { .. } => ("Incomplete", None, None),
        };
        Self { started: inspection.started, outcome, active, path, entries, bytes, why }
    }
}
