//! Our side: one full reading of the session store, as a sweep does it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use secrecy::SecretString;
use workspace_hygiene::clock::SystemClock;
use workspace_hygiene::observe::Reading;
use workspace_hygiene::observe::sessions;
use workspace_hygiene::policy::{AddressPolicy, ReplicaRule, ServerPolicy, SessionPolicy, StorePolicy, TlsMode};
use workspace_hygiene::secrets::{SecretKey, SecretKind, Secrets};

/// As many threads as `hygiene` has for what waits.
const WORKERS: usize = 2;

/// The one secret there is: the URL of the server.
struct Url(String);

#[async_trait]
impl Secrets for Url {
    async fn read(&self, _: &SecretKey) -> Result<SecretString, String> {
        Ok(self.0.clone().into())
    }
}

/// Reads all live sessions of the server at `url`, and tells how many there are.
pub fn read(url: &str, query: &str) -> Result<u64> {
    let key = SecretKey { kind: SecretKind::Secret, namespace: "bench".into(), name: "db".into(), key: "url".into() };
    let server = ServerPolicy { address: AddressPolicy::Url(key), tls: TlsMode::Disable, ca: None };
    let policy = SessionPolicy {
        store: if url.starts_with("mysql") { StorePolicy::Mysql(server) } else { StorePolicy::Postgres(server) },
        live_query: query.into(),
        live_by_id_query: None,
        freshness_query: None,
        max_staleness: Duration::from_secs(3600),
        canary_query: None,
        known_query: None,
        minimum_live: 1,
        timeout: Duration::from_secs(600),
        replica: ReplicaRule::Refuse,
    };
    let store = sessions::open(&Arc::new(policy), Arc::new(Url(url.into())), Arc::new(SystemClock));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    match runtime.context("starting the runtime")?.block_on(sessions::read(&store)) {
        Reading::Complete(sessions) => Ok(sessions.ids.len()),
        Reading::Unavailable(why) => bail!("{why}"),
    }
}
