//! From a snapshot to a plan.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use jiff::Timestamp;

use super::guards::{BY_INSPECTION, BY_NAME, BY_ROOT, Subject, Twins};
use super::hash::plan_hash;
use super::hold::{Hold, HoldReason, LAG_FLOOR, Tally, Tripped, breaker, gate};
use super::quarantine::{Decision, EntryPlan, RetainReason, assess};
use super::verdict::{KeepReason, QuarantineReason, Verdict};
use super::{Plan, Victim, Wanted};
use crate::clock::before;
use crate::fsio::Kind;
use crate::names::PlanHash;
use crate::observe::{DirectoryFacts, Entry, Reading, Snapshot, Volume, WalkOutcome};
use crate::policy::Policy;
use crate::records::{OrphanKey, orphan_key};

/// Most entries one sweep inspects before it stops taking up further trees, so that a sweep over a large backlog of
/// kept orphans ends. At about 1 ms for a read on EFS and 32 threads this is a minute of reading.
pub const WORK_BUDGET: u64 = 2_000_000;

/// What the names and the session rows alone decide about every entry. Neither changes while roots are read and trees are
/// walked, so this is found out once for all plans over one listing.
#[derive(Debug)]
pub struct ByName {
    twins: Twins,
    kept: Vec<Option<KeepReason>>,
}

impl ByName {
    /// Judges every name of the listing.
    pub fn of(policy: &Policy, seen: &Snapshot) -> Self {
        let Some(volume) = seen.volume.complete() else { return Self { twins: Twins::default(), kept: Vec::new() } };
        let twins = Twins::of(volume, policy);
        let judge = |(index, entry)| Subject::new(policy, seen, Timestamp::MIN, index, entry, &twins).first(BY_NAME);
        let kept = volume.entries.iter().enumerate().map(judge).collect();
        Self { twins, kept }
    }

    /// The entries whose root directory must be read: those that neither their name nor the session rows keep.
    pub fn candidates(&self) -> Vec<usize> {
        self.kept.iter().enumerate().filter(|(_, kept)| kept.is_none()).map(|(index, _)| index).collect()
    }

    /// The live workspaces from which a sample of root directories is to be drawn, or none where the answer cannot matter:
    /// so many young workspaces may be unknown to the database anyhow.
    pub fn sample_wanted(&self, policy: &Policy, seen: &Snapshot, now: Timestamp) -> Vec<usize> {
        let Some(volume) = seen.volume.complete() else { return Vec::new() };
        let mut unknown = 0;
        for index in self.candidates() {
            let Some(entry) = volume.entries.get(index) else { continue };
            let subject = Subject::new(policy, seen, now, index, entry, &self.twins);
            add(&mut unknown, subject.is_young_unknown(subject.first(BY_ROOT).as_ref()));
        }
        if unknown <= LAG_FLOOR {
            return Vec::new();
        }
        let live = |(_, kept): &(usize, &Option<KeepReason>)| **kept == Some(KeepReason::LiveSession);
        self.kept.iter().enumerate().filter(live).map(|(index, _)| index).collect()
    }
}

/// The entries whose root directory must be read: those that neither their name nor the session rows keep.
pub fn candidates(policy: &Policy, seen: &Snapshot) -> Vec<usize> {
    ByName::of(policy, seen).candidates()
}

/// Plans one sweep. Total: every snapshot gives a plan, and a snapshot that lacks something gives one without victims.
pub fn plan(policy: &Policy, seen: &Snapshot, now: Timestamp) -> Plan {
    plan_by(policy, seen, now, &ByName::of(policy, seen))
}

/// As [`plan`], with what the names decide found out before.
pub fn plan_by(policy: &Policy, seen: &Snapshot, now: Timestamp, names: &ByName) -> Plan {
    let nothing = Volume::default();
    let volume = seen.volume.complete().unwrap_or(&nothing);
    let mut tally = Tally::default();
    let mut verdicts = Vec::with_capacity(volume.entries.len());
    let mut orphans = Vec::new();
    for (index, (entry, by_name)) in volume.entries.iter().zip(&names.kept).enumerate() {
        // A wide pattern matches our own folder too; to count it would make the orphans fewer per cent.
        let foreign = matches!(by_name, Some(KeepReason::Reserved | KeepReason::NotUtf8 | KeepReason::ForeignName));
        add(&mut tally.workspaces, !foreign && entry.kind == Some(Kind::Directory));
        if let Some(reason) = by_name {
            add(&mut tally.live, *reason == KeepReason::LiveSession);
            add(&mut tally.near_matches, *reason == KeepReason::NearMatch);
            verdicts.push(Verdict::Keep(reason.clone()));
            continue;
        }
        let mut subject = Subject::new(policy, seen, now, index, entry, &names.twins);
        match subject.first(BY_ROOT) {
            Some(reason) => {
                add(&mut tally.young_unknown, subject.is_young_unknown(Some(&reason)));
                verdicts.push(Verdict::Keep(reason));
            }
            None => {
                verdicts.push(Verdict::Keep(KeepReason::NotInspected));
                subject.approved = subject.is_approved();
                add(&mut tally.unapproved, !subject.approved);
                orphans.push(subject);
            }
        }
    }
    let count = orphans.len() as u64;
    let rooted = orphans.iter().filter_map(|s| Some((s.entry, root(seen, s.index)?)));
    let hashed = |breaker| plan_hash(policy, &volume.identity, breaker, rooted.clone());
    let (tripped, in_force) = match gate(policy, seen, now) {
        Some(hold) => {
            let reason = hold.reason;
            (Some(Tripped::Whole(hold)), vec![reason])
        }
        None => breaker(policy, seen, &tally),
    };
    let (held, hash) = match tripped {
        None => (None, hashed(None)),
        Some(Tripped::Whole(hold)) => {
            let hash = hashed(Some(hold.reason));
            (Some(hold), hash)
        }
        Some(Tripped::New(reason, cause)) => {
            let hash = hashed(Some(reason));
            (Some(Hold::over(reason, &cause, hash.clone(), count, None)), hash)
        }
    };

    let mut wanted = Wanted::default();
    let mut victims = Vec::new();
    let mut allowance = Allowance::of(policy, seen, now);
    let yields = in_force.iter().all(|reason| reason.yields_to_approval());
    wanted.confirmed = if yields { allowance.directories } else { 0 };
    orphans.sort_by_cached_key(|s| (idle_since(policy, seen, s.index), s.entry.name.clone()));
    for subject in &mut orphans {
        subject.holds = &in_force;
        let spent = wanted.confirmed == 0 && yields;
        let verdict = match subject.first(BY_INSPECTION) {
            Some(KeepReason::NotInspected) if spent => Verdict::Keep(allowance.exhausted()),
            Some(reason) => {
                if reason == KeepReason::NotInspected {
                    wanted.inspections.push(subject.index);
                }
                Verdict::Keep(reason)
            }
            None => match victim(seen, subject) {
                None => Verdict::Keep(KeepReason::NotInspected),
                Some(victim) => match allowance.take(victim.bytes) {
                    Err(reason) => Verdict::Keep(reason),
                    Ok(()) => {
                        victims.push(victim);
                        Verdict::Quarantine(QuarantineReason::NoLiveSession)
                    }
                },
            },
        };
        if let Some(place) = verdicts.get_mut(subject.index) {
            *place = verdict;
        }
    }
    let quarantine = quarantine(policy, seen, held.as_ref(), now, volume);
    wanted.second_walks = awaiting_second_walk(volume, &quarantine);
    let Tally { workspaces, live, .. } = tally;
    Plan { hash, now, held, verdicts, victims, quarantine, workspaces, orphans: count, live, in_force, wanted }
}

fn add(count: &mut u64, one_more: bool) {
    *count = count.saturating_add(u64::from(one_more));
}

/// All orphans of a plan whose root was read, in the order of the listing.
fn orphans_of<'a>(seen: &'a Snapshot, plan: &'a Plan) -> impl Iterator<Item = (&'a Entry, &'a DirectoryFacts)> {
    let entries = seen.volume.complete().map(|volume| volume.entries.as_slice()).unwrap_or_default();
    let is_orphan = |verdict: &Verdict| match verdict {
        Verdict::Quarantine(_) => true,
        Verdict::Keep(reason) => reason.is_orphan(),
    };
    let orphans = entries.iter().zip(&plan.verdicts).enumerate().filter(move |(_, (_, verdict))| is_orphan(verdict));
    orphans.filter_map(|(index, (entry, _))| Some((entry, root(seen, index)?)))
}

/// All orphans of a plan, in name order: what a person approves.
pub fn orphan_keys(seen: &Snapshot, plan: &Plan) -> Vec<OrphanKey> {
    let orphans = orphans_of(seen, plan);
    let mut keys: Vec<_> = orphans.map(|(entry, root)| orphan_key(&entry.name, root.inode, root.changed)).collect();
    keys.sort_unstable();
    keys
}

/// The hash of a plan that is held for `reason`, which showed only while it was carried out.
pub fn hash_held_for(policy: &Policy, seen: &Snapshot, plan: &Plan, reason: HoldReason) -> PlanHash {
    let identity = seen.volume.complete().map(|volume| volume.identity.as_str()).unwrap_or_default();
    plan_hash(policy, identity, Some(reason), orphans_of(seen, plan))
}

fn root(seen: &Snapshot, index: usize) -> Option<&DirectoryFacts> {
    seen.roots.get(&index).and_then(Reading::complete)
}

fn idle_since(policy: &Policy, seen: &Snapshot, index: usize) -> Timestamp {
    root(seen, index).map_or(Timestamp::MAX, |root| root.newest(policy.activity))
}

fn victim(seen: &Snapshot, subject: &Subject<'_>) -> Option<Victim> {
    let inspection = seen.inspections.get(&subject.index)?;
    let WalkOutcome::Idle { newest, entries, bytes } = inspection.outcome else { return None };
    Some(Victim {
        index: subject.index,
        name: subject.entry.name.clone(),
        session: subject.session.clone()?,
        root: root(seen, subject.index)?.clone(),
        inspection_started: inspection.started,
        newest,
        entries,
        bytes,
    })
}

/// What may still be quarantined: by this sweep, and in the rolling period.
struct Allowance {
    directories: u32,
    bytes: u64,
    whole_budget: u64,
    /// Whether the period's budget, rather than `perSweep`, is what limits the directories.
    by_budget: bool,
    /// Set once a directory did not fit: what is next in line waits, so that small ones do not starve a large one.
    full: bool,
}

impl Allowance {
    fn of(policy: &Policy, seen: &Snapshot, now: Timestamp) -> Self {
        let budget = &policy.limits.budget;
        let since = before(now, budget.period);
        let history = seen.history.complete();
        let spent = history.into_iter().flat_map(|history| &history.spent).filter(|spent| spent.at > since);
        let (count, bytes) =
            spent.fold((0u32, 0u128), |(n, b), s| (n.saturating_add(1), b.saturating_add(s.bytes.into())));
        let bytes_left = u128::from(budget.bytes).checked_sub(bytes);
        let left = budget.directories.saturating_sub(count);
        Self {
            directories: left.min(policy.limits.per_sweep),
            bytes: bytes_left.and_then(|left| left.try_into().ok()).unwrap_or(0),
            whole_budget: budget.bytes,
            by_budget: left < policy.limits.per_sweep,
            // A budget made smaller than what is spent already lets nothing through, not even a tree of no bytes.
            full: bytes_left.is_none(),
        }
    }

    fn exhausted(&self) -> KeepReason {
        if self.by_budget || self.full { KeepReason::BudgetSpent } else { KeepReason::PerSweepLimit }
    }

    fn take(&mut self, bytes: u64) -> Result<(), KeepReason> {
        if bytes > self.whole_budget {
            return Err(KeepReason::LargerThanBudget(bytes));
        }
        if bytes > self.bytes {
            self.full = true;
        }
        if self.full || self.directories == 0 {
            return Err(self.exhausted());
        }
        self.directories = self.directories.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        Ok(())
    }
}

fn quarantine(
    policy: &Policy,
    seen: &Snapshot,
    held: Option<&Hold>,
    now: Timestamp,
    volume: &Volume,
) -> Vec<EntryPlan> {
    let hold = held.map(|hold| hold.reason);
    let mut back = BTreeSet::new();
    // The newest first: where two entries bear one name, the later work is what goes back.
    let mut order: Vec<_> = volume.quarantine.iter().collect();
    order.sort_by_key(|entry| Reverse(entry.sidecar.complete().map(|sidecar| (sidecar.quarantined, entry.id.clone()))));
    let decide = |entry: &crate::observe::QuarantineEntry| {
        let name = entry.sidecar.complete().map(|sidecar| sidecar.name.clone());
        let mut decision = assess(policy, seen, hold, now, entry, false);
        if matches!(decision, Decision::Restore(_)) && !back.insert(name.clone()) {
            decision = Decision::Retain(RetainReason::RestoreConflict);
        }
        EntryPlan { id: entry.id.clone(), name, decision }
    };
    order.into_iter().map(decide).collect()
}

/// The entries that only a second walk keeps from being condemned, the longest due first.
fn awaiting_second_walk(volume: &Volume, plans: &[EntryPlan]) -> Vec<crate::names::EntryId> {
    let waits = |plan: &&EntryPlan| plan.decision == Decision::Retain(RetainReason::AwaitsSecondWalk);
    let mut waiting: Vec<_> = plans.iter().filter(waits).map(|plan| plan.id.clone()).collect();
    let deadline = |id: &crate::names::EntryId| {
        let entry = volume.quarantine.iter().find(|entry| entry.id == *id)?;
        Some(entry.sidecar.complete()?.deadline)
    };
    waiting.sort_by_cached_key(|id| (deadline(id), id.clone()));
    waiting
}
