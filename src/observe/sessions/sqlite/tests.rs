use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::clock::SystemClock;
use crate::policy::ReplicaRule;

const NFS: FileSystemOf = |_| Ok(0x6969);

fn database(journal: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a database?.db");
    let sql =
        format!("pragma journal_mode = {journal}; create table session(id text); insert into session values ('ada')");
    Connection::open(&path).unwrap().execute_batch(&sql).unwrap();
    (dir, path)
}

fn store(path: &Path, file_system: FileSystemOf) -> Sqlite {
    store_below(None, path, file_system)
}

fn store_below(beneath: Option<&Path>, path: &Path, file_system: FileSystemOf) -> Sqlite {
    let policy = SessionPolicy {
        store: StorePolicy::Sqlite { path: path.into(), beneath: beneath.map(Into::into) },
        live_query: "select id from session".into(),
        live_by_id_query: None,
        freshness_query: None,
        max_staleness: Duration::MAX,
        canary_query: None,
        known_query: None,
        minimum_live: 1,
        timeout: Duration::from_secs(1),
        replica: ReplicaRule::Refuse,
    };
    Sqlite::on(path.into(), Arc::new(policy), Arc::new(SystemClock), file_system)
}

fn says<T: fmt::Debug>(reading: &Reading<T>, part: &str) {
    assert!(reading.unavailable().is_some_and(|message| message.contains(part)), "{reading:?} does not say {part:?}");
}

#[tokio::test]
async fn wal_on_a_network_file_system_is_refused_before_a_file_is_made_for_it() {
    let (dir, path) = database("wal");
    let store = store(&path, NFS);
    says(&store.live().await, "in WAL mode on NFS");
    says(&store.is_live(&SessionId::new("ada")).await, "journal_mode=delete");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn wal_on_a_network_file_system_is_refused_while_its_service_has_it_open() {
    let (_dir, path) = database("wal");
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch("insert into session values ('bob')").unwrap();
    says(&store(&path, NFS).live().await, "in WAL mode on NFS");
}

#[tokio::test]
async fn a_rollback_journal_on_a_network_file_system_is_read() {
    let (_dir, path) = database("delete");
    assert_eq!(store(&path, NFS).live().await.complete().unwrap().ids.len(), 1);
}

#[tokio::test]
async fn an_unknown_file_system_is_not_believed_to_be_local() {
    let (_dir, path) = database("wal");
    says(&store(&path, |_| Ok(0x1234)).live().await, "statfs type 0x1234");
    says(&store(&path, |_| Err(io::ErrorKind::TimedOut.into())).live().await, "cannot be opened");
}

#[tokio::test]
async fn a_file_replaced_while_it_is_read_is_noticed() {
    let (dir, path) = database("delete");
    fs::copy(&path, dir.path().join("other")).unwrap();
    let replaces: FileSystemOf = |path| {
        fs::rename(path.with_file_name("other"), path)?;
        file::file_system(path)
    };
    says(&store(&path, replaces).live().await, "replaced by another file");
}

#[tokio::test]
async fn a_file_system_that_hangs_keeps_nobody_waiting_and_threads_do_not_pile_up() {
    let (_dir, path) = database("delete");
    static HANGS: AtomicBool = AtomicBool::new(true);
    let store = store(&path, |path| {
        while HANGS.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
        file::file_system(path)
    });
    let calls: Vec<_> = (0..16)
        .map(|_| {
            let store = Sqlite { store: Arc::clone(&store.store) };
            tokio::spawn(async move { store.live().await })
        })
        .collect();
    for call in calls {
        says(&call.await.unwrap(), "hangs in a file-system call");
    }
    says(&store.live().await, "16 earlier queries still hang");
    HANGS.store(false, Ordering::Relaxed);
    while store.store.abandoned.load(Ordering::Relaxed) > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(store.live().await.complete().unwrap().ids.len(), 1);
}

#[test]
fn debug_output_names_the_path() {
    let (_dir, path) = database("delete");
    assert!(format!("{:?}", store(&path, NFS)).contains("a database?.db"));
}

#[tokio::test]
async fn below_a_root_a_symlink_is_followed_at_no_opening() {
    let (dir, path) = database("delete");
    let (theirs, _keep) = database("delete");
    let local: FileSystemOf = file::file_system;
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    let ours = root.join("sessions.db");
    fs::copy(&path, &ours).unwrap();
    // The root itself may be reached over one: it is the operator's.
    let linked_root = dir.path().join("linked");
    std::os::unix::fs::symlink(&root, &linked_root).unwrap();
    for base in [&root, &linked_root] {
        let store = store_below(Some(base), &base.join("sessions.db"), local);
        assert!(store.live().await.complete().is_some(), "{:?}", store.live().await);
    }
    // It was a file when it was looked at first, and a symlink comes in its place.
    let store = store_below(Some(&root), &ours, local);
    assert!(store.live().await.complete().is_some());
    fs::remove_file(&ours).unwrap();
    std::os::unix::fs::symlink(&path, &ours).unwrap();
    says(&store.live().await, "leads over a symlink");
    says(&store.is_live(&SessionId::new("ada")).await, "leads over a symlink");
    // In the middle of the path too, and what is not there or not below the root is no file of ours.
    std::os::unix::fs::symlink(theirs.path(), root.join("folder")).unwrap();
    says(&store_below(Some(&root), &root.join("folder/a database?.db"), local).live().await, "leads over a symlink");
    says(&store_below(Some(&root), &path, local).live().await, "leads over a symlink");
    says(&store_below(Some(&root), &root.join("none.db"), local).live().await, "there is no file");
}

#[test]
fn sqlite_itself_opens_nothing_over_a_symlink_where_they_are_refused() {
    let (dir, path) = database("delete");
    let link = dir.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let call = || Arc::new(Call::new(Duration::from_secs(1)));
    assert!(Database::open(&link, &call(), file::file_system, Symlinks::Followed).is_ok());
    let real = fs::canonicalize(&path).unwrap();
    assert!(Database::open(&real, &call(), file::file_system, Symlinks::Refused).is_ok());
    assert!(Database::open(&link, &call(), file::file_system, Symlinks::Refused).is_err());
}
