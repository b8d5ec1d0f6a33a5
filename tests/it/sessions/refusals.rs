//! Servers that stop answering, refuse, or hide rows: each time the sessions are unavailable, and the message says why.

use std::time::{Duration, Instant};

use rstest::rstest;
use workspace_hygiene::observe::Reading;

use super::{Database, Engine, id, live_ids, unavailable};
use crate::servers::{DATABASE, PASSWORD, Proxy, USER};

/// A query that runs for minutes.
fn endless(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "select id from session where pg_sleep(300) is not null",
        // One that does not look whether its client is still there, as sleep() does.
        _ => "select id from session where benchmark(1000000000000, md5(id)) = 0",
    }
}

/// How many statements of our user run on the server.
fn running(database: &Database) -> String {
    match database.engine {
        Engine::Postgres => database
            .postgres()
            .query("select count(*) from pg_stat_activity where usename = 'hygiene' and state <> 'idle'"),
        _ => database
            .mariadb()
            .query("select count(*) from information_schema.processlist where user = 'hygiene' and command <> 'Sleep'"),
    }
    .trim()
    .to_owned()
}

/// Waits for the endless query itself.
async fn until_it_runs(database: &Database) {
    let begun = Instant::now();
    let runs = || {
        match database.engine {
        Engine::Postgres => database.postgres().query(
            "select count(*) from pg_stat_activity where usename = 'hygiene' and state = 'active' and query like '%sleep%'",
        ),
        _ => database
            .mariadb()
            .query("select count(*) from information_schema.processlist where user = 'hygiene' and info like '%benchmark%'"),
    }
    };
    while runs().trim() == "0" {
        assert!(begun.elapsed() < Duration::from_secs(30), "it never ran");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[track_caller]
fn nothing_runs(database: &Database) {
    let begun = Instant::now();
    while running(database) != "0" {
        assert!(begun.elapsed() < Duration::from_secs(30), "a statement still runs");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[rstest]
#[tokio::test]
async fn a_statement_that_runs_too_long_is_gone_from_the_server(
    #[values(Engine::Postgres, Engine::MariaDb)] engine: Engine,
) {
    let database = Database::start(engine);
    let store = database.store(|policy| {
        policy.live_query = endless(engine).into();
        policy.timeout = Duration::from_secs(1);
    });
    unavailable(&store.live().await, &["spec.sessions.liveQuery", "still running after 1s", "spec.sessions.timeout"]);
    nothing_runs(&database);
    unavailable(&store.is_live(&id("ada")).await, &["still running after 1s"]);
    nothing_runs(&database);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waits_for_any_more_is_cancelled_on_the_server(
    #[values(Engine::Postgres, Engine::MariaDb)] engine: Engine,
) {
    let database = Database::start(engine);
    let store = database.store(|policy| policy.live_query = endless(engine).into());
    let asking = tokio::spawn(async move { store.live().await });
    until_it_runs(&database).await;
    asking.abort();
    nothing_runs(&database);
    if engine == Engine::Postgres {
        // Not only since the server found its client gone.
        assert!(database.postgres().log().contains("canceling statement due to user request"));
    }
}

/// A client that stands still, or dies, cancels nothing.
#[rstest]
#[tokio::test]
async fn what_a_client_that_stands_still_left_running_is_stopped_by_the_server(
    #[values(Engine::Postgres, Engine::MariaDb)] engine: Engine,
) {
    let database = Database::start(engine);
    let store = database.store(|policy| {
        policy.live_query = endless(engine).into();
        policy.timeout = Duration::from_secs(3);
    });
    let asking = tokio::spawn(async move { store.live().await });
    until_it_runs(&database).await;
    // This blocks the only thread there is.
    nothing_runs(&database);
    unavailable(&asking.await.unwrap(), &["still running after 3s"]);
}

#[rstest]
#[tokio::test]
async fn a_server_that_hangs_or_dies_in_mid_stream_gives_no_part_of_an_answer(
    #[values(Engine::Postgres, Engine::MariaDb)] engine: Engine,
) {
    let database = Database::start(engine);
    if engine == Engine::MariaDb {
        database.admin("grant select on sessions.* to hygiene@'%'");
    }
    let many = match engine {
        Engine::Postgres => "select lpad(n::text, 200, 'x') from generate_series(1, 100000) as n",
        _ => "select lpad(seq, 200, 'x') from seq_1_to_100000",
    };
    let port = match engine {
        Engine::Postgres => database.postgres().port(),
        _ => database.mariadb().port(),
    };
    let proxy = Proxy::to(port);
    let url = database.url().replace(&format!(":{port}/"), &format!(":{}/", proxy.port()));
    let database = database.at(url);
    let store = |seconds| {
        database.store(|policy| {
            policy.live_query = many.into();
            policy.timeout = Duration::from_secs(seconds);
        })
    };
    let reading = store(60).live().await;
    assert_eq!(reading.complete().unwrap_or_else(|| panic!("{reading:?}")).ids.len(), 100_000);
    let whole = proxy.passed();
    // In the login, in the settings, in the rows, and right before the end.
    for bytes in [0, 100, 3_000, 1_000_000, whole - 200] {
        proxy.cut_after(bytes);
        unavailable(&store(60).live().await, &[""]);
    }
    proxy.stall_after(1_000_000);
    unavailable(&store(2).live().await, &["still running after 2s"]);
    proxy.pass();
    assert_eq!(store(60).live().await.complete().unwrap().ids.len(), 100_000);

    // The server itself stands still, and then is killed.
    let stop = || match engine {
        Engine::Postgres => database.postgres().stop_signal(),
        _ => database.mariadb().stop_signal(),
    };
    stop();
    unavailable(&store(2).live().await, &["2s"]);
    match engine {
        Engine::Postgres => database.postgres().kill(),
        _ => database.mariadb().kill(),
    }
    unavailable(&store(10).live().await, &[""]);
}

#[rstest]
#[tokio::test]
async fn a_login_that_is_refused_says_so_and_nothing_of_the_url(
    #[values(Engine::Postgres, Engine::MariaDb)] engine: Engine,
) {
    let database = Database::start(engine);
    let url_for = |user: &str, password: &str, name: &str| match engine {
        Engine::Postgres => database.postgres().url_for(user, password, name),
        _ => database.mariadb().url_for(user, password, name),
    };
    let own = database.url();
    for (url, parts) in [
        (url_for(USER, "s3cret-wrong", DATABASE), vec!["refused the login", "password"]),
        (url_for("s3cret-nobody", PASSWORD, DATABASE), vec!["refused the login"]),
        (url_for(USER, PASSWORD, "s3cretbase"), vec!["refused the login", "database"]),
        (own.replace("127.0.0.1", "s3cret-host.invalid"), vec!["cannot be reached", "check host"]),
        ("s3cret".into(), vec![".url", "is no connection URL"]),
        (format!("{own}?sslmode=disable"), vec![".url", "sslmode", ".tls"]),
    ] {
        database.secrets.set("db/url", &url);
        let store = database.store(|_| ());
        database.secrets.set("db/url", &url);
        let reading = store.live().await;
        unavailable(&reading, &parts);
        for part in ["s3cret", "127.0.0.1", "invalid", USER] {
            let said = reading.unavailable().unwrap().replace("hygiene.mark", "");
            assert!(!said.contains(part), "{said}");
        }
    }
    let store = database.store(|_| ());
    live_ids(&store.live().await, &["ada", "bob", "cyd"]);
    // A password that was changed is read anew.
    database.admin(match engine {
        Engine::Postgres => "alter role hygiene password 's3cret-new'",
        _ => "set password for hygiene@'%' = password('s3cret-new')",
    });
    unavailable(&store.live().await, &["refused the login"]);
    database.secrets.set("db/url", &url_for(USER, "s3cret-new", DATABASE));
    live_ids(&store.live().await, &["ada", "bob", "cyd"]);
}

#[rstest]
#[tokio::test]
async fn a_missing_grant_names_itself(#[values(Engine::Postgres, Engine::MariaDb)] engine: Engine) {
    let database = Database::start(engine);
    let store = database.store(|policy| policy.freshness_query = Some("select max(updated_at) from session".into()));
    assert!(store.live().await.complete().is_some());
    database.admin(match engine {
        Engine::Postgres => "revoke select on session from hygiene; grant select (id, deleted_at) on session to hygiene",
        _ => "revoke select on sessions.session from hygiene@'%'; grant select (id, deleted_at) on sessions.session to hygiene@'%'",
    });
    unavailable(&store.live().await, &["spec.sessions.freshnessQuery", "grant"]);
    database.admin(match engine {
        Engine::Postgres => "drop table session",
        _ => "drop table sessions.session",
    });
    unavailable(&store.live().await, &["spec.sessions.freshnessQuery", "session"]);
    if engine == Engine::MariaDb {
        database.admin("revoke slave monitor on *.* from hygiene@'%'");
        unavailable(&store.live().await, &["replica", "SLAVE MONITOR", "grant it"]);
    }
}

#[tokio::test]
async fn rows_that_row_level_security_hides_are_no_rows_that_are_gone() {
    let database = Database::start(Engine::Postgres);
    let store = database.store(|_| ());
    live_ids(&store.live().await, &["ada", "bob", "cyd"]);
    database.admin(
        "alter table session enable row level security;
         create policy one on session for select to hygiene using (id = 'ada')",
    );
    for reading in [store.live().await.unavailable(), store.is_live(&id("bob")).await.unavailable()] {
        assert!(
            reading.is_some_and(|why| why.contains("row-level security") && why.contains("BYPASSRLS")),
            "{reading:?}"
        );
    }
    database.admin("alter role hygiene bypassrls");
    live_ids(&store.live().await, &["ada", "bob", "cyd"]);
}

#[tokio::test]
async fn a_limit_of_the_server_hides_no_rows() {
    let database = Database::start(Engine::MariaDb);
    database.admin("set global sql_select_limit = 2; set global max_statement_time = 1");
    let store = database.store(|_| ());
    live_ids(&store.live().await, &["ada", "bob", "cyd"]);
    assert_eq!(store.is_live(&id("cyd")).await, Reading::Complete(true));
}
