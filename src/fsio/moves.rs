//! Entries that move from one held directory to another.

use std::ffi::OsStr;

use rustix::fs::{AtFlags, Mode, RenameFlags};
use rustix::io::Errno;

use super::error::failed;
use super::{Dir, FsError, Kind, one_component};

/// The mode of a directory that only keeps a name free for the rename that follows: with the sticky bit, which nobody sets
/// on a directory of their own alone, so that one that a killed process left is known again.
const PLACEHOLDER: Mode = Mode::RWXU.union(Mode::SVTX);

impl Dir {
    /// Moves `name` to `to_name` in `to`. Silently replaces an empty directory of that name: only for a target folder
    /// nobody else writes to.
    ///
    /// # Errors
    /// When the call fails; on a network file system that does not mean it did not happen.
    pub fn rename(&self, name: &OsStr, to: &Dir, to_name: &OsStr) -> Result<(), FsError> {
        one_component(name)
            .and_then(|()| one_component(to_name))
            .and_then(|()| rustix::fs::renameat(&self.fd, name, &to.fd, to_name))
            .map_err(failed("rename", name))
    }

    /// Moves `name` to `to_name` in `to`, never over an entry that exists.
    ///
    /// File systems without `RENAME_NOREPLACE` (EFS answers EINVAL) get an empty directory made under the target name
    /// first, which fails if the name exists, and the rename over it, which fails if anything was put inside since.
    ///
    /// # Errors
    /// EEXIST when the target exists; otherwise as [`Self::rename`].
    pub fn rename_new(&self, name: &OsStr, to: &Dir, to_name: &OsStr) -> Result<(), FsError> {
        one_component(name).and_then(|()| one_component(to_name)).map_err(failed("rename", name))?;
        match rustix::fs::renameat_with(&self.fd, name, &to.fd, to_name, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS) => self.rename_over_placeholder(name, to, to_name),
            other => other.map_err(failed("rename", name)),
        }
    }

    /// Removes the empty directory that a killed process left under `name`, where it meant to move something next. Whatever
    /// else is there stays: a directory that somebody else made, or put something into.
    ///
    /// # Errors
    /// When it cannot be found out, or a call fails.
    pub fn remove_placeholder(&self, name: &OsStr) -> Result<(), FsError> {
        let us = rustix::process::geteuid().as_raw();
        let left = self.find(name)?.filter(|facts| facts.kind == Kind::Directory && facts.uid == us);
        if left.is_none_or(|facts| facts.mode != PLACEHOLDER.bits()) {
            return Ok(());
        }
        match self.remove_dir(name) {
            Err(e) if !matches!(e.errno, Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT) => Err(e),
            _ => Ok(()),
        }
    }

    /// Moves the file `name` to `to_name` in `to`, never over an entry that exists. A crash in between leaves both names.
    ///
    /// # Errors
    /// EEXIST when the target exists; otherwise when a call fails.
    pub fn rename_file_new(&self, name: &OsStr, to: &Dir, to_name: &OsStr) -> Result<(), FsError> {
        one_component(name)
            .and_then(|()| one_component(to_name))
            .and_then(|()| rustix::fs::linkat(&self.fd, name, &to.fd, to_name, AtFlags::empty()))
            .map_err(failed("link", name))?;
        self.unlink(name)
    }

    pub(super) fn rename_over_placeholder(&self, name: &OsStr, to: &Dir, to_name: &OsStr) -> Result<(), FsError> {
        one_component(to_name)
            .and_then(|()| rustix::fs::mkdirat(&to.fd, to_name, PLACEHOLDER))
            .map_err(failed("mkdir", to_name))?;
        match rustix::fs::renameat(&self.fd, name, &to.fd, to_name) {
            Ok(()) => Ok(()),
            Err(Errno::NOTEMPTY) => Err(failed("rename", name)(Errno::EXIST)),
            Err(errno) => {
                // rmdir removes our placeholder only while it is empty; the rename's own error is the one to report.
                if let Err(e) = to.remove_dir(to_name) {
                    tracing::warn!(error = %e, "a placeholder directory was left behind");
                }
                Err(failed("rename", name)(errno))
            }
        }
    }
}
