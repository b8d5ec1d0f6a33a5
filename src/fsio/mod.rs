//! File-system calls relative to a held directory handle, and nothing else: no path of more than one component is ever
//! resolved below the root, no symlink followed, no mount point crossed.

mod error;
mod facts;
mod files;
mod moves;
#[cfg(test)]
mod tests;

pub use error::{FsError, printable};
pub use facts::{Facts, Kind};
pub use files::{cut_file, sync_file, write_all};

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use rustix::fs::{Access, AtFlags, Mode, OFlags, RawDir, ResolveFlags};
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

/// Refuses what is not the name of one entry, before the kernel sees it.
fn one_component(name: &OsStr) -> Result<(), Errno> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') {
        Err(Errno::INVAL)
    } else {
        Ok(())
    }
}
