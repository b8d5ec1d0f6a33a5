//! The first two steps: observe and plan, in the order that makes the answer safe.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::future::Future;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::runtime::Handle;
use tracing::Instrument as _;

use super::held::open_root;
use super::{Context, Sources};
use crate::act::Condemned;
use crate::clock::ServerClock;
use crate::fsio::{Dir, FsError};
use crate::journal::{self, JournalError, Ledger};
use crate::names::id_hash;
use crate::observe::containers::Look;
use crate::observe::efs::mount_of;
use crate::observe::volume::{
    Hands, Hygiene, VolumeError, WORKSPACE, Walk, list, missing_on_root, quarantine_entries, read_root, root_activity,
    run_in_order, unreadable_root, walk,
};
use crate::observe::{
    Health, History, IdSet, Inspection, LiveSample, Reading, Snapshot, Volume, WalkOutcome, sessions,
};
use crate::plan::{ByName, Plan, WORK_BUDGET, plan, plan_by};
use crate::policy::{Mode, Policy};
use crate::records::{Records, RecordsError};
use crate::stop::Stop;

/// Threads that walk trees and read roots. Fewer than the 64 calls one EFS client can have in flight (NFSv4.1 slots of
/// the Linux client), so that the service on the same host keeps its share.
const THREADS: usize = 16;
/// Most root directories of live workspaces that are read to tell how many are young (DESIGN, promise 3).
const SAMPLE: usize = 1_000;

/// What one sweep saw, and the plan that follows from it.
#[derive(Clone, Debug)]
pub struct Observed {
    /// What was seen.
    pub snapshot: Snapshot,
    /// What follows.
    pub plan: Plan,
}

/// What is known of the volume before it is listed.
pub(super) struct Volumes<'a> {
    pub(super) root: Result<&'a Dir, String>,
    pub(super) hygiene: Result<Option<&'a Hygiene>, String>,
    pub(super) journal: Result<Ledger, JournalError>,
    pub(super) records: Result<&'a Records, RecordsError>,
}

/// Opens the volume for reading only, observes and plans.
pub(super) fn read_only(policy: &Policy, sources: &Sources, context: &Context, handle: &Handle) -> Observed {
    let root = open_root(policy).map_err(|error| unreadable_root(&error, policy));
    let hygiene = match &root {
        Ok(root) => Hygiene::open(root, &policy.root).map_err(|e: VolumeError| e.to_string()),
        Err(_) => Ok(None),
    };
    let journal = match &hygiene {
        Ok(Some(hygiene)) => journal::read(&hygiene.journal, |_| ()),
        _ => Ok(Ledger::default()),
    };
    let state = context.state.open(policy);
    let records = match (&hygiene, &state) {
        (Err(why), _) | (_, Err(why)) => Err(RecordsError::Unreadable(why.clone())),
        (Ok(hygiene), Ok(state)) => Records::read(hygiene.as_ref().map(|hygiene| &hygiene.dir), state.as_ref()),
    };
    let ahead = records.as_ref().map(|records| records.memory.server_ahead()).unwrap_or_default();
    let clock = Arc::new(ServerClock::new(Arc::clone(&context.clock), ahead));
    let context = &Context { clock, ..context.clone() };
    let seen = Volumes {
        root: root.as_ref().map_err(Clone::clone),
        hygiene: hygiene.as_ref().map(Option::as_ref).map_err(Clone::clone),
        journal,
        records: records.as_ref().map_err(Clone::clone),
    };
    observe_and_plan(policy, sources, context, handle, &seen)
}

/// Observes and plans. The listing of the volume ends before the sessions are read: a session made in between has a row
/// and no directory in the listing, never the other way round.
pub(super) fn observe_and_plan(
    policy: &Policy,
    sources: &Sources,
    context: &Context,
    handle: &Handle,
    seen: &Volumes<'_>,
) -> Observed {
    context.progress.begin("listing the volume", None);
    let volume = tracing::debug_span!("list").in_scope(|| listing(policy, seen));
    context.progress.begin("asking the sources", None);
    let (sessions, serving, claims) =
        handle.block_on(ask(sources, &context.stop).instrument(tracing::debug_span!("ask")));
    let efs = sources.efs.as_ref().map(|efs| {
        let mount = seen.root.clone().and_then(mount_of);
        handle.block_on(unless_stopped(&context.stop, efs.look(mount)))
    });
    context.progress.end();
    let history = history(context, seen);
    let mut snapshot = Snapshot {
        volume,
        sessions,
        serving,
        claims,
        efs,
        history,
        roots: BTreeMap::new(),
        inspections: BTreeMap::new(),
        second_walks: BTreeMap::new(),
        sample: None,
    };
    let Ok(root) = seen.root else {
        let plan = plan(policy, &snapshot, context.clock.now());
        return Observed { snapshot, plan };
    };
    let names = ByName::of(policy, &snapshot);
    read_roots(policy, context, root, &names, &mut snapshot);
    let now = context.clock.now();
    sample(policy, context, root, (&names, now), &mut snapshot);
    let first = plan_by(policy, &snapshot, now, &names);
    inspect(policy, context, root, &first, &mut snapshot);
    if let Ok(Some(hygiene)) = seen.hygiene {
        walk_again(policy, context, hygiene, &first, &mut snapshot);
    }
    let plan = plan_by(policy, &snapshot, now, &names);
    Observed { snapshot, plan }
}

fn listing(policy: &Policy, seen: &Volumes<'_>) -> Reading<Volume> {
    let read = || -> Result<Volume, String> {
        let text = |e: FsError| e.to_string();
        let root = seen.root.clone()?;
        let hygiene = seen.hygiene.clone()?;
        let own = root.own_facts().map_err(text)?;
        let mut volume = Volume { identity: format!("{}#{}", policy.root.display(), own.inode), ..Volume::default() };
        volume.root = own.inode;
        volume.entries = list(root).map_err(text)?;
        if policy.mode == Mode::Enforce {
            volume.missing_right = missing_on_root(root, policy).map_err(text)?;
        }
        if let Some(hygiene) = hygiene {
            let none = Ledger::default();
            let ledger = seen.journal.as_ref().unwrap_or(&none);
            volume.quarantine = quarantine_entries(root, hygiene, ledger, policy).map_err(text)?;
            volume.purging =
                Condemned::all(&hygiene.purging).map_err(text)?.iter().map(|one| one.id().clone()).collect();
        }
        Ok(volume)
    };
    read().map_err(|why| format!("{}: {why}", policy.root.display())).into()
}

/// Awaits a source, or answers for it that it was not waited for: a request to stop does not wait for a slow database. The
/// source stops what it does when its future is dropped.
pub(super) async fn unless_stopped<T>(stop: &Stop, source: impl Future<Output = Reading<T>>) -> Reading<T> {
    before_stop(stop, source).await.unwrap_or_else(not_waited_for)
}

pub(super) fn not_waited_for<T>() -> Reading<T> {
    Reading::Unavailable("asked to stop before it answered".into())
}

/// Awaits whatever it is; `None` where the request to stop came first.
pub(super) async fn before_stop<T>(stop: &Stop, awaited: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        answer = awaited => Some(answer),
        () = stop.wait() => None,
    }
}

impl Sources {
    /// Whether the serving containers are healthy; `None` where no source says.
    pub async fn serving(&self, look: Look, stop: &Stop) -> Option<Reading<Health>> {
        let mut serving = None;
        for source in &self.containers {
            let said = before_stop(stop, source.serving(look)).await.unwrap_or_else(|| Some(not_waited_for()));
            serving = both(serving, said, |a, b| match (a, b) {
                (Health::Healthy, other) => other,
                (unhealthy, _) => unhealthy,
            });
        }
        serving
    }
}

type Answers = (Reading<crate::observe::LiveSessions>, Option<Reading<Health>>, Option<Reading<IdSet>>);

async fn ask(sources: &Sources, stop: &Stop) -> Answers {
    let sessions = unless_stopped(stop, sessions::read(&sources.sessions)).await;
    let serving = sources.serving(Look::Fresh, stop).await;
    let mut claims = None;
    for source in &sources.containers {
        let said = before_stop(stop, source.claims()).await.unwrap_or_else(|| Some(not_waited_for()));
        claims = both(claims, said, IdSet::union);
    }
    (sessions, serving, claims)
}

/// Two sources taken together: one that is unavailable makes both so, one that is not configured says nothing.
fn both<T>(a: Option<Reading<T>>, b: Option<Reading<T>>, join: impl Fn(T, T) -> T) -> Option<Reading<T>> {
    match (a, b) {
        (None, other) | (other, None) => other,
        (Some(Reading::Complete(a)), Some(Reading::Complete(b))) => Some(Reading::Complete(join(a, b))),
        (Some(Reading::Unavailable(why)), _) | (_, Some(Reading::Unavailable(why))) => Some(Reading::Unavailable(why)),
    }
}

fn history(context: &Context, seen: &Volumes<'_>) -> Reading<History> {
    let (ledger, records) = match (&seen.journal, &seen.records) {
        (Ok(ledger), Ok(records)) => (ledger, records),
        (Err(error), _) if error.is_damage() => {
            return Reading::Complete(History { damage: Some(error.to_string()), ..History::default() });
        }
        (_, Err(RecordsError::Damaged(damage))) => {
            return Reading::Complete(History { damage: Some(damage.clone()), ..History::default() });
        }
        (Err(error), _) => return Reading::Unavailable(error.to_string()),
        (_, Err(error)) => return Reading::Unavailable(error.to_string()),
    };
    let now = context.clock.now();
    let memory = &records.memory;
    Reading::Complete(History {
        identity: records.identity.clone(),
        bound: records.bound,
        identity_missing: !records.bound && ledger.last > 0,
        confirmed: records.confirmed(),
        held: records.held.clone(),
        approved: records.approved.clone(),
        watched_since: memory.was_written().then(|| memory.watched_since(now)),
        spec: memory.spec.clone(),
        damage: None,
        spent: ledger.spent.clone(),
        highest_live: memory.highest_live(now),
        position: memory.position,
        inspected: memory.inspected.clone(),
    })
}

/// Draws live workspaces at random and looks how many of them are young, where the answer matters.
fn sample(policy: &Policy, context: &Context, root: &Dir, (names, now): (&ByName, Timestamp), snapshot: &mut Snapshot) {
    let mut live = names.sample_wanted(policy, snapshot, now);
    let Some(volume) = snapshot.volume.complete().filter(|_| !live.is_empty()) else { return };
    if live.len() > SAMPLE {
        // By a hash of the name that differs each time: not the first ones, which may all be of one age.
        let seed = (context.new_id)();
        live.sort_by_cached_key(|index| id_hash(&format!("{seed}{}", volume.entries[*index].name)));
        live.truncate(SAMPLE);
    }
    let look = |index: &usize| root_activity(root, &volume.entries[*index].name, policy.activity);
    let found = run_in_order(&live, THREADS, look, |_| !context.stop.requested());
    let young_after = crate::clock::before(now, policy.min_age);
    let young = found.iter().flatten().filter(|at| **at > young_after).count() as u64;
    snapshot.sample = Some(LiveSample { taken: found.len() as u64, young });
}

#[tracing::instrument(level = "debug", skip_all)]
fn read_roots(policy: &Policy, context: &Context, root: &Dir, names: &ByName, snapshot: &mut Snapshot) {
    let wanted = names.candidates();
    let Some(volume) = snapshot.volume.complete() else { return };
    let read = |index: &usize| match volume.entries.get(*index) {
        Some(entry) => read_root(root, &entry.name, policy),
        None => Reading::Unavailable("it is not in the listing".into()),
    };
    let facts = run_in_order(&wanted, THREADS, read, |_| !context.stop.requested());
    snapshot.roots = wanted.into_iter().zip(facts).collect();
}

#[tracing::instrument(level = "debug", skip_all)]
fn inspect(policy: &Policy, context: &Context, root: &Dir, first: &Plan, snapshot: &mut Snapshot) {
    let wanted = &first.wanted;
    let Some(volume) = snapshot.volume.complete() else { return };
    if wanted.confirmed == 0 || wanted.inspections.is_empty() {
        return;
    }
    context.progress.begin("inspecting", None);
    let young_after = crate::clock::before(first.now, policy.min_age);
    // Asks walks to end that were begun beyond what is needed.
    let (hands, stop) = (Hands::beside(THREADS), context.stop.child());
    let look = |index: &usize| {
        let started = context.clock.now();
        let name = volume.entries.get(*index).map_or(OsStr::new(""), |entry| entry.name.as_os_str());
        let walk_for = Walk {
            activity: policy.activity,
            young_after,
            now: started,
            root_was_moved: false,
            stop: &stop,
            progress: &*context.progress,
            hands: &hands,
        };
        let outcome = walk(root, name, walk_for);
        Inspection { started, outcome }
    };
    let (mut confirmed, mut spent) = (0, 0);
    let found = run_in_order(&wanted.inspections, THREADS, look, |last| {
        if let Some(inspection) = last {
            confirmed += u32::from(matches!(inspection.outcome, WalkOutcome::Idle { .. }));
            spent += cost(&inspection.outcome);
        }
        let more = confirmed < wanted.confirmed && spent < WORK_BUDGET && !stop.requested();
        if !more {
            stop.request();
        }
        more
    });
    context.progress.end();
    snapshot.inspections = wanted.inspections.iter().copied().zip(found).collect();
}

/// The second walk of the trees whose retention is over: nothing in them may be newer than what the first walk found.
#[tracing::instrument(level = "debug", skip_all)]
fn walk_again(policy: &Policy, context: &Context, hygiene: &Hygiene, first: &Plan, snapshot: &mut Snapshot) {
    let wanted = &first.wanted.second_walks;
    let Some(volume) = snapshot.volume.complete() else { return };
    if wanted.is_empty() {
        return;
    }
    context.progress.begin("walking quarantined trees again", None);
    let hands = Hands::beside(THREADS);
    let look = |id: &crate::names::EntryId| {
        let sidecar = volume.quarantine.iter().find(|entry| entry.id == *id).and_then(|e| e.sidecar.complete());
        walk_quarantined(policy, context, hygiene, id, sidecar.map(|sidecar| sidecar.evidence.newest), &hands)
    };
    let mut spent = 0;
    let found = run_in_order(wanted, THREADS, look, |last| {
        spent += last.map_or(0, |inspection| cost(&inspection.outcome));
        spent < WORK_BUDGET && !context.stop.requested()
    });
    context.progress.end();
    snapshot.second_walks = wanted.iter().cloned().zip(found).collect();
}

/// Walks one quarantined tree; of its root the mtime alone counts, since its ctime is that of our rename.
pub(super) fn walk_quarantined(
    policy: &Policy,
    context: &Context,
    hygiene: &Hygiene,
    id: &crate::names::EntryId,
    young_after: Option<jiff::Timestamp>,
    hands: &Hands,
) -> Inspection {
    let started = context.clock.now();
    let Some(young_after) = young_after else {
        return Inspection { started, outcome: WalkOutcome::Incomplete { why: "it has no sidecar".into() } };
    };
    let outcome = match hygiene.quarantine.open_dir(OsStr::new(id.as_str())) {
        Err(error) => WalkOutcome::Incomplete { why: error.to_string() },
        Ok(folder) => {
            let walk_for = Walk {
                activity: policy.activity,
                young_after,
                now: started,
                root_was_moved: true,
                stop: &context.stop,
                progress: &*context.progress,
                hands,
            };
            walk(&folder, OsStr::new(WORKSPACE), walk_for)
        }
    };
    Inspection { started, outcome }
}

/// Inspects one entry whatever its turn, for `explain`.
///
/// # Errors
/// When the root cannot be opened.
pub fn inspect_one(policy: &Policy, context: &Context, observed: &mut Observed, index: usize) -> Result<(), FsError> {
    let root = open_root(policy)?;
    let mut only = observed.plan.clone();
    only.wanted.inspections = vec![index];
    only.wanted.confirmed = 1;
    let before = std::mem::take(&mut observed.snapshot.inspections);
    inspect(policy, context, &root, &only, &mut observed.snapshot);
    let found = std::mem::replace(&mut observed.snapshot.inspections, before);
    observed.snapshot.inspections.extend(found);
    Ok(())
}

/// Entries a walk looked at, as far as its outcome tells; one that stopped early cost at least a call.
fn cost(outcome: &WalkOutcome) -> u64 {
    match outcome {
        WalkOutcome::Idle { entries, .. } => *entries,
        _ => 1,
    }
}
