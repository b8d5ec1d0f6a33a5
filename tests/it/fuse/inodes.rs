//! The inodes the kernel knows, each held open. A held inode's number is not given to another, and it stays what it is
//! however it is renamed, here or behind our back.

use std::collections::{HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use fuser::INodeNo;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags};
use rustix::io::Errno;

use super::gate::lock;

/// An inode of the backing directory, held.
pub struct Inode {
    pub fd: OwnedFd,
    /// Removed through this mount. What another client removed is stale to whoever still holds it.
    pub removed_here: AtomicBool,
}

/// An entry that was found or made, of which the kernel was not told yet.
pub type Found = (Inode, Statx);

impl Inode {
    fn new(fd: OwnedFd) -> Self {
        Self { fd, removed_here: AtomicBool::new(false) }
    }

    /// What statx(2) says.
    ///
    /// # Errors
    /// ESTALE when another client removed it.
    pub fn stat(&self) -> Result<Statx, Errno> {
        let stat = rustix::fs::statx(&self.fd, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?;
        let gone = stat.stx_nlink == 0 && !self.removed_here.load(Ordering::SeqCst);
        if gone { Err(Errno::STALE) } else { Ok(stat) }
    }

    /// The entry `name` in this directory.
    pub fn find(&self, name: &OsStr) -> Result<Found, Errno> {
        // Another mount below the backing directory would bring inode numbers that are not ours.
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = Self::new(rustix::fs::openat2(&self.fd, name, flags, Mode::empty(), within)?);
        let stat = rustix::fs::statx(&found.fd, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?;
        Ok((found, stat))
    }
}

struct Known {
    inode: Arc<Inode>,
    lookups: u64,
}

/// An entry the kernel may be asked to forget: its directory and its name.
pub type Forgettable = (INodeNo, OsString);

#[derive(Default)]
struct AllKnown {
    by_number: HashMap<u64, Known>,
    /// Those that are no directories, the oldest first.
    by_age: VecDeque<(u64, Forgettable)>,
}

/// As many inodes are held before the kernel is asked to forget some: each is an open file, and the kernel forgets none
/// by itself before memory is short.
const HELD: usize = 5_000;

/// All inodes the kernel was told of and did not forget.
pub struct Inodes {
    root: Arc<Inode>,
    root_path: PathBuf,
    known: Mutex<AllKnown>,
    forgettable: Sender<Forgettable>,
    /// `/proc/self/fd`, through which a held inode is opened again.
    fds: OwnedFd,
}

impl Inodes {
    /// The inodes of `backing`. When there are many, some are named to `forgettable`.
    pub fn new(backing: &Path, forgettable: Sender<Forgettable>) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(backing, flags, Mode::empty())?;
        Ok(Self {
            root: Arc::new(Inode::new(root)),
            root_path: backing.to_owned(),
            known: Mutex::default(),
            forgettable,
            fds: rustix::fs::open("/proc/self/fd", flags, Mode::empty())?,
        })
    }

    /// # Errors
    /// ESTALE for one we were never asked for.
    pub fn get(&self, number: INodeNo) -> Result<Arc<Inode>, Errno> {
        if number == INodeNo::ROOT {
            return Ok(Arc::clone(&self.root));
        }
        self.held(number.0).ok_or(Errno::STALE)
    }

    fn held(&self, number: u64) -> Option<Arc<Inode>> {
        lock(&self.known).by_number.get(&number).map(|known| Arc::clone(&known.inode))
    }

    /// Remembers that the kernel was told, once more, of an inode, called `name` in `dir`.
    pub fn remember(&self, (inode, stat): Found, dir: INodeNo, name: &OsStr) {
        let mut all = lock(&self.known);
        let number = stat.stx_ino;
        let known = all.by_number.entry(number).or_insert_with(|| Known { inode: Arc::new(inode), lookups: 0 });
        known.lookups += 1;
        let first = known.lookups == 1;
        // Nothing is mounted on what is no directory, and nothing is below it that would go with it.
        if first && FileType::from_raw_mode(stat.stx_mode.into()) != FileType::Directory {
            all.by_age.push_back((number, (dir, name.to_owned())));
        }
        while all.by_age.len() > HELD {
            if let Some((number, entry)) = all.by_age.pop_front()
                && all.by_number.contains_key(&number)
            {
                // Nobody listens any more when it is being unmounted.
                _ = self.forgettable.send(entry);
            }
        }
    }

    pub fn forget(&self, number: INodeNo, lookups: u64) {
        let mut all = lock(&self.known);
        if let Some(known) = all.by_number.get_mut(&number.0) {
            known.lookups = known.lookups.saturating_sub(lookups);
            if known.lookups == 0 {
                all.by_number.remove(&number.0);
            }
        }
    }

    /// Does what removes `name` from `dir`, which is then no surprise to whoever holds it.
    pub fn removing(&self, dir: &Inode, name: &OsStr, remove: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
        let there = rustix::fs::statat(&dir.fd, name, AtFlags::SYMLINK_NOFOLLOW);
        let held = there.ok().and_then(|stat| self.held(stat.st_ino));
        // Before, so that nobody sees it gone and not yet marked.
        let mark = |removed| held.iter().for_each(|inode| inode.removed_here.store(removed, Ordering::SeqCst));
        mark(true);
        remove().inspect_err(|_| mark(false))
    }

    /// The held inode itself, where a call takes no empty path: a directory and a name in it, to be followed.
    pub fn itself(&self, inode: &Inode) -> (impl AsFd + '_, String) {
        (self.fds.as_fd(), inode.fd.as_raw_fd().to_string())
    }

    pub fn open(&self, inode: &Inode, flags: OFlags) -> Result<OwnedFd, Errno> {
        let (fds, name) = self.itself(inode);
        rustix::fs::openat(fds, name, flags | OFlags::CLOEXEC, Mode::empty())
    }

    /// Where `name` in the inode, or with an empty name the inode itself, is now, below the root.
    pub fn path_of(&self, number: INodeNo, name: &OsStr) -> PathBuf {
        let path = self.get(number).and_then(|inode| {
            let (fds, link) = self.itself(&inode);
            rustix::fs::readlinkat(fds, link, Vec::new())
        });
        let path = path.map(|path| PathBuf::from(OsStr::from_bytes(path.to_bytes()))).unwrap_or_default();
        let path = path.strip_prefix(&self.root_path).unwrap_or(&path);
        if name.is_empty() { path.to_owned() } else { path.join(name) }
    }
}
