//! Standard output holds the result and nothing else; colours only where they are wanted.

use std::process::Stdio;

use super::{Ran, command, command_in, on, world_with};

const ESCAPE: char = '\x1b';

#[test]
fn no_colour_without_a_terminal_unless_it_is_asked_for() {
    let world = world_with(1);
    assert!(!on(&world, &["plan"]).exits(0).stdout.contains(ESCAPE));
    assert!(on(&world, &["plan", "--color", "always"]).exits(0).stdout.contains(ESCAPE));
    assert!(!on(&world, &["plan", "--color", "always", "-o", "json"]).exits(0).stdout.contains(ESCAPE));
}

#[test]
fn the_log_goes_to_standard_error() {
    let world = world_with(2);
    let ran = on(&world, &["sweep", "-o", "json", "--log-level", "info", "--log-format", "json"]).exits(0);
    assert_eq!(ran.json()["kind"], "SweepReport");
    let events: Vec<serde_json::Value> = ran.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let quarantined = events.iter().filter(|event| event["message"] == "quarantined").count();
    assert_eq!(quarantined, 2, "{}", ran.stderr);
}

#[test]
fn a_command_is_quiet_unless_something_is_wrong() {
    let world = world_with(1);
    assert_eq!(on(&world, &["sweep"]).exits(0).stderr, "");
    let spec = world.spec_file();
    let output = command(&["plan", "-f", spec.to_str().unwrap()]).env("HYGIENE_LOG", "loud").output().unwrap();
    let ran = Ran::from(output).exits(2);
    assert!(ran.stderr.contains("off, error, warn, info, debug or trace"), "{}", ran.stderr);
}

#[test]
fn what_is_logged_is_said_by_the_option_or_else_by_rust_log() {
    for (variable, args, logged) in [
        ("warn", &[][..], ""),
        ("workspace_hygiene=info", &[], "INFO quarantined"),
        ("info", &["--log-level", "error"], ""),
        ("loud=very", &[], "RUST_LOG: loud=very"),
    ] {
        let world = world_with(1);
        let spec = world.spec_file();
        let mut all = vec!["sweep", "-f", spec.to_str().unwrap()];
        all.extend(args);
        let ran = Ran::from(command_in(&world, &all).env("RUST_LOG", variable).output().unwrap()).exits(0);
        let found = if logged.is_empty() { ran.stderr.is_empty() } else { ran.stderr.contains(logged) };
        assert!(found, "{variable} {args:?}: {}", ran.stderr);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let world = world_with(1);
    let spec = world.spec_file();
    let spec = spec.to_str().unwrap();
    for args in [&["plan", "-f", spec, "-o", "json"][..], &["plan", "-f", spec], &["completions", "bash"], &["man"]] {
        let mut child = command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn a_full_disk_below_standard_output_is_a_failure() {
    let world = world_with(1);
    let spec = world.spec_file();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ran = command(&["plan", "-f", spec.to_str().unwrap()]).stdout(full).output().unwrap();
    let ran = Ran::from(ran).exits(1);
    assert!(ran.stderr.contains("standard output cannot be written"), "{}", ran.stderr);
}

#[test]
fn a_name_cannot_steer_the_terminal() {
    let world = world_with(0);
    std::fs::write(world.root().join("evil\x1b[2J\nname"), "").unwrap();
    let ran = on(&world, &["plan"]).exits(0);
    assert!(!ran.stdout.contains(ESCAPE), "{}", ran.stdout);
    assert!(ran.stdout.contains(r"evil\u{1b}[2J\nname"), "{}", ran.stdout);
    let json = on(&world, &["plan", "-o", "json"]).exits(0).json();
    assert_eq!(super::verdict(&json, "evil\x1b[2J\nname"), "Keep ForeignName");
}
