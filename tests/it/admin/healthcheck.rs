//! `hygiene healthcheck`, as a container runs it.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::time::{Duration, Instant};

use workspace_hygiene::admin::Pulse;

use super::Served;

fn check(url: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hygiene"));
    let output = command.args(["healthcheck", "--url", url]).args(more).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_service_that_is_well_is_well() {
    assert_eq!(check(&Served::new().url("/healthz"), &[]), (Some(0), String::new(), String::new()));
}

#[test]
fn one_that_is_stalled_or_not_there_is_not() {
    let served = Served::with(Pulse::new(Duration::ZERO, Duration::ZERO));
    std::thread::sleep(Duration::from_millis(20));
    let (code, _, said) = check(&served.url("/healthz"), &[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("answers 503: the event loop is stalled, ") && said.contains(" ms overdue"), "{said}");
    let (code, _, said) = check(&served.url("/nothing"), &[]);
    assert!(code == Some(1) && said.contains("answers 404"), "{said}");
    let url = served.url("/healthz");
    drop(served);
    let (code, _, said) = check(&url, &[]);
    assert!(code == Some(1) && said.contains("cannot be reached"), "{said}");
    assert_eq!(check("https://127.0.0.1/healthz", &[]).0, Some(1));
    assert_eq!(check("no address", &[]).0, Some(2));
}

#[test]
fn one_that_never_answers_is_not_waited_for() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let begun = Instant::now();
    let url = format!("http://{}/healthz", silent.local_addr().unwrap());
    let (code, _, said) = check(&url, &["--timeout", "300ms"]);
    assert!(code == Some(1) && said.contains("gave no whole answer within 300ms"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(4));
}
