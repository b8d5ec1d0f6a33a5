//! Lets pods reach a server of this machine: the node's network has no way out of it.

use std::fs::File;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::node;

/// The node's address, as pods know it.
pub const NODE: &str = "10.231.0.1";

/// Makes a port of this machine reachable at the same port of the node, for as long as the tests run.
pub fn reach(port: u16) {
    let network = File::open(format!("/proc/{}/ns/net", node().first())).unwrap();
    // A socket stays in the network in which it was made; of a process one thread alone can be in another.
    let listen = move || {
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        TcpListener::bind((NODE, port)).unwrap()
    };
    let listener = thread::spawn(listen).join().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", port)));
            // A client that is not served sees its connection closed.
            if let Ok(server) = server {
                let (back, forth) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || carry(client, server));
                thread::spawn(move || carry(back, forth));
            }
        }
    });
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    io::copy(&mut from, &mut to).ok();
    to.shutdown(Shutdown::Write).ok();
}
