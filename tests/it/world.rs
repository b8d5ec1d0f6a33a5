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
use workspace_hygiene::act::{Acted, Pin};
use workspace_hygiene::clock::Clock;
use workspace_hygiene::observe::sessions;
use workspace_hygiene::policy::{Policy, PolicyOptions};
use workspace_hygiene::progress::{Progress, Unwatched};
use workspace_hygiene::spec::{LoadOptions, load};
use workspace_hygiene::stop::Stop;
use workspace_hygiene::sweep::{self, Context, Observed, Sources, SweepError, Swept};

use crate::fuse::Fuse;

pub const DAY: Duration = Duration::from_secs(86_400);

/// A clock that shows the real time plus what the test added, in seconds.
#[derive(Clone, Debug, Default)]
pub struct MovedClock(Arc<Mutex<i64>>);

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        Timestamp::now() + SignedDuration::from_secs(*self.0.lock().unwrap())
    }
}

pub struct World {
    /// Before the folder it is mounted in, and so dropped before it.
    fuse: Option<Fuse>,
    dir: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    pub clock: MovedClock,
    pub stop: Stop,
    /// Told how far a sweep is.
    pub progress: Arc<dyn Progress>,
    /// Lines that go into the spec below `spec:`, replacing the defaults of the same key.
    parts: BTreeMap<&'static str, String>,
}

impl World {
    /// A world on the file system of `TMPDIR`, or where the environment says `WORLD_FS=fuse` as [`Self::on_fuse`].
    pub fn new() -> Self {
        Self::made(Fuse::asked_for())
    }

    /// A world whose volume behaves as EFS does; see [`Self::fuse`].
    pub fn on_fuse() -> Self {
        Self::made(true)
    }

    fn made(on_fuse: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("volume");
        fs::create_dir(&volume).unwrap();
        let fuse = on_fuse.then(|| Fuse::beside(dir.path(), &volume));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let world = Self {
            fuse,
            dir,
            runtime,
            clock: MovedClock::default(),
            stop: Stop::default(),
            progress: Arc::new(Unwatched),
            parts: BTreeMap::new(),
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
        format!("apiVersion: hygiene.dev/v1alpha1\nkind: WorkspaceHygiene\nmetadata: {{name: test}}\nspec:\n{body}")
    }

    /// Writes the spec to a file and gives back its path, for the built binary.
    pub fn spec_file(&self) -> PathBuf {
        let path = self.path("spec.yaml");
        fs::write(&path, self.spec()).unwrap();
        path
    }

    pub fn policy(&self) -> Arc<Policy> {
        let path = self.spec_file();
        let policy = PolicyOptions { allow_short_times: true, home: None };
        let loaded = load(&[path.display().to_string()], LoadOptions::of_process(policy));
        let mut loaded = loaded.unwrap_or_else(|faults| panic!("{faults:#?}"));
        Arc::new(loaded.remove(0).policy)
    }

    pub fn sources(&self) -> Sources {
        let policy = self.policy();
        Sources { sessions: sessions::open(&policy.sessions, Arc::new(self.clock.clone())), containers: Vec::new() }
    }

    pub fn context(&self) -> Context {
        Context {
            clock: Arc::new(self.clock.clone()),
            stop: self.stop.clone(),
            progress: Arc::clone(&self.progress),
            new_id: Arc::new(|| uuid::Uuid::now_v7().to_string()),
            actor: "test".into(),
            command: "test".into(),
            lock_timeout: Duration::ZERO,
        }
    }

    pub fn plan(&self) -> Observed {
        self.runtime.block_on(sweep::plan(self.policy(), self.sources(), self.context())).unwrap()
    }

    pub fn try_sweep(&self, sources: Sources) -> Result<Swept, SweepError> {
        self.runtime.block_on(sweep::sweep(self.policy(), sources, self.context()))
    }

    pub fn sweep(&self) -> Acted {
        self.try_sweep(self.sources()).unwrap().acted
    }

    pub fn restore(&self, names: &[&str], pin: Pin) -> Result<Acted, SweepError> {
        let names = names.iter().map(ToString::to_string).collect();
        self.runtime.block_on(sweep::restore_now(self.policy(), self.sources(), self.context(), names, pin))
    }

    pub fn purge(&self, names: &[&str]) -> Result<Swept, SweepError> {
        let names = names.iter().map(ToString::to_string).collect();
        self.runtime.block_on(sweep::purge_now(self.policy(), self.sources(), self.context(), names))
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
