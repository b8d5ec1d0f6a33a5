//! Runs a command and tells how long it took and how much memory it had; and what machine it ran on.

use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// How often the peak is read. It is the kernel's own high-water mark, so only what is first reached in the last
/// interval before the end is missed.
const INTERVAL: Duration = Duration::from_millis(5);

/// One run of a command.
pub struct Measured {
    pub seconds: f64,
    /// User and system time, of what it started as well.
    pub cpu: f64,
    /// Of the command itself, not of what it starts.
    pub peak_mib: f64,
    pub output: String,
}

#[allow(clippy::disallowed_methods)] // measuring time is what this is for
pub fn now() -> Instant {
    Instant::now()
}

/// Runs `program` to its end.
pub fn measure(program: &str, arguments: &[&OsStr]) -> Result<Measured> {
    let (started, cpu_before) = (now(), cpu_of_children()?);
    let mut command = Command::new(program);
    let mut child = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut stdout = child.stdout.take().context("a child without standard output")?;
    let reader = thread::spawn(move || {
        let mut output = String::new();
        stdout.read_to_string(&mut output).map(|_| output)
    });
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let exit = loop {
        peak = peak.max(high_water(&status).unwrap_or(0));
        if let Some(exit) = child.try_wait()? {
            break exit;
        }
        thread::sleep(INTERVAL);
    };
    let seconds = started.elapsed().as_secs_f64();
    let output = reader.join().map_err(|_| anyhow::anyhow!("the output could not be read"))??;
    ensure!(exit.success(), "{program} ended with {exit}:\n{output}");
    #[allow(clippy::cast_precision_loss)] // no machine has 2^52 KiB
    Ok(Measured { seconds, cpu: cpu_of_children()? - cpu_before, peak_mib: peak as f64 / 1024.0, output })
}

/// User and system time of all children that were waited for, and theirs.
fn cpu_of_children() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The command's name may hold spaces; after it come the fields from the third on, cutime and cstime as 16th and 17th.
    let (_, fields) = stat.rsplit_once(')').context("reading /proc/self/stat")?;
    seconds(fields.split_whitespace().skip(13).take(2))
}

/// What all processes of the machine have used so far, in seconds of one core.
pub fn cpu_of_all() -> Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let all = stat.lines().next().context("reading /proc/stat")?.split_whitespace();
    seconds(all.skip(1).take(3)) // user, nice, system
}

/// proc(5) counts in units of which Linux shows 100 a second (`USER_HZ`), whatever the kernel's own are.
fn seconds<'a>(ticks: impl Iterator<Item = &'a str>) -> Result<f64> {
    let ticks = ticks.map(str::parse::<u32>).sum::<Result<u32, _>>()?;
    Ok(f64::from(ticks) / 100.0)
}

/// Most memory the process had so far, in KiB; `None` once it has ended.
pub fn high_water(status: &str) -> Option<u64> {
    of_process(status, "VmHWM:")
}

/// A number that the kernel tells of a process; `None` once it has ended.
pub fn of_process(status: &str, key: &str) -> Option<u64> {
    let text = fs::read_to_string(status).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key))?.trim().trim_end_matches(" kB").parse().ok()
}

/// Refuses to begin without the tools that are measured, given with the package of Debian that has each.
pub fn tools(tools: &[(&'static str, &'static str)]) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |tool: &str| std::env::split_paths(&path).any(|dir| dir.join(tool).is_file());
    let missing: Vec<_> = tools.iter().filter(|(tool, _)| !there(tool)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = |pick: fn(&(&'static str, &'static str)) -> &'static str| {
        missing.iter().map(|one| pick(one)).collect::<Vec<_>>().join(" ")
    };
    bail!("missing: {}. Install them, on Debian with: apt-get install {}", names(|one| one.0), names(|one| one.1))
}

/// The middle one of what `of` tells of each run.
pub fn median(runs: &[Measured], of: impl Fn(&Measured) -> f64) -> f64 {
    let mut values = runs.iter().map(of).collect::<Vec<_>>();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// CPU, cores, memory and kernel, in one line.
pub fn machine() -> Result<String> {
    let field = |file: &str, key: &str| -> Result<String> {
        let text = fs::read_to_string(file).with_context(|| format!("reading {file}"))?;
        let line = text.lines().find(|line| line.starts_with(key));
        Ok(line
            .and_then(|line| line.split_once(':'))
            .map_or_else(|| "unknown".into(), |(_, value)| value.trim().into()))
    };
    let cpu = field("/proc/cpuinfo", "model name")?;
    let memory: u64 = field("/proc/meminfo", "MemTotal")?.trim_end_matches(" kB").parse()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let cores = thread::available_parallelism()?;
    Ok(format!("{cpu}, {cores} cores, {} MiB of memory, Linux {}", memory >> 10, kernel.trim()))
}
