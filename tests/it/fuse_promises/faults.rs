//! Calls that fail, that only seem to fail, that hang, and what else happens meanwhile.

use std::fs;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use super::{errno, mounted};
use crate::fuse::Op;

#[test]
fn a_call_can_fail_with_any_error_and_is_then_not_done() {
    let m = mounted();
    fs::create_dir(m.at.join("dir")).unwrap();
    for refused in [Errno::IO, Errno::STALE, Errno::ACCESS, Errno::NOSPC, Errno::ROFS, Errno::BUSY, Errno::NOTEMPTY] {
        m.control.on(Op::Rmdir, "dir").times(2).fail(refused);
        // The kernel asks again once it is told that what it holds is stale.
        let said = errno(fs::remove_dir(m.at.join("dir")));
        assert_eq!(said, refused);
        m.control.clear();
        assert!(m.backing.join("dir").exists(), "{refused:?}");
    }
    fs::remove_dir(m.at.join("dir")).unwrap();
}

#[test]
fn a_success_can_be_reported_as_an_error() {
    let m = mounted();
    fs::create_dir_all(m.at.join("a/inside")).unwrap();
    m.control.on(Op::Rename, "a").times(1).succeed_but_answer(Errno::NOENT);
    assert_eq!(errno(fs::rename(m.at.join("a"), m.at.join("b"))), Errno::NOENT);
    assert!(m.backing.join("b/inside").exists() && !m.backing.join("a").exists());
    assert!(m.at.join("b/inside").exists() && !m.at.join("a").exists());
    m.control.on(Op::Mkdir, "c").times(1).succeed_but_answer(Errno::IO);
    assert_eq!(errno(fs::create_dir(m.at.join("c"))), Errno::IO);
    assert_eq!(errno(fs::create_dir(m.at.join("c"))), Errno::EXIST);
    // What really failed says so itself.
    m.control.on(Op::Rmdir, "b").succeed_but_answer(Errno::IO);
    assert_eq!(errno(fs::remove_dir(m.at.join("b"))), Errno::NOTEMPTY);
}

#[test]
fn faults_are_for_the_calls_they_name_and_as_many_of_them() {
    let m = mounted();
    let make = |name: &str| fs::create_dir(m.at.join(name));
    m.control.on(Op::Mkdir, "x*").nth(2).fail(Errno::IO);
    make("y1").unwrap();
    make("x1").unwrap();
    make("y2").unwrap();
    assert_eq!(errno(make("x2")), Errno::IO);
    make("x3").unwrap();
    m.control.on(Op::Mkdir, "x1/**").times(2).fail(Errno::NOSPC);
    make("deep").unwrap();
    assert_eq!(errno(make("x1/deep")), Errno::NOSPC);
    assert_eq!(errno(make("x1/deep")), Errno::NOSPC);
    make("x1/deep").unwrap();
    m.control.on(None, "/deep").fail(Errno::IO);
    assert_eq!(errno(fs::metadata(m.at.join("deep"))), Errno::IO);
    fs::metadata(m.at.join("x1/deep")).unwrap();
    m.control.clear();
    fs::metadata(m.at.join("deep")).unwrap();
}

#[test]
fn a_fault_finds_an_open_file_by_the_name_it_has_now() {
    let m = mounted();
    fs::write(m.at.join("before"), "x").unwrap();
    let file = fs::OpenOptions::new().write(true).open(m.at.join("before")).unwrap();
    fs::rename(m.at.join("before"), m.at.join("now")).unwrap();
    m.control.on(Op::Fsync, "now").fail(Errno::IO);
    assert_eq!(errno(file.sync_all()), Errno::IO);
}

#[test]
fn a_page_of_a_directory_can_fail() {
    let m = mounted();
    for n in 0..2_000 {
        fs::write(m.backing.join(format!("a-rather-long-name-so-that-pages-fill-up-{n:04}")), "").unwrap();
    }
    assert_eq!(fs::read_dir(&m.at).unwrap().filter(Result::is_ok).count(), 2_000);
    m.control.on(Op::Readdir, "*").nth(2).fail(Errno::IO);
    let listed: Vec<_> = fs::read_dir(&m.at).unwrap().collect();
    assert!(listed.iter().any(Result::is_err) && listed.len() > 100, "{}", listed.len());
}

#[test]
fn a_hang_is_released() {
    let m = mounted();
    let hang = m.control.on(Op::Mkdir, "slow").hang();
    let (path, started) = (m.at.join("slow"), Instant::now());
    let caller = std::thread::spawn(move || fs::create_dir(path));
    hang.wait_until_reached();
    std::thread::sleep(Duration::from_millis(50));
    assert!(!caller.is_finished() && !m.backing.join("slow").exists());
    hang.release();
    caller.join().unwrap().unwrap();
    assert!(started.elapsed() >= Duration::from_millis(50) && m.backing.join("slow").exists());
}

#[test]
fn an_answer_can_hang_when_the_work_is_done() {
    let m = mounted();
    let hang = m.control.on(Op::Mkdir, "slow").hang_after();
    let path = m.at.join("slow");
    let caller = std::thread::spawn(move || fs::create_dir(path));
    hang.wait_until_reached();
    assert!(m.backing.join("slow").exists() && !caller.is_finished());
    drop(hang);
    caller.join().unwrap().unwrap();
}

#[test]
fn nobody_hangs_for_ever() {
    let m = mounted();
    let hang = m.control.on(Op::Lookup, "*").hang();
    let callers: Vec<_> = (0..8)
        .map(|n| {
            let path = m.at.join(n.to_string());
            std::thread::spawn(move || path.symlink_metadata().is_ok())
        })
        .collect();
    hang.wait_until_reached_by(8);
    drop(m);
    for caller in callers {
        assert!(!caller.join().unwrap());
    }
    drop(hang);
}

#[test]
fn what_a_name_refers_to_can_be_swapped_between_the_look_and_the_rename() {
    let m = mounted();
    fs::create_dir(m.at.join("victim")).unwrap();
    let looked_at = fs::metadata(m.at.join("victim")).unwrap();
    let backing = m.backing.clone();
    m.control.before(Op::Rename, "victim", move || {
        fs::rename(backing.join("victim"), backing.join("aside")).unwrap();
        fs::create_dir(backing.join("victim")).unwrap();
        fs::write(backing.join("victim/work"), "new").unwrap();
    });
    let backing = m.backing.clone();
    m.control.after(Op::Rename, "victim", move || fs::write(backing.join("victim"), "again").unwrap());
    fs::rename(m.at.join("victim"), m.at.join("moved")).unwrap();
    assert_eq!(fs::read_to_string(m.at.join("moved/work")).unwrap(), "new");
    assert_eq!(fs::read_to_string(m.at.join("victim")).unwrap(), "again");
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(m.at.join("aside")).unwrap().ino(), looked_at.ino());
}

#[test]
fn a_hook_that_panics_fails_its_call_and_the_test() {
    let m = mounted();
    m.control.before(Op::Mkdir, "dir", || std::panic::resume_unwind(Box::new("wrong")));
    assert_eq!(errno(fs::create_dir(m.at.join("dir"))), Errno::IO);
    let ended = std::thread::spawn(move || drop(m.fuse)).join();
    assert!(ended.is_err());
}

#[test]
fn flags_of_a_rename_are_refused_as_on_efs_unless_they_are_allowed() {
    let m = mounted();
    fs::create_dir(m.at.join("a")).unwrap();
    fs::create_dir(m.at.join("b")).unwrap();
    let rename = |to: &str| rustix::fs::renameat_with(CWD, m.at.join("a"), CWD, m.at.join(to), RenameFlags::NOREPLACE);
    assert_eq!(rename("c"), Err(Errno::INVAL));
    assert!(m.at.join("a").exists());
    m.control.take_rename_flags(true);
    assert_eq!(rename("b"), Err(Errno::EXIST));
    rename("c").unwrap();
}
