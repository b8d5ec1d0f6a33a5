//! What is condemned is removed by several at once, each its share: all of it, nothing twice, nothing else.

mod locks;
mod rate;
mod shares;
mod stopping;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use workspace_hygiene::act::{Shard, ShardPurged};
use workspace_hygiene::journal::Event;
use workspace_hygiene::orders::Orders;
use workspace_hygiene::policy::Policy;
use workspace_hygiene::progress::Progress;
use workspace_hygiene::sweep::{Context, Sources, SweepError};

use crate::world::{DAY, World, id};

/// A world with what several shards have to remove.
pub struct Backlog {
    pub world: World,
    pub policy: Arc<Policy>,
    pub sources: Sources,
}

/// What the sidecar of a tree says that all shards have a part in.
const ENORMOUS: u64 = 10_000;

impl Backlog {
    /// So many condemned trees on a file system of their own, for so many shards. `fill` may add to a workspace.
    pub fn new(trees: u32, shards: u32, fill: impl Fn(u32, &Path)) -> Self {
        let mut world = World::on_fuse();
        world.part("limits", "{breaker: {maxOrphanPercent: 100}}");
        let backing = world.fuse().backing().to_owned();
        for n in 1..=trees {
            world.workspace(&id(n), 60 * DAY);
            fill(n, &backing.join(id(n)));
            crate::world::backdate(&backing.join(id(n)), 60 * DAY);
        }
        let policy = world.policy_of_shards(shards);
        assert_eq!(world.sweep_by(Arc::clone(&policy)).quarantined.len(), trees as usize);
        world.pass(8 * DAY);
        let acted = world.sweep_by(Arc::clone(&policy));
        assert_eq!((acted.condemned.len(), acted.left_to_shards), (trees as usize, trees.into()), "{acted:?}");
        assert_eq!((acted.purged.len(), acted.errors.len()), (0, 0), "a sweep leaves them to the shards");
        let sources = world.sources();
        Self { world, policy, sources }
    }

    /// The same, and the sidecars say that each tree is enormous.
    pub fn of_enormous(trees: u32, shards: u32, fill: impl Fn(u32, &Path)) -> Self {
        let backlog = Self::new(trees, shards, fill);
        for folder in backlog.folders() {
            let path = folder.join("entry.json");
            let mut sidecar: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            sidecar["evidence"]["entries"] = ENORMOUS.into();
            fs::write(path, sidecar.to_string()).unwrap();
        }
        backlog
    }

    /// The folder of condemned trees, behind the mount.
    pub fn purging(&self) -> PathBuf {
        self.world.fuse().backing().join(".hygiene/purging")
    }

    /// The folders of all condemned trees, behind the mount.
    pub fn folders(&self) -> Vec<PathBuf> {
        let mut folders: Vec<_> = fs::read_dir(self.purging()).unwrap().map(|entry| entry.unwrap().path()).collect();
        folders.sort();
        folders
    }

    /// Entries of the trees that are still there.
    pub fn left(&self) -> u64 {
        self.folders().iter().map(|folder| entries(&folder.join("workspace"))).sum()
    }

    /// Runs the shard `index`.
    pub fn try_run(&self, index: u32) -> Result<ShardPurged, SweepError> {
        self.run_with(index, self.world.context())
    }

    pub fn run_with(&self, index: u32, context: Context) -> Result<ShardPurged, SweepError> {
        self.run_by(index, self.sources.clone(), context)
    }

    pub fn run_by(&self, index: u32, sources: Sources, context: Context) -> Result<ShardPurged, SweepError> {
        let shard = Shard::new(index, self.policy.limits.purge.shards).unwrap();
        self.world.purge_shard(&self.policy, sources, context, shard)
    }

    pub fn run(&self, index: u32) -> ShardPurged {
        self.try_run(index).unwrap()
    }

    /// Runs all shards at once.
    pub fn run_all(&self) -> Vec<ShardPurged> {
        self.run_at_once(self.policy.limits.purge.shards)
    }

    /// Runs the first so many shards at once.
    pub fn run_at_once(&self, shards: u32) -> Vec<ShardPurged> {
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..shards).map(|index| scope.spawn(move || self.run(index))).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        })
    }

    /// What the next sweep brings to an end: its names, and what the journal says of each is that it went once.
    pub fn ends(&self, trees: u32) {
        let acted = self.world.sweep_by(Arc::clone(&self.policy));
        assert_eq!((acted.purged.len(), acted.left_to_shards), (trees as usize, 0), "{acted:?}");
        assert_eq!(acted.errors, []);
        assert_eq!(self.folders().len(), 0);
        let records = self.world.listed().records;
        for n in 1..=trees {
            let purged = |record: &&_| matches!(record, Event::Purged(step) if step.name == id(n));
            assert_eq!(records.iter().map(|record| &record.event).filter(purged).count(), 1, "{n}");
        }
    }
}

/// Entries of a tree, itself among them; none where it is gone.
pub fn entries(path: &Path) -> u64 {
    let Ok(meta) = fs::symlink_metadata(path) else { return 0 };
    if !meta.is_dir() {
        return 1;
    }
    1 + fs::read_dir(path).unwrap().map(|entry| entries(&entry.unwrap().path())).sum::<u64>()
}

/// Makes so many directories with so many files each.
pub fn directories(at: &Path, directories: u32, files: u32) {
    for dir in 0..directories {
        let path = at.join(format!("dir-{dir}"));
        fs::create_dir(&path).unwrap();
        (0..files).for_each(|n| fs::write(path.join(n.to_string()), "x").unwrap());
    }
}

/// Calls `then` once so many entries are gone.
pub struct After<F> {
    pub entries: u64,
    pub removed: AtomicU64,
    pub then: F,
}

impl<F: Fn() + Send + Sync> After<F> {
    pub fn new(entries: u64, then: F) -> Arc<Self> {
        Arc::new(Self { entries, removed: AtomicU64::new(0), then })
    }
}

impl<F: Fn() + Send + Sync> Progress for After<F> {
    fn begin(&self, _: &'static str, _: Option<u64>) {}

    fn advance(&self, units: u64) {
        if self.removed.fetch_add(units, Ordering::SeqCst) + units >= self.entries {
            (self.then)();
        }
    }

    fn end(&self) {}
}

/// Orders that stand until they are withdrawn.
#[derive(Debug, Default)]
pub struct Withdrawn(pub AtomicBool);

impl Orders for Withdrawn {
    fn standing(&self) -> Result<(), String> {
        if self.0.load(Ordering::SeqCst) { Err("the spec changed".into()) } else { Ok(()) }
    }
}
