//! Leader election on a Lease of coordination.k8s.io.
//!
//! Who holds the lease may act for a part of its duration, counted from before the renewal was sent, by a clock that also runs
//! while process or machine stand still. Who waits counts a whole duration from when it saw the last renewal, by its own
//! clock, and trusts no time that somebody else wrote. So the first has stopped before the second may begin, whatever was
//! slow, stopped or set wrong in between.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::cluster::{Unanswered, jittered, within};
use crate::stop::Stop;
use crate::term::Term;

/// How a lease is held.
#[derive(Clone, Debug)]
pub struct LeaseOptions {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// How long it is held after a renewal: whole seconds, at least three.
    pub duration: Duration,
    /// Who holds it: never the same for two processes.
    pub identity: String,
}

impl LeaseOptions {
    /// For how long after a renewal was sent steps are taken: the rest is for clocks that run at different speeds, and for a step
    /// that was begun at the last moment.
    fn trusted(&self) -> Duration {
        self.duration * 2 / 3
    }

    /// Time between two renewals.
    fn renew_every(&self) -> Duration {
        self.duration / 4
    }

    /// Time between two looks at somebody else's lease, and before another try.
    fn retry_after(&self) -> Duration {
        self.duration / 8
    }
}

/// The candidate.
pub(super) struct Election {
    api: Api<Lease>,
    options: LeaseOptions,
    clock: Arc<dyn Clock>,
    /// The version of somebody else's lease that was seen last, and since when, by this machine's uptime.
    seen: Option<(String, Duration)>,
}

/// A lease that is held by this process, as it was written last.
pub(super) struct Held(Lease);

impl Election {
    pub(super) fn new(client: Client, options: LeaseOptions, clock: Arc<dyn Clock>) -> Self {
        Self { api: Api::namespaced(client, &options.namespace), options, clock, seen: None }
    }

    /// Stands for election until `stop`; `leading` has the term while there is one. Gives back the lease where it is held at the
    /// end.
    pub(super) async fn run(mut self, leading: &watch::Sender<Option<Arc<Term>>>, stop: &Stop) -> Option<(Self, Held)> {
        let mut failing = false;
        while !stop.requested() {
            let sent = self.clock.uptime();
            match self.campaign().await {
                Ok(Some(held)) => {
                    failing = false;
                    tracing::info!(lease = self.options.name, identity = self.options.identity, "leading");
                    if let Some(held) = self.hold(held, sent, leading, stop).await {
                        return Some((self, held));
                    }
                    leading.send_replace(None);
                    tracing::warn!(lease = self.options.name, "no longer leading; everything was asked to stop");
                    continue;
                }
                Ok(None) => failing = false,
                Err(why) if !failing => {
                    failing = true;
                    tracing::warn!(lease = self.options.name, %why, "the lease cannot be had; it is tried again");
                }
                Err(_) => {}
            }
            pause(jittered(self.options.retry_after()), stop).await;
        }
        None
    }

    /// Takes the lease where it is free; `None` where somebody else holds it, or may.
    async fn campaign(&mut self) -> Result<Option<Held>, Unanswered> {
        let Some(found) = self.asked(self.api.get_opt(&self.options.name)).await? else {
            let lease = self.written(None);
            return match self.asked(self.api.create(&PostParams::default(), &lease)).await {
                Ok(lease) => Ok(Some(Held(lease))),
                Err(error) if error.code() == Some(409) => Ok(None),
                Err(error) => Err(error),
            };
        };
        let spec = found.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let version = found.metadata.resource_version.clone().unwrap_or_default();
        if !holder.is_empty() && holder != self.options.identity {
            let now = self.clock.uptime();
            let since = match &self.seen {
                Some((seen, since)) if *seen == version => *since,
                _ => {
                    self.seen = Some((version, now));
                    now
                }
            };
            // Theirs counts: they act by what they wrote.
            let length =
                spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
            if now.saturating_sub(since) < length.unwrap_or_default().max(self.options.duration) {
                return Ok(None);
            }
            tracing::info!(lease = self.options.name, holder, "the lease was not renewed; it is taken over");
        }
        self.replace(&found).await
    }

    /// Renews until the lease is lost, or `stop`: then it is given back.
    async fn hold(
        &mut self,
        mut held: Held,
        mut sent: Duration,
        leading: &watch::Sender<Option<Arc<Term>>>,
        stop: &Stop,
    ) -> Option<Held> {
        self.seen = None;
        let term = Term::until(sent + self.options.trusted());
        // A task of its own: it does not wait for an API server.
        tokio::spawn(Arc::clone(&term).run_out());
        leading.send_replace(Some(Arc::clone(&term)));
        loop {
            let next = sent + jittered(self.options.renew_every());
            pause(next.saturating_sub(self.clock.uptime()), stop).await;
            if stop.requested() {
                return Some(held);
            }
            // Where this process stood still for too long its term is over, and what it began then is not gone on with,
            // also where nobody took the lease.
            if !term.stands() {
                return None;
            }
            let begun = self.clock.uptime();
            match self.replace(&held.0).await {
                Ok(Some(renewed)) => {
                    held = renewed;
                    sent = begun;
                    if !term.extend(sent + self.options.trusted()) {
                        return None;
                    }
                }
                // Somebody wrote it: whoever that was, a new election finds out.
                Ok(None) => {
                    term.close();
                    return None;
                }
                Err(why) => {
                    tracing::warn!(lease = self.options.name, %why, "the lease is not renewed; it is tried again");
                    pause(jittered(self.options.retry_after()), stop).await;
                    // What was not answered may have been done all the same, and then the version is another one.
                    match self.asked(self.api.get_opt(&self.options.name)).await {
                        Ok(Some(found)) if self.is_ours(&found) => held = Held(found),
                        Ok(_) => {
                            term.close();
                            return None;
                        }
                        Err(_) => {}
                    }
                    // At once, and not only after the next pause.
                    sent = self.clock.uptime().saturating_sub(self.options.renew_every().mul_f64(1.2));
                }
            }
        }
    }

    /// Gives the lease away, so that the next need not wait.
    pub(super) async fn release(self, held: Held) {
        let mut lease = held.0;
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        let released = self.asked(self.api.replace(&self.options.name, &PostParams::default(), &lease)).await;
        match released {
            Ok(_) => tracing::info!(lease = self.options.name, "released the lease"),
            Err(why) => tracing::warn!(lease = self.options.name, %why, "the lease is not released; it runs out"),
        }
    }

    fn is_ours(&self, lease: &Lease) -> bool {
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
        holder == Some(&self.options.identity)
    }

    /// Writes it as ours over the version that was read; `None` where somebody wrote it meanwhile.
    async fn replace(&self, found: &Lease) -> Result<Option<Held>, Unanswered> {
        let lease = self.written(Some(found));
        match self.asked(self.api.replace(&self.options.name, &PostParams::default(), &lease)).await {
            Ok(lease) => Ok(Some(Held(lease))),
            Err(error) if matches!(error.code(), Some(404 | 409)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn written(&self, found: Option<&Lease>) -> Lease {
        let now = MicroTime(self.clock.now());
        let before = found.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let ours = before.holder_identity.as_deref() == Some(&self.options.identity);
        let metadata = match found {
            Some(lease) => ObjectMeta { managed_fields: None, ..lease.metadata.clone() },
            None => ObjectMeta { name: Some(self.options.name.clone()), ..ObjectMeta::default() },
        };
        let transitions = before.lease_transitions.unwrap_or(0);
        let spec = LeaseSpec {
            holder_identity: Some(self.options.identity.clone()),
            lease_duration_seconds: i32::try_from(self.options.duration.as_secs()).ok(),
            acquire_time: if ours { before.acquire_time } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(if ours || found.is_none() { transitions } else { transitions.saturating_add(1) }),
            ..before
        };
        Lease { metadata, spec: Some(spec) }
    }

    async fn asked<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, Unanswered> {
        within(self.options.duration / 5, request).await
    }
}

async fn pause(time: Duration, stop: &Stop) {
    let _ = tokio::time::timeout(time, stop.wait()).await;
}
