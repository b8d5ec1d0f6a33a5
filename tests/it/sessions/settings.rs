//! How a connection is described: by its parts, encrypted, over a socket.

use std::fs;
use std::sync::Arc;

use rstest::rstest;
use workspace_hygiene::observe::sessions::SessionStore;
use workspace_hygiene::policy::{AddressPolicy, PartsPolicy, ServerPolicy, StorePolicy, TlsMode, ValuePolicy};
use workspace_hygiene::secrets::SecretKind;

use super::{Database, Engine, key, live_ids, unavailable};
use crate::servers::{Certificate, DATABASE, MariaDb, PASSWORD, Postgres, USER, ca};

fn with(database: &Database, change: impl FnOnce(&mut ServerPolicy)) -> Arc<dyn SessionStore> {
    let mut server = database.server_policy();
    change(&mut server);
    database.store(|policy| {
        policy.store = match database.engine {
            Engine::MariaDb => StorePolicy::Mysql(server),
            _ => StorePolicy::Postgres(server),
        }
    })
}

fn encrypted(engine: Engine, certificate: Certificate) -> Database {
    match engine {
        Engine::MariaDb => Database::on_mariadb(MariaDb::with_tls(certificate)),
        _ => Database::on_postgres(Postgres::with_tls(certificate)),
    }
}

/// What each mode makes of each certificate: `None` where it connects, else a part of what it says.
#[rstest]
#[case(Certificate::Right, [None, None, None])]
#[case(Certificate::WrongName, [Some("for another host name"), None, None])]
#[case(Certificate::OtherAuthority, [Some("configMapKeyRef"), Some("configMapKeyRef"), None])]
#[case(Certificate::Expired, [Some("has expired"), Some("has expired"), None])]
#[tokio::test]
async fn a_mode_checks_what_it_says(
    #[case] certificate: Certificate,
    #[case] expected: [Option<&str>; 3],
    #[values(Engine::Postgres, Engine::MariaDb)] engine: Engine,
) {
    let database = encrypted(engine, certificate);
    database.secrets.set("db-ca/ca.pem", &fs::read_to_string(ca()).unwrap());
    for (mode, expected) in [TlsMode::VerifyFull, TlsMode::VerifyCa, TlsMode::Require].into_iter().zip(expected) {
        let trusted = mode != TlsMode::Require;
        let store = with(&database, |server| {
            server.tls = mode;
            server.ca = trusted.then(|| key(SecretKind::ConfigMap, "db-ca", "ca.pem"));
        });
        let reading = store.live().await;
        match expected {
            None => live_ids(&reading, &["ada", "bob", "cyd"]),
            Some(part) => unavailable(&reading, &[".tls: the server's certificate", part]),
        }
    }
}

#[rstest]
#[tokio::test]
async fn an_authority_that_nobody_named_shows_what_to_add_and_a_server_without_encryption_is_not_spoken_to(
    #[values(Engine::Postgres, Engine::MariaDb)] engine: Engine,
) {
    let database = encrypted(engine, Certificate::Right);
    let public = with(&database, |server| server.tls = TlsMode::VerifyFull);
    unavailable(&public.live().await, &[".tls: ", "not trusted", "tls: {ca: {configMapKeyRef:"]);
    let ca_of = |pem: &str| {
        database.secrets.set("db-ca/ca.pem", pem);
        with(&database, |server| {
            server.tls = TlsMode::VerifyFull;
            server.ca = Some(key(SecretKind::ConfigMap, "db-ca", "ca.pem"));
        })
    };
    for (pem, part) in [("no pem", "holds no certificate"), ("-----BEGIN CERTIFICATE-----\nAAAA\n", "PEM")] {
        unavailable(&ca_of(pem).live().await, &[".tls", part]);
    }
    let plain = Database::start(engine);
    let store = with(&plain, |server| server.tls = TlsMode::Require);
    let said = store.live().await;
    // MariaDB may make a certificate of its own where it is given none.
    if engine == Engine::Postgres {
        unavailable(&said, &["does not offer encryption", "mode: Disable"]);
    }
}

#[rstest]
#[tokio::test]
async fn a_connection_is_made_of_its_parts_as_managed_secrets_hold_them(
    #[values(Engine::Postgres, Engine::MariaDb)] engine: Engine,
) {
    let database = Database::start(engine);
    let port = match engine {
        Engine::Postgres => database.postgres().port(),
        _ => database.mariadb().port(),
    };
    let secret = |name: &str| ValuePolicy::Secret(key(SecretKind::Secret, "db", name));
    let parts = |database: &Database| {
        with(database, |server| {
            server.address = AddressPolicy::Parts(Box::new(PartsPolicy {
                host: secret("host"),
                port: Some(secret("port")),
                database: ValuePolicy::Given(DATABASE.into()),
                user: secret("user"),
                password: Some(key(SecretKind::Secret, "db", "password")),
            }));
        })
    };
    for (name, value) in [
        ("host", "127.0.0.1"),
        ("port", &*format!("{port}\n")),
        ("user", USER),
        ("password", &*format!("{PASSWORD}\n")),
    ] {
        unavailable(&parts(&database).live().await, &["spec.sessions.", ".connection.", "is not there"]);
        database.secrets.set(&format!("db/{name}"), value);
    }
    live_ids(&parts(&database).live().await, &["ada", "bob", "cyd"]);
    database.secrets.set("db/port", "s3cret");
    unavailable(&parts(&database).live().await, &[".connection.port: is no port"]);
    database.secrets.set("db/host", "/run/db.sock");
    database.secrets.set("db/port", "1234");
    let socket = with(&database, |server| {
        server.tls = TlsMode::VerifyFull;
        server.address = AddressPolicy::Parts(Box::new(PartsPolicy {
            host: secret("host"),
            port: None,
            database: ValuePolicy::Given(DATABASE.into()),
            user: secret("user"),
            password: None,
        }));
    });
    unavailable(&socket.live().await, &["is a socket", "mode: Disable"]);
}
