//! What each kind of value becomes.

use workspace_hygiene::observe::Reading;
use workspace_hygiene::observe::sessions::SessionStore;

use super::{Database, clock, id, live, live_ids, unavailable};
use workspace_hygiene::clock::Clock;

#[tokio::test]
async fn exactly_the_sessions_the_query_returns_are_live() {
    let database = Database::new();
    let store = database.store();
    let reading = live(&store).await;
    live_ids(&reading, &["ada", "bob", "cyd"]);
    let sessions = reading.complete().unwrap();
    assert_eq!((sessions.canary, sessions.freshest, sessions.at), (None, None, clock().now()));
    assert_eq!(sessions.ids.unusable(), 0);
    for (name, expected) in [("ada", true), ("cyd", true), ("old", false), ("ADA", false), ("ada ", false), ("", false)]
    {
        assert_eq!(store.is_live(&id(name)).await, Reading::Complete(expected), "{name:?}");
    }
}

#[tokio::test]
async fn a_store_without_live_sessions_answers_that_there_are_none() {
    let database = Database::with("create table session(id text, deleted_at text)");
    live_ids(&live(&database.store()).await, &[]);
}

#[tokio::test]
async fn an_integer_id_is_its_decimal_text_in_both_queries() {
    let database =
        Database::with("create table session(id integer primary key); insert into session values (42), (-7)");
    let store = database.asking("select id from session");
    live_ids(&live(&store).await, &["42", "-7"]);
    assert_eq!(store.is_live(&id("42")).await, Reading::Complete(true));
    assert_eq!(store.is_live(&id("042")).await, Reading::Complete(false));
    let computed = database.asking("select id + 0 from session"); // no affinity: 42 = '42' is false without a cast
    assert_eq!(computed.is_live(&id("42")).await, Reading::Complete(true));
    live_ids(&live(&computed).await, &["42", "-7"]);
}

#[tokio::test]
async fn null_real_blob_and_broken_text_are_refused_with_their_row_and_a_way_out() {
    let database = Database::new();
    for (value, parts) in [
        ("null", ["NULL", "row 3", "where id is not null"]),
        ("1.5", ["REAL", "row 3", "cast(id as text)"]),
        ("x'0a0b'", ["BLOB", "row 3", "lower(hex(id))"]),
        ("cast(x'ff41' as text)", ["not valid Unicode", "row 3", "spec.sessions.liveQuery"]),
        ("char(65533)", ["not valid Unicode", "row 3", "repair"]),
    ] {
        let query = format!("values ('secret-a'), ('secret-b'), ({value}), ('secret-c')");
        let reading = live(&database.asking(&query)).await;
        unavailable(&reading, &parts);
        assert!(!reading.unavailable().unwrap().contains("secret"), "{reading:?}");
    }
}

#[tokio::test]
async fn ids_that_cannot_be_a_directory_name_are_counted_and_the_others_still_read() {
    let database = Database::new();
    let long = "x".repeat(256);
    let query = format!("values (''), ('ada'), ('a/b'), ('..'), ('{long}'), (cast(x'610062' as text))");
    let reading = live(&database.asking(&query)).await;
    let ids = &reading.complete().unwrap_or_else(|| panic!("{reading:?}")).ids;
    assert!(ids.contains(&id("ada")));
    assert_eq!((ids.len(), ids.unusable()), (6, 5));
}

#[tokio::test]
async fn a_session_returned_twice_is_counted_once() {
    let database = Database::new();
    live_ids(&live(&database.asking("values ('ada'), ('bob'), ('ada')")).await, &["ada", "bob"]);
}

#[tokio::test]
async fn the_canary_says_whether_there_was_a_row() {
    let database = Database::new();
    for (query, expected) in [("select 1 from session", true), ("select 1 from session where id = 'x'", false)] {
        let store = database.store_with(|p| p.canary_query = Some(query.into()));
        assert_eq!(live(&store).await.complete().unwrap().canary, Some(expected));
    }
}

#[tokio::test]
async fn without_its_canary_a_database_is_not_believed_that_a_session_is_gone() {
    let database = Database::new();
    let store = database.store_with(|p| p.canary_query = Some("select 1 from session where id = 'canary'".into()));
    assert_eq!(store.is_live(&id("ada")).await, Reading::Complete(true));
    unavailable(&store.is_live(&id("old")).await, &["spec.sessions.canaryQuery"]);
}

#[tokio::test]
async fn freshness_is_one_instant_however_it_is_written() {
    let database = Database::new();
    let fresh = |query: &str| database.store_with(|p| p.freshness_query = Some(query.into()));
    let noon = clock().now();
    for query in [
        "select '2024-06-01T14:00:00+02:00'",
        "select '2024-06-01 12:00:00'",
        "select datetime(1717243200, 'unixepoch')",
        "select 1717243200",
        "select 1717243200000",
        "select 1717243200.0",
    ] {
        assert_eq!(live(&fresh(query)).await.complete().unwrap().freshest, Some(noon), "{query}");
    }
    for (query, part) in [
        ("select max(deleted_at) from session where id = 'x'", "NULL"),
        ("select deleted_at from session where id = 'x'", "no row"),
        ("values (1), (2)", "more than one row"),
        ("select 'yesterday'", "no timestamp"),
        ("select x'00'", "no timestamp"),
    ] {
        unavailable(&live(&fresh(query)).await, &["spec.sessions.freshnessQuery", part, "ISO 8601"]);
    }
}
