//! What a client may believe, for how long, and by which clock.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{AtFlags, CWD, StatxFlags};
use rustix::io::Errno;

use super::{Mounted, errno, mounted};
use crate::fuse::{Op, TimeOuts};

const LONG: Duration = Duration::from_secs(1_000);

fn inode(path: &Path) -> u64 {
    path.symlink_metadata().unwrap().ino()
}

/// The inode a name leads to, and its size, as fresh as statx(2) can be asked for.
fn fresh(path: &Path) -> Result<(u64, u64), Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_FORCE_SYNC;
    rustix::fs::statx(CWD, path, flags, StatxFlags::BASIC_STATS).map(|stat| (stat.stx_ino, stat.stx_size))
}

fn listed(path: &Path) -> Vec<(OsString, u64)> {
    let mut all: Vec<_> = fs::read_dir(path).unwrap().map(|e| e.unwrap()).map(|e| (e.file_name(), e.ino())).collect();
    all.sort();
    all
}

/// A file `a` that is known to the client by name, and that another client then gave another name, with a new file in its
/// place. Gives the inode numbers of the old and the new one.
fn replaced_behind_our_back(m: &Mounted) -> (u64, u64) {
    fs::write(m.backing.join("a"), "old").unwrap();
    let old = inode(&m.at.join("a"));
    fs::rename(m.backing.join("a"), m.backing.join("b")).unwrap();
    fs::write(m.backing.join("a"), "newer").unwrap();
    (old, inode(&m.backing.join("a")))
}

#[test]
fn at_first_nothing_is_believed() {
    let m = mounted();
    assert!(!m.at.join("a").exists());
    let (_, new) = replaced_behind_our_back(&m);
    assert_eq!(inode(&m.at.join("a")), new);
    fs::write(m.backing.join("a"), "much longer").unwrap();
    assert_eq!(fs::metadata(m.at.join("a")).unwrap().len(), 11);
    fs::remove_file(m.backing.join("a")).unwrap();
    assert!(!m.at.join("a").exists());
}

#[test]
fn a_name_is_stale_until_its_time_is_over_whatever_statx_is_asked() {
    let m = mounted();
    let names = Duration::from_secs(2);
    m.control.set_time_outs(TimeOuts { names, ..TimeOuts::default() });
    fs::write(m.backing.join("a"), "old").unwrap();
    let told = Instant::now();
    let old = inode(&m.at.join("a"));
    fs::rename(m.backing.join("a"), m.backing.join("b")).unwrap();
    fs::write(m.backing.join("a"), "newer").unwrap();
    fs::write(m.backing.join("b"), "old, and longer").unwrap();
    // Attributes are fresh; but of what the name was, not of what it is.
    assert_eq!(fresh(&m.at.join("a")), Ok((old, 15)));
    assert!(told.elapsed() < names, "too slow a machine to see it");
    while fresh(&m.at.join("a")).unwrap().0 == old {
        assert!(told.elapsed() < 10 * names);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(told.elapsed() + Duration::from_millis(100) >= names, "after {:?}", told.elapsed());
    assert_eq!(fresh(&m.at.join("a")), Ok((inode(&m.backing.join("a")), 5)));
}

#[test]
fn a_stale_name_of_something_removed_is_looked_up_anew() {
    // ESTALE makes the kernel ask for the name once more; so it does on NFS.
    let m = mounted();
    m.control.set_time_outs(TimeOuts { names: LONG, ..TimeOuts::default() });
    fs::write(m.backing.join("a"), "").unwrap();
    inode(&m.at.join("a"));
    fs::remove_file(m.backing.join("a")).unwrap();
    m.control.reset_counts();
    assert_eq!(fresh(&m.at.join("a")), Err(Errno::NOENT));
    assert!(m.control.count(Op::Lookup) > 0);
}

#[test]
fn a_listing_shows_the_truth_while_the_name_is_stale() {
    for read_before in [false, true] {
        let m = mounted();
        m.control.set_time_outs(TimeOuts { attributes: LONG, names: LONG, absences: LONG });
        fs::write(m.backing.join("c"), "").unwrap();
        assert!(!m.at.join("b").exists());
        if read_before {
            assert_eq!(listed(&m.at).len(), 1);
        }
        let (old, new) = replaced_behind_our_back(&m);
        fs::remove_file(m.backing.join("c")).unwrap();
        assert_eq!(fresh(&m.at.join("a")).unwrap().0, old, "the name is stale");
        assert_eq!(errno(fs::metadata(m.at.join("b"))), Errno::NOENT, "and so is the absence");
        let truth = vec![("a".into(), new), ("b".into(), old)];
        assert_eq!(listed(&m.at), truth, "read before: {read_before}");
        // Listing does not mend the names.
        assert_eq!(fresh(&m.at.join("a")).unwrap().0, old);
    }
}

#[test]
fn a_directory_that_is_held_lists_what_is_in_it_now() {
    let m = mounted();
    m.control.set_time_outs(TimeOuts { attributes: LONG, names: LONG, absences: LONG });
    fs::create_dir(m.backing.join("dir")).unwrap();
    let held = workspace_hygiene::fsio::Dir::open_root(&m.at.join("dir")).unwrap();
    assert_eq!(held.names().unwrap().len(), 0);
    fs::write(m.backing.join("dir/new"), "").unwrap();
    assert_eq!(held.names().unwrap().len(), 1);
    fs::rename(m.backing.join("dir"), m.backing.join("moved")).unwrap();
    fs::create_dir(m.backing.join("dir")).unwrap();
    assert_eq!(held.names().unwrap().len(), 1, "the directory that is held, whatever its name refers to");
}

#[test]
fn an_absence_is_believed_until_we_make_the_name_ourselves() {
    let m = mounted();
    m.control.set_time_outs(TimeOuts { absences: LONG, ..TimeOuts::default() });
    assert!(!m.at.join("a").exists() && !m.at.join("b").exists());
    fs::write(m.backing.join("a"), "theirs").unwrap();
    assert!(!m.at.join("a").exists());
    // Making it asks the server, who knows better.
    assert_eq!(errno(fs::create_dir(m.at.join("a"))), Errno::EXIST);
    fs::write(m.at.join("b"), "ours").unwrap();
    assert!(m.at.join("b").exists());
}

#[test]
fn attributes_are_stale_unless_they_are_asked_for_fresh() {
    let m = mounted();
    m.control.set_time_outs(TimeOuts { attributes: LONG, names: LONG, ..TimeOuts::default() });
    fs::write(m.backing.join("a"), "1").unwrap();
    assert_eq!(fs::metadata(m.at.join("a")).unwrap().len(), 1);
    fs::write(m.backing.join("a"), "123").unwrap();
    assert_eq!(fs::metadata(m.at.join("a")).unwrap().len(), 1);
    assert_eq!(fresh(&m.at.join("a")).unwrap().1, 3);
}

#[test]
fn the_server_has_a_clock_of_its_own() {
    let m = mounted();
    m.control.set_clock_ahead(-3_600);
    let before = SystemTime::now();
    fs::write(m.at.join("file"), "x").unwrap();
    let shown = fs::metadata(m.at.join("file")).unwrap();
    let ago = before.duration_since(shown.modified().unwrap()).unwrap();
    assert!(ago > Duration::from_secs(3_590) && ago < Duration::from_secs(3_610), "{ago:?}");
    assert_eq!(shown.ctime(), shown.mtime());
    // A time that is set is what it shows from then on.
    let then = SystemTime::UNIX_EPOCH + Duration::new(1_500_000_000, 123_456_789);
    fs::File::options().write(true).open(m.at.join("file")).unwrap().set_modified(then).unwrap();
    assert_eq!(fs::metadata(m.at.join("file")).unwrap().modified().unwrap(), then);
    let behind = fs::metadata(m.backing.join("file")).unwrap().modified().unwrap();
    assert_eq!(behind, then + Duration::from_secs(3_600));
}
