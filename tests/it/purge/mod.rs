//! The purge engine on real trees: wide, deep, hostile, slow, hanging; and nothing outside of them changes.

mod hostile;
mod network;
mod outside;
mod shapes;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use workspace_hygiene::fsio::Dir;
use workspace_hygiene::purge::{Engine, Pace, Removed, Watcher};
use workspace_hygiene::stop::Stop;

/// Lets everything go on, and counts.
#[derive(Default)]
pub struct Counting(AtomicU64);

impl Watcher for Counting {
    fn may_go_on(&self) -> Result<(), String> {
        Ok(())
    }

    fn removed(&self, entries: u64) {
        self.0.fetch_add(entries, Ordering::Relaxed);
    }
}

/// Removes `name` in `folder` with so many workers at most, and makes sure that what was told adds up.
pub fn remove(folder: &Path, name: impl AsRef<OsStr>, workers: usize) -> Removed {
    let engine = Engine::new(Arc::new(Pace::new(None, workers)), true);
    let counting = Counting::default();
    let removed = engine.remove(Dir::open_root(folder).unwrap(), name.as_ref(), &Stop::default(), &counting);
    assert_eq!(counting.0.load(Ordering::Relaxed), removed.entries);
    assert_eq!(removed.whole, fs::symlink_metadata(folder.join(name.as_ref())).is_err(), "{removed:?}");
    assert!(removed.peak <= workers, "{removed:?}");
    removed
}

/// The same of a tree in which others are at work too.
pub fn remove_unjudged(folder: &Path, name: &str, workers: usize) -> Removed {
    let engine = Engine::new(Arc::new(Pace::new(None, workers)), false);
    engine.remove(Dir::open_root(folder).unwrap(), name.as_ref(), &Stop::default(), &Counting::default())
}

/// Everything below a folder with type, mode, links, times and content, without following a symlink.
pub fn seen(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut all = Vec::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(path) = pending.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let content = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        let link = fs::read_link(&path).ok();
        let what = format!("{:o} {} {:?} {link:?} {content:?}", meta.mode(), meta.ino(), meta.modified().unwrap());
        if meta.is_dir() {
            pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        all.push((path, what));
    }
    all.sort();
    all
}
