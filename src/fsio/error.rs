//! Errors of file-system calls, and what the reader can do about them.

use std::ffi::OsStr;

use rustix::io::Errno;

/// A failed file-system call: which, on what, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{call} {what}: {errno}{}", way_out(*.errno))]
pub struct FsError {
    /// The call.
    pub call: &'static str,
    /// The entry it was about.
    pub what: String,
    /// The error.
    pub errno: Errno,
}

/// What the reader can do about an error, where something is known.
fn way_out(errno: Errno) -> &'static str {
    match errno {
        Errno::ACCESS | Errno::PERM => {
            " (run as the owner of the workspaces or as root: moving another user's directory needs CAP_DAC_OVERRIDE)"
        }
        Errno::MFILE | Errno::NFILE => " (raise the limit on open files, `ulimit -n`)",
        Errno::NOSPC | Errno::DQUOT => " (the volume is full: free some space and sweep again)",
        Errno::ROFS => " (the volume is mounted read-only)",
        Errno::STALE => " (the mount is stale: mount the volume again)",
        Errno::XDEV => " (a mount point is in the way)",
        _ => "",
    }
}

pub(super) fn failed<'a>(call: &'static str, what: &'a OsStr) -> impl FnOnce(Errno) -> FsError + 'a {
    move |errno| FsError { call, what: printable(what), errno }
}

/// A name or path on one line, control characters escaped.
pub fn printable(name: &OsStr) -> String {
    crate::names::EntryName::new(name).to_string()
}
