//! The stand-in for AWS: one process for all tests, each with a cluster of its own. It ends when the test process does, since
//! that is when its standard input ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Where `scripts/setup` installs what tests/requirements.txt names; see `python_directory` in scripts/lib.sh.
fn python() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| !path.as_os_str().is_empty());
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache"))).expect("HOME is set");
    let digest = Sha256::digest(include_bytes!("../../requirements.txt"));
    let digest: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let python = cache.join(format!("workspace-hygiene/python-{digest}/bin/python"));
    assert!(python.exists(), "{} is missing; `make setup` installs it", python.display());
    python
}

/// The port that the stand-in listens on.
pub fn port() -> u16 {
    static STARTED: OnceLock<(u16, Child)> = OnceLock::new();
    let start = || {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/aws/stand_in.py");
        // Nothing is written beside it, and nothing of the user's AWS is read.
        let mut command = Command::new(python());
        command.arg("-B").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        for name in ["AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_CONFIG_FILE", "PYTHONPATH"] {
            command.env_remove(name);
        }
        let mut child = command.spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        (port.trim().parse().expect("it says on which port it listens"), child)
    };
    STARTED.get_or_init(start).0
}

/// Calls a function of stand_in.py.
pub fn force(ask: &Value) -> Value {
    let body = ask.to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port())).unwrap();
    let head = format!("POST /force HTTP/1.0\r\nHost: stand-in\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.lines().next().unwrap().contains(" 200 "), "{ask}: {answer}");
    serde_json::from_str(body).unwrap()
}
