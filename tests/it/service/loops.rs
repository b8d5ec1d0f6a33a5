//! The loop.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Running;
use crate::fuse::Op;
use crate::world::{DAY, World, backdate, id, manifest};

/// A service that changes things at once.
const AT_ONCE: [&str; 4] = ["--startup-delay", "0s", "--restore-every", "200ms"];

/// A world with so many orphans that the service sweeps.
fn orphans(count: u32) -> World {
    let mut world = World::new();
    world.part("schedule", "{every: 1m}");
    (1..=count).for_each(|n| drop(world.workspace(&id(n), 30 * DAY)));
    world.workspace("aaaaaaaa-0000-4000-8000-000000000000", 30 * DAY);
    world
}

#[test]
fn the_first_report_comes_at_once_and_changes_nothing_before_the_delay_is_over() {
    let world = orphans(2);
    world.spec_file();
    let before = manifest(&world.root());
    let mut service = Running::start(&world, &["--startup-delay", "3s"]);
    service.wait("first report", |service| !service.sweeps().is_empty());
    assert_eq!((&service.sweeps()[0]["orphans"], &service.sweeps()[0]["quarantined"]), (&2.into(), &0.into()));
    assert_eq!(manifest(&world.root()), before);
    service.wait("second sweep", |service| service.sweeps().len() > 1);
    assert_eq!(service.sweeps()[1]["quarantined"], 2);
    assert!(!world.root().join(id(1)).exists());
    let begun = Instant::now();
    assert_eq!(service.stop().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn what_is_needed_again_is_put_back_between_two_sweeps_whatever_holds_deletion() {
    let mut world = orphans(1);
    world.spec_file();
    world.sweep();
    assert!(!world.root().join(id(1)).exists());
    world.part("suspend", "true");
    world.spec_file();
    let mut service = Running::start(&world, &AT_ONCE);
    service.wait("sweep", |service| !service.sweeps().is_empty());
    assert_eq!(service.sweeps()[0]["held"], "Suspended");
    world.set_live(&id(1), true);
    service.wait("restore", |_| world.root().join(id(1)).exists());
    assert_eq!(service.sweeps().len(), 1, "it did not wait for the next sweep");
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn a_sweep_steps_aside_for_what_is_needed_again() {
    let mut world = World::on_fuse();
    world.part("schedule", "{every: 1m}");
    world.workspace(&id(3), 30 * DAY);
    world.workspace("aaaaaaaa-0000-4000-8000-000000000000", 30 * DAY);
    world.spec_file();
    world.sweep();
    assert_eq!(world.quarantined_trees().len(), 1);
    world.workspace(&id(4), 30 * DAY);
    // The sweep goes on for as long as the test likes. A rename that hangs would keep everybody out of the root.
    let hang = world.fuse().control().on(Op::Fsync, "lock").times(1).hang();
    let mut service = Running::start(&world, &AT_ONCE);
    hang.wait_until_reached();
    world.set_live(&id(3), true);
    service.wait("request", |service| {
        service.lines().iter().any(|line| line["message"] == "a workspace is needed again: the sweep steps aside")
    });
    hang.release();
    service.wait("restore", |_| world.root().join(id(3)).exists());
    service.wait("next sweep", |service| service.sweeps().len() > 1);
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn a_spec_that_changes_is_taken_over_and_a_wrong_one_is_told_and_changes_nothing() {
    let mut world = orphans(1);
    world.part("mode", "Report");
    world.spec_file();
    let mut service = Running::start(&world, &AT_ONCE);
    service.wait("sweep", |service| !service.sweeps().is_empty());
    fs::write(world.path("spec.yaml"), "apiVersion: hygiene.dev/v1alpha1\nkind: Nonsense\n").unwrap();
    let told = |service: &Running, what: &str| {
        service.lines().iter().any(|line| line["message"].as_str().unwrap().contains(what))
    };
    service.wait("fault", |service| told(service, "cannot be taken over"));
    service.signal(Signal::HUP);
    service.wait("sweep by the old spec", |service| service.sweeps().len() > 1);
    world.part("mode", "Enforce");
    world.spec_file();
    service.wait("quarantining by the new spec", |_| !world.root().join(id(1)).exists());
    assert!(told(&service, "the resource's spec"));
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn a_source_that_fails_is_tried_again_and_the_loop_lives_on() {
    let world = orphans(1);
    world.spec_file();
    fs::rename(world.path("sessions.db"), world.path("away.db")).unwrap();
    let mut service = Running::start(&world, &AT_ONCE);
    service.wait("sweep", |service| !service.sweeps().is_empty());
    assert_eq!(service.sweeps()[0]["held"], "SourceUnavailable");
    fs::rename(world.path("away.db"), world.path("sessions.db")).unwrap();
    service.signal(Signal::HUP);
    service.wait("quarantining", |_| !world.root().join(id(1)).exists());
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn a_request_to_stop_is_heeded_before_the_next_call() {
    let mut world = World::on_fuse();
    world.part("schedule", "{every: 1m}");
    (1..=3).for_each(|n| drop(world.workspace(&id(n), 30 * DAY)));
    world.workspace("aaaaaaaa-0000-4000-8000-000000000000", 30 * DAY);
    world.spec_file();
    let hang = world.fuse().control().on(Op::Rename, &id(2)).times(1).hang();
    let mut service = Running::start(&world, &AT_ONCE);
    hang.wait_until_reached();
    service.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(300));
    hang.release();
    assert_eq!(service.child.wait().unwrap().code(), Some(0));
    assert!(world.root().join(id(3)).exists(), "a step was begun after the request");
}

#[test]
fn a_sweep_steps_aside_for_whoever_waits_for_the_volume_and_goes_on_afterwards() {
    let mut world = World::new();
    world.part("schedule", "{every: 1m}");
    world.part("quarantine", "{retention: 1s}");
    world.part("limits", "{purge: {entriesPerSecond: 10}, breaker: {maxOrphanPercent: 100}}");
    world.workspace("aaaaaaaa-0000-4000-8000-000000000000", 30 * DAY);
    let tree = world.workspace(&id(1), 30 * DAY);
    (0..300).for_each(|file| std::fs::write(tree.join(file.to_string()), "").unwrap());
    backdate(&tree, 30 * DAY);
    let spec = world.spec_file();
    let mut service = Running::start(&world, &AT_ONCE);
    service.wait("quarantining", |_| !world.root().join(id(1)).exists());
    world.workspace(&id(2), 30 * DAY);
    let purging = || {
        let folder = std::fs::read_dir(world.root().join(".hygiene/purging")).unwrap().next()?.unwrap().path();
        Some(std::fs::read_dir(folder.join("workspace")).map_or(0, Iterator::count))
    };
    std::thread::sleep(Duration::from_millis(1_100));
    service.signal(Signal::HUP);
    service.wait("purge", |_| purging().is_some_and(|left| left < 300));
    assert!(!world.root().join(id(2)).exists());
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hygiene"));
    command.args(["quarantine", "restore", &id(2), "--unsafe-short-times", "-f"]).arg(&spec);
    let output = command.env("HYGIENE_STATE_DIR", world.path("state")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(world.root().join(id(2)).exists());
    let left = purging().expect("it was not waited for");
    assert!(left > 0 && !world.root().join(".hygiene/wanted").exists());
    service.wait("going on", |_| purging().is_none_or(|now| now < left));
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn a_request_of_somebody_who_is_gone_makes_nobody_step_aside() {
    let mut world = World::new();
    world.part("schedule", "{every: 1m}");
    world.part("limits", "{purge: {entriesPerSecond: 10}, breaker: {maxOrphanPercent: 100}}");
    world.part("quarantine", "{retention: 1s}");
    world.workspace("aaaaaaaa-0000-4000-8000-000000000000", 30 * DAY);
    let tree = world.workspace(&id(1), 30 * DAY);
    (0..40).for_each(|file| std::fs::write(tree.join(file.to_string()), "").unwrap());
    backdate(&tree, 30 * DAY);
    world.spec_file();
    let mut service = Running::start(&world, &AT_ONCE);
    service.wait("quarantining", |_| !world.root().join(id(1)).exists());
    std::fs::write(world.root().join(".hygiene/wanted"), "{}").unwrap();
    std::thread::sleep(Duration::from_millis(1_100));
    service.signal(Signal::HUP);
    service.wait("purge", |service| service.sweeps().iter().any(|sweep| sweep["purged"] == 1));
    assert!(!service.lines().iter().any(|line| line["message"].as_str().unwrap().contains("steps aside")));
    assert_eq!(service.stop().code(), Some(0));
}

/// What `/healthz` answers: its status line, and its body.
#[cfg(feature = "test-hooks")]
fn health(address: &str) -> (String, serde_json::Value) {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: service\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), serde_json::from_str(body).unwrap())
}

#[cfg(feature = "test-hooks")]
#[test]
fn a_runtime_that_stands_still_is_told_and_recovers() {
    let world = orphans(1);
    world.spec_file();
    let mut service = Running::start(&world, &["--beat", "200ms", "--stale", "2s"]);
    service.wait("admin server", |service| service.address().is_some());
    let address = service.address().unwrap();
    service.wait("first report", |service| !service.sweeps().is_empty());
    let (status, body) = health(&address);
    assert!(status.contains("200") && body["event_loop"] == "ok", "{status} {body}");
    service.signal(Signal::USR1);
    let blocked = Instant::now();
    service.wait("503", |_| health(&address).0.contains("503"));
    let (_, body) = health(&address);
    assert!(blocked.elapsed() >= Duration::from_millis(1_500), "it was called stalled too early");
    assert_eq!((&body["event_loop"], &body["status"] != "ok"), (&"stalled".into(), true), "{body}");
    let (age, lag) = (body["last_tick_age_ms"].as_u64().unwrap(), body["event_loop_lag_ms"].as_u64().unwrap());
    assert!((2_000..7_000).contains(&age) && age - lag <= 200, "{body}");
    service.wait("recovery", |_| health(&address).0.contains("200"));
    assert!(blocked.elapsed() >= Duration::from_secs(5));
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn a_standard_output_that_nobody_reads_holds_nothing_up() {
    use std::io::Write;
    let world = orphans(1);
    let (_unread, mut full) = std::io::pipe().unwrap();
    // As much as a pipe holds (pipe(7)).
    full.write_all(&[b' '; 65_536]).unwrap();
    world.spec_file();
    let mut service = Running::of(&world, &["--startup-delay", "0s", "--metrics", "emf"], |command| {
        command.stdout(full);
    });
    for sweeps in 1..=5 {
        service.wait("sweep", |service| service.sweeps().len() >= sweeps);
        service.signal(Signal::HUP);
    }
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn one_off_commands_work_beside_it() {
    let mut world = World::fresh();
    world.part("schedule", "{every: 1m}");
    world.workspace(&id(1), 30 * DAY);
    world.workspace("aaaaaaaa-0000-4000-8000-000000000000", 30 * DAY);
    let spec = world.spec_file();
    let mut service = Running::start(&world, &AT_ONCE);
    let beside = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hygiene"));
        command
            .args(args)
            .args(["--unsafe-short-times", "-f"])
            .arg(&spec)
            .env("HYGIENE_STATE_DIR", world.path("state"));
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code(), text)
    };
    service.wait("hold", |service| service.sweeps().last().is_some_and(|sweep| sweep["held"] == "AwaitsApproval"));
    let (code, text) = beside(&["status", "-o", "json"]);
    assert_eq!(code, Some(0), "{text}");
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    let hash = status["hold"]["planHash"].as_str().unwrap().to_owned();
    let ready = status["conditions"].as_array().unwrap().iter().find(|one| one["type"] == "Ready").unwrap();
    assert_eq!(ready["status"], "True", "{text}");
    let (code, text) = beside(&["approve", &hash]);
    assert_eq!(code, Some(0), "{text}");
    service.signal(Signal::HUP);
    service.wait("quarantining", |_| !world.root().join(id(1)).exists());
    for args in [
        &["explain", "aaaaaaaa-0000-4000-8000-000000000000"] as &[_],
        &["journal"],
        &["status"],
        &["quarantine", "list"],
    ] {
        let (code, text) = beside(args);
        assert_eq!(code, Some(0), "{args:?}: {text}");
    }
    let (code, text) = beside(&["quarantine", "restore", &id(1), "--lock-timeout", "10s"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(world.root().join(id(1)).exists());
    assert_eq!(service.stop().code(), Some(0));
}
