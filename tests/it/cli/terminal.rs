//! On a terminal: colours, width, and the question before a purge. `script` (util-linux) makes the terminal.

use std::io::Write;
use std::process::{Command, Stdio};

use super::{BINARY, on, world_with};
use crate::world::{World, id};

/// What the terminal shows of a run, and its exit code. `input` is typed.
fn typed(world: &World, args: &str, environment: &[(&str, &str)], input: &str) -> (String, Option<i32>) {
    let spec = world.spec_file();
    let line = format!("stty cols 120; {BINARY} {args} -f {}", spec.display());
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("TERM", "xterm").env_remove("NO_COLOR");
    script.envs(environment.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = script.spawn().expect("script is part of util-linux");
    // The pipe stays open until the end: its end would be the terminal's end.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

#[test]
fn a_terminal_has_colours_unless_somebody_minds() {
    let world = world_with(1);
    let quarantine = "\x1b[33mQuarantine";
    let (shown, code) = typed(&world, "plan", &[], "");
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("\x1b[1mPlan for default/test\x1b[0m"), "{shown:?}");
    let coloured = |text: &str| text.contains("\x1b[33m") || text.contains("\x1b[38;5;");
    assert!(coloured(&shown), "{quarantine:?}: {shown:?}");
    for (args, environment) in
        [("plan", [("NO_COLOR", "1")]), ("plan", [("TERM", "dumb")]), ("plan --color never", [("A", "b")])]
    {
        let (shown, _) = typed(&world, args, &environment, "");
        assert!(!coloured(&shown) && !shown.contains("\x1b[1m"), "{args} {environment:?}: {shown:?}");
    }
}

#[test]
fn a_table_fits_the_terminal() {
    let world = world_with(1);
    let (shown, _) = typed(&world, "plan --color never --no-progress", &[], "");
    let longest =
        shown.lines().filter(|line| !line.contains("hygiene sweep -f")).map(|line| line.trim_end().chars().count());
    assert!(longest.max().unwrap() <= 120, "{shown}");
}

#[test]
fn a_purge_lists_what_goes_and_asks() {
    let world = world_with(2);
    on(&world, &["sweep"]).exits(0);
    let (shown, code) = typed(&world, "quarantine purge --all", &[], "no\n");
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains(&id(1)) && shown.contains(&id(2)), "{shown}");
    assert!(shown.contains("Remove 2 workspaces for ever") && shown.contains("nothing was purged"), "{shown}");
    assert_eq!(world.quarantined_trees().len(), 2);
    let (shown, code) = typed(&world, &format!("quarantine purge {}", id(1)), &[], "yes\n");
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(world.quarantined_trees().len(), 1);
}
