//! A controller of a thousand resources on a real API server, measured from outside: how long a resource waits for its first
//! status, and what the controller uses and asks for when nothing happens. See docs/benchmarks.md.

#![allow(clippy::disallowed_methods)] // a benchmark reads the clock

#[allow(dead_code)] // a bench needs little of what tests need
#[path = "../../tests/it/kubernetes/audit.rs"]
mod audit;
#[allow(dead_code)]
#[path = "../../tests/it/kubernetes/cluster.rs"]
mod cluster;
mod controller;
mod resources;
#[allow(dead_code, unused_imports)]
#[path = "../../tests/it/servers/mod.rs"]
mod servers;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use cluster::Cluster;
use comfy_table::{CellAlignment, Table, presets};
use controller::{Controller, Size};
use resources::Resources;

/// A controller of many resources, measured from outside
#[derive(Parser)]
struct Options {
    /// Resources, each with a volume of its own
    #[arg(long, default_value_t = 1_000)]
    resources: usize,

    /// How many of them are applied one after the other, each when the one before has its status
    #[arg(long, default_value_t = 50)]
    singles: usize,

    /// Workspaces on each volume
    #[arg(long, default_value_t = 10)]
    workspaces: usize,

    /// How long the controller is watched at rest, and how long by each busy schedule, in minutes
    #[arg(long, default_value_t = 5)]
    minutes: u64,

    /// Mode of the resources; in Enforce the looks for what is needed again go on at rest
    #[arg(long, default_value = "Report", value_parser = ["Report", "Enforce"])]
    mode: String,

    /// Folder below which the volumes are, best on a tmpfs; what is made there is removed at the end
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,

    /// Another build of hygiene to measure, for a comparison
    #[arg(long, default_value = env!("CARGO_BIN_EXE_hygiene"))]
    hygiene: OsString,

    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// The user that the controller is, by whose name its requests are counted.
const USER: &str = "hygiene-bench";
/// How long the controller is left alone before it counts as being at rest.
const SETTLED: Duration = Duration::from_secs(30);

fn main() -> Result<()> {
    let options = Options::parse();
    ensure!(options.singles >= 1 && options.singles <= options.resources, "--singles is 1 to --resources");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let cluster = Cluster::start();
    cluster.install_definition();
    cluster.user(USER, "system:masters");
    let resources = runtime.block_on(Resources::new(&cluster, &options))?;
    let controller = Controller::start(&options.hygiene, &cluster.kubeconfig(USER), resources.folder())?;
    std::thread::sleep(Duration::from_secs(5));
    let mut report = Report::default();
    report.size("with no resource", controller.size()?);

    let mut waits = Vec::new();
    for n in 0..options.singles {
        waits.push(runtime.block_on(resources.apply_one(n))?);
    }
    report.waits(&waits);

    let begun = Instant::now();
    let rest = options.singles..options.resources;
    let many = runtime.block_on(resources.apply_all(rest))?;
    report.row("the others at once: until all have a status, s", seconds(many.status - begun), "60");
    report.row("… until all were swept, s", seconds(many.swept - begun), "");
    report.size("right after", controller.size()?);

    std::thread::sleep(SETTLED);
    let length = Duration::from_secs(60 * options.minutes);
    let rest = spent(&cluster, &controller, length)?;
    report.size("at rest", controller.size()?);
    report.row("CPU at rest, % of a core", format!("{:.3}", rest.share()), "0.2");
    for (what, count) in &rest.asked {
        report.row(&format!("{what} a minute at rest"), format!("{:.1}", *count as f64 / rest.minutes()), "");
    }
    let others = rest.asked.keys().filter(|what| !AT_REST.contains(&what.as_str())).count();
    report.row("other kinds of requests at rest", others.to_string(), "0");
    report.row("sweeps at rest", rest.sweeps.to_string(), "0");

    runtime.block_on(resources.schedule("1m"))?;
    // Until the first sweeps after the change, which all come at once, are over, and those that follow have their distance.
    std::thread::sleep(Duration::from_secs(90));
    let busy = spent(&cluster, &controller, length)?;
    let each = (busy.cpu - rest.cpu).as_secs_f64() / busy.sweeps.max(1) as f64;
    report.row("CPU of a sweep with its status, ms", format!("{:.2}", each * 1e3), "");
    let usual = each * options.resources as f64 / (15.0 * 60.0) * 100.0 + rest.share();
    report.row("CPU at `every: 15m`, from that, % of a core", format!("{usual:.2}"), "");
    let patches = busy.asked.iter().filter(|(what, _)| what.starts_with("patch")).map(|(_, count)| count);
    let patches: u64 = patches.sum();
    report.row("statuses written for each sweep", format!("{:.2}", patches as f64 / busy.sweeps.max(1) as f64), "1");
    report.size("after sweeps each minute", controller.size()?);

    println!("{} resources in mode {}, {} workspaces each", options.resources, options.mode, options.workspaces);
    println!("{}", report.0);
    Ok(())
}

/// What a controller may ask for when nothing happens.
const AT_REST: &[&str] = &["update leases", "watch workspacehygienes"];

/// What a controller spent in some time.
struct Spent {
    time: Duration,
    cpu: Duration,
    /// How often the API server was asked, by verb and resource.
    asked: BTreeMap<String, u64>,
    sweeps: usize,
}

impl Spent {
    /// Of a core, in per cent.
    fn share(&self) -> f64 {
        self.cpu.as_secs_f64() / self.time.as_secs_f64() * 100.0
    }

    fn minutes(&self) -> f64 {
        self.time.as_secs_f64() / 60.0
    }
}

fn spent(cluster: &Cluster, controller: &Controller, time: Duration) -> Result<Spent> {
    let asked_before = cluster.requests_of(USER).len();
    let (sweeps, cpu, begun) = (controller.sweeps()?, controller.cpu()?, Instant::now());
    std::thread::sleep(time);
    let (cpu, time) = (controller.cpu()? - cpu, begun.elapsed());
    let sweeps = controller.sweeps()? - sweeps;
    let mut asked = BTreeMap::new();
    let all = cluster.requests_of(USER);
    for one in all.get(asked_before..).context("the audit log was begun anew meanwhile")? {
        *asked.entry(format!("{} {}", one.verb, one.what)).or_default() += 1;
    }
    Ok(Spent { time, cpu, asked, sweeps })
}

/// The rows of the table.
struct Report(Table);

impl Default for Report {
    fn default() -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["WHAT", "MEASURED", "AT MOST"]);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        Self(table)
    }
}

impl Report {
    fn row(&mut self, what: &str, measured: String, most: &str) {
        eprintln!("{what}: {measured}");
        self.0.add_row([what, &measured, most]);
    }

    fn size(&mut self, when: &str, size: Size) {
        let mb = |kib: u64| format!("{:.1}", kib as f64 * 1024.0 / 1e6);
        let most = if when == "at rest" { "50" } else { "" };
        self.row(&format!("memory {when}, MB"), mb(size.resident), most);
        self.row("… of it not of a file", mb(size.own), "");
        self.row("… the highest so far", mb(size.highest), "");
        self.row("… threads", size.threads.to_string(), "");
    }

    fn waits(&mut self, waits: &[resources::Waited]) {
        let mut sorted = |what: &str, of: fn(&resources::Waited) -> Duration, most: &str| {
            let mut times: Vec<_> = waits.iter().map(of).collect();
            times.sort();
            let at = |share: f64| times[((times.len() as f64 * share).ceil() as usize).clamp(1, times.len()) - 1];
            self.row(&format!("one resource: until {what}, p50, s"), seconds(at(0.5)), "");
            self.row("… p99, s", seconds(at(0.99)), most);
        };
        sorted("its first status", |waited| waited.status, "2");
        sorted("it was swept", |waited| waited.swept, "");
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}
