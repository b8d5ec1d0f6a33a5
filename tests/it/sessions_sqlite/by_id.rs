//! The answer about one session.

use workspace_hygiene::observe::Reading;
use workspace_hygiene::observe::sessions::{SessionStore, Sqlite};

use super::{Database, id, live, live_ids, unavailable};

const FIELD: &str = "spec.sessions.liveByIDQuery";

fn by_id(database: &Database, query: &str) -> Sqlite {
    database.store_with(|p| p.live_by_id_query = Some(query.into()))
}

#[tokio::test]
async fn the_one_parameter_may_be_spelt_in_any_way() {
    let database = Database::new();
    for parameter in ["?", "?1", "$1", ":id", "@id"] {
        let store =
            by_id(&database, &format!("select 1 from session where id = {parameter} and deleted_at is null -- one"));
        live_ids(&live(&store).await, &["ada", "bob", "cyd"]);
        assert_eq!(store.is_live(&id("ada")).await, Reading::Complete(true), "{parameter}");
        assert_eq!(store.is_live(&id("old")).await, Reading::Complete(false), "{parameter}");
    }
    for (query, found) in
        [("select 1", "0 parameters"), ("select 1 where ? = ?", "2 parameters"), ("select ?2", "2 parameters")]
    {
        unavailable(&live(&by_id(&database, query)).await, &[FIELD, found, "?1"]);
        unavailable(&by_id(&database, query).is_live(&id("ada")).await, &[FIELD, found]);
    }
}

#[tokio::test]
async fn a_query_by_id_that_misses_a_live_session_is_found_out() {
    let database = Database::new();
    for query in [
        "select 1 from session where id = upper(?1)",
        "select 1 from session where id = ?1 and deleted_at is not null",
        "select 1 from session where rowid = ?1",
        "select 1 from session where id = ?1 and id <> 'ada'", // the first
        "select 1 from session where id = ?1 and id <> 'bob'", // between
        "select 1 from session where id = ?1 and id <> 'cyd'", // the last
    ] {
        unavailable(&live(&by_id(&database, query)).await, &[FIELD, "does not find a session", "same snapshot"]);
    }
}

#[tokio::test]
async fn a_query_by_id_that_finds_anything_is_found_out() {
    let database = Database::new();
    for query in ["select count(*) from session where id = ?1", "select exists(select 1 from session where id = ?1)"] {
        unavailable(&live(&by_id(&database, query)).await, &[FIELD, "cannot exist", "count(*)"]);
    }
}

#[tokio::test]
async fn a_session_may_carry_the_name_that_no_session_should_have() {
    let database = Database::new();
    database.write("insert into session(id) values ('hygiene-no-such-session')");
    live_ids(&live(&database.store()).await, &["ada", "bob", "cyd", "hygiene-no-such-session"]);
}

#[tokio::test]
async fn an_unproved_query_by_id_never_says_alone_that_a_session_is_gone() {
    let database = Database::new();
    let store = by_id(&database, "select 1 from session where id = upper(?1)");
    assert_eq!(store.is_live(&id("ada")).await, Reading::Complete(true));
    assert_eq!(store.is_live(&id("old")).await, Reading::Complete(false));
    unavailable(&live(&store).await, &[FIELD]);
    assert_eq!(store.is_live(&id("ada")).await, Reading::Complete(true));
}

#[tokio::test]
async fn a_reading_without_live_sessions_proves_no_query_by_id() {
    let database = Database::with("create table session(id text, deleted_at text)");
    let store = by_id(&database, "select 1 from session where id = upper(?1)");
    live_ids(&live(&store).await, &[]);
    database.write("insert into session(id) values ('new')");
    assert_eq!(store.is_live(&id("new")).await, Reading::Complete(true));
}

#[tokio::test]
async fn a_query_by_id_that_stopped_being_right_is_not_relied_on_any_more() {
    let database = Database::new();
    database.write("alter table session add column key text; update session set key = id");
    let store = by_id(&database, "select 1 from session where key = ?1");
    live_ids(&live(&store).await, &["ada", "bob", "cyd"]);
    database.write("update session set key = 'v2-' || id");
    unavailable(&live(&store).await, &[FIELD, "does not find a session"]);
    assert_eq!(store.is_live(&id("ada")).await, Reading::Complete(true));
}

#[tokio::test]
async fn a_session_that_comes_back_is_seen_by_the_next_answer() {
    let database = Database::new();
    let proved = by_id(&database, "select 1 from session where id = ?1 and deleted_at is null");
    for store in [&database.store(), &proved] {
        live_ids(&live(store).await, &["ada", "bob", "cyd"]);
        assert_eq!(store.is_live(&id("old")).await, Reading::Complete(false));
        database.write("update session set deleted_at = null where id = 'old'");
        assert_eq!(store.is_live(&id("old")).await, Reading::Complete(true));
        database.write("update session set deleted_at = 'now' where id = 'old'");
        assert_eq!(store.is_live(&id("old")).await, Reading::Complete(false));
    }
}

#[tokio::test]
async fn a_name_in_the_id_is_bound_and_never_part_of_the_query() {
    let database = Database::new();
    assert_eq!(database.store().is_live(&id("x' or '1'='1")).await, Reading::Complete(false));
}
