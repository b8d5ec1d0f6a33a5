//! Locks on the volume: one process changes it at a time, also where two hosts mount it; and one process removes each share of
//! the condemned trees.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::{FlockOperation, Timespec, Timestamps};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::fsio::{Dir, FsError, printable};
use crate::observe::volume::{HYGIENE, LOCK};
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
    #[error("{}; wait for it, or give a longer --lock-timeout", told(.what, .holder.as_ref(), *.now))]
    Held {
        /// What is locked.
        what: String,
        /// Who, where the lock says so.
        holder: Option<Holder>,
        /// When that was found.
        now: Timestamp,
    },
    /// A call failed.
    #[error("the volume cannot be locked: {0}")]
    Fs(#[from] FsError),
    /// It was ours, and is not any more.
    #[error("the lock on {what} was lost: somebody removed {path}; nothing more is done")]
    Lost {
        /// What was locked.
        what: String,
        /// The file that was locked, below the root.
        path: String,
    },
    /// Asked to stop while waiting.
    #[error("asked to stop while waiting for the lock")]
    Stopped,
}

impl LockError {
    /// Whether there is no space left on the volume for it.
    pub(super) fn is_full(&self) -> bool {
        matches!(self, Self::Fs(error) if matches!(error.errno, Errno::NOSPC | Errno::DQUOT))
    }

    /// The same for whoever does not wait for it.
    pub(super) fn without_way_out(&self) -> String {
        match self {
            Self::Held { what, holder, now } => told(what, holder.as_ref(), *now),
            other => other.to_string(),
        }
    }
}

fn told(what: &str, holder: Option<&Holder>, now: Timestamp) -> String {
    match holder {
        Some(h) => {
            format!("{what} is locked by {} running `{}` since {} ({})", h.who, h.command, h.since, ago(h.since, now))
        }
        None => format!("{what} is locked by somebody who left no name"),
    }
}

/// The lock, held until dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    place: Place,
    holder: Holder,
    /// Inode of the lock file, to notice that it was replaced.
    inode: u64,
    /// The file server's time when the lock was taken, read from the file that was written then.
    server_time: Timestamp,
}

/// Which file is locked, and what that stands for.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Its name in the folder it is in.
    pub(super) name: OsString,
    /// Where it is below the root, for messages.
    pub(super) path: String,
    /// What is locked with it, for messages.
    pub(super) what: String,
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
        let place = Place { name: LOCK.into(), path: format!("{HYGIENE}/{LOCK}"), what: "the volume".into() };
        Self::take_at(hygiene, place, (who, command), wait, clock, stop)
    }

    /// Takes the lock at `place` in `folder` for `who`, who runs `command`.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub(super) fn take_at(
        folder: &Dir,
        place: Place,
        (who, command): (&str, &str),
        wait: LockWait,
        clock: &dyn Clock,
        stop: &Stop,
    ) -> Result<Self, LockError> {
        let mut file = folder.open_file(&place.name)?;
        let mut waited = Duration::ZERO;
        let mut asked = Asked { hygiene: folder, times: 0 };
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
                Err(Errno::WOULDBLOCK) => {
                    return Err(LockError::Held { what: place.what, holder: read(&mut file), now: clock.now() });
                }
                Err(errno) => return Err(failed("flock", &place.name)(errno).into()),
            }
        }
        let holder = Holder { who: who.into(), command: command.into(), since: clock.now() };
        write(&file, &place.name, &holder)?;
        let facts = folder.facts(&place.name)?;
        let server_time = clock.file_server(facts.modified);
        let lock = Self { file, place, holder, inode: facts.inode, server_time };
        lock.prove(folder)?;
        Ok(lock)
    }

    /// Proves that the lock is still ours: a write through the locked descriptor reaches the file server, which refuses it
    /// once it gave the lock to somebody else, and the name in `folder` still leads to the file that is locked.
    ///
    /// # Errors
    /// When that is not so, or cannot be found out: then no step may be taken.
    pub fn prove(&self, folder: &Dir) -> Result<(), LockError> {
        write(&self.file, &self.place.name, &self.holder)?;
        match folder.find(&self.place.name)? {
            Some(facts) if facts.inode == self.inode && self.own_inode()? == self.inode => Ok(()),
            _ => Err(self.lost()),
        }
    }

    /// That it is not ours any more.
    pub(super) fn lost(&self) -> LockError {
        LockError::Lost { what: self.place.what.clone(), path: self.place.path.clone() }
    }

    /// Sets the time at which the file was last written back to the beginning of time, so that it does not look renewed. What
    /// cannot be set back grows old by itself.
    pub(super) fn set_back(&self) {
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let times = Timestamps { last_access: never, last_modification: never };
        if let Err(error) = rustix::fs::futimens(&self.file, &times) {
            tracing::debug!(%error, path = self.place.path, "the lock looks held for a while");
        }
    }

    /// Who holds it: we do.
    pub(super) fn holder(&self) -> &Holder {
        &self.holder
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
        stat.map(|stat| stat.st_ino).map_err(failed("fstat", &self.place.name))
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

/// Makes sure that nobody holds the lock at `place` in `folder`, without taking it.
///
/// # Errors
/// When somebody does, or it cannot be found out.
pub(super) fn held_by_nobody(folder: &Dir, place: Place, clock: &dyn Clock) -> Result<(), LockError> {
    let mut file = folder.open_file(&place.name)?;
    // A shared lock is in the way of nobody who only looks as well.
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(rustix::fs::flock(&file, FlockOperation::Unlock).map_err(failed("flock", &place.name))?),
        Err(Errno::WOULDBLOCK) => Err(LockError::Held { what: place.what, holder: read(&mut file), now: clock.now() }),
        Err(errno) => Err(failed("flock", &place.name)(errno).into()),
    }
}

fn failed(call: &'static str, name: &OsStr) -> impl FnOnce(Errno) -> FsError {
    let what = printable(name);
    move |errno| FsError { call, what, errno }
}

/// Who holds it. What cannot be read only makes the message poorer.
fn read(file: &mut File) -> Option<Holder> {
    let mut content = String::new();
    file.rewind().ok()?;
    file.take(4096).read_to_string(&mut content).ok()?;
    serde_json::from_str(&content).ok()
}

fn write(file: &File, name: &OsStr, holder: &Holder) -> Result<(), FsError> {
    let mut content = serde_json::to_vec(holder).map_err(|_| failed("write", name)(Errno::INVAL))?;
    content.resize(LENGTH - 1, b' ');
    content.push(b'\n');
    let failed = |call, e: &std::io::Error| failed(call, name)(Errno::from_io_error(e).unwrap_or(Errno::IO));
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
