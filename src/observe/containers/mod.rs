//! Container evidence: whether the service is well, and which sessions its containers claim.

mod ecs;
mod history;
mod http;

use std::sync::Arc;

use async_trait::async_trait;

use super::aws::Aws;
use super::{Health, IdSet, Reading};
use crate::clock::Clock;
use crate::names::SessionId;
use crate::policy::ContainerPolicy;

pub use ecs::Ecs;
pub use history::HealthHistory;
pub use http::Http;

/// A source of container evidence. With several, health is the AND of all and claims are the union.
#[async_trait]
pub trait ContainerEvidence: Send + Sync {
    /// Whether the serving containers are healthy; `None` where this source does not say.
    async fn serving(&self) -> Option<Reading<Health>>;

    /// The ids running containers claim; `None` where this source does not say.
    async fn claims(&self) -> Option<Reading<IdSet>>;

    /// A fresh answer whether a running container claims this id.
    async fn is_claimed(&self, id: &SessionId) -> Option<Reading<bool>>;
}

/// The sources of container evidence that a policy names. Those on AWS share the clients of `aws`.
pub fn open(policy: Option<&ContainerPolicy>, aws: &Aws, clock: &Arc<dyn Clock>) -> Vec<Arc<dyn ContainerEvidence>> {
    let Some(policy) = policy else { return Vec::new() };
    let ecs = policy.ecs.clone().map(|ecs| Arc::new(Ecs::new(ecs, aws.clone(), Arc::clone(clock))) as _);
    let http = policy.http.clone().map(|http| Arc::new(Http::new(http)) as _);
    ecs.into_iter().chain(http).collect()
}
