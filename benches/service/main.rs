//! The service, measured from outside: whether requests to its admin server make sweeps slower, and whether memory,
//! descriptors and threads stay as they are over time. See docs/benchmarks.md.

#![allow(clippy::disallowed_methods)] // a bench is an entry point: it may ask for the time

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use rustix::process::{Pid, Signal, kill_process};

/// The service, measured from outside
#[derive(Parser)]
struct Options {
    /// Workspaces below the root
    #[arg(long, default_value_t = 2_000)]
    workspaces: u32,
    /// Sweeps of each round of the first measurement
    #[arg(long, default_value_t = 30)]
    sweeps: usize,
    /// Requests in a second beside them
    #[arg(long, default_value_t = 1_000)]
    requests: u32,
    /// How long the second measurement takes, in minutes
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

/// The service over a volume of its own.
struct Service {
    child: Child,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Service {
    fn start(workspaces: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let root = at.join("workspaces");
        let database = rusqlite::Connection::open(at.join("sessions.db")).unwrap();
        database.execute_batch("create table session (id text primary key); begin").unwrap();
        for n in 0..workspaces {
            let id = format!("aaaaaaaa-0000-4000-8000-{n:012}");
            fs::create_dir_all(root.join(&id)).unwrap();
            // One in ten is an orphan, and too young to go: it is looked at in every sweep.
            if n % 10 > 0 {
                database.execute("insert into session values (?1)", [&id]).unwrap();
            }
        }
        database.execute_batch("commit").unwrap();
        drop(database);
        let spec = format!(
            "apiVersion: hygiene.dev/v1alpha1\nkind: WorkspaceHygiene\nmetadata: {{name: bench}}\nspec:\n  volume: {{path: {}}}\n  \
             workspaces: {{pattern: '^(?<session>[0-9a-f-]{{36}})$'}}\n  sessions: {{sqlite: {{path: {}}}, liveQuery: select id from session}}\n",
            root.display(),
            at.join("sessions.db").display()
        );
        fs::write(at.join("spec.yaml"), spec).unwrap();
        let log = at.join("log");
        let child = Command::new(env!("CARGO_BIN_EXE_hygiene"))
            .args(["run", "--listen", "127.0.0.1:0", "--startup-delay", "0s", "--log-format", "json", "-f"])
            .arg(at.join("spec.yaml"))
            .env("HYGIENE_STATE_DIR", at.join("state"))
            .stdin(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, log, _folder: folder }
    }

    fn lines(&self) -> Vec<serde_json::Value> {
        // The last line may be half written.
        fs::read_to_string(&self.log).unwrap().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn address(&self) -> String {
        loop {
            if let Some(at) = self.lines().iter().find_map(|line| Some(line.get("address")?.as_str()?.to_owned())) {
                return at;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// How long each sweep took so far, in seconds.
    fn sweeps(&self) -> Vec<f64> {
        let swept = self.lines().into_iter().filter(|line| line["message"] == "swept");
        swept.map(|line| line["seconds"].as_f64().unwrap()).collect()
    }

    fn sweep(&self) -> f64 {
        let before = self.sweeps().len();
        kill_process(Pid::from_child(&self.child), Signal::HUP).unwrap();
        loop {
            if let Some(seconds) = self.sweeps().get(before) {
                return *seconds;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Resident memory in KiB, descriptors and threads.
    fn size(&self) -> [u64; 3] {
        let at = Path::new("/proc").join(self.child.id().to_string());
        let status = fs::read_to_string(at.join("status")).unwrap();
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let rss = rss.trim().trim_end_matches(" kB").parse().unwrap();
        let count = |what: &str| fs::read_dir(at.join(what)).unwrap().count() as u64;
        [rss, count("fd"), count("task")]
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// Asks so often in a second, until it is over; how many answers there were.
fn load(address: &str, every_second: u32, over: &AtomicBool) -> u64 {
    const CLIENTS: u32 = 4;
    let answered = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let answered = &answered;
            scope.spawn(move || {
                let pause = Duration::from_secs(1) * CLIENTS / every_second;
                let mut next = Instant::now();
                while !over.load(Ordering::Relaxed) {
                    let path = ["/healthz", "/metrics", "/status", "/"][client as usize % 4];
                    let asked = || -> std::io::Result<usize> {
                        let mut stream = TcpStream::connect(address)?;
                        write!(stream, "GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
                        stream.read_to_end(&mut Vec::new())
                    };
                    answered.fetch_add(u64::from(asked().is_ok_and(|read| read > 0)), Ordering::Relaxed);
                    next += pause;
                    std::thread::sleep(next.saturating_duration_since(Instant::now()));
                }
            });
        }
    });
    answered.into_inner()
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

fn main() {
    let options = Options::parse();
    let service = Service::start(options.workspaces);
    let address = service.address();
    let over = AtomicBool::new(false);
    println!("sweeps of {} workspaces, alone and beside {} requests a second:", options.workspaces, options.requests);
    for _ in 0..3 {
        let alone = median((0..options.sweeps).map(|_| service.sweep()).collect());
        over.store(false, Ordering::Relaxed);
        let (beside, rate) = std::thread::scope(|scope| {
            let begun = Instant::now();
            let loading = scope.spawn(|| load(&address, options.requests, &over));
            let beside = median((0..options.sweeps).map(|_| service.sweep()).collect());
            over.store(true, Ordering::Relaxed);
            let answered = loading.join().unwrap();
            (beside, answered as f64 / begun.elapsed().as_secs_f64())
        });
        println!(
            "  {:.1} ms, {:.1} ms beside {rate:.0} answers a second: {:.2} x",
            alone * 1e3,
            beside * 1e3,
            beside / alone
        );
    }
    println!("a sweep and fifty requests a second for {} minutes: KiB resident, descriptors, threads", options.minutes);
    over.store(false, Ordering::Relaxed);
    std::thread::scope(|scope| {
        scope.spawn(|| load(&address, 50, &over));
        let begun = Instant::now();
        let (mut sizes, mut told) = (Vec::new(), 0);
        while begun.elapsed() < Duration::from_secs(60 * options.minutes) {
            service.sweep();
            sizes.push(service.size());
            let tenth = begun.elapsed().as_secs() * 10 / (60 * options.minutes).max(1);
            if tenth > told {
                told = tenth;
                let most = |n: usize| sizes.iter().map(|size| size[n]).max().unwrap();
                println!("  at {:>2} min: {} {} {}", begun.elapsed().as_secs() / 60, most(0), most(1), most(2));
                sizes.clear();
            }
            std::thread::sleep(Duration::from_secs(1));
        }
        over.store(true, Ordering::Relaxed);
    });
}
