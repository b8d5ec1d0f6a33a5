//! What others feel of a purge: a neighbour on the same file system, and a timer in the same process.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use workspace_hygiene::fsio::Dir;
use workspace_hygiene::purge::{Engine, Pace, Removed, Watcher};
use workspace_hygiene::stop::Stop;

use super::fuse::Fuse;
use super::measure;
use super::trees::Shape;

/// Between two calls of the neighbour.
const EVERY: Duration = Duration::from_millis(10);
/// How long the neighbour is measured alone.
const ALONE: Duration = Duration::from_secs(5);
/// Files of each tree.
const FILES: u64 = 20_000;
/// What the timer is set to.
const STEP: Duration = Duration::from_millis(1);

struct Nobody;

impl Watcher for Nobody {
    fn may_go_on(&self) -> Result<(), String> {
        Ok(())
    }

    fn removed(&self, _entries: u64) {}
}

fn removed(folder: &Path, name: &str, workers: usize) -> Result<Removed> {
    let engine = Engine::new(Arc::new(Pace::new(None, workers)), false);
    let removed = engine.remove(Dir::open_root(folder)?, name.as_ref(), &Stop::default(), &Nobody);
    ensure!(removed.whole, "{removed:?}");
    Ok(removed)
}

/// Asks for the size of a file, over and over, until it is `over`: how long each call took, in milliseconds.
fn neighbour(file: &Path, over: &AtomicBool) -> std::io::Result<Vec<f64>> {
    let mut took = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let began = measure::now();
        fs::symlink_metadata(file)?;
        let call = began.elapsed();
        took.push(call.as_secs_f64() * 1_000.0);
        thread::sleep(EVERY.saturating_sub(call));
    }
    took.sort_by(f64::total_cmp);
    Ok(took)
}

fn at_percent(sorted: &[f64], percent: usize) -> f64 {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// A reader beside a purge: what each feels of the other.
pub fn neighbours(dir: &Path, workers: usize, rounds: usize) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("hygiene-bench-purge-").tempdir_in(dir)?;
    let at = folder.path().join("at");
    fs::create_dir(&at)?;
    let mount = Fuse::beside(folder.path(), &at);
    mount.control().set_latency(Duration::from_millis(1), Duration::from_micros(2700));
    mount.control().set_slots(super::SLOTS);
    fs::write(mount.backing().join("file"), "x")?;
    let rate = |removed: &Removed| removed.entries as f64 / removed.took.as_secs_f64();

    println!("neighbour: a call every 10 ms beside a purge of {FILES} files; 1 ms a read, 2.7 ms a write, 64 slots\n");
    println!(
        "{:<6} {:>18} {:>18} {:>22} {:>8}",
        "ROUND", "ALONE P50/P99 MS", "BESIDE P50/P99 MS", "PURGE ALONE/BESIDE /S", "WORKERS"
    );
    let (mut slower, mut kept) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        Shape::Packages(FILES).make(&mount.backing().join("alone"))?;
        let unhindered = rate(&removed(&at, "alone", workers)?);
        let (file, over) = (at.join("file"), AtomicBool::new(false));
        let alone = thread::scope(|scope| {
            let calls = scope.spawn(|| neighbour(&file, &over));
            thread::sleep(ALONE);
            over.store(true, Ordering::Relaxed);
            calls.join()
        });
        let alone = alone.ok().context("the neighbour panicked")??;
        Shape::Packages(FILES).make(&mount.backing().join("beside"))?;
        over.store(false, Ordering::Relaxed);
        let (calls, purge) = thread::scope(|scope| {
            let calls = scope.spawn(|| neighbour(&file, &over));
            let purge = removed(&at, "beside", workers);
            over.store(true, Ordering::Relaxed);
            (calls.join(), purge)
        });
        let (beside, purge) = (calls.ok().context("the neighbour panicked")??, purge?);
        slower.push(at_percent(&beside, 99) / at_percent(&alone, 99));
        kept.push(rate(&purge) / unhindered);
        println!(
            "{round:<6} {:>9.2}/{:<8.2} {:>9.2}/{:<8.2} {unhindered:>13.0}/{:<8.0} {:>8}",
            at_percent(&alone, 50),
            at_percent(&alone, 99),
            at_percent(&beside, 50),
            at_percent(&beside, 99),
            rate(&purge),
            purge.peak
        );
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        at_percent(&values, 50)
    };
    println!(
        "\nP99 beside is {:.2} times that alone; the purge keeps {:.0} % of its rate (medians)\n",
        median(slower),
        100.0 * median(kept)
    );
    Ok(())
}

/// A task that sleeps in steps of a millisecond on an asynchronous runtime, while two trees are purged in the same process.
pub fn timer(dir: &Path, workers: usize, rounds: usize) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("hygiene-bench-purge-").tempdir_in(dir)?;
    let at = folder.path().join("at");
    fs::create_dir(&at)?;
    let mount = Fuse::beside(folder.path(), &at);
    mount.control().set_latency(Duration::from_millis(1), Duration::from_micros(2700));
    mount.control().set_slots(super::SLOTS);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    println!(
        "timer: a task that sleeps in steps of 1 ms, two workers of the runtime, beside two purges of {FILES} files\n"
    );
    println!("{:<6} {:<24} {:>9} {:>14}", "ROUND", "WHERE", "STEPS", "WORST DELAY");
    for round in 1..=rounds {
        for (place, making, purged) in
            [("network, 1 / 2.7 ms", mount.backing(), at.as_path()), ("local", folder.path(), folder.path())]
        {
            for name in ["one", "two"] {
                Shape::Packages(FILES).make(&making.join(name))?;
            }
            let (over, worst, steps) =
                (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
            let task = runtime.spawn({
                let (over, worst, steps) = (Arc::clone(&over), Arc::clone(&worst), Arc::clone(&steps));
                async move {
                    while !over.load(Ordering::Relaxed) {
                        let began = measure::now();
                        tokio::time::sleep(STEP).await;
                        let late = began.elapsed().saturating_sub(STEP).as_micros();
                        worst.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
                        steps.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
            let purges = thread::scope(|scope| {
                let both = ["one", "two"].map(|name| scope.spawn(move || removed(purged, name, workers)));
                both.map(thread::ScopedJoinHandle::join)
            });
            over.store(true, Ordering::Relaxed);
            runtime.block_on(task)?;
            for purge in purges {
                purge.ok().context("a purge panicked")??;
            }
            let worst = worst.load(Ordering::Relaxed) as f64 / 1_000.0;
            println!("{round:<6} {place:<24} {:>9} {worst:>11.2} ms", steps.load(Ordering::Relaxed));
        }
    }
    println!();
    Ok(())
}
