//! What the file system says of an entry.

use std::ffi::OsStr;
use std::os::fd::BorrowedFd;

use jiff::Timestamp;
use rustix::fs::{AtFlags, Statx, StatxAttributes, StatxFlags, StatxTimestamp};
use rustix::io::Errno;

const STATX: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME).union(StatxFlags::MNT_ID);

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Anything else: files, FIFOs, sockets, devices.
    Other,
}

/// What the file system says of one entry, read past any attribute cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What it is.
    pub kind: Kind,
    /// Inode number.
    pub inode: u64,
    /// Device, as (major, minor).
    pub device: (u32, u32),
    /// Id of the mount it was reached through; `None` before Linux 5.8.
    pub mount: Option<u64>,
    /// Whether it is the root of a mount; `None` where the kernel does not say.
    pub mount_root: Option<bool>,
    /// Whether it may not be changed, moved or removed by anybody (`chattr +i`).
    pub immutable: bool,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Hard links.
    pub links: u32,
    /// Bytes allocated on the volume.
    pub bytes: u64,
    /// Last modification of content.
    pub modified: Timestamp,
    /// Last change of the inode.
    pub changed: Timestamp,
    /// Birth, where the file system reports it.
    pub born: Option<Timestamp>,
}

/// What statx(2) says of `name` in `dir`.
pub(super) fn facts_of(dir: BorrowedFd<'_>, name: &OsStr, flags: AtFlags) -> Result<Facts, Errno> {
    let flags = flags | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_FORCE_SYNC;
    let stat = rustix::fs::statx(dir, name, flags, STATX)?;
    Ok(facts_from(&stat))
}

fn facts_from(stat: &Statx) -> Facts {
    let has = |flag: StatxFlags| stat.stx_mask & flag.bits() != 0;
    let kind = match rustix::fs::FileType::from_raw_mode(stat.stx_mode.into()) {
        rustix::fs::FileType::Directory => Kind::Directory,
        rustix::fs::FileType::Symlink => Kind::Symlink,
        _ => Kind::Other,
    };
    let mount_root = stat
        .stx_attributes_mask
        .contains(StatxAttributes::MOUNT_ROOT)
        .then(|| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    Facts {
        kind,
        inode: stat.stx_ino,
        device: (stat.stx_dev_major, stat.stx_dev_minor),
        mount: has(StatxFlags::MNT_ID).then_some(stat.stx_mnt_id),
        mount_root,
        immutable: stat.stx_attributes.contains(StatxAttributes::IMMUTABLE),
        mode: u32::from(stat.stx_mode) & 0o7777,
        uid: stat.stx_uid,
        links: stat.stx_nlink,
        bytes: stat.stx_blocks.saturating_mul(512),
        modified: timestamp(stat.stx_mtime),
        changed: timestamp(stat.stx_ctime),
        born: has(StatxFlags::BTIME).then(|| timestamp(stat.stx_btime)),
    }
}

/// A time that cannot be represented counts as one to come, which keeps.
fn timestamp(time: StatxTimestamp) -> Timestamp {
    let nanoseconds = i32::try_from(time.tv_nsec).unwrap_or(i32::MAX);
    Timestamp::new(time.tv_sec, nanoseconds).unwrap_or(Timestamp::MAX)
}
