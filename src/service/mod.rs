//! The loop: sweeps every resource by its schedule, puts back in between what is needed again, takes over specs that
//! change, and goes on whatever fails.
//!
//! One task a resource. It only decides when; the work runs on threads of its own, so that the runtime never waits for a
//! file system.

mod elsewhere;
mod resource;
mod specs;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, timeout};

use crate::act::Acted;
use crate::api::{WorkspaceHygiene, WorkspaceHygieneStatus};
use crate::orders::Orders;
use crate::policy::{Policy, ResourceName};
use crate::report::outcome::Outcome;
use crate::report::status::LastState;
use crate::spec::Loaded;
use crate::stop::Stop;
use crate::sweep::{Context, Sources};
pub use elsewhere::{Done, Elsewhere, Failed, Wanted};
pub use resource::Task;
use specs::Current;
pub use specs::Specs;

/// Time between two looks whether everything is to be swept now.
const TICK: Duration = Duration::from_millis(50);
/// Time between two looks at the time of day, which may be set meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Looks at volumes at once, beside the sweeps.
const LOOKS: usize = 16;
/// Time between two looks at the spec files.
const FILES: Duration = Duration::from_secs(2);
/// How long work may take to come back once it was asked to stop; a file-system call that hangs is left behind.
const PATIENCE: Duration = Duration::from_secs(5);

/// How the loop runs.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Nothing is changed on a volume before the service has run for this long.
    pub startup_delay: Duration,
    /// Time between two looks for what is needed again.
    pub restore_every: Duration,
    /// Sweeps at once.
    pub concurrency: usize,
}

/// What the loop is made of by whoever starts it.
pub trait Parts: Send + Sync {
    /// What work on one resource is handed; `stop` asks it to stop.
    fn context(&self, policy: &Policy, stop: &Stop) -> Context;

    /// The sources that a resource names.
    fn sources(&self, policy: &Policy) -> Sources;
}

/// Whoever is told what happens.
pub trait Audience: Send + Sync {
    /// These resources are loaded now.
    fn loaded(&self, resources: &[Arc<Policy>]);

    /// A newer version of the specs could not be taken over, and the old one stays; `None` once that is mended.
    fn fault(&self, what: Option<String>);

    /// A sweep begins.
    fn begins(&self, _policy: &Policy) {}

    /// A sweep ended; `state` is what came of it.
    fn swept(&self, policy: &Policy, outcome: &Outcome, state: &LastState, took: Duration);

    /// Before a sweep ends: what `status` says of the Job that runs it, or of a gate that keeps it waiting.
    fn meanwhile(&self, _policy: &Policy, _status: &WorkspaceHygieneStatus) {}

    /// What is needed again was put back outside a sweep.
    fn restored(&self, _policy: &Policy, _acted: &Acted) {}

    /// A sweep came to no report.
    fn failed(&self, policy: &Policy, why: &str, state: &LastState);

    /// When the next sweep is due.
    fn due(&self, policy: &Policy, state: &LastState);

    /// These resources are not swept now, since something is wrong with them.
    fn refused(&self, _resources: &[NotSwept]) {}

    /// Whether this process is the one that works, of those that could.
    fn leads(&self, _leads: bool) {}
}

/// A resource that is not swept, since something is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotSwept {
    /// Its name.
    pub resource: ResourceName,
    /// The reason that its condition has.
    pub reason: &'static str,
    /// Whether it would be in mode Enforce.
    pub enforce: bool,
}

/// What the task of one resource is given by whoever starts it.
#[derive(Clone)]
pub struct Wiring {
    /// What the work is made of.
    pub parts: Arc<dyn Parts>,
    /// Whoever is told what happens.
    pub audience: Arc<dyn Audience>,
    /// Whether what the resource asks for still stands.
    pub orders: Arc<dyn Orders>,
    /// Where its sweeps run; `None` for this process.
    pub elsewhere: Option<Arc<dyn Elsewhere>>,
}

impl std::fmt::Debug for Wiring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wiring").finish_non_exhaustive()
    }
}

/// Starts the tasks of resources, and sees to it that they do not get in each other's way.
#[derive(Clone)]
pub struct Host(Arc<Shared>);

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("pace", &self.0.pace).finish_non_exhaustive()
    }
}

impl Host {
    /// A host of tasks that run at this pace.
    pub fn new(pace: Pace) -> Self {
        let (places, looks) = (Semaphore::new(pace.concurrency.max(1)), Semaphore::new(LOOKS));
        Self(Arc::new(Shared { pace, places, looks, volumes: Mutex::default(), began: Instant::now() }))
    }

    /// Starts the task of one resource, which sweeps it by its schedule until `stop` or [`Task::end`].
    pub fn start(&self, policy: Arc<Policy>, wiring: Wiring, stop: &Stop) -> Task {
        Task::start(Arc::clone(&self.0), wiring, policy, stop)
    }
}

/// Each resource as it was loaded, and its task.
type Resources = BTreeMap<ResourceName, (WorkspaceHygiene, Task)>;

/// The loop.
pub struct Service {
    pace: Pace,
    parts: Arc<dyn Parts>,
    audience: Arc<dyn Audience>,
    stop: Stop,
    /// Set by whoever wants a sweep of everything now.
    sweep_now: Arc<AtomicBool>,
}

/// What the tasks of all resources share.
struct Shared {
    pace: Pace,
    /// Sweeps at once.
    places: Semaphore,
    /// Looks at volumes beside the sweeps, which may take hours: each is a thread.
    looks: Semaphore,
    /// Sweeps of one volume never overlap, whichever resource they are of.
    volumes: Mutex<BTreeMap<PathBuf, Arc<Mutex<()>>>>,
    began: Instant,
}

impl Shared {
    /// When tasks look again what time of day it is: all at the same moment, so that a thousand of them wake the process once.
    fn next_look(&self) -> Instant {
        let looks = self.began.elapsed().as_secs() / LOOK_AGAIN.as_secs();
        self.began + LOOK_AGAIN * u32::try_from(looks + 1).unwrap_or(u32::MAX)
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("pace", &self.pace).finish_non_exhaustive()
    }
}

impl Service {
    /// A loop that ends once `stop` is requested, and sweeps everything at once whenever `sweep_now` is set.
    pub fn new(
        pace: Pace,
        parts: Arc<dyn Parts>,
        audience: Arc<dyn Audience>,
        stop: Stop,
        sweep_now: Arc<AtomicBool>,
    ) -> Self {
        Self { pace, parts, audience, stop, sweep_now }
    }

    /// Runs until asked to stop.
    pub async fn run(self, loaded: Vec<Loaded>, specs: Specs) {
        let host = Host::new(self.pace);
        let specs = Arc::new(specs);
        let mut resources = Resources::new();
        self.take_over(&host, &specs, &mut resources, loaded).await;
        let mut next_look = Instant::now() + FILES;
        while !self.stop.requested() {
            let _ = timeout(TICK, self.stop.wait()).await;
            if self.sweep_now.swap(false, Ordering::AcqRel) {
                tracing::info!("asked to sweep now");
                resources.values().for_each(|(_, task)| task.sweep_now());
            }
            if Instant::now() >= next_look {
                next_look = Instant::now() + FILES;
                self.look_at_files(&host, &specs, &mut resources).await;
            }
        }
        tracing::info!("asked to stop");
        let ends = resources.into_values().map(|(_, task)| task.end(PATIENCE));
        futures_util::future::join_all(ends).await;
    }

    async fn look_at_files(&self, host: &Host, specs: &Arc<Specs>, resources: &mut Resources) {
        let looking = Arc::clone(specs);
        // A file on a network file system may keep whoever reads it waiting.
        let Ok(changed) = tokio::task::spawn_blocking(move || looking.changed()).await else { return };
        match changed {
            None => {}
            Some(Ok(loaded)) => {
                self.audience.fault(None);
                self.take_over(host, specs, resources, loaded).await;
            }
            Some(Err(why)) => {
                tracing::warn!(why, "the specs changed and cannot be taken over; what was loaded before stays");
                self.audience.fault(Some(why));
            }
        }
    }

    /// Starts what is new, ends what is gone, and begins anew what changed.
    async fn take_over(&self, host: &Host, specs: &Arc<Specs>, resources: &mut Resources, loaded: Vec<Loaded>) {
        let wanted: BTreeMap<ResourceName, Loaded> =
            loaded.into_iter().map(|one| (one.policy.resource.clone(), one)).collect();
        let stays = |name: &ResourceName, resource: &WorkspaceHygiene| {
            wanted.get(name).is_some_and(|loaded| loaded.resource == *resource)
        };
        let gone: Vec<_> = resources.keys().filter(|name| !stays(name, &resources[*name].0)).cloned().collect();
        for name in gone {
            if let Some((_, task)) = resources.remove(&name) {
                let what = if wanted.contains_key(&name) { "changed" } else { "gone" };
                tracing::info!(namespace = name.namespace, name = name.name, what, "the resource's spec");
                task.end(PATIENCE).await;
            }
        }
        let wanted: Vec<_> =
            wanted.into_iter().map(|(name, one)| (name, Arc::new(one.policy), one.resource, one.file)).collect();
        let policies: Vec<_> = wanted.iter().map(|(_, policy, ..)| Arc::clone(policy)).collect();
        self.audience.loaded(&policies);
        for (name, policy, resource, file) in wanted {
            if let std::collections::btree_map::Entry::Vacant(place) = resources.entry(name) {
                let file = file.map(|file| PathBuf::from(file.path()));
                let (parts, audience) = (Arc::clone(&self.parts), Arc::clone(&self.audience));
                let orders = Arc::new(Current { specs: Arc::clone(specs), file });
                place.insert((
                    resource,
                    host.start(policy, Wiring { parts, audience, orders, elsewhere: None }, &self.stop),
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_tasks_look_at_the_time_of_day_at_the_same_moment() {
        let pace = Pace { startup_delay: Duration::ZERO, restore_every: Duration::ZERO, concurrency: 1 };
        let host = Host::new(pace);
        let (now, looks) = (Instant::now(), [host.0.next_look(), host.0.next_look()]);
        assert_eq!(looks[0], looks[1]);
        assert!(looks[0] > now && looks[0] <= now + LOOK_AGAIN);
        assert_eq!((looks[0] - host.0.began).as_secs() % LOOK_AGAIN.as_secs(), 0);
    }
}
