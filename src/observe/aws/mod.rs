//! The clients of AWS: one set for each region, made once and used by every source. Credentials come from the SDK's default
//! chain; `AWS_ENDPOINT_URL` is honoured. Nothing here is ever logged: an error is told by its code alone.

mod fault;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_ecs::config::Region;
use tokio::sync::Mutex;

pub(super) use fault::{Called, word};

/// Longest time for a connection to come about.
const CONNECT: Duration = Duration::from_secs(2);
/// Longest time for one attempt of a call.
const ATTEMPT: Duration = Duration::from_secs(3);
/// Longest time for a call with all its attempts and pauses, and with the fetching of credentials. Below the 10 s that an
/// answer about health may be old (DESIGN, promise 13).
const CALL: Duration = Duration::from_secs(8);
/// Attempts of a call that is throttled, cut off or not answered. The pause before each doubles, and is drawn at random
/// between nothing and that (the SDK's standard mode), so that several clients do not come back together.
const ATTEMPTS: u32 = 5;
/// The first such pause at most.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The clients of AWS, shared by its clones.
#[derive(Clone, Debug, Default)]
pub struct Aws(Arc<Mutex<BTreeMap<String, Arc<Clients>>>>);

/// The clients of one region.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) ecs: aws_sdk_ecs::Client,
    pub(super) efs: aws_sdk_efs::Client,
}

impl Aws {
    /// The clients of `region`, made at the first use. No call is made for it.
    pub(super) async fn region(&self, region: &str) -> Arc<Clients> {
        let mut regions = self.0.lock().await;
        if let Some(clients) = regions.get(region) {
            return Arc::clone(clients);
        }
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .read_timeout(ATTEMPT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(CALL)
            .build();
        let retries = RetryConfig::standard()
            .with_max_attempts(ATTEMPTS)
            .with_initial_backoff(FIRST_PAUSE)
            .with_max_backoff(LONGEST_PAUSE);
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .timeout_config(timeouts)
            .retry_config(retries)
            .load()
            .await;
        let clients =
            Arc::new(Clients { ecs: aws_sdk_ecs::Client::new(&config), efs: aws_sdk_efs::Client::new(&config) });
        regions.insert(region.to_owned(), Arc::clone(&clients));
        clients
    }
}
