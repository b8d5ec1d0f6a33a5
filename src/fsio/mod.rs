//! File-system calls relative to a held directory handle, and nothing else: no path of more than one component is ever
//! resolved below the root, no symlink followed, no mount point crossed.

mod error;
mod facts;
#[cfg(test)]
mod tests;

pub use error::{FsError, printable};
pub use facts::{Facts, Kind};

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use rustix::fs::{Access, AtFlags, Mode, OFlags, RawDir, RenameFlags, ResolveFlags};
use rustix::io::Errno;

use error::failed;
use facts::facts_of;

/// A held directory. Everything below the root is reached through one of these.
pub struct Dir {
    fd: OwnedFd,
    mount: Option<u64>,
}

impl fmt::Debug for Dir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dir").field("fd", &self.fd).field("mount", &self.mount).finish()
    }
}

const NEVER_OUTSIDE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_XDEV)
    .union(ResolveFlags::NO_MAGICLINKS);
/// The mode of a directory that only keeps a name free for the rename that follows: with the sticky bit, which nobody sets
/// on a directory of their own alone, so that one that a killed process left is known again.
const PLACEHOLDER: Mode = Mode::RWXU.union(Mode::SVTX);
/// Large enough that a directory page of a network file system fits (the Linux NFS client reads up to 1 MiB).
const DIRENT_BUFFER: usize = 64 * 1024;

impl Dir {
    /// Opens the volume's root. Only here may a path have several components, or lead over symlinks.
    ///
    /// # Errors
    /// When the path cannot be opened or is no directory.
    pub fn open_root(path: &Path) -> Result<Self, FsError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(failed("open", path.as_os_str()))?;
        Self::hold(fd, path.as_os_str())
    }

    /// Opens the volume's root at `path` below `base`, by one component after the other and never over a symlink: who can
    /// write below `base` must not be able to lead elsewhere. Mount points on the way are the operator's own.
    ///
    /// # Errors
    /// When it is not below `base`, cannot be opened, or is a symlink or no directory somewhere on the way.
    pub fn open_root_below(base: &Path, path: &Path) -> Result<Self, FsError> {
        let below = path.strip_prefix(base).map_err(|_| failed("open", path.as_os_str())(Errno::XDEV))?;
        let mut fd = Self::open_root(base)?.fd;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for component in below.components() {
            let Component::Normal(name) = component else {
                return Err(failed("open", path.as_os_str())(Errno::XDEV));
            };
            fd = rustix::fs::openat(&fd, name, flags, Mode::empty()).map_err(failed("open", path.as_os_str()))?;
        }
        Self::hold(fd, path.as_os_str())
    }

    fn hold(fd: OwnedFd, what: &OsStr) -> Result<Self, FsError> {
        let mount = facts_of(fd.as_fd(), OsStr::new(""), AtFlags::EMPTY_PATH).map_err(failed("statx", what))?.mount;
        Ok(Self { fd, mount })
    }

    /// Opens the directory `name` in this one.
    ///
    /// # Errors
    /// When it cannot be opened, is a symlink or a mount point, or is no directory.
    pub fn open_dir(&self, name: &OsStr) -> Result<Self, FsError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = self.open(name, flags, Mode::empty()).map_err(failed("open", name))?;
        let dir = Self::hold(fd, name)?;
        if dir.mount == self.mount { Ok(dir) } else { Err(failed("open", name)(Errno::XDEV)) }
    }

    /// Opens the directory `name` in this one to remove what is in it: as [`Self::open_dir`], with one call.
    ///
    /// # Errors
    /// As [`Self::open_dir`].
    pub fn open_dir_below(&self, name: &OsStr) -> Result<Self, FsError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = self.open(name, flags, Mode::empty()).map_err(failed("open", name))?;
        // The call itself, or the comparison in its place, refused to cross a mount.
        Ok(Self { fd, mount: self.mount })
    }

    fn open(&self, name: &OsStr, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        one_component(name)?;
        if has_openat2() {
            rustix::fs::openat2(&self.fd, name, flags, mode, NEVER_OUTSIDE)
        } else {
            self.open_and_compare(name, flags, mode)
        }
    }

    /// The same where the kernel has no openat2(2), or a filter of system calls refuses it: one component is never a path
    /// that leads elsewhere, a symlink is not followed, and what was opened is compared with the mount this directory is on.
    fn open_and_compare(&self, name: &OsStr, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let fd = rustix::fs::openat(&self.fd, name, flags | OFlags::NOFOLLOW, mode)?;
        let own = facts_of(self.fd.as_fd(), OsStr::new(""), AtFlags::EMPTY_PATH)?;
        let facts = facts_of(fd.as_fd(), OsStr::new(""), AtFlags::EMPTY_PATH)?;
        let same = facts.mount == own.mount && facts.device == own.device && facts.mount_root != Some(true);
        if same { Ok(fd) } else { Err(Errno::XDEV) }
    }

    /// Another handle on this directory.
    ///
    /// # Errors
    /// When the process may hold no more.
    pub fn again(&self) -> Result<Self, FsError> {
        let fd = self
            .fd
            .try_clone()
            .map_err(|e| failed("dup", OsStr::new("."))(Errno::from_io_error(&e).unwrap_or(Errno::IO)))?;
        Ok(Self { fd, mount: self.mount })
    }

    /// What the file system says of this directory.
    ///
    /// # Errors
    /// When the call fails, or a time cannot be represented.
    pub fn own_facts(&self) -> Result<Facts, FsError> {
        facts_of(self.fd.as_fd(), OsStr::new(""), AtFlags::EMPTY_PATH).map_err(failed("statx", OsStr::new(".")))
    }

    /// What the file system says of `name` in this directory; a symlink is described, not followed.
    ///
    /// # Errors
    /// When the call fails, or a time cannot be represented.
    pub fn facts(&self, name: &OsStr) -> Result<Facts, FsError> {
        one_component(name)
            .and_then(|()| facts_of(self.fd.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW))
            .map_err(failed("statx", name))
    }

    /// The facts of `name`, or `None` where the file server says that there is no such entry.
    ///
    /// # Errors
    /// Any other failure: unknown is not absent.
    pub fn find(&self, name: &OsStr) -> Result<Option<Facts>, FsError> {
        match self.facts(name) {
            Ok(facts) => Ok(Some(facts)),
            Err(e) if e.errno == Errno::NOENT => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Inode of the entry `name` as the listing of this directory tells it, `None` where it lists no such entry. Unlike a
    /// look-up by name, which may be answered from what the client remembers, a listing is read from the file server.
    ///
    /// # Errors
    /// When the directory cannot be read to its end.
    pub fn listed_inode(&self, name: &OsStr) -> Result<Option<u64>, FsError> {
        let mut inode = None;
        self.for_each_entry(|listed, _, listed_inode| {
            if listed == name {
                inode = Some(listed_inode);
            }
            inode.is_none()
        })?;
        Ok(inode)
    }

    /// Whether we may add, move and remove entries here, as the file server sees it.
    ///
    /// # Errors
    /// When the call fails for another reason than a missing right.
    pub fn may_write(&self) -> Result<bool, FsError> {
        self.may(OsStr::new("."))
    }

    /// Whether we may write to the directory `name` in this one, as giving it another parent needs.
    ///
    /// # Errors
    /// As [`Self::may_write`].
    pub fn may_write_to(&self, name: &OsStr) -> Result<bool, FsError> {
        one_component(name).map_err(failed("faccessat", name))?;
        self.may(name)
    }

    fn may(&self, name: &OsStr) -> Result<bool, FsError> {
        let wanted = Access::WRITE_OK | Access::EXEC_OK;
        match rustix::fs::accessat(&self.fd, name, wanted, AtFlags::EACCESS | AtFlags::SYMLINK_NOFOLLOW) {
            Ok(()) => Ok(true),
            Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Ok(false),
            Err(errno) => Err(failed("faccessat", name)(errno)),
        }
    }

    /// Whether `facts` were read on the mount this directory is held on, and not at the root of another.
    pub fn same_mount(&self, facts: &Facts) -> bool {
        facts.mount == self.mount && facts.mount_root != Some(true)
    }

    /// Calls `each` with every entry but `.` and `..`, in the file system's order. `each` answers whether to go on.
    ///
    /// # Errors
    /// When a page of the directory cannot be read: what was seen so far is then not the whole directory.
    pub fn for_each(&self, mut each: impl FnMut(&OsStr, Option<Kind>) -> bool) -> Result<(), FsError> {
        self.for_each_entry(|name, kind, _| each(name, kind))
    }

    fn for_each_entry(&self, each: impl FnMut(&OsStr, Option<Kind>, u64) -> bool) -> Result<(), FsError> {
        // A handle of its own, so that two readers do not share an offset.
        let dot = OsStr::new(".");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, ".", flags, Mode::empty()).map_err(failed("open", dot))?;
        read_entries(fd.as_fd(), each)
    }

    /// Calls `each` with every entry but `.` and `..`, in the file system's order, read through this very handle: one reader
    /// at a time. Entries may be removed meanwhile.
    ///
    /// # Errors
    /// As [`Self::for_each`].
    pub fn for_each_here(&self, mut each: impl FnMut(&OsStr, Option<Kind>) -> bool) -> Result<(), FsError> {
        rustix::fs::seek(&self.fd, rustix::fs::SeekFrom::Start(0)).map_err(failed("lseek", OsStr::new(".")))?;
        read_entries(self.fd.as_fd(), |name, kind, _| each(name, kind))
    }

    /// All names of this directory with what they are, in the file system's order.
    ///
    /// # Errors
    /// As [`Self::for_each`].
    pub fn names(&self) -> Result<Vec<(OsString, Option<Kind>)>, FsError> {
        let mut names = Vec::new();
        self.for_each(|name, kind| {
            names.push((name.to_owned(), kind));
            true
        })?;
        Ok(names)
    }

    /// Makes the directory `name` with mode 0700.
    ///
    /// # Errors
    /// When the call fails, also when the name exists.
    pub fn make_dir(&self, name: &OsStr) -> Result<(), FsError> {
        one_component(name)
            .and_then(|()| rustix::fs::mkdirat(&self.fd, name, Mode::RWXU))
            .map_err(failed("mkdir", name))
    }

    /// Opens the directory `name`, making it with mode 0700 where it is missing.
    ///
    /// # Errors
    /// As [`Self::open_dir`] and [`Self::make_dir`].
    pub fn ensure_dir(&self, name: &OsStr) -> Result<Self, FsError> {
        match self.make_dir(name) {
            Ok(()) => self.sync()?,
            Err(e) if e.errno == Errno::EXIST => {}
            Err(e) => return Err(e),
        }
        self.open_dir(name)
    }

    /// Opens the file `name` for reading and writing, making it with mode 0600 where it is missing.
    ///
    /// # Errors
    /// When the call fails, or a symlink or mount is in the way.
    pub fn open_file(&self, name: &OsStr) -> Result<std::fs::File, FsError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.open(name, flags, Mode::RUSR | Mode::WUSR).map(Into::into).map_err(failed("open", name))
    }

    /// Makes the file `name` with mode 0600 and opens it for writing.
    ///
    /// # Errors
    /// When the call fails, also when the name exists.
    pub fn create_file(&self, name: &OsStr) -> Result<std::fs::File, FsError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.open(name, flags, Mode::RUSR | Mode::WUSR).map(Into::into).map_err(failed("create", name))
    }

    /// Reads the file `name`, or `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read, is no regular file, or is longer than `limit` bytes.
    pub fn read_file(&self, name: &OsStr, limit: u64) -> Result<Option<Vec<u8>>, FsError> {
        // NONBLOCK, so that a FIFO put in place of our file cannot hang us.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = match self.open(name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(failed("open", name)(errno)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(failed("fstat", name))?;
        if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile {
            return Err(failed("read", name)(Errno::INVAL));
        }
        let mut content = Vec::new();
        std::fs::File::from(fd)
            .take(limit + 1)
            .read_to_end(&mut content)
            .map_err(|e| failed("read", name)(Errno::from_io_error(&e).unwrap_or(Errno::IO)))?;
        if content.len() as u64 > limit { Err(failed("read", name)(Errno::FBIG)) } else { Ok(Some(content)) }
    }

    /// Writes `content` into the new file `name` and makes both durable.
    ///
    /// # Errors
    /// When any call fails; the file may then exist in part.
    pub fn write_new(&self, name: &OsStr, content: &[u8]) -> Result<(), FsError> {
        let mut file = self.create_file(name)?;
        write_all(&mut file, name, content)?;
        rustix::fs::fsync(&file).map_err(failed("fsync", name))?;
        self.sync()
    }

    /// Replaces the file `name` by `content` as a whole: a reader sees the old one or the new one.
    ///
    /// # Errors
    /// When any call fails; the old content is then still in place.
    pub fn replace_file(&self, name: &OsStr, content: &[u8]) -> Result<(), FsError> {
        let mut fresh = name.to_owned();
        fresh.push(".new");
        match self.unlink(&fresh) {
            Ok(()) => {}
            Err(e) if e.errno == Errno::NOENT => {}
            Err(e) => return Err(e),
        }
        self.write_new(&fresh, content)?;
        rustix::fs::renameat(&self.fd, fresh.as_os_str(), &self.fd, name).map_err(failed("rename", name))?;
        self.sync()
    }

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

    fn rename_over_placeholder(&self, name: &OsStr, to: &Dir, to_name: &OsStr) -> Result<(), FsError> {
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

    /// Unlinks `name`, which is no directory; a symlink is removed, not followed.
    ///
    /// # Errors
    /// When the call fails; EISDIR for a directory.
    pub fn unlink(&self, name: &OsStr) -> Result<(), FsError> {
        one_component(name)
            .and_then(|()| rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()))
            .map_err(failed("unlink", name))
    }

    /// Removes the empty directory `name`.
    ///
    /// # Errors
    /// When the call fails; ENOTEMPTY for one that is not empty.
    pub fn remove_dir(&self, name: &OsStr) -> Result<(), FsError> {
        one_component(name)
            .and_then(|()| rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR))
            .map_err(failed("rmdir", name))
    }

    /// Gives the owner of this directory every right on it, so that its entries can be removed.
    ///
    /// # Errors
    /// When the call fails.
    pub fn make_writable(&self) -> Result<(), FsError> {
        rustix::fs::fchmod(&self.fd, Mode::RWXU).map_err(failed("fchmod", OsStr::new(".")))
    }

    /// The same for the directory `name` in this one, also where it may not be read: by a handle that needs no right on it.
    ///
    /// # Errors
    /// When it is no directory, or a call fails.
    pub fn make_writable_below(&self, name: &OsStr) -> Result<(), FsError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = self.open(name, flags, Mode::empty()).map_err(failed("open", name))?;
        // fchmod(2) refuses such a handle, its name in /proc leads to the very same directory.
        let itself = format!("/proc/self/fd/{}", fd.as_raw_fd());
        rustix::fs::chmod(itself, Mode::RWXU).map_err(failed("chmod", name))
    }

    /// Makes this directory's entries durable.
    ///
    /// # Errors
    /// When the call fails.
    pub fn sync(&self) -> Result<(), FsError> {
        rustix::fs::fsync(&self.fd).map_err(failed("fsync", OsStr::new(".")))
    }
}

/// Whether openat2(2) is there and allowed, found out once.
fn has_openat2() -> bool {
    static HAS: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *HAS.get_or_init(|| {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let tried = rustix::fs::openat2(rustix::fs::CWD, ".", flags, Mode::empty(), NEVER_OUTSIDE);
        !matches!(tried, Err(Errno::NOSYS | Errno::PERM))
    })
}

fn read_entries(fd: BorrowedFd<'_>, mut each: impl FnMut(&OsStr, Option<Kind>, u64) -> bool) -> Result<(), FsError> {
    let dot = OsStr::new(".");
    let mut buffer: Vec<u8> = Vec::with_capacity(DIRENT_BUFFER);
    let mut entries = RawDir::new(fd, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(failed("getdents64", dot))?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let kind = match entry.file_type() {
            rustix::fs::FileType::Directory => Some(Kind::Directory),
            rustix::fs::FileType::Symlink => Some(Kind::Symlink),
            rustix::fs::FileType::Unknown => None,
            _ => Some(Kind::Other),
        };
        if !each(name, kind, entry.ino()) {
            break;
        }
    }
    Ok(())
}

/// Writes all of `content` to `file`, called `name` in errors.
///
/// # Errors
/// When a write fails; the file may then hold a part.
pub fn write_all(file: &mut std::fs::File, name: &OsStr, content: &[u8]) -> Result<(), FsError> {
    file.write_all(content).map_err(|e| failed("write", name)(Errno::from_io_error(&e).unwrap_or(Errno::IO)))
}

/// Makes what was written to `file` durable.
///
/// # Errors
/// When the call fails.
pub fn sync_file(file: &std::fs::File, name: &OsStr) -> Result<(), FsError> {
    rustix::fs::fsync(file).map_err(failed("fsync", name))
}

/// Cuts `file` back to `length` bytes, and goes on writing there.
///
/// # Errors
/// When a call fails.
pub fn cut_file(file: &std::fs::File, name: &OsStr, length: u64) -> Result<(), FsError> {
    rustix::fs::ftruncate(file, length)
        .and_then(|()| rustix::fs::seek(file, rustix::fs::SeekFrom::Start(length)))
        .map(drop)
        .map_err(failed("ftruncate", name))
}

/// Refuses what is not the name of one entry, before the kernel sees it.
fn one_component(name: &OsStr) -> Result<(), Errno> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') {
        Err(Errno::INVAL)
    } else {
        Ok(())
    }
}
