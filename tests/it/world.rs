//! A small world for tests: a volume of real directories, a SQLite session store, and a clock the test moves.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustix::fs::{AtFlags, Timespec, Timestamps};
use workspace_hygiene::act::{Acted, LockWait, Pin, Shard, ShardPurged};
use workspace_hygiene::clock::Clock;
use workspace_hygiene::fsio::Dir;
use workspace_hygiene::names::PlanHash;
use workspace_hygiene::observe::aws::Aws;
use workspace_hygiene::observe::efs::Efs;
use workspace_hygiene::observe::sessions::SessionStore;
use workspace_hygiene::observe::volume::Hygiene;
use workspace_hygiene::observe::{containers, sessions};
use workspace_hygiene::orders::{Fixed, Orders};
use workspace_hygiene::policy::{Mode, Policy, PolicyOptions};
use workspace_hygiene::progress::{Progress, Unwatched};
use workspace_hygiene::records::{AnswerKind, HeldPlan, Identity, Records, StateDir, Watch};
use workspace_hygiene::secrets::{NoSecrets, Secrets};
use workspace_hygiene::spec::{LoadOptions, load};
use workspace_hygiene::stop::Stop;
use workspace_hygiene::sweep::{self, Adoption, Answered, Context, Observed, Settling, Sources, SweepError, Swept};

use crate::fuse::Fuse;

pub const DAY: Duration = Duration::from_secs(86_400);

/// A clock that shows the real time plus what the test added, in seconds.
#[derive(Clone, Debug, Default)]
pub struct MovedClock(Arc<Mutex<i64>>);

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        Timestamp::now() + SignedDuration::from_secs(*self.0.lock().unwrap())
    }

    /// The test moves the clocks of all machines at once, also the file server's.
    fn file_server(&self, written: Timestamp) -> Timestamp {
        written + SignedDuration::from_secs(*self.0.lock().unwrap())
    }
}

pub struct World {
    /// Before the folder it is mounted in, and so dropped before it.
    fuse: Option<Fuse>,
    mounted: Option<Mounted>,
    dir: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    pub clock: MovedClock,
    pub stop: Stop,
    /// Told how far a sweep is.
    pub progress: Arc<dyn Progress>,
    /// Lines that go into the spec below `spec:`, replacing the defaults of the same key.
    parts: BTreeMap<&'static str, String>,
    /// What the resource is called.
    pub name: &'static str,
    /// Whether the volume is one that is swept for long: bound to this resource, spec and database, its first plan approved,
    /// watched without a gap.
    settled: bool,
    pub orders: Arc<dyn Orders>,
    /// The values that the spec names.
    pub secrets: Arc<dyn Secrets>,
    /// The clock of this host, where it is not the world's.
    pub host_clock: Option<Arc<dyn Clock>>,
}

/// A file system that is unmounted when the test ends.
struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(at: &Path, options: &std::ffi::CStr) -> Self {
        use rustix::mount::{MountFlags, mount};
        mount("volume", at, "tmpfs", MountFlags::empty(), options)
            .unwrap_or_else(|e| panic!("tmpfs: {e}; the tests need root"));
        Self(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH).ok();
    }
}

impl World {
    /// A world on the file system of `TMPDIR`, or where the environment says `WORLD_FS=fuse` as [`Self::on_fuse`]. Its volume
    /// is swept for long, whatever the test makes of its spec.
    pub fn new() -> Self {
        Self::made(Fuse::asked_for())
    }

    /// The same with a volume that no sweep has seen yet.
    pub fn fresh() -> Self {
        Self { settled: false, ..Self::made(Fuse::asked_for()) }
    }

    /// The same with a volume that no sweep has seen yet.
    pub fn fresh_on_disk() -> Self {
        Self { settled: false, ..Self::made(false) }
    }

    /// A world whose volume is on the file system of `TMPDIR`, together with what the test has beside it.
    pub fn on_disk() -> Self {
        Self::made(false)
    }

    /// A world whose volume behaves as EFS does; see [`Self::fuse`].
    pub fn on_fuse() -> Self {
        Self::made(true)
    }

    /// A world with a volume of one megabyte that no sweep has seen yet.
    pub fn on_small_tmpfs() -> Self {
        let mut world = Self { settled: false, ..Self::made(false) };
        world.mounted = Some(Mounted::tmpfs(&world.root(), c"size=1m,mode=0755"));
        world
    }

    /// A world whose volume is in memory, and gone at once with all that is in it.
    pub fn on_tmpfs() -> Self {
        let mut world = Self::made(false);
        world.mounted = Some(Mounted::tmpfs(&world.root(), c"mode=0755"));
        world
    }

    fn made(on_fuse: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("volume");
        fs::create_dir(&volume).unwrap();
        let fuse = on_fuse.then(|| Fuse::beside(dir.path(), &volume));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let world = Self {
            fuse,
            mounted: None,
            dir,
            runtime,
            clock: MovedClock::default(),
            stop: Stop::default(),
            progress: Arc::new(Unwatched),
            parts: BTreeMap::new(),
            name: "test",
            settled: true,
            orders: Arc::new(Fixed),
            secrets: Arc::new(NoSecrets),
            host_clock: None,
        };
        world.db("create table session (id text primary key, deleted_at text)");
        world.set_live("aaaaaaaa-0000-4000-8000-000000000000", true);
        world
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("volume")
    }

    /// The file system below the volume of a world that is on one of its own.
    pub fn fuse(&self) -> &Fuse {
        self.fuse.as_ref().expect("this world was not made by on_fuse")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn db(&self, sql: &str) {
        rusqlite::Connection::open(self.path("sessions.db")).unwrap().execute_batch(sql).unwrap();
    }

    pub fn set_live(&self, id: &str, live: bool) {
        let deleted = if live { "null" } else { "'2026-01-01'" };
        self.db(&format!(
            "insert into session values ('{id}', {deleted}) on conflict (id) do update set deleted_at = {deleted}"
        ));
    }

    /// Makes a workspace of a few files whose newest mtime is `age` before now.
    pub fn workspace(&self, name: &str, age: Duration) -> PathBuf {
        let path = self.root().join(name);
        fs::create_dir_all(path.join("src/deep")).unwrap();
        fs::write(path.join("README"), name).unwrap();
        fs::write(path.join("src/main.rs"), "fn main() {}\n").unwrap();
        fs::write(path.join("src/deep/data"), vec![7; 9_000]).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", path.join("src/link")).unwrap();
        backdate(&path, age);
        path
    }

    /// Sets one part of the spec, such as `limits: {perSweep: 2}`.
    pub fn part(&mut self, key: &'static str, yaml: &str) {
        self.parts.insert(key, yaml.to_owned());
    }

    pub fn spec(&self) -> String {
        let (root, db) = (self.root(), self.path("sessions.db"));
        let mut parts = BTreeMap::from([
            ("mode", "Enforce".to_owned()),
            ("volume", format!("{{path: {}}}", root.display())),
            ("workspaces", "{pattern: '^(?<session>[0-9A-Za-z-]{36})$', activity: Modified}".to_owned()),
            (
                "sessions",
                format!(
                    "{{sqlite: {{path: {}}}, liveQuery: 'select id from session where deleted_at is null'}}",
                    db.display()
                ),
            ),
        ]);
        parts.extend(self.parts.clone());
        let body: String = parts.iter().map(|(key, yaml)| format!("  {key}: {yaml}\n")).collect();
        let name = self.name;
        format!("apiVersion: hygiene.dev/v1alpha1\nkind: WorkspaceHygiene\nmetadata: {{name: {name}}}\nspec:\n{body}")
    }

    /// Writes the spec to a file and gives back its path, for the built binary.
    pub fn spec_file(&self) -> PathBuf {
        let path = self.path("spec.yaml");
        fs::write(&path, self.spec()).unwrap();
        if self.settled {
            self.settle(&path);
        }
        path
    }

    fn load(path: &Path) -> Option<Arc<Policy>> {
        let policy = PolicyOptions { allow_short_times: true, cluster: "local".into(), ..PolicyOptions::default() };
        let loaded = load(&[path.display().to_string()], LoadOptions::of_process(policy));
        loaded.ok().map(|mut loaded| Arc::new(loaded.remove(0).policy))
    }

    pub fn policy(&self) -> Arc<Policy> {
        Self::load(&self.spec_file()).expect("the spec is in order")
    }

    /// Makes the volume one that was bound to this spec and this database, approved and watched, for long.
    fn settle(&self, spec: &Path) {
        // A spec that is refused, and a root or a database that the test took away, are the test's own matter.
        let Some(policy) = Self::load(spec).filter(|policy| policy.mode == Mode::Enforce) else { return };
        let Ok(root) = Dir::open_root(&policy.root) else { return };
        let Ok(hygiene) = Hygiene::ensure(&root, &policy.root) else { return };
        let sessions = sessions::open(&policy.sessions, Arc::clone(&self.secrets), Arc::new(self.clock.clone()));
        let sessions = self.runtime.block_on(sessions.live());
        let now = self.clock.now();
        let Ok(records) = Records::read(Some(&hygiene.dir), None) else { return };
        let mut memory = records.memory.clone();
        memory.watch = Some(Watch { since: now - SignedDuration::from_hours(24 * 365), until: now });
        memory.spec = Some(policy.digests.evidence.clone());
        memory.write(&hygiene.dir).unwrap();
        let before = records.identity.clone().unwrap_or_else(|| Identity::unbound("test".into(), now));
        let identity = Identity {
            owner: policy.owner(),
            root: root.own_facts().unwrap().inode,
            database: sessions.complete().map_or(before.database.clone(), |sessions| sessions.database.clone()),
            query: policy.digests.query.clone(),
            approved: true,
            ..before.clone()
        };
        if records.identity != Some(identity.clone()) {
            Records::write_identity(&hygiene.dir, &identity).unwrap();
        }
    }

    pub fn sources(&self) -> Sources {
        let policy = self.policy();
        let sessions = sessions::open(&policy.sessions, Arc::clone(&self.secrets), Arc::new(self.clock.clone()));
        self.with_others(&policy, sessions)
    }

    /// All the sources of a policy, with this store.
    fn with_others(&self, policy: &Policy, sessions: Arc<dyn SessionStore>) -> Sources {
        let (aws, clock): (_, Arc<dyn Clock>) = (Aws::default(), Arc::new(self.clock.clone()));
        let containers =
            containers::open(policy.containers.as_deref(), &aws, &containers::KubernetesApi::default(), &clock);
        Sources { sessions, containers, efs: policy.efs.clone().map(|efs| Arc::new(Efs::new(efs, aws))) }
    }

    pub fn context(&self) -> Context {
        Context {
            clock: self.host_clock.clone().unwrap_or_else(|| Arc::new(self.clock.clone())),
            stop: self.stop.clone(),
            progress: Arc::clone(&self.progress),
            new_id: Arc::new(|| uuid::Uuid::now_v7().to_string()),
            actor: "test".into(),
            command: "test".into(),
            lock: LockWait::default(),
            orders: Arc::clone(&self.orders),
            settling: Settling::Wait,
            state: StateDir::new(Some(self.path("state"))),
        }
    }

    pub fn plan(&self) -> Observed {
        self.runtime.block_on(sweep::plan(self.policy(), self.sources(), self.context())).unwrap()
    }

    pub fn try_sweep(&self, sources: Sources) -> Result<Swept, SweepError> {
        self.runtime.block_on(sweep::sweep(self.policy(), sources, self.context()))
    }

    /// A sweep by the spec that was written last, with nothing made ready for it.
    pub fn runtime_sweep(&self) -> Result<Swept, SweepError> {
        let policy = Self::load(&self.path("spec.yaml")).unwrap();
        let sessions = sessions::open(&policy.sessions, Arc::clone(&self.secrets), Arc::new(self.clock.clone()));
        let sources = self.with_others(&policy, sessions);
        self.runtime.block_on(sweep::sweep(policy, sources, self.context()))
    }

    /// The policy as only a claim may have it: purged by so many shards.
    pub fn policy_of_shards(&self, shards: u32) -> Arc<Policy> {
        let mut policy = Policy::clone(&self.policy());
        policy.limits.purge.shards = shards;
        Arc::new(policy)
    }

    /// A sweep by this policy.
    pub fn sweep_by(&self, policy: Arc<Policy>) -> Acted {
        self.runtime.block_on(sweep::sweep(policy, self.sources(), self.context())).unwrap().acted
    }

    /// What one shard makes of what is condemned, by this policy.
    pub fn purge_shard(
        &self,
        policy: &Arc<Policy>,
        sources: Sources,
        context: Context,
        shard: Shard,
    ) -> Result<ShardPurged, SweepError> {
        self.runtime.block_on(sweep::purge_shard(Arc::clone(policy), sources, context, shard))
    }

    pub fn sweep(&self) -> Acted {
        self.try_sweep(self.sources()).unwrap().acted
    }

    pub fn restore(&self, names: &[&str], pin: Pin) -> Result<Acted, SweepError> {
        let names = names.iter().map(ToString::to_string).collect();
        self.runtime.block_on(sweep::restore_now(self.policy(), self.sources(), self.context(), names, pin))
    }

    pub fn purge(&self, names: &[&str]) -> Result<Swept, SweepError> {
        self.purge_by(self.policy(), names)
    }

    /// The same by this policy.
    pub fn purge_by(&self, policy: Arc<Policy>, names: &[&str]) -> Result<Swept, SweepError> {
        let names = names.iter().map(ToString::to_string).collect();
        self.runtime.block_on(sweep::purge_now(policy, self.sources(), self.context(), names))
    }

    pub fn answer(&self, kind: AnswerKind, hash: &PlanHash) -> Result<Answered, SweepError> {
        let answer = sweep::answer(self.policy(), self.sources(), self.context(), kind, hash.clone());
        self.runtime.block_on(answer)
    }

    pub fn adopt(&self) -> Result<Adoption, SweepError> {
        self.runtime.block_on(sweep::adopt(self.policy(), self.sources(), self.context(), true))
    }

    pub fn held(&self) -> Option<HeldPlan> {
        self.runtime.block_on(sweep::held_plan(self.policy(), self.context())).unwrap()
    }

    pub fn listed(&self) -> sweep::Listed {
        self.runtime.block_on(sweep::list_quarantine(self.policy())).unwrap()
    }

    pub fn pass(&self, time: Duration) {
        *self.clock.0.lock().unwrap() += i64::try_from(time.as_secs()).unwrap();
    }

    /// Sets the clock back, so that what is done next was done long ago by the clock of the built binary.
    pub fn rewind(&self, time: Duration) {
        *self.clock.0.lock().unwrap() -= i64::try_from(time.as_secs()).unwrap();
    }

    /// The trees in quarantine, as paths.
    pub fn quarantined_trees(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.root().join(".hygiene/quarantine")).into_iter().flatten();
        folders.map(|folder| folder.unwrap().path().join("workspace")).filter(|path| path.exists()).collect()
    }
}

/// Sets mtime and atime of everything in `path` to `age` before now. ctime cannot be set, which is why the specs of these
/// worlds say `activity: Modified` unless they are about ctime.
pub fn backdate(path: &Path, age: Duration) {
    if path.symlink_metadata().unwrap().is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            backdate(&entry.unwrap().path(), age);
        }
    }
    let then = Timestamp::now().as_second() - i64::try_from(age.as_secs()).unwrap();
    let time = Timespec { tv_sec: then, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// A rename renews the change time of what it moves: what has the same one was not moved, not even for a moment.
pub fn change_time(path: &Path) -> (i64, i64) {
    let meta = fs::symlink_metadata(path).unwrap();
    (meta.ctime(), meta.ctime_nsec())
}

/// Everything below `path` but `.hygiene` at its top: type, mode, content and link target, by name.
pub fn manifest(path: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut all = BTreeMap::new();
    let mut pending = vec![path.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap().path();
            if dir == path && entry.ends_with(".hygiene") {
                continue;
            }
            let meta = entry.symlink_metadata().unwrap();
            let mut what = format!("{:o} {}:{} {:?}", meta.mode(), meta.uid(), meta.gid(), meta.modified().unwrap());
            if meta.is_symlink() {
                what.push_str(&format!(" -> {:?}", fs::read_link(&entry).unwrap()));
            } else if meta.is_file() {
                what.push_str(&format!(" {:?}", fs::read(&entry).unwrap()));
            } else if meta.is_dir() {
                pending.push(entry.clone());
            }
            all.insert(entry.strip_prefix(path).unwrap().as_os_str().as_bytes().to_vec(), what);
        }
    }
    all
}

/// A session id that differs in `n`.
pub fn id(n: u32) -> String {
    format!("bbbbbbbb-0000-4000-8000-{n:012}")
}
