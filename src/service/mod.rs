//! The loop: sweeps every resource by its schedule, puts back in between what is needed again, takes over specs that
//! change, and goes on whatever fails.
//!
//! One task a resource. It only decides when; the work runs on threads of its own, so that the runtime never waits for a
//! file system.

mod resource;
mod specs;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tokio::time::sleep;

use crate::act::Acted;
use crate::orders::Orders;
use crate::policy::{Policy, ResourceName};
use crate::report::status::LastState;
use crate::spec::Loaded;
use crate::stop::Stop;
use crate::sweep::{Context, Sources, Swept};
pub use resource::Task;
use specs::Current;
pub use specs::Specs;

/// Time between two looks for a request to stop.
const TICK: Duration = Duration::from_millis(50);
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
    fn swept(&self, policy: &Policy, swept: &Swept, state: &LastState, took: Duration);

    /// What is needed again was put back outside a sweep.
    fn restored(&self, _policy: &Policy, _acted: &Acted) {}

    /// A sweep came to no report.
    fn failed(&self, policy: &Policy, why: &str, state: &LastState);

    /// When the next sweep is due.
    fn due(&self, policy: &Policy, state: &LastState);
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
        let places = Semaphore::new(pace.concurrency.max(1));
        Self(Arc::new(Shared { pace, places, volumes: Mutex::default() }))
    }

    /// Starts the task of one resource, which sweeps it by its schedule until `stop` or [`Task::end`].
    pub fn start(&self, loaded: Loaded, wiring: Wiring, stop: &Stop) -> Task {
        Task::start(Arc::clone(&self.0), wiring, loaded, stop)
    }
}

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
    /// Sweeps of one volume never overlap, whichever resource they are of.
    volumes: Mutex<BTreeMap<PathBuf, Arc<Mutex<()>>>>,
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
        let mut resources: BTreeMap<ResourceName, Task> = BTreeMap::new();
        self.take_over(&host, &specs, &mut resources, loaded).await;
        let mut next_look = tokio::time::Instant::now() + FILES;
        while !self.stop.requested() {
            sleep(TICK).await;
            if self.sweep_now.swap(false, Ordering::AcqRel) {
                tracing::info!("asked to sweep now");
                resources.values().for_each(Task::sweep_now);
            }
            if tokio::time::Instant::now() >= next_look {
                next_look = tokio::time::Instant::now() + FILES;
                self.look_at_files(&host, &specs, &mut resources).await;
            }
        }
        tracing::info!("asked to stop");
        let ends = resources.into_values().map(|resource| resource.end(PATIENCE));
        futures_util::future::join_all(ends).await;
    }

    async fn look_at_files(&self, host: &Host, specs: &Arc<Specs>, resources: &mut BTreeMap<ResourceName, Task>) {
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
    async fn take_over(
        &self,
        host: &Host,
        specs: &Arc<Specs>,
        resources: &mut BTreeMap<ResourceName, Task>,
        loaded: Vec<Loaded>,
    ) {
        let wanted: BTreeMap<ResourceName, Loaded> =
            loaded.into_iter().map(|one| (one.policy.resource.clone(), one)).collect();
        let stays = |name: &ResourceName, resource: &Task| {
            wanted.get(name).is_some_and(|loaded| loaded.resource == *resource.spec())
        };
        let gone: Vec<_> = resources.keys().filter(|name| !stays(name, &resources[*name])).cloned().collect();
        for name in gone {
            if let Some(resource) = resources.remove(&name) {
                let what = if wanted.contains_key(&name) { "changed" } else { "gone" };
                tracing::info!(namespace = name.namespace, name = name.name, what, "the resource's spec");
                resource.end(PATIENCE).await;
            }
        }
        let policies: Vec<_> = wanted.values().map(|loaded| Arc::new(loaded.policy.clone())).collect();
        self.audience.loaded(&policies);
        for (name, loaded) in wanted {
            if let std::collections::btree_map::Entry::Vacant(place) = resources.entry(name) {
                let file = loaded.file.as_ref().map(|file| PathBuf::from(file.path()));
                let (parts, audience) = (Arc::clone(&self.parts), Arc::clone(&self.audience));
                let orders = Arc::new(Current { specs: Arc::clone(specs), file });
                place.insert(host.start(loaded, Wiring { parts, audience, orders }, &self.stop));
            }
        }
    }
}
