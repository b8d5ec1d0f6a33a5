//! A sweep in mode Enforce: the five steps in order, with what must be remembered before and after.

use jiff::Timestamp;
use tokio::runtime::Handle;

use super::bind::{bind, may_bind, take_over_file_system};
use super::held::{Held, has_folder};
use super::last;
use super::observing::{self, Volumes, observe_and_plan};
use super::{Context, Fresh, Observed, Sources, SweepError, Swept, new_sweep, refuse_broken};
use crate::act::{Act, Acted, StepError};
use crate::fsio::Dir;
use crate::journal::{self, Event, Remark};
use crate::names::{EntryId, EntryName};
use crate::observe::{InspectionNote, Reading, WalkOutcome};
use crate::plan::{HoldReason, Resolution, hash_held_for, identity_now, is_complete, orphan_keys};
use crate::policy::Policy;
use crate::records::{Answer, AnswerKind, HeldPlan, Identity, Memory, Records};

/// So many sweeps in a row that the service suffers from are a breaker (DESIGN, promise 13).
const CLOSURES: u32 = 3;

pub(super) fn enforce(
    policy: &Policy,
    sources: &Sources,
    context: &Context,
    handle: &Handle,
    start: Timestamp,
) -> Result<Swept, SweepError> {
    let id = new_sweep(context);
    let nothing_done = |observed| {
        let swept = Swept { id: id.clone(), observed, acted: Acted::default(), recorded: 0, state: None };
        Ok(last::tell(policy, context, swept, start))
    };
    if !has_folder(policy)? {
        // Before anything is written to a volume that was never written to: is it one, and is it ours?
        let observed = observing::read_only(policy, sources, context, handle);
        if observed.plan.workspaces == 0 || !may_bind(&observed) {
            refuse_broken(policy, &observed)?;
            return nothing_done(observed);
        }
    }
    let held = match Held::take(policy, context)? {
        Some(held) => held,
        // Nothing to hold: the root cannot be read, or there is nothing in it. Either way nothing is written there.
        None => return nothing_done(observing::read_only(policy, sources, context, handle)),
    };
    let (context, ahead) = held.by_server_clock(context);
    let context = &context;
    let state = context.state.open(policy).map_err(SweepError::Records)?;
    let records = Records::read(Some(&held.hygiene.dir), state.as_ref());
    let ledger = journal::read(&held.hygiene.journal, |_| ());
    let volumes =
        |journal, records| Volumes { root: Ok(&held.root), hygiene: Ok(Some(&held.hygiene)), journal, records };
    let (mut records, ledger) = match (records, ledger) {
        (Ok(records), Ok(ledger)) => (records, ledger),
        (records, journal) => {
            let seen = volumes(journal, records.as_ref().map_err(Clone::clone));
            return nothing_done(observe_and_plan(policy, sources, context, handle, &seen));
        }
    };
    let as_read = records.memory.clone();
    records.memory.saw_server_ahead(ahead);
    let answers = Fresh { sources, handle, stop: &context.stop };
    let new_id = || EntryId::new((context.new_id)());
    let mut act = held.act(policy, context, &answers, &new_id, ledger, id.clone());
    act.settle();
    take_over_answers(&mut act, &mut records, state.as_ref());
    let seen = volumes(Ok(act.journal.ledger().clone()), Ok(&records));
    let observed = observe_and_plan(policy, sources, context, handle, &seen);
    refuse_broken(policy, &observed)?;
    if !records.bound && may_bind(&observed) {
        bind(&mut act, policy, context, &mut records, &observed, state.as_ref());
    }
    take_over_file_system(&mut act, policy, &mut records, &observed);
    latch(&mut act, &mut records, &observed, None);
    let closures = records.memory.closures;
    let anothers = observed.plan.held.as_ref().is_some_and(|hold| hold.reason == HoldReason::OwnedByAnother);
    if records.bound && !anothers {
        let live = observed.snapshot.sessions.complete().map(|sessions| (sessions.ids.len(), sessions.at));
        act.carry_out(&observed.plan, live);
    }
    let now = context.clock.now();
    records.memory.closures = closures_after(policy, &act.acted, closures, now);
    if let Some(why) = act.acted.latched.clone() {
        latch(&mut act, &mut records, &observed, Some((HoldReason::NotTheSame, &why)));
    } else if let Some(why) = act.acted.paused.clone().filter(|_| records.memory.closures >= CLOSURES) {
        let why = format!(
            "the service was not well when something was to be taken away, in {CLOSURES} sweeps one after the other; the last \
             time {why}"
        );
        latch(&mut act, &mut records, &observed, Some((HoldReason::ServiceSuffers, &why)));
        records.memory.closures = 0;
    }
    let (journal, mut acted) = (act.journal, act.acted);
    let recorded = journal.ledger().last;
    if context.stop.requested() {
        acted.stopped = true;
    } else if records.bound
        && !anothers
        && let Err(why) = remember(policy, &observed, &acted, records, &as_read, &held.hygiene.dir)
    {
        acted.errors.push(not_remembered(&why));
    }
    if let Err(error) = journal.finish(now) {
        tracing::warn!(%error, "the journal stays in many files for now");
    }
    if let Err(error) = journal::set_aside(&held.hygiene.dir) {
        tracing::warn!(%error, "no space could be set aside for the journal");
    }
    let swept = last::tell(policy, context, Swept { id, observed, acted, recorded, state: None }, start);
    if !anothers {
        last::keep(&held.hygiene.dir, &swept);
    }
    Ok(swept)
}

pub(super) fn remark_answers(act: &mut Act<'_>, answers: &[Answer]) {
    for answer in answers {
        let plan = Some(answer.hash.clone());
        let why = format!("{} orphans, by {} at {:.0}", answer.orphans.len(), answer.by, answer.at);
        act.remark(match answer.kind {
            AnswerKind::Approve => Event::Approved(Remark { plan, why }),
            AnswerKind::Dismiss => Event::Dismissed(Remark { plan, why }),
        });
    }
}

/// What people said since the last sweep becomes part of the records and of the journal.
fn take_over_answers(act: &mut Act<'_>, records: &mut Records, state: Option<&Dir>) {
    // Of a volume that is not bound yet the answers stay where they are until it is, and its journal stays empty: a record
    // without an identity beside it would say that the identity was lost.
    let ours = records.identity.as_ref().is_some_and(|identity| identity.owner == act.policy.owner());
    if records.answers.is_empty() || !records.bound || !ours {
        return;
    }
    remark_answers(act, &records.answers);
    let written =
        records.identity.as_ref().map_or(Ok(()), |identity| Records::write_identity(&act.hygiene.dir, identity));
    let memory = records.memory.write(&act.hygiene.dir);
    if let Err(why) = written.and(memory).and_then(|()| records.write_held(&act.hygiene.dir, state)) {
        act.acted.errors.push(StepError { name: ".hygiene".into(), step: "take over answers", message: why });
        return;
    }
    records.answers.clear();
}

/// Stores the plan that a breaker held, so that it is held until a person says something to it.
fn latch(act: &mut Act<'_>, records: &mut Records, observed: &Observed, happened: Option<(HoldReason, &str)>) {
    let plan = &observed.plan;
    let tripped = plan.held.as_ref().filter(|hold| hold.reason.yields_to_approval() && hold.since.is_none());
    let (reason, cause, hash) = match (happened, tripped) {
        (Some((reason, why)), _) => {
            // Under a hash of its own: whoever read the plan before has not read this.
            (reason, why, hash_held_for(act.policy, &observed.snapshot, plan, reason))
        }
        (None, Some(hold)) => (hold.reason, hold.cause.as_str(), plan.hash.clone()),
        (None, None) => return,
    };
    // That what was moved was not what had been inspected comes before whatever is held already.
    if !records.bound || (records.held.is_some() && reason != HoldReason::NotTheSame) {
        return;
    }
    let held = HeldPlan {
        hash,
        reason: reason.word().into(),
        message: cause.into(),
        since: plan.now,
        live: (reason == HoldReason::SessionsDropped)
            .then(|| observed.snapshot.sessions.complete().map(|sessions| sessions.ids.len()))
            .flatten(),
        orphans: orphan_keys(&observed.snapshot, plan),
    };
    let why = format!("{}: {cause}; {} orphans", reason.word(), held.orphans.len());
    act.remark(Event::Held(Remark { plan: Some(held.hash.clone()), why }));
    records.held = Some(held);
    if let Err(why) = records.write_held(&act.hygiene.dir, None) {
        act.acted.errors.push(StepError { name: ".hygiene".into(), step: "hold", message: why });
    }
}

/// In how many sweeps in a row, by now, the service was not well when something was to be taken away. One that took
/// something away and left it well ends the row; one that took nothing says nothing.
fn closures_after(policy: &Policy, acted: &Acted, before: u32, now: Timestamp) -> u32 {
    match &acted.paused {
        // A window that closed is no fault of the service.
        Some(_) if policy.schedule.open(now).is_ok() => before.saturating_add(1),
        Some(_) => before,
        None if acted.quarantined.is_empty() && acted.condemned.is_empty() && acted.purged.is_empty() => before,
        None => 0,
    }
}

fn not_remembered(why: &str) -> StepError {
    let message = format!("what was seen is not remembered, so the next sweep looks again: {why}");
    StepError { name: ".hygiene".into(), step: "remember", message }
}

/// Writes down in the state directory what a sweep in mode Report saw; of a volume that is bound its own records tell.
pub(super) fn remember_report(policy: &Policy, context: &Context, observed: &Observed) -> Result<(), String> {
    let bound = observed.snapshot.history.complete().is_none_or(|history| history.bound);
    if bound || context.stop.requested() || observed.snapshot.volume.complete().is_none_or(|v| v.entries.is_empty()) {
        return Ok(());
    }
    let dir = context.state.ensure(policy)?;
    let before = Records::read(None, Some(&dir)).map_err(|e| e.to_string())?;
    let mut memory = before.memory.clone();
    look_back(&mut memory, policy, observed);
    note_inspections(&mut memory, observed, None);
    if memory != before.memory {
        memory.write(&dir)?;
    }
    let like = || Identity::unbound((context.new_id)(), context.clock.now());
    // Here no identity is ever approved: the answers beside it are what counts, as long as they are about this one.
    let like = Identity { approved: false, ..before.identity.clone().unwrap_or_else(like) };
    match identity_now(policy, &observed.snapshot, &like) {
        // A root or a database that changed stays on record as it was, until a person adopts the new one.
        Some(identity) if before.identity.as_ref() != Some(&identity) && !is_mismatch(observed) => {
            Records::write_identity(&dir, &identity)
        }
        _ => Ok(()),
    }
}

/// Writes down what the next sweep needs: live counts, the watch, and which orphans were inspected and kept.
fn remember(
    policy: &Policy,
    observed: &Observed,
    acted: &Acted,
    mut records: Records,
    as_read: &Memory,
    hygiene: &Dir,
) -> Result<(), String> {
    look_back(&mut records.memory, policy, observed);
    // A victim whose turn did not come, since the sweep stopped, has it again in the next.
    let cut_short = acted.stopped || acted.latched.is_some() || acted.paused.is_some();
    note_inspections(&mut records.memory, observed, (!cut_short).then_some(acted));
    if records.memory != *as_read {
        records.memory.write(hygiene)?;
    }
    // What was approved and is gone or changed since needs no approval any more.
    let seen = &observed.snapshot;
    if !records.approved.is_empty() && !observed.plan.is_gated() && !acted.stopped {
        let still = orphan_keys(seen, &observed.plan);
        let before = records.approved.clone();
        records.prune(|key| !has_moved(acted, &key.name) && still.binary_search(key).is_ok());
        if records.approved != before {
            records.write_held(hygiene, None)?;
        }
    }
    Ok(())
}

/// What any complete observation leaves behind.
pub(super) fn look_back(memory: &mut Memory, policy: &Policy, observed: &Observed) {
    let (seen, plan) = (&observed.snapshot, &observed.plan);
    let Some(sessions) = seen.sessions.complete() else { return };
    // A stale or an empty answer, or that of another database, was no look at these sessions, whatever else holds the sweep.
    if is_complete(policy, seen, plan.now) {
        // Behind a gate no breaker is asked: the number that it would have compared with must not grow old meanwhile.
        let highest = memory.highest_live(plan.now).filter(|_| plan.is_gated()).unwrap_or(0);
        memory.saw_live(plan.now, highest.max(sessions.ids.len()));
        memory.observed(plan.now, sessions.position);
        memory.spec = Some(policy.digests.evidence.clone());
    }
}

fn has_moved(acted: &Acted, name: &str) -> bool {
    acted.quarantined.iter().any(|moved| moved == name)
}

/// Whether volume, database and resource do not belong together: then what was seen says nothing of any of them.
fn is_mismatch(observed: &Observed) -> bool {
    observed.plan.held.as_ref().is_some_and(|hold| hold.reason.resolution() == Resolution::Adoption)
}

/// Notes which orphans were inspected and kept; `acted` is what came of the plan where it was carried out.
fn note_inspections(memory: &mut Memory, observed: &Observed, acted: Option<&Acted>) {
    let (seen, plan) = (&observed.snapshot, &observed.plan);
    let Some(volume) = seen.volume.complete() else { return };
    let is_there = |name: &EntryName| volume.entries.binary_search_by(|entry| entry.name.cmp(name)).is_ok();
    memory.inspected.retain(|name, _| is_there(&EntryName::new(name)));
    for (index, inspection) in &seen.inspections {
        let Some(name) = volume.entries.get(*index).and_then(|entry| entry.name.as_str()) else { continue };
        let Some(Reading::Complete(root)) = seen.roots.get(index) else { continue };
        let chosen = plan.victims.iter().any(|victim| victim.index == *index);
        let active = match inspection.outcome {
            // A victim that could not be moved waits like one that was kept, so that it does not starve the rest.
            WalkOutcome::Idle { .. } if chosen && acted.is_some_and(|acted| !has_moved(acted, name)) => None,
            WalkOutcome::Idle { .. } => {
                memory.inspected.remove(name);
                continue;
            }
            WalkOutcome::Young { at, .. } => Some(at),
            _ => None,
        };
        let earlier = memory.inspected.get(name).filter(|note| note.inode == root.inode).map_or(0, |note| note.times);
        let note = InspectionNote { inode: root.inode, at: plan.now, times: earlier.saturating_add(1), active };
        memory.inspected.insert(name.to_owned(), note);
    }
}
