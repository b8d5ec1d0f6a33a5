//! One resource of the loop.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use super::{Elsewhere, Failed, Shared, Wanted, Wiring};
use crate::act::LockWait;
use crate::clock::after;
use crate::names::id_hash;
use crate::packed::Packed;
use crate::policy::{Mode, Policy, ResourceName};
use crate::report::outcome::Outcome;
use crate::report::status::LastState;
use crate::stop::Stop;
use crate::sweep::{self, Context, KnownHealth, Returned, Settling, Sources, SweepError};

/// Time between two looks at the health of the service: half of what an answer may be old.
const HEALTH: Duration = Duration::from_secs(5);
/// The reason of the condition where a sweep in this process failed.
const FAILED: &str = "SweepFailed";
/// First pause after a sweep that failed; it doubles with each that follows.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// Longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// How long others may take to give the volume free: a sweep that steps aside for what is needed again, or a command by hand.
const ASIDE: LockWait = LockWait { timeout: Duration::from_secs(30), asks: false };
/// Time between two looks, in a sweep, for somebody who waits for the volume.
const WANTED: Duration = Duration::from_secs(1);
/// How long the volume is left to somebody who asked for it, before it is asked for again.
const LEFT: Duration = Duration::from_secs(3);

/// The task of one resource.
pub struct Task {
    name: ResourceName,
    stop: Stop,
    wake: Arc<Notify>,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Task {
    pub(super) fn start(shared: Arc<Shared>, wiring: Wiring, policy: Arc<Policy>, stop: &Stop) -> Self {
        let (stop, wake, name) = (stop.child(), Arc::new(Notify::new()), policy.resource.clone());
        let work = Box::new(Work::new(shared, wiring, policy, stop.clone(), Arc::clone(&wake)));
        Self { name, stop, wake, task: tokio::spawn(work.run()) }
    }

    /// Lets the next sweep come now, or right after the one that runs.
    pub fn sweep_now(&self) {
        self.wake.notify_one();
    }

    /// What [`Task::sweep_now`] rings, for whoever does not have the task.
    pub fn bell(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// Asks it to stop, and waits for it; whether it came to its end. If not, a file-system call hangs and is left behind.
    pub async fn end(mut self, patience: Duration) -> bool {
        self.stop.request();
        let ended = timeout(patience, &mut self.task).await.is_ok();
        if !ended {
            tracing::warn!(name = self.name.name, "a file-system call does not return; it is left behind");
            self.task.abort();
        }
        ended
    }
}

/// What the task of one resource knows.
struct Work {
    shared: Arc<Shared>,
    wiring: Wiring,
    policy: Arc<Policy>,
    sources: Sources,
    stop: Stop,
    wake: Arc<Notify>,
    health: KnownHealth,
    state: Packed<LastState>,
    /// The state after the sweep that ended just now.
    ended: Option<Box<LastState>>,
    /// Failures in a row.
    failures: u32,
    /// From when on the volume may be changed.
    may_change: Instant,
}

impl Work {
    fn new(shared: Arc<Shared>, wiring: Wiring, policy: Arc<Policy>, stop: Stop, wake: Arc<Notify>) -> Self {
        let sources = wiring.parts.sources(&policy);
        // After the start of the service, not of this task: a spec that changed must not keep what is needed again waiting.
        let may_change = shared.began + shared.pace.startup_delay;
        let (health, state) = (KnownHealth::default(), Packed::default());
        Self { shared, wiring, policy, sources, stop, wake, health, state, ended: None, failures: 0, may_change }
    }

    fn context(&self, stop: &Stop) -> Context {
        Context {
            orders: Arc::clone(&self.wiring.orders),
            settling: Settling::Known(self.health.clone()),
            ..self.wiring.parts.context(&self.policy, stop)
        }
    }

    /// In a box, as a task has room for what it is given twice: as it came, and where it is used.
    async fn run(mut self: Box<Self>) {
        let mut watch = JoinSet::new();
        if self.policy.containers.is_some() && self.wiring.elsewhere.is_none() {
            watch.spawn(look_at_health(self.health.clone(), self.sources.clone(), self.context(&self.stop)));
        }
        // What is seldom under way is boxed: a thousand tasks that only wait should be small.
        Box::pin(self.remember()).await;
        let clock = self.context(&self.stop).clock;
        let mut due = clock.now();
        let mut next_restore = Instant::now() + self.shared.pace.restore_every;
        loop {
            let now = clock.now();
            let left = Duration::try_from(due.duration_since(now)).unwrap_or_default();
            let look_again = self.shared.next_look().min(Instant::now() + left.min(super::LOOK_AGAIN));
            tokio::select! {
                () = self.stop.wait() => return,
                () = self.wake.notified() => due = clock.now(),
                () = sleep_until(next_restore), if self.may_return() => {
                    next_restore = Instant::now() + self.shared.pace.restore_every;
                    Box::pin(self.restore()).await;
                }
                () = sleep_until(look_again) => {}
            }
            if clock.now() >= due && !self.stop.requested() {
                let again = Box::pin(self.sweep(&mut next_restore)).await;
                if self.stop.requested() && self.ended.is_none() {
                    // Nothing came of it that could be told.
                    return;
                }
                due = self.told_due(again, due, clock.now());
            }
        }
    }

    /// Tells when the next sweep is due, that follows the one due at `last`.
    fn told_due(&mut self, again: bool, last: Timestamp, now: Timestamp) -> Timestamp {
        let mut state = self.last();
        let due = if again { now } else { self.next(&state, last, now) };
        state.status.next_sweep_time = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(due));
        self.state = Packed::new(&state);
        self.wiring.audience.due(&self.policy, &state);
        due
    }

    /// What the sweep that ended just now left, or the one before.
    fn last(&mut self) -> Box<LastState> {
        self.ended.take().unwrap_or_else(|| Box::new(self.state.get()))
    }

    /// Takes up what the last sweep left, of this process or of another.
    async fn remember(&mut self) {
        if let Some(elsewhere) = &self.wiring.elsewhere {
            self.state = elsewhere.last().as_ref().map_or_else(Packed::default, Packed::new);
            return;
        }
        let Ok(_look) = self.shared.looks.acquire().await else { return };
        if let Ok(Some(state)) = sweep::last_state(Arc::clone(&self.policy), self.context(&self.stop)).await {
            self.state = Packed::new(&state);
        }
    }

    /// Whether this process can put anything back at all: mode Report writes nothing to the volume.
    fn may_return(&self) -> bool {
        self.policy.mode == Mode::Enforce && self.wiring.elsewhere.is_none()
    }

    /// When the next sweep is due that follows the one due at `last`.
    fn next(&self, state: &LastState, last: Timestamp, now: Timestamp) -> Timestamp {
        let name = &self.policy.resource;
        let spread = self.policy.schedule.spread();
        // Always the same for a resource, so that its sweeps keep their distance.
        let share = id_hash(&format!("{}/{}", name.namespace, name.name)) % 1000;
        let offset = spread.mul_f64(f64::from(u16::try_from(share).unwrap_or(0)) / 1000.0);
        let first = state.sweeps.len() <= 1;
        let by_schedule = self.policy.schedule.next(last, now).unwrap_or(Timestamp::MAX);
        let by_schedule = if first { after(by_schedule, offset) } else { by_schedule };
        if self.failures == 0 {
            // While nothing may be changed yet a sweep only reports: the first that may follows right then.
            let wait = self.may_change.saturating_duration_since(Instant::now());
            return if wait.is_zero() { by_schedule } else { by_schedule.min(after(now, wait)) };
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << (self.failures - 1).min(16)).min(LONGEST_PAUSE);
        // Up to half as long again, so that those that failed together do not come back together.
        let jitter = f64::from(u16::try_from(now.subsec_nanosecond() as u32 % 1000).unwrap_or(0)) / 2000.0;
        by_schedule.max(after(now, pause.mul_f64(1.0 + jitter)))
    }

    /// Runs one sweep; meanwhile what is needed again makes it step aside. Whether another is due at once.
    async fn sweep(&mut self, next_restore: &mut Instant) -> bool {
        if let Some(elsewhere) = self.wiring.elsewhere.clone() {
            return self.sweep_elsewhere(&*elsewhere).await;
        }
        let shared = Arc::clone(&self.shared);
        let Ok(_place) = shared.places.acquire().await else { return false };
        let volume = Arc::clone(shared.volumes.lock().await.entry(self.policy.root.clone()).or_default());
        let _volume = volume.lock().await;
        if self.stop.requested() {
            return false;
        }
        self.wiring.audience.begins(&self.policy);
        let begun = Instant::now();
        let stop = self.stop.child();
        // Whoever has the volume for a moment, as for a restore by hand, is no failure.
        let context = Context { lock: ASIDE, ..self.context(&stop) };
        // A pattern for this sweep alone: what it keeps in memory to match names faster goes with it.
        let policy = Policy { pattern: self.policy.pattern.afresh(), ..(*self.policy).clone() };
        let (policy, sources) = (Arc::new(policy), self.sources.clone());
        let only_looks = Instant::now() < self.may_change;
        // What writes nothing holds no lock, so that nobody waits for it.
        let holds_lock = !only_looks && self.policy.mode == Mode::Enforce;
        let mut sweeping = JoinSet::new();
        sweeping.spawn(async move {
            if only_looks {
                sweep::look(policy, sources, context).await
            } else {
                sweep::sweep(policy, sources, context).await
            }
        });
        let mut aside: Option<Returned> = None;
        let (mut next_wanted, mut known, mut left) = (Instant::now(), None, false);
        let ended = loop {
            tokio::select! {
                ended = sweeping.join_next() => break ended,
                () = sleep_until(*next_restore), if aside.is_none() && self.may_return() => {
                    *next_restore = Instant::now() + self.shared.pace.restore_every;
                    aside = self.returned().await;
                    if aside.is_some() {
                        tracing::info!("a workspace is needed again: the sweep steps aside");
                        stop.request();
                    }
                }
                () = sleep_until(next_wanted), if holds_lock && !left => {
                    next_wanted = Instant::now() + WANTED;
                    left = self.is_wanted(&mut known).await;
                    if left {
                        stop.request();
                    }
                }
            }
        };
        let took = begun.elapsed();
        match ended {
            Some(Ok(Ok(mut swept))) => {
                for error in &swept.acted.errors {
                    tracing::warn!(step = error.step, what = error.name, "{}", error.message);
                }
                if let Some(state) = swept.state.take() {
                    self.swept(&Outcome::of(&self.policy, &swept), state, only_looks, took);
                }
            }
            Some(Ok(Err(error))) => self.failed(FAILED, &error.to_string()),
            _ => self.failed(FAILED, &SweepError::Died.to_string()),
        }
        match aside {
            Some(wanted) => {
                self.put_back(wanted).await;
                true
            }
            None if left => {
                let _ = timeout(LEFT, self.stop.wait()).await;
                true
            }
            None => false,
        }
    }

    /// The same for a sweep that runs somewhere else.
    async fn sweep_elsewhere(&mut self, elsewhere: &dyn Elsewhere) -> bool {
        self.wiring.audience.begins(&self.policy);
        let begun = Instant::now();
        let only_look = begun < self.may_change;
        let (before, sources, stop) = (self.state.get(), self.sources.clone(), self.stop.clone());
        let wanted = Wanted { policy: &self.policy, before: &before, only_look, sources: &sources, stop: &stop };
        match elsewhere.sweep(wanted).await {
            _ if stop.requested() => false,
            Ok(done) => {
                self.swept(&done.outcome, Box::new(done.state), only_look, begun.elapsed());
                done.failed.into_iter().for_each(|failed| self.failed_elsewhere(failed));
                done.again
            }
            Err(failed) => {
                self.failed_elsewhere(failed);
                false
            }
        }
    }

    fn failed_elsewhere(&mut self, failed: Failed) {
        self.failed(failed.reason, &failed.message);
        if let Some(state) = &mut self.ended {
            state.status.job = failed.ended();
        }
    }

    /// Whether somebody waits for the volume; `known` is the request that was there when the sweep began, which may be of
    /// somebody who is gone.
    async fn is_wanted(&self, known: &mut Option<Option<u64>>) -> bool {
        let Ok(wanted) = sweep::asked_aside(Arc::clone(&self.policy)).await else { return false };
        let mark = wanted.as_ref().map(|wanted| wanted.mark);
        let is_new = known.replace(mark).is_some_and(|known| mark.is_some() && mark != known);
        if is_new {
            let by = wanted.and_then(|wanted| wanted.by);
            let by = by.map_or_else(|| "somebody".into(), |by| format!("{} running `{}`", by.who, by.command));
            tracing::info!(by, "the volume is asked for: the sweep steps aside");
        }
        is_new
    }

    fn swept(&mut self, outcome: &Outcome, mut state: Box<LastState>, only_looked: bool, took: Duration) {
        if only_looked && self.policy.mode == Mode::Enforce && state.status.hold.is_none() {
            let wait = self.may_change.saturating_duration_since(Instant::now());
            state.starting(crate::report::text::length(Duration::from_secs(wait.as_secs())));
        }
        self.failures = if outcome.source_unavailable() { self.failures.saturating_add(1) } else { 0 };
        let name = &self.policy.resource;
        tracing::info!(
            namespace = name.namespace,
            name = name.name,
            sweep = outcome.sweep,
            seconds = took.as_secs_f64(),
            workspaces = outcome.workspaces,
            orphans = outcome.orphans,
            quarantined = outcome.quarantined,
            restored = outcome.restored,
            purged = outcome.purged,
            errors = outcome.failed(),
            held = outcome.held.as_ref().map(|held| held.reason.as_str()),
            "swept"
        );
        let before = self.state.get().status.hold.map(|hold| hold.reason);
        if let Some(hold) = &state.status.hold
            && before.as_ref() != Some(&hold.reason)
        {
            tracing::warn!(
                namespace = name.namespace,
                name = name.name,
                reason = hold.reason,
                "held: {}",
                hold.message
            );
        } else if before.is_some() && state.status.hold.is_none() {
            tracing::info!(namespace = name.namespace, name = name.name, "no longer held");
        }
        self.wiring.audience.swept(&self.policy, outcome, &state, took);
        self.ended = Some(state);
    }

    fn failed(&mut self, reason: &'static str, why: &str) {
        self.failures = self.failures.saturating_add(1);
        let name = &self.policy.resource;
        tracing::error!(namespace = name.namespace, name = name.name, "the sweep failed: {why}");
        let now = self.context(&self.stop).clock.now();
        // Of a sweep that ended, its figures stay.
        let state = self.last().after_failure(&self.policy, reason, why, now);
        self.wiring.audience.failed(&self.policy, why, &state);
        self.ended = Some(Box::new(state));
    }

    /// Which quarantined workspaces are needed again; `None` where none is.
    async fn returned(&self) -> Option<Returned> {
        let _look = self.shared.looks.acquire().await.ok()?;
        let looked = sweep::returned(Arc::clone(&self.policy), self.sources.clone(), self.context(&self.stop)).await;
        match looked {
            Ok(returned) => (!returned.is_empty()).then_some(returned),
            Err(why) => {
                tracing::debug!(%why, "whether anything in quarantine is needed again is not known");
                None
            }
        }
    }

    /// The pass between two sweeps.
    async fn restore(&self) {
        if Instant::now() < self.may_change {
            return;
        }
        let Some(wanted) = self.returned().await else { return };
        let volume = Arc::clone(self.shared.volumes.lock().await.entry(self.policy.root.clone()).or_default());
        let _volume = volume.lock().await;
        self.put_back(wanted).await;
    }

    async fn put_back(&self, wanted: Returned) {
        let context = Context { lock: ASIDE, ..self.context(&self.stop) };
        match sweep::restore(Arc::clone(&self.policy), self.sources.clone(), context, wanted).await {
            Ok(acted) => {
                if !acted.restored.is_empty() {
                    self.wiring.audience.restored(&self.policy, &acted);
                }
                for error in &acted.errors {
                    tracing::warn!(step = error.step, what = error.name, "{}", error.message);
                }
            }
            Err(why) => tracing::warn!(%why, "what is needed again could not be put back; it is tried again"),
        }
    }
}

async fn look_at_health(health: KnownHealth, sources: Sources, context: Context) {
    while !context.stop.requested() {
        health.look(&sources, &context).await;
        let _ = timeout(HEALTH, context.stop.wait()).await;
    }
}
