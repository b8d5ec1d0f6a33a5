//! What callers have open.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use fuser::{FileHandle, FileType, ReplyDirectory};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::attributes::kind;
use super::gate::lock;

pub enum Handle {
    File(File),
    Directory(Directory),
}

impl Handle {
    /// # Errors
    /// EBADF for a directory.
    pub fn file(&self) -> Result<&File, Errno> {
        if let Self::File(file) = self { Ok(file) } else { Err(Errno::BADF) }
    }

    /// # Errors
    /// EBADF for a file.
    pub fn directory(&self) -> Result<&Directory, Errno> {
        if let Self::Directory(directory) = self { Ok(directory) } else { Err(Errno::BADF) }
    }
}

/// All open handles, by the number the kernel was given for each.
#[derive(Default)]
pub struct Handles {
    open: Mutex<HashMap<u64, Arc<Handle>>>,
    last: AtomicU64,
}

impl Handles {
    pub fn keep(&self, handle: Handle) -> FileHandle {
        let number = self.last.fetch_add(1, Ordering::SeqCst) + 1;
        lock(&self.open).insert(number, Arc::new(handle));
        FileHandle(number)
    }

    /// # Errors
    /// EBADF for a number nobody was given.
    pub fn get(&self, number: FileHandle) -> Result<Arc<Handle>, Errno> {
        lock(&self.open).get(&number.0).map(Arc::clone).ok_or(Errno::BADF)
    }

    pub fn close(&self, number: FileHandle) {
        let closed = lock(&self.open).remove(&number.0);
        // Closed outside the lock.
        drop(closed);
    }
}

/// Reads as much as there is of what was asked for: to the kernel a short answer is the end of the file.
pub fn read(file: &File, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
    let mut data = vec![0; size as usize];
    let mut filled = 0;
    while filled < data.len() {
        match file.read_at(&mut data[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Errno::from_io_error(&e).unwrap_or(Errno::IO)),
        }
    }
    data.truncate(filled);
    Ok(data)
}

pub fn write(file: &File, offset: u64, data: &[u8]) -> Result<u32, Errno> {
    let written = file.write_at(data, offset).map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
    Ok(u32::try_from(written).unwrap_or(u32::MAX))
}

pub struct Entry {
    number: u64,
    kind: FileType,
    name: OsString,
}

/// An open directory. It is read as a whole when it is read from its start, and paged out from there.
pub struct Directory {
    pub fd: OwnedFd,
    entries: Mutex<Arc<[Entry]>>,
}

impl Directory {
    pub fn new(fd: OwnedFd) -> Self {
        Self { fd, entries: Mutex::new(Arc::default()) }
    }

    /// The entries from `offset` on.
    pub fn read(&self, offset: u64) -> Result<Arc<[Entry]>, Errno> {
        if offset == 0 {
            let fresh = self.entries_now()?;
            *lock(&self.entries) = fresh;
        }
        Ok(Arc::clone(&lock(&self.entries)))
    }

    fn entries_now(&self) -> Result<Arc<[Entry]>, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, ".", flags, Mode::empty())?;
        let entries = rustix::fs::Dir::new(fd)?.map(|entry| {
            let entry = entry?;
            Ok(Entry {
                number: entry.ino(),
                // FUSE has no way to say unknown; the file systems these tests run on know.
                kind: kind(entry.file_type()).ok_or(Errno::NOTSUP)?,
                name: OsStr::from_bytes(entry.file_name().to_bytes()).to_owned(),
            })
        });
        entries.collect()
    }
}

/// Fills one answer with entries from `offset` on.
pub fn fill(reply: &mut ReplyDirectory, entries: &[Entry], offset: u64) {
    for (entry, next) in entries.iter().zip(1..).skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
        if reply.add(fuser::INodeNo(entry.number), next, entry.kind, &entry.name) {
            break;
        }
    }
}
