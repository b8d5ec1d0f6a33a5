//! Clients that mean no good, or know no better: bounded, and answers go on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::Served;

/// The connections this process has accepted on this port, as the kernel lists them.
fn accepted(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let established = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, state) = (fields.next().unwrap_or(""), fields.nth(1).unwrap_or(""));
        local.ends_with(&format!(":{port:04X}")) && state == "01"
    };
    table.lines().filter(established).count()
}

fn one_answer(stream: &mut TcpStream) -> bool {
    let (mut answer, mut byte) = (Vec::new(), [0; 512]);
    while !answer.ends_with(b"}\n") {
        match stream.read(&mut byte) {
            Ok(n) if n > 0 => answer.extend_from_slice(&byte[..n]),
            _ => return false,
        }
    }
    answer.starts_with(b"HTTP/1.1 200")
}

#[test]
fn a_thousand_requests_go_over_one_connection() {
    let served = Served::full();
    let mut stream = served.connect();
    let begun = Instant::now();
    for n in 0..1_000 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        assert!(one_answer(&mut stream), "{n}");
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn silent_and_half_open_connections_keep_nobody_out_and_stay_few() {
    let served = Served::full();
    let mut busy = served.connect();
    let mut held = Vec::new();
    for n in 0..400 {
        let mut stream = served.connect();
        // Every second one begins a request and never ends it.
        if n % 2 == 0 {
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: te").ok();
        }
        held.push(stream);
        if n % 20 == 0 {
            let begun = Instant::now();
            assert_eq!(served.get("/healthz").status(), 200);
            assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
            // A client that asks and is answered does not give way.
            busy.write_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
            assert!(one_answer(&mut busy), "{n}");
        }
    }
    // Well before the 10 s are over after which each of them would end by itself.
    let begun = Instant::now();
    super::until("most were closed", || accepted(served.admin.address().port()) <= 64);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[test]
fn a_request_that_does_not_end_is_ended() {
    let served = Served::new();
    let mut slow = served.connect();
    slow.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\nX-Slow: ").unwrap();
    let begun = Instant::now();
    let mut text = String::new();
    slow.read_to_string(&mut text).unwrap();
    assert!(begun.elapsed() > Duration::from_secs(5), "{text}");
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 408"), "{text}");
}

#[test]
fn huge_heads_are_refused() {
    let served = Served::new();
    for head in
        [format!("GET /healthz HTTP/1.1\r\nX-Huge: {}", "x".repeat(1 << 20)), format!("GET /{}", "x".repeat(1 << 20))]
    {
        let mut stream = served.connect();
        // It may be closed while this is still being written.
        stream.write_all(head.as_bytes()).ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
        assert_eq!(served.get("/healthz").status(), 200);
    }
    let mut garbage = served.connect();
    garbage.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n").unwrap();
    garbage.read_to_end(&mut Vec::new()).ok();
    assert_eq!(served.get("/healthz").status(), 200);
}

#[test]
fn it_stops_at_once_though_connections_are_open() {
    let served = Served::new();
    let mut stream = served.connect();
    let begun = Instant::now();
    drop(served);
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert!(matches!(stream.read(&mut [0; 8]), Ok(0) | Err(_)));
}
