//! The admin server over a real socket, and the memory monitor on trees of files and on a real cgroup.

mod answers;
mod healthcheck;
mod memory;
mod page;
mod pressure;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use workspace_hygiene::admin::{
    Admin, Board, Metrics, Options, OrphanLine, Pulse, QuarantineLine, ResourceView, SweepLine,
};
use workspace_hygiene::api::WorkspaceHygieneStatus;
use workspace_hygiene::policy::ResourceName;

/// An admin server and what it shows.
struct Served {
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    admin: Admin,
}

impl Served {
    /// One whose pulse nobody has to beat for a minute.
    fn new() -> Self {
        Self::with(Pulse::new(Duration::from_secs(60), Duration::from_secs(60)))
    }

    fn with(pulse: Arc<Pulse>) -> Self {
        let (board, metrics) = (Board::new(), Arc::new(Metrics::new()));
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let options = Options { listen, board: Arc::clone(&board), pulse, metrics: Arc::clone(&metrics) };
        Self { board, metrics, admin: Admin::start(options).unwrap() }
    }

    /// One resource as in life, with a plan that a breaker holds.
    fn full() -> Self {
        let served = Self::new();
        served.board.expect(&[resource()]);
        served.board.publish(view());
        served.board.loaded();
        served.board.tried(&resource());
        served
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.admin.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    fn ask(&self, method: &str, path: &str) -> Answer {
        let mut stream = self.connect();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Answer { head: head.to_owned(), body: body.to_owned() }
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin.address())
    }
}

struct Answer {
    head: String,
    body: String,
}

impl Answer {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

fn resource() -> ResourceName {
    ResourceName::new("collab", "workspaces")
}

fn hours(n: i64) -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(n)
}

fn view() -> ResourceView {
    let condition = |kind: &str, status: &str, reason: &str, message: &str| json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": hours(-3)});
    let status: WorkspaceHygieneStatus = serde_json::from_value(json!({
        "observedGeneration": 1,
        "conditions": [
            condition("Ready", "True", "Swept", "The last sweep finished."),
            condition("SourcesAvailable", "True", "Complete", "Every source answered."),
            condition("DeletionAllowed", "False", "TooManyOrphans", "71 orphans, and maxOrphans is 50."),
        ],
        "nextSweepTime": hours(1),
        "sessions": {"live": 990, "observedTime": hours(-1)},
        "lastSweep": {"id": "0193", "startTime": hours(-1), "completionTime": hours(-1), "result": "Held", "orphans": 71},
        "hold": {
            "kind": "Breaker", "reason": "TooManyOrphans", "since": hours(-3), "planHash": "3f2a9c0e", "directories": 71,
            "message": "71 orphans, and maxOrphans is 50",
        },
        "backlog": {"directories": 71},
        "quarantine": {"directories": 2, "size": "1.5Gi"},
        "reclaimed": {"directories": 40, "entries": 800_000, "size": "310Gi"},
        "budget": {"directoriesLeft": 98, "sizeLeft": "499Gi"},
    }))
    .unwrap();
    let sweep = |n: i64, result: &str, held: Option<&str>| SweepLine {
        id: format!("0193a6b2-7c1e-7d00-8000-00000000000{n}"),
        start: hours(-n) - SignedDuration::from_millis(3_400),
        end: hours(-n),
        result: result.into(),
        orphans: 71,
        quarantined: 0,
        restored: 1,
        purged: 0,
        errors: 0,
        held: held.map(Into::into),
    };
    let id = |n: u32| format!("aaaaaaaa-0000-4000-8000-{n:012}");
    ResourceView {
        namespace: "collab".into(),
        name: "workspaces".into(),
        mode: "Enforce".into(),
        root: "/mnt/efs/workspaces".into(),
        schedule: "every 15m".into(),
        status,
        sweeps: vec![
            sweep(1, "Held", Some("TooManyOrphans")),
            sweep(2, "Held", Some("TooManyOrphans")),
            sweep(4, "Completed", None),
        ],
        orphans: vec![
            OrphanLine {
                name: id(1),
                last_activity: Some(hours(-80)),
                bytes: Some(3 << 28),
                reason: "NoLiveSession".into(),
            },
            OrphanLine { name: id(2), last_activity: None, bytes: None, reason: "NotInspected".into() },
        ],
        quarantine: vec![QuarantineLine { name: id(3), quarantined: hours(-30), due: hours(138), bytes: 3 << 29 }],
        commands: vec![
            "hygiene plan -f spec.yaml --held".into(),
            "hygiene approve -f spec.yaml 3f2a9c0e".into(),
            "hygiene dismiss -f spec.yaml 3f2a9c0e".into(),
        ],
    }
}

/// Waits until it is so.
#[track_caller]
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
