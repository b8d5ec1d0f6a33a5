//! What every engine makes of the same queries.

use rstest::rstest;
use workspace_hygiene::observe::Reading;

use super::{Database, Engine, id, live_ids, noon, unavailable};

#[rstest]
#[tokio::test]
async fn exactly_the_sessions_the_query_returns_are_live(
    #[values(Engine::Sqlite, Engine::Postgres, Engine::MariaDb)] engine: Engine,
) {
    let database = Database::start(engine);
    let store = database.store(|_| ());
    let reading = store.live().await;
    live_ids(&reading, &["ada", "bob", "cyd"]);
    let sessions = reading.complete().unwrap();
    assert_eq!((sessions.canary, sessions.freshest, sessions.at), (None, None, noon()));
    assert_eq!(sessions.ids.unusable(), 0);
    for (name, expected) in [("ada", true), ("cyd", true), ("old", false), ("ADA", false), ("ada ", false), ("", false)]
    {
        assert_eq!(store.is_live(&id(name)).await, Reading::Complete(expected), "{name:?}");
    }
    database.admin("update session set deleted_at = '2024-05-01' where id = 'ada'");
    assert_eq!(store.is_live(&id("ada")).await, Reading::Complete(false), "each answer is read anew");
    live_ids(&database.asked("select id from session where id = 'none'").await, &[]);
}

#[rstest]
#[tokio::test]
async fn what_is_no_id_is_refused_and_what_is_one_is_read(
    #[values(Engine::Sqlite, Engine::Postgres, Engine::MariaDb)] engine: Engine,
) {
    let database = Database::start(engine);
    let quarter = if engine == Engine::MariaDb { "cast(1.25 as double)" } else { "cast(1.25 as real)" };
    let bytes = if engine == Engine::Postgres { "'\\x0a0b'::bytea" } else { "x'0a0b'" };
    for (query, parts) in [
        ("select 'secret-a' union all select null".to_owned(), ["NULL", "row 2", "where id is not null"]),
        (format!("select {quarter}"), ["spec.sessions.liveQuery", "returned", "cast(id as"]),
        (format!("select {bytes}"), ["spec.sessions.liveQuery", "hex", ""]),
        ("select id, deleted_at from session".into(), ["spec.sessions.liveQuery", "2 columns", "id, deleted_at"]),
    ] {
        let reading = database.asked(&query).await;
        let parts = parts.map(|part| match (engine, part) {
            (Engine::Sqlite, part) => part,
            (_, "returned") => "returns",
            (Engine::Postgres, "cast(id as") => "id::text",
            (_, part) => part,
        });
        unavailable(&reading, &parts);
        assert!(!reading.unavailable().unwrap().contains("secret-a"), "{reading:?}");
    }
    let long = "x".repeat(256);
    let query = format!(
        "select '' union all select 'ada' union all select 'a/b' union all select '..' union all select '{long}'"
    );
    let reading = database.asked(&query).await;
    let ids = &reading.complete().unwrap_or_else(|| panic!("{reading:?}")).ids;
    assert!(ids.contains(&id("ada")));
    assert_eq!((ids.len(), ids.unusable()), (5, 4));
    live_ids(&database.asked("select 'ada' union all select 'bob' union all select 'ada'").await, &["ada", "bob"]);
    live_ids(&database.asked("select 42 union all select -7").await, &["42", "-7"]);
    let numbers = database.store(|policy| policy.live_query = "select 42 as id union all select -7".into());
    live_ids(&numbers.live().await, &["42", "-7"]);
    assert_eq!(numbers.is_live(&id("42")).await, Reading::Complete(true));
    assert_eq!(numbers.is_live(&id("042")).await, Reading::Complete(false));
    let umlauts = format!("select '{}' union all select '{}'", "Ω-ß", "🦀");
    live_ids(&database.asked(&umlauts).await, &["Ω-ß", "🦀"]);
}

#[rstest]
#[tokio::test]
async fn a_query_may_be_written_in_many_ways(
    #[values(Engine::Sqlite, Engine::Postgres, Engine::MariaDb)] engine: Engine,
) {
    let database = Database::start(engine);
    let live = "select id from session where deleted_at is null";
    for query in [
        format!("{live} -- all of them"),
        format!("{live} /* all of them */"),
        format!("/* first */ {live}\n-- last\n"),
        String::from(
            "with gone(id) as (select id from session where deleted_at is not null) select id from session where id not in (select id from gone)",
        ),
        format!("{live} and id < 'b' union all {live} and id >= 'b'"),
        format!("{live} order by id"),
        format!("select id from ({live} order by id limit 100) as latest"),
    ] {
        let store = database.store(|policy| policy.live_query = query.clone());
        live_ids(&store.live().await, &["ada", "bob", "cyd"]);
        assert_eq!(store.is_live(&id("bob")).await, Reading::Complete(true), "{query}");
        assert_eq!(store.is_live(&id("old")).await, Reading::Complete(false), "{query}");
    }
    let misspelt = database.asked("select id from session where \"deletedat\" is null").await;
    unavailable(&misspelt, &["spec.sessions.liveQuery", "deletedat"]);
    unavailable(&database.asked("selec id from session").await, &["spec.sessions.liveQuery"]);
    unavailable(&database.asked("select id from sesion").await, &["spec.sessions.liveQuery", "sesion"]);
}

#[rstest]
#[tokio::test]
async fn a_query_that_writes_is_refused_and_writes_nothing(
    #[values(Engine::Sqlite, Engine::Postgres, Engine::MariaDb)] engine: Engine,
) {
    let database = Database::start(engine);
    if engine != Engine::Sqlite {
        database.admin(match engine {
            Engine::Postgres => {
                "grant insert, update, delete on session to hygiene; \
                 create function take() returns text language sql as $$ delete from session returning id $$"
            }
            _ => {
                "grant insert, update, delete, execute on sessions.* to hygiene@'%';
                 set global log_bin_trust_function_creators = 1;
                 delimiter //
                 create function sessions.take() returns text modifies sql data
                 begin delete from sessions.session; return 'x'; end//"
            }
        });
    }
    let mut queries =
        vec!["delete from session", "insert into session(id) values ('new')", "update session set deleted_at = null"];
    queries.extend(match engine {
        Engine::Sqlite => vec!["delete from session returning id", "pragma user_version = 3"],
        Engine::Postgres => vec![
            "delete from session returning id",
            "with gone as (delete from session returning id) select id from gone",
            "select take()",
            "select id from session for update",
            "create table x(id text)",
        ],
        Engine::MariaDb => {
            vec!["delete from session returning id", "select sessions.take()", "create table x(id text)"]
        }
    });
    for query in queries {
        unavailable(&database.asked(query).await, &["spec.sessions.liveQuery"]);
    }
    live_ids(&database.asked("select id from session").await, &["ada", "bob", "cyd", "old"]);
}

#[rstest]
#[tokio::test]
async fn canary_freshness_and_known_ids_are_read_in_the_same_snapshot(
    #[values(Engine::Sqlite, Engine::Postgres, Engine::MariaDb)] engine: Engine,
) {
    let database = Database::start(engine);
    for (query, expected) in [("select 1 from session", true), ("select 1 from session where id = 'x'", false)] {
        let store = database.store(|policy| policy.canary_query = Some(query.into()));
        assert_eq!(store.live().await.complete().unwrap().canary, Some(expected));
        match expected {
            true => assert_eq!(store.is_live(&id("old")).await, Reading::Complete(false)),
            false => unavailable(&store.is_live(&id("old")).await, &["spec.sessions.canaryQuery"]),
        }
        assert_eq!(store.is_live(&id("ada")).await, Reading::Complete(true));
    }
    let fresh = |query: &str| database.store(|policy| policy.freshness_query = Some(query.into()));
    let mut noons = vec![
        "select '2024-06-01T14:00:00+02:00'",
        "select '2024-06-01 12:00:00'",
        "select 1717243200",
        "select 1717243200000",
    ];
    noons.extend(match engine {
        Engine::Sqlite => vec!["select datetime(1717243200, 'unixepoch')", "select 1717243200.0"],
        Engine::Postgres => vec![
            "select timestamptz '2024-06-01 14:00:00+02'",
            "select timestamp '2024-06-01 12:00:00'",
            "select 1717243200.0",
            "select to_timestamp(1717243200) as t",
        ],
        Engine::MariaDb => vec![
            "select from_unixtime(1717243200)",
            "select cast('2024-06-01 12:00:00' as datetime)",
            "select 1717243200.0",
        ],
    });
    for query in noons {
        let reading = fresh(query).live().await;
        assert_eq!(
            reading.complete().unwrap_or_else(|| panic!("{query}: {reading:?}")).freshest,
            Some(noon()),
            "{query}"
        );
    }
    for (query, part) in [
        ("select max(deleted_at) from session where id = 'x'", "NULL"),
        ("select deleted_at from session where id = 'x'", "no row"),
        ("select 1 union all select 2", "more than one row"),
        ("select 'yesterday'", "no timestamp"),
    ] {
        unavailable(&fresh(query).live().await, &["spec.sessions.freshnessQuery", part, "ISO 8601"]);
    }
    let known = |query: &str| database.store(|policy| policy.known_query = Some(query.into()));
    let reading = known("select id from session").live().await;
    let ids = reading.complete().unwrap().known.as_ref().unwrap();
    assert!(ids.contains(&id("old")) && ids.contains(&id("OLD")) && !ids.contains(&id("new")));
    let misses = known("select id from session where id <> 'ada'").live().await;
    unavailable(&misses, &["spec.sessions.knownQuery does not return every session"]);
}
