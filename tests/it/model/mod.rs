//! Sequences of what users, administrators, databases, clocks and crashes do, against the library on a real directory tree,
//! with everything it did judged by rules that were written from the promises of DESIGN.md.
//!
//! `HYGIENE_MODEL_SEQUENCES` says how many, `HYGIENE_MODEL_SEED` which one comes first. A failure names its seed, and the
//! fewest actions that still fail.

mod actions;
mod calls;
mod found;
mod limits;
mod random;
mod rules;
mod run;
mod spec;
mod volume;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use actions::{Action, Setup, sequence};
use run::{Bench, Figures, run};
use spec::Policies;

const SEQUENCES: u64 = 20_000;
/// The first sequence of a run that does not say where to begin: the same each time, so that a run fails only for what was
/// changed. `make soak` looks elsewhere.
const FIRST: u64 = 1;
const THREADS: usize = 2;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|e| panic!("{variable}: {text}: {e}")))
}

impl Bench {
    fn new(runtime: Arc<tokio::runtime::Runtime>) -> Self {
        let memory = std::path::Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let dir = tempfile::Builder::new().prefix("hygiene-model-").tempdir_in(place).unwrap();
        let policies = Policies::of(dir.path());
        Self { dir, policies, runtime }
    }
}

/// Leaves actions out for as long as it still fails.
fn shrink(bench: &Bench, setup: Setup, mut actions: Vec<Action>, mut why: String) -> (Vec<Action>, String) {
    let mut size = actions.len() / 2;
    while size > 0 {
        let mut start = 0;
        let mut shorter = false;
        while start < actions.len() {
            let mut fewer = actions.clone();
            fewer.drain(start..(start + size).min(actions.len()));
            match run(bench, setup, &fewer) {
                Err(still) => (actions, why, shorter) = (fewer, still, true),
                Ok(_) => start += size,
            }
        }
        if !shorter || size > 1 {
            size /= 2;
        }
    }
    (actions, why)
}

#[test]
fn whatever_happens_in_whatever_order_every_promise_is_kept() {
    let first = number("HYGIENE_MODEL_SEED");
    let asked_for = number("HYGIENE_MODEL_SEQUENCES");
    let count = asked_for.unwrap_or(if first.is_some() { 1 } else { SEQUENCES });
    let anywhere = || jiff::Timestamp::now().as_microsecond().unsigned_abs();
    let first = first.unwrap_or_else(|| if asked_for.is_some() { anywhere() } else { FIRST });
    println!("{count} sequences from HYGIENE_MODEL_SEED={first}");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let runtime = Arc::new(runtime);
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let shard = || {
        let bench = Bench::new(Arc::clone(&runtime));
        let mut figures = Figures::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count || failed.load(Ordering::Relaxed) {
                return Ok(figures);
            }
            if number > 0 && number.is_multiple_of(10_000) {
                eprintln!("{number} of {count} sequences; this thread so far: {figures:?}");
            }
            let seed = first.wrapping_add(number);
            let (setup, actions) = sequence(seed);
            match run(&bench, setup, &actions) {
                Ok(more) => figures += more,
                Err(why) => {
                    failed.store(true, Ordering::Relaxed);
                    let (fewest, why) = shrink(&bench, setup, actions, why);
                    let list: String = fewest.iter().map(|action| format!("\n  {action:?}")).collect();
                    return Err(format!("after {number} sequences: {why}\nHYGIENE_MODEL_SEED={seed}\n{setup:?}{list}"));
                }
            }
        }
    };
    let shards: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(shard)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut figures = Figures::default();
    for shard in shards {
        match shard {
            Ok(more) => figures += more,
            Err(why) => panic!("{why}"),
        }
    }
    println!("{figures:?}");
    let least = count / 10;
    let enough = figures.quarantined >= least && figures.restored >= least && figures.condemned >= least / 4;
    assert!(count < 1_000 || enough, "the sequences did too little: {figures:?}");
}
