//! Random hostile trees, removed while others swap, create and rename in them: nothing outside changes.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::{remove, seen};

/// Numbers that look random and come again with the same seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// A tree with directories, files, links to anywhere and other names of the files outside.
fn grow(dice: &mut Dice, tree: &Path, outside: &Path) -> Vec<PathBuf> {
    fs::create_dir(tree).unwrap();
    let mut dirs = vec![tree.to_owned()];
    for n in 0..dice.below(60) + 5 {
        let parent = dirs[dice.below(dirs.len() as u64) as usize].clone();
        let path = parent.join(format!("n{n}"));
        match dice.below(8) {
            0..=2 => {
                fs::create_dir(&path).unwrap();
                dirs.push(path);
            }
            3 => std::os::unix::fs::symlink(outside, &path).unwrap(),
            4 => std::os::unix::fs::symlink("../../..", &path).unwrap(),
            5 => fs::hard_link(outside.join("file"), &path).unwrap(),
            6 => std::os::unix::fs::symlink(outside.join("dir"), &path).unwrap(),
            _ => fs::write(&path, "x").unwrap(),
        }
    }
    dirs
}

/// Makes something in a directory of the tree, and never behind a symlink that stands in its place just then.
fn make(tree: &Path, dir: &Path, what: impl FnOnce(&OwnedFd) -> rustix::io::Result<()>) -> rustix::io::Result<()> {
    let top = rustix::fs::open(tree, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())?;
    let below = dir.strip_prefix(tree).ok().filter(|below| !below.as_os_str().is_empty());
    let below = below.unwrap_or(Path::new("."));
    let never = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    what(&rustix::fs::openat2(&top, below, OFlags::DIRECTORY | OFlags::PATH, Mode::empty(), never)?)
}

/// Swaps directories of the tree for symlinks to what is outside, and back, and makes new ones.
fn disturb(dice: &mut Dice, dirs: &[PathBuf], outside: &Path, over: &AtomicBool) {
    let mut n = 0;
    while !over.load(Ordering::Relaxed) {
        n += 1;
        let dir = &dirs[dice.below(dirs.len() as u64) as usize];
        // Any of these may fail, since the tree goes away meanwhile.
        match dice.below(4) {
            0 => {
                let aside = dir.with_extension("aside");
                if dir != &dirs[0] && fs::rename(dir, &aside).is_ok() {
                    let _ = std::os::unix::fs::symlink(outside, dir);
                }
            }
            1 => {
                if dir.is_symlink() {
                    let _ = fs::remove_file(dir);
                    let _ = fs::rename(dir.with_extension("aside"), dir);
                }
            }
            2 if n % 8 == 0 => {
                _ = make(&dirs[0], dir, |at| {
                    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
                    rustix::fs::openat(at, format!("new-{n}"), flags, Mode::RUSR).map(drop)
                })
            }
            3 if n % 16 == 0 => {
                let _ = make(&dirs[0], dir, |at| rustix::fs::symlinkat(outside, at, format!("to-{n}")));
            }
            _ => std::thread::yield_now(),
        }
    }
}

/// Each round is a tree of its own; half of them are disturbed.
#[test]
fn nothing_outside_changes_whatever_is_done_inside() {
    const TREES: u64 = 2_000;
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    fs::create_dir_all(outside.join("dir/below")).unwrap();
    fs::write(outside.join("file"), "somebody's work").unwrap();
    fs::write(outside.join("dir/below/file"), "somebody's work").unwrap();
    let before = seen(&outside);
    let trees = folder.path().join("trees");
    fs::create_dir(&trees).unwrap();
    for seed in 0..TREES {
        let mut dice = Dice(seed);
        let dirs = grow(&mut dice, &trees.join("tree"), &outside);
        let over = AtomicBool::new(seed % 2 == 0);
        std::thread::scope(|scope| {
            scope.spawn(|| disturb(&mut Dice(!seed), &dirs, &outside, &over));
            let workers = 1 + dice.below(8) as usize;
            let removed = super::remove_unjudged(&trees, "tree", workers);
            over.store(true, Ordering::Relaxed);
            let expected = |error: &rustix::io::Errno| {
                matches!(*error, rustix::io::Errno::NOTEMPTY | rustix::io::Errno::NOTDIR | rustix::io::Errno::NOENT)
            };
            assert!(
                removed.errors.iter().all(|(_, error)| seed % 2 == 1 && expected(&error.errno)),
                "seed {seed}: {removed:?}"
            );
        });
        assert!(remove(&trees, "tree", 4).whole, "seed {seed}");
        assert_eq!(seen(&outside), before, "seed {seed}");
    }
    assert_eq!(fs::read_dir(&trees).unwrap().count(), 0);
}
