//! How long the purge engine takes to remove a tree, beside what people use: rm, find, the standard library, and rmz; and
//! what others feel of it. Prints tables; judges nothing, since what is fast depends on the machine.

mod beside;
#[allow(clippy::disallowed_methods, dead_code, unused_imports)] // a bench needs little of what tests need
#[path = "../../tests/it/fuse/mod.rs"]
mod fuse;
#[allow(dead_code)] // not all of it is measured here
#[path = "../scale/measure.rs"]
mod measure;
mod shards;
mod trees;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use fuse::{Control, Fuse};
use trees::Shape;
use workspace_hygiene::fsio::Dir;
use workspace_hygiene::purge::{Engine, Pace, Watcher};
use workspace_hygiene::stop::Stop;

/// Measures the purge engine beside rm -rf, find -delete, `std::fs::remove_dir_all` and rmz
#[derive(Parser, Debug)]
struct Options {
    /// Only this case; may be given several times
    #[arg(long, value_parser = names())]
    case: Vec<String>,

    /// Only this one beside hygiene; may be given several times
    #[arg(long, value_parser = PEERS)]
    peer: Vec<String>,

    /// Rounds; each runs everything once, and the table has the medians
    #[arg(long, default_value_t = 5)]
    rounds: usize,

    /// Whoever takes longer than so many seconds is run once
    #[arg(long, default_value_t = 20.0)]
    once: f64,

    /// Most workers of the engine
    #[arg(long, default_value_t = 64)]
    workers: usize,

    /// Folder for the trees, best on a tmpfs; what is made there is removed at the end
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,

    /// Remove this tree once: how the bench runs itself, so that each removal has a process of its own
    #[arg(long, hide = true)]
    remove: Option<PathBuf>,

    /// What removes it
    #[arg(long, hide = true, default_value = OURS)]
    with: String,

    /// The folder is on a file system of its own, under this name: how the bench runs itself there
    #[arg(long, hide = true)]
    on: Option<String>,

    /// What cargo adds for every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// A tree, and where it is.
struct Case {
    name: &'static str,
    what: &'static str,
    shape: Shape,
    /// Microseconds that reads and writes take, on a network file system.
    latency: Option<(u64, u64)>,
}

const CASES: [Case; 6] = [
    Case {
        name: "network",
        what: "20 000 files in packages, eleven deep, FUSE: 1 ms a read, 1 ms a write, 64 slots",
        shape: Shape::Packages(20_000),
        latency: Some((1000, 1000)),
    },
    Case {
        name: "slow-writes",
        what: "20 000 files in packages, eleven deep, FUSE: 1 ms a read, 2.7 ms a write, 64 slots",
        shape: Shape::Packages(20_000),
        latency: Some((1000, 2700)),
    },
    Case {
        name: "local",
        what: "60 000 files in packages, eleven deep",
        shape: Shape::Packages(60_000),
        latency: None,
    },
    Case { name: "flat", what: "200 000 files in one directory", shape: Shape::Flat(200_000), latency: None },
    Case { name: "million", what: "1 000 000 files in one directory", shape: Shape::Flat(1_000_000), latency: None },
    Case { name: "chain", what: "5 000 directories in each other", shape: Shape::Chain(5_000), latency: None },
];

/// The case [`LOCAL`] on an ext4 of its own.
const EXT4: &str = "local-ext4";
const LOCAL: &str = "local";
/// What others feel of a purge.
const NEIGHBOUR: &str = "neighbour";
const TIMER: &str = "timer";
/// What several shards gain.
const MOUNTS: &str = "shards";

/// The names of all cases.
fn names() -> Vec<&'static str> {
    CASES.iter().map(|case| case.name).chain([EXT4, NEIGHBOUR, TIMER, MOUNTS]).collect()
}

const OURS: &str = "hygiene";
const PEERS: [&str; 4] = ["rm", "find", "std", "rmz"];

/// Calls that are served at once, as an NFS client has them.
const SLOTS: usize = 64;

/// What came of all removals by one of them.
struct Contestant {
    key: &'static str,
    name: &'static str,
    seconds: Vec<f64>,
    calls: Option<u64>,
    /// Of the engine: workers, threads and memory in KiB, the most of each.
    peaks: Option<[u64; 3]>,
    /// Why it is out.
    failed: Option<String>,
}

impl Contestant {
    fn all() -> [Self; 5] {
        let names = ["hygiene", "rm -rf", "find -delete", "std::fs::remove_dir_all", "rmz"];
        let of = |(key, name)| Self { key, name, seconds: Vec::new(), calls: None, peaks: None, failed: None };
        [(OURS, names[0]), ("rm", names[1]), ("find", names[2]), ("std", names[3]), ("rmz", names[4])].map(of)
    }

    /// What removes `tree`.
    fn command(&self, tree: &Path, workers: usize) -> Result<Command> {
        let mut command = match self.key {
            "rm" => Command::new("rm"),
            "find" => Command::new("find"),
            "rmz" => Command::new("rmz"),
            _ => Command::new(std::env::current_exe()?),
        };
        match self.key {
            "rm" => command.arg("-rf").arg(tree),
            "find" => command.arg(tree).arg("-delete"),
            "rmz" => command.arg(tree),
            with => command.args(["--with", with, "--workers", &workers.to_string(), "--remove"]).arg(tree),
        };
        Ok(command)
    }

    fn wants(&self, once: f64) -> bool {
        self.failed.is_none() && self.seconds.last().is_none_or(|seconds| *seconds <= once)
    }

    fn median(&self) -> Option<f64> {
        let mut values = self.seconds.clone();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }

    /// Removes `tree` in a process of its own, and remembers how that went.
    fn run(&mut self, tree: &Path, workers: usize, control: Option<&Control>) -> Result<()> {
        let mut command = self.command(tree, workers)?;
        if let Some(control) = control {
            control.reset_counts();
        }
        let began = measure::now();
        let output = command.output();
        let seconds = began.elapsed().as_secs_f64();
        let output = match output {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.failed = Some("is not installed".into());
                return Ok(());
            }
            output => output?,
        };
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            let why: String = text.lines().last().unwrap_or_default().chars().rev().take(40).collect();
            self.failed = Some(format!("{}: …{}", output.status, why.chars().rev().collect::<String>()));
            return Ok(());
        }
        ensure!(fs::symlink_metadata(tree).is_err(), "{} ended well and left the tree", self.name);
        self.seconds.push(seconds);
        let says = String::from_utf8(output.stdout)?;
        if self.key == OURS {
            let numbers: Vec<u64> = says.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
            let [calls, peaks @ ..] = <[u64; 4]>::try_from(numbers).ok().context("what the engine did")?;
            let before = self.peaks.unwrap_or_default();
            self.calls = Some(calls);
            self.peaks = Some([0, 1, 2].map(|n| before[n].max(peaks[n])));
        }
        if let Some(control) = control {
            self.calls = Some(control.counts().values().sum());
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(tree) = &options.remove {
        return remove(tree, &options.with, options.workers);
    }
    ensure!(options.rounds > 0, "--rounds must be at least 1");
    ensure!(options.dir.is_dir(), "{} is no folder; choose another with --dir", options.dir.display());
    measure::tools(&[("rm", "coreutils"), ("find", "findutils")])?;
    if options.on.is_none() {
        println!("{}\n", measure::machine()?);
    }
    let is_wanted = |name: &str| options.case.is_empty() || options.case.iter().any(|wanted| wanted == name);
    for case in CASES.iter().filter(|case| is_wanted(case.name)) {
        compare(case, &options)?;
    }
    if is_wanted(EXT4) {
        on_ext4(&options)?;
    }
    if is_wanted(NEIGHBOUR) {
        beside::neighbours(&options.dir, options.workers, options.rounds)?;
    }
    if is_wanted(TIMER) {
        beside::timer(&options.dir, options.workers, options.rounds)?;
    }
    if is_wanted(MOUNTS) {
        shards::compare(&options.dir, options.workers, options.rounds)?;
    }
    Ok(())
}

/// Runs the case [`LOCAL`] once more on an ext4 image below the folder. It is mounted in a mount namespace of that run, and so
/// goes with it, however it ends.
fn on_ext4(options: &Options) -> Result<()> {
    measure::tools(&[("unshare", "util-linux"), ("mount", "mount")])?;
    let folder = tempfile::Builder::new().prefix("hygiene-bench-purge-").tempdir_in(&options.dir)?;
    let (image, at) = (folder.path().join("image"), folder.path().join("at"));
    fs::File::create(&image)?.set_len(2 << 30)?;
    fs::create_dir(&at)?;
    // Inode tables are written now rather than by a kernel thread meanwhile.
    // In a folder that is in nobody's PATH but root's.
    let made = Command::new("sh")
        .args(["-c", "PATH=$PATH:/usr/sbin:/sbin exec mkfs.ext4 -q -m 0 -E \"$1\" \"$2\"", "sh"])
        .arg("lazy_itable_init=0,lazy_journal_init=0,nodiscard")
        .arg(&image)
        .status()?;
    ensure!(made.success(), "mkfs.ext4, of Debian's e2fsprogs, failed");
    let mut run = Command::new("unshare");
    run.args(["--mount", "--propagation", "private", "sh", "-c"])
        .arg("mount -o loop \"$1\" \"$2\" && shift 2 && exec \"$@\"")
        .args(["sh".as_ref(), image.as_os_str(), at.as_os_str()])
        .arg(std::env::current_exe()?)
        .args(["--case", LOCAL, "--on", EXT4, "--rounds", &options.rounds.to_string()])
        .args(["--workers", &options.workers.to_string(), "--once", &options.once.to_string(), "--dir"])
        .arg(&at);
    options.peer.iter().for_each(|peer| _ = run.args(["--peer", peer]));
    ensure!(run.status()?.success(), "the case on ext4 failed");
    Ok(())
}

/// Counts the threads of this process while a tree is removed.
#[derive(Default)]
struct Threads(AtomicU64);

impl Watcher for Threads {
    fn may_go_on(&self) -> Result<(), String> {
        Ok(())
    }

    fn removed(&self, _entries: u64) {
        self.0.fetch_max(measure::of_process("/proc/self/status", "Threads:").unwrap_or(0), Ordering::Relaxed);
    }
}

/// Removes a tree, and tells how many calls it took, how many workers and threads there were, and the most memory in KiB.
fn remove(tree: &Path, with: &str, workers: usize) -> Result<()> {
    if with == "std" {
        return Ok(fs::remove_dir_all(tree)?);
    }
    let (Some(folder), Some(name)) = (tree.parent(), tree.file_name()) else {
        anyhow::bail!("{} is in no folder", tree.display());
    };
    let engine = Engine::new(Arc::new(Pace::new(None, workers)), false);
    let threads = Threads::default();
    let removed = engine.remove(Dir::open_root(folder)?, name, &Stop::default(), &threads);
    ensure!(removed.whole, "{removed:?}");
    let memory = measure::high_water("/proc/self/status").unwrap_or(0);
    println!("{} {} {} {memory}", removed.calls, removed.peak, threads.0.into_inner());
    Ok(())
}

/// Lets everyone remove a tree of its own in turns, and prints what came of it.
fn compare(case: &Case, options: &Options) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("hygiene-bench-purge-").tempdir_in(&options.dir)?;
    let at = folder.path().join("at");
    fs::create_dir(&at)?;
    let mount = case.latency.map(|(reads, writes)| {
        let mount = Fuse::beside(folder.path(), &at);
        mount.control().set_latency(Duration::from_micros(reads), Duration::from_micros(writes));
        mount.control().set_slots(SLOTS);
        mount
    });
    let control = mount.as_ref().map(Fuse::control);
    // Made behind the mount, where it takes no time.
    let behind = mount.as_ref().map_or(at.as_path(), Fuse::backing);

    let (began, cpu_before) = (measure::now(), measure::cpu_of_all()?);
    let mut contestants = Contestant::all();
    let (mut entries, mut trees) = (0, 0);
    for _ in 0..options.rounds {
        for contestant in &mut contestants {
            let is_asked_for = options.peer.is_empty() || options.peer.iter().any(|peer| peer == contestant.key);
            if !(contestant.key == OURS || is_asked_for) || !contestant.wants(options.once) {
                continue;
            }
            // Another name each time, so that nothing is remembered of the one before.
            trees += 1;
            let name = format!("tree-{trees}");
            entries = case.shape.make(&behind.join(&name))?;
            contestant.run(&at.join(&name), options.workers, control.as_ref())?;
            // What one that failed has left.
            ensure!(Command::new("rm").arg("-rf").arg(behind.join(&name)).status()?.success(), "cleaning up");
        }
    }
    let busy = (measure::cpu_of_all()? - cpu_before) / began.elapsed().as_secs_f64();
    drop(mount);

    let name = options.on.as_deref().unwrap_or(case.name);
    println!("{name}: {}; {entries} entries in {}\n", case.what, options.dir.display());
    println!(
        "{:<24} {:>10} {:>6} {:>9} {:>7} {:>7} {:>9} {:>13}",
        "WHAT", "TIME", "ROUNDS", "CALLS", "WORKERS", "THREADS", "MEMORY", "TIMES RM -RF"
    );
    let base = contestants.iter().find(|one| one.key == "rm").and_then(Contestant::median);
    for contestant in &contestants {
        let Some(time) = contestant.median() else {
            if let Some(why) = &contestant.failed {
                println!("{:<24} {why}", contestant.name);
            }
            continue;
        };
        let calls = contestant.calls.map_or("-".into(), |calls| calls.to_string());
        let [workers, threads, memory] = contestant.peaks.map_or(["-".into(), "-".into(), "-".into()], |peaks| {
            [peaks[0].to_string(), peaks[1].to_string(), format!("{:.1} MiB", peaks[2] as f64 / 1024.0)]
        });
        let ratio = base.map_or("-".into(), |base| format!("{:.2}", base / time));
        let rounds = contestant.seconds.len();
        println!(
            "{:<24} {time:>8.3} s {rounds:>6} {calls:>9} {workers:>7} {threads:>7} {memory:>9} {ratio:>13}",
            contestant.name
        );
    }
    println!(
        "\nThe machine was busy with {busy:.1} cores meanwhile, what is measured and what made the trees among it.\n"
    );
    Ok(())
}
