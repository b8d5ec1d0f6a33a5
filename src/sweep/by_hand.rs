//! What people do to the quarantine by hand: look, put back, purge before the retention is over.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::held::{Held, open_root};
use super::observing::{Volumes, observe_and_plan, walk_quarantined};
use super::settling::settled;
use super::{Context, Fresh, Observed, Sources, SweepError, Swept, new_sweep, on_own_thread};
use crate::act::{Acted, Pin, Undone};
use crate::fsio::Dir;
use crate::journal::{self, Ledger, Record};
use crate::names::EntryId;
use crate::observe::volume::{Hands, Hygiene, quarantine_entries};
use crate::observe::{QuarantineEntry, Reading};
use crate::plan::{Decision, RetainReason, assess};
use crate::policy::{Limits, Mode, Policy};
use crate::records::Records;

/// What is in quarantine, and the journal that tells of it.
#[derive(Debug, Default)]
pub struct Listed {
    /// Every entry of the quarantine.
    pub entries: Vec<QuarantineEntry>,
    /// Every record of the journal, oldest first.
    pub records: Vec<Record>,
}

/// Lists the quarantine and the journal. Writes nothing, takes no lock.
///
/// # Errors
/// When the volume or the journal cannot be read.
pub async fn list_quarantine(policy: Arc<Policy>) -> Result<Listed, SweepError> {
    on_own_thread(move |_| {
        let root = root_of(&policy)?;
        let Some(hygiene) = Hygiene::open(&root, &policy.root)? else { return Ok(Listed::default()) };
        let mut records = Vec::new();
        let ledger = journal::read(&hygiene.journal, |record| records.push(record.clone()))?;
        let entries = entries(&policy, &root, &hygiene, &ledger)?;
        Ok(Listed { entries, records })
    })
    .await
}

/// The entries that `wanted` names, each by its id or by the workspace's name; all of them where `wanted` is empty.
///
/// # Errors
/// When one is not in quarantine, or a name is there more than once.
pub fn find_entries(entries: &[QuarantineEntry], wanted: &[String]) -> Result<Vec<QuarantineEntry>, SweepError> {
    if wanted.is_empty() {
        return Ok(entries.to_vec());
    }
    let mut found: Vec<QuarantineEntry> = Vec::new();
    for name in wanted {
        let bears = |e: &&QuarantineEntry| {
            e.id.as_str() == name || e.sidecar.complete().is_some_and(|sidecar| sidecar.name == *name)
        };
        let matches: Vec<_> = entries.iter().filter(bears).collect();
        match matches.as_slice() {
            [] => return Err(SweepError::NotInQuarantine(name.clone())),
            [one] if found.iter().any(|known| known.id == one.id) => {}
            [one] => found.push((*one).clone()),
            several => {
                let ids = several.iter().map(|entry| entry.id.to_string()).collect();
                return Err(SweepError::Ambiguous { name: name.clone(), ids });
            }
        }
    }
    Ok(found)
}

/// Puts entries back under their names. With `pin` each gets a keep file first.
///
/// # Errors
/// When the mode forbids it, the lock is taken, or an entry is not in quarantine.
pub async fn restore_now(
    policy: Arc<Policy>,
    sources: Sources,
    context: Context,
    wanted: Vec<String>,
    pin: Pin,
) -> Result<Acted, SweepError> {
    on_own_thread(move |handle| {
        let held = hold(&policy, &context)?;
        let (context, _) = held.by_server_clock(&context);
        let ledger = journal::read(&held.hygiene.journal, |_| ())?;
        let answers = Fresh { sources: &sources, handle, stop: &context.stop };
        let new_id = || EntryId::new((context.new_id)());
        let mut act = held.act(&policy, &context, &answers, &new_id, ledger, new_sweep(&context));
        act.settle();
        let entries = entries(&policy, &held.root, &held.hygiene, act.journal.ledger())?;
        for entry in find_entries(&entries, &wanted)? {
            let name = entry.sidecar.complete().map(|sidecar| sidecar.name.clone());
            let result = match &entry.sidecar {
                // Without its sidecar the journal still tells what it was called.
                Reading::Unavailable(why) => match act.journal.ledger().quarantined.get(&entry.id).cloned() {
                    Some(moved) => act.restore(&entry.id, &moved.name, "by hand", pin),
                    None => Err(Undone::Wrong(format!("its name is not known: {why}"))),
                },
                Reading::Complete(sidecar) if entry.tree != Some(sidecar.inode) => {
                    Err(Undone::Wrong("its tree is not the one its entry.json tells of; look at it by hand".into()))
                }
                Reading::Complete(_) if entry.name_taken => Err(Undone::Wrong(format!(
                    "RestoreConflict: its name exists again, so it stays in quarantine as {}; move one of the two away",
                    entry.id
                ))),
                Reading::Complete(sidecar) => act.restore(&entry.id, &sidecar.name, "by hand", pin),
            };
            let called = name.unwrap_or_else(|| entry.id.to_string());
            act.note("restore", &called, result);
        }
        Ok(act.acted)
    })
    .await
}

/// Condemns and purges entries before their retention is over. Everything else is asked as in a sweep.
///
/// # Errors
/// When the mode forbids it, the lock is taken, or an entry is not in quarantine. What keeps an entry is in the report.
pub async fn purge_now(
    policy: Arc<Policy>,
    sources: Sources,
    context: Context,
    wanted: Vec<String>,
) -> Result<Swept, SweepError> {
    on_own_thread(move |handle| {
        let sources = match policy.mode {
            Mode::Enforce => settled(&policy, &sources, &context, handle),
            Mode::Report => sources,
        };
        purge_blocking(&policy, &sources, &context, handle, &wanted)
    })
    .await
}

fn purge_blocking(
    policy: &Policy,
    sources: &Sources,
    context: &Context,
    handle: &Handle,
    wanted: &[String],
) -> Result<Swept, SweepError> {
    // No orphan is inspected for this: with none to quarantine the plan wants none.
    let policy = &Policy { limits: Limits { per_sweep: 0, ..policy.limits.clone() }, ..policy.clone() };
    let held = hold(policy, context)?;
    let (context, _) = held.by_server_clock(context);
    let context = &context;
    let state = context.state.open(policy).map_err(SweepError::Records)?;
    let records = Records::read(Some(&held.hygiene.dir), state.as_ref())?;
    let ledger = journal::read(&held.hygiene.journal, |_| ())?;
    let answers = Fresh { sources, handle, stop: &context.stop };
    let new_id = || EntryId::new((context.new_id)());
    let id = new_sweep(context);
    let mut act = held.act(policy, context, &answers, &new_id, ledger, id.clone());
    act.settle();
    let journal = Ok(act.journal.ledger().clone());
    let seen = Volumes { root: Ok(&held.root), hygiene: Ok(Some(&held.hygiene)), journal, records: Ok(&records) };
    let mut observed: Observed = observe_and_plan(policy, sources, context, handle, &seen);
    let entries = observed.snapshot.volume.complete().map(|volume| volume.quarantine.clone()).unwrap_or_default();
    let hold = observed.plan.held.as_ref().map(|hold| hold.reason);
    let (now, mut condemned) = (observed.plan.now, false);
    for entry in find_entries(&entries, wanted)? {
        let decide = |observed: &Observed| assess(policy, &observed.snapshot, hold, now, &entry, true);
        let mut decision = decide(&observed);
        if decision == Decision::Retain(RetainReason::AwaitsSecondWalk) {
            let newest = entry.sidecar.complete().map(|sidecar| sidecar.evidence.newest);
            let walked = walk_quarantined(policy, context, &held.hygiene, &entry.id, newest, &Hands::beside(1));
            observed.snapshot.second_walks.insert(entry.id.clone(), walked);
            decision = decide(&observed);
        }
        let name = entry.sidecar.complete().map_or_else(|| entry.id.to_string(), |sidecar| sidecar.name.clone());
        let result = match &decision {
            Decision::Condemn => act.condemn(&entry.id, &name, "by hand"),
            Decision::Restore(reason) => act.restore(&entry.id, &name, reason.word(), Pin::No),
            // A hold is the report's to tell, once and for all entries.
            Decision::Retain(RetainReason::Held(_)) => Ok(()),
            Decision::Retain(_) => Err(Undone::Wrong(decision.message(now))),
        };
        condemned |= decision == Decision::Condemn && result.is_ok();
        act.note("purge", &name, result);
    }
    if condemned {
        act.purge_condemned();
    }
    Ok(Swept { id, observed, recorded: act.journal.ledger().last, acted: act.acted, state: None })
}

fn hold(policy: &Policy, context: &Context) -> Result<Held, SweepError> {
    if policy.mode == Mode::Report {
        return Err(SweepError::ReportMode);
    }
    match Held::take(policy, context)? {
        Some(held) => Ok(held),
        None => Err(SweepError::NothingThere(policy.root.clone())),
    }
}

fn root_of(policy: &Policy) -> Result<Dir, SweepError> {
    open_root(policy).map_err(|source| SweepError::Root { path: policy.root.clone(), source })
}

fn entries(
    policy: &Policy,
    root: &Dir,
    hygiene: &Hygiene,
    ledger: &Ledger,
) -> Result<Vec<QuarantineEntry>, SweepError> {
    quarantine_entries(root, hygiene, ledger, policy)
        .map_err(|source| SweepError::Root { path: policy.root.clone(), source })
}
