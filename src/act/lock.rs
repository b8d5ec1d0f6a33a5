//! The lock on the volume: one process changes it at a time, also where two hosts mount it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::fsio::{Dir, FsError};
use crate::observe::volume::LOCK;
use crate::report::text::ago;
use crate::stop::Stop;

/// Who holds the lock, as written in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// User, host, process, version.
    pub who: String,
    /// What it runs.
    pub command: String,
    /// Since when.
    pub since: Timestamp,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else holds it.
    #[error("the volume is locked by {}; wait for it, or give a longer --lock-timeout", told(.holder.as_ref(), *.now))]
    Held {
        /// Who, where the lock says so.
        holder: Option<Holder>,
        /// When that was found.
        now: Timestamp,
    },
    /// A call failed.
    #[error("the volume cannot be locked: {0}")]
    Fs(#[from] FsError),
    /// It was ours, and is not any more.
    #[error("the lock on the volume was lost: somebody removed .hygiene/lock; nothing more is done")]
    Lost,
    /// Asked to stop while waiting.
    #[error("asked to stop while waiting for the lock")]
    Stopped,
}

fn told(holder: Option<&Holder>, now: Timestamp) -> String {
    match holder {
        Some(h) => format!("{} running `{}` since {} ({})", h.who, h.command, h.since, ago(h.since, now)),
        None => "somebody who left no name".into(),
    }
}

/// The lock, held until dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    holder: Holder,
    /// Inode of the lock file, to notice that it was replaced.
    inode: u64,
    /// The file server's time when the lock was taken, read from the file that was written then.
    server_time: Timestamp,
}

/// How to wait for the lock.
#[derive(Clone, Copy, Debug, Default)]
pub struct LockWait {
    /// For how long.
    pub timeout: Duration,
    /// Whether a service that holds it is asked to step aside meanwhile.
    pub asks: bool,
}

const PAUSE: Duration = Duration::from_millis(100);
/// Time between two requests to step aside: whoever looks tells from a new one that somebody still waits.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// The file by which a holder is asked to step aside.
const WANTED: &str = "wanted";
/// Every write is of this length, in bytes, so that proving the lock needs no new space on a full volume.
const LENGTH: usize = 1024;

impl Lock {
    /// Takes the lock in our folder, waiting for it as `wait` says.
    ///
    /// # Errors
    /// When somebody else holds it for that long, or it cannot be taken at all.
    pub fn take(
        hygiene: &Dir,
        who: &str,
        command: &str,
        wait: LockWait,
        clock: &dyn Clock,
        stop: &Stop,
    ) -> Result<Self, LockError> {
        let name = OsStr::new(LOCK);
        let failed = |errno| FsError { call: "flock", what: LOCK.into(), errno };
        let mut file = hygiene.open_file(name)?;
        let mut waited = Duration::ZERO;
        let mut asked = Asked { hygiene, times: 0 };
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) if waited < wait.timeout && !stop.requested() => {
                    if wait.asks && waited >= ASK_EVERY * asked.times {
                        asked.ask(&Holder { who: who.into(), command: command.into(), since: clock.now() });
                    }
                    std::thread::sleep(PAUSE);
                    waited += PAUSE;
                }
                Err(Errno::WOULDBLOCK) if stop.requested() => return Err(LockError::Stopped),
                Err(Errno::WOULDBLOCK) => return Err(LockError::Held { holder: read(&mut file), now: clock.now() }),
                Err(errno) => return Err(failed(errno).into()),
            }
        }
        let holder = Holder { who: who.into(), command: command.into(), since: clock.now() };
        write(&file, &holder)?;
        let facts = hygiene.facts(name)?;
        let server_time = clock.file_server(facts.modified);
        let lock = Self { file, holder, inode: facts.inode, server_time };
        lock.prove(hygiene)?;
        Ok(lock)
    }

    /// Proves that the lock is still ours: a write through the locked descriptor reaches the file server, which refuses it
    /// once it gave the lock to somebody else, and the name still leads to the file that is locked.
    ///
    /// # Errors
    /// When that is not so, or cannot be found out: then no step may be taken.
    pub fn prove(&self, hygiene: &Dir) -> Result<(), LockError> {
        write(&self.file, &self.holder)?;
        match hygiene.find(OsStr::new(LOCK))? {
            Some(facts) if facts.inode == self.inode && self.own_inode()? == self.inode => Ok(()),
            _ => Err(LockError::Lost),
        }
    }

    /// The file server's time when the lock was taken.
    pub fn server_time(&self) -> Timestamp {
        self.server_time
    }

    /// This host's time when the lock was taken.
    pub fn taken(&self) -> Timestamp {
        self.holder.since
    }

    fn own_inode(&self) -> Result<u64, FsError> {
        let stat = rustix::fs::fstat(&self.file);
        stat.map(|stat| stat.st_ino).map_err(|errno| FsError { call: "fstat", what: LOCK.into(), errno })
    }
}

/// Given back by name, not by closing the file: a process that somebody else in this program is just starting has a copy of
/// the descriptor until it runs a program of its own, and would hold the lock with it.
impl Drop for Lock {
    fn drop(&mut self) {
        // A file that cannot be unlocked is unlocked when its last descriptor is closed.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

/// Asks whoever holds the lock to step aside, for as long as this is held. What cannot be written is not asked.
struct Asked<'a> {
    hygiene: &'a Dir,
    times: u32,
}

impl Asked<'_> {
    fn ask(&mut self, who: &Holder) {
        self.times += 1;
        let Ok(content) = serde_json::to_vec(who) else { return };
        if let Err(error) = self.hygiene.replace_file(OsStr::new(WANTED), &content) {
            tracing::debug!(%error, "nobody can be asked to step aside");
        }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if self.times > 0 {
            // Left where it cannot be removed; nobody takes the same request for a second one.
            let _ = self.hygiene.unlink(OsStr::new(WANTED));
        }
    }
}

/// A request to step aside.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Differs from that of every other request, and of every repetition.
    pub mark: u64,
    /// Who waits, where the request says so.
    pub by: Option<Holder>,
}

/// Who wants the lock. By a listing, which is read from the file server: a look-up by name may be answered from what the
/// client remembers.
///
/// # Errors
/// When our folder cannot be listed.
pub fn wanted(hygiene: &Dir) -> Result<Option<Wanted>, FsError> {
    let name = OsStr::new(WANTED);
    let Some(mark) = hygiene.listed_inode(name)? else { return Ok(None) };
    let content = hygiene.read_file(name, LENGTH as u64).ok().flatten();
    Ok(Some(Wanted { mark, by: content.and_then(|content| serde_json::from_slice(&content).ok()) }))
}

/// Who holds it. What cannot be read only makes the message poorer.
fn read(file: &mut File) -> Option<Holder> {
    let mut content = String::new();
    file.rewind().ok()?;
    file.take(4096).read_to_string(&mut content).ok()?;
    serde_json::from_str(&content).ok()
}

fn write(file: &File, holder: &Holder) -> Result<(), FsError> {
    let unfit = |_| FsError { call: "write", what: LOCK.into(), errno: Errno::INVAL };
    let mut content = serde_json::to_vec(holder).map_err(unfit)?;
    content.resize(LENGTH - 1, b' ');
    content.push(b'\n');
    let failed = |call, e: &std::io::Error| {
        let errno = Errno::from_io_error(e).unwrap_or(Errno::IO);
        FsError { call, what: LOCK.into(), errno }
    };
    file.write_all_at(&content, 0).map_err(|e| failed("write", &e))?;
    file.sync_all().map_err(|e| failed("fsync", &e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn a_copy_of_the_descriptor_does_not_keep_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(LOCK), "").unwrap();
        let dir = Dir::open_root(folder.path()).unwrap();
        let take = || Lock::take(&dir, "test", "sweep", LockWait::default(), &SystemClock, &Stop::default());
        let held = take().unwrap();
        let copy = held.file.try_clone().unwrap();
        assert!(matches!(take(), Err(LockError::Held { .. })));
        drop(held);
        take().unwrap();
        drop(copy);
    }
}
