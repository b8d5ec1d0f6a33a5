//! What may be between a client and its server: proxies on ports of the loopback interface, in threads of the test.

mod listener;
mod mysql;
mod postgres;

pub use mysql::MySqlRouter;
pub use postgres::Router;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use listener::{Listener, connect};

/// What becomes of what the server says.
#[derive(Clone, Copy, Debug)]
enum Mode {
    Pass,
    CutAfter(u64),
    StallAfter(u64),
}

#[derive(Debug)]
struct State {
    mode: Mode,
    /// How often the mode was set: each connection counts its bytes anew with each.
    set: u64,
    /// Bytes that were passed on from the server since then.
    passed: u64,
    is_closed: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    connections: AtomicUsize,
}

/// A proxy that passes everything on until it is told otherwise, which holds for the connections that there are and for
/// those to come.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    listener: Listener,
}

impl Proxy {
    /// A proxy in front of a port of 127.0.0.1.
    pub fn to(port: u16) -> Self {
        let state = State { mode: Mode::Pass, set: 0, passed: 0, is_closed: false };
        let shared = Shared { state: Mutex::new(state), changed: Condvar::new(), connections: AtomicUsize::new(0) };
        let shared = Arc::new(shared);
        let of_listener = Arc::clone(&shared);
        let listener = Listener::new(move |client, sockets| {
            of_listener.connections.fetch_add(1, Ordering::SeqCst);
            let Some(server) = connect(port, sockets) else { return };
            let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let sending = std::thread::spawn(move || {
                std::io::copy(&mut from_client, &mut to_server).ok();
                to_server.shutdown(Shutdown::Write).ok();
            });
            of_listener.relay(&server, &client);
            sending.join().unwrap();
        });
        Self { shared, listener }
    }

    /// The port it listens on, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.listener.port()
    }

    /// Passes everything on.
    pub fn pass(&self) {
        self.set(Mode::Pass);
    }

    /// Passes `bytes` more of what the server says on to each client, and then cuts the connection: with 0 bytes, when the
    /// server says the next thing.
    pub fn cut_after(&self, bytes: u64) {
        self.set(Mode::CutAfter(bytes));
    }

    /// Passes `bytes` more of what the server says on to each client, and nothing more until another mode is set. What the
    /// clients say reaches the server.
    pub fn stall_after(&self, bytes: u64) {
        self.set(Mode::StallAfter(bytes));
    }

    /// Cuts all connections that there are.
    pub fn cut_all(&self) {
        self.listener.cut_all();
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many bytes of the server were passed on since the mode was set.
    pub fn passed(&self) -> u64 {
        self.shared.state.lock().unwrap().passed
    }

    fn set(&self, mode: Mode) {
        let mut state = self.shared.state.lock().unwrap();
        (state.mode, state.set, state.passed) = (mode, state.set + 1, 0);
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap().is_closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    /// Passes on what the server says, until it or the client ends.
    fn relay(&self, mut server: &TcpStream, mut client: &TcpStream) {
        let (mut buffer, mut set, mut passed) = ([0; 16_384], 0, 0);
        while let Ok(read @ 1..) = server.read(&mut buffer) {
            let mut rest = &buffer[..read];
            while !rest.is_empty() {
                let Some((allowed, cut)) = self.allowed(&mut set, &mut passed, rest.len()) else { return };
                if client.write_all(&rest[..allowed]).is_err() {
                    server.shutdown(Shutdown::Both).ok();
                    return;
                }
                if cut {
                    client.shutdown(Shutdown::Both).ok();
                    server.shutdown(Shutdown::Both).ok();
                    return;
                }
                rest = &rest[allowed..];
            }
        }
        client.shutdown(Shutdown::Write).ok();
    }

    /// How many of `bytes` may be passed on now, and whether the connection is cut after them. Waits while there are none, and
    /// is nothing when the proxy is dropped.
    fn allowed(&self, set: &mut u64, passed: &mut u64, bytes: usize) -> Option<(usize, bool)> {
        let mut state = self.state.lock().unwrap();
        loop {
            if state.is_closed {
                return None;
            }
            if state.set != *set {
                (*set, *passed) = (state.set, 0);
            }
            let (limit, cuts) = match state.mode {
                Mode::Pass => (u64::MAX, false),
                Mode::CutAfter(limit) => (limit, true),
                Mode::StallAfter(limit) => (limit, false),
            };
            let left = limit.saturating_sub(*passed);
            let allowed = left.min(bytes as u64);
            if allowed > 0 || cuts {
                *passed += allowed;
                state.passed += allowed;
                return Some((allowed as usize, cuts && allowed == left));
            }
            state = self.changed.wait(state).unwrap();
        }
    }
}

/// Which of two servers a router sends to.
#[derive(Debug)]
struct Switch {
    after: AtomicUsize,
    /// Whether what comes next is with the first server again.
    once: AtomicBool,
    seen: AtomicUsize,
}

impl Switch {
    fn never() -> Arc<Self> {
        let (after, seen) = (AtomicUsize::new(usize::MAX), AtomicUsize::new(0));
        Arc::new(Self { after, once: AtomicBool::new(false), seen })
    }

    fn set(&self, after: usize, once: bool) {
        self.once.store(once, Ordering::SeqCst);
        self.after.store(after, Ordering::SeqCst);
    }

    fn is_once(&self) -> bool {
        self.once.load(Ordering::SeqCst)
    }

    /// Whether a connection that has seen so many of what is counted is with the second server.
    fn is_over(&self, seen: usize) -> bool {
        let after = self.after.load(Ordering::SeqCst);
        if self.is_once() { seen == after } else { seen >= after }
    }
}
