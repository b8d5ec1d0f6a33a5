//! A little space set aside, so that on a full volume the journal can still be written to, and so a purge can make room.

use std::ffi::OsStr;

use rustix::io::Errno;

use crate::fsio::{Dir, FsError};

/// The file below `.hygiene`.
pub const RESERVE: &str = "reserve";
/// Its size in bytes: some two hundred records, and more than a block of any file system.
const SIZE: usize = 128 * 1024;

/// Sets the space aside, where it is not yet.
///
/// # Errors
/// When there is no room for it.
pub fn set_aside(hygiene: &Dir) -> Result<(), FsError> {
    let name = OsStr::new(RESERVE);
    if hygiene.find(name)?.is_some_and(|facts| facts.bytes >= SIZE as u64) {
        return Ok(());
    }
    // Not zeros: a file system may store those as a hole.
    hygiene.replace_file(name, &[b'-'; SIZE])
}

/// Gives the space free. Whether there was any.
pub(crate) fn give_free(hygiene: &Dir) -> bool {
    hygiene.unlink(OsStr::new(RESERVE)).is_ok()
}

/// Whether an error says that there is no space left.
pub(super) fn is_full(error: &FsError) -> bool {
    matches!(error.errno, Errno::NOSPC | Errno::DQUOT)
}
