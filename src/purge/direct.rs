//! Which trees may be removed by name, outside of any volume that is managed.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::fsio::{Dir, Kind};
use crate::observe::volume::HYGIENE;

/// A tree that may be removed: a directory in a folder that is held, which is no mount point, nobody's home, not the working
/// directory, and no part of a managed volume.
#[derive(Debug)]
pub struct Target {
    /// Its whole path, which leads over no symlink.
    pub path: PathBuf,
    /// Its inode when it was looked at.
    pub inode: u64,
    parent: Dir,
    name: OsString,
}

/// What must not be removed, and what it may not hold.
#[derive(Clone, Debug, Default)]
pub struct Spared {
    /// The user's home.
    pub home: Option<PathBuf>,
    /// The working directory.
    pub here: Option<PathBuf>,
}

impl Target {
    /// Looks at `path`, and holds the folder it is in.
    ///
    /// # Errors
    /// Why it is not removed, and the way out.
    pub fn look(path: &Path, spared: &Spared) -> Result<Self, String> {
        let shown = path.display();
        let refuse = |why: String| format!("{shown}: {why}");
        let whole = std::path::absolute(path).map_err(|e| refuse(e.to_string()))?;
        let real = std::fs::canonicalize(path).map_err(|e| refuse(e.to_string()))?;
        // `absolute` drops dots and slashes, and leaves `..` alone, which could lead elsewhere.
        if whole.components().ne(real.components()) {
            return Err(refuse(format!("leads over a symlink or `..`; give the directory itself: {}", real.display())));
        }
        let (Some(folder), Some(name)) = (real.parent(), real.file_name()) else {
            return Err(refuse("is the root of everything".into()));
        };
        for (spared, what) in [(&spared.home, "your home"), (&spared.here, "the working directory")] {
            let spared = spared.as_ref().and_then(|spared| std::fs::canonicalize(spared).ok());
            if spared.is_some_and(|spared| spared.starts_with(&real)) {
                return Err(refuse(format!("is or holds {what}")));
            }
        }
        if let Some(managed) = real.ancestors().find(|above| is_managed(above)) {
            let managed = managed.display();
            return Err(refuse(format!(
                "is, or is part of, the volume {managed}, which sweeps clean; use hygiene quarantine purge"
            )));
        }
        let parent = Dir::open_root(folder).map_err(|e| refuse(e.to_string()))?;
        let facts = parent.facts(name).map_err(|e| refuse(e.to_string()))?;
        if facts.kind != Kind::Directory {
            return Err(refuse("is no directory".into()));
        }
        if !parent.same_mount(&facts) {
            return Err(refuse("is a mount point; unmount it, or name what is in it".into()));
        }
        Ok(Self { path: real.clone(), inode: facts.inode, parent, name: name.to_owned() })
    }

    /// The folder it is in and its name there, if it is still the directory that was looked at.
    ///
    /// # Errors
    /// When it is another one by now.
    pub fn take(self) -> Result<(Dir, OsString), String> {
        match self.parent.find(&self.name) {
            Ok(Some(facts)) if facts.inode == self.inode && facts.kind == Kind::Directory => {
                Ok((self.parent, self.name))
            }
            Ok(_) => Err(format!("{}: is another directory than the one that was looked at", self.path.display())),
            Err(error) => Err(format!("{}: {error}", self.path.display())),
        }
    }
}

/// Whether a directory is the root of a managed volume, or our own folder in one; what cannot be known counts as one.
fn is_managed(path: &Path) -> bool {
    if path.file_name() == Some(OsStr::new(HYGIENE)) {
        return true;
    }
    match rustix::fs::lstat(path.join(HYGIENE)) {
        Ok(_) => true,
        Err(Errno::NOENT | Errno::NOTDIR) => false,
        Err(_) => true,
    }
}
