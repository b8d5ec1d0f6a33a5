//! The trees of the model, and where they are on the disk.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{AtFlags, Timespec, Timestamps};

use crate::world::id;

/// All times of a sequence are seconds after this. It lies ahead of every real clock, so that the times a file system
/// itself gives are old, and the ones that are set decide.
const BASE: i64 = 4_102_444_800;

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(BASE + seconds).unwrap()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Named,
    Quarantine,
    Purging,
    /// Purged.
    Gone,
    /// Removed by its user.
    Removed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    None,
    Forever,
    Until(i64),
}

impl Keep {
    pub fn pins(self, now: i64) -> bool {
        match self {
            Self::None => false,
            Self::Forever => true,
            Self::Until(end) => end > now,
        }
    }
}

/// A directory that somebody made, for as long as it is there.
#[derive(Clone, Debug)]
pub struct Tree {
    pub slot: u32,
    pub inode: u64,
    pub files: BTreeMap<String, Vec<u8>>,
    /// The newest time in it, and that of its root.
    pub newest: i64,
    pub root: i64,
    pub keep: Keep,
    pub place: Place,
    /// When it came into quarantine, and the retention that was promised then.
    pub entered: (i64, i64),
    /// Bytes it took then.
    pub bytes: u64,
    /// Written to since the walk that found it idle.
    pub dirty: bool,
    /// Written to, or pinned, in the middle of a sweep while it was under its name.
    pub touched: bool,
    /// ctime of its root in nanoseconds.
    pub changed: i128,
    pub entry: Option<String>,
}

/// Where a tree is found.
pub struct Found {
    pub place: Place,
    pub path: PathBuf,
    pub entry: Option<String>,
    pub changed: i128,
}

const KEEP_FILE: &str = ".hygiene-keep";

pub fn inode(path: &Path) -> Option<u64> {
    fs::symlink_metadata(path).ok().map(|meta| meta.ino())
}

fn set_time(path: &Path, seconds: i64) {
    let time = Timespec { tv_sec: BASE + seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

impl Tree {
    /// Makes the directory of a slot with a few files, all of one time.
    pub fn make(volume: &Path, slot: u32, size: u32, time: i64) -> Self {
        let path = volume.join(id(slot));
        fs::create_dir(&path).unwrap();
        let all: &[&str] = match size {
            0 => &[],
            1 => &["file"],
            2 => &["deep/data"],
            _ => &["file", "deep/data"],
        };
        let mut files = BTreeMap::new();
        for name in all {
            let content = format!("{slot} {name} {time}").into_bytes();
            if name.starts_with("deep/") {
                fs::create_dir(path.join("deep")).unwrap();
            }
            fs::write(path.join(name), &content).unwrap();
            set_time(&path.join(name), time);
            files.insert((*name).to_owned(), content);
        }
        if size >= 2 {
            set_time(&path.join("deep"), time);
        }
        set_time(&path, time);
        let meta = fs::symlink_metadata(&path).unwrap();
        Self {
            slot,
            inode: meta.ino(),
            files,
            newest: time,
            root: time,
            keep: Keep::None,
            place: Place::Named,
            entered: (0, 0),
            bytes: 0,
            dirty: false,
            touched: false,
            changed: changed(&meta),
            entry: None,
        }
    }

    /// Finds the tree by its inode, wherever it is now.
    pub fn find(&self, volume: &Path) -> Option<Found> {
        let is_it = |path: &Path| fs::symlink_metadata(path).ok().filter(|meta| meta.ino() == self.inode);
        let named = volume.join(id(self.slot));
        if let Some(meta) = is_it(&named) {
            return Some(Found { place: Place::Named, path: named, entry: None, changed: changed(&meta) });
        }
        for (place, folder) in [(Place::Quarantine, "quarantine"), (Place::Purging, "purging")] {
            for entry in fs::read_dir(volume.join(".hygiene").join(folder)).into_iter().flatten() {
                let entry = entry.unwrap();
                let path = entry.path().join("workspace");
                if let Some(meta) = is_it(&path) {
                    let entry = Some(entry.file_name().into_string().unwrap());
                    return Some(Found { place, path, entry, changed: changed(&meta) });
                }
            }
        }
        None
    }

    /// Writes into it. A deep write goes into a file that is there, and leaves its root's times alone.
    pub fn write(&mut self, path: &Path, now: i64, deep: bool) {
        let inside = self.files.keys().rev().find(|name| *name != KEEP_FILE).cloned();
        let (name, fresh) = match inside.filter(|_| deep) {
            Some(name) => (name, false),
            None => (format!("new-{}-{now}", self.files.len()), true),
        };
        let content = format!("work of {now}").into_bytes();
        fs::write(path.join(&name), &content).unwrap();
        set_time(&path.join(&name), now);
        self.files.insert(name, content);
        if fresh {
            self.touch_root(path, now);
        }
        self.newest = now;
        self.dirty = true;
    }

    /// Puts a keep file into it, or takes it away; quietly, and no time in the tree tells of it.
    pub fn set_keep(&mut self, path: &Path, now: i64, keep: Keep, quiet: bool) {
        let file = path.join(KEEP_FILE);
        let time = if quiet { self.root } else { now };
        let text = match keep {
            Keep::None => None,
            Keep::Forever => Some(String::new()),
            Keep::Until(end) => Some(at(end).to_string()),
        };
        match text {
            Some(text) => {
                fs::write(&file, &text).unwrap();
                set_time(&file, time);
                self.files.insert(KEEP_FILE.into(), text.into_bytes());
            }
            None if self.files.remove(KEEP_FILE).is_some() => fs::remove_file(&file).unwrap(),
            None => return,
        }
        self.keep = keep;
        self.touch_root(path, time);
        if !quiet {
            self.newest = now;
            self.dirty = true;
        }
    }

    /// Gives the root a time, and makes sure that its ctime tells it: a clock that ticks slowly could miss it.
    pub fn touch_root(&mut self, path: &Path, time: i64) {
        self.root = time;
        loop {
            set_time(path, time);
            let now = changed(&fs::symlink_metadata(path).unwrap());
            if now != self.changed {
                self.changed = now;
                return;
            }
        }
    }

    /// What pinning by hand leaves in it.
    pub fn was_pinned(&mut self, path: &Path, now: i64) {
        if !self.keep.pins(now) {
            self.keep = Keep::Forever;
            self.files.insert(KEEP_FILE.into(), Vec::new());
            set_time(&path.join(KEEP_FILE), now);
            self.touch_root(path, now);
            self.newest = now;
        }
    }

    /// In what the files on the disk differ from what was written, and the bytes they take.
    pub fn compare(&self, path: &Path) -> Result<u64, String> {
        let (mut found, mut bytes) = (0, 0);
        for folder in ["", "deep"] {
            for entry in fs::read_dir(path.join(folder)).into_iter().flatten() {
                let entry = entry.map_err(|e| e.to_string())?;
                let meta = entry.metadata().map_err(|e| e.to_string())?;
                bytes += meta.blocks() * 512;
                if meta.is_file() {
                    let name = entry.path().strip_prefix(path).unwrap().to_str().unwrap().to_owned();
                    let expected = self.files.get(&name).ok_or_else(|| format!("{name} is new"))?;
                    let content = fs::read(entry.path()).map_err(|e| e.to_string())?;
                    if content != *expected {
                        return Err(format!("{name} has another content"));
                    }
                    found += 1;
                }
            }
        }
        if found == self.files.len() { Ok(bytes) } else { Err(format!("{found} of {} files", self.files.len())) }
    }
}

fn changed(meta: &fs::Metadata) -> i128 {
    i128::from(meta.ctime()) * 1_000_000_000 + i128::from(meta.ctime_nsec())
}

/// Everything below a directory: name, inode, size, mtime and ctime.
pub fn manifest(dir: &Path) -> Vec<(PathBuf, u64, u64, i128, i128)> {
    let mut all = Vec::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(path) = pending.pop() {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if meta.is_dir() {
            pending.extend(fs::read_dir(&path).into_iter().flatten().map(|entry| entry.unwrap().path()));
        }
        let modified = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        all.push((path, meta.ino(), meta.size(), modified, changed(&meta)));
    }
    all.sort();
    all
}
