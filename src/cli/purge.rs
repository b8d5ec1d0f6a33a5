//! `hygiene purge`: removes trees by name, where people use `rm -rf`.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, ValueHint};
use jiff::Timestamp;
use serde::Serialize;

use super::ask::confirmed;
use super::exit::{Early, Ended, Exit};
use super::output::{self, complain};
use super::run::Run;
use crate::progress::{Known, Progress};
use crate::purge::{Engine, Found, Pace, Removed, Spared, Target, Watcher};
use crate::report::text::size;

/// Most workers that are tried: the calls that one NFSv4.1 client can have in flight.
const WORKERS: usize = 64;
/// The file in the state directory.
const JOURNAL: &str = "purges.jsonl";

/// Remove whole trees for good, fast and politely
///
/// For directories outside of the volumes that sweeps clean: as rm -rf, with many calls in flight, a limit on how fast it
/// goes, and a stop within one call. There is no quarantine, and nothing asks whether anybody still needs them.
///
/// Refused are the root, mount points, your home, the working directory, whatever holds one of them, a path that leads over
/// a symlink, and anything in a volume that sweeps clean. Inside a tree no symlink is followed and no mount point crossed.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  hygiene purge /scratch/build-1 /scratch/build-2
  hygiene purge /mnt/efs/old --yes --entries-per-second 500     leave the file system to others
  hygiene purge /mnt/efs/old --yes -o json | jq .entries

SIGTERM or SIGINT stops it before its next call (exit code 1); the same command goes on from there. \
What was removed is noted in purges.jsonl in the state directory.")]
pub(super) struct Purge {
    /// The directories to remove, with everything in them
    #[arg(required = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    dirs: Vec<PathBuf>,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,

    /// Most workers at once; how many are best is found out by trying
    #[arg(long, value_name = "N", default_value_t = WORKERS as u32, value_parser = clap::value_parser!(u32).range(1..=256))]
    concurrency: u32,

    /// Most entries removed in a second [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    entries_per_second: Option<u32>,

    /// Do not ask each file for its size, which saves a call each; the bytes are then not known
    #[arg(long)]
    no_sizes: bool,
}

/// What came of one tree, as `-o json` has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    path: String,
    removed: bool,
    entries: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    calls: u64,
    seconds: f64,
    peak_concurrency: usize,
    failed: u64,
    errors: Vec<Failure>,
    stopped: bool,
}

#[derive(Debug, Serialize)]
struct Failure {
    path: String,
    error: String,
}

/// All of them, and their sums.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    entries: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    calls: u64,
    seconds: f64,
    peak_concurrency: usize,
    trees: Vec<Outcome>,
}

/// One line of the journal.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Noted<'a> {
    at: Timestamp,
    by: &'a str,
    event: &'static str,
    path: String,
    inode: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<bool>,
}

struct Shown<'a>(&'a dyn Progress);

impl Watcher for Shown<'_> {
    fn may_go_on(&self) -> Result<(), String> {
        Ok(())
    }

    fn removed(&self, entries: u64) {
        self.0.advance(entries);
    }

    fn found(&self, found: &Found) {
        self.0.known(&Known { total: found.entries, whole: found.all, bytes: found.bytes });
    }
}

impl Purge {
    pub(super) fn run(self, run: &Run) -> Ended {
        let spared = Spared { home: run.home(), here: std::env::current_dir().ok() };
        let (mut targets, mut refused) = (Vec::new(), 0);
        for dir in &self.dirs {
            match Target::look(dir, &spared) {
                Ok(target) => targets.push(target),
                Err(why) => {
                    complain(why);
                    refused += 1;
                }
            }
        }
        if refused > 0 {
            complain("nothing was removed");
            return Ok(Exit::Usage);
        }
        if !self.yes {
            if !super::ask::can_ask(&run.global) {
                complain("there is no terminal to ask on; give --yes if these trees are to go for good");
                return Ok(Exit::Usage);
            }
            let names: Vec<_> = targets.iter().map(|target| target.path.display().to_string()).collect();
            if !confirmed(format_args!("{} and everything in it will be removed for good.", names.join(", "))) {
                complain("nothing was removed");
                return Err(Early::Told(Exit::Failed));
            }
        }
        let workers = usize::try_from(self.concurrency).unwrap_or(WORKERS);
        let engine = Engine::new(Arc::new(Pace::new(self.entries_per_second, workers)), !self.no_sizes);
        let mut journal = Journal::open(run)?;
        let mut trees = Vec::new();
        for target in targets {
            if run.stopped() {
                break;
            }
            trees.push(self.remove(run, &engine, target, &mut journal)?);
        }
        let done = trees.len() == self.dirs.len() && trees.iter().all(|tree| tree.removed);
        self.print(run, trees)?;
        Ok(if done { Exit::Done } else { Exit::Failed })
    }

    fn remove(&self, run: &Run, engine: &Engine, target: Target, journal: &mut Journal<'_>) -> anyhow::Result<Outcome> {
        let (path, inode) = (target.path.display().to_string(), target.inode);
        journal.note("begun", &path, inode, None)?;
        let removed = match target.take() {
            Ok((parent, name)) => {
                let bars = run.progress();
                bars.begin("purging", None);
                let removed = engine.remove(parent, &name, &run.process.stop, &Shown(&*bars));
                bars.end();
                removed
            }
            Err(why) => {
                complain(why);
                Removed { failed: 1, ..Removed::default() }
            }
        };
        journal.note("ended", &path, inode, Some(&removed))?;
        for (path, error) in &removed.errors {
            complain(format_args!("{path}: {error}"));
        }
        if removed.failed > removed.errors.len() as u64 {
            complain(format_args!("{path}: {} entries could not be removed", removed.failed));
        }
        Ok(Outcome {
            removed: removed.whole,
            entries: removed.entries,
            bytes: (!self.no_sizes).then_some(removed.bytes),
            calls: removed.calls,
            seconds: removed.took.as_secs_f64(),
            peak_concurrency: removed.peak,
            failed: removed.failed,
            errors: removed
                .errors
                .iter()
                .map(|(path, e)| Failure { path: path.clone(), error: e.to_string() })
                .collect(),
            stopped: removed.halted.is_some(),
            path,
        })
    }

    fn print(&self, run: &Run, trees: Vec<Outcome>) -> anyhow::Result<()> {
        let summary = Summary {
            entries: trees.iter().map(|tree| tree.entries).sum(),
            bytes: trees.iter().map(|tree| tree.bytes).sum(),
            calls: trees.iter().map(|tree| tree.calls).sum(),
            seconds: trees.iter().map(|tree| tree.seconds).sum(),
            peak_concurrency: trees.iter().map(|tree| tree.peak_concurrency).max().unwrap_or(0),
            trees,
        };
        if !run.for_people() {
            return output::document(run.global.output, &summary);
        }
        for tree in &summary.trees {
            let what = match (tree.removed, tree.stopped) {
                (true, _) => "removed",
                (false, true) => "stopped before the end",
                (false, false) => "not whole: what is named above is left",
            };
            let space = tree.bytes.map_or_else(String::new, |bytes| format!(", {}", size(bytes)));
            let rate = if tree.seconds > 0.0 { tree.entries as f64 / tree.seconds } else { 0.0 };
            output::print(&format!(
                "{}: {what}; {} entries{space} in {:.1} s ({rate:.0} a second, {} calls, {} workers at most)\n",
                tree.path, tree.entries, tree.seconds, tree.calls, tree.peak_concurrency
            ))?;
        }
        Ok(())
    }
}

/// What was removed by name on this machine, one line before each tree and one after it.
struct Journal<'a> {
    run: &'a Run,
    file: Option<std::fs::File>,
}

impl<'a> Journal<'a> {
    fn open(run: &'a Run) -> anyhow::Result<Self> {
        let Some(folder) = run.state_folder() else { return Ok(Self { run, file: None }) };
        let path = folder.join(JOURNAL);
        let open = || {
            std::fs::create_dir_all(&folder)?;
            std::fs::OpenOptions::new().create(true).append(true).open(&path)
        };
        let file = open().with_context(|| format!("{} cannot be written; give --state-dir", path.display()))?;
        Ok(Self { run, file: Some(file) })
    }

    fn note(&mut self, event: &'static str, path: &str, inode: u64, removed: Option<&Removed>) -> anyhow::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let line = Noted {
            at: self.run.process.clock.now(),
            by: &self.run.process.actor,
            event,
            path: path.to_owned(),
            inode,
            entries: removed.map(|removed| removed.entries),
            removed: removed.map(|removed| removed.whole),
        };
        let mut line = serde_json::to_vec(&line)?;
        line.push(b'\n');
        file.write_all(&line).and_then(|()| file.sync_all()).context("the journal of purges cannot be written")
    }
}
