//! What a sweep means for `status`: conditions, hold, backlog, quarantine, budget.
//!
//! A gate, a breaker, Report and suspend never make Ready False: they say why deletion is not allowed.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde::{Deserialize, Serialize};

use super::documents::Counts;
use super::{backlog, cost};
use crate::act::Reclaimed;
use crate::api::{
    ApprovalStatus, BudgetStatus, DriftStatus, HoldKind, HoldStatus, OrphanSample, QuarantineStatus, ReclaimedStatus,
    SessionsStatus, SweepResult, SweepStatus, VerdictCount, WorkspaceHygieneStatus, human_size,
};
use crate::clock::{after, before};
use crate::observe::{Reading, Sidecar, WalkOutcome};
use crate::plan::{self, Decision, Verdict};
use crate::policy::{Mode, Policy};
use crate::sweep::Swept;

/// Longest status, in bytes of JSON (DESIGN: 8 KiB whatever the volume holds, less what a controller adds).
const LONGEST: usize = 7 * 1024;
/// Longest message of a condition, in bytes.
const LONGEST_MESSAGE: usize = 256;
/// Longest message of a hold, in bytes: what the schema allows.
const LONGEST_HOLD: usize = 1024;
/// Samples of orphans.
const SAMPLES: usize = 10;
/// Sweeps that are remembered.
const SWEEPS: usize = 10;

/// The last state of a resource: its status, and what the next one is computed from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastState {
    /// The status.
    pub status: WorkspaceHygieneStatus,
    /// What was given back so far.
    #[serde(default)]
    pub reclaimed: Total,
    /// The last sweeps, the newest first.
    #[serde(default)]
    pub sweeps: Vec<PastSweep>,
}

/// A sweep that was, and what held it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PastSweep {
    /// The sweep, without its verdicts.
    #[serde(flatten)]
    pub sweep: SweepStatus,
    /// The reason of what held it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub held: Option<String>,
}

/// An orphan that a sweep left where it is.
#[derive(Clone, Debug)]
pub struct Orphan {
    /// Its name.
    pub name: String,
    /// Its last activity, as far as it was looked at.
    pub newest: Option<Timestamp>,
    /// Its size, where the whole tree was looked at.
    pub bytes: Option<u64>,
    /// Why it stays.
    pub reason: &'static str,
}

/// What was given back so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// Workspaces.
    pub directories: u64,
    /// Entries of all kinds.
    pub entries: u64,
    /// Bytes allocated.
    pub bytes: u64,
}

/// When a sweep ran.
#[derive(Clone, Copy, Debug)]
pub struct Ran {
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
}

impl LastState {
    /// The state after a sweep.
    pub fn after(&self, policy: &Policy, swept: &Swept, ran: Ran) -> Self {
        let seen = &swept.observed.snapshot;
        let sweep = sweep(policy, swept, ran);
        let reclaimed = self.reclaimed.plus(swept.acted.reclaimed);
        let history = seen.history.complete();
        let mut status = WorkspaceHygieneStatus {
            observed_generation: policy.generation,
            last_handled_sweep_request: self.status.last_handled_sweep_request.clone(),
            volume: cost::volume(policy, swept),
            sessions: seen.sessions.complete().map(|sessions| SessionsStatus {
                database_identity: Some(cut(&sessions.database, 128)),
                live: Some(sessions.ids.len()),
                observed_time: Some(Time(sessions.at)),
            }),
            hold: hold(swept),
            approval: history.and_then(|history| history.approved.last()).map(|approval| ApprovalStatus {
                plan_hash: approval.hash.to_string(),
                observed_time: Some(Time(approval.at)),
                remaining: approval
                    .orphans
                    .iter()
                    .filter(|orphan| !swept.acted.quarantined.contains(&orphan.name))
                    .count() as u64,
            }),
            backlog: Some(backlog::of(policy, swept)),
            quarantine: quarantine(policy, swept),
            reclaimed: (reclaimed != Total::default()).then(|| ReclaimedStatus {
                directories: reclaimed.directories,
                entries: reclaimed.entries,
                size: Some(human_size(reclaimed.bytes)),
                monthly_cost: cost::monthly(policy, reclaimed.bytes),
            }),
            budget: budget(policy, swept),
            drift: seen.sessions.complete().map(|sessions| DriftStatus {
                sessions_without_directory: sessions.ids.len().saturating_sub(swept.observed.plan.live),
                containers_without_session: (seen.claims.as_ref().and_then(Reading::complete))
                    .map_or(0, |claims| claims.missing_in(&sessions.ids)),
            }),
            orphans: orphans(policy, swept).take(SAMPLES).map(OrphanSample::from).collect(),
            ..WorkspaceHygieneStatus::default()
        };
        status.conditions = conditions(policy, swept, &status, &sweep, ran.end);
        keep_transitions(&mut status.conditions, &self.status.conditions);
        let held = status.hold.as_ref().map(|hold| hold.reason.clone());
        let sweeps = self.with(PastSweep { sweep: SweepStatus { verdicts: Vec::new(), ..sweep.clone() }, held });
        status.last_sweep = Some(sweep);
        // Whatever the names are: the samples are what can be spared.
        while serde_json::to_vec(&status).map_or(0, |json| json.len()) > LONGEST && status.orphans.pop().is_some() {}
        Self { status, reclaimed, sweeps }
    }

    /// The last sweeps with one more.
    pub fn with(&self, newest: PastSweep) -> Vec<PastSweep> {
        [newest].into_iter().chain(self.sweeps.iter().take(SWEEPS - 1).cloned()).collect()
    }

    /// The state of a service that began just now, and changes nothing for so long.
    pub fn starting(&mut self, wait: String) {
        if let Some(condition) = self.status.conditions.iter_mut().find(|one| one.type_ == "DeletionAllowed") {
            condition.status = "False".into();
            condition.reason = "Starting".into();
            condition.message = format!("the service began just now; nothing is changed for another {wait}");
        }
    }

    /// The state after a sweep that came to no report.
    pub fn after_failure(&self, policy: &Policy, reason: &str, why: &str, at: Timestamp) -> Self {
        let mut state = self.clone();
        state.status.observed_generation = policy.generation;
        let ready = condition("Ready", false, reason, why, policy, at);
        let conditions = std::mem::take(&mut state.status.conditions);
        state.status.conditions =
            conditions.iter().filter(|one| one.type_ != "Ready").cloned().chain([ready]).collect();
        keep_transitions(&mut state.status.conditions, &conditions);
        state
    }
}

impl Total {
    fn plus(self, more: Reclaimed) -> Self {
        Self {
            directories: self.directories.saturating_add(more.directories),
            entries: self.entries.saturating_add(more.entries),
            bytes: self.bytes.saturating_add(more.bytes),
        }
    }
}

/// How a sweep ended.
pub fn result(swept: &Swept) -> SweepResult {
    let (acted, held) = (&swept.acted, swept.observed.plan.held.is_some());
    match (acted.stopped, !acted.errors.is_empty(), held || acted.paused.is_some()) {
        (true, ..) => SweepResult::Stopped,
        (false, true, _) => SweepResult::Failed,
        (false, false, true) => SweepResult::Held,
        (false, false, false) => SweepResult::Completed,
    }
}

fn sweep(policy: &Policy, swept: &Swept, ran: Ran) -> SweepStatus {
    let (plan, acted) = (&swept.observed.plan, &swept.acted);
    let counts = Counts::of(plan);
    let verdicts =
        [("Keep", &counts.keep), ("Quarantine", &counts.quarantine)].into_iter().flat_map(|(verdict, counts)| {
            counts.iter().map(move |(reason, directories)| VerdictCount {
                reason: (*reason).into(),
                verdict: verdict.into(),
                directories: *directories,
            })
        });
    SweepStatus {
        id: swept.id.to_string(),
        generation: policy.generation,
        start_time: Some(Time(ran.start)),
        journal_sequence: Some(swept.recorded).filter(|last| *last > 0),
        completion_time: Some(Time(ran.end)),
        result: Some(result(swept)),
        plan_hash: Some(plan.hash.to_string()),
        directories: plan.verdicts.len() as u64,
        orphans: plan.orphans,
        confirmed: confirmed(swept),
        quarantined: acted.quarantined.len() as u64,
        restored: acted.restored.len() as u64,
        purged: acted.purged.len() as u64,
        errors: acted.errors.len() as u64,
        verdicts: verdicts.take(32).collect(),
    }
}

/// Orphans whose whole tree was found idle.
fn confirmed(swept: &Swept) -> u64 {
    let inspections = swept.observed.snapshot.inspections.values();
    inspections.filter(|inspection| matches!(inspection.outcome, WalkOutcome::Idle { .. })).count() as u64
}

fn hold(swept: &Swept) -> Option<HoldStatus> {
    let plan = &swept.observed.plan;
    let held = plan.held.as_ref()?;
    Some(HoldStatus {
        kind: match held.reason.kind() {
            plan::HoldKind::Gate => HoldKind::Gate,
            plan::HoldKind::Breaker => HoldKind::Breaker,
        },
        reason: held.reason.word().into(),
        message: cut(&held.message, LONGEST_HOLD),
        since: Some(Time(held.since.unwrap_or(plan.now))),
        plan_hash: held.plan.as_ref().map(ToString::to_string),
        directories: held.plan.as_ref().map(|_| plan.orphans),
    })
}

/// The sidecars of what stays in quarantine.
fn staying(swept: &Swept) -> impl Iterator<Item = &Sidecar> {
    let plan = &swept.observed.plan;
    let gone = |name: &String| swept.acted.restored.contains(name) || swept.acted.condemned.contains(name);
    let volume = swept.observed.snapshot.volume.complete();
    volume.into_iter().flat_map(|volume| &volume.quarantine).filter_map(move |entry| {
        let decision = plan.quarantine.iter().find(|one| one.id == entry.id).map(|one| &one.decision);
        let sidecar = entry.sidecar.complete()?;
        let moves = matches!(decision, Some(Decision::Restore(_) | Decision::Condemn));
        (!(moves && gone(&sidecar.name))).then_some(sidecar)
    })
}

/// What stays in quarantine after a sweep: name, when it entered, when it is due, bytes.
pub fn quarantined(policy: &Policy, swept: &Swept) -> Vec<(String, Timestamp, Timestamp, u64)> {
    let plan = &swept.observed.plan;
    let moved = plan.victims.iter().filter(|victim| {
        victim.name.as_str().is_some_and(|name| swept.acted.quarantined.iter().any(|moved| moved == name))
    });
    let moved =
        moved.map(|victim| (victim.name.to_string(), plan.now, after(plan.now, policy.retention), victim.bytes));
    let watched = swept.observed.snapshot.history.complete().and_then(|history| history.watched_since);
    let staying = staying(swept).map(|sidecar| {
        let due = sidecar.due_when_watched(policy.retention, watched);
        (sidecar.name.clone(), sidecar.quarantined, due, sidecar.evidence.bytes)
    });
    staying.chain(moved).collect()
}

fn quarantine(policy: &Policy, swept: &Swept) -> Option<QuarantineStatus> {
    swept.observed.snapshot.volume.complete()?;
    let entries = quarantined(policy, swept);
    Some(QuarantineStatus {
        directories: entries.len() as u64,
        size: Some(human_size(entries.iter().map(|(.., bytes)| bytes).sum())),
        oldest_time: entries.iter().map(|(_, quarantined, ..)| *quarantined).min().map(Time),
        next_purge_time: entries.iter().map(|(_, _, due, _)| *due).min().map(Time),
    })
}

fn budget(policy: &Policy, swept: &Swept) -> Option<BudgetStatus> {
    let (seen, plan, budget) = (&swept.observed.snapshot, &swept.observed.plan, &policy.limits.budget);
    let since = before(plan.now, budget.period);
    let spent: Vec<_> = seen.history.complete()?.spent.iter().filter(|spent| spent.at > since).collect();
    let moved: Vec<u64> = plan
        .victims
        .iter()
        .filter(|victim| {
            victim.name.as_str().is_some_and(|name| swept.acted.quarantined.iter().any(|moved| moved == name))
        })
        .map(|victim| victim.bytes)
        .collect();
    let count = (spent.len() + moved.len()) as u64;
    let bytes = spent.iter().map(|spent| spent.bytes).chain(moved).fold(0_u64, u64::saturating_add);
    Some(BudgetStatus {
        directories_left: u64::from(budget.directories).saturating_sub(count),
        size_left: Some(human_size(budget.bytes.saturating_sub(bytes))),
        next_release_time: spent.iter().map(|spent| spent.at).min().map(|at| Time(after(at, budget.period))),
    })
}

/// The orphans that are left, with what is known of each.
pub fn orphans<'a>(policy: &'a Policy, swept: &'a Swept) -> impl Iterator<Item = Orphan> + 'a {
    let (seen, plan) = (&swept.observed.snapshot, &swept.observed.plan);
    let entries = seen.volume.complete().map(|volume| volume.entries.as_slice()).unwrap_or_default();
    entries.iter().zip(&plan.verdicts).enumerate().filter_map(move |(index, (entry, verdict))| {
        let is_orphan = match verdict {
            Verdict::Keep(reason) => reason.is_orphan(),
            Verdict::Quarantine(_) => true,
        };
        let name = entry.name.to_string();
        if !is_orphan || swept.acted.quarantined.contains(&name) {
            return None;
        }
        let root = seen.roots.get(&index).and_then(|root| root.complete());
        let (newest, bytes) = match seen.inspections.get(&index).map(|inspection| &inspection.outcome) {
            Some(WalkOutcome::Idle { newest, bytes, .. }) => (Some(*newest), Some(*bytes)),
            _ => (root.map(|root| root.newest(policy.activity)), None),
        };
        Some(Orphan { name, newest, bytes, reason: verdict.reason() })
    })
}

impl From<Orphan> for OrphanSample {
    fn from(orphan: Orphan) -> Self {
        let size = orphan.bytes.map(human_size);
        Self { name: cut(&orphan.name, 255), last_activity_time: orphan.newest.map(Time), size }
    }
}

fn conditions(
    policy: &Policy,
    swept: &Swept,
    status: &WorkspaceHygieneStatus,
    sweep: &SweepStatus,
    at: Timestamp,
) -> Vec<Condition> {
    let (seen, plan, acted) = (&swept.observed.snapshot, &swept.observed.plan, &swept.acted);
    let unavailable: Vec<_> = super::figures::sources(seen)
        .into_iter()
        .filter(|source| source.state == "Unavailable")
        .map(|source| format!("{}: {}", source.name, source.message))
        .collect();
    let available = unavailable.is_empty();
    let make = |kind, holds, reason: &str, message: &str| condition(kind, holds, reason, message, policy, at);
    let ready = match (available, sweep.result, acted.errors.first()) {
        (false, ..) => make("Ready", false, "SourceUnavailable", &unavailable.join("; ")),
        (true, Some(SweepResult::Stopped), _) => {
            make("Ready", false, "Stopped", "the last sweep was asked to stop half-way")
        }
        (true, Some(SweepResult::Failed), Some(error)) => {
            make("Ready", false, "StepFailed", &format!("{}: {}: {}", error.step, error.name, error.message))
        }
        _ => make("Ready", true, "Swept", "the spec is accepted, the sources answer, and the last sweep finished"),
    };
    let sources = match available {
        true => make("SourcesAvailable", true, "Complete", "every source that is configured answered"),
        false => make("SourcesAvailable", false, "SourceUnavailable", &unavailable.join("; ")),
    };
    let deletion = match (&status.hold, policy.mode, &acted.paused) {
        (Some(hold), ..) => make("DeletionAllowed", false, &hold.reason, &hold.message),
        (None, Mode::Report, _) => {
            make("DeletionAllowed", false, "ReportMode", "spec.mode is Report, which changes nothing")
        }
        (None, Mode::Enforce, Some(why)) => make("DeletionAllowed", false, "Paused", why),
        (None, Mode::Enforce, None) => make("DeletionAllowed", true, "Allowed", "nothing stands in the way"),
    };
    let backlog = status.backlog.as_ref().map_or(0, |backlog| backlog.directories);
    let drained = match (available, backlog) {
        (false, _) => {
            let unknown = make("BacklogDrained", false, "SourceUnavailable", "how many orphans there are is not known");
            Condition { status: "Unknown".into(), ..unknown }
        }
        (true, 0) => make("BacklogDrained", true, "NoOrphans", "no orphan waits for its turn"),
        (true, _) => make(
            "BacklogDrained",
            false,
            "OrphansWait",
            &format!("{backlog} orphans wait for their turn; {}", plan.hash),
        ),
    };
    vec![ready, sources, deletion, drained]
}

fn condition(kind: &str, holds: bool, reason: &str, message: &str, policy: &Policy, at: Timestamp) -> Condition {
    Condition {
        type_: kind.into(),
        status: if holds { "True" } else { "False" }.into(),
        reason: reason.into(),
        message: cut(message, LONGEST_MESSAGE),
        last_transition_time: Time(at),
        observed_generation: Some(policy.generation),
    }
}

/// A condition whose status is the same as before changed when it changed before.
pub(crate) fn keep_transitions(conditions: &mut [Condition], before: &[Condition]) {
    for condition in conditions {
        let same = before.iter().find(|one| one.type_ == condition.type_ && one.status == condition.status);
        if let Some(same) = same {
            condition.last_transition_time = same.last_transition_time.clone();
        }
    }
}

/// The text, cut to so many bytes where it is longer.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.into();
    }
    let most = most.saturating_sub("…".len());
    let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= most).last().unwrap_or(0);
    format!("{}…", &text[..end])
}

/// How long ago, or until, is the age of a state that is too old to be told as the present one: three sweeps were missed.
pub fn is_old(policy: &Policy, status: &WorkspaceHygieneStatus, now: Timestamp) -> bool {
    let Some(end) = status.last_sweep.as_ref().and_then(|sweep| sweep.completion_time.as_ref()) else { return false };
    let mut due = end.0;
    for _ in 0..3 {
        let Some(next) = policy.schedule.next(due, due) else { return false };
        due = next;
    }
    now > after(due, Duration::from_secs(60))
}
