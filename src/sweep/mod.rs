//! One sweep: observe, plan, act, in this order. Every way of running one calls it here.
//!
//! File-system work runs on a thread of its own, never on a worker of the async runtime; that thread waits for the
//! runtime where a source is asynchronous, and never the other way round.

mod by_hand;
mod observing;

pub use by_hand::{Listed, find_entries, list_quarantine, purge_now, restore_now};
pub use observing::{Observed, inspect_one};

use observing::unless_stopped;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::act::{Act, Acted, FreshAnswers, Lock, LockError};
use crate::clock::Clock;
use crate::fsio::{Dir, FsError};
use crate::journal::{self, Journal, JournalError, Ledger};
use crate::names::{EntryId, EntryName, SessionId, SweepId};
use crate::observe::containers::ContainerEvidence;
use crate::observe::sessions::SessionStore;
use crate::observe::volume::{Hygiene, Memory, VolumeError};
use crate::observe::{InspectionNote, Reading, WalkOutcome};
use crate::plan::{Violation, check};
use crate::policy::{Mode, Policy};
use crate::progress::Progress;
use crate::stop::Stop;

/// The sources a sweep asks.
#[derive(Clone)]
pub struct Sources {
    /// The session store.
    pub sessions: Arc<dyn SessionStore>,
    /// Container evidence, from every source that is configured.
    pub containers: Vec<Arc<dyn ContainerEvidence>>,
}

/// What a sweep is handed by whoever runs it.
#[derive(Clone)]
pub struct Context {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Asks the sweep to stop.
    pub stop: Stop,
    /// Told how far it is.
    pub progress: Arc<dyn Progress>,
    /// Makes a new id.
    pub new_id: Arc<dyn Fn() -> String + Send + Sync>,
    /// Who runs it: user, host, process, version.
    pub actor: String,
    /// What it runs, as the lock tells others.
    pub command: String,
    /// How long to wait for the lock.
    pub lock_timeout: Duration,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").field("containers", &self.containers.len()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("actor", &self.actor).field("command", &self.command).finish_non_exhaustive()
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// Somebody else holds the lock, or it cannot be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The volume cannot be used.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The root cannot be opened.
    #[error("{path}: {source}")]
    Root {
        /// The root.
        path: PathBuf,
        /// Why.
        source: FsError,
    },
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The plan breaks a promise.
    #[error("the plan was refused: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Refused(Vec<Violation>),
    /// The mode forbids it.
    #[error(
        "spec.mode is Report, which writes nothing to the volume; set mode: Enforce (with suspend: true if no sweep is \
         to run meanwhile) and try again"
    )]
    ReportMode,
    /// No quarantine entry has this name or id.
    #[error("{0} is not in quarantine; `hygiene quarantine list` shows what is")]
    NotInQuarantine(String),
    /// The root is empty or cannot be opened.
    #[error("{} is empty or cannot be opened, so nothing is in quarantine there. Is the volume mounted?", .0.display())]
    NothingThere(PathBuf),
    /// Several entries bear this name.
    #[error("{name} is in quarantine {} times; name one of {}", .ids.len(), .ids.join(", "))]
    Ambiguous {
        /// The name.
        name: String,
        /// The ids.
        ids: Vec<String>,
    },
    /// The thread that did it died.
    #[error("the sweep's thread ended without a report; this is a bug: please report it")]
    Died,
}

/// What one sweep saw and did.
#[derive(Debug)]
pub struct Swept {
    /// The sweep.
    pub id: SweepId,
    /// What it saw and planned.
    pub observed: Observed,
    /// What came of it.
    pub acted: Acted,
}

/// Observes and plans. Writes nothing.
///
/// # Errors
/// When the plan breaks a promise, or the thread dies. A volume or source that cannot be read is part of the plan.
pub async fn plan(policy: Arc<Policy>, sources: Sources, context: Context) -> Result<Observed, SweepError> {
    on_own_thread(move |handle| {
        let observed = observing::read_only(&policy, &sources, &context, handle);
        refuse_broken(&policy, &observed)?;
        Ok(observed)
    })
    .await
}

/// Runs one sweep; in Report the same as [`plan()`].
///
/// # Errors
/// When somebody else holds the lock, the volume cannot be written to, or the plan breaks a promise. What fails for one
/// workspace is part of the report.
pub async fn sweep(policy: Arc<Policy>, sources: Sources, context: Context) -> Result<Swept, SweepError> {
    on_own_thread(move |handle| match policy.mode {
        Mode::Report => {
            let observed = observing::read_only(&policy, &sources, &context, handle);
            refuse_broken(&policy, &observed)?;
            Ok(Swept { id: new_sweep(&context), observed, acted: Acted::default() })
        }
        Mode::Enforce => enforce(&policy, &sources, &context, handle),
    })
    .await
}

fn enforce(policy: &Policy, sources: &Sources, context: &Context, handle: &Handle) -> Result<Swept, SweepError> {
    let id = new_sweep(context);
    let nothing_done = |observed| Ok(Swept { id: id.clone(), observed, acted: Acted::default() });
    if !has_folder(policy)? {
        // Before anything is written to a volume that was never written to: is it one?
        let observed = observing::read_only(policy, sources, context, handle);
        if observed.plan.held.is_some() || observed.plan.workspaces == 0 {
            refuse_broken(policy, &observed)?;
            return nothing_done(observed);
        }
    }
    let held = match Held::take(policy, context)? {
        Some(held) => held,
        // Nothing to hold: the root cannot be read, or there is nothing in it. Either way nothing is written there.
        None => return nothing_done(observing::read_only(policy, sources, context, handle)),
    };
    let ledger = match journal::read(&held.hygiene.journal, |_| ()) {
        Ok(ledger) => ledger,
        Err(error) => {
            let history = Reading::Unavailable(error.to_string());
            let seen = observing::Volumes { root: Ok(&held.root), hygiene: Ok(Some(&held.hygiene)), history };
            return nothing_done(observing::observe_and_plan(policy, sources, context, handle, &seen));
        }
    };
    let answers = Fresh { sources, handle, stop: &context.stop };
    let new_id = || EntryId::new((context.new_id)());
    let mut act = held.act(policy, context, &answers, &new_id, ledger, id.clone());
    act.settle();
    let history = Reading::Complete(act.journal.ledger().clone());
    let seen = observing::Volumes { root: Ok(&held.root), hygiene: Ok(Some(&held.hygiene)), history };
    let observed = observing::observe_and_plan(policy, sources, context, handle, &seen);
    refuse_broken(policy, &observed)?;
    let live = observed.snapshot.sessions.complete().map(|sessions| (sessions.ids.len(), sessions.at));
    act.carry_out(&observed.plan, live);
    let mut acted = act.acted;
    if context.stop.requested() {
        acted.stopped = true;
    } else if let Err(why) = remember(&observed, &acted, &held.hygiene.dir) {
        let message = format!("what was inspected is not remembered, so the next sweep inspects it again: {why}");
        acted.errors.push(crate::act::StepError { name: ".hygiene".into(), step: "remember", message });
    }
    Ok(Swept { id, observed, acted })
}

/// Whether our folder is on the volume already.
fn has_folder(policy: &Policy) -> Result<bool, SweepError> {
    // A root that cannot be opened has its place in the plan.
    let Ok(root) = Dir::open_root(&policy.root) else { return Ok(false) };
    Ok(Hygiene::open(&root, &policy.root)?.is_some())
}

/// The root, our folder and the lock on it, held together.
struct Held {
    root: Dir,
    hygiene: Hygiene,
    _lock: Lock,
}

impl Held {
    /// Takes hold of the volume for changing it, making our folder where it is missing. `None` where the root cannot be
    /// opened or is empty: an empty directory may be where the volume is not mounted.
    fn take(policy: &Policy, context: &Context) -> Result<Option<Self>, SweepError> {
        let Ok(root) = Dir::open_root(&policy.root) else { return Ok(None) };
        let mut empty = true;
        root.for_each(|_, _| {
            empty = false;
            false
        })
        .map_err(|source| SweepError::Root { path: policy.root.clone(), source })?;
        if empty {
            return Ok(None);
        }
        let hygiene = Hygiene::ensure(&root, &policy.root)?;
        let (clock, stop) = (&*context.clock, &context.stop);
        let lock = Lock::take(&hygiene.dir, &context.actor, &context.command, context.lock_timeout, clock, stop)?;
        Ok(Some(Self { root, hygiene, _lock: lock }))
    }

    fn act<'a>(
        &'a self,
        policy: &'a Policy,
        context: &'a Context,
        sources: &'a dyn FreshAnswers,
        new_id: &'a dyn Fn() -> EntryId,
        ledger: Ledger,
        sweep: SweepId,
    ) -> Act<'a> {
        Act {
            policy,
            root: &self.root,
            hygiene: &self.hygiene,
            journal: Journal::new(&self.hygiene.journal, ledger, sweep, context.actor.clone()),
            sources,
            clock: &*context.clock,
            new_id,
            stop: &context.stop,
            progress: &*context.progress,
            acted: Acted::default(),
        }
    }
}

fn new_sweep(context: &Context) -> SweepId {
    SweepId::new((context.new_id)())
}

fn refuse_broken(policy: &Policy, observed: &Observed) -> Result<(), SweepError> {
    let violations = check(policy, &observed.snapshot, &observed.plan);
    if violations.is_empty() { Ok(()) } else { Err(SweepError::Refused(violations)) }
}

/// Asks every source anew.
struct Fresh<'a> {
    sources: &'a Sources,
    handle: &'a Handle,
    stop: &'a Stop,
}

impl FreshAnswers for Fresh<'_> {
    fn speaks_for(&self, id: &SessionId) -> Reading<bool> {
        self.handle.block_on(async {
            let mut anybody = match unless_stopped(self.stop, self.sources.sessions.is_live(id)).await {
                Reading::Complete(live) => live,
                unavailable => return unavailable,
            };
            for source in &self.sources.containers {
                match source.is_claimed(id).await {
                    Some(Reading::Complete(claimed)) => anybody |= claimed,
                    Some(unavailable) => return unavailable,
                    None => {}
                }
            }
            Reading::Complete(anybody)
        })
    }
}

/// Writes down what the next sweep needs: the live count, and which orphans were inspected and kept.
fn remember(observed: &Observed, acted: &Acted, hygiene: &Dir) -> Result<(), String> {
    let before = Memory::read(hygiene)?;
    let mut memory = before.clone();
    let (seen, plan) = (&observed.snapshot, &observed.plan);
    if let Some(sessions) = seen.sessions.complete() {
        memory.saw_live(plan.now, sessions.ids.len());
    }
    if let Some(volume) = seen.volume.complete() {
        let wanted = |name: &str| EntryName::new(name);
        let still_kept = |name: &str| volume.entries.binary_search_by(|e| e.name.cmp(&wanted(name))).is_ok();
        memory.inspected.retain(|name, _| still_kept(name));
        for (index, inspection) in &seen.inspections {
            let Some(name) = volume.entries.get(*index).and_then(|entry| entry.name.as_str()) else { continue };
            let Some(Reading::Complete(root)) = seen.roots.get(index) else { continue };
            let chosen = plan.victims.iter().any(|victim| victim.index == *index);
            let active = match inspection.outcome {
                // A victim that could not be moved waits like one that was kept, so that it does not starve the rest.
                WalkOutcome::Idle { .. } if chosen && !acted.quarantined.iter().any(|moved| moved == name) => None,
                WalkOutcome::Idle { .. } => {
                    memory.inspected.remove(name);
                    continue;
                }
                WalkOutcome::Young { at, .. } => Some(at),
                _ => None,
            };
            let earlier =
                memory.inspected.get(name).filter(|note| note.inode == root.inode).map_or(0, |note| note.times);
            let note = InspectionNote { inode: root.inode, at: plan.now, times: earlier.saturating_add(1), active };
            memory.inspected.insert(name.to_owned(), note);
        }
    }
    if memory == before { Ok(()) } else { memory.write(hygiene) }
}

/// Runs blocking work on a thread of its own, away from the async runtime.
async fn on_own_thread<T: Send + 'static>(
    work: impl FnOnce(&Handle) -> Result<T, SweepError> + Send + 'static,
) -> Result<T, SweepError> {
    let handle = Handle::current();
    let (tell, told) = tokio::sync::oneshot::channel();
    let spawned = std::thread::Builder::new().name("volume".into()).spawn(move || {
        // Nobody listens any more once the caller gave up; the work itself stopped by its own request.
        drop(tell.send(work(&handle)));
    });
    match spawned {
        Ok(_) => told.await.unwrap_or(Err(SweepError::Died)),
        Err(_) => Err(SweepError::Died),
    }
}
