//! Files in a held directory.

use std::ffi::OsStr;
use std::io::{Read, Write};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::error::failed;
use super::{Dir, FsError};

impl Dir {
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
