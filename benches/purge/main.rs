//! How long the purge engine takes to remove a tree, beside what people use: rm, find, the standard library, and rmz. Prints
//! a table; judges nothing, since what is fast depends on the machine.

#[allow(clippy::disallowed_methods, dead_code, unused_imports)] // a bench needs little of what tests need
#[path = "../../tests/it/fuse/mod.rs"]
mod fuse;
#[allow(dead_code)] // memory is not measured here
#[path = "../scale/measure.rs"]
mod measure;
mod trees;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
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
    #[arg(long, value_parser = CASES.map(|case| case.name))]
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

const CASES: [Case; 5] = [
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
    Case { name: "chain", what: "5 000 directories in each other", shape: Shape::Chain(5_000), latency: None },
];

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
    peak: Option<usize>,
    /// Why it is out.
    failed: Option<String>,
}

impl Watcher for Contestant {
    fn may_go_on(&self) -> Result<(), String> {
        Ok(())
    }

    fn removed(&self, _entries: u64) {}
}

impl Contestant {
    fn all() -> [Self; 5] {
        let names = ["hygiene", "rm -rf", "find -delete", "std::fs::remove_dir_all", "rmz"];
        let of = |(key, name)| Self { key, name, seconds: Vec::new(), calls: None, peak: None, failed: None };
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
            let (calls, peak) = says.trim().split_once(' ').context("what the engine did")?;
            (self.calls, self.peak) = (Some(calls.parse()?), Some(peak.parse()?));
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
    println!("{}\n", measure::machine()?);
    for case in &CASES {
        if options.case.is_empty() || options.case.iter().any(|name| name == case.name) {
            compare(case, &options)?;
        }
    }
    Ok(())
}

/// Removes a tree, and tells how many calls it took and how many workers there were.
fn remove(tree: &Path, with: &str, workers: usize) -> Result<()> {
    if with == "std" {
        return Ok(fs::remove_dir_all(tree)?);
    }
    let (Some(folder), Some(name)) = (tree.parent(), tree.file_name()) else {
        anyhow::bail!("{} is in no folder", tree.display());
    };
    let engine = Engine::new(Arc::new(Pace::new(None, workers)), false);
    let [nobody, ..] = Contestant::all();
    let removed = engine.remove(Dir::open_root(folder)?, name, &Stop::default(), &nobody);
    ensure!(removed.whole, "{removed:?}");
    println!("{} {}", removed.calls, removed.peak);
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

    println!("{}: {}; {entries} entries in {}\n", case.name, case.what, options.dir.display());
    println!("{:<24} {:>10} {:>6} {:>9} {:>7} {:>13}", "WHAT", "TIME", "ROUNDS", "CALLS", "WORKERS", "TIMES RM -RF");
    let base = contestants.iter().find(|one| one.key == "rm").and_then(Contestant::median);
    for contestant in &contestants {
        let Some(time) = contestant.median() else {
            if let Some(why) = &contestant.failed {
                println!("{:<24} {why}", contestant.name);
            }
            continue;
        };
        let calls = contestant.calls.map_or("-".into(), |calls| calls.to_string());
        let peak = contestant.peak.map_or("-".into(), |peak| peak.to_string());
        let ratio = base.map_or("-".into(), |base| format!("{:.2}", base / time));
        let rounds = contestant.seconds.len();
        println!("{:<24} {time:>8.3} s {rounds:>6} {calls:>9} {peak:>7} {ratio:>13}", contestant.name);
    }
    println!(
        "\nThe machine was busy with {busy:.1} cores meanwhile, what is measured and what made the trees among it.\n"
    );
    Ok(())
}
