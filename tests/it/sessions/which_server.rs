//! Servers that are not the one that was believed: replicas, copies, promoted standbys, poolers that mix two.

use std::sync::Arc;
use std::time::Duration;

use rstest::rstest;
use workspace_hygiene::observe::Reading;
use workspace_hygiene::observe::sessions::SessionStore;
use workspace_hygiene::policy::ReplicaRule;

use super::{Database, Engine, id, live_ids, unavailable};
use crate::servers::{DATABASE, MariaDb, MySqlRouter, OPEN_USER, Options, PgBouncer, PoolMode, Postgres, Router, USER};

/// The database and the position that a store tells.
async fn which(store: &Arc<dyn SessionStore>) -> (String, u64) {
    let reading = store.live().await;
    let sessions = reading.complete().unwrap_or_else(|| panic!("{reading:?}"));
    (sessions.database.clone(), sessions.position.unwrap())
}

fn accepting(database: &Database, most: Duration) -> Arc<dyn SessionStore> {
    database.store(|policy| (policy.replica, policy.max_staleness) = (ReplicaRule::Accept, most))
}

#[tokio::test]
async fn a_standby_is_refused_or_accepted_with_a_lag_that_is_known_and_becomes_another_database_when_it_is_promoted() {
    let primary = Database::start(Engine::Postgres);
    let before = which(&primary.store(|_| ())).await;
    let standby = primary.postgres().standby();
    primary.admin("update session set updated_at = now()");
    standby.catch_up_with(primary.postgres());
    let standby = Database::on_postgres(standby);
    let refusing = standby.store(|_| ());
    unavailable(&refusing.live().await, &["a standby", "primary", "spec.sessions.replica: Accept"]);
    unavailable(&refusing.is_live(&id("old")).await, &["a standby"]);
    let hour = Duration::from_secs(3600);
    live_ids(&accepting(&standby, hour).live().await, &["ada", "bob", "cyd"]);
    assert_eq!(which(&accepting(&standby, hour)).await.0, before.0, "it is the same database");

    standby.postgres().pause_replay();
    primary.admin("insert into session(id) values ('new')");
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    unavailable(&accepting(&standby, Duration::from_secs(1)).live().await, &["lags", "maxStaleness is 1 s"]);
    standby.postgres().resume_replay();

    // A store that read the primary asks the promoted standby: fail-over in mid-sweep.
    let store = primary.store(|_| ());
    live_ids(&store.live().await, &["ada", "bob", "cyd", "new"]);
    standby.postgres().promote();
    primary.secrets.set("db/url", &standby.url());
    unavailable(&store.is_live(&id("old")).await, &["the sessions are now in", "fail-over"]);
    assert_eq!(store.is_live(&id("ada")).await, Reading::Complete(true), "that it is live is believed");
    let after = which(&standby.store(|_| ())).await;
    assert_ne!(after.0, before.0, "another timeline");
}

#[tokio::test]
async fn a_replica_of_mariadb_is_refused_even_when_it_may_be_written_to() {
    let primary = Database::start(Engine::MariaDb);
    let before = which(&primary.store(|_| ())).await;
    let replica = primary.mariadb().replica();
    replica.catch_up_with(primary.mariadb());
    let replica = Database::on_mariadb(replica);
    unavailable(&replica.store(|_| ()).live().await, &["a replica", "primary"]);
    replica.admin("set global read_only = 0");
    unavailable(&replica.store(|_| ()).live().await, &["a replica", "spec.sessions.replica: Accept"]);
    let hour = Duration::from_secs(3600);
    live_ids(&accepting(&replica, hour).live().await, &["ada", "bob", "cyd"]);
    replica.mariadb().stop_replication();
    unavailable(&accepting(&replica, hour).live().await, &["lag of the replica is not known", "does not run"]);
    replica.mariadb().promote();
    replica.admin("set global read_only = 1");
    unavailable(&replica.store(|_| ()).live().await, &["read-only", "Aurora reader"]);
    replica.admin("set global read_only = 0");
    let after = which(&replica.store(|_| ())).await;
    assert_ne!(after.0, before.0);
    let store = primary.store(|_| ());
    assert!(store.live().await.complete().is_some());
    primary.secrets.set("db/url", &replica.url());
    unavailable(&store.is_live(&id("old")).await, &["the sessions are now in", "fail-over"]);
}

#[tokio::test]
async fn a_mariadb_whose_tables_cannot_be_seen_cannot_be_told_from_another() {
    let database = Database::start(Engine::MariaDb);
    database.admin(&format!(
        "create view seen as select id, deleted_at from session;
         revoke select on session from {USER}@'%'; grant select on seen to {USER}@'%'"
    ));
    let store = database.store(|policy| policy.live_query = "select id from seen where deleted_at is null".into());
    unavailable(&store.live().await, &["cannot be proved", "sees no table", "grant select"]);
    database.admin(&format!("grant select on session to {USER}@'%'"));
    live_ids(&store.live().await, &["ada", "bob", "cyd"]);
}

#[rstest]
#[tokio::test]
async fn an_older_copy_is_at_an_earlier_position_and_another_server_another_database(
    #[values(Engine::Postgres, Engine::MariaDb)] engine: Engine,
) {
    let database = Database::start(engine);
    let copy = match engine {
        Engine::Postgres => Database::on_postgres(database.postgres().copy_data_dir()),
        _ => Database::on_mariadb(database.mariadb().copy_data_dir()),
    };
    let copied = which(&copy.store(|_| ())).await;
    for n in 0..20 {
        database.admin(&format!("insert into session(id) values ('new-{n}')"));
    }
    let store = database.store(|_| ());
    let now = which(&store).await;
    assert!(now.1 > copied.1, "{now:?} is not after {copied:?}");
    database.secrets.set("db/url", &copy.url());
    let asked = store.is_live(&id("old")).await;
    match engine {
        // The copy has the same identity: only the position tells.
        Engine::Postgres => assert_eq!(now.0, copied.0),
        // So has this one, unless a second began between the two.
        _ if now.0 != copied.0 => return unavailable(&asked, &["the sessions are now in"]),
        _ => {}
    }
    unavailable(&asked, &["earlier state"]);
    let other = Database::start(engine);
    assert_ne!(which(&other.store(|_| ())).await.0, now.0);
    let again = which(&database.store(|_| ())).await;
    assert_eq!(again.0, now.0, "the same server is the same database");
    assert!(again.1 >= now.1);
}

#[rstest]
#[tokio::test]
async fn a_pooler_in_front_changes_nothing_or_is_refused(
    #[values(PoolMode::Transaction, PoolMode::Session, PoolMode::Statement)] mode: PoolMode,
) {
    let database = Database::start(Engine::Postgres);
    let direct = which(&database.store(|_| ())).await;
    let pooler = PgBouncer::in_front_of(database.postgres(), mode);
    let database = database.at(pooler.url());
    let store = database.store(|policy| {
        policy.live_by_id_query = Some("select 1 from session where id = $1 and deleted_at is null".into());
        policy.known_query = Some("select id from session".into());
        policy.freshness_query = Some("select max(updated_at) from session".into());
        policy.canary_query = Some("select 1 from session".into());
        policy.max_staleness = Duration::MAX;
    });
    for _ in 0..3 {
        let reading = store.live().await;
        if matches!(mode, PoolMode::Statement) {
            unavailable(&reading, &["refused to begin a transaction", "pool_mode transaction or session"]);
            continue;
        }
        live_ids(&reading, &["ada", "bob", "cyd"]);
        assert_eq!(which(&store).await.0, direct.0);
        assert_eq!(store.is_live(&id("ada")).await, Reading::Complete(true));
        assert_eq!(store.is_live(&id("old")).await, Reading::Complete(false));
    }
    let slow = database.store(|policy| {
        policy.live_query = "select id from session where pg_sleep(300) is not null".into();
        policy.timeout = Duration::from_secs(1);
    });
    unavailable(&slow.live().await, &[""]);
}

/// Whichever statement goes to another server, its answer is not taken for one of the server that was proved.
#[tokio::test]
async fn a_pooler_that_sends_a_later_statement_to_another_postgresql_is_found_out() {
    let start = || Postgres::start_with(Options::default().trusting());
    let (first, second) = (Database::on_postgres(start()), start());
    second.admin("delete from session where id <> 'ada'");
    let router = Router::between(first.postgres().port(), second.port());
    let url = first.url().replace(&format!(":{}/", first.postgres().port()), &format!(":{}/", router.port()));
    let first = first.at(url);
    let by_id = |policy: &mut workspace_hygiene::policy::SessionPolicy| {
        policy.live_by_id_query = Some("select 1 from session where id = $1 and deleted_at is null".into());
        policy.canary_query = Some("select 1 from session".into());
        policy.known_query = Some("select id from session".into());
    };
    let store = first.store(by_id);
    live_ids(&store.live().await, &["ada", "bob", "cyd"]);
    let statements = router.ready();
    assert_eq!(store.is_live(&id("bob")).await, Reading::Complete(true));
    for k in 2..=statements {
        router.switch_after(k);
        let reading = first.store(by_id).live().await;
        // Only what comes after the last answer may go anywhere.
        assert!(reading.complete().is_none() || k >= statements - 1, "after {k} of {statements}: {reading:?}");
        let live = store.is_live(&id("bob")).await;
        assert_ne!(live, Reading::Complete(false), "after {k}");
    }
}

#[tokio::test]
async fn a_proxy_that_sends_a_later_statement_to_another_mariadb_is_found_out() {
    let (first, second) = (Database::start(Engine::MariaDb), Database::on_mariadb(MariaDb::start()));
    second.admin("delete from session where id <> 'ada'");
    let router = MySqlRouter::between(first.mariadb().port(), second.mariadb().port());
    let url = first.mariadb().url_for(OPEN_USER, "", DATABASE);
    let url = url.replace(&format!(":{}/", first.mariadb().port()), &format!(":{}/", router.port()));
    let first = first.at(url);
    let by_id = |policy: &mut workspace_hygiene::policy::SessionPolicy| {
        policy.live_by_id_query = Some("select 1 from session where id = ? and deleted_at is null".into());
        policy.canary_query = Some("select 1 from session".into());
        policy.known_query = Some("select id from session".into());
    };
    let other = which(&second.store(|_| ())).await.0;
    let store = first.store(by_id);
    live_ids(&store.live().await, &["ada", "bob", "cyd"]);
    let statements = router.commands();
    assert_eq!(store.is_live(&id("bob")).await, Reading::Complete(true));
    for k in 1..=statements {
        router.switch_after(k);
        let reading = first.store(by_id).live().await;
        // Where all that matters comes from the second server, that is the one that was proved.
        let is_second = reading.complete().is_some_and(|sessions| sessions.database == other);
        assert!(
            reading.complete().is_none() || is_second || k >= statements - 1,
            "after {k} of {statements}: {reading:?}"
        );
        let live = store.is_live(&id("bob")).await;
        assert_ne!(live, Reading::Complete(false), "after {k}");
    }
}
