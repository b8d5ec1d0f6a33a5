//! Container evidence: whether the service is well, and which sessions its containers claim.

mod ecs;
mod history;
mod http;
mod kubernetes;

use std::sync::Arc;

use async_trait::async_trait;

use super::aws::Aws;
use super::{Health, IdSet, Reading};
use crate::clock::Clock;
use crate::names::SessionId;
use crate::policy::{ContainerPolicy, Policy};

pub use ecs::Ecs;
pub use history::HealthHistory;
pub use http::Http;
pub use kubernetes::{Kubernetes, KubernetesApi, Mounts};

/// What a look at the health is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing depends on it right now but how long the service has been well: what a watch tells is enough.
    Passing,
    /// Something may be taken away by it: whoever knows best is asked.
    Fresh,
}

/// A source of container evidence. With several, health is the AND of all and claims are the union.
#[async_trait]
pub trait ContainerEvidence: Send + Sync {
    /// Whether the serving containers are healthy; `None` where this source does not say.
    async fn serving(&self, look: Look) -> Option<Reading<Health>>;

    /// The ids running containers claim; `None` where this source does not say.
    async fn claims(&self) -> Option<Reading<IdSet>>;

    /// A fresh answer whether a running container claims this id.
    async fn is_claimed(&self, id: &SessionId) -> Option<Reading<bool>>;
}

/// The sources of container evidence that a policy names. They share the clients of `aws` and of `api`.
pub fn open(
    policy: Option<&ContainerPolicy>,
    aws: &Aws,
    api: &KubernetesApi,
    clock: &Arc<dyn Clock>,
) -> Vec<Arc<dyn ContainerEvidence>> {
    let Some(policy) = policy else { return Vec::new() };
    let pods = policy.kubernetes.clone();
    let pods = pods.map(|pods| Arc::new(Kubernetes::new(pods, api.clone(), Arc::clone(clock))) as _);
    let ecs = policy.ecs.clone().map(|ecs| Arc::new(Ecs::new(ecs, aws.clone(), Arc::clone(clock))) as _);
    let http = policy.http.clone().map(|http| Arc::new(Http::new(http)) as _);
    pods.into_iter().chain(ecs).chain(http).collect()
}

/// What pods mount of the claim that the volume is on; `None` where it is on none.
pub fn mounts(policy: &Policy, api: KubernetesApi) -> Option<Arc<dyn ContainerEvidence>> {
    Mounts::of(policy, api).map(|mounts| Arc::new(mounts) as _)
}
