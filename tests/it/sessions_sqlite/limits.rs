//! A query ends in time, whatever it does, and takes no thread with it.

#![allow(clippy::disallowed_methods)] // how long it really took is what is tested

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use workspace_hygiene::observe::Reading;
use workspace_hygiene::observe::sessions::{SessionStore, Sqlite};

use super::{Database, Still, clock, id, live, live_ids, policy, unavailable};

const ENDLESS: &str = "with recursive k(i) as (select 1 union all select i + 1 from k) select 'id' from k where i < 0";
const SHORT: Duration = Duration::from_millis(300);
/// Generous, for loaded machines; what is not stopped goes on for ever, or for an hour.
const SOON: Duration = Duration::from_secs(10);

/// Whether every thread of a dropped store ended: each holds its clock.
#[track_caller]
fn ended(clock: &Arc<Still>) {
    let start = Instant::now();
    while Arc::strong_count(clock) > 1 {
        assert!(start.elapsed() < SOON, "a thread goes on");
        thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test]
async fn a_query_that_never_ends_is_stopped_in_time_and_its_thread_is_gone() {
    let database = Database::new();
    for field in ["liveQuery", "canaryQuery", "freshnessQuery", "liveByIDQuery"] {
        let mut policy = policy(&database.path);
        policy.timeout = SHORT;
        match field {
            "liveQuery" => policy.live_query = ENDLESS.into(),
            "canaryQuery" => policy.canary_query = Some(ENDLESS.into()),
            "freshnessQuery" => policy.freshness_query = Some(ENDLESS.into()),
            _ => policy.live_by_id_query = Some(format!("{ENDLESS} and ?1 is not null")),
        }
        let clock = clock();
        let store = Sqlite::new(database.path.clone(), policy, clock.clone());
        let start = Instant::now();
        let reading = live(&store).await;
        assert!(start.elapsed() < SOON, "{field}: {:?}", start.elapsed());
        unavailable(&reading, &[field, "300ms", "stopped", "spec.sessions.timeout"]);
        drop(store);
        ended(&clock);
    }
    // No lock is left either.
    database.write("begin exclusive; rollback");
}

#[tokio::test]
async fn a_query_nobody_waits_for_any_more_is_stopped() {
    let database = Database::new();
    let clock = clock();
    let mut policy = policy(&database.path);
    (policy.live_query, policy.timeout) = (ENDLESS.into(), Duration::from_secs(3600));
    let store = Sqlite::new(database.path.clone(), policy, clock.clone());
    assert!(tokio::time::timeout(SHORT, store.live()).await.is_err());
    drop(store);
    ended(&clock);
}

#[tokio::test]
async fn the_runtime_goes_on_while_a_query_runs() {
    let database = Database::new();
    let store = database.store_with(|p| (p.live_query, p.timeout) = (ENDLESS.into(), SOON));
    let ticks = async {
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    // One thread: were it blocked, the ticks could not end first.
    tokio::select! {
        reading = store.live() => panic!("{reading:?}"),
        () = ticks => {}
    }
}

#[tokio::test]
async fn a_locked_database_is_waited_for_but_no_longer_than_the_timeout() {
    let database = Database::new();
    database.write("begin exclusive");
    let store = database.store_with(|p| p.timeout = SHORT);
    let start = Instant::now();
    unavailable(&live(&store).await, &["locked by another process", "300ms", "spec.sessions.timeout"]);
    unavailable(&store.is_live(&id("ada")).await, &["locked by another process"]);
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    database.write("rollback");
    live_ids(&live(&store).await, &["ada", "bob", "cyd"]);

    database.write("begin exclusive; insert into session(id) values ('new')");
    let patient = database.store();
    let (answer, ()) = tokio::join!(patient.live(), async {
        tokio::time::sleep(SHORT).await;
        database.write("commit");
    });
    live_ids(&answer, &["ada", "bob", "cyd", "new"]);
}

#[tokio::test]
async fn one_value_cannot_take_all_memory() {
    let database = Database::new();
    let store = database.asking("select hex(zeroblob(100000000))");
    unavailable(&live(&store).await, &["spec.sessions.liveQuery", "integrity_check"]);
}

#[tokio::test]
async fn all_readings_of_one_call_are_of_one_moment() {
    let database = Database::with(
        "pragma journal_mode = wal; create table session(id integer primary key, deleted_at text);
         create table mark(n integer); insert into mark values (0)",
    );
    let (path, done) = (database.path.clone(), Arc::new(()));
    let writer = thread::spawn({
        let running = Arc::downgrade(&done);
        move || {
            let writer = rusqlite::Connection::open(path).unwrap();
            while running.strong_count() > 0 {
                writer
                    .execute_batch("begin; insert into session default values; update mark set n = n + 1; commit")
                    .unwrap();
            }
        }
    });
    let store = database.store_with(|p| p.freshness_query = Some("select n from mark".into()));
    let (mut readings, mut last) = (0, 0);
    // On a busy machine fifty readings may be through before the first row is written.
    while (readings < 50 || last == 0) && !writer.is_finished() {
        let reading = live(&store).await;
        let Reading::Complete(sessions) = &reading else { panic!("{reading:?}") };
        let marked = sessions.freshest.unwrap().as_second();
        assert_eq!(u64::try_from(marked).unwrap(), sessions.ids.len());
        assert!(sessions.ids.len() >= last, "an older moment");
        last = sessions.ids.len();
        readings += 1;
    }
    drop(done);
    writer.join().unwrap();
    assert!(last > 0);
}

#[tokio::test]
async fn many_answers_at_once_are_all_right() {
    let database = Database::new();
    let store = Arc::new(database.store());
    let tasks: Vec<_> = (0..100)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.is_live(&id(["ada", "old"][n % 2])).await })
        })
        .collect();
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.unwrap(), Reading::Complete(n % 2 == 0));
    }
}
