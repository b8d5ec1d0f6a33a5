//! Who removes which of the condemned trees: each has one owner, however many remove them side by side. A sweep that removes
//! them alone is the only one of one.

use std::ffi::OsStr;
use std::fmt;
use std::time::Duration;

use jiff::SignedDuration;

use super::lock::{Lock, LockError, LockWait, Place, held_by_nobody};
use crate::clock::Clock;
use crate::fsio::{Dir, FsError};
use crate::journal;
use crate::observe::volume::{HYGIENE, SHARDS};
use crate::stop::Stop;

/// A lock that was not renewed for so long, by the file server's clock, is nobody's who still removes anything: it is renewed
/// every second, and who cannot renew it has stopped.
const RENEWED: SignedDuration = SignedDuration::from_secs(120);
/// Whoever makes sure that nobody holds the lock of another number has ours for a moment: it is tried again for so long.
const LOOKED_AT: Duration = Duration::from_secs(1);

/// A share of the condemned trees: one of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard {
    of: u32,
    index: u32,
}

impl Shard {
    /// All of them.
    pub const WHOLE: Self = Self { of: 1, index: 0 };

    /// The share `index`, counted from 0, of `of`.
    ///
    /// # Errors
    /// When there is no such share.
    pub fn new(index: u32, of: u32) -> Result<Self, String> {
        if index < of {
            Ok(Self { of, index })
        } else {
            Err(format!("there is no shard {index} of {of}; count from 0"))
        }
    }

    /// Which one, counted from 0.
    pub fn index(self) -> u32 {
        self.index
    }

    /// Of how many.
    pub fn of(self) -> u32 {
        self.of
    }

    /// Whether what has this hash is of this share.
    pub(super) fn has(self, hash: u64) -> bool {
        hash % u64::from(self.of) == u64::from(self.index)
    }

    /// Its lock.
    fn place(self) -> Place {
        let name = format!("{}-of-{}.lock", self.index, self.of);
        let path = format!("{HYGIENE}/{SHARDS}/{name}");
        let what = if self == Self::WHOLE { "the purge".to_owned() } else { format!("the purge of {self}") };
        Place { name: name.into(), path, what }
    }

    /// The share whose lock has this name.
    fn named(name: &OsStr) -> Option<Self> {
        let (index, of) = name.to_str()?.strip_suffix(".lock")?.split_once("-of-")?;
        let shard = Self::new(index.parse().ok()?, of.parse().ok()?).ok()?;
        (shard.place().name == name).then_some(shard)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {} of {}", self.index, self.of)
    }
}

/// The lock of a share, held until dropped. While it is, nobody holds one of another number of shares.
#[derive(Debug)]
pub struct ShardLock {
    shard: Shard,
    folder: Dir,
    /// Inode of the folder, to notice that it was replaced.
    inode: u64,
    lock: Lock,
}

impl ShardLock {
    /// Takes the lock of `shard` in our folder, waiting for it as `wait` says, for `who`, who runs `command`.
    ///
    /// # Errors
    /// When somebody else holds it for that long, the condemned trees are being removed in another number of shares, or it
    /// cannot be taken at all.
    pub fn take(
        hygiene: &Dir,
        shard: Shard,
        (who, command): (&str, &str),
        wait: LockWait,
        clock: &dyn Clock,
        stop: &Stop,
    ) -> Result<Self, LockError> {
        // Nobody is asked to step aside who only removes what is condemned.
        let wait = LockWait { timeout: wait.timeout.max(LOOKED_AT), asks: false };
        let take = || -> Result<(Dir, Lock), LockError> {
            let folder = hygiene.ensure_dir(OsStr::new(SHARDS))?;
            let lock = Lock::take_at(&folder, shard.place(), (who, command), wait, clock, stop)?;
            Ok((folder, lock))
        };
        // What is removed with it makes room.
        let (folder, lock) = match take() {
            Err(error) if error.is_full() && journal::make_room(hygiene) => take()?,
            taken => taken?,
        };
        let inode = folder.own_facts()?.inode;
        let taken = Self { shard, folder, inode, lock };
        // Once ours is held: of two that begin at once at least one sees the other.
        for other in taken.all()?.into_iter().filter(|other| other.of != shard.of) {
            held_by_nobody(&taken.folder, other.place(), clock)?;
        }
        Ok(taken)
    }

    /// Which share it is the lock of.
    pub fn shard(&self) -> Shard {
        self.shard
    }

    /// Proves that it is still ours, as [`Lock::prove`] does, and that the folder it is in is still the one in `hygiene`.
    ///
    /// # Errors
    /// When that is not so, or cannot be found out: then no step may be taken.
    pub fn prove(&self, hygiene: &Dir) -> Result<(), LockError> {
        match hygiene.find(OsStr::new(SHARDS))? {
            Some(facts) if facts.inode == self.inode => self.lock.prove(&self.folder),
            _ => Err(self.lock.lost()),
        }
    }

    /// How many shares are being removed now, this one among them: those whose lock was renewed lately and was not given back.
    /// One that was killed counts for 120 s more, since it is not known that it stopped.
    ///
    /// # Errors
    /// When it cannot be found out.
    pub fn running(&self) -> Result<u32, FsError> {
        let now = self.folder.facts(&self.shard.place().name)?.modified;
        let mut running = 1;
        for other in self.all()?.into_iter().filter(|other| other.of == self.shard.of && *other != self.shard) {
            let renewed = self.folder.find(&other.place().name)?.map(|facts| facts.modified);
            running += u32::from(renewed.is_some_and(|renewed| now.duration_since(renewed) <= RENEWED));
        }
        Ok(running)
    }

    /// The lock itself.
    pub(crate) fn lock(&self) -> &Lock {
        &self.lock
    }

    /// All shares that ever had a lock.
    fn all(&self) -> Result<Vec<Shard>, FsError> {
        let mut all: Vec<_> = self.folder.names()?.iter().filter_map(|(name, _)| Shard::named(name)).collect();
        all.sort_unstable();
        Ok(all)
    }
}

impl Drop for ShardLock {
    fn drop(&mut self) {
        self.lock.set_back();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::SystemTime;

    use super::*;
    use crate::clock::SystemClock;

    fn take(folder: &Path, index: u32, of: u32) -> Result<ShardLock, LockError> {
        let hygiene = Dir::open_root(folder).unwrap();
        let (shard, wait) = (Shard::new(index, of).unwrap(), LockWait::default());
        ShardLock::take(&hygiene, shard, ("test", "purge"), wait, &SystemClock, &Stop::default())
    }

    #[test]
    fn those_count_that_renew_their_lock_and_those_that_may_still_be_at_work() {
        let folder = tempfile::tempdir().unwrap();
        let one = take(folder.path(), 0, 4).unwrap();
        assert_eq!(one.running().unwrap(), 1);
        let two = take(folder.path(), 3, 4).unwrap();
        assert_eq!((one.running().unwrap(), two.running().unwrap()), (2, 2));
        drop(two);
        assert_eq!(one.running().unwrap(), 1, "one that ended counts no more");
        // One that was killed leaves its lock as it was.
        let killed = std::fs::File::create(folder.path().join("shards/2-of-4.lock")).unwrap();
        assert_eq!(one.running().unwrap(), 2);
        let renewed = |ago: u64| {
            let own = std::fs::metadata(folder.path().join("shards/0-of-4.lock")).unwrap().modified().unwrap();
            killed.set_modified(own - Duration::from_secs(ago)).unwrap();
            one.running().unwrap()
        };
        assert_eq!((renewed(119), renewed(121)), (2, 1));
        killed.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        // Neither another number nor anything else counts.
        for name in ["0-of-2.lock", "01-of-4.lock", "4-of-4.lock", "notes"] {
            std::fs::write(folder.path().join("shards").join(name), "").unwrap();
        }
        assert_eq!(one.running().unwrap(), 1);
    }

    #[test]
    fn a_lock_is_one_of_one_number_only() {
        let folder = tempfile::tempdir().unwrap();
        let four = take(folder.path(), 1, 4).unwrap();
        for (index, of) in [(1, 4), (0, 2), (1, 2), (0, 1)] {
            let refused = take(folder.path(), index, of).unwrap_err();
            let LockError::Held { what, holder, .. } = refused else { panic!("{refused}") };
            assert_eq!((what.as_str(), holder.unwrap().command.as_str()), ("the purge of shard 1 of 4", "purge"));
        }
        take(folder.path(), 2, 4).unwrap();
        drop(four);
        take(folder.path(), 0, 1).unwrap();
    }

    #[test]
    fn each_hash_is_of_one_share() {
        for of in 1..=64 {
            let shares: Vec<_> = (0..of).map(|index| Shard::new(index, of).unwrap()).collect();
            for hash in [0, 1, 63, 64, u64::MAX, 0x9e37_79b9_7f4a_7c15] {
                assert_eq!(shares.iter().filter(|shard| shard.has(hash)).count(), 1);
            }
            assert!(shares.iter().all(|shard| Shard::named(&shard.place().name) == Some(*shard)));
        }
    }
}
