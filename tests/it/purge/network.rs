//! The engine on a file system that behaves as EFS does.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use workspace_hygiene::fsio::Dir;
use workspace_hygiene::purge::{Engine, Pace, Watcher};
use workspace_hygiene::stop::Stop;

use super::{Counting, remove, remove_unjudged};
use crate::fuse::{Fuse, Op};

struct Volume {
    fuse: Fuse,
    folder: tempfile::TempDir,
}

impl Volume {
    /// A volume with a tree of so many directories, each with so many files.
    fn with(directories: u32, files: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("volume");
        fs::create_dir(&at).unwrap();
        let fuse = Fuse::beside(folder.path(), &at);
        for dir in 0..directories {
            let path = fuse.backing().join(format!("tree/{}/{dir}", dir % 5));
            fs::create_dir_all(&path).unwrap();
            (0..files).for_each(|n| fs::write(path.join(n.to_string()), "x").unwrap());
        }
        Self { fuse, folder }
    }

    fn at(&self) -> std::path::PathBuf {
        self.folder.path().join("volume")
    }
}

#[test]
fn many_calls_are_in_flight_at_once_and_never_more_than_it_was_allowed() {
    let volume = Volume::with(60, 10);
    let control = volume.fuse.control();
    control.set_latency(Duration::from_millis(2), Duration::from_millis(2));
    control.reset_peak();
    let removed = remove(&volume.at(), "tree", 16);
    assert!(removed.whole && removed.entries == 60 * 11 + 6, "{removed:?}");
    // What the kernel forgets and closes for it comes beside the workers' own calls.
    assert!(control.peak() >= 6 && control.peak() <= 16 + 8, "{}", control.peak());
}

/// What each error of one call comes to: the rest goes, and what is left goes with the next purge.
#[test]
fn an_error_of_one_call_costs_no_more_than_what_it_is_about() {
    for (op, errno, whole) in [
        (Op::Unlink, Errno::IO, false),
        (Op::Unlink, Errno::BUSY, false),
        (Op::Unlink, Errno::STALE, true),
        (Op::Unlink, Errno::NOENT, false),
        (Op::Rmdir, Errno::NOTEMPTY, true),
        (Op::Rmdir, Errno::IO, false),
        (Op::Opendir, Errno::STALE, true),
        (Op::Readdir, Errno::IO, false),
    ] {
        let volume = Volume::with(6, 3);
        // The kernel tries once more by itself where a handle is stale; by one worker, so that both are about one entry.
        let (times, workers) = if errno == Errno::STALE { (2, 1) } else { (1, 4) };
        volume.fuse.control().on(op, "tree/**").times(times).fail(errno);
        let first = remove_unjudged(&volume.at(), "tree", workers);
        let there = volume.at().join("tree").exists();
        // An entry that was said to be gone and is not shows itself when its directory is to go.
        let again = errno == Errno::NOENT && first.whole;
        assert!(first.whole == whole || again, "{op:?} {errno:?}: {first:?}");
        assert_eq!(first.whole, !there, "{op:?} {errno:?}");
        assert_eq!(first.failed == 0, first.whole, "{op:?} {errno:?}: {first:?}");
        volume.fuse.control().clear();
        assert!(remove(&volume.at(), "tree", 4).whole, "{op:?} {errno:?}");
    }
}

/// A directory that is never empty, whatever is removed from it: it is read a few times more, and then named.
#[test]
fn a_directory_that_never_becomes_empty_is_given_up() {
    struct Until(Instant);
    impl Watcher for Until {
        fn may_go_on(&self) -> Result<(), String> {
            if Instant::now() < self.0 { Ok(()) } else { Err("it goes on for ever".into()) }
        }

        fn removed(&self, _entries: u64) {}
    }
    let volume = Volume::with(1, 2);
    volume.fuse.control().on(Op::Rmdir, "tree/0/0").fail(Errno::NOTEMPTY);
    let engine = Engine::new(Arc::new(Pace::new(None, 4)), false);
    let until = Until(Instant::now() + Duration::from_secs(20));
    let removed = engine.remove(Dir::open_root(&volume.at()).unwrap(), "tree".as_ref(), &Stop::default(), &until);
    assert_eq!((removed.whole, removed.halted.as_deref(), removed.failed), (false, None, 1), "{removed:?}");
    assert_eq!((removed.errors[0].0.as_str(), removed.errors[0].1.errno), ("tree/0/0", Errno::NOTEMPTY));
    assert!(volume.fuse.control().count(Op::Rmdir) <= 10);
}

/// A hard mount hangs rather than fails: its worker waits, and whoever asked it to stop does not.
#[test]
fn a_call_that_hangs_holds_its_worker_alone() {
    let volume = Volume::with(20, 5);
    let hang = volume.fuse.control().on(Op::Unlink, "tree/0/0/3").hang();
    let stop = Stop::default();
    let asked = stop.clone();
    let at = volume.at();
    let removing = std::thread::spawn(move || {
        let engine = Engine::new(Arc::new(Pace::new(None, 8)), false);
        let folder = Dir::open_root(&at).unwrap();
        engine.remove(folder, "tree".as_ref(), &stop, &Counting::default())
    });
    hang.wait_until_reached();
    let everything_else = || {
        let files = |dir: &Path| fs::read_dir(dir).map_or(0, |all| all.count());
        let tree = volume.fuse.backing().join("tree");
        files(&tree) == 1 && files(&tree.join("0")) == 1
    };
    let begun = Instant::now();
    while !everything_else() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the rest does not go");
        std::thread::sleep(Duration::from_millis(20));
    }
    let begun = Instant::now();
    asked.request();
    let removed = removing.join().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10), "it waited for the call that hangs");
    assert_eq!((removed.whole, removed.halted.as_deref()), (false, Some("")));
    hang.release();
    assert!(remove(&volume.at(), "tree", 4).whole);
}
