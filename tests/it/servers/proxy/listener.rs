//! Accepts connections and gives each a thread.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// The sockets of all connections, to end them with.
pub type Sockets = Mutex<Vec<TcpStream>>;

/// A port that is listened on; dropping it cuts its connections and waits for their threads.
#[derive(Debug)]
pub struct Listener {
    port: u16,
    is_closed: Arc<AtomicBool>,
    sockets: Arc<Sockets>,
    accepting: Option<JoinHandle<()>>,
}

impl Listener {
    /// Serves each connection in a thread, until it is dropped.
    pub fn new(serve: impl Fn(TcpStream, &Sockets) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (is_closed, sockets) = (Arc::new(AtomicBool::new(false)), Arc::new(Sockets::default()));
        let (closed, all, serve) = (Arc::clone(&is_closed), Arc::clone(&sockets), Arc::new(serve));
        let accepting = std::thread::spawn(move || {
            let mut serving = Vec::new();
            for client in listener.incoming().flatten() {
                if closed.load(Ordering::SeqCst) {
                    break;
                }
                keep(&client, &all);
                let (all, serve) = (Arc::clone(&all), Arc::clone(&serve));
                serving.push(std::thread::spawn(move || {
                    let ends = client.try_clone().unwrap();
                    // One that panics cuts its client as well.
                    let _cut = Cut(ends);
                    serve(client, &all);
                }));
            }
            drop(listener);
            cut(&all);
            for thread in serving {
                thread.join().ok();
            }
        });
        Self { port, is_closed, sockets, accepting: Some(accepting) }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts all connections that there are.
    pub fn cut_all(&self) {
        cut(&self.sockets);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::SeqCst);
        // It waits for a connection.
        TcpStream::connect(("127.0.0.1", self.port)).ok();
        if let Some(accepting) = self.accepting.take() {
            accepting.join().ok();
        }
    }
}

struct Cut(TcpStream);

impl Drop for Cut {
    fn drop(&mut self) {
        self.0.shutdown(Shutdown::Both).ok();
    }
}

/// Connects to a server on 127.0.0.1, if there is one.
pub fn connect(port: u16, sockets: &Sockets) -> Option<TcpStream> {
    let server = TcpStream::connect(("127.0.0.1", port)).ok()?;
    keep(&server, sockets);
    Some(server)
}

fn keep(socket: &TcpStream, sockets: &Sockets) {
    // What is sent in one piece here is answered at once; the kernel need not wait for more.
    socket.set_nodelay(true).ok();
    sockets.lock().unwrap().push(socket.try_clone().unwrap());
}

fn cut(sockets: &Sockets) {
    for socket in sockets.lock().unwrap().drain(..) {
        socket.shutdown(Shutdown::Both).ok();
    }
}
