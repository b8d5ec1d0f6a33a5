//! Tasks of an ECS cluster: whether a service is well, and which sessions tasks claim. An answer that is not whole is none.

mod calls;
mod claims;
mod serving;
mod stops;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use self::calls::Calls;
use super::{ContainerEvidence, Look};
use crate::clock::Clock;
use crate::names::SessionId;
use crate::observe::aws::Aws;
use crate::observe::{Health, IdSet, Reading};
use crate::policy::{EcsClaims, EcsPolicy, EcsTasks};
use crate::report::text::length;

/// Longest time for all calls of a look at the health: an answer older than 10 s is not relied on (DESIGN, promise 13).
const HEALTH: Duration = Duration::from_secs(9);
/// Longest time for all calls of a look at the claims: an answer older than 30 s is not relied on (DESIGN, promise 1).
const CLAIMS: Duration = Duration::from_secs(25);

/// Tasks of an ECS cluster.
pub struct Ecs {
    policy: EcsPolicy,
    calls: Calls,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Ecs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ecs").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Ecs {
    /// The tasks that `policy` names. How long ago a task stopped is told by `clock`.
    pub fn new(policy: EcsPolicy, aws: Aws, clock: Arc<dyn Clock>) -> Self {
        let calls = Calls { aws, cluster: policy.cluster.clone(), region: policy.region.clone() };
        Self { policy, calls, clock }
    }

    async fn health(&self, service: &str) -> Result<Health, String> {
        let listed = self.calls.list(&EcsTasks::Service(service.to_owned())).await?;
        let tasks = self.calls.describe(&listed.all()).await?;
        // Last, so that a task that was lost meanwhile is missing in its counts.
        let service = self.calls.service(service).await?;
        Ok(serving::judge(&self.policy, &service, &tasks, self.clock.now()))
    }

    async fn claimed(&self, claims: &EcsClaims) -> Result<IdSet, String> {
        let listed = self.calls.list(&claims.tasks).await?.all();
        // ECS is eventually consistent: what two readings do not agree on is not known.
        if self.calls.list(&claims.tasks).await?.all() != listed {
            return Err(format!(
                "the tasks of cluster {} in {} changed while they were listed; the next sweep asks again",
                self.policy.cluster, self.policy.region
            ));
        }
        claims::ids(&self.calls.describe(&listed).await?, &claims.session_tag)
    }
}

/// What was asked for, unless it takes too long.
async fn within<T>(most: Duration, asked: impl Future<Output = Result<T, String>>) -> Reading<T> {
    let late = || format!("ECS gave no whole answer within {}", length(most));
    tokio::time::timeout(most, asked).await.unwrap_or_else(|_| Err(late())).into()
}

#[async_trait]
impl ContainerEvidence for Ecs {
    async fn serving(&self, _: Look) -> Option<Reading<Health>> {
        let service = self.policy.serving.as_ref()?;
        Some(within(HEALTH, self.health(service)).await)
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
