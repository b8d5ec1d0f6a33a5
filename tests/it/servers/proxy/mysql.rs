//! A router between two MySQL or MariaDB servers.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Switch;
use super::listener::{Listener, Sockets, connect};

/// First bytes of packets.
const OK: u8 = 0x00;
const SWITCH_PLUGIN: u8 = 0xFE;
const ERROR: u8 = 0xFF;
const QUIT: u8 = 0x01;

/// A pooler that sends a later command of a connection to a second server. Each client is introduced to both servers, which
/// works for a user without a password, as [`OPEN_USER`](crate::servers::OPEN_USER) is: others prove that they know it for one
/// server alone. It offers no TLS.
#[derive(Debug)]
pub struct MySqlRouter {
    switch: Arc<Switch>,
    listener: Listener,
}

impl MySqlRouter {
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

    /// From now on, what a client says after its first `k` commands goes to the second server. To prepare a statement is a
    /// command, to execute it another.
    pub fn switch_after(&self, k: usize) {
        self.switch.set(k, false);
    }

    /// From now on, of what a client says only the command after its first `k` goes to the second server.
    pub fn switch_once_after(&self, k: usize) {
        self.switch.set(k, true);
    }

    /// From now on, what any client says goes to the second server.
    pub fn switch_now(&self) {
        self.switch.set(0, false);
    }

    /// How many commands there were but to quit, on all connections.
    pub fn commands(&self) -> usize {
        self.switch.seen.load(Ordering::SeqCst)
    }
}

fn serve(mut client: TcpStream, [first, second]: [u16; 2], sockets: &Sockets, switch: &Switch) -> io::Result<()> {
    let gone = || io::Error::from(ErrorKind::ConnectionRefused);
    let mut first = connect(first, sockets).ok_or_else(gone)?;
    let mut second = connect(second, sockets).ok_or_else(gone)?;
    let mut greeting = read_packet(&mut first)?;
    without_tls(&mut greeting);
    client.write_all(&greeting)?;
    read_packet(&mut second)?;
    let answer = read_packet(&mut client)?;
    for server in [&mut first, &mut second] {
        server.write_all(&answer)?;
    }
    // The client is told what the first server says.
    loop {
        let packet = read_packet(&mut second)?;
        match packet[4] {
            OK => break,
            // An empty password is an empty answer in every method.
            SWITCH_PLUGIN => second.write_all(&[0, 0, 0, packet[3].wrapping_add(1)])?,
            _ => panic!("the second server: {}", String::from_utf8_lossy(&packet[4..])),
        }
    }
    loop {
        let packet = read_packet(&mut first)?;
        client.write_all(&packet)?;
        match packet[4] {
            OK => break,
            ERROR => return Ok(()),
            _ => first.write_all(&read_packet(&mut client)?)?,
        }
    }
    let answering = [&first, &second].map(|server| {
        let (mut server, mut client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || {
            io::copy(&mut server, &mut client).ok();
            client.shutdown(Shutdown::Both).ok();
        })
    });
    let mut commands = 0;
    let mut to_second = false;
    let mut asked = || -> io::Result<()> {
        loop {
            let packet = read_packet(&mut client)?;
            if packet[3..] == [0, QUIT] {
                first.write_all(&packet)?;
                second.write_all(&packet)?;
                continue;
            }
            // What has another number goes on with the command before it.
            if packet[3] == 0 {
                to_second = switch.is_over(commands);
                commands += 1;
                switch.seen.fetch_add(1, Ordering::SeqCst);
            }
            if to_second { second.write_all(&packet)? } else { first.write_all(&packet)? }
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

/// Takes the offer of TLS out of a greeting: version, server's version, connection, eight random bytes, a zero, then flags.
fn without_tls(greeting: &mut [u8]) {
    let version_ends = greeting.iter().skip(5).position(|byte| *byte == 0).map(|zero| 5 + zero);
    if let Some(flags) = version_ends.and_then(|end| greeting.get_mut(end + 15)) {
        // CLIENT_SSL is 0x800, in the second byte.
        *flags &= !0x08;
    }
}

/// A packet with its head: three bytes of length and a number.
fn read_packet(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut packet = vec![0; 4];
    from.read_exact(&mut packet)?;
    let length = u32::from_le_bytes([packet[0], packet[1], packet[2], 0]) as usize;
    packet.resize(4 + length, 0);
    from.read_exact(&mut packet[4..])?;
    Ok(packet)
}
