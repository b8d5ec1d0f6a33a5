//! Session stores: one trait, one file per engine.

mod answers;
mod freshness;
mod server;
mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::JoinSet;

use super::{LiveSessions, Reading};
use crate::clock::Clock;
use crate::names::SessionId;
use crate::policy::{SessionPolicy, StorePolicy};
use crate::secrets::Secrets;

use server::{Mysql, Postgres, Server};
pub use sqlite::Sqlite;

/// A store of session rows.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// The live sessions, the canary and the freshness, all from one read-only snapshot of the store.
    async fn live(&self) -> Reading<LiveSessions>;

    /// A fresh answer whether this one session is live, by `liveByIDQuery` or the wrapped `liveQuery`.
    async fn is_live(&self, id: &SessionId) -> Reading<bool>;

    /// The same for several sessions, in their order; one connection and one snapshot where the store is a server.
    async fn are_live(&self, ids: &[SessionId]) -> Reading<Vec<bool>> {
        let mut live = Vec::with_capacity(ids.len());
        for id in ids {
            match self.is_live(id).await {
                Reading::Complete(is_live) => live.push(is_live),
                Reading::Unavailable(why) => return Reading::Unavailable(why),
            }
        }
        Reading::Complete(live)
    }
}

/// Reads the live sessions on a worker of the runtime: the thread that reads a connection then also takes its rows, where
/// each packet would else be a switch of threads. Dropped, it stops.
pub async fn read(store: &Arc<dyn SessionStore>) -> Reading<LiveSessions> {
    let (mut reading, store) = (JoinSet::new(), Arc::clone(store));
    reading.spawn(async move { store.live().await });
    match reading.join_next().await {
        Some(Ok(read)) => read,
        Some(Err(fault)) if fault.is_panic() => std::panic::resume_unwind(fault.into_panic()),
        _ => Reading::Unavailable("it was given up".into()),
    }
}

/// The store a policy names.
pub fn open(policy: &Arc<SessionPolicy>, secrets: Arc<dyn Secrets>, clock: Arc<dyn Clock>) -> Arc<dyn SessionStore> {
    match &policy.store {
        StorePolicy::Sqlite { path, .. } => Arc::new(Sqlite::new(path.clone(), policy.clone(), clock)),
        StorePolicy::Postgres(server) => {
            Arc::new(Server::new(Postgres, server.clone(), policy.clone(), secrets, clock))
        }
        StorePolicy::Mysql(server) => Arc::new(Server::new(Mysql, server.clone(), policy.clone(), secrets, clock)),
    }
}
