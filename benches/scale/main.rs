//! How long `hygiene plan` takes over a large volume, and how much memory, beside the shell pipeline that people write
//! for the set difference alone. Prints a table; judges nothing, since what is fast depends on the machine.

#[allow(clippy::disallowed_methods, dead_code)] // a bench needs little of what tests need
#[path = "../../tests/it/kubernetes/cluster.rs"]
mod cluster;
mod measure;
#[allow(clippy::disallowed_methods, dead_code, unused_imports)]
#[path = "../../tests/it/servers/mod.rs"]
mod servers;
mod sweeper;
mod world;

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use measure::{Measured, measure, median};
use sweeper::Sweeper;
use world::World;

/// Measures `hygiene plan` beside find | sort, sqlite3 | sort and comm
#[derive(Parser, Debug)]
struct Options {
    /// Workspace directories; one in a hundred is an orphan
    #[arg(long, default_value_t = 1_000_000)]
    workspaces: u64,

    /// Rows of the session table; those of the workspaces that are no orphans are live, all others deleted
    #[arg(long, default_value_t = 10_000_000)]
    rows: u64,

    /// Rounds; each runs everything once, and the table has the medians
    #[arg(long, default_value_t = 5)]
    rounds: usize,

    /// Folder for the volume and the database, best on a tmpfs; it is made, and removed at the end
    #[arg(long, default_value = "/dev/shm/hygiene-bench-scale")]
    dir: PathBuf,

    /// Another build of hygiene to measure, for a comparison
    #[arg(long, default_value = env!("CARGO_BIN_EXE_hygiene"))]
    hygiene: OsString,

    /// Measure `hygiene sweeper` as well, as a Job runs it, on a real API server that is started for it
    #[arg(long)]
    sweeper: bool,

    /// Keep the folder, and use what an earlier run of the same size kept there
    #[arg(long)]
    keep: bool,

    /// What cargo adds for every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// What the pipeline is made of, and the world.
const TOOLS: &[(&str, &str)] =
    &[("bash", "bash"), ("find", "findutils"), ("sort", "coreutils"), ("comm", "coreutils"), ("sqlite3", "sqlite3")];

/// What people write, in the form that uses two cores: both lists are made at the same time.
const PIPELINE: &str = r#"
set -euo pipefail
export LC_ALL=C
find "$1" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort >"$3/directories" &
sqlite3 "$2" 'select id from session where deleted_at is null' | sort >"$3/live" &
wait -n
wait -n
comm -23 "$3/directories" "$3/live"
"#;

fn main() -> Result<()> {
    let options = Options::parse();
    ensure!(options.rounds > 0, "--rounds must be at least 1");
    ensure!(options.rows >= options.workspaces, "--rows must be at least --workspaces: each workspace has a row");
    measure::tools(TOOLS)?;
    println!("{}\n", measure::machine()?);
    let world = World::make(&options.dir, options.workspaces, options.rows)?;
    println!(
        "{} workspaces, {} of them orphans; {} rows, {} of them live; medians of {}\n",
        options.workspaces,
        world.orphans,
        options.rows,
        options.workspaces - world.orphans,
        options.rounds
    );

    let sweeper = options.sweeper.then(|| Sweeper::prepare(&options.dir, &options.hygiene)).transpose()?;

    let (began, cpu_before) = (measure::now(), measure::cpu_of_all()?);
    let mut cpu_of_ours = 0.0;
    let mut pipeline = Vec::new();
    let ours = |spec| vec![options.hygiene.clone(), "plan".into(), "-f".into(), spec];
    let mut measured: Vec<_> =
        world.specs.iter().map(|(name, spec)| (*name, ours(spec.clone()), Vec::<Measured>::new())).collect();
    measured.extend(sweeper.iter().map(|one| ("hygiene sweeper, as a Job runs it", one.arguments.clone(), Vec::new())));
    // The first round warms what the file system and the processor keep, and is thrown away.
    for round in 0..=options.rounds {
        let places = [world.root.as_os_str(), &world.database, options.dir.as_os_str()];
        let shell = measure("bash", &[&["-c".as_ref(), PIPELINE.as_ref(), "-".as_ref()], &places[..]].concat())?;
        let found = shell.output.lines().count() as u64;
        ensure!(found == world.orphans, "the pipeline found {found} orphans of {}", world.orphans);
        cpu_of_ours += shell.cpu;
        pipeline.extend((round > 0).then_some(shell));
        for (name, arguments, runs) in &mut measured {
            let run = measure("env", &arguments.iter().map(OsString::as_os_str).collect::<Vec<_>>())?;
            let says = format!("{} workspaces, {} of them orphans", options.workspaces, world.orphans);
            ensure!(run.output.lines().any(|line| line == says), "{name} does not say \"{says}\":\n{}", run.output);
            cpu_of_ours += run.cpu;
            runs.extend((round > 0).then_some(run));
        }
    }

    let others = (measure::cpu_of_all()? - cpu_before - cpu_of_ours) / began.elapsed().as_secs_f64();

    println!("{:<34} {:>8} {:>16} {:>8} {:>12}", "WHAT", "TIME", "OF THE PIPELINE", "CPU", "PEAK MEMORY");
    let base = median(&pipeline, |run| run.seconds);
    let cpu = median(&pipeline, |run| run.cpu);
    println!("{:<34} {base:>6.2} s {:>16.2} {cpu:>6.2} s {:>12}", "find | sort, sqlite3 | sort, comm", 1.0, "-");
    for (name, _, runs) in &measured {
        let (time, cpu) = (median(runs, |run| run.seconds), median(runs, |run| run.cpu));
        let peak = median(runs, |run| run.peak_mib);
        println!("{name:<34} {time:>6.2} s {:>16.2} {cpu:>6.2} s {peak:>8.0} MiB", time / base);
    }
    println!("\nOther processes used {others:.1} cores meanwhile; the more, the less the times say.");
    if !options.keep {
        world::remove(&options.dir).with_context(|| format!("removing {}", options.dir.display()))?;
    }
    Ok(())
}
