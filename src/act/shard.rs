//! Removes a share of what is condemned, side by side with others that remove theirs. It takes no other step: the journal has
//! one writer, the sweep, and the next one writes down what is gone.

use std::cell::Cell;
use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use serde::Serialize;

use super::watched::Watched;
use super::{Condemned, Service, Shard, ShardLock, StepError, Undone};
use crate::clock::Clock;
use crate::fsio::{Dir, FsError};
use crate::journal::{Ledger, Op};
use crate::names::{EntryId, share_hash};
use crate::observe::Sidecar;
use crate::observe::volume::{Hygiene, WORKSPACE};
use crate::orders::Orders;
use crate::policy::Policy;
use crate::progress::Progress;
use crate::purge::{Engine, Pace, Removed, Watcher};
use crate::stop::Stop;

/// A tree of so many entries is shared by what is at its top. At 2000 entries a second, which is the default, it would keep one
/// shard busy for five seconds while others may have nothing to do; with fewer, that each shard opens and lists the tree costs
/// more than it gains.
const ENORMOUS: u64 = 10_000;
/// How often what is at the top of a tree is removed, where a listing still shows some of it.
const PASSES: u32 = 4;
/// Shards that one second is enough for to look at; with more of them each looks less often, since what they ask of the file
/// server together grows with the square of their number.
const LOOKED_AT_IN_A_SECOND: u32 = 8;

/// What came of a share of the purge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardPurged {
    /// Names of the trees of which nothing is left that was of this share.
    pub removed: Vec<String>,
    /// Trees of which something is left that is of this share.
    pub left: u64,
    /// Entries that were removed, of all kinds.
    pub entries: u64,
    /// What failed.
    pub errors: Vec<StepError>,
    /// Whether it stopped before everything was done: it was asked to, its orders changed, or its lock was lost.
    pub stopped: bool,
    /// Why it ended before everything was done, or did not begin, though nobody asked it to.
    pub paused: Option<String>,
}

/// Everything that is needed to remove a share.
pub(crate) struct ShardAct<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) hygiene: &'a Hygiene,
    /// Held, and proved while anything is removed.
    pub(crate) lock: &'a ShardLock,
    pub(crate) orders: &'a dyn Orders,
    /// What the journal adds up to, read after the purge folder was listed.
    pub(crate) ledger: &'a Ledger,
    pub(crate) service: Service<'a>,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) stop: &'a Stop,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) done: ShardPurged,
}

/// What is of this share in a tree.
struct Part<'a> {
    one: &'a Condemned,
    name: String,
    /// Inode of the tree, by the journal.
    inode: u64,
    /// Entries of the whole tree, where that is known.
    entries: Option<u64>,
    /// Whether others remove a part of it too.
    is_shared: bool,
}

impl ShardAct<'_> {
    /// Removes what is of this share in `condemned`.
    pub(crate) fn purge(mut self, condemned: &[Condemned]) -> ShardPurged {
        let parts: Vec<_> = condemned.iter().filter_map(|one| self.part_of(one)).collect();
        self.done.left += parts.len() as u64;
        if parts.is_empty() {
            return self.done;
        }
        let most = usize::try_from(self.policy.limits.purge.concurrency).unwrap_or(usize::MAX);
        let rate = Rate::new(self.policy.limits.purge.entries_per_second, most, self.lock);
        if let Err(undone) = self.wait_for_others(&rate) {
            self.note("purging", undone);
            return self.done;
        }
        // How much of a tree that is shared is of this share is not known before it is removed.
        let total = |part: &Part<'_>| part.entries.filter(|_| !part.is_shared);
        self.progress.begin("purging", parts.iter().map(total).sum());
        let engine = Engine::new(Arc::clone(&rate.pace), false);
        for part in &parts {
            let result = self.may_begin().and_then(|()| self.remove(part, &engine, &rate));
            match result {
                Ok(()) => {
                    self.done.removed.push(part.name.clone());
                    self.done.left -= 1;
                }
                Err(undone) => self.note(&part.name, undone),
            }
            if self.done.stopped || self.done.paused.is_some() {
                break;
            }
        }
        self.progress.end();
        self.done
    }

    /// What is of this share in a tree. All shards decide by the same facts: its id, its sidecar, which nobody writes any more,
    /// and the names at its top.
    fn part_of<'a>(&mut self, one: &'a Condemned) -> Option<Part<'a>> {
        let shard = self.lock.shard();
        let is_own = shard.has(share_hash(one.id(), None));
        let Some(inode) = self.ledger.condemned.get(one.id()).copied() else {
            // A sweep may be just about to write down that it did what it meant to.
            let is_meant = self.ledger.open.iter().any(|step| step.op == Op::Condemn && step.entry == *one.id());
            if is_own && !is_meant {
                let why = "the journal does not say that we condemned it; move it away";
                self.note(one.id().as_str(), Undone::Wrong(why.into()));
            }
            return None;
        };
        let sidecar = match one.sidecar(&self.hygiene.purging) {
            Ok(sidecar) => sidecar,
            // A sweep found it gone, and brought it to an end.
            Err(error) if error.errno == Errno::NOENT => return None,
            // Whose it is is not known: it is left to a run that can read it.
            Err(error) => {
                self.done.left += 1;
                self.note(one.id().as_str(), error.into());
                return None;
            }
        };
        let entries = sidecar.as_ref().map(|sidecar| sidecar.evidence.entries);
        let is_shared = shard.of() > 1 && entries.is_some_and(|entries| entries >= ENORMOUS);
        let name = sidecar.map_or_else(|| one.id().to_string(), |Sidecar { name, .. }| name);
        (is_own || is_shared).then_some(Part { one, name, inode, entries, is_shared })
    }

    /// Where others are at work, none may go faster any more than it may with one more, before this one begins.
    fn wait_for_others(&self, rate: &Rate<'_>) -> Result<(), Undone> {
        rate.look(self.clock);
        if rate.running.get() < 2 {
            return Ok(());
        }
        let until = self.clock.uptime() + rate.every + Duration::from_secs(1);
        while self.clock.uptime() < until {
            if self.stop.requested() {
                return Err(Undone::Stopped);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        rate.look(self.clock);
        Ok(())
    }

    fn may_begin(&self) -> Result<(), Undone> {
        if self.stop.requested() {
            return Err(Undone::Stopped);
        }
        self.service
            .is_well()
            .map_err(|why| if self.stop.requested() { Undone::Stopped } else { Undone::Paused(why) })?;
        self.policy.schedule.open(self.clock.now()).map_err(|closed| Undone::Paused(closed.to_string()))?;
        self.go_on()
    }

    fn go_on(&self) -> Result<(), Undone> {
        if self.stop.requested() {
            return Err(Undone::Stopped);
        }
        self.orders.standing().map_err(Undone::Halted)?;
        self.lock.prove(&self.hygiene.dir).map_err(|lost| Undone::Halted(lost.to_string()))
    }

    #[tracing::instrument(level = "debug", skip_all, fields(name = part.name))]
    fn remove(&mut self, part: &Part<'_>, engine: &Engine, rate: &Rate<'_>) -> Result<(), Undone> {
        let folder = match part.one.open(&self.hygiene.purging) {
            Err(error) if error.errno == Errno::NOENT => return Ok(()),
            folder => folder?,
        };
        let tree = OsStr::new(WORKSPACE);
        match folder.find(tree)? {
            None => return Ok(()),
            Some(facts) if facts.inode == part.inode => {}
            Some(_) => return Err(not_condemned()),
        }
        if !part.is_shared {
            let remove = |watched: &dyn Watcher| Ok(engine.remove(folder.again()?, tree, self.stop, watched));
            let removed = self.watched(rate, remove)?;
            return self.came_of(part, removed);
        }
        match self.remove_share(part, &folder, engine, rate) {
            Ok(()) => {}
            // Others brought it to an end meanwhile, so that nothing of it can be read any more.
            Err(Undone::Fs(_) | Undone::Wrong(_)) if folder.find(tree)?.is_none() => return Ok(()),
            Err(undone) => return Err(undone),
        }
        // Whoever is the last removes the root: what others have not removed yet holds it.
        match folder.remove_dir(tree) {
            Err(error) if !matches!(error.errno, Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Removes what is of this share at the top of a tree.
    fn remove_share(&mut self, part: &Part<'_>, folder: &Dir, engine: &Engine, rate: &Rate<'_>) -> Result<(), Undone> {
        let top = open_tree(folder)?;
        if top.own_facts()?.inode != part.inode {
            return Err(not_condemned());
        }
        let meant = share_at_top(self.lock.shard(), part.one.id());
        for _ in 0..PASSES {
            let of_this_share = Box::new(share_at_top(self.lock.shard(), part.one.id()));
            let remove =
                |watched: &dyn Watcher| Ok(engine.remove_from(top.again()?, of_this_share, self.stop, watched));
            let removed = self.watched(rate, remove)?;
            // An error of a tree that the others brought to an end is none.
            if removed.halted.is_none() && folder.find(OsStr::new(WORKSPACE))?.is_none() {
                self.done.entries += removed.entries;
                return Ok(());
            }
            self.came_of(part, removed)?;
            let mut is_left = false;
            top.for_each(|name, _| {
                is_left = meant(name);
                !is_left
            })?;
            if !is_left {
                return Ok(());
            }
        }
        Err(Undone::Wrong("somebody adds to it; the next run tries again".into()))
    }

    /// Lets the engine work for as long as it may.
    fn watched(
        &self,
        rate: &Rate<'_>,
        remove: impl FnOnce(&dyn Watcher) -> Result<Removed, FsError>,
    ) -> Result<Removed, FsError> {
        let prove = || {
            self.go_on().map_err(|undone| undone.to_string())?;
            rate.look(self.clock);
            Ok(())
        };
        remove(&Watched::new(&self.service, &self.policy.schedule, self.clock, self.progress, &prove))
    }

    fn came_of(&mut self, part: &Part<'_>, removed: Removed) -> Result<(), Undone> {
        self.done.entries += removed.entries;
        for (path, error) in removed.errors {
            self.note(&part.name, Undone::Wrong(format!("{path}: {error}")));
        }
        if let Some(why) = removed.halted {
            // Orders that stand no more, or a lock that is lost, are told as what they are.
            self.go_on()?;
            return Err(if why.is_empty() || self.stop.requested() { Undone::Stopped } else { Undone::Paused(why) });
        }
        if removed.whole { Ok(()) } else { Err(Undone::in_part(removed.failed)) }
    }

    /// Records how a step ended that was not done.
    fn note(&mut self, name: &str, undone: Undone) {
        match undone {
            Undone::Stopped => self.done.stopped = true,
            Undone::Paused(why) => {
                tracing::warn!(name, why, "paused: the service comes first");
                self.done.paused = Some(why);
            }
            undone => {
                tracing::error!(name, error = %undone, "a step failed");
                self.done.stopped |= matches!(undone, Undone::Halted(_));
                let message = undone.to_string();
                self.done.errors.push(StepError { name: name.to_owned(), step: "purge", message });
            }
        }
    }
}

fn not_condemned() -> Undone {
    Undone::Wrong("its tree is not the one that was condemned; move it away".into())
}

/// Whether an entry at the top of a tree is of this share, by its name.
fn share_at_top(shard: Shard, tree: &EntryId) -> impl Fn(&OsStr) -> bool + Send + Sync + use<> {
    let tree = tree.clone();
    move |name| shard.has(share_hash(&tree, Some(name)))
}

/// Opens the root of a tree, with every right on it: it is removed as a whole, whoever may read it.
fn open_tree(folder: &Dir) -> Result<Dir, FsError> {
    let name = OsStr::new(WORKSPACE);
    let top = match folder.open_dir(name) {
        Err(error) if error.errno == Errno::ACCESS => {
            folder.make_writable_below(name)?;
            folder.open_dir(name)?
        }
        opened => opened?,
    };
    if !top.may_write()? {
        top.make_writable()?;
    }
    Ok(top)
}

/// How fast this share is removed: the resource's rate, divided among those that run.
struct Rate<'a> {
    limit: u32,
    pace: Arc<Pace>,
    lock: &'a ShardLock,
    /// Time between two looks at the others.
    every: Duration,
    /// When they were looked at last, by the machine's uptime.
    looked: Cell<Option<Duration>>,
    /// How many run, this one among them.
    running: Cell<u32>,
}

impl<'a> Rate<'a> {
    /// As slow as if all ran, until it was looked.
    fn new(limit: u32, most: usize, lock: &'a ShardLock) -> Self {
        let of = lock.shard().of();
        let pace = Arc::new(Pace::new(Some((limit / of).max(1)), most));
        let every = Duration::from_secs(1).max(Duration::from_secs(1) * of / LOOKED_AT_IN_A_SECOND);
        Self { limit, pace, lock, every, looked: Cell::new(None), running: Cell::new(of) }
    }

    /// Looks how many run, where that was long enough ago. Where it cannot be found out, all count.
    fn look(&self, clock: &dyn Clock) {
        let now = clock.uptime();
        if self.looked.get().is_some_and(|looked| now.saturating_sub(looked) < self.every) {
            return;
        }
        self.looked.set(Some(now));
        let running = self.lock.running().unwrap_or_else(|error| {
            tracing::warn!(%error, "how many shards run is not known: all count");
            self.lock.shard().of()
        });
        if self.running.replace(running) != running {
            tracing::info!(running, "the rate is divided anew");
            // Only where it changes: a new limit lets a burst through.
            self.pace.set_entries_per_second(Some((self.limit / running).max(1)));
        }
    }
}
