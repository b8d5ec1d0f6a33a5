//! The SQLite session store against real files, with a writer of its own beside it.

mod answers;
mod by_id;
mod files;
mod limits;
mod queries;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;
use tempfile::TempDir;
use workspace_hygiene::clock::Clock;
use workspace_hygiene::names::SessionId;
use workspace_hygiene::observe::Reading;
use workspace_hygiene::observe::sessions::{SessionStore, Sqlite};
use workspace_hygiene::policy::{ReplicaRule, SessionPolicy, StorePolicy};

/// Stands still, and counts who still holds it: every thread of a store does.
pub struct Still(Timestamp);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        self.0
    }
}

pub fn clock() -> Arc<Still> {
    Arc::new(Still("2024-06-01T12:00:00Z".parse().unwrap()))
}

/// A database of sessions in a directory of its own, with the connection that writes it.
pub struct Database {
    pub dir: TempDir,
    pub path: PathBuf,
    pub writer: Connection,
}

impl Database {
    /// `session(id text primary key, deleted_at text)` with three live sessions and a deleted one.
    pub fn new() -> Self {
        Self::with(
            "create table session(id text primary key, deleted_at text);
             insert into session(id) values ('ada'), ('bob'), ('cyd');
             insert into session values ('old', '2024-01-01');",
        )
    }

    pub fn with(sql: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sessions.db");
        let writer = Connection::open(&path).unwrap();
        writer.execute_batch(sql).unwrap();
        Self { dir, path, writer }
    }

    pub fn write(&self, sql: &str) {
        self.writer.execute_batch(sql).unwrap();
    }

    pub fn store(&self) -> Sqlite {
        self.store_with(|_| ())
    }

    pub fn store_with(&self, change: impl FnOnce(&mut SessionPolicy)) -> Sqlite {
        store_at(&self.path, change)
    }

    /// A store whose `liveQuery` is this.
    pub fn asking(&self, live_query: &str) -> Sqlite {
        self.store_with(|p| p.live_query = live_query.into())
    }
}

pub fn store_at(path: &Path, change: impl FnOnce(&mut SessionPolicy)) -> Sqlite {
    let mut policy = policy(path);
    change(&mut policy);
    Sqlite::new(path.into(), policy, clock())
}

pub fn policy(path: &Path) -> SessionPolicy {
    SessionPolicy {
        store: StorePolicy::Sqlite { path: path.into(), beneath: None },
        live_query: "select id from session where deleted_at is null".into(),
        live_by_id_query: None,
        freshness_query: None,
        max_staleness: Duration::from_secs(3600),
        canary_query: None,
        known_query: None,
        minimum_live: 1,
        timeout: Duration::from_secs(20),
        replica: ReplicaRule::Refuse,
    }
}

pub fn id(id: &str) -> SessionId {
    SessionId::new(id)
}

/// Asserts that the reading is unavailable and that its message has each of these parts.
#[track_caller]
pub fn unavailable<T: std::fmt::Debug>(reading: &Reading<T>, parts: &[&str]) {
    let Reading::Unavailable(message) = reading else { panic!("answered {reading:?}, expected {parts:?}") };
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

/// Asserts that exactly these are live.
#[track_caller]
pub fn live_ids(reading: &Reading<workspace_hygiene::observe::LiveSessions>, expected: &[&str]) {
    let Reading::Complete(sessions) = reading else { panic!("{reading:?}") };
    for name in expected {
        assert!(sessions.ids.contains(&id(name)), "{name} is missing");
    }
    assert_eq!(sessions.ids.len(), expected.len() as u64);
}

/// Asks for everything.
pub async fn live(store: &Sqlite) -> Reading<workspace_hygiene::observe::LiveSessions> {
    store.live().await
}
