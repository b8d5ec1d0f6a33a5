//! The query that answers for one id.

use rstest::rstest;
use workspace_hygiene::observe::Reading;

use super::{Database, Engine, id, unavailable};

fn asking(database: &Database, by_id: &str) -> std::sync::Arc<dyn workspace_hygiene::observe::sessions::SessionStore> {
    database.store(|policy| policy.live_by_id_query = Some(by_id.replace("{}", database.parameter())))
}

#[rstest]
#[tokio::test]
async fn it_is_proved_against_the_rows_and_asked_anew_each_time(
    #[values(Engine::Sqlite, Engine::Postgres, Engine::MariaDb)] engine: Engine,
) {
    let database = Database::start(engine);
    let right = asking(&database, "select 1 from session where id = {} and deleted_at is null");
    assert!(right.live().await.complete().is_some());
    for (name, expected) in [("ada", true), ("old", false), ("nobody", false)] {
        assert_eq!(right.is_live(&id(name)).await, Reading::Complete(expected), "{name:?}");
    }
    database.admin("update session set deleted_at = null where id = 'old'");
    assert_eq!(right.is_live(&id("old")).await, Reading::Complete(true));
    let field = "spec.sessions.liveByIDQuery";
    for (query, parts) in [
        ("select 1 from session where id = {} and deleted_at is not null", [field, "does not find"]),
        ("select 1 from session where {} <> 'x'", [field, "finds a session that cannot exist"]),
        ("select count(*) from session where id = {}", [field, "finds a session that cannot exist"]),
        ("select 1 from session where id = 'ada'", [field, "parameter"]),
        ("select 1 from sesion where id = {}", [field, "sesion"]),
    ] {
        unavailable(&asking(&database, query).live().await, &parts);
    }
    // Before a full reading proved it, its word that a session is gone is not enough.
    let wrong = asking(&database, "select 1 from session where id = {} and id < 'a'");
    assert_eq!(wrong.is_live(&id("ada")).await, Reading::Complete(true));
}

/// A directory's name need not be what the column holds: it is no uuid, no number, or a number too large.
#[rstest]
#[case::uuid("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "$1::uuid")]
#[case::inferred("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "$1")]
#[case::number("smallint", "42", "$1")]
#[case::enumeration("colour", "red", "$1")]
#[tokio::test]
async fn an_id_that_the_column_cannot_hold_is_not_live(
    #[case] kind: &str,
    #[case] live: &str,
    #[case] parameter: &str,
) {
    let database = Database::start(Engine::Postgres);
    database.admin(&format!(
        "create type colour as enum ('red', 'blue'); create table typed(id {kind} primary key); \
         insert into typed values ('{live}'); grant select on typed to hygiene"
    ));
    let store = database.store(|policy| {
        policy.live_query = "select id from typed".into();
        policy.live_by_id_query = Some(format!("select 1 from typed where id = {parameter}"));
    });
    let reading = store.live().await;
    assert!(reading.complete().is_some_and(|sessions| sessions.ids.contains(&id(live))), "{reading:?}");
    assert_eq!(store.is_live(&id(live)).await, Reading::Complete(true));
    for name in ["shared-cache", "", "99999999999999999999", "é"] {
        assert_eq!(store.is_live(&id(name)).await, Reading::Complete(false), "{name:?}");
    }
}

/// Without a query by id the id is looked for among the rows, byte for byte, whatever the column's bytes are.
#[tokio::test]
async fn an_id_is_found_in_every_character_set_and_in_its_own_spelling_alone() {
    let database = Database::start(Engine::MariaDb);
    let uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    for (kind, live) in [
        ("varchar(40) character set utf8mb4", "é"),
        ("varchar(40) character set utf8mb3", "é"),
        ("varchar(40) character set latin1", "é"),
        ("varchar(40) character set utf16", "é"),
        ("char(40) character set ascii", "ada"),
        ("enum('Ada', 'red') character set utf8mb4", "Ada"),
        ("uuid", uuid),
    ] {
        database.admin(&format!(
            "set names utf8mb4; create or replace table typed(id {kind}); insert into typed values ('{live}'); \
             grant select on typed to hygiene@'%'"
        ));
        let store = database.store(|policy| policy.live_query = "select id from typed".into());
        let reading = store.live().await;
        assert!(reading.complete().is_some_and(|sessions| sessions.ids.contains(&id(live))), "{kind}: {reading:?}");
        assert_eq!(store.is_live(&id(live)).await, Reading::Complete(true), "{kind}");
        for name in ["É", "e", "e\u{301}", "é ", "ADA", "ada ", "Ada ", "42", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"]
        {
            assert_eq!(store.is_live(&id(name)).await, Reading::Complete(false), "{kind}: {name:?}");
        }
    }
}
