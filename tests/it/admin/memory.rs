//! The memory monitor: on trees of files that look like cgroups, and on a real cgroup with a process that allocates.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;
use workspace_hygiene::admin::{Board, MemoryMonitor, MemoryWarn, Metrics, Place, Pulse};

use super::until;
use crate::containers_http::server::{Server, answer};

const EVERY: Duration = Duration::from_millis(20);
const MI: u64 = 1 << 20;

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    fn count(&self, words: &str) -> usize {
        String::from_utf8_lossy(&self.0.lock().unwrap()).lines().filter(|line| line.contains(words)).count()
    }
}

/// A monitor, what it logs and what it measures.
struct Watched {
    log: Log,
    metrics: Arc<Metrics>,
    _monitor: MemoryMonitor,
}

impl Watched {
    fn new(root: &Path, metadata: Option<String>, warn: MemoryWarn) -> Self {
        let (log, metrics) = (Log::default(), Arc::new(Metrics::new()));
        let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
        let place = Place { root: root.into(), metadata, every: EVERY };
        let monitor =
            tracing::subscriber::with_default(subscriber, || MemoryMonitor::watch(place, warn, Arc::clone(&metrics)));
        Self { log, metrics, _monitor: monitor }
    }

    fn metric(&self, name: &str) -> Option<u64> {
        let text = self.metrics.text(&Board::new(), &Pulse::new(EVERY, EVERY));
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("hygiene_{name} ")).map(str::to_owned))?;
        Some(line.parse::<f64>().unwrap() as u64)
    }

    #[track_caller]
    fn shows(&self, name: &str, value: Option<u64>) {
        until(&format!("{name} is {value:?} and not {:?}", self.metric(name)), || self.metric(name) == value);
    }
}

fn put(root: &Path, file: &str, text: impl ToString) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // As the kernel gives it: never half of it.
    let beside = path.with_extension("new");
    fs::write(&beside, text.to_string() + "\n").unwrap();
    fs::rename(beside, path).unwrap();
}

/// Version 2: this process is in /kubepods/pod1/c1, and the pod around it has the smaller limit.
fn version_2() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    put(root, "proc/self/cgroup", "0::/kubepods/pod1/c1");
    put(
        root,
        "proc/self/mountinfo",
        "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 21 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate",
    );
    put(root, "sys/fs/cgroup/kubepods/memory.max", "max");
    put(root, "sys/fs/cgroup/kubepods/pod1/memory.max", 160 * MI);
    put(root, "sys/fs/cgroup/kubepods/pod1/c1/memory.max", 320 * MI);
    put(root, "sys/fs/cgroup/kubepods/pod1/c1/memory.current", 120 * MI);
    put(root, "sys/fs/cgroup/kubepods/pod1/c1/memory.stat", format!("anon 5\ninactive_file {}\nfile 7", 20 * MI));
    dir
}

const USED: &str = "sys/fs/cgroup/kubepods/pod1/c1/memory.current";

#[test]
fn version_2_counts_as_the_kubelet_does_and_takes_the_smallest_limit_around() {
    let dir = version_2();
    let watched = Watched::new(dir.path(), None, MemoryWarn::Default);
    watched.shows("memory_usage_bytes", Some(100 * MI));
    watched.shows("memory_limit_bytes", Some(160 * MI));
    watched.shows("memory_warn_bytes", Some(130 * MI));
    assert_eq!(watched.log.count("memory"), 0);
}

#[test]
fn it_warns_once_and_says_once_that_it_is_over() {
    let dir = version_2();
    let watched = Watched::new(dir.path(), None, MemoryWarn::Bytes(100 * MI));
    watched.shows("memory_usage_bytes", Some(100 * MI));
    for (used, warned, over) in
        [(121, 1, 0), (130, 1, 0), (116, 1, 0), (125, 1, 0), (114, 1, 1), (119, 1, 1), (140, 2, 1)]
    {
        put(dir.path(), USED, used * MI);
        watched.shows("memory_usage_bytes", Some((used - 20) * MI));
        until(&format!("{used}"), || watched.log.count("WARN") == warned && watched.log.count("INFO") == over);
        std::thread::sleep(3 * EVERY);
        assert_eq!((watched.log.count("WARN"), watched.log.count("INFO")), (warned, over), "{used}");
    }
}

#[test]
fn a_container_that_sees_its_own_cgroup_as_the_mounts_root_is_watched_there() {
    for path in ["/", "/../../elsewhere", "/system.slice/docker-0123.scope"] {
        let dir = version_2();
        put(dir.path(), "proc/self/cgroup", format!("0::{path}"));
        put(dir.path(), "sys/fs/cgroup/memory.current", 40 * MI);
        put(dir.path(), "sys/fs/cgroup/memory.max", 80 * MI);
        let watched = Watched::new(dir.path(), None, MemoryWarn::Percent(50));
        watched.shows("memory_usage_bytes", Some(40 * MI));
        watched.shows("memory_warn_bytes", Some(40 * MI));
    }
}

/// Version 1 beside a version 2 that has no memory, as this machine and many others have it; the container's cgroup is the
/// root of its mount.
fn version_1(limit: u64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    put(root, "proc/self/cgroup", "9:name=systemd:/ecs/t1\n4:cpu,memory:/ecs/t1/c1\n0::/ecs/t1");
    put(
        root,
        "proc/self/mountinfo",
        "30 21 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
         31 21 0:27 / /sys/fs/cgroup/systemd rw shared:9 master:2 - cgroup cgroup rw,name=systemd\n\
         32 21 0:28 /ecs/t1/c1 /sys/fs/cgroup/memory rw - cgroup cgroup rw,cpu,memory",
    );
    put(root, "sys/fs/cgroup/memory/memory.usage_in_bytes", 90 * MI);
    put(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", limit);
    put(root, "sys/fs/cgroup/memory/memory.stat", format!("inactive_file 1\ntotal_inactive_file {}", 10 * MI));
    dir
}

#[test]
fn version_1_is_read_where_memory_belongs_to_it() {
    let dir = version_1(160 * MI);
    let watched = Watched::new(dir.path(), None, MemoryWarn::Default);
    watched.shows("memory_usage_bytes", Some(80 * MI));
    watched.shows("memory_limit_bytes", Some(160 * MI));
}

#[test]
fn without_a_limit_ecs_is_asked_and_without_ecs_it_is_13_gib() {
    let dir = version_1(9_223_372_036_854_771_712);
    let ecs =
        Server::writing(answer("200 OK", "Content-Type: application/json\r\n", r#"{"Limits":{"CPU":2,"Memory":512}}"#));
    let watched = Watched::new(dir.path(), Some(format!("http://127.0.0.1:{}/v4/abc", ecs.port)), MemoryWarn::Default);
    watched.shows("memory_limit_bytes", Some(512 * MI));
    watched.shows("memory_warn_bytes", Some(416 * MI));
    std::thread::sleep(5 * EVERY);
    assert_eq!(ecs.requests().len(), 1, "it is asked once");
    for metadata in [None, Some(format!("http://{}/v4", SocketAddr::from(([127, 0, 0, 1], 1))))] {
        let watched = Watched::new(dir.path(), metadata, MemoryWarn::Percent(50));
        watched.shows("memory_warn_bytes", Some(13 << 30));
        watched.shows("memory_limit_bytes", None);
    }
}

#[test]
fn with_nothing_to_read_it_says_once_that_it_is_off() {
    let dir = tempfile::tempdir().unwrap();
    let watched = Watched::new(dir.path(), None, MemoryWarn::Default);
    until("it says so", || watched.log.count("the memory monitor is off") == 1);
    std::thread::sleep(5 * EVERY);
    assert_eq!(watched.log.count(""), 1);
    assert_eq!(watched.metric("memory_usage_bytes"), None);
}

#[test]
fn a_cgroup_that_vanishes_is_no_zero() {
    let dir = version_2();
    let watched = Watched::new(dir.path(), None, MemoryWarn::Default);
    watched.shows("memory_usage_bytes", Some(100 * MI));
    fs::remove_file(dir.path().join(USED)).unwrap();
    watched.shows("memory_usage_bytes", None);
}

#[test]
fn thresholds_are_sizes_or_shares() {
    assert_eq!("13Gi".parse(), Ok(MemoryWarn::Bytes(13 << 30)));
    assert_eq!("800M".parse(), Ok(MemoryWarn::Bytes(800_000_000)));
    assert_eq!("80%".parse(), Ok(MemoryWarn::Percent(80)));
    for wrong in ["", "0%", "101%", "%", "-1%", "much", "13"] {
        assert!(wrong.parse::<MemoryWarn>().is_err(), "{wrong}");
    }
}

/// A cgroup of version 1 that the kernel keeps, and a process in it that this test tells what to allocate.
struct Real {
    dir: std::path::PathBuf,
    process: Child,
}

impl Real {
    /// `None` where this machine has no version 1 memory cgroups that may be made.
    fn new() -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let own = own.lines().find_map(|line| line.split_once(":memory:").map(|(_, path)| path.to_owned()))?;
        let seen = Path::new("/sys/fs/cgroup/memory").join(own.trim_start_matches('/'));
        let parent = if seen.is_dir() { seen } else { "/sys/fs/cgroup/memory".into() };
        let dir = parent.join(format!("hygiene-test-{}", std::process::id()));
        fs::create_dir(&dir).ok()?;
        fs::write(dir.join("memory.limit_in_bytes"), (256 * MI).to_string()).unwrap();
        // It joins, and then holds as many MiB in a variable as it is told, line by line.
        let script = "echo $$ > \"$1/cgroup.procs\" && while read -r mib; do \
                      x=$(head -c $((mib * 1048576)) /dev/zero | tr '\\0' x); done";
        let mut process = Command::new("sh");
        process.args(["-c", script, "sh"]).arg(&dir).stdin(Stdio::piped());
        Some(Self { process: process.spawn().unwrap(), dir })
    }

    fn holds(&mut self, mib: u64) {
        writeln!(self.process.stdin.as_mut().unwrap(), "{mib}").unwrap();
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        // The last of its processes may be leaving still.
        for _ in 0..100 {
            if fs::remove_dir(&self.dir).is_ok() {
                return;
            }
            std::thread::sleep(EVERY);
        }
    }
}

#[test]
fn a_process_that_allocates_in_a_real_cgroup_is_noticed() {
    let Some(mut real) = Real::new() else {
        println!("not run: no memory cgroup of version 1 can be made here, which takes root");
        return;
    };
    // What the process itself would find there.
    let dir = tempfile::tempdir().unwrap();
    let pid = real.process.id();
    until("it joined", || fs::read_to_string(real.dir.join("cgroup.procs")).unwrap().contains(&pid.to_string()));
    for file in ["cgroup", "mountinfo"] {
        put(dir.path(), &format!("proc/self/{file}"), fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap());
    }
    std::os::unix::fs::symlink("/sys", dir.path().join("sys")).unwrap();
    let watched = Watched::new(dir.path(), None, MemoryWarn::Bytes(64 * MI));
    watched.shows("memory_limit_bytes", Some(256 * MI));
    assert_eq!(watched.log.count("WARN"), 0);
    real.holds(80);
    until("it warns", || watched.log.count("WARN") == 1);
    real.holds(0);
    until("it is over", || watched.log.count("does not run short any more") == 1);
    assert_eq!(watched.log.count("WARN"), 1);
}
