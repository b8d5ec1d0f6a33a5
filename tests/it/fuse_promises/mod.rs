//! What the file system promises to the tests that use it.

mod caches;
mod faults;
mod pace;
mod pass_through;
mod worlds;

use std::path::PathBuf;

use crate::fuse::{Control, Fuse};

/// A mounted file system over an empty directory.
struct Mounted {
    fuse: Fuse,
    /// The mount point.
    at: PathBuf,
    /// The directory behind it.
    backing: PathBuf,
    control: Control,
    _temp: tempfile::TempDir,
}

fn mounted() -> Mounted {
    let temp = tempfile::tempdir().unwrap();
    let at = temp.path().join("at");
    std::fs::create_dir(&at).unwrap();
    let fuse = Fuse::beside(temp.path(), &at);
    let (backing, control) = (fuse.backing().to_owned(), fuse.control());
    Mounted { fuse, at, backing, control, _temp: temp }
}

/// The errno of a call that failed.
fn errno<T: std::fmt::Debug>(result: std::io::Result<T>) -> rustix::io::Errno {
    rustix::io::Errno::from_io_error(&result.unwrap_err()).unwrap()
}
