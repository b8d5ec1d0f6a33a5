//! Attributes and times, from one side's words into the other's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo, TimeOrNow};
use rustix::fs::{Statx, StatxTimestamp, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

/// What the kernel is told of an inode, by a clock that is `ahead` seconds ahead.
pub fn attributes(stat: &Statx, ahead: i64) -> FileAttr {
    FileAttr {
        ino: INodeNo(stat.stx_ino),
        size: stat.stx_size,
        blocks: stat.stx_blocks,
        atime: time(stat.stx_atime, ahead),
        mtime: time(stat.stx_mtime, ahead),
        ctime: time(stat.stx_ctime, ahead),
        crtime: UNIX_EPOCH,
        kind: kind(rustix::fs::FileType::from_raw_mode(stat.stx_mode.into())).unwrap_or(FileType::RegularFile),
        perm: stat.stx_mode & 0o7777,
        nlink: stat.stx_nlink,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        rdev: u32::try_from(rustix::fs::makedev(stat.stx_rdev_major, stat.stx_rdev_minor)).unwrap_or(0),
        blksize: stat.stx_blksize,
        flags: 0,
    }
}

pub fn kind(kind: rustix::fs::FileType) -> Option<FileType> {
    use rustix::fs::FileType as Backing;
    Some(match kind {
        Backing::RegularFile => FileType::RegularFile,
        Backing::Directory => FileType::Directory,
        Backing::Symlink => FileType::Symlink,
        Backing::Fifo => FileType::NamedPipe,
        Backing::Socket => FileType::Socket,
        Backing::CharacterDevice => FileType::CharDevice,
        Backing::BlockDevice => FileType::BlockDevice,
        Backing::Unknown => return None,
    })
}

fn time(time: StatxTimestamp, ahead: i64) -> SystemTime {
    let seconds = time.tv_sec.saturating_add(ahead);
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let whole = if seconds < 0 { UNIX_EPOCH - whole } else { UNIX_EPOCH + whole };
    whole + Duration::from_nanos(time.tv_nsec.into())
}

/// What the kernel is told when there is nothing: inode number 0.
pub const NOTHING: FileAttr = FileAttr {
    ino: INodeNo(0),
    size: 0,
    blocks: 0,
    atime: UNIX_EPOCH,
    mtime: UNIX_EPOCH,
    ctime: UNIX_EPOCH,
    crtime: UNIX_EPOCH,
    kind: FileType::RegularFile,
    perm: 0,
    nlink: 0,
    uid: 0,
    gid: 0,
    rdev: 0,
    blksize: 0,
    flags: 0,
};

/// Times to be set in the backing directory, told by a clock that is `ahead` seconds ahead.
pub fn timestamps(access: Option<TimeOrNow>, modification: Option<TimeOrNow>, ahead: i64) -> Timestamps {
    let timespec = |time: Option<TimeOrNow>| match time {
        None => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        Some(TimeOrNow::Now) => Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        Some(TimeOrNow::SpecificTime(time)) => {
            let time = jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::MAX);
            // Since the Epoch, so that the nanoseconds are never negative.
            let nanoseconds = time.as_nanosecond() - i128::from(ahead) * 1_000_000_000;
            Timespec {
                tv_sec: nanoseconds.div_euclid(1_000_000_000) as i64,
                tv_nsec: nanoseconds.rem_euclid(1_000_000_000) as i64,
            }
        }
    };
    Timestamps { last_access: timespec(access), last_modification: timespec(modification) }
}
