//! The incident that this project exists to make impossible, replayed: a service began to remove forty orphans at boot from
//! a file system with a few milliseconds a call, stopped answering its load balancer, was killed, and began again.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Running;
use crate::world::{DAY, World, backdate, id};

const ORPHANS: u32 = 40;
/// Files of each orphan, fifty in a folder, where the environment does not say HYGIENE_INCIDENT_FILES: a tenth of what there
/// were.
const FILES: u32 = 2_000;
const FILES_IN_A_FOLDER: u32 = 50;
/// What each call of the file system takes.
const LATENCY: Duration = Duration::from_millis(3);
/// The load balancer: how often it asks, and how long it waits for an answer.
const CHECK_EVERY: Duration = Duration::from_secs(1);
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// One health check: whether it was answered with 200 in time.
fn is_well(address: &str) -> bool {
    let asked = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address.parse().unwrap(), CHECK_TIMEOUT)?;
        stream.set_read_timeout(Some(CHECK_TIMEOUT))?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: service\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    asked().is_ok_and(|text| text.starts_with("HTTP/1.1 200"))
}

/// Says that it is over, also when what it is about fails.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// An orphan with so many files, fifty in a folder.
fn orphan(world: &World, n: u32, files: u32) {
    let tree = world.fuse().backing().join(id(n));
    for folder in 0..files / FILES_IN_A_FOLDER {
        let folder = tree.join(format!("node_modules/package-{folder}"));
        fs::create_dir_all(&folder).unwrap();
        (0..FILES_IN_A_FOLDER).for_each(|file| fs::write(folder.join(file.to_string()), "x").unwrap());
    }
    backdate(&tree, 30 * DAY);
}

/// The check is able to fail: it does with a service that is made as the one was that began it, which removes its orphans
/// on the event loop that answers the load balancer.
#[test]
fn a_service_that_removes_its_orphans_inline_fails_the_same_check() {
    let world = World::on_fuse();
    (1..=2).for_each(|n| orphan(&world, n, 1_000));
    world.fuse().control().set_latency(LATENCY, LATENCY);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let root = world.root();
    let over = AtomicBool::new(false);
    let failed = std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let answering = tokio::spawn(async move {
                    loop {
                        let (stream, _) = listener.accept().await.unwrap();
                        stream.readable().await.unwrap();
                        let _ = stream.try_read(&mut [0; 1024]);
                        let _ = stream.try_write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                    }
                });
                tokio::time::sleep(Duration::from_secs(2)).await;
                for n in 1..=2 {
                    fs::remove_dir_all(root.join(id(n))).unwrap();
                    tokio::task::yield_now().await;
                }
                while !over.load(Ordering::SeqCst) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                answering.abort();
            });
        });
        let _ends = AtEnd(&over);
        let (before, mut failed) = (is_well(&address), 0);
        while world.fuse().backing().join(id(2)).exists() {
            failed += u32::from(!is_well(&address));
            std::thread::sleep(CHECK_EVERY);
        }
        assert!(before, "it is well before it begins");
        failed
    });
    assert!(failed > 0, "the check notices nothing");
}

#[test]
fn the_incident_does_not_come_again() {
    let mut world = World::on_fuse();
    world.part("schedule", "{every: 1m}");
    world.part("quarantine", "{retention: 1s}");
    world.part("limits", "{breaker: {maxOrphanPercent: 100}}");
    world.workspace("aaaaaaaa-0000-4000-8000-000000000000", 30 * DAY);
    let files = std::env::var("HYGIENE_INCIDENT_FILES").map_or(FILES, |files| files.parse().unwrap());
    // Five times what it takes on 2 cores.
    let limit = Duration::from_secs(1_200) * files.div_ceil(FILES);
    (1..=ORPHANS).for_each(|n| orphan(&world, n, files));
    world.spec_file();
    world.fuse().control().set_latency(LATENCY, LATENCY);

    let begun = Instant::now();
    let mut service = Running::start(&world, &["--startup-delay", "3s", "--beat", "500ms", "--stale", "3s"]);
    service.wait("admin server", |service| service.address().is_some());
    let address = service.address().unwrap();
    let (over, checks, failed) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                checks.fetch_add(1, Ordering::SeqCst);
                failed.fetch_add(u32::from(!is_well(&address)), Ordering::SeqCst);
                std::thread::sleep(CHECK_EVERY);
            }
        });
        let ends = AtEnd(&over);
        let left = || fs::read_dir(world.fuse().backing()).unwrap().count() - 2;
        let purging = || {
            let folders = ["quarantine", "purging"].map(|folder| world.fuse().backing().join(".hygiene").join(folder));
            folders.iter().map(|folder| fs::read_dir(folder).map_or(0, Iterator::count)).sum::<usize>()
        };
        let is_late = || begun.elapsed() > limit;
        // It walks ten trees, which takes its time as well.
        while service.sweeps().is_empty() {
            assert!(!is_late(), "no first report");
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(
            (&service.sweeps()[0]["quarantined"], left()),
            (&0.into(), ORPHANS as usize),
            "nothing before the delay"
        );
        let mut seen = 0;
        while left() + purging() > 0 {
            assert!(!is_late(), "the backlog does not drain: {:#?}", service.sweeps());
            assert!(service.child.try_wait().unwrap().is_none(), "it ended");
            if service.sweeps().len() > seen {
                seen = service.sweeps().len();
                // A minute is long in a test.
                service.signal(Signal::HUP);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        drop(ends);
    });
    let sweeps = service.sweeps();
    println!(
        "{} sweeps in {:.0?}, {} health checks, {} failed",
        sweeps.len(),
        begun.elapsed(),
        checks.load(Ordering::SeqCst),
        failed.load(Ordering::SeqCst)
    );
    assert!(sweeps.iter().all(|sweep| sweep["quarantined"].as_u64().unwrap() <= 10), "{sweeps:#?}");
    let quarantined: u64 = sweeps.iter().map(|sweep| sweep["quarantined"].as_u64().unwrap()).sum();
    assert_eq!(quarantined, u64::from(ORPHANS));
    assert!(checks.load(Ordering::SeqCst) > 3);
    assert_eq!(failed.load(Ordering::SeqCst), 0, "the load balancer would have killed it");
    assert_eq!(service.stop().code(), Some(0));
}
