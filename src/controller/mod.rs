//! The controller: watches resources of a Kubernetes API server and sweeps them with the loop of [`crate::service`].
//!
//! One direction: watches tell the registry what is there, the registry tells the keeper of each object (by uid) what is
//! wanted, the keeper starts and ends the object's task, and what the task tells goes to the one writer of the object's status.
//! Nothing of it waits for a file system, and every step on a volume asks whether its orders and this process's term still
//! stand.

mod answers;
mod compose;
mod events;
pub(crate) mod jobs;
mod keeper;
mod lease;
mod orders;
mod registry;
mod roots;
mod secrets;
mod told;
mod watch;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::policy::PolicyOptions;
use crate::service::{Audience, Host, Pace, Parts};
use crate::stop::Stop;
use crate::term::Term;
pub(crate) use answers::is_withdrawn;
pub use answers::{follow as follow_answer, kind as answer_kind};
pub use jobs::{Jobs, Operator};
pub use lease::LeaseOptions;
pub use roots::{Allowed, Evidence, Refusal, VolumeRoot};
pub use secrets::ClusterSecrets;
pub use watch::{Asked, asked};

/// Statuses that are written at once.
const WRITERS: usize = 16;
/// News that wait to be heard.
const NEWS: usize = 64;

/// How the controller runs.
pub struct Options {
    /// The API server.
    pub client: Client,
    /// The namespaces that are watched; none are all.
    pub namespaces: Vec<String>,
    /// How long the API server is asked to keep a watch; so much later at most a connection that died is noticed.
    pub watch: Duration,
    /// What resources may reach.
    pub allowed: Allowed,
    /// How volumes of claims are swept; `None` where they are not.
    pub jobs: Option<Arc<Jobs>>,
    /// What the conversion of a spec depends on.
    pub policy: PolicyOptions,
    /// How the loop runs.
    pub pace: Pace,
    /// What sweeps are made of.
    pub parts: Arc<dyn Parts>,
    /// Who else is told.
    pub shown: Arc<dyn Audience>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Asks it to stop.
    pub stop: Stop,
    /// The lease to lead by; without one this is the only controller.
    pub lease: Option<LeaseOptions>,
    /// Who tells events: the pod or host.
    pub instance: String,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("namespaces", &self.namespaces)
            .field("allowed", &self.allowed)
            .finish_non_exhaustive()
    }
}

/// Runs until asked to stop; then ends all sweeps and gives the lease away.
pub async fn run(options: Options) {
    let Options {
        client,
        namespaces,
        watch: keep,
        allowed,
        jobs,
        policy,
        pace,
        parts,
        shown,
        clock,
        stop,
        lease,
        instance,
    } = options;
    let scopes: Vec<_> = match namespaces.is_empty() {
        true => vec![None],
        false => namespaces.into_iter().map(Some).collect(),
    };
    let (tell, mut news) = mpsc::channel(NEWS);
    let sure = scopes.iter().map(|_| orders::Sure::default()).collect();
    let mut watches = JoinSet::new();
    for (scope, namespace) in scopes.into_iter().enumerate() {
        watches.spawn(watch::watch(client.clone(), scope, namespace, keep, tell.clone()));
    }
    let (leads, mut leading) = tokio::sync::watch::channel(None);
    let electing = match lease {
        Some(lease) => {
            let (election, stop) = (lease::Election::new(client.clone(), lease, Arc::clone(&clock)), stop.clone());
            Some(tokio::spawn(async move { election.run(&leads, &stop).await }))
        }
        None => {
            leads.send_replace(Some(Term::unlimited()));
            None
        }
    };
    leading.mark_changed();
    let mut registry = registry::Registry {
        post: events::start(client.clone(), &instance),
        means: Arc::new(keeper::Means {
            client,
            host: Host::new(pace),
            parts,
            allowed: Arc::new(allowed),
            stop: stop.clone(),
            jobs,
        }),
        policy,
        shown,
        clock,
        places: Arc::new(Semaphore::new(WRITERS)),
        sure,
        leading: None,
        entries: Default::default(),
        keepers: JoinSet::new(),
        unclean: false,
    };
    while !stop.requested() {
        tokio::select! {
            Some(news) = news.recv() => registry.hear(news),
            Ok(()) = leading.changed() => {
                let term = leading.borrow_and_update().clone();
                registry.lead(term);
            }
            Some(ended) = registry.keepers.join_next() => registry.unclean |= !ended.unwrap_or(false),
            () = stop.wait() => {}
        }
    }
    tracing::info!("asked to stop");
    let clean = registry.end().await;
    if let Some(electing) = electing
        && let Ok(Some((election, held))) = electing.await
    {
        // What hangs in a call could come back after somebody else began.
        if clean {
            election.release(held).await
        } else {
            tracing::warn!("the lease is left to run out: a sweep did not end")
        }
    }
}
