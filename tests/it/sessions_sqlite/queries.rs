//! What the queries of a spec may be.

use workspace_hygiene::observe::Reading;
use workspace_hygiene::observe::sessions::SessionStore;

use super::{Database, id, live, live_ids, unavailable};

const LIVE: &str = "spec.sessions.liveQuery";

#[tokio::test]
async fn two_columns_are_refused_by_name() {
    let database = Database::new();
    let reading = live(&database.asking("select id, deleted_at from session")).await;
    unavailable(&reading, &["spec.sessions.liveQuery returns 2 columns (id, deleted_at); select the session id alone"]);
    for field in ["canaryQuery", "freshnessQuery", "liveByIDQuery"] {
        let two = Some(
            "select 1 as a, 2 as b where ?1 is null or 1"
                .replace("?1", if field == "liveByIDQuery" { "?1" } else { "1" }),
        );
        let store = database.store_with(|p| match field {
            "canaryQuery" => p.canary_query = two,
            "freshnessQuery" => p.freshness_query = two,
            _ => p.live_by_id_query = two,
        });
        unavailable(&live(&store).await, &[field, "2 columns (a, b)"]);
    }
}

#[tokio::test]
async fn nothing_but_a_single_select_is_run() {
    let database = Database::new();
    let before = std::fs::read(&database.path).unwrap();
    let other = database.dir.path().join("other.db");
    let attach = format!("attach '{}' as other", other.display());
    for (query, part) in [
        ("select id from session; delete from session", "does more than read"),
        ("select id from session; select id from session", "more than one statement"),
        ("delete from session returning id", "does more than read"),
        ("update session set id = id returning id", "does more than read"),
        ("drop table session", "does more than read"),
        ("create temp table t(id)", "does more than read"),
        ("pragma user_version", "does more than read"),
        ("pragma journal_mode = wal", "does more than read"),
        ("select name from pragma_table_info('session')", "does more than read"),
        (attach.as_str(), "does more than read"),
        ("vacuum", "does more than read"),
        ("commit", "does more than read"),
        ("explain select id from session", "columns"),
        ("select load_extension('x')", "load_extension"),
        ("select id from session where id = ?1", "1 parameters, but 0"),
        ("select id from session where id = :id", "without any"),
        ("select id from sessions", "no such table: sessions"),
        ("select id from session) select (1", "syntax error"),
        ("select id from session\0 where deleted_at is null", "NUL"),
        ("-- nothing", "empty"),
    ] {
        unavailable(&live(&database.asking(query)).await, &[LIVE, part]);
        unavailable(&database.asking(query).is_live(&id("old")).await, &[LIVE]);
    }
    assert_eq!(std::fs::read(&database.path).unwrap(), before);
    assert!(!other.exists());
}

#[tokio::test]
async fn a_misspelt_column_in_double_quotes_is_an_error_and_not_one_id_for_all() {
    let database = Database::new();
    unavailable(&live(&database.asking(r#"select "idd" from session"#)).await, &[LIVE, "no such column", "idd"]);
}

#[tokio::test]
async fn a_comment_at_the_end_hides_nothing_that_is_put_behind_it() {
    let database = Database::new();
    for comment in ["-- all", "-- all\n", "/* all", "/* all */", "--", "/* "] {
        let store = database.asking(&format!("select id from session where deleted_at is null {comment}"));
        live_ids(&live(&store).await, &["ada", "bob", "cyd"]);
        assert_eq!(store.is_live(&id("bob")).await, Reading::Complete(true), "{comment:?}");
        assert_eq!(store.is_live(&id("old")).await, Reading::Complete(false), "{comment:?}");
    }
}

#[tokio::test]
async fn a_query_may_use_the_names_it_likes() {
    let database = Database::new();
    database.write("create table live(id text); insert into live values ('ada')");
    for query in [
        "select id from live",
        "with live as (select 'ada' as id) select id from live",
        "with recursive live(id) as (select 'ada' union select id from live) select id from live order by id limit 5",
        "select id from session where id = 'ada' union all select id from session where id = 'nope'",
        "select value from json_each('[\"ada\"]')",
    ] {
        let store = database.asking(query);
        live_ids(&live(&store).await, &["ada"]);
        assert_eq!(store.is_live(&id("ada")).await, Reading::Complete(true), "{query}");
        assert_eq!(store.is_live(&id("bob")).await, Reading::Complete(false), "{query}");
    }
}

#[tokio::test]
async fn a_query_that_answers_differently_each_time_is_not_believed() {
    let database = Database::new();
    let query = "with recursive k(i) as (select 1 union all select i + 1 from k limit (select abs(random()) % 100000)) \
                 select 'id-' || i from k";
    unavailable(&live(&database.asking(query)).await, &[LIVE, "rows, but count(*) says", "integrity_check"]);
}

#[tokio::test]
async fn a_view_cannot_smuggle_in_what_a_query_may_not_do() {
    let database = Database::new();
    database.write("create view sly as select id from session where load_extension('/tmp/x') is null");
    unavailable(&live(&database.asking("select id from sly")).await, &[LIVE]);
}
