//! Pods of a namespace: whether those that serve are well, and which sessions pods claim. docs/containers-kubernetes.md has
//! the tables.
//!
//! How the service is comes from watches that resources share, so that nothing is asked at rest. Before and while something
//! is taken away the API server is asked for the pods themselves, and claims are never taken from a watch.

mod api;
mod claims;
mod mounts;
mod serving;
mod stops;
mod watch;
mod workloads;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OnceCell;

pub use self::api::KubernetesApi;
pub use self::mounts::Mounts;
use self::serving::ServingPod;
use self::watch::{Kept, Watched};
use self::workloads::Workloads;
use super::{ContainerEvidence, Look};
use crate::clock::Clock;
use crate::names::SessionId;
use crate::observe::{Health, IdSet, Reading};
use crate::policy::{KubernetesPolicy, PodClaims};
use crate::report::text::length;

/// Longest time for all calls of a look at the health: an answer older than 10 s is not relied on (DESIGN, promise 13).
const HEALTH: Duration = Duration::from_secs(9);
/// Longest time for all calls of a look at the claims: an answer older than 30 s is not relied on (DESIGN, promise 1).
const CLAIMS: Duration = Duration::from_secs(25);

/// Pods of a namespace.
pub struct Kubernetes {
    policy: KubernetesPolicy,
    api: KubernetesApi,
    clock: Arc<dyn Clock>,
    /// Begun by the first look, and shared with other resources that name the same pods.
    watched: OnceCell<Service>,
}

/// What is watched of a service.
struct Service {
    pods: Arc<Watched<ServingPod>>,
    workloads: Workloads,
}

impl std::fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubernetes").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Kubernetes {
    /// The pods that `policy` names, by `api`. How long ago something was is told by `clock`.
    pub fn new(policy: KubernetesPolicy, api: KubernetesApi, clock: Arc<dyn Clock>) -> Self {
        Self { policy, api, clock, watched: OnceCell::new() }
    }

    async fn health(&self, selector: &kube::core::Selector, look: Look) -> Result<Health, String> {
        let namespace = &self.policy.namespace;
        let begin = || async {
            let pods = self.api.pods(namespace, selector, &self.clock).await?;
            let workloads = self.api.workloads(namespace, &self.clock).await?;
            Ok::<_, String>(Service { pods, workloads })
        };
        let service = self.watched.get_or_try_init(begin).await?;
        let listed = match look {
            Look::Fresh => Some(self.api.list_pods(namespace, selector, ServingPod::of).await?),
            Look::Passing => None,
        };
        // After the list: of a pod that went meanwhile the watch knows how.
        let workloads = service.workloads.of(selector).await?;
        let (watched, gone) = service.pods.known().await?;
        let pods = match listed {
            Some(listed) => {
                service.pods.confirm(&listed)?;
                listed
            }
            None => watched,
        };
        Ok(serving::judge(&self.policy, &pods, &gone, &workloads, self.clock.now()))
    }

    async fn claimed(&self, claims: &PodClaims) -> Result<IdSet, String> {
        let claim = |pod: &_| claims::claim(pod, &claims.session);
        claims::ids(self.api.list_pods(&self.policy.namespace, &claims.selector, claim).await?)
    }
}

/// What was asked for, unless it takes too long.
async fn within<T>(most: Duration, asked: impl Future<Output = Result<T, String>>) -> Reading<T> {
    let late = || format!("the API server gave no whole answer within {}", length(most));
    tokio::time::timeout(most, asked).await.unwrap_or_else(|_| Err(late())).into()
}

#[async_trait]
impl ContainerEvidence for Kubernetes {
    async fn serving(&self, look: Look) -> Option<Reading<Health>> {
        let selector = self.policy.serving.as_ref()?;
        Some(within(HEALTH, self.health(selector, look)).await)
    }

    async fn claims(&self) -> Option<Reading<IdSet>> {
        let claims = self.policy.claims.as_ref()?;
        Some(within(CLAIMS, self.claimed(claims)).await)
    }

    async fn is_claimed(&self, id: &SessionId) -> Option<Reading<bool>> {
        Some(match self.claims().await? {
            Reading::Complete(ids) => Reading::Complete(ids.contains(id) || ids.contains_canonical(id)),
            Reading::Unavailable(why) => Reading::Unavailable(why),
        })
    }
}
