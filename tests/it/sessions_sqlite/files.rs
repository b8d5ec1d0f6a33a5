//! Which files are believed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rusqlite::Connection;
use workspace_hygiene::observe::Reading;
use workspace_hygiene::observe::sessions::SessionStore;

use super::{Database, id, live, live_ids, store_at, unavailable};

const FIELD: &str = "spec.sessions.sqlite.path";

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_missing_database_is_not_an_empty_one_and_is_not_created() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions.db");
    let store = store_at(&path, |_| ());
    unavailable(&live(&store).await, &[FIELD, "there is no file", "sessions.db", "mount"]);
    unavailable(&store.is_live(&id("ada")).await, &[FIELD, "there is no file"]);
    assert!(names(dir.path()).is_empty());
}

#[tokio::test]
async fn what_is_no_database_is_unavailable_even_for_a_query_that_needs_no_table() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("directory")).unwrap();
    fs::write(at("empty"), "").unwrap();
    fs::write(at("text"), "this is no database, but long enough for a header. ".repeat(100)).unwrap();
    Connection::open(at("tableless")).unwrap().execute_batch("pragma user_version = 1").unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for (name, part) in [
        ("directory", "is a directory"),
        ("empty", "is empty (0 bytes)"),
        ("text", "not a SQLite database"),
        ("tableless", "without any table"),
        ("fifo", "is a FIFO"),
    ] {
        let store = store_at(&at(name), |p| p.live_query = "select 'ada'".into());
        unavailable(&live(&store).await, &[FIELD, name, part]);
        unavailable(&store.is_live(&id("ada")).await, &[FIELD, name, part]);
    }
}

#[tokio::test]
async fn names_that_mean_something_to_sqlite_are_plain_files_here() {
    for name in [":memory:", "file::memory:", "file:x?mode=memory", ""] {
        let store = store_at(Path::new(name), |p| p.live_query = "select 'ada'".into());
        assert!(live(&store).await.unavailable().is_some(), "{name:?}");
    }
    let database = Database::new();
    let path = database.dir.path().join("a b?immutable=1#%41.db");
    fs::copy(&database.path, &path).unwrap();
    live_ids(&live(&store_at(&path, |_| ())).await, &["ada", "bob", "cyd"]);
}

#[tokio::test]
async fn reading_leaves_the_directory_as_it_was() {
    let database = Database::new();
    let before = (names(database.dir.path()), fs::read(&database.path).unwrap());
    let store = database.asking("select id from session order by id desc");
    live_ids(&live(&store).await, &["ada", "bob", "cyd", "old"]);
    store.is_live(&id("ada")).await;
    assert_eq!((names(database.dir.path()), fs::read(&database.path).unwrap()), before);
}

#[tokio::test]
async fn rows_that_are_only_in_the_write_ahead_log_are_live() {
    let database = Database::new();
    database.write("pragma journal_mode = wal; pragma wal_autocheckpoint = 0");
    let store = database.store();
    live_ids(&live(&store).await, &["ada", "bob", "cyd"]);
    database.write("insert into session(id) values ('new')");
    live_ids(&live(&store).await, &["ada", "bob", "cyd", "new"]);
    assert_eq!(store.is_live(&id("new")).await, Reading::Complete(true));
    database.write("begin immediate; insert into session(id) values ('uncommitted')");
    live_ids(&live(&store).await, &["ada", "bob", "cyd", "new"]);
}

#[tokio::test]
async fn a_log_left_by_a_service_that_died_is_read_too() {
    let database = Database::new();
    database.write("pragma journal_mode = wal; pragma wal_autocheckpoint = 0; insert into session(id) values ('new')");
    let elsewhere = tempfile::tempdir().unwrap();
    for name in ["sessions.db", "sessions.db-wal"] {
        fs::copy(database.dir.path().join(name), elsewhere.path().join(name)).unwrap();
    }
    let store = store_at(&elsewhere.path().join("sessions.db"), |_| ());
    live_ids(&live(&store).await, &["ada", "bob", "cyd", "new"]);
}

#[tokio::test]
async fn a_log_that_cannot_be_shared_makes_the_store_unavailable() {
    let database = Database::new();
    database.write("pragma journal_mode = wal");
    let path = database.dir.path().join("copy.db");
    fs::copy(&database.path, &path).unwrap();
    symlink("/nonexistent/shm", database.dir.path().join("copy.db-shm")).unwrap(); // SQLite follows no link there
    unavailable(&live(&store_at(&path, |_| ())).await, &[FIELD, "WAL", "-shm", "writable"]);
}

#[tokio::test]
async fn a_transaction_left_half_written_makes_the_store_unavailable() {
    let database = Database::new();
    database.write(
        "pragma synchronous = off; pragma cache_size = 1; begin exclusive;
         insert into session with recursive k(i) as (select 1 union all select i + 1 from k where i < 5000)
         select 'bulk-' || i, 'x' from k; delete from session where deleted_at is null",
    );
    let elsewhere = tempfile::tempdir().unwrap();
    for name in ["sessions.db", "sessions.db-journal"] {
        fs::copy(database.dir.path().join(name), elsewhere.path().join(name)).unwrap();
    }
    let store = store_at(&elsewhere.path().join("sessions.db"), |_| ());
    unavailable(&live(&store).await, &[FIELD, "-journal", "open it once"]);
}

#[tokio::test]
async fn another_file_under_the_same_path_is_noticed() {
    let database = Database::new();
    let store = database.store();
    live_ids(&live(&store).await, &["ada", "bob", "cyd"]);
    let other =
        Database::with("create table session(id text, deleted_at text); insert into session(id) values ('eve')");
    fs::rename(&other.path, &database.path).unwrap();
    assert_eq!(store.is_live(&id("eve")).await, Reading::Complete(true), "what it has is live");
    unavailable(&store.is_live(&id("ada")).await, &[FIELD, "replaced", "next sweep"]);
    live_ids(&live(&store).await, &["eve"]);
    assert_eq!(store.is_live(&id("ada")).await, Reading::Complete(false), "it was read in full since");
    fs::remove_file(&database.path).unwrap();
    unavailable(&store.is_live(&id("eve")).await, &[FIELD, "there is no file"]);
}
