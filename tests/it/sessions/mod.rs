//! Session stores on real databases: what is the same for every engine, and what each has of its own.

mod binary;
mod by_id;
mod conformance;
mod refusals;
mod second_reading;
mod settings;
mod sweeps;
mod which_server;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use secrecy::SecretString;
use workspace_hygiene::clock::Clock;
use workspace_hygiene::names::SessionId;
use workspace_hygiene::observe::sessions::{SessionStore, open};
use workspace_hygiene::observe::{LiveSessions, Reading};
use workspace_hygiene::policy::{AddressPolicy, ReplicaRule, ServerPolicy, SessionPolicy, StorePolicy, TlsMode};
use workspace_hygiene::secrets::{SecretKey, SecretKind, Secrets};

use crate::servers::{MariaDb, Postgres};

/// The time at which every store of these tests reads.
pub fn noon() -> Timestamp {
    "2024-06-01T12:00:00Z".parse().unwrap()
}

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        noon()
    }
}

/// Values by name and key, as `name/key`.
#[derive(Clone, Default)]
pub struct Known(Arc<Mutex<BTreeMap<String, String>>>);

impl Known {
    pub fn set(&self, key: &str, value: &str) {
        self.0.lock().unwrap().insert(key.into(), value.into());
    }
}

#[async_trait]
impl Secrets for Known {
    async fn read(&self, key: &SecretKey) -> Result<SecretString, String> {
        let known = self.0.lock().unwrap();
        let value = known.get(&format!("{}/{}", key.name, key.key));
        value.map(|value| value.clone().into()).ok_or_else(|| format!("{key} is not there"))
    }
}

pub fn key(kind: SecretKind, name: &str, key: &str) -> SecretKey {
    SecretKey { kind, namespace: "default".into(), name: name.into(), key: key.into() }
}

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
    MariaDb,
}

enum Server {
    Sqlite(tempfile::TempDir),
    Postgres(Box<Postgres>),
    MariaDb(Box<MariaDb>),
}

/// A database with the table `session`: `ada`, `bob` and `cyd` are live, `old` is deleted.
pub struct Database {
    pub engine: Engine,
    server: Server,
    pub secrets: Known,
    /// Another address than the server's own: that of a proxy or of another user.
    url: Option<String>,
}

impl Database {
    pub fn start(engine: Engine) -> Self {
        let server = match engine {
            Engine::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                let sql = "create table session(id text primary key, deleted_at text, updated_at text default current_timestamp);
                           insert into session(id, deleted_at) values ('ada', null), ('bob', null), ('cyd', null), ('old', '2024-01-01')";
                rusqlite::Connection::open(folder.path().join("sessions.db")).unwrap().execute_batch(sql).unwrap();
                Server::Sqlite(folder)
            }
            Engine::Postgres => Server::Postgres(Box::new(Postgres::start())),
            Engine::MariaDb => return Self::on_mariadb(MariaDb::start()),
        };
        Self { engine, server, secrets: Known::default(), url: None }
    }

    pub fn on_postgres(server: Postgres) -> Self {
        let server = Server::Postgres(Box::new(server));
        Self { engine: Engine::Postgres, server, secrets: Known::default(), url: None }
    }

    pub fn on_mariadb(server: MariaDb) -> Self {
        server.admin("grant slave monitor on *.* to hygiene@'%', open@'%'");
        let server = Server::MariaDb(Box::new(server));
        Self { engine: Engine::MariaDb, server, secrets: Known::default(), url: None }
    }

    pub fn postgres(&self) -> &Postgres {
        match &self.server {
            Server::Postgres(server) => server,
            _ => panic!("this is no PostgreSQL"),
        }
    }

    pub fn mariadb(&self) -> &MariaDb {
        match &self.server {
            Server::MariaDb(server) => server,
            _ => panic!("this is no MariaDB"),
        }
    }

    /// Runs statements as the owner of everything.
    pub fn admin(&self, sql: &str) {
        match &self.server {
            Server::Sqlite(_) => rusqlite::Connection::open(self.file()).unwrap().execute_batch(sql).unwrap(),
            Server::Postgres(server) => server.admin(sql),
            Server::MariaDb(server) => server.admin(sql),
        }
    }

    fn file(&self) -> PathBuf {
        match &self.server {
            Server::Sqlite(folder) => folder.path().join("sessions.db"),
            _ => panic!("this is no file"),
        }
    }

    /// The same database by another address.
    pub fn at(mut self, url: String) -> Self {
        self.url = Some(url);
        self
    }

    pub fn url(&self) -> String {
        let own = || match &self.server {
            Server::Sqlite(_) => String::new(),
            Server::Postgres(server) => server.url(),
            Server::MariaDb(server) => server.url(),
        };
        self.url.clone().unwrap_or_else(own)
    }

    pub fn server_policy(&self) -> ServerPolicy {
        self.secrets.set("db/url", &self.url());
        ServerPolicy {
            address: AddressPolicy::Url(key(SecretKind::Secret, "db", "url")),
            tls: TlsMode::Disable,
            ca: None,
        }
    }

    /// A store with the policy changed.
    pub fn store(&self, change: impl FnOnce(&mut SessionPolicy)) -> Arc<dyn SessionStore> {
        let mut policy = SessionPolicy {
            store: match self.engine {
                Engine::Sqlite => StorePolicy::Sqlite { path: self.file(), beneath: None },
                Engine::Postgres => StorePolicy::Postgres(self.server_policy()),
                Engine::MariaDb => StorePolicy::Mysql(self.server_policy()),
            },
            live_query: "select id from session where deleted_at is null".into(),
            live_by_id_query: None,
            freshness_query: None,
            max_staleness: Duration::from_secs(3600),
            canary_query: None,
            known_query: None,
            minimum_live: 1,
            timeout: Duration::from_secs(60),
            replica: ReplicaRule::Refuse,
        };
        change(&mut policy);
        open(&Arc::new(policy), Arc::new(self.secrets.clone()), Arc::new(Noon))
    }

    /// What a store answers whose `liveQuery` is this.
    pub async fn asked(&self, live_query: &str) -> Reading<LiveSessions> {
        self.store(|policy| policy.live_query = live_query.into()).live().await
    }

    /// The parameter of a query by id.
    pub fn parameter(&self) -> &'static str {
        match self.engine {
            Engine::Sqlite => "?1",
            Engine::Postgres => "$1",
            Engine::MariaDb => "?",
        }
    }
}

pub fn id(id: &str) -> SessionId {
    SessionId::new(id)
}

/// Asserts that the reading is unavailable and that its message has each of these parts, and no part of a secret.
#[track_caller]
pub fn unavailable<T: fmt::Debug>(reading: &Reading<T>, parts: &[&str]) {
    let Reading::Unavailable(message) = reading else { panic!("answered {reading:?}, expected {parts:?}") };
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
    assert!(!message.contains("s3cret"), "{message}");
}

/// Asserts that exactly these are live.
#[track_caller]
pub fn live_ids(reading: &Reading<LiveSessions>, expected: &[&str]) {
    let Reading::Complete(sessions) = reading else { panic!("{reading:?}") };
    for name in expected {
        assert!(sessions.ids.contains(&id(name)), "{name} is missing");
    }
    assert_eq!(sessions.ids.len(), expected.len() as u64);
}
