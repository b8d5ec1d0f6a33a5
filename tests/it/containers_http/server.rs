//! A small HTTP server on loopback that answers as the test says.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What is done with one connection whose request has the number so-and-so, from 0.
type Answer = Arc<dyn Fn(&mut TcpStream, usize) + Send + Sync>;

pub struct Server {
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    answer: Mutex<Answer>,
    requests: Mutex<Vec<String>>,
    over: AtomicBool,
}

/// A whole answer with this status line, further header lines, and body.
pub fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

impl Server {
    /// A server that does the same with each request.
    pub fn with(answer: impl Fn(&mut TcpStream, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            answer: Mutex::new(Arc::new(answer)),
            requests: Mutex::default(),
            over: AtomicBool::default(),
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if of_thread.over.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&of_thread);
                thread::spawn(move || shared.serve(stream));
            }
        });
        Self { port, shared }
    }

    /// A server that writes the same to each request.
    pub fn writing(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::with(move |stream, _| drop(stream.write_all(text.as_bytes())))
    }

    /// A server of a service that is well.
    pub fn well() -> Self {
        Self::writing(answer("200 OK", "", "fine"))
    }

    /// From now on it writes this.
    pub fn write(&self, text: String) {
        *self.shared.answer.lock().unwrap() = Arc::new(move |stream, _| drop(stream.write_all(text.as_bytes())));
    }

    /// What it was asked, one text with all the lines for each request.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/healthz", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok();
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) {
        let mut head = Vec::new();
        let mut byte = [0];
        // What is no request, such as the first bytes of TLS, ends with the first line or with the connection.
        while !head.ends_with(b"\r\n\r\n") && head.first() != Some(&0x16) {
            match stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return,
            }
        }
        let number = {
            let mut requests = self.requests.lock().unwrap();
            requests.push(String::from_utf8_lossy(&head).into_owned());
            requests.len() - 1
        };
        let answer = Arc::clone(&self.answer.lock().unwrap());
        answer(&mut stream, number);
    }
}

/// Waits until the other side has had enough.
pub fn hang(stream: &mut TcpStream) {
    while matches!(stream.read(&mut [0; 64]), Ok(n) if n > 0) {}
}
