//! The lock on the volume: one process changes it at a time, also where two hosts mount it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, Write};
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
    #[error("the volume is locked by {}; wait for it, or give --lock-timeout", told(.holder.as_ref(), *.now))]
    Held {
        /// Who, where the lock says so.
        holder: Option<Holder>,
        /// When that was found.
        now: Timestamp,
    },
    /// A call failed.
    #[error("the volume cannot be locked: {0}")]
    Fs(#[from] FsError),
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
pub struct Lock(#[allow(dead_code)] File);

const PAUSE: Duration = Duration::from_millis(100);

impl Lock {
    /// Takes the lock in our folder, waiting for it up to `timeout`.
    ///
    /// # Errors
    /// When somebody else holds it for that long, or it cannot be taken at all.
    pub fn take(
        hygiene: &Dir,
        who: &str,
        command: &str,
        timeout: Duration,
        clock: &dyn Clock,
        stop: &Stop,
    ) -> Result<Self, LockError> {
        let name = OsStr::new(LOCK);
        let failed = |errno| FsError { call: "flock", what: LOCK.into(), errno };
        let mut file = hygiene.open_file(name)?;
        let mut waited = Duration::ZERO;
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) if waited < timeout && !stop.requested() => {
                    std::thread::sleep(PAUSE);
                    waited += PAUSE;
                }
                Err(Errno::WOULDBLOCK) if stop.requested() => return Err(LockError::Stopped),
                Err(Errno::WOULDBLOCK) => return Err(LockError::Held { holder: read(&mut file), now: clock.now() }),
                Err(errno) => return Err(failed(errno).into()),
            }
        }
        let holder = Holder { who: who.into(), command: command.into(), since: clock.now() };
        write(&mut file, &holder).map_err(|e| {
            let errno = Errno::from_io_error(&e).unwrap_or(Errno::IO);
            FsError { call: "write", what: LOCK.into(), errno }
        })?;
        Ok(Self(file))
    }
}

/// Who holds it. What cannot be read only makes the message poorer.
fn read(file: &mut File) -> Option<Holder> {
    let mut content = String::new();
    file.rewind().ok()?;
    file.take(4096).read_to_string(&mut content).ok()?;
    serde_json::from_str(&content).ok()
}

fn write(file: &mut File, holder: &Holder) -> std::io::Result<()> {
    let mut content = serde_json::to_vec(holder)?;
    content.push(b'\n');
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(&content)?;
    file.sync_all()
}
