//! One sweep: observe, plan, act, in this order. Every way of running one calls it here.
//!
//! File-system work runs on a thread of its own, never on a worker of the async runtime; that thread waits for the
//! runtime where a source is asynchronous, and never the other way round.

mod answers;
mod bind;
mod by_hand;
mod enforce;
mod held;
mod last;
mod observing;
mod restoring;
mod settling;
mod shard;

pub use answers::{Adoption, Answered, adopt, answer, held_plan};
pub use by_hand::{Listed, find_entries, list_quarantine, purge_now, restore_now};
pub use last::last_state;
pub use observing::{Observed, inspect_one};
pub use restoring::{Returned, restore, returned};
pub use settling::{KnownHealth, Settling};
pub use shard::purge_shard;

use held::open_root;
use observing::{before_stop, not_waited_for, unless_stopped};

use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::act::{Acted, FreshAnswers, LockError, LockWait, Wanted, wanted};
use crate::clock::Clock;
use crate::fsio::FsError;
use crate::journal::JournalError;
use crate::names::{PlanHash, SessionId, SweepId};
use crate::observe::containers::{ContainerEvidence, Look};
use crate::observe::efs::Efs;
use crate::observe::sessions::SessionStore;
use crate::observe::volume::{Hygiene, VolumeError};
use crate::observe::{Health, Reading};
use crate::orders::Orders;
use crate::plan::{Violation, check};
use crate::policy::{Mode, Policy};
use crate::progress::Progress;
use crate::records::{RecordsError, StateDir};
use crate::report::status::LastState;
use crate::stop::Stop;

/// The sources a sweep asks.
#[derive(Clone)]
pub struct Sources {
    /// The session store.
    pub sessions: Arc<dyn SessionStore>,
    /// Container evidence, from every source that is configured.
    pub containers: Vec<Arc<dyn ContainerEvidence>>,
    /// The EFS file system behind the volume, where the spec names one.
    pub efs: Option<Arc<Efs>>,
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
    /// How to wait for the lock.
    pub lock: LockWait,
    /// Whether what the resource asks for still stands.
    pub orders: Arc<dyn Orders>,
    /// What is known of how the service has been.
    pub settling: Settling,
    /// Where what is remembered in mode Report is.
    pub state: StateDir,
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
    /// The volume is not the one that is bound to this resource.
    #[error("{0}")]
    NotBound(String),
    /// No plan has this hash.
    #[error(
        "no plan has the hash {wanted}: {}the plan for what is there now is {now}. Look at it before you say anything to it: \
         hygiene plan -f SPEC{}",
        .held.as_ref().map_or_else(String::new, |held| format!("{held} is held, and ")),
        if .held.is_some() { " --held" } else { "" }
    )]
    NoSuchPlan {
        /// What was asked for.
        wanted: PlanHash,
        /// The plan that is held.
        held: Option<PlanHash>,
        /// The plan that follows from what is there now.
        now: PlanHash,
    },
    /// Nothing is held, so nothing can be dismissed.
    #[error("no plan is held, so there is nothing to dismiss")]
    NothingHeld,
    /// What it was told to do does not stand any more.
    #[error("nothing was done: {0}")]
    Orders(String),
    /// What is remembered cannot be read or written.
    #[error("{0}")]
    Records(String),
    /// What is remembered is not known.
    #[error(transparent)]
    Unremembered(#[from] RecordsError),
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
    /// Number of the last record in the volume's journal after it; 0 where nothing was ever recorded, or it was not looked at.
    pub recorded: u64,
    /// The state of the resource after it; `None` where it was no sweep, but a step by hand.
    pub state: Option<Box<LastState>>,
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
#[tracing::instrument(level = "debug", skip_all, fields(namespace = policy.resource.namespace, name = policy.resource.name))]
pub async fn sweep(policy: Arc<Policy>, sources: Sources, context: Context) -> Result<Swept, SweepError> {
    on_own_thread(move |handle| match policy.mode {
        Mode::Report => report(&policy, &sources, &context, handle, true),
        Mode::Enforce => {
            let start = context.clock.now();
            // Before the observation, which must be fresh when it is acted on.
            let sources = settling::settled(&policy, &sources, &context, handle);
            enforce::enforce(&policy, &sources, &context, handle, start)
        }
    })
    .await
}

/// Observes and reports, whatever the mode. Writes nothing anywhere.
///
/// # Errors
/// As [`plan()`].
pub async fn look(policy: Arc<Policy>, sources: Sources, context: Context) -> Result<Swept, SweepError> {
    on_own_thread(move |handle| report(&policy, &sources, &context, handle, false)).await
}

/// Whether somebody waits for the volume and asks whoever holds it to step aside. Takes no lock and writes nothing.
///
/// # Errors
/// When the volume cannot be read.
pub async fn asked_aside(policy: Arc<Policy>) -> Result<Option<Wanted>, SweepError> {
    on_own_thread(move |_| {
        let root = |source| SweepError::Root { path: policy.root.clone(), source };
        let held = Hygiene::open(&open_root(&policy).map_err(root)?, &policy.root)?;
        held.map_or(Ok(None), |hygiene| wanted(&hygiene.dir).map_err(root))
    })
    .await
}

/// What a sweep that changes nothing on the volume sees; `remember` writes it down in the state directory.
fn report(
    policy: &Policy,
    sources: &Sources,
    context: &Context,
    handle: &Handle,
    remember: bool,
) -> Result<Swept, SweepError> {
    let start = context.clock.now();
    let observed = observing::read_only(policy, sources, context, handle);
    refuse_broken(policy, &observed)?;
    let acted = Acted { stopped: context.stop.requested(), ..Acted::default() };
    let swept = Swept { id: new_sweep(context), observed, acted, recorded: 0, state: None };
    if remember && let Err(why) = enforce::remember_report(policy, context, &swept.observed) {
        // Without a state directory a report is a report all the same; only the next one knows less.
        tracing::warn!(why, "what this report saw is not remembered");
    }
    let swept = last::tell(policy, context, swept, start);
    if remember {
        last::keep_aside(policy, context, &swept);
    }
    Ok(swept)
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
            match unless_stopped(self.stop, self.sources.sessions.is_live(id)).await {
                Reading::Complete(false) => {}
                // One that speaks for it is enough, whatever the others say.
                answer => return answer,
            }
            let mut unavailable = None;
            for source in &self.sources.containers {
                match before_stop(self.stop, source.is_claimed(id)).await.unwrap_or_else(|| Some(not_waited_for())) {
                    Some(Reading::Complete(true)) => return Reading::Complete(true),
                    Some(Reading::Unavailable(why)) => unavailable = Some(why),
                    Some(Reading::Complete(false)) | None => {}
                }
            }
            unavailable.map_or(Reading::Complete(false), Reading::Unavailable)
        })
    }

    fn serving(&self) -> Option<Reading<Health>> {
        self.handle.block_on(self.sources.serving(Look::Fresh, self.stop))
    }
}

/// Runs blocking work on a thread of its own, away from the async runtime.
async fn on_own_thread<T: Send + 'static>(
    work: impl FnOnce(&Handle) -> Result<T, SweepError> + Send + 'static,
) -> Result<T, SweepError> {
    let handle = Handle::current();
    let (tell, told) = tokio::sync::oneshot::channel();
    let span = tracing::Span::current();
    let spawned = std::thread::Builder::new().name("volume".into()).spawn(move || {
        // Nobody listens any more once the caller gave up; the work itself stopped by its own request.
        drop(tell.send(span.in_scope(|| work(&handle))));
    });
    match spawned {
        Ok(_) => told.await.unwrap_or(Err(SweepError::Died)),
        Err(_) => Err(SweepError::Died),
    }
}
