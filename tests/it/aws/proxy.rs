//! What stands between the binary and the stand-in: it sees each call, and throttles, denies, changes, truncates, delays or
//! cuts the answer as the test says.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::moto;

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// `ListTasks`.
    pub action: String,
    /// What was sent, as far as it is JSON.
    pub body: Value,
    /// How many calls of this action there were before.
    pub number: usize,
}

/// What becomes of a call.
pub enum Answer {
    /// It is answered.
    Pass,
    /// It is answered with this status and error code.
    Refuse(u16, &'static str),
    /// It is answered, with a body that was changed.
    Edit(Box<dyn FnOnce(Value) -> Value + Send>),
    /// Only the first half of the answer comes, and the connection ends in good order.
    Truncate,
    /// Only the first half of the body comes, and it says that this is all.
    Halve,
    /// The connection is cut before an answer.
    Cut,
    /// The answer comes so much later.
    Delay(Duration),
}

type Rule = Arc<dyn Fn(&Call) -> Answer + Send + Sync>;

struct Shared {
    rule: Mutex<Rule>,
    calls: Mutex<Vec<Call>>,
    over: AtomicBool,
}

pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// One that passes everything on.
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let rule: Rule = Arc::new(|_| Answer::Pass);
        let shared = Arc::new(Shared { rule: Mutex::new(rule), calls: Mutex::default(), over: AtomicBool::default() });
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

    /// From now on calls are counted anew, and this is asked what becomes of each.
    pub fn rule(&self, rule: impl Fn(&Call) -> Answer + Send + Sync + 'static) {
        let mut now = self.shared.rule.lock().unwrap();
        self.shared.calls.lock().unwrap().clear();
        *now = Arc::new(rule);
    }

    /// The calls since the rule was set.
    pub fn calls(&self, action: &str) -> Vec<Call> {
        self.shared.calls.lock().unwrap().iter().filter(|call| call.action == action).cloned().collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok();
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) {
        let Some((head, body)) = request(&mut stream) else { return };
        let (call, rule) = {
            let rule = Arc::clone(&self.rule.lock().unwrap());
            let mut calls = self.calls.lock().unwrap();
            let action = action(&head);
            let number = calls.iter().filter(|call| call.action == action).count();
            let call = Call { action, body: serde_json::from_slice(&body).unwrap_or_default(), number };
            calls.push(call.clone());
            (call, rule)
        };
        // Whatever the test does to the stand-in it does before the answer is made.
        let answer = match rule(&call) {
            Answer::Cut => return,
            Answer::Refuse(status, code) => refusal(&call, status, code),
            Answer::Pass => passed(&head, &body),
            Answer::Delay(time) => {
                thread::sleep(time);
                passed(&head, &body)
            }
            Answer::Truncate => {
                let whole = passed(&head, &body);
                whole[..whole.len() - whole.len() / 4].to_vec()
            }
            Answer::Halve => {
                let body = body_of(&passed(&head, &body)).to_vec();
                ok(&body[..body.len() / 2])
            }
            Answer::Edit(edit) => {
                let value = serde_json::from_slice(body_of(&passed(&head, &body))).unwrap();
                ok(edit(value).to_string().as_bytes())
            }
        };
        drop(stream.write_all(&answer));
    }
}

/// The head and the body of a request.
fn request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let length = header(&head, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, v)| v)
}

/// ECS names the action in a header, EFS by its path.
fn action(head: &str) -> String {
    if let Some(target) = header(head, "x-amz-target") {
        return target.rsplit('.').next().unwrap().to_owned();
    }
    let path = head.split(' ').nth(1).unwrap().split('?').next().unwrap();
    let known = [
        ("replication-configurations", "DescribeReplicationConfigurations"),
        ("mount-targets", "DescribeMountTargets"),
        ("access-points", "DescribeAccessPoints"),
        ("file-systems", "DescribeFileSystems"),
    ];
    known.iter().find(|(part, _)| path.contains(part)).unwrap_or_else(|| panic!("{path}")).1.to_owned()
}

/// What the stand-in answers, whole.
fn passed(head: &str, body: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, moto::port())).unwrap();
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    answer
}

fn body_of(answer: &[u8]) -> &[u8] {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    &answer[end + 4..]
}

fn ok(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn refusal(call: &Call, status: u16, code: &str) -> Vec<u8> {
    // AWS writes more than its code: none of it may be repeated.
    let body = if call.action.starts_with("DescribeFile") || call.action.starts_with("DescribeMount") {
        format!("{{\"ErrorCode\": \"{code}\", \"Message\": \"x-amz-security-token: hunter2\"}}")
    } else {
        format!("{{\"__type\": \"{code}\", \"message\": \"x-amz-security-token: hunter2\"}}")
    };
    let head = format!(
        "HTTP/1.1 {status} No\r\nConnection: close\r\nx-amzn-errortype: {code}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes()
}
