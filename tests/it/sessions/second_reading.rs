//! What could make a live session look gone, or show what is secret, and was asked a second time: how a server converts what
//! it stores, statements that are lost on their way, numbers that mean something else on another server.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rstest::rstest;
use workspace_hygiene::observe::Reading;
use workspace_hygiene::observe::sessions::SessionStore;
use workspace_hygiene::policy::ReplicaRule;

use super::{Database, Engine, id, live_ids, unavailable};
use crate::servers::{DATABASE, MariaDb, MySqlRouter, OPEN_USER, Options, Postgres, Router};

/// A table of one column with one value.
fn table(database: &Database, column: &str, value: &str) -> String {
    database.admin(&format!(
        "create or replace table sessions.typed(id {column}); insert into sessions.typed values ({value}); \
         grant select on sessions.typed to hygiene@'%'"
    ));
    "select id from typed".into()
}

#[tokio::test]
async fn a_character_that_the_server_cannot_convert_is_no_question_mark() {
    let database = Database::start(Engine::MariaDb);
    for (column, value) in [
        ("varchar(20) character set ascii", "x'636166E9'"),
        ("varchar(20) character set cp1251", "x'98'"),
        ("varchar(20) character set sjis", "x'F040'"),
    ] {
        let query = table(&database, column, value);
        unavailable(&database.asked(&query).await, &["spec.sessions.liveQuery", "cannot convert", "repair the row"]);
    }
    for (column, value, expected) in [
        ("varchar(20) character set latin1", "x'E9'", "é"),
        ("varchar(20) character set ucs2", "'ada?'", "ada?"),
        ("varchar(20) character set ascii", "'who?'", "who?"),
        ("int", "42", "42"),
    ] {
        let query = table(&database, column, value);
        live_ids(&database.asked(&query).await, &[expected]);
    }
    live_ids(&database.asked("select 'a?b' union select 42").await, &["a?b", "42"]);
}

#[tokio::test]
async fn an_id_is_not_filled_up_to_the_width_of_its_column() {
    let database = Database::start(Engine::MariaDb);
    let query = table(&database, "char(10)", "'ada'");
    for mode in ["", "PAD_CHAR_TO_FULL_LENGTH", "NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,NO_UNSIGNED_SUBTRACTION"]
    {
        database.admin(&format!("set global sql_mode = '{mode}'"));
        let store = database.store(|policy| policy.live_query = query.clone());
        live_ids(&store.live().await, &["ada"]);
        assert_eq!(store.is_live(&id("ada")).await, Reading::Complete(true), "{mode}");
    }
    table(&database, "int(5) zerofill", "42");
    unavailable(&database.asked("select id from typed").await, &["filled up with zeros", "`id + 0`"]);
    live_ids(&database.asked("select id + 0 from typed").await, &["42"]);
    let padded = Database::start(Engine::Postgres);
    padded.admin(
        "create table padded(id char(10)); insert into padded values ('ada'); grant select on padded to hygiene",
    );
    let store = padded.store(|policy| policy.live_query = "select id from padded".into());
    live_ids(&store.live().await, &["ada"]);
    assert_eq!(store.is_live(&id("ada")).await, Reading::Complete(true));
}

#[tokio::test]
async fn a_missing_grant_tells_nobodys_name() {
    let database = Database::start(Engine::MariaDb);
    database.admin(
        "create table sessions.other(id varchar(9)); create table sessions.seen(id int); \
         grant select on sessions.seen to hygiene@'%'; revoke select on sessions.session from hygiene@'%'",
    );
    for query in ["select id from session", "select id from other", "select id from mysql.global_priv"] {
        let reading = database.asked(query).await;
        unavailable(&reading, &["spec.sessions.liveQuery", "denied to the user", "grant it"]);
        let said = reading.unavailable().unwrap();
        assert!(!said.contains("hygiene") && !said.contains("localhost") && !said.contains("127.0.0.1"), "{said}");
    }
}

#[rstest]
#[tokio::test]
async fn a_server_that_never_answers_is_no_slow_query(#[values(Engine::Postgres, Engine::MariaDb)] engine: Engine) {
    let database = Database::start(engine);
    match engine {
        Engine::Postgres => database.postgres().stop_signal(),
        _ => database.mariadb().stop_signal(),
    }
    let begun = Instant::now();
    let reading = database.store(|policy| policy.timeout = Duration::from_secs(1)).live().await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    unavailable(&reading, &["cannot be reached", "1s", "check host, port and network"]);
    assert!(!reading.unavailable().unwrap().contains("query"), "{reading:?}");
}

#[tokio::test]
async fn a_way_of_authentication_that_is_not_known_says_so() {
    let database = Database::start(Engine::MariaDb);
    database.admin(
        "set global secure_auth = 0; create user old@'%' identified via mysql_old_password using '0123456789abcdef'",
    );
    let url = database.mariadb().url_for("old", "s3cret", DATABASE);
    unavailable(&database.at(url).store(|_| ()).live().await, &["refused the login", "another way of authentication"]);
}

/// Everything that a store can be asked, so that each kind of answer is among its statements.
fn asking_everything(database: &Database) -> Arc<dyn SessionStore> {
    database.store(|policy| {
        let by_id = "select 1 from session where id = {} and deleted_at is null";
        policy.live_by_id_query = Some(by_id.replace("{}", database.parameter()));
        policy.canary_query = Some("select 1 from session".into());
        policy.freshness_query = Some("select max(updated_at) from session".into());
        policy.known_query = Some("select id from session".into());
        policy.max_staleness = Duration::MAX;
    })
}

/// As many sessions as on the first server, of which the last is the same: neither a count nor that one tells them apart.
const OTHERS: &str = "delete from session; insert into session(id, deleted_at) values
    ('aaa', null), ('bbb', null), ('cyd', null), ('old', '2024-01-01')";

/// Whichever statement is swallowed on its way and answered by somebody else: where what is answered depends on it, there is
/// no answer.
#[tokio::test]
async fn a_statement_that_never_reaches_postgresql_is_missed() {
    let start = || Postgres::start_with(Options::default().trusting());
    let (first, second) = (Database::on_postgres(start()), start());
    // A mark that a role has of its own is not that of the transaction.
    second.admin(&format!("{OTHERS}; alter role hygiene set hygiene.mark = 'x'"));
    first.admin("alter role hygiene set hygiene.mark = 'x'");
    let router = Router::between(first.postgres().port(), second.port());
    let url = first.url().replace(&format!(":{}/", first.postgres().port()), &format!(":{}/", router.port()));
    let first = first.at(url);
    live_ids(&asking_everything(&first).live().await, &["ada", "bob", "cyd"]);
    let (statements, mut not_missed) = (router.ready(), Vec::new());
    for k in 1..statements {
        router.switch_once_after(k);
        let reading = asking_everything(&first).live().await;
        if reading.complete().is_some() {
            live_ids(&reading, &["ada", "bob", "cyd"]);
            not_missed.push(k);
        }
        if k == 2 {
            unavailable(&reading, &["its settings are not the ones that were made"]);
        }
        assert_ne!(asking_everything(&first).is_live(&id("bob")).await, Reading::Complete(false), "without {k}");
        // With nothing but the rows to tell.
        let reading = first.store(|_| ()).live().await;
        if reading.complete().is_some() {
            live_ids(&reading, &["ada", "bob", "cyd"]);
        }
    }
    // How far it has come, twice a query's columns and their type for each that returns some, and the end.
    assert_eq!(not_missed, [7, 10, 11, 13, 14, 17, 18, 30], "of {statements}");
}

#[tokio::test]
async fn a_statement_that_never_reaches_mariadb_is_missed() {
    let (first, second) = (Database::start(Engine::MariaDb), Database::on_mariadb(MariaDb::start()));
    first.admin("set global sql_select_limit = 2; set global time_zone = '+02:00'");
    second.admin(OTHERS);
    let router = MySqlRouter::between(first.mariadb().port(), second.mariadb().port());
    let url = first.mariadb().url_for(OPEN_USER, "", DATABASE);
    let url = url.replace(&format!(":{}/", first.mariadb().port()), &format!(":{}/", router.port()));
    let first = first.at(url);
    live_ids(&asking_everything(&first).live().await, &["ada", "bob", "cyd"]);
    let (commands, mut not_missed) = (router.commands(), Vec::new());
    for k in 0..commands {
        router.switch_once_after(k);
        let reading = asking_everything(&first).live().await;
        // After the version and the names: limits of rows and time, time zone and mode, what is read-only, the mark, the transaction.
        if [2, 3, 5, 6, 8, 9, 10].contains(&k) {
            unavailable(&reading, &["its settings are not the ones that were made"]);
        } else if reading.complete().is_some() {
            live_ids(&reading, &["ada", "bob", "cyd"]);
            not_missed.push(k);
        }
        assert_ne!(asking_everything(&first).is_live(&id("bob")).await, Reading::Complete(false), "without {k}");
        // With nothing but the rows to tell.
        let reading = first.store(|_| ()).live().await;
        if reading.complete().is_some() {
            live_ids(&reading, &["ada", "bob", "cyd"]);
        }
    }
    // The version, names and a waiting time that were right already, what SHOW shows, statements to close, and the end.
    assert_eq!(not_missed, [0, 1, 4, 7, 13, 15, 24, 27, 30, 33, 35], "of {commands}");
}

/// A connection's number means nothing on another server, to which a name may lead by the time that a query is given up.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_kills_nobody_else() {
    let (first, second) = (Database::start(Engine::MariaDb), Database::on_mariadb(MariaDb::start()));
    let router = MySqlRouter::between(first.mariadb().port(), second.mariadb().port());
    let url = first.mariadb().url_for(OPEN_USER, "", DATABASE);
    let url = url.replace(&format!(":{}/", first.mariadb().port()), &format!(":{}/", router.port()));
    let first = first.at(url);
    let mut others: Vec<_> = (0..16)
        .map(|_| {
            let mut client = std::process::Command::new("mariadb");
            client.args(["--no-defaults", "-h", "127.0.0.1", "-u", OPEN_USER, "-e", "select sleep(300)"]);
            client.arg(format!("--port={}", second.mariadb().port()));
            client.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    let sleeping = "select count(*) from information_schema.processlist where info like 'select sleep%'";
    let until = |database: &Database, sql: &str, count: &str| {
        let begun = Instant::now();
        while database.mariadb().query(sql).trim() != count {
            assert!(begun.elapsed() < Duration::from_secs(30), "never {count}: {sql}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    until(&second, sleeping, "16");
    let store = first.store(|policy| policy.live_query = "select id from session where sleep(300) = 0".into());
    let asking = tokio::spawn(async move { store.live().await });
    let running = "select count(*) from information_schema.processlist where user = 'open' and info like '%sleep%'";
    until(&first, running, "1");
    let number = first.mariadb().query("select max(id) from information_schema.processlist where user = 'open'");
    let there = format!("select count(*) from information_schema.processlist where id = {number}");
    assert_eq!(second.mariadb().query(&there).trim(), "1", "somebody there has the same number");
    router.switch_now();
    let before = second.mariadb().statements().matches("Connect").count();
    asking.abort();
    let begun = Instant::now();
    while second.mariadb().statements().matches("Connect").count() <= before {
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody asked to kill");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(second.mariadb().query(sleeping).trim(), "16", "somebody else was killed");
    for other in &mut others {
        other.kill().ok();
        other.wait().ok();
    }
}

#[rstest]
#[tokio::test]
async fn a_query_that_answers_differently_each_time_is_not_believed(
    #[values(Engine::Postgres, Engine::MariaDb)] engine: Engine,
) {
    let database = Database::start(engine);
    let chance = match engine {
        Engine::Postgres => "select n::text from generate_series(1, 100000) as n where random() < 0.5",
        _ => "select seq from seq_1_to_100000 where rand() < 0.5",
    };
    if engine == Engine::MariaDb {
        database.admin("grant select on sessions.* to hygiene@'%'");
    }
    unavailable(&database.asked(chance).await, &["count(*) says", "leave out random()"]);
    let known = format!("select id from session union all {chance}");
    let store = database.store(|policy| policy.known_query = Some(known));
    unavailable(&store.live().await, &["count(*) says"]);
}

#[tokio::test]
async fn a_replica_of_mariadb_that_lags_is_not_accepted() {
    let primary = Database::start(Engine::MariaDb);
    let replica = primary.mariadb().replica();
    replica.catch_up_with(primary.mariadb());
    let replica = Database::on_mariadb(replica);
    let accepting = |most| {
        replica.store(|policy| {
            (policy.replica, policy.max_staleness) = (ReplicaRule::Accept, Duration::from_secs(most));
        })
    };
    live_ids(&accepting(1).live().await, &["ada", "bob", "cyd"]);
    replica.admin("stop slave; change master to master_delay = 3600; start slave");
    primary.admin("insert into session(id) values ('new')");
    tokio::time::sleep(Duration::from_millis(3_100)).await;
    unavailable(&accepting(1).live().await, &["lags", "maxStaleness is 1 s"]);
}
