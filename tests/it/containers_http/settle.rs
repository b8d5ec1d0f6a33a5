//! Before anything is touched the service must have been healthy for a while, and the wait for it is shown.

use std::io::Write;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use workspace_hygiene::plan::HoldReason;
use workspace_hygiene::progress::Progress;

use super::server::{Server, answer};
use super::{command, run, world_with};
use crate::guards::{held, swept};
use crate::world::id;

/// Longer than any test may take: whatever ends did not wait for it.
const FOR_EVER: &str = ", settle: 24h";

#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

impl Progress for Recorder {
    fn begin(&self, what: &'static str, total: Option<u64>) {
        self.0.lock().unwrap().push(format!("begin {what} {total:?}"));
    }

    fn advance(&self, _: u64) {}

    fn end(&self) {
        self.0.lock().unwrap().push("end".into());
    }
}

#[test]
fn a_sweep_waits_until_the_service_has_settled_and_shows_it() {
    let server = Server::well();
    let mut world = world_with(1, &server.url(), "", ", settle: 1s");
    let shown = Arc::new(Recorder::default());
    world.progress = shown.clone();
    let began = Instant::now();
    let swept = swept(&world);
    assert_eq!((held(&swept), swept.acted.quarantined), (None, vec![id(1)]));
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(server.requests().len() >= 4, "it looked once at the beginning, once at the end, and in between");
    let shown = shown.0.lock().unwrap();
    let wait = "begin seconds the service has been healthy, of containers.settle Some(1)";
    assert_eq!(shown[..2], [wait.to_owned(), "end".into()], "before anything else, and only once");
}

#[test]
fn a_service_that_turns_unhealthy_in_the_wait_holds_the_sweep() {
    // Well again right after: what counts is that it was not.
    let server = Server::with(|stream, number| {
        let status = if number == 2 { "500 Oh" } else { "200 OK" };
        drop(stream.write_all(answer(status, "", "").as_bytes()));
    });
    let world = world_with(1, &server.url(), "", ", settle: 2s");
    let (code, stdout, stderr) = run(&world, &["sweep", "-o", "json"]);
    assert_eq!(code, Some(3), "{stdout}{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["held"]["reason"], "ServiceUnhealthy");
    let message = report["held"]["message"].as_str().unwrap();
    assert!(message.starts_with("healthy for only ") && message.contains("of containers.settle 2s: "), "{message}");
    assert!(message.ends_with("/healthz answers 500"), "{message}");
    assert!(world.quarantined_trees().is_empty());
    assert_eq!(server.requests().len(), 4, "the third look ends the wait; the fourth is the observation's");
}

#[test]
fn a_service_that_is_unhealthy_is_not_waited_for() {
    let server = Server::writing(answer("503 No", "", ""));
    let world = world_with(1, &server.url(), "", FOR_EVER);
    let swept = swept(&world);
    assert_eq!(held(&swept), Some(HoldReason::ServiceUnhealthy));
    assert_eq!(swept.acted.quarantined.len(), 0);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn whoever_knows_that_the_service_was_well_need_not_wait() {
    let server = Server::well();
    let world = world_with(1, &server.url(), "", FOR_EVER);
    let (code, stdout, stderr) = run(&world, &["sweep", "--no-settle"]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert_eq!(world.quarantined_trees().len(), 1);
    server.write(answer("500 Oh", "", ""));
    world.workspace(&id(2), 50 * crate::world::DAY);
    let (code, stdout, _) = run(&world, &["sweep", "--no-settle"]);
    assert_eq!(code, Some(3), "it must be well now all the same: {stdout}");
    assert_eq!(world.quarantined_trees().len(), 1);
}

#[test]
fn what_only_looks_does_not_wait() {
    let server = Server::well();
    let mut world = world_with(1, &server.url(), "", FOR_EVER);
    let (code, stdout, _) = run(&world, &["plan", "--exit-code"]);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.contains("the serving containers are healthy"), "{stdout}");
    world.part("mode", "Report");
    let (code, stdout, _) = run(&world, &["sweep"]);
    assert_eq!(code, Some(0), "{stdout}");
    assert_eq!(server.requests().len(), 2, "one look each");
}

#[test]
fn a_suspended_resource_is_not_waited_for() {
    let server = Server::well();
    let mut world = world_with(1, &server.url(), "", FOR_EVER);
    world.part("suspend", "true");
    assert_eq!(held(&swept(&world)), Some(HoldReason::Suspended));
}

#[test]
fn a_signal_ends_the_wait() {
    let server = Server::well();
    let world = world_with(1, &server.url(), "", FOR_EVER);
    let mut command = command(&world, &["sweep", "--log-level", "info"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while server.requests().is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("stopped on request"), "{stderr}");
    assert!(world.quarantined_trees().is_empty());
}

#[test]
fn a_purge_by_hand_waits_as_well() {
    let server = Server::writing(answer("503 No", "", ""));
    let world = world_with(1, &server.url(), "", FOR_EVER);
    let refused = world.purge(&[]).unwrap();
    assert_eq!(held(&refused), Some(HoldReason::ServiceUnhealthy));
    assert_eq!(server.requests().len(), 2);
    server.write(answer("200 OK", "", ""));
    run(&world, &["sweep", "--no-settle"]);
    assert_eq!(world.quarantined_trees().len(), 1);
    let (code, stdout, stderr) = run(&world, &["quarantine", "purge", "--all", "--yes", "--no-settle"]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert!(world.quarantined_trees().is_empty());
}
