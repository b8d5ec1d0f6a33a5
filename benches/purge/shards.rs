//! One backlog, removed by one shard and by several: each through a mount of its own, as from a node of its own.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use workspace_hygiene::act::{LockWait, Shard, ShardPurged};
use workspace_hygiene::clock::{Clock, SystemClock};
use workspace_hygiene::fsio::Dir;
use workspace_hygiene::journal::{Event, Journal, Ledger, Op, Step};
use workspace_hygiene::names::{EntryId, PlanHash, SessionId, SweepId};
use workspace_hygiene::observe::volume::{ENTRY, Hygiene, WORKSPACE};
use workspace_hygiene::observe::{Evidence, Sidecar, sessions};
use workspace_hygiene::orders::Fixed;
use workspace_hygiene::policy::{Policy, PolicyOptions};
use workspace_hygiene::progress::Progress;
use workspace_hygiene::records::{Identity, Memory, Records, StateDir, Watch};
use workspace_hygiene::secrets::NoSecrets;
use workspace_hygiene::spec::{LoadOptions, load};
use workspace_hygiene::stop::Stop;
use workspace_hygiene::sweep::{Context, Settling, Sources, purge_shard};

use super::fuse::Fuse;
use super::measure;
use super::trees::Shape;

/// Trees of the backlog, and files in each: enough that all shards have a part in each of them.
const TREES: u32 = 8;
const FILES: u64 = 12_000;
/// How many remove them side by side.
const SHARDS: u32 = 4;
/// Calls that each mount serves at once. With more of them only the machine's own processors are measured.
const SLOTS: usize = 16;
/// What EFS documents for reads and writes.
const READS: Duration = Duration::from_millis(1);
const WRITES: Duration = Duration::from_micros(2_700);

/// Prints how long the backlog takes, and by how much several are faster.
pub fn compare(dir: &Path, workers: usize, rounds: usize) -> Result<()> {
    println!(
        "shards: {TREES} condemned trees of {FILES} files each; FUSE: 1 ms a read, 2.7 ms a write, {SLOTS} slots a mount\n"
    );
    println!("{:<24} {:>10} {:>6} {:>9}", "WHAT", "TIME", "ROUNDS", "ENTRIES");
    let mut medians = Vec::new();
    let (began, cpu_before) = (measure::now(), measure::cpu_of_all()?);
    for shards in [1, SHARDS] {
        let mut took = Vec::new();
        let mut entries = 0;
        for _ in 0..rounds {
            let backlog = Backlog::new(dir, shards, workers)?;
            let (seconds, removed) = backlog.remove()?;
            took.push(seconds);
            entries = removed;
        }
        took.sort_by(f64::total_cmp);
        let median = took[took.len() / 2];
        let what =
            if shards == 1 { "one shard, one mount".into() } else { format!("{shards} shards, {shards} mounts") };
        println!("{what:<24} {median:>8.3} s {rounds:>6} {entries:>9}");
        medians.push(median);
    }
    let busy = (measure::cpu_of_all()? - cpu_before) / began.elapsed().as_secs_f64();
    println!("\n{SHARDS} shards are {:.2} times as fast as one.", medians[0] / medians[1]);
    println!(
        "The machine was busy with {busy:.1} cores meanwhile, what is measured and what made the trees among it.\n"
    );
    Ok(())
}

/// A volume with condemned trees, mounted once for each shard.
struct Backlog {
    /// Before the folder they are in, and so unmounted before it is removed.
    mounts: Vec<Fuse>,
    policies: Vec<Arc<Policy>>,
    folder: tempfile::TempDir,
}

impl Backlog {
    fn new(dir: &Path, shards: u32, workers: usize) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("hygiene-bench-purge-").tempdir_in(dir)?;
        let backing = folder.path().join("backing");
        fs::create_dir(&backing)?;
        let mut policy = policy(folder.path(), &backing)?;
        policy.limits.purge.shards = shards;
        policy.limits.purge.concurrency = u32::try_from(workers)?;
        condemn(&policy, &backing)?;
        let (mut mounts, mut policies) = (Vec::new(), Vec::new());
        for index in 0..shards {
            let at = folder.path().join(format!("at-{index}"));
            fs::create_dir(&at)?;
            let mount = Fuse::mount(&backing, &at);
            mount.control().set_latency(READS, WRITES);
            mount.control().set_slots(SLOTS);
            mounts.push(mount);
            policies.push(Arc::new(Policy { root: at, ..policy.clone() }));
        }
        Ok(Self { mounts, policies, folder })
    }

    /// Removes all of it; how long that took from when the first shard began to remove, and how many entries went.
    fn remove(self) -> Result<(f64, u64)> {
        let begun = Arc::new(Begun::default());
        let run = |(index, policy): (usize, &Arc<Policy>)| -> Result<ShardPurged> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let shard = Shard::new(u32::try_from(index)?, policy.limits.purge.shards).map_err(anyhow::Error::msg)?;
            let context = self.context(Arc::clone(&begun) as _);
            Ok(runtime.block_on(purge_shard(Arc::clone(policy), sources(policy), context, shard))?)
        };
        let done: Vec<_> = std::thread::scope(|scope| {
            let shards: Vec<_> =
                self.policies.iter().enumerate().map(|shard| scope.spawn(move || run(shard))).collect();
            shards.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
        });
        let began = begun.0.lock().unwrap_or_else(PoisonError::into_inner).context("no shard began")?;
        let seconds = began.elapsed().as_secs_f64();
        let mut entries = 0;
        for one in done {
            let one = one.map_err(|_| anyhow::anyhow!("a shard panicked"))??;
            ensure!(one.left == 0 && one.errors.is_empty() && !one.stopped && one.paused.is_none(), "{one:?}");
            entries += one.entries;
        }
        let left =
            |folder: std::io::Result<fs::DirEntry>| folder.is_ok_and(|folder| folder.path().join(WORKSPACE).exists());
        let behind = self.mounts.first().context("no mount")?.backing().join(".hygiene/purging");
        ensure!(!fs::read_dir(behind)?.any(left), "a tree is left");
        Ok((seconds, entries))
    }

    fn context(&self, progress: Arc<dyn Progress>) -> Context {
        Context {
            clock: Arc::new(SystemClock),
            stop: Stop::default(),
            progress,
            new_id: Arc::new(|| uuid::Uuid::now_v7().to_string()),
            actor: "bench".into(),
            command: "bench".into(),
            lock: LockWait::default(),
            orders: Arc::new(Fixed),
            settling: Settling::Skip,
            state: StateDir::new(Some(self.folder.path().join("state"))),
        }
    }
}

/// When the first shard began to remove anything: before, each that sees others waits for two seconds.
#[derive(Default)]
struct Begun(Mutex<Option<Instant>>);

impl Progress for Begun {
    fn begin(&self, _: &'static str, _: Option<u64>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(measure::now);
    }

    fn advance(&self, _: u64) {}

    fn end(&self) {}
}

/// The policy of a volume at `root`, without a limit on the rate that would be felt.
fn policy(folder: &Path, root: &Path) -> Result<Policy> {
    let path = folder.join("spec.yaml");
    let (root, db) = (root.display(), folder.join("sessions.db"));
    let spec = format!(
        "apiVersion: hygiene.dev/v1alpha1\nkind: WorkspaceHygiene\nmetadata: {{name: bench}}\nspec:\n  mode: Enforce\n  \
         volume: {{path: {root}}}\n  workspaces: {{pattern: '^(?<session>[0-9]+)$'}}\n  sessions: {{sqlite: {{path: {}}}, \
         liveQuery: select 1}}\n  limits: {{purge: {{entriesPerSecond: 1000000}}}}\n",
        db.display()
    );
    fs::write(&path, spec)?;
    let options = LoadOptions::of_process(PolicyOptions::default());
    let loaded = load(&[path.display().to_string()], options).map_err(|faults| anyhow::anyhow!("{faults:?}"))?;
    Ok(loaded.into_iter().next().context("no resource")?.policy)
}

/// The store is never asked by whoever only removes what is condemned.
fn sources(policy: &Policy) -> Sources {
    let sessions = sessions::open(&policy.sessions, Arc::new(NoSecrets), Arc::new(SystemClock));
    Sources { sessions, containers: Vec::new(), efs: None }
}

/// Makes the backlog as a sweep leaves it, where it takes no time.
fn condemn(policy: &Policy, root: &Path) -> Result<()> {
    let now = SystemClock.now();
    let held = Dir::open_root(root)?;
    let hygiene = Hygiene::ensure(&held, root)?;
    let identity = Identity {
        owner: policy.owner(),
        root: held.own_facts()?.inode,
        query: policy.digests.query.clone(),
        approved: true,
        ..Identity::unbound("bench".into(), now)
    };
    Records::write_identity(&hygiene.dir, &identity).map_err(anyhow::Error::msg)?;
    let memory = Memory { watch: Some(Watch { since: now, until: now }), ..Memory::default() };
    memory.write(&hygiene.dir).map_err(anyhow::Error::msg)?;
    let sweep = SweepId::new("bench");
    let mut journal = Journal::new(&hygiene.journal, &hygiene.dir, Ledger::default(), sweep.clone(), "bench".into());
    for n in 0..TREES {
        let entry = EntryId::new(uuid::Uuid::now_v7().to_string());
        let folder = root.join(".hygiene/purging").join(entry.as_str());
        fs::create_dir(&folder)?;
        let (inode, entries) = tree(&folder)?;
        let name = n.to_string();
        let sidecar = sidecar(&entry, &name, inode, entries, &sweep, now);
        fs::write(folder.join(ENTRY), serde_json::to_vec(&sidecar)?)?;
        let why = "bench".to_owned();
        journal.append(now, Event::Done(Step { op: Op::Condemn, entry, name, inode, entries, bytes: 0, why }))?;
    }
    Ok(())
}

/// Makes one tree; its inode, and how many entries it has.
fn tree(folder: &Path) -> Result<(u64, u64)> {
    let entries = Shape::Packages(FILES).make(&folder.join(WORKSPACE))?;
    let inode = Dir::open_root(folder)?.facts(WORKSPACE.as_ref())?.inode;
    Ok((inode, entries))
}

fn sidecar(entry: &EntryId, name: &str, inode: u64, entries: u64, sweep: &SweepId, now: Timestamp) -> Sidecar {
    Sidecar {
        id: entry.clone(),
        name: name.to_owned(),
        session: SessionId::new(name),
        inode,
        modified: now,
        born: None,
        quarantined: now,
        deadline: now,
        evidence: Evidence {
            sweep: sweep.clone(),
            plan: PlanHash::new("bench"),
            live: 1,
            sessions_read: now,
            inspection_started: now,
            newest: now,
            entries,
            bytes: 0,
        },
    }
}
