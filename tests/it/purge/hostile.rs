//! Trees that resist, and file systems that misbehave.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use workspace_hygiene::fsio::Dir;
use workspace_hygiene::purge::{Engine, Pace, Watcher};
use workspace_hygiene::stop::Stop;

use super::{Counting, remove, seen};

fn bind(from: &Path, to: &Path) {
    rustix::mount::mount_bind(from, to).unwrap();
}

fn unbind(at: &Path) {
    rustix::mount::unmount(at, rustix::mount::UnmountFlags::DETACH).unwrap();
}

#[test]
fn nothing_behind_a_mount_a_symlink_or_another_name_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let (tree, outside) = (folder.path().join("tree"), folder.path().join("outside"));
    fs::create_dir_all(tree.join("a/b")).unwrap();
    fs::create_dir_all(outside.join("deep/er")).unwrap();
    fs::write(outside.join("deep/er/file"), "somebody's work").unwrap();
    fs::write(outside.join("file"), "somebody's work").unwrap();
    for (name, to) in
        [("up", ".."), ("self", "."), ("out", "../outside"), ("far", "/etc"), ("loop", "loop"), ("none", "nowhere")]
    {
        std::os::unix::fs::symlink(to, tree.join(name)).unwrap();
        std::os::unix::fs::symlink(to, tree.join("a").join(name)).unwrap();
    }
    fs::hard_link(outside.join("file"), tree.join("a/linked")).unwrap();
    let fifo = Command::new("mkfifo").arg(tree.join("a/fifo")).status().unwrap();
    assert!(fifo.success());
    std::os::unix::net::UnixListener::bind(tree.join("a/socket")).unwrap();
    fs::write(tree.join(OsStr::from_bytes(b"\xff\n not \x80 text")), "x").unwrap();
    fs::create_dir(tree.join("mounted")).unwrap();
    fs::write(tree.join("mounted-file"), "").unwrap();
    bind(&outside, &tree.join("mounted"));
    bind(&outside.join("file"), &tree.join("mounted-file"));
    let before = seen(&outside);
    let removed = remove(folder.path(), "tree", 8);
    unbind(&tree.join("mounted"));
    unbind(&tree.join("mounted-file"));
    assert!(!removed.whole && removed.failed == 2, "{removed:?}");
    let mut named: Vec<_> = removed.errors.iter().map(|(path, error)| (path.as_str(), error.errno)).collect();
    named.sort_by_key(|(path, _)| *path);
    assert_eq!(named, [("tree/mounted", Errno::XDEV), ("tree/mounted-file", Errno::BUSY)]);
    assert_eq!(seen(&outside), before);
    assert!(remove(folder.path(), "tree", 8).whole, "what was left goes once nothing is mounted there");
}

#[test]
fn what_cannot_be_removed_is_named_and_the_rest_goes() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    fs::create_dir_all(tree.join("a/b")).unwrap();
    fs::write(tree.join("a/b/fixed"), "x").unwrap();
    fs::write(tree.join("a/b/other"), "x").unwrap();
    fs::create_dir(tree.join("c")).unwrap();
    let fix = |flag: &str| Command::new("chattr").arg(flag).arg(tree.join("a/b/fixed")).output().unwrap();
    if !fix("+i").status.success() {
        // tmpfs knows no such flag before Linux 6.6: a mount has the same effect.
        bind(&tree.join("a/b/fixed"), &tree.join("a/b/fixed"));
    }
    let removed = remove(folder.path(), "tree", 4);
    assert_eq!((removed.whole, removed.failed, removed.errors[0].0.as_str()), (false, 1, "tree/a/b/fixed"));
    assert_eq!(removed.entries, 2, "{removed:?}");
    if !fix("-i").status.success() {
        unbind(&tree.join("a/b/fixed"));
    }
    rustix::mount::unmount(tree.join("a/b/fixed"), rustix::mount::UnmountFlags::DETACH).ok();
    assert!(remove(folder.path(), "tree", 4).whole);
}

/// Somebody goes on writing into the tree: a bounded number of passes, and then an error.
#[test]
fn a_tree_that_is_written_to_all_the_time_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                // Once the tree is gone nothing can be made in it.
                let _ = fs::write(tree.join(format!("new-{n}")), "x");
            }
        });
        let engine = Engine::new(Arc::new(Pace::new(None, 4)), false);
        let begun = Instant::now();
        let removed = engine.remove(
            Dir::open_root(folder.path()).unwrap(),
            "tree".as_ref(),
            &Stop::default(),
            &Counting::default(),
        );
        over.store(true, Ordering::Relaxed);
        assert!(begun.elapsed() < Duration::from_secs(60));
        assert!(removed.whole || removed.errors[0].1.errno == Errno::NOTEMPTY, "{removed:?}");
    });
    fs::remove_dir_all(&tree).ok();
}

/// Says no, or asks to stop, once so many entries are gone.
struct UpTo<'a> {
    stop: Option<&'a Stop>,
    gone: std::sync::atomic::AtomicU64,
    most: u64,
}

impl Watcher for UpTo<'_> {
    fn may_go_on(&self) -> Result<(), String> {
        match (self.gone.load(Ordering::Relaxed) >= self.most, self.stop) {
            (false, _) => Ok(()),
            (true, None) => Err("the service is unhealthy".into()),
            (true, Some(stop)) => {
                stop.request();
                Ok(())
            }
        }
    }

    fn removed(&self, entries: u64) {
        self.gone.fetch_add(entries, Ordering::Relaxed);
    }
}

#[test]
fn it_stops_when_it_is_told_and_the_next_one_finishes() {
    for asked in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..2_000 {
            let dir = folder.path().join(format!("tree/{}", n % 20));
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join(n.to_string()), "x").unwrap();
        }
        let (stop, engine) = (Stop::default(), Engine::new(Arc::new(Pace::new(Some(1_000), 8)), false));
        let up_to = UpTo { stop: asked.then_some(&stop), gone: 0.into(), most: 200 };
        let removed = engine.remove(Dir::open_root(folder.path()).unwrap(), "tree".as_ref(), &stop, &up_to);
        assert!(!removed.whole && removed.failed == 0, "{removed:?}");
        assert_eq!(removed.halted.as_deref(), Some(if asked { "" } else { "the service is unhealthy" }));
        assert!(removed.entries >= 200 && removed.entries < 2_000, "{removed:?}");
        let rest = remove(folder.path(), "tree", 8);
        assert!(rest.whole);
        assert_eq!(removed.entries + rest.entries, 2_021);
    }
}

/// An answer of whoever watches that does not come holds the workers, and nothing else.
#[test]
fn without_a_fresh_yes_nothing_more_is_removed() {
    struct Slow(std::sync::atomic::AtomicU64);
    impl Watcher for Slow {
        fn may_go_on(&self) -> Result<(), String> {
            match self.0.load(Ordering::Relaxed) {
                0 => Ok(()),
                _ => {
                    std::thread::sleep(Duration::from_millis(9_000));
                    Err("it did not answer".into())
                }
            }
        }

        fn removed(&self, entries: u64) {
            self.0.fetch_add(entries, Ordering::Relaxed);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("tree")).unwrap();
    for n in 0..1_000 {
        fs::write(folder.path().join(format!("tree/{n}")), "x").unwrap();
    }
    let engine = Engine::new(Arc::new(Pace::new(Some(100), 4)), false);
    // Without that, nine hundred of them would go.
    let removed =
        engine.remove(Dir::open_root(folder.path()).unwrap(), "tree".as_ref(), &Stop::default(), &Slow(0.into()));
    // A hundred a second, for the five seconds that a yes is good for.
    assert!(removed.entries < 680, "{removed:?}");
    assert_eq!(removed.halted.as_deref(), Some("it did not answer"));
}
