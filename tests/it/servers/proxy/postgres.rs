//! A router between two PostgreSQL servers.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Switch;
use super::listener::{Listener, Sockets, connect};

/// Codes a client sends in the place of a protocol version.
const CANCEL: u32 = 80_877_102;
const TLS: u32 = 80_877_103;
const GSS: u32 = 80_877_104;

/// A pooler that sends a later statement of a connection to a second server. Each client is introduced to both servers, which
/// must let it in without a question: see [`Options::trusting`](crate::servers::Options::trusting). It offers no TLS.
#[derive(Debug)]
pub struct Router {
    switch: Arc<Switch>,
    listener: Listener,
}

impl Router {
    /// A router between two ports of 127.0.0.1, which sends everything to the first.
    pub fn between(first: u16, second: u16) -> Self {
        let switch = Switch::never();
        let of_listener = Arc::clone(&switch);
        let listener = Listener::new(move |client, sockets| {
            // A client or a server that goes away ends the connection.
            _ = serve(client, [first, second], sockets, &of_listener);
        });
        Self { switch, listener }
    }

    /// The port it listens on, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.listener.port()
    }

    /// From now on, what a client says after the `k`-th ReadyForQuery of the first server goes to the second. The first of
    /// them ends the startup, so that with 1 the first server is asked nothing at all. A statement without parameters takes
    /// one; one that is prepared by its own takes two.
    pub fn switch_after(&self, k: usize) {
        self.switch.set(k, false);
    }

    /// From now on, of what a client says only the statement after the `k`-th ReadyForQuery goes to the second server.
    pub fn switch_once_after(&self, k: usize) {
        self.switch.set(k, true);
    }

    /// From now on, what any client says goes to the second server.
    pub fn switch_now(&self) {
        self.switch.set(0, false);
    }

    /// How many times the first server was ready for a query, on all connections.
    pub fn ready(&self) -> usize {
        self.switch.seen.load(Ordering::SeqCst)
    }
}

fn serve(mut client: TcpStream, [first, second]: [u16; 2], sockets: &Sockets, switch: &Arc<Switch>) -> io::Result<()> {
    let startup = loop {
        let startup = read_startup(&mut client)?;
        match u32::from_be_bytes(startup[4..8].try_into().unwrap()) {
            TLS | GSS => client.write_all(b"N")?,
            CANCEL => {
                // Whoever has the key of the connection cancels; the other ignores it.
                for port in [first, second] {
                    connect(port, sockets).map_or(Ok(()), |mut server| server.write_all(&startup))?;
                }
                return Ok(());
            }
            _ => break startup,
        }
    };
    let gone = || io::Error::from(ErrorKind::ConnectionRefused);
    let mut first = connect(first, sockets).ok_or_else(gone)?;
    let mut second = connect(second, sockets).ok_or_else(gone)?;
    for server in [&mut first, &mut second] {
        server.write_all(&startup)?;
    }
    // The client is told what the first server says.
    loop {
        let message = read_message(&mut second)?;
        match message[0] {
            b'Z' => break,
            b'R' => assert_eq!(message[5..], [0; 4], "the second server asks for no password"),
            b'E' => panic!("the second server: {}", String::from_utf8_lossy(&message)),
            _ => {}
        }
    }
    let ready = Arc::new(AtomicUsize::new(0));
    let of_second = (Arc::clone(&ready), Arc::clone(switch));
    let counting = {
        let (ready, switch) = (Arc::clone(&ready), Arc::clone(switch));
        // Counted before it is passed on: what the client says next is then after it.
        move |message: &[u8]| {
            if message[0] == b'Z' {
                ready.fetch_add(1, Ordering::SeqCst);
                switch.seen.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    let answering = [
        pass_on(first.try_clone()?, client.try_clone()?, counting),
        pass_on(second.try_clone()?, client.try_clone()?, move |message: &[u8]| {
            if message[0] == b'Z' && of_second.1.is_once() {
                of_second.0.fetch_add(1, Ordering::SeqCst);
            }
        }),
    ];
    let mut asked = || -> io::Result<()> {
        loop {
            let message = read_message(&mut client)?;
            if message[0] == b'X' {
                first.write_all(&message)?;
                second.write_all(&message)?;
                continue;
            }
            let to_second = switch.is_over(ready.load(Ordering::SeqCst));
            if to_second { second.write_all(&message)? } else { first.write_all(&message)? }
        }
    };
    let ended = asked();
    for server in [first, second] {
        server.shutdown(Shutdown::Both).ok();
    }
    for thread in answering {
        thread.join().unwrap();
    }
    ended
}

/// Passes the messages of a server on, until either side ends; then the client is cut.
fn pass_on(
    mut server: TcpStream,
    mut client: TcpStream,
    mut look: impl FnMut(&[u8]) + Send + 'static,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        while let Ok(message) = read_message(&mut server) {
            look(&message);
            if client.write_all(&message).is_err() {
                break;
            }
        }
        client.shutdown(Shutdown::Both).ok();
    })
}

/// What a client says first: a length that counts itself, and what it is the length of.
fn read_startup(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; 4];
    client.read_exact(&mut message)?;
    read_rest(client, message)
}

/// A message after that: its type, and the same.
fn read_message(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; 5];
    from.read_exact(&mut message)?;
    read_rest(from, message)
}

fn read_rest(from: &mut TcpStream, mut message: Vec<u8>) -> io::Result<Vec<u8>> {
    let head = message.len();
    let length = u32::from_be_bytes(message[head - 4..].try_into().unwrap()) as usize;
    if length < 4 || (head == 4 && length < 8) {
        return Err(ErrorKind::InvalidData.into());
    }
    message.resize(head - 4 + length, 0);
    from.read_exact(&mut message[head..])?;
    Ok(message)
}
