//! What must hold of the calls whatever is built on them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;

fn dir(path: &Path) -> Dir {
    Dir::open_root(path).unwrap()
}

fn name(text: &str) -> &OsStr {
    OsStr::new(text)
}

#[test]
fn nothing_but_one_component_reaches_the_kernel() {
    let temp = tempfile::tempdir().unwrap();
    fs::create_dir_all(temp.path().join("a/b")).unwrap();
    let root = dir(temp.path());
    for bad in ["", ".", "..", "a/b", "/etc", "a/"] {
        let bad = name(bad);
        assert_eq!(root.open_dir(bad).unwrap_err().errno, Errno::INVAL, "{bad:?}");
        assert_eq!(root.facts(bad).unwrap_err().errno, Errno::INVAL, "{bad:?}");
        assert_eq!(root.unlink(bad).unwrap_err().errno, Errno::INVAL, "{bad:?}");
        assert_eq!(root.remove_dir(bad).unwrap_err().errno, Errno::INVAL, "{bad:?}");
        assert_eq!(root.make_dir(bad).unwrap_err().errno, Errno::INVAL, "{bad:?}");
        assert_eq!(root.rename(bad, &root, name("c")).unwrap_err().errno, Errno::INVAL, "{bad:?}");
        assert_eq!(root.rename(name("a"), &root, bad).unwrap_err().errno, Errno::INVAL, "{bad:?}");
        assert_eq!(root.rename_new(name("a"), &root, bad).unwrap_err().errno, Errno::INVAL, "{bad:?}");
    }
    assert!(temp.path().join("a/b").exists());
}

#[test]
fn a_symlink_is_described_and_unlinked_and_never_followed() {
    let temp = tempfile::tempdir().unwrap();
    fs::create_dir(temp.path().join("target")).unwrap();
    symlink("target", temp.path().join("link")).unwrap();
    let root = dir(temp.path());
    assert_eq!(root.facts(name("link")).unwrap().kind, Kind::Symlink);
    assert_eq!(root.open_dir(name("link")).unwrap_err().errno, Errno::NOTDIR);
    assert_eq!(root.read_file(name("link"), 10).unwrap_err().errno, Errno::LOOP);
    assert_eq!(root.open_file(name("link")).unwrap_err().errno, Errno::LOOP);
    root.unlink(name("link")).unwrap();
    assert!(temp.path().join("target").exists());
}

/// Both ways of moving to a new name: by the kernel's flag, and the one for file systems without it.
type Move = fn(&Dir, &OsStr, &Dir, &OsStr) -> Result<(), FsError>;
const WAYS: [Move; 2] = [Dir::rename_new, Dir::rename_over_placeholder];

#[test]
fn a_move_to_a_new_name_never_replaces_what_exists() {
    for way in WAYS {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("tree/inside")).unwrap();
        fs::create_dir(temp.path().join("empty")).unwrap();
        fs::create_dir_all(temp.path().join("full/inside")).unwrap();
        fs::write(temp.path().join("file"), "precious").unwrap();
        symlink("nowhere", temp.path().join("dangling")).unwrap();
        let root = dir(temp.path());
        for taken in ["empty", "full", "file", "dangling"] {
            let error = way(&root, name("tree"), &root, name(taken)).unwrap_err();
            assert_eq!(error.errno, Errno::EXIST, "{taken}");
        }
        assert_eq!(fs::read_to_string(temp.path().join("file")).unwrap(), "precious");
        way(&root, name("tree"), &root, name("new")).unwrap();
        assert!(temp.path().join("new/inside").exists() && !temp.path().join("tree").exists());
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 5);
    }
}

#[test]
fn a_move_that_fails_leaves_no_placeholder() {
    let temp = tempfile::tempdir().unwrap();
    let root = dir(temp.path());
    for way in WAYS {
        assert_eq!(way(&root, name("missing"), &root, name("new")).unwrap_err().errno, Errno::NOENT);
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_file_is_replaced_as_a_whole_also_after_a_crash_left_a_part() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("state.new"), "half").unwrap();
    let root = dir(temp.path());
    root.replace_file(name("state"), b"one").unwrap();
    root.replace_file(name("state"), b"two").unwrap();
    assert_eq!(root.read_file(name("state"), 3).unwrap().unwrap(), b"two");
    assert_eq!(root.read_file(name("state"), 2).unwrap_err().errno, Errno::FBIG);
    assert_eq!(root.read_file(name("none"), 2).unwrap(), None);
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
}

#[test]
fn a_fifo_in_place_of_a_file_is_refused_and_does_not_hang() {
    let temp = tempfile::tempdir().unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, temp.path().join("fifo"), Mode::RWXU).unwrap();
    assert_eq!(dir(temp.path()).read_file(name("fifo"), 10).unwrap_err().errno, Errno::INVAL);
}

#[test]
fn unknown_is_not_absent() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("file"), "").unwrap();
    let root = dir(temp.path());
    assert_eq!(root.find(name("nothing")).unwrap(), None);
    let long = "x".repeat(300);
    assert_eq!(root.find(name(&long)).unwrap_err().errno, Errno::NAMETOOLONG);
}

/// The way without openat2(2) refuses what openat2 refuses.
#[test]
fn without_openat2_nothing_else_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::create_dir_all(path.join("dir")).unwrap();
    std::fs::create_dir(path.join("mounted")).unwrap();
    std::os::unix::fs::symlink("dir", path.join("link")).unwrap();
    rustix::mount::mount_bind(path.join("dir"), path.join("mounted")).unwrap();
    let dir = Dir::open_root(path).unwrap();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = |name: &str| dir.open_and_compare(OsStr::new(name), flags, Mode::empty()).map(drop);
    assert_eq!(open("dir"), Ok(()));
    assert!(matches!(open("link"), Err(Errno::NOTDIR | Errno::LOOP)));
    assert_eq!(open("mounted"), Err(Errno::XDEV));
    rustix::mount::unmount(path.join("mounted"), rustix::mount::UnmountFlags::DETACH).unwrap();
}

#[test]
fn a_root_below_another_is_reached_over_no_symlink_and_by_no_other_way() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("base");
    std::fs::create_dir_all(base.join("team/volume")).unwrap();
    std::fs::create_dir_all(folder.path().join("other/volume")).unwrap();
    std::os::unix::fs::symlink("../other", base.join("link")).unwrap();
    std::os::unix::fs::symlink("../../other/volume", base.join("team/last")).unwrap();
    assert!(Dir::open_root_below(&base, &base).is_ok());
    assert!(Dir::open_root_below(&base, &base.join("team/volume")).is_ok());
    for path in ["link/volume", "team/last", "team/../../other", "nothing"] {
        assert!(Dir::open_root_below(&base, &base.join(path)).is_err(), "{path}");
    }
    assert!(Dir::open_root_below(&base, folder.path()).is_err());
}
