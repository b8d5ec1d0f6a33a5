//! Sessions from a SQLite database file: opened read-only for every call, read in one snapshot, stopped in time, off the
//! runtime's threads. It must never create, lock for writing or change a database, and never answer with less than all.
//!
//! What `liveQuery` may return in its one column, and what is made of it:
//!
//! | value | handling |
//! | --- | --- |
//! | TEXT | the id, exactly as stored: no trimming, no change of case |
//! | INTEGER | the id is its decimal text |
//! | empty string, `a/b`, more than 255 bytes | counted as an id that cannot be a directory name; the planner decides |
//! | the same id twice | counted once |
//! | NULL | the store is unavailable: a session without an id is a session nobody can find |
//! | REAL, BLOB | unavailable: their text form is a guess; cast in the query |
//! | TEXT that is not Unicode | unavailable: it cannot be compared with a directory name |
//! | two columns | unavailable: which of them is the id would be a guess |
//!
//! "Unavailable" is for the whole reading, since an id left out would make a live session an orphan.

mod call;
mod database;
mod fault;
mod file;
mod query;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::SessionStore;
use super::answers::AnswerFault;
use crate::clock::Clock;
use crate::names::SessionId;
use crate::observe::{LiveSessions, Reading};
use crate::policy::{SessionPolicy, StorePolicy};
use call::Call;
use database::{Database, Symlinks};
use fault::Fault;
use file::{FileSystemOf, Identity};
use query::ById;

/// A SQLite database file as a session store.
pub struct Sqlite {
    store: Arc<Store>,
}

/// What the threads that run queries share with the handle.
struct Store {
    path: PathBuf,
    policy: Arc<SessionPolicy>,
    clock: Arc<dyn Clock>,
    file_system: FileSystemOf,
    proof: Mutex<Proof>,
    /// Threads nobody waits for any more.
    abandoned: AtomicUsize,
}

/// What the last full reading proved, for the answers about single ids that rely on it.
#[derive(Clone, Copy, Default)]
struct Proof {
    /// The file it read.
    identity: Option<Identity>,
    /// Whether `liveByIDQuery` found ids that were live.
    by_id: bool,
}

impl Sqlite {
    /// A store that reads the database file at `path`, as `policy` lets it be reached. Nothing is opened before the first call.
    pub fn new(path: PathBuf, policy: impl Into<Arc<SessionPolicy>>, clock: Arc<dyn Clock>) -> Self {
        Self::on(path, policy.into(), clock, file::file_system)
    }

    fn on(path: PathBuf, policy: Arc<SessionPolicy>, clock: Arc<dyn Clock>, file_system: FileSystemOf) -> Self {
        // SQLite gives meaning to some relative names: `file:…` is a URI (with `immutable`), `:memory:` is no file.
        let path = if path.is_absolute() { path } else { Path::new(".").join(path) };
        let (proof, abandoned) = (Mutex::default(), AtomicUsize::new(0));
        Self { store: Arc::new(Store { path, policy, clock, file_system, proof, abandoned }) }
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Store, &Arc<Call>) -> Result<T, Fault> + Send + 'static,
    ) -> Reading<T> {
        call::run(Arc::clone(&self.store), job).await.into()
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite").field("path", &self.store.path).field("policy", &self.store.policy).finish()
    }
}

#[async_trait]
impl SessionStore for Sqlite {
    async fn live(&self) -> Reading<LiveSessions> {
        self.run(|store, call| {
            let read = store.live(call);
            let mut proof = store.proof();
            match &read {
                Ok((_, proved)) => *proof = *proved,
                // The identity stays: a file that came in its place must not be believed before it was read in full.
                Err(_) => proof.by_id = false,
            }
            read.map(|(sessions, _)| sessions)
        })
        .await
    }

    async fn is_live(&self, id: &SessionId) -> Reading<bool> {
        let id = id.clone();
        self.run(move |store, call| store.is_live(call, &id)).await
    }
}

impl Store {
    fn proof(&self) -> MutexGuard<'_, Proof> {
        self.proof.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, call: &Arc<Call>) -> Result<Database, Fault> {
        let (path, symlinks) = match &self.policy.store {
            StorePolicy::Sqlite { beneath: Some(base), .. } => (file::below(base, &self.path)?, Symlinks::Refused),
            _ => (self.path.clone(), Symlinks::Followed),
        };
        Database::open(&path, call, self.file_system, symlinks)
    }

    /// Everything in one snapshot: canary, freshness, the rows, their count, and the proof of the query by id.
    fn live(&self, call: &Arc<Call>) -> Result<(LiveSessions, Proof), Fault> {
        let at = self.clock.now(); // before the snapshot: no answer may look fresher than it is
        let database = self.open(call)?;
        let mut by_id = ById::prepare(&database, &self.policy)?; // a faulty spec is told before the rows are streamed
        let canary = self.canary(&database)?;
        let freshest = match &self.policy.freshness_query {
            Some(sql) => Some(query::freshest(&database, sql)?),
            None => None,
        };
        let streamed = query::live_ids(&database, &self.policy.live_query)?;
        by_id.validate(&streamed)?;
        let known = match &self.policy.known_query {
            Some(sql) => Some(query::known_ids(&database, sql, &streamed.ids)?),
            None => None,
        };
        database.still_there()?;
        let proof = Proof { identity: Some(database.identity()), by_id: !streamed.sample.is_empty() };
        let identity = database.identity().to_string();
        Ok((LiveSessions { ids: streamed.ids, canary, freshest, at, database: identity, position: None, known }, proof))
    }

    /// Opens anew each time: a connection that was kept would go on reading a file that has been replaced.
    fn is_live(&self, call: &Arc<Call>, id: &SessionId) -> Result<bool, Fault> {
        let database = self.open(call)?;
        if ById::prepare(&database, &self.policy)?.finds(id)? {
            return Ok(true);
        }
        // "Not live" is the answer that lets somebody's work go, so it needs more than one query's word.
        if self.canary(&database)? == Some(false) {
            return Err(AnswerFault::CanaryGone.into());
        }
        let proof = *self.proof();
        if !proof.by_id
            && self.policy.live_by_id_query.is_some()
            && ById::wrapped(&database, &self.policy)?.finds(id)?
        {
            return Ok(true);
        }
        database.still_there()?;
        match proof.identity {
            Some(read) if read != database.identity() => Err(Fault::Replaced { path: self.path.clone() }),
            _ => Ok(false),
        }
    }

    fn canary(&self, database: &Database) -> Result<Option<bool>, Fault> {
        self.policy.canary_query.as_ref().map(|sql| query::canary(database, sql)).transpose()
    }
}

#[cfg(test)]
mod tests;
