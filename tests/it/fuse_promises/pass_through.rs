//! Everything that is done through it is done, and nothing else.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirEntryExt, FileExt, FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use rustix::fs::{FlockOperation, Mode};
use rustix::io::Errno;

use super::{errno, mounted};
use crate::fuse::Fuse;
use crate::world::manifest;

fn run(program: &str, arguments: &[&Path]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}: {status}");
}

#[test]
fn a_tree_that_is_copied_in_and_removed_by_other_programs_is_the_same_behind_it() {
    let m = mounted();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    run("cp", &[Path::new("-a"), &source, &m.at.join("copy")]);
    let expected = manifest(&source);
    assert!(expected.len() > 50);
    assert_eq!(manifest(&m.at.join("copy")), expected);
    assert_eq!(manifest(&m.backing.join("copy")), expected);
    run("mv", &[&m.at.join("copy"), &m.at.join("moved")]);
    assert_eq!(manifest(&m.backing.join("moved")), expected);
    run("rm", &[Path::new("-r"), &m.at.join("moved")]);
    assert_eq!(fs::read_dir(&m.backing).unwrap().count(), 0);
}

#[test]
fn all_kinds_of_entries_are_made_and_shown_as_they_are_with_the_inode_numbers_behind_them() {
    let m = mounted();
    let at = |name: &str| m.at.join(name);
    fs::create_dir(at("dir")).unwrap();
    fs::write(at("file"), "x").unwrap();
    symlink("nowhere", at("link")).unwrap();
    fs::hard_link(at("file"), at("dir/hard")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, at("fifo"), Mode::RWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    assert_eq!(fs::read_link(at("link")).unwrap(), Path::new("nowhere"));
    assert_eq!(fs::metadata(at("file")).unwrap().nlink(), 2);
    let mut kinds = 0;
    for entry in fs::read_dir(&m.at).unwrap() {
        let entry = entry.unwrap();
        let (there, behind) =
            (entry.metadata().unwrap(), m.backing.join(entry.file_name()).symlink_metadata().unwrap());
        assert_eq!(entry.ino(), behind.ino());
        assert_eq!((there.ino(), there.mode(), there.len()), (behind.ino(), behind.mode(), behind.len()));
        assert_eq!(entry.file_type().unwrap(), behind.file_type());
        kinds += 1;
    }
    assert_eq!(kinds, 5);
    assert!(at("fifo").symlink_metadata().unwrap().file_type().is_fifo());
    assert_eq!(fs::metadata(&m.at).unwrap().ino(), fs::metadata(&m.backing).unwrap().ino());
}

#[test]
fn files_are_written_read_cut_and_appended_to() {
    let m = mounted();
    let path = m.at.join("file");
    let big: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
    fs::write(&path, &big).unwrap();
    assert_eq!(fs::read(m.backing.join("file")).unwrap(), big);
    assert_eq!(fs::read(&path).unwrap(), big);
    let mut file = fs::OpenOptions::new().read(true).append(true).open(&path).unwrap();
    file.set_len(3).unwrap();
    file.write_all(b"end").unwrap();
    file.sync_all().unwrap();
    file.seek(SeekFrom::Start(1)).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text.as_bytes(), [1, 2, b'e', b'n', b'd']);
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 10_000).unwrap();
    assert_eq!(fs::metadata(m.backing.join("file")).unwrap().len(), 10_000);
    fs::write(&path, "new").unwrap();
    assert_eq!(fs::read(m.backing.join("file")).unwrap(), b"new");
    assert!(rustix::fs::statvfs(&m.at).unwrap().f_blocks > 0);
}

#[test]
fn owners_modes_and_permissions_are_those_of_the_caller() {
    let m = mounted();
    fs::set_permissions(&m.at, fs::Permissions::from_mode(0o1777)).unwrap();
    // The temporary folder itself is closed to others.
    fs::set_permissions(m.at.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(m.at.join("closed")).unwrap();
    fs::set_permissions(m.at.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    let script =
        "umask 0; cd \"$0\" && mkdir mine && echo x >mine/file && ln -s x mine/link && ! ls closed && ! rmdir closed";
    let as_other = Command::new("setpriv")
        .args(["--reuid=4321", "--regid=4321", "--clear-groups", "sh", "-c", script])
        .arg(&m.at)
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(as_other.success());
    for (name, mode) in [("mine", 0o40_777), ("mine/file", 0o100_666), ("mine/link", 0o120_777)] {
        let behind = m.backing.join(name).symlink_metadata().unwrap();
        assert_eq!((behind.mode(), behind.uid(), behind.gid()), (mode, 4321, 4321), "{name}");
    }
}

#[test]
fn an_open_directory_stays_itself_when_anybody_renames_it() {
    let m = mounted();
    fs::create_dir_all(m.at.join("one/deep")).unwrap();
    let held = workspace_hygiene::fsio::Dir::open_root(&m.at.join("one/deep")).unwrap();
    fs::rename(m.at.join("one"), m.at.join("two")).unwrap();
    held.write_new("here".as_ref(), b"1").unwrap();
    // Another client, and another directory under the old name.
    fs::rename(m.backing.join("two"), m.backing.join("three")).unwrap();
    fs::create_dir_all(m.backing.join("two/deep")).unwrap();
    held.write_new("there".as_ref(), b"2").unwrap();
    assert_eq!(held.names().unwrap().len(), 2);
    assert_eq!(fs::read(m.backing.join("three/deep/there")).unwrap(), b"2");
    assert_eq!(fs::read_dir(m.at.join("two/deep")).unwrap().count(), 0);
}

#[test]
fn what_another_client_removed_is_stale_and_what_we_removed_ourselves_is_not() {
    let m = mounted();
    for name in ["theirs", "ours", "their-dir"] {
        if name.ends_with("dir") { fs::create_dir(m.at.join(name)) } else { fs::write(m.at.join(name), name) }.unwrap();
    }
    let open = |name: &str| fs::File::open(m.at.join(name)).unwrap();
    let (theirs, ours, dir) = (open("theirs"), open("ours"), open("their-dir"));
    fs::remove_file(m.backing.join("theirs")).unwrap();
    fs::remove_dir(m.backing.join("their-dir")).unwrap();
    fs::remove_file(m.at.join("ours")).unwrap();
    assert_eq!(errno(theirs.metadata()), Errno::STALE);
    assert_eq!(errno(dir.metadata()), Errno::STALE);
    assert_eq!(ours.metadata().unwrap().nlink(), 0);
    let mut text = [0; 4];
    ours.read_exact_at(&mut text, 0).unwrap();
    assert_eq!(&text, b"ours");
}

#[test]
fn a_locked_file_is_locked_for_everybody_on_the_mount() {
    let m = mounted();
    fs::write(m.at.join("lock"), "").unwrap();
    let open = || fs::OpenOptions::new().write(true).open(m.at.join("lock")).unwrap();
    let (one, two) = (open(), open());
    rustix::fs::flock(&one, FlockOperation::NonBlockingLockExclusive).unwrap();
    assert_eq!(rustix::fs::flock(&two, FlockOperation::NonBlockingLockExclusive), Err(Errno::WOULDBLOCK));
    drop(one);
    rustix::fs::flock(&two, FlockOperation::NonBlockingLockExclusive).unwrap();
    rustix::fs::fcntl_lock(&two, FlockOperation::NonBlockingLockExclusive).unwrap();
}

/// Whether something is mounted at `path`.
fn is_mounted(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    mounts.lines().any(|line| line.split(' ').nth(1) == path.to_str())
}

#[test]
fn nothing_stays_mounted_whoever_still_has_it_open_and_however_the_test_ends() {
    let temp = tempfile::tempdir().unwrap();
    let at = temp.path().join("at");
    fs::create_dir(&at).unwrap();
    let fuse = Fuse::beside(temp.path(), &at);
    fs::write(at.join("file"), "x").unwrap();
    assert!(is_mounted(&at));
    let mut busy = Command::new("sleep").arg("60").current_dir(&at).spawn().unwrap();
    let file = fs::File::open(at.join("file")).unwrap();
    let ended = std::thread::Builder::new()
        .spawn(move || {
            let _fuse = fuse;
            // Silent, unlike a panic of the test's own.
            std::panic::resume_unwind(Box::new("the test failed"))
        })
        .unwrap();
    assert!(ended.join().is_err());
    assert!(!is_mounted(&at));
    assert_eq!(errno(file.metadata()), Errno::NOTCONN);
    assert_eq!(fs::read_dir(&at).unwrap().count(), 0);
    busy.kill().unwrap();
    busy.wait().unwrap();
}

#[test]
fn more_entries_than_a_process_may_have_files_open_can_be_seen() {
    let m = mounted();
    fs::create_dir(m.backing.join("many")).unwrap();
    let names = || (0..21_000).map(|n| n.to_string());
    for name in names() {
        fs::write(m.backing.join("many").join(name), "").unwrap();
    }
    for name in names() {
        fs::symlink_metadata(m.at.join("many").join(name)).unwrap();
    }
    let open = fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(open < 15_000, "{open} files are open");
}
