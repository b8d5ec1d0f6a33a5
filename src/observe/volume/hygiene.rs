//! The held root and our own folder below it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::HYGIENE;
use crate::fsio::{Dir, Facts, FsError, Kind};

/// The file that is locked while somebody changes the volume.
pub const LOCK: &str = "lock";
/// The folder of the locks of those who remove condemned trees.
pub const SHARDS: &str = "shards";
/// The sidecar of a quarantine entry.
pub const ENTRY: &str = "entry.json";
/// The tree of a quarantine entry.
pub const WORKSPACE: &str = "workspace";

const QUARANTINE: &str = "quarantine";
const PURGING: &str = "purging";
const JOURNAL: &str = "journal";

/// Why the volume or our folder on it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// A file-system call failed.
    #[error("{path}: {source}")]
    Fs {
        /// The directory it was in.
        path: PathBuf,
        /// What failed.
        source: FsError,
    },
    /// Our folder is not ours.
    #[error("{path} {what}; nothing is done with it. Find out who made it, and move it away if it is not ours")]
    NotOurs {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// Our own folder, `.hygiene`, with its parts held.
#[derive(Debug)]
pub struct Hygiene {
    /// The folder itself.
    pub dir: Dir,
    /// Quarantined trees, one folder an entry.
    pub quarantine: Dir,
    /// Condemned trees, one folder an entry.
    pub purging: Dir,
    /// The journal's files.
    pub journal: Dir,
}

impl Hygiene {
    /// Opens our folder below `root`, or answers `None` where there is none yet. Changes nothing.
    ///
    /// # Errors
    /// When it cannot be read or is not ours alone.
    pub fn open(root: &Dir, path: &Path) -> Result<Option<Self>, VolumeError> {
        let path = path.join(HYGIENE);
        let fs = |source| VolumeError::Fs { path: path.clone(), source };
        let Some(facts) = root.find(OsStr::new(HYGIENE)).map_err(fs)? else { return Ok(None) };
        if let Some(what) = not_ours(root, &facts) {
            return Err(VolumeError::NotOurs { path, what });
        }
        let dir = root.open_dir(OsStr::new(HYGIENE)).map_err(fs)?;
        let part = |name: &str| -> Result<Option<Dir>, VolumeError> {
            match dir.open_dir(OsStr::new(name)) {
                Ok(part) => Ok(Some(part)),
                Err(e) if e.errno == rustix::io::Errno::NOENT => Ok(None),
                Err(e) => Err(fs(e)),
            }
        };
        // The three are made before anything is moved, so that one that is missing was never used.
        match (part(QUARANTINE)?, part(PURGING)?, part(JOURNAL)?) {
            (Some(quarantine), Some(purging), Some(journal)) => Ok(Some(Self { dir, quarantine, purging, journal })),
            (quarantine, purging, None) => {
                for part in [quarantine, purging].into_iter().flatten() {
                    if !is_empty(&part).map_err(fs)? {
                        let what = "holds trees and has no journal to tell of them".into();
                        return Err(VolumeError::NotOurs { path, what });
                    }
                }
                Ok(None)
            }
            // Made first and filled last: an empty one is what a killed first sweep left.
            (_, _, Some(journal)) if is_empty(&journal).map_err(fs)? => Ok(None),
            _ => {
                let what =
                    "lacks quarantine/ or purging/, of which its journal tells; make the folder again, mode 0700";
                Err(VolumeError::NotOurs { path, what: what.into() })
            }
        }
    }

    /// Whether the quarantine has no entry, by one look at its folder.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn nothing_in_quarantine(&self) -> Result<bool, VolumeError> {
        is_empty(&self.quarantine).map_err(|source| VolumeError::Fs { path: QUARANTINE.into(), source })
    }

    /// Opens our folder below `root`, making what is missing.
    ///
    /// # Errors
    /// As [`Hygiene::open`], and when a part cannot be made.
    pub fn ensure(root: &Dir, path: &Path) -> Result<Self, VolumeError> {
        if let Some(hygiene) = Self::open(root, path)? {
            return Ok(hygiene);
        }
        let fs = |source| VolumeError::Fs { path: path.join(HYGIENE), source };
        let dir = root.ensure_dir(OsStr::new(HYGIENE)).map_err(fs)?;
        // Checked again: between the look and the making somebody else may have put something there.
        let facts = root.facts(OsStr::new(HYGIENE)).map_err(fs)?;
        if let Some(what) = not_ours(root, &facts) {
            return Err(VolumeError::NotOurs { path: path.join(HYGIENE), what });
        }
        let journal = dir.ensure_dir(OsStr::new(JOURNAL)).map_err(fs)?;
        let purging = dir.ensure_dir(OsStr::new(PURGING)).map_err(fs)?;
        let quarantine = dir.ensure_dir(OsStr::new(QUARANTINE)).map_err(fs)?;
        Ok(Self { dir, quarantine, purging, journal })
    }
}

fn is_empty(dir: &Dir) -> Result<bool, FsError> {
    let mut empty = true;
    dir.for_each(|_, _| {
        empty = false;
        false
    })?;
    Ok(empty)
}

/// What speaks against a `.hygiene` being ours alone.
fn not_ours(root: &Dir, facts: &Facts) -> Option<String> {
    let us = rustix::process::geteuid().as_raw();
    if facts.kind != Kind::Directory {
        Some("is no directory".into())
    } else if !root.same_mount(facts) {
        Some("is a mount point".into())
    } else if facts.uid != us {
        Some(format!("belongs to user {}, and we are user {us}", facts.uid))
    } else if facts.mode & 0o077 != 0 {
        Some(format!("has mode {:04o}, and 0700 was expected", facts.mode))
    } else {
        None
    }
}
