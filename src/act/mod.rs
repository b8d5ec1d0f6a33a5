//! Carries a plan out, one step at a time: intent to the journal, re-check, rename, look again, outcome. A failed call is
//! unknown until both names were looked up. No step is taken that the plan does not name.

mod condemn;
mod lock;
mod purge;
mod quarantine;
mod restore;
mod service;
mod settle;
mod shard;
mod shard_lock;
mod watched;

pub use lock::{Holder, Lock, LockError, LockWait, Wanted, wanted};
pub use purge::Condemned;
pub use restore::Pin;
pub use service::Service;
pub(crate) use shard::ShardAct;
pub use shard::ShardPurged;
pub use shard_lock::{Shard, ShardLock};

use std::ffi::OsStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::fsio::{Dir, FsError};
use crate::journal::{Event, Journal, JournalError, Step};
use crate::names::{EntryId, SessionId};
use crate::observe::volume::{ENTRY, Hygiene, WORKSPACE};
use crate::observe::{Health, Reading};
use crate::orders::Orders;
use crate::plan::{Decision, Plan};
use crate::policy::Policy;
use crate::progress::Progress;
use crate::stop::Stop;

/// An answer older than this is asked for again before a step is taken on it (DESIGN, promise 1).
const OLDEST_ANSWER: Duration = Duration::from_secs(30);

/// Answers from every configured source, asked now.
pub trait FreshAnswers {
    /// Whether a live row or a claim speaks for this id. With any source unavailable the answer is.
    fn speaks_for(&self, id: &SessionId) -> Reading<bool>;

    /// Whether the serving containers are healthy; `None` where no source says.
    fn serving(&self) -> Option<Reading<Health>>;
}

/// Everything a step needs.
pub struct Act<'a> {
    /// What the resource asks for.
    pub policy: &'a Policy,
    /// The held root.
    pub root: &'a Dir,
    /// Our folder below it.
    pub hygiene: &'a Hygiene,
    /// The lock on the volume, proved before each step.
    pub lock: &'a Lock,
    /// Whether what we were told to do still stands.
    pub orders: &'a dyn Orders,
    /// The journal, open for appending.
    pub journal: Journal<'a>,
    /// Fresh answers.
    pub sources: &'a dyn FreshAnswers,
    /// Whether the service is well, asked before each step that takes something away.
    pub service: Service<'a>,
    /// The clock.
    pub clock: &'a dyn Clock,
    /// Makes a new entry id.
    pub new_id: &'a dyn Fn() -> EntryId,
    /// Asked before each step.
    pub stop: &'a Stop,
    /// Told how far the purge is.
    pub progress: &'a dyn Progress,
    /// What came of it so far.
    pub acted: Acted,
}

impl std::fmt::Debug for Act<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Act").field("acted", &self.acted).finish_non_exhaustive()
    }
}

/// What came of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acted {
    /// Names moved to quarantine.
    pub quarantined: Vec<String>,
    /// Names put back.
    pub restored: Vec<String>,
    /// Names condemned.
    pub condemned: Vec<String>,
    /// Names whose tree is gone.
    pub purged: Vec<String>,
    /// What failed.
    pub errors: Vec<StepError>,
    /// What the purge freed.
    pub reclaimed: Reclaimed,
    /// Condemned trees that are left to those who purge side by side.
    pub left_to_shards: u64,
    /// Whether it stopped before everything was done: it was asked to, its orders changed, or the lock was lost.
    pub stopped: bool,
    /// Why it ended before everything was done though nobody asked it to: the service was not well any more.
    pub paused: Option<String>,
    /// What must latch: what was moved was not what had been inspected.
    pub latched: Option<String>,
}

/// What a purge freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reclaimed {
    /// Workspaces.
    pub directories: u64,
    /// Entries of all kinds.
    pub entries: u64,
    /// Bytes allocated.
    pub bytes: u64,
}

/// A step that failed, on what, and what can be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepError {
    /// The workspace's name, or the quarantine entry's id.
    pub name: String,
    /// The step.
    pub step: &'static str,
    /// What happened, and the way out.
    pub message: String,
}

/// How a step ended that was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undone {
    /// Asked to stop.
    #[error("asked to stop")]
    Stopped,
    /// What was told to do does not stand any more, or it is not ours to do.
    #[error("{0}")]
    Halted(String),
    /// The service is not well, and comes first.
    #[error("{0}")]
    Paused(String),
    /// What was moved was not what had been inspected.
    #[error("{0}")]
    NotTheSame(String),
    /// The world changed since the plan; nothing is wrong.
    #[error("{0}")]
    Changed(String),
    /// Something failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The journal failed: nothing more may be done.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Something is not as it must be; a person must look.
    #[error("{0}")]
    Wrong(String),
}

impl Undone {
    /// So many entries of a tree are still there.
    fn in_part(failed: u64) -> Self {
        Self::Wrong(format!("{failed} entries could not be removed; the rest is gone, and the next sweep tries again"))
    }
}

impl Act<'_> {
    /// Carries out `plan`: restores first, whatever holds the rest, then quarantines, condemns and purges.
    pub fn carry_out(&mut self, plan: &Plan, live: Option<(u64, jiff::Timestamp)>) {
        for entry in &plan.quarantine {
            if let (Decision::Restore(reason), Some(name)) = (&entry.decision, &entry.name) {
                let result = self.restore(&entry.id, name, reason.word(), Pin::No);
                self.note("restore", name, result);
            }
        }
        // While a breaker holds only what was approved is a victim; while a gate does nothing is.
        if !plan.victims.is_empty() {
            self.progress.begin("quarantining", Some(plan.victims.len() as u64));
        }
        for victim in &plan.victims {
            if self.is_over() {
                break;
            }
            let result = live.map_or(Ok(()), |live| self.quarantine(plan, victim, live));
            self.note("quarantine", &victim.name.to_string(), result);
            self.progress.advance(1);
        }
        self.progress.end();
        if plan.held.is_some() {
            return;
        }
        let due = plan.quarantine.iter().filter(|entry| matches!(entry.decision, Decision::Condemn)).count() as u64;
        if due > 0 {
            self.progress.begin("condemning", Some(due));
        }
        for entry in &plan.quarantine {
            if self.is_over() {
                break;
            }
            if let (Decision::Condemn, Some(name)) = (&entry.decision, &entry.name) {
                let result = self.condemn(&entry.id, name, "its retention is over");
                self.note("condemn", name, result);
                self.progress.advance(1);
            }
        }
        self.progress.end();
        if !self.is_over() {
            self.purge_condemned();
        }
    }

    /// Whether no further step may be taken in this sweep.
    fn is_over(&self) -> bool {
        self.acted.stopped || self.acted.paused.is_some() || self.acted.latched.is_some()
    }

    /// Records how a step ended.
    pub(crate) fn note(&mut self, step: &'static str, name: &str, result: Result<(), Undone>) {
        match result {
            Ok(()) => {}
            Err(Undone::Stopped) => self.acted.stopped = true,
            // Told once: every further step would end the same way.
            Err(Undone::Halted(_)) if self.acted.stopped => {}
            Err(Undone::Paused(why)) => {
                if self.acted.paused.is_none() {
                    tracing::warn!(name, step, why, "paused: the service comes first");
                    self.acted.paused = Some(why);
                }
            }
            Err(Undone::Changed(why)) => tracing::info!(name, step, why, "not done: it changed since the plan"),
            Err(undone) => {
                tracing::error!(name, step, error = %undone, "a step failed");
                self.acted.stopped |= matches!(undone, Undone::Halted(_));
                if let Undone::NotTheSame(why) = &undone {
                    self.acted.latched = Some(format!("{name}: {why}"));
                }
                self.acted.errors.push(StepError { name: name.to_owned(), step, message: undone.to_string() });
            }
        }
    }

    /// Whether the next step may be taken that takes something away. What puts something back needs no more than
    /// [`Self::go_on`].
    fn may_delete(&self) -> Result<(), Undone> {
        self.service_is_well()?;
        self.policy.schedule.open(self.clock.now()).map_err(|closed| Undone::Paused(closed.to_string()))?;
        self.go_on()
    }

    fn service_is_well(&self) -> Result<(), Undone> {
        match (&self.acted.paused, self.stop.requested()) {
            (Some(why), _) => return Err(Undone::Paused(why.clone())),
            (None, true) => return Err(Undone::Stopped),
            (None, false) => {}
        }
        // An answer that was not waited for since a stop was asked for says nothing of the service.
        self.service.is_well().map_err(|why| if self.stop.requested() { Undone::Stopped } else { Undone::Paused(why) })
    }

    fn go_on(&self) -> Result<(), Undone> {
        if self.stop.requested() {
            return Err(Undone::Stopped);
        }
        self.orders.standing().map_err(Undone::Halted)?;
        self.lock.prove(&self.hygiene.dir).map_err(|lost| Undone::Halted(lost.to_string()))
    }

    /// Whether an answer that was asked for at `asked`, by the machine's uptime, may still be relied on.
    fn still_fresh(&self, asked: Duration) -> bool {
        self.clock.uptime().checked_sub(asked).is_some_and(|age| age <= OLDEST_ANSWER)
    }

    fn journal(&mut self, event: Event) -> Result<(), Undone> {
        let at = self.clock.now();
        Ok(self.journal.append(at, event)?)
    }

    /// Records what is said of a whole plan or volume.
    pub(crate) fn remark(&mut self, event: Event) {
        let result = self.journal(event);
        self.note("remark", ".hygiene", result);
    }

    /// Records that a step that was meant was not taken, and why; gives back how it ended.
    fn abandon(&mut self, step: &Step, undone: Undone) -> Undone {
        let event = Event::Abandoned(Step { why: undone.to_string(), ..step.clone() });
        match self.journal(event) {
            Ok(()) => undone,
            Err(journal) => journal,
        }
    }

    /// Nobody speaks for `id`, or the reason not to go on. Answers when it was asked, by the machine's uptime.
    fn nobody_speaks_for(&self, id: &SessionId) -> Result<Duration, Undone> {
        let asked = self.clock.uptime();
        match self.sources.speaks_for(id) {
            Reading::Complete(false) => Ok(asked),
            Reading::Complete(true) => Err(Undone::Changed("its session is live or claimed again".into())),
            Reading::Unavailable(why) => Err(Undone::Wrong(format!("a source did not answer: {why}"))),
        }
    }

    /// Removes the folder of a quarantine entry that holds no tree.
    fn remove_folder(&self, id: &EntryId) -> Result<(), FsError> {
        let name = OsStr::new(id.as_str());
        let dir = self.hygiene.quarantine.open_dir(name)?;
        if dir.find(OsStr::new(WORKSPACE))?.is_some() {
            return Ok(());
        }
        if dir.find(OsStr::new(ENTRY))?.is_some() {
            dir.unlink(OsStr::new(ENTRY))?;
        }
        self.hygiene.quarantine.remove_dir(name)
    }
}
