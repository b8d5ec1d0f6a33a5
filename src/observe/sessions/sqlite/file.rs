//! The database file as the file system sees it. It is never opened here: closing a descriptor of our own would drop
//! the POSIX locks that a connection of this process holds on the same file, and with them its snapshot
//! (<https://sqlite.org/howtocorrupt.html>, section 2.2).

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;

use super::Fault;

/// Tells the type of the file system a path is on, as statfs(2) numbers them. Handed in, so that tests can be on NFS.
pub(super) type FileSystemOf = fn(&Path) -> io::Result<u32>;

/// Asks the kernel.
pub(super) fn file_system(path: &Path) -> io::Result<u32> {
    Ok(rustix::fs::statfs(path)?.f_type as u32) // magic numbers have 32 bits
}

/// Which file it is: a file that came in its place may have got its inode number, but not its time of birth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    born: Option<SystemTime>,
}

impl fmt::Display for Identity {
    /// What stays the same as long as it is this file. The device's number is left out: it changes when the file system
    /// is mounted again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sqlite inode {}", self.inode)?;
        match self.born.and_then(|born| Timestamp::try_from(born).ok()) {
            Some(born) => write!(f, " born {born}"),
            None => Ok(()),
        }
    }
}

/// Where `path` is, which lies below `base`, without a symlink between the two: `base` itself is the operator's, and may be
/// reached over one.
pub(super) fn below(base: &Path, path: &Path) -> Result<PathBuf, Fault> {
    let unreadable = |error: io::Error| Fault::Unreadable { path: path.into(), why: error.to_string() };
    let parts = path.strip_prefix(base).map_err(|_| Fault::Symlink { path: path.into() })?;
    let mut real = fs::canonicalize(base).map_err(unreadable)?;
    for part in parts.components() {
        let Component::Normal(part) = part else { return Err(Fault::Symlink { path: path.into() }) };
        real.push(part);
        match fs::symlink_metadata(&real) {
            Ok(facts) if facts.is_symlink() => return Err(Fault::Symlink { path: path.into() }),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Fault::Missing { path: path.into() }),
            Err(error) => return Err(unreadable(error)),
        }
    }
    Ok(real)
}

/// What is known of a database file before it is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct File {
    pub(super) identity: Identity,
    owner: u32,
    mode: u32,
}

impl File {
    /// Looks at the file; what SQLite would take for an empty database is refused.
    pub(super) fn look(path: &Path) -> Result<Self, Fault> {
        let facts = fs::metadata(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Fault::Missing { path: path.into() },
            _ => Fault::Unreadable { path: path.into(), why: source.to_string() },
        })?;
        if let Some(what) = other_than_a_file(&facts) {
            return Err(Fault::NotAFile { path: path.into(), what });
        }
        if facts.len() == 0 {
            return Err(Fault::Empty { path: path.into() });
        }
        let identity = Identity { device: facts.dev(), inode: facts.ino(), born: facts.created().ok() };
        Ok(Self { identity, owner: facts.uid(), mode: facts.mode() })
    }

    /// The owner of the database, where reading it in WAL mode as `user` could lock its service out: SQLite would have
    /// to make the files beside it, and they would be ours, with the database's mode, so that its owner may not write
    /// them. (Root hands them over.)
    pub(super) fn owner_locked_out(&self, path: &Path, user: u32) -> Option<u32> {
        let group_or_others_write = self.mode & 0o022 != 0;
        let exist = ["-wal", "-shm"].iter().all(|suffix| beside(path, suffix).exists());
        (user != 0 && user != self.owner && !group_or_others_write && !exist).then_some(self.owner)
    }
}

fn other_than_a_file(facts: &Metadata) -> Option<&'static str> {
    let kind = facts.file_type();
    match () {
        () if kind.is_file() => None,
        () if kind.is_dir() => Some("a directory"),
        () if kind.is_fifo() => Some("a FIFO"), // opening it would wait for a writer
        () if kind.is_socket() => Some("a socket"),
        () => Some("a device"),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// The name of a file system on which WAL is refused, `None` where it is safe. WAL needs memory shared by all that have
/// the file open, thus one kernel; elsewhere a reader misses commits and takes live sessions for dead
/// (<https://sqlite.org/wal.html>). Only types known to be local are trusted (linux/magic.h): FUSE may be anything.
pub(super) fn not_known_to_be_local(magic: u32) -> Option<String> {
    let name = match magic {
        // ext2 to ext4, xfs, btrfs, tmpfs, ramfs, overlayfs, zfs, f2fs, bcachefs
        0xEF53 | 0x5846_5342 | 0x9123_683E | 0x0102_1994 | 0x8584_58F6 | 0x794C_7630 | 0x2FC1_2FC1 | 0xF2F5_2010
        | 0xCA45_1A4E => return None,
        0x6969 => "NFS (EFS is NFS too)",
        0x517B | 0xFE53_4D42 | 0xFF53_4D42 => "SMB",
        0x0102_1997 => "9p",
        0x00C3_6400 => "Ceph",
        0x0BD0_0BD0 => "Lustre",
        0x5346_414F | 0x6B41_4653 => "AFS",
        0x6573_5546 => "FUSE, which may be remote",
        _ => return Some(format!("a file system not known to be local (statfs type 0x{magic:x})")),
    };
    Some(name.to_owned())
}

/// The path as a `file:` URI with one parameter.
pub(super) fn uri(path: &Path, parameter: &str) -> String {
    use std::fmt::Write as _;
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(uri, "%{byte:02X}")),
        }
    }
    uri + "?" + parameter
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(owner: u32, mode: u32) -> File {
        File { identity: Identity { device: 1, inode: 1, born: None }, owner, mode }
    }

    #[test]
    fn only_file_systems_known_to_be_local_are_trusted_with_wal() {
        for local in [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x794C_7630] {
            assert_eq!(not_known_to_be_local(local), None, "{local:x}");
        }
        for remote in [0x6969, 0xFF53_4D42, 0xFE53_4D42, 0x517B, 0x0102_1997, 0x00C3_6400, 0x0BD0_0BD0, 0x6573_5546, 1]
        {
            assert!(not_known_to_be_local(remote).is_some(), "{remote:x}");
        }
    }

    #[test]
    fn a_reader_of_another_uid_does_not_make_files_the_service_cannot_write() {
        let nowhere = Path::new("/nonexistent/db");
        assert_eq!(file(1000, 0o100_644).owner_locked_out(nowhere, 2000), Some(1000));
        assert_eq!(file(1000, 0o100_664).owner_locked_out(nowhere, 2000), None, "the group may write");
        assert_eq!(file(1000, 0o100_644).owner_locked_out(nowhere, 1000), None, "the owner itself");
        assert_eq!(file(1000, 0o100_644).owner_locked_out(nowhere, 0), None, "root gives them to the owner");
    }

    #[test]
    fn a_path_cannot_smuggle_a_parameter_into_the_uri() {
        assert_eq!(uri(Path::new("/a b/x?immutable=1#%"), "nolock=1"), "file:/a%20b/x%3Fimmutable%3D1%23%25?nolock=1");
    }
}
