//! Before anything is touched the service must have been healthy for a while. A single sweep remembers nothing of it, so
//! it looks again and again; it holds nothing meanwhile, neither the volume nor its lock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;

use super::observing::before_stop;
use super::{Context, Sources};
use crate::names::SessionId;
use crate::observe::containers::{ContainerEvidence, HealthHistory, Look};
use crate::observe::{Health, IdSet, Reading};
use crate::policy::Policy;
use crate::report::text::length;

/// What a sweep does that knows nothing of how the service has been.
#[derive(Clone, Debug, Default)]
pub enum Settling {
    /// It looks until the service has been healthy for `containers.settle`; a look that finds it unhealthy ends that, and
    /// holds the sweep.
    #[default]
    Wait,
    /// It goes on: somebody knows that the service has been well for long enough.
    Skip,
    /// It goes by what is known already: somebody looks all the time.
    Known(KnownHealth),
}

/// How the service has been, as somebody sees it who looks again and again.
#[derive(Clone, Debug)]
pub struct KnownHealth(Arc<Mutex<HealthHistory>>);

impl Default for KnownHealth {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(HealthHistory::new(LONGEST_PAUSE + LONGEST_LOOK))))
    }
}

impl KnownHealth {
    /// Looks once, and remembers; to be called every five seconds.
    pub async fn look(&self, sources: &Sources, context: &Context) {
        let asked = context.clock.uptime();
        if let Some(health) = sources.serving(Look::Passing, &context.stop).await
            && !context.stop.requested()
        {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).record(asked, &health);
        }
    }

    fn history(&self) -> HealthHistory {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Longest time between two looks, also of somebody who looks all the time.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Shortest time between two looks.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// Longest time that a look takes, and that a busy machine lets it wait for its turn.
const LONGEST_LOOK: Duration = Duration::from_secs(15);

/// Waits until the service has settled. Gives back the sources to go on with: those of a service that did not settle say so.
pub(super) fn settled(policy: &Policy, sources: &Sources, context: &Context, handle: &Handle) -> Sources {
    let mut sources = sources.clone();
    let settle = policy.containers.as_ref().map_or(Duration::ZERO, |containers| containers.settle);
    if settle.is_zero() || policy.suspend || matches!(context.settling, Settling::Skip) {
        return sources;
    }
    if let Err(why) = handle.block_on(wait(settle, &sources, context)) {
        // First, so that it is what is told: how the service is by now says less.
        sources.containers.insert(0, Arc::new(Unsettled(why)));
    }
    sources
}

/// Looks until the service has been healthy for `settle`. A stop ends it: whatever comes next sees it for itself.
async fn wait(settle: Duration, sources: &Sources, context: &Context) -> Result<(), String> {
    let pause = (settle / 4).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
    let mut history = match &context.settling {
        Settling::Known(known) => known.history(),
        Settling::Wait | Settling::Skip => HealthHistory::new(pause + LONGEST_LOOK),
    };
    let mut shown = Shown { context, seconds: None };
    while !context.stop.requested() {
        let asked = context.clock.uptime();
        let before = history.healthy_for(asked);
        let Some(health) = sources.serving(Look::Fresh, &context.stop).await else { return Ok(()) };
        history.record(asked, &health);
        if context.stop.requested() {
            break;
        }
        if let Reading::Complete(Health::Unhealthy(why)) | Reading::Unavailable(why) = health {
            return Err(match before {
                Duration::ZERO => why,
                _ => format!("healthy for only {} of containers.settle {}: {why}", whole(before), length(settle)),
            });
        }
        let healthy = history.healthy_for(asked);
        if healthy >= settle {
            return Ok(());
        }
        shown.healthy_for(healthy, settle);
        before_stop(&context.stop, tokio::time::sleep(pause.min(settle - healthy))).await;
    }
    Ok(())
}

/// The length in whole seconds where it has any.
fn whole(time: Duration) -> String {
    length(if time.as_secs() > 0 { Duration::from_secs(time.as_secs()) } else { time })
}

/// Shows how long the service has been healthy, until dropped.
struct Shown<'a> {
    context: &'a Context,
    /// So many seconds are shown; `None` where nothing is.
    seconds: Option<u64>,
}

impl Shown<'_> {
    fn healthy_for(&mut self, healthy: Duration, settle: Duration) {
        let progress = &self.context.progress;
        if self.seconds.is_none() {
            tracing::info!(settle = length(settle), "waiting until the service has been healthy for long enough");
            progress.begin("seconds the service has been healthy, of containers.settle", Some(settle.as_secs().max(1)));
        }
        let seconds = healthy.as_secs();
        progress.advance(seconds.saturating_sub(self.seconds.unwrap_or(0)));
        self.seconds = Some(seconds);
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if self.seconds.is_some() {
            self.context.progress.end();
        }
    }
}

/// Says of a service that it has not settled, whatever it answers now.
struct Unsettled(String);

#[async_trait]
impl ContainerEvidence for Unsettled {
    async fn serving(&self, _: Look) -> Option<Reading<Health>> {
        Some(Reading::Complete(Health::Unhealthy(self.0.clone())))
    }

    async fn claims(&self) -> Option<Reading<IdSet>> {
        None
    }

    async fn is_claimed(&self, _: &SessionId) -> Option<Reading<bool>> {
        None
    }
}
