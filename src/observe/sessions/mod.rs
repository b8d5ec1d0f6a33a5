//! Session stores: one trait, one file per engine.

mod answers;
mod freshness;
mod server;
mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;

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
}

/// The store a policy names.
pub fn open(policy: &SessionPolicy, secrets: Arc<dyn Secrets>, clock: Arc<dyn Clock>) -> Arc<dyn SessionStore> {
    match &policy.store {
        StorePolicy::Sqlite { path } => Arc::new(Sqlite::new(path.clone(), policy.clone(), clock)),
        StorePolicy::Postgres(server) => {
            Arc::new(Server::new(Postgres, server.clone(), policy.clone(), secrets, clock))
        }
        StorePolicy::Mysql(server) => Arc::new(Server::new(Mysql, server.clone(), policy.clone(), secrets, clock)),
    }
}
