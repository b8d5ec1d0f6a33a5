//! Trees of every shape, removed whole.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rstest::rstest;
use workspace_hygiene::fsio::Dir;
use workspace_hygiene::purge::{Engine, Found, Pace, Watcher};
use workspace_hygiene::stop::Stop;

use super::remove;

/// A tree of packages in packages, as a package manager leaves it.
fn packages(root: &Path, width: usize, depth: usize) -> u64 {
    fs::create_dir(root).unwrap();
    let mut entries = 1;
    for n in 0..3 {
        fs::write(root.join(format!("file-{n}.js")), vec![b'x'; 100 * n]).unwrap();
        entries += 1;
    }
    if depth > 0 {
        entries += (0..width).map(|n| packages(&root.join(format!("package-{n}")), width, depth - 1)).sum::<u64>();
    }
    entries
}

#[rstest]
fn a_tree_goes_whole_with_any_number_of_workers(#[values(1, 2, 7, 32)] workers: usize) {
    let folder = tempfile::tempdir().unwrap();
    let entries = packages(&folder.path().join("tree"), 4, 4);
    fs::write(folder.path().join("beside"), "stays").unwrap();
    let removed = remove(folder.path(), "tree", workers);
    assert!(removed.whole && removed.errors.is_empty(), "{removed:?}");
    assert_eq!(removed.entries, entries);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_is_no_directory_or_is_not_there_is_removed_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "x").unwrap();
    assert!(remove(folder.path(), "file", 4).whole);
    assert!(remove(folder.path(), "file", 4).whole);
    fs::create_dir(folder.path().join("empty")).unwrap();
    assert_eq!(remove(folder.path(), "empty", 4).entries, 1);
}

/// The bytes of a file that has several names count once, with the last.
#[test]
fn bytes_are_those_that_are_free_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("one"), vec![1; 100_000]).unwrap();
    let bytes = fs::metadata(tree.join("one")).unwrap().blocks() * 512;
    fs::hard_link(tree.join("one"), tree.join("two")).unwrap();
    fs::write(tree.join("shared"), vec![1; 100_000]).unwrap();
    fs::hard_link(tree.join("shared"), folder.path().join("kept")).unwrap();
    let removed = remove(folder.path(), "tree", 1);
    assert_eq!((removed.bytes, removed.entries), (bytes, 4));
    assert_eq!(fs::read(folder.path().join("kept")).unwrap(), vec![1; 100_000]);
}

/// Twenty thousand directories in each other, with few handles and small stacks.
#[test]
fn a_chain_costs_neither_handles_nor_stack() {
    const DEPTH: u32 = 20_000;
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("tree")).unwrap();
    let mut at =
        rustix::fs::open(folder.path().join("tree"), rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
    for _ in 1..DEPTH {
        rustix::fs::mkdirat(&at, "d", rustix::fs::Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, "d", rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
    }
    drop(at);
    // In a process of its own, which may hold 256 handles.
    let purge = Command::new("sh")
        .args(["-c", "ulimit -n 256 && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "purge::shapes::removes_what_it_is_told", "--nocapture"])
        .env("PURGE_IN", folder.path())
        .output()
        .unwrap();
    let left = fs::read_dir(folder.path()).unwrap().count();
    // What the folder is removed with at the end calls itself once for each level.
    Command::new("rm").arg("-rf").arg(folder.path().join("tree")).status().unwrap();
    assert!(purge.status.success(), "{}", String::from_utf8_lossy(&purge.stdout));
    assert_eq!(left, 0);
}

/// Does nothing of its own: see [`a_chain_costs_neither_handles_nor_stack`].
#[test]
fn removes_what_it_is_told() {
    let Some(folder) = std::env::var_os("PURGE_IN") else { return };
    let removed = remove(Path::new(&folder), "tree", 8);
    assert!(removed.whole, "{removed:?}");
    assert_eq!(removed.entries, 20_000);
}

#[test]
fn directories_without_rights_are_removed_by_their_owner() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    fs::create_dir_all(tree.join("read-only/below")).unwrap();
    fs::write(tree.join("read-only/below/file"), "x").unwrap();
    fs::create_dir(tree.join("locked")).unwrap();
    fs::write(tree.join("locked/file"), "x").unwrap();
    for (path, mode) in [("read-only/below", 0o500), ("read-only", 0o500), ("locked", 0)] {
        fs::set_permissions(tree.join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    // As somebody who is not root, to whom rights mean something.
    let chown = Command::new("chown").args(["-R", "nobody"]).arg(folder.path()).status().unwrap();
    assert!(chown.success());
    let purge = Command::new("setpriv")
        .args(["--reuid", "nobody", "--clear-groups"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "purge::shapes::removes_it_as_it_is"])
        .env("PURGE_IN", folder.path())
        .output()
        .unwrap();
    assert!(purge.status.success(), "{}", String::from_utf8_lossy(&purge.stdout));
    assert!(!tree.exists());
}

/// Does nothing of its own: see [`directories_without_rights_are_removed_by_their_owner`].
#[test]
fn removes_it_as_it_is() {
    let Some(folder) = std::env::var_os("PURGE_IN") else { return };
    let removed = remove(Path::new(&folder), "tree", 4);
    assert!(removed.whole, "{removed:?}");
}

#[test]
fn a_flat_directory_of_many_goes_in_one_piece() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    fs::create_dir(&tree).unwrap();
    for n in 0..20_000 {
        fs::write(tree.join(format!("entry-{n}")), "").unwrap();
    }
    let removed = remove(folder.path(), "tree", 16);
    assert_eq!((removed.whole, removed.entries), (true, 20_001));
}

/// Looks at what is told while a tree goes: never less than what is gone, and in the end all of it.
#[derive(Default)]
struct Told {
    gone: Cell<u64>,
    last: Cell<Option<Found>>,
}

impl Watcher for Told {
    fn may_go_on(&self) -> Result<(), String> {
        Ok(())
    }

    fn removed(&self, entries: u64) {
        self.gone.set(self.gone.get() + entries);
    }

    fn found(&self, found: &Found) {
        assert!(found.entries >= self.gone.get(), "{found:?}, and {} are gone", self.gone.get());
        self.last.set(Some(*found));
    }
}

#[test]
fn in_the_end_all_of_a_tree_was_found() {
    let folder = tempfile::tempdir().unwrap();
    let entries = packages(&folder.path().join("tree"), 5, 4);
    let told = Told::default();
    let engine = Engine::new(Arc::new(Pace::new(Some(5_000), 8)), true);
    let removed = engine.remove(Dir::open_root(folder.path()).unwrap(), "tree".as_ref(), &Stop::default(), &told);
    assert!(removed.whole, "{removed:?}");
    assert_eq!(told.last.get(), Some(Found { entries, all: true, bytes: Some(removed.bytes) }));
}

/// The folder that a tree is in is no part of it: its rights are left as they are.
#[test]
fn the_rights_of_the_folder_around_a_tree_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let around = folder.path().join("around");
    fs::create_dir_all(around.join("tree/below")).unwrap();
    let chown = Command::new("chown").args(["-R", "nobody"]).arg(folder.path()).status().unwrap();
    assert!(chown.success());
    fs::set_permissions(&around, fs::Permissions::from_mode(0o500)).unwrap();
    let purge = Command::new("setpriv")
        .args(["--reuid", "nobody", "--clear-groups"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "purge::shapes::cannot_remove_it_as_it_is"])
        .env("PURGE_IN", &around)
        .output()
        .unwrap();
    assert!(purge.status.success(), "{}", String::from_utf8_lossy(&purge.stdout));
    assert_eq!(fs::metadata(&around).unwrap().mode() & 0o7777, 0o500);
    assert_eq!(fs::read_dir(around.join("tree")).unwrap().count(), 0);
}

/// Does nothing of its own: see [`the_rights_of_the_folder_around_a_tree_are_left_alone`].
#[test]
fn cannot_remove_it_as_it_is() {
    let Some(folder) = std::env::var_os("PURGE_IN") else { return };
    let removed = remove(Path::new(&folder), "tree", 4);
    assert_eq!((removed.whole, removed.failed, removed.entries), (false, 1, 1), "{removed:?}");
}
