//! How long calls take, how many at once, and how many there were.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::mounted;
use crate::fuse::Op;

const LONG: Duration = Duration::from_millis(100);

/// Looks for so many names at once, each in a thread of its own.
fn look_at_once(dir: &Path, names: usize) -> Duration {
    let started = Instant::now();
    std::thread::scope(|threads| {
        for n in 0..names {
            threads.spawn(move || dir.join(n.to_string()).exists());
        }
    });
    started.elapsed()
}

#[test]
fn reads_and_writes_take_the_time_they_are_given() {
    let m = mounted();
    m.control.set_latency(LONG, Duration::ZERO);
    let started = Instant::now();
    assert!(!m.at.join("nothing").exists());
    assert!(started.elapsed() >= LONG, "a look-up is a read");
    m.control.set_latency(Duration::ZERO, 2 * LONG);
    let started = Instant::now();
    fs::create_dir(m.at.join("dir")).unwrap();
    let took = started.elapsed();
    assert!(took >= 2 * LONG && took < 4 * LONG, "one write and no more, but {took:?}");
    m.control.set_latency(Duration::ZERO, Duration::ZERO);
    m.control.set_latency_of(Op::Rmdir, LONG);
    let started = Instant::now();
    fs::remove_dir(m.at.join("dir")).unwrap();
    assert!(started.elapsed() >= LONG);
}

#[test]
fn calls_in_one_directory_overlap() {
    let m = mounted();
    m.control.set_latency_of(Op::Lookup, LONG);
    m.control.reset_peak();
    look_at_once(&m.at, 32);
    assert!(m.control.peak() >= 16, "at most {} at once", m.control.peak());
}

#[test]
fn no_more_calls_are_in_flight_than_there_are_slots() {
    let m = mounted();
    m.control.set_latency_of(Op::Lookup, LONG);
    m.control.set_slots(4);
    m.control.reset_peak();
    let took = look_at_once(&m.at, 16);
    assert!(took >= 4 * LONG, "{took:?}");
    assert_eq!(m.control.peak(), 4);
}

#[test]
fn calls_are_counted_by_what_they_ask() {
    let m = mounted();
    fs::create_dir(m.at.join("dir")).unwrap();
    m.control.reset_counts();
    assert_eq!(m.control.counts().len(), 0);
    fs::write(m.at.join("dir/file"), "x").unwrap();
    fs::rename(m.at.join("dir/file"), m.at.join("file")).unwrap();
    fs::remove_file(m.at.join("file")).unwrap();
    let counts = m.control.counts();
    for op in [Op::Create, Op::Write, Op::Flush, Op::Rename, Op::Unlink] {
        assert_eq!(counts.get(&op), Some(&1), "{op:?}: {counts:?}");
    }
    assert_eq!(m.control.count(Op::Rmdir), 0);
    assert!(m.control.count(Op::Lookup) >= 3);
}
