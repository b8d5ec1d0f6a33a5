//! A second opinion on a finished plan, before anything is carried out. It shares no code with the planner's guards: it
//! asks of every victim and every condemned entry what the promises say, straight from the snapshot.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Decision, HoldReason, KeepReason, Plan, Verdict, Victim};
use crate::clock::{after, before};
use crate::fsio::Kind;
use crate::names::EntryName;
use crate::observe::{Health, KeepFileState, Mounted, Reading, Snapshot, WalkOutcome};
use crate::policy::{KeepFileRule, Mode, Policy};
use crate::records::HeldPlan;

/// A promise of the design that a plan would break. Always a bug in this program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "promise {promise} would be broken for {subject}: {what}; nothing was changed. This is a bug: please report it"
)]
pub struct Violation {
    /// The number of the promise.
    pub promise: u8,
    /// The entry, or `the plan`.
    pub subject: String,
    /// What is wrong.
    pub what: &'static str,
}

/// Every promise `plan` would break.
pub fn check(policy: &Policy, seen: &Snapshot, plan: &Plan) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut report = |promise: u8, subject: &str, broken: bool, what: &'static str| {
        if broken {
            found.push(Violation { promise, subject: subject.to_owned(), what });
        }
    };
    whole(policy, seen, plan, &mut report);
    belongs_together(policy, seen, plan, &mut report);
    anomalies(policy, seen, plan, &mut report);
    let sharers = sharers(policy, seen, plan);
    for victim in &plan.victims {
        one_victim(policy, seen, plan, victim, &sharers, &mut report);
    }
    quarantine(policy, seen, plan, &mut report);
    found
}

type Report<'a> = &'a mut dyn FnMut(u8, &str, bool, &'static str);

fn whole(policy: &Policy, seen: &Snapshot, plan: &Plan, report: Report<'_>) {
    let acts = acts(plan);
    let entries = seen.volume.complete().map_or(0, |volume| volume.entries.len());
    let all = "the plan";
    report(2, all, plan.verdicts.len() != entries, "not every entry has exactly one verdict");
    report(2, all, acts && seen.volume.complete().is_none(), "the volume was not read");
    report(2, all, acts && seen.sessions.complete().is_none(), "the sessions were not read");
    report(2, all, acts && matches!(seen.claims, Some(Reading::Unavailable(_))), "the claims were not read");
    report(13, all, acts && matches!(seen.serving, Some(Reading::Unavailable(_))), "the service's health was not read");
    let efs = seen.efs.as_ref();
    report(2, all, acts && matches!(efs, Some(Reading::Unavailable(_))), "the EFS file system was not read");
    let elsewhere = efs
        .and_then(Reading::complete)
        .is_some_and(|efs| matches!(efs.mounted, Mounted::Another(_)) || efs.system.replica_of.is_some());
    report(4, all, acts && elsewhere, "another file system, or a replica, is mounted");
    let unhealthy = matches!(seen.serving, Some(Reading::Complete(Health::Unhealthy(_))));
    report(13, all, acts && unhealthy, "the service is not healthy");
    report(8, all, acts && seen.history.complete().is_none(), "our own records were not read");
    let condemns = plan.quarantine.iter().any(|e| e.decision == Decision::Condemn);
    report(8, all, condemns && plan.held.is_some(), "something is condemned while the plan is held");
    let gated = plan.held.as_ref().is_some_and(|hold| !hold.reason.yields_to_approval());
    report(8, all, acts && gated, "the plan is held");
    report(11, all, acts && policy.suspend, "the resource is suspended");
    report(11, all, acts && policy.schedule.open(plan.now).is_err(), "no window is open");
    let missing = seen.volume.complete().is_some_and(|volume| volume.missing_right.is_some());
    report(8, all, acts && missing, "we may not write to the volume");
    if let Some(sessions) = seen.sessions.complete() {
        report(3, all, acts && sessions.ids.is_empty(), "there is no live session");
        report(3, all, acts && sessions.ids.len() < policy.sessions.minimum_live, "there are too few live sessions");
        report(3, all, acts && sessions.canary == Some(false), "there is no canary");
        let staleness = policy.sessions.max_staleness;
        let (oldest, latest) = (before(plan.now, staleness), after(plan.now, staleness));
        let stale = sessions.freshest.is_some_and(|at| at < oldest || at > latest);
        report(3, all, acts && stale, "the rows are stale");
    }
    let (limits, victims) = (&policy.limits, plan.victims.len() as u64);
    let orphans = plan.verdicts.iter().filter(|verdict| match verdict {
        Verdict::Quarantine(_) => true,
        Verdict::Keep(reason) => reason.is_orphan(),
    });
    report(8, all, orphans.count() as u64 != plan.orphans, "verdicts and the number of orphans disagree");
    report(8, all, victims > u64::from(limits.per_sweep), "there are more victims than perSweep");
    let since = before(plan.now, limits.budget.period);
    let spent = || seen.history.complete().into_iter().flat_map(|h| &h.spent).filter(|spent| spent.at > since);
    let count = victims.saturating_add(spent().count() as u64);
    report(8, all, victims > 0 && count > u64::from(limits.budget.directories), "the budget's directories are spent");
    let bytes: u128 =
        plan.victims.iter().map(|v| u128::from(v.bytes)).chain(spent().map(|s| u128::from(s.bytes))).sum();
    report(8, all, victims > 0 && bytes > u128::from(limits.budget.bytes), "the budget's bytes are spent");
    let moved = plan.verdicts.iter().filter(|v| matches!(v, Verdict::Quarantine(_))).count() as u64;
    let distinct: BTreeSet<_> = plan.victims.iter().map(|v| v.index).collect();
    report(8, all, moved != victims || distinct.len() as u64 != victims, "verdicts and victims disagree");
}

fn acts(plan: &Plan) -> bool {
    !plan.victims.is_empty() || plan.quarantine.iter().any(|e| e.decision == Decision::Condemn)
}

/// Volume, database and spec are the ones that belong together, and were planned with before.
fn belongs_together(policy: &Policy, seen: &Snapshot, plan: &Plan, report: Report<'_>) {
    let Some(history) = seen.history.complete().filter(|_| acts(plan)) else { return };
    let all = "the plan";
    report(14, all, history.damage.is_some(), "our records are damaged");
    report(4, all, history.identity_missing, "the volume's identity is gone");
    report(4, all, seen.volume.complete().is_some_and(|volume| volume.entries.is_empty()), "the volume is empty");
    report(
        11,
        all,
        history.spec.as_ref().is_some_and(|old| *old != policy.digests.evidence) && policy.mode == Mode::Enforce,
        "the spec changed",
    );
    if let Some(bound) = &history.identity {
        let owner = format!("{}/{}/{}", policy.cluster, policy.resource.namespace, policy.resource.name);
        report(4, all, bound.owner != owner, "another resource owns the volume");
        report(4, all, seen.volume.complete().is_none_or(|volume| volume.root != bound.root), "the root is another");
        let efs = seen.efs.as_ref().and_then(Reading::complete).map(|efs| &efs.system.id);
        let changed = bound.efs.as_ref().zip(efs).is_some_and(|(bound, now)| bound != now);
        report(4, all, changed, "the EFS file system is another");
        let database = seen.sessions.complete().map(|sessions| &sessions.database);
        report(3, all, database != Some(&bound.database), "the database is another");
        let position = seen.sessions.complete().and_then(|sessions| sessions.position);
        report(3, all, position < history.position, "the database is an older copy");
        let query = bound.query != policy.digests.query;
        report(4, all, query && (history.bound || policy.mode == Mode::Enforce), "pattern or liveQuery changed");
    }
    let lives = plan.verdicts.iter().any(|verdict| matches!(verdict, Verdict::Keep(KeepReason::LiveSession)));
    let first = policy.mode == Mode::Enforce && !history.bound;
    report(4, all, first && !lives, "no live session has its workspace on a volume that is not bound");
}

/// Past an anomaly limit nothing is condemned, and nothing goes that a person did not approve.
fn anomalies(policy: &Policy, seen: &Snapshot, plan: &Plan, report: Report<'_>) {
    let (Some(volume), Some(sessions), Some(history)) =
        (seen.volume.complete(), seen.sessions.complete(), seen.history.complete())
    else {
        return;
    };
    let any = approvals(seen, |_| true);
    let approved = |index: usize| approved(seen, &any, index);
    let condemns = plan.quarantine.iter().any(|e| e.decision == Decision::Condemn);
    let unapproved_victims = plan.victims.iter().any(|victim| !approved(victim.index));
    let acts = condemns || unapproved_victims;
    // An anomaly of what tells of the orphans lets through only what was approved in spite of it.
    let goes_in_spite_of = |reason: &str| {
        if ["TooManyOrphans", "TooManyOrphansPercent", "AwaitsApproval"].contains(&reason) {
            return unapproved_victims;
        }
        let of_it = approvals(seen, |approved_for| approved_for == Some(reason));
        plan.victims.iter().any(|victim| !self::approved(seen, &of_it, victim.index))
    };
    let acts_under = |reason: &str| condemns || goes_in_spite_of(reason);
    let beyond = plan.held.as_ref().is_some_and(|hold| goes_in_spite_of(hold.reason.word()));
    report(8, "the plan", beyond, "a victim that nobody approved in spite of the hold");
    let count = |wanted: &dyn Fn(usize, &Verdict) -> bool| {
        plan.verdicts.iter().enumerate().filter(|(index, verdict)| wanted(*index, verdict)).count() as u64
    };
    let is_keep = |verdict: &Verdict, wanted: &dyn Fn(&KeepReason) -> bool| match verdict {
        Verdict::Keep(reason) => wanted(reason),
        Verdict::Quarantine(_) => false,
    };
    let all = "the plan";
    let breaker = &policy.limits.breaker;
    let waits = history.held.as_ref().filter(|_| policy.mode == Mode::Enforce);
    // A reason in words of a newer version is none that anything was approved for, but that something is wrong.
    let told = |held: &HeldPlan| HoldReason::of(&held.reason).map_or("NotTheSame", HoldReason::word);
    report(8, all, waits.is_some_and(|held| acts_under(told(held))), "a plan waits for a person");
    report(8, all, acts && policy.mode == Mode::Enforce && !history.confirmed, "nobody has approved a plan yet");
    let least = 100u32.saturating_sub(breaker.max_session_drop_percent);
    let dropped = of_hundred(sessions.ids.len(), 100) < of_hundred(history.highest_live.unwrap_or(0), least);
    report(3, all, dropped && acts_under("SessionsDropped"), "the number of live sessions fell");
    let orphans = count(&|index, verdict| !is_keep(verdict, &|reason| !reason.is_orphan()) && !approved(index));
    report(8, all, acts && orphans > u64::from(breaker.max_orphans), "there are too many orphans");
    let share = of_hundred(orphans, 100) > of_hundred(plan.workspaces, breaker.max_orphan_percent);
    // DESIGN: "per cent only above 10 orphans".
    report(8, all, acts && orphans > 10 && share, "too many of the workspaces are orphans");
    let near = count(&|_, verdict| is_keep(verdict, &|reason| *reason == KeepReason::NearMatch));
    report(
        7,
        all,
        of_hundred(near, 100) > of_hundred(plan.workspaces, 1) && acts_under("NearMatches"),
        "too many near matches",
    );
    let unusable = sessions.ids.unusable();
    report(
        7,
        all,
        of_hundred(unusable, 100) > of_hundred(sessions.ids.len(), 1) && acts_under("UnusableIDs"),
        "too many unusable ids",
    );
    let unknown = count(&|index, verdict| {
        let name = volume.entries.get(index).map(|entry| &entry.name);
        let id = name.and_then(|name| policy.pattern.session(name));
        let known = sessions.known.as_ref().zip(id.as_ref()).is_some_and(|(known, id)| known.contains(id));
        is_keep(verdict, &|reason| matches!(reason, KeepReason::TooYoung(_))) && !known
    });
    // DESIGN: "more than max(3, 5 %)", the share estimated from the sample; without one nothing is known to be young.
    let (taken, young) =
        seen.sample.map_or((1, 0), |sample| (u128::from(sample.taken.max(1)), u128::from(sample.young)));
    let all_young =
        u128::from(unknown).saturating_mul(taken).saturating_add(u128::from(plan.live).saturating_mul(young));
    let behind = of_hundred(unknown, 100).saturating_mul(taken) > all_young.saturating_mul(5);
    report(3, all, unknown > 3 && behind && acts_under("RowsBehindVolume"), "the rows lag behind the volume");
    let walks = seen.inspections.values().chain(seen.second_walks.values());
    let nested = walks.into_iter().any(|i| matches!(i.outcome, WalkOutcome::ForeignIdentity { .. }));
    report(4, all, nested && acts_under("NestedVolume"), "another volume is inside a workspace");
}

/// What a person approved of plans that were held for reasons as `wanted`: names, inodes and times of change.
fn approvals(seen: &Snapshot, wanted: impl Fn(Option<&str>) -> bool) -> BTreeSet<(&str, u64, Timestamp)> {
    let approved = seen.history.complete().into_iter().flat_map(|history| &history.approved);
    let approved = approved.filter(|approval| wanted(approval.reason.as_deref()));
    approved.flat_map(|a| &a.orphans).map(|orphan| (orphan.name.as_str(), orphan.inode, orphan.changed)).collect()
}

/// Whether a person approved that the entry goes, in the state in which it is.
fn approved(seen: &Snapshot, approvals: &BTreeSet<(&str, u64, Timestamp)>, index: usize) -> bool {
    let facts = || {
        let name = &seen.volume.complete()?.entries.get(index)?.name;
        let root = seen.roots.get(&index)?.complete()?;
        Some(approvals.contains(&(name.to_string().as_str(), root.inode, root.changed)))
    };
    !approvals.is_empty() && facts().unwrap_or(false)
}

fn of_hundred(count: u64, percent: u32) -> u128 {
    u128::from(count).saturating_mul(u128::from(percent))
}

/// How many names below the root yield each victim's id, in canonical form.
fn sharers(policy: &Policy, seen: &Snapshot, plan: &Plan) -> BTreeMap<String, u32> {
    let mut count: BTreeMap<_, _> = plan.victims.iter().map(|victim| (victim.session.canonical(), 0)).collect();
    if count.is_empty() {
        return count;
    }
    for entry in seen.volume.complete().into_iter().flat_map(|volume| &volume.entries) {
        let id = policy.pattern.session(&entry.name);
        if let Some(n) = id.and_then(|id| count.get_mut(&id.canonical())) {
            *n = u32::saturating_add(*n, 1);
        }
    }
    count
}

fn one_victim(
    policy: &Policy,
    seen: &Snapshot,
    plan: &Plan,
    victim: &Victim,
    sharers: &BTreeMap<String, u32>,
    report: Report<'_>,
) {
    let (Some(volume), Some(sessions)) = (seen.volume.complete(), seen.sessions.complete()) else { return };
    let name = victim.name.to_string();
    let mut ask = |promise, broken, what| report(promise, &name, broken, what);
    let entry = volume.entries.get(victim.index);
    ask(6, entry.is_none_or(|entry| entry.name != victim.name), "the entry is another");
    ask(5, entry.is_none_or(|entry| entry.kind != Some(Kind::Directory)), "it is no directory");
    ask(5, victim.name.as_os_str() == ".hygiene", "it is our own folder");
    let id = policy.pattern.session(&victim.name);
    ask(7, id.as_ref() != Some(&victim.session), "its id is another");
    ask(7, !victim.session.is_usable(), "its id cannot be an id");
    ask(7, sharers.get(&victim.session.canonical()) != Some(&1), "its id is not its own alone");
    ask(1, sessions.ids.contains(&victim.session), "its session is live");
    ask(7, sessions.ids.contains_canonical(&victim.session), "a live id differs only in spelling");
    let claimed =
        |claims: &crate::observe::IdSet| claims.contains(&victim.session) || claims.contains_canonical(&victim.session);
    ask(1, seen.claims.as_ref().and_then(Reading::complete).is_some_and(claimed), "a container claims it");
    ask(1, policy.keep.matching(&victim.name).is_some(), "a keep glob matches");
    let unknown = sessions.known.as_ref().is_some_and(|known| !known.contains(&victim.session));
    ask(
        3,
        unknown && !approved(seen, &approvals(seen, |_| true), victim.index),
        "the database does not know its id, and nobody approved it",
    );

    let oldest = before(plan.now, policy.min_age);
    match seen.roots.get(&victim.index) {
        Some(Reading::Complete(root)) => {
            ask(6, *root != victim.root, "its root is another");
            ask(5, root.mount_point, "it is a mount point");
            ask(5, root.immovable.is_some(), "we may not move it");
            ask(9, root.newest(policy.activity) > oldest, "its root is young");
            ask(1, pinned(policy, &root.keep_file, plan.now), "a keep file pins it");
        }
        _ => ask(2, true, "its root was not read"),
    }
    match seen.inspections.get(&victim.index).map(|inspection| &inspection.outcome) {
        Some(WalkOutcome::Idle { newest, bytes, .. }) => {
            ask(9, *newest > oldest, "its tree is young");
            ask(8, *bytes != victim.bytes, "its tree is of another size");
        }
        _ => ask(9, true, "its tree was not found idle"),
    }
}

fn pinned(policy: &Policy, file: &KeepFileState, now: Timestamp) -> bool {
    let says = match file {
        KeepFileState::Absent => false,
        KeepFileState::Pins => true,
        KeepFileState::PinsUntil(end) => *end > now,
    };
    says && policy.keep_file == KeepFileRule::Allow
}

fn quarantine(policy: &Policy, seen: &Snapshot, plan: &Plan, report: Report<'_>) {
    let mut back = BTreeSet::new();
    for planned in plan.quarantine.iter().filter(|planned| !matches!(planned.decision, Decision::Retain(_))) {
        let mut ask = |promise, broken, what| report(promise, planned.id.as_str(), broken, what);
        let entry = seen.volume.complete().and_then(|v| v.quarantine.iter().find(|entry| entry.id == planned.id));
        let Some((entry, sidecar)) = entry.and_then(|entry| Some((entry, entry.sidecar.complete()?))) else {
            ask(1, true, "it is not in quarantine");
            continue;
        };
        ask(6, !entry.journalled || entry.tree != Some(sidecar.inode), "it is not what the journal says was moved");
        if let Decision::Restore(_) = planned.decision {
            ask(1, entry.name_taken, "its name exists again");
            ask(1, !back.insert(&sidecar.name), "another entry goes back under its name");
            continue;
        }
        ask(1, plan.now < sidecar.deadline, "its retention is not over");
        ask(1, plan.now < after(sidecar.quarantined, policy.retention), "the spec's retention is not over");
        if let Some(since) = seen.history.complete().and_then(|history| history.watched_since) {
            let promised = sidecar.deadline.duration_since(sidecar.quarantined).try_into().unwrap_or_default();
            let again = plan.now < after(since, policy.retention.max(promised));
            ask(1, since > sidecar.quarantined && again, "its retention began again after a gap");
        }
        let id = &sidecar.session;
        let lists = |set: &crate::observe::IdSet| set.contains(id) || set.contains_canonical(id);
        let live = seen.sessions.complete().is_none_or(|sessions| lists(&sessions.ids));
        ask(1, live, "its session is live, or not known not to be");
        ask(1, seen.claims.as_ref().and_then(Reading::complete).is_some_and(lists), "a container claims it");
        ask(1, policy.keep.matching(&EntryName::new(&sidecar.name)).is_some(), "a keep glob matches");
        ask(1, pinned(policy, &entry.keep_file, plan.now), "a keep file pins it");
        let walked = seen.second_walks.get(&planned.id).map(|walk| &walk.outcome);
        let then = sidecar.evidence.newest;
        let idle = matches!(walked, Some(WalkOutcome::Idle { newest, .. }) if *newest <= then);
        ask(1, !idle, "its second walk did not find it idle");
    }
}
