//! Whether servers end with a test process that is killed.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::process::{is_alive, wait_for};

const TO_BE_KILLED: &str = "SERVERS_TO_BE_KILLED";

/// Runs the test that calls this, `name`, in a process of its own, where it starts servers and tells their pids. Kills that
/// process, and sees that the servers end and that their files go.
pub fn end_with_a_killed_process<T>(name: &str, start: impl FnOnce() -> (T, Vec<u32>)) {
    if std::env::var_os(TO_BE_KILLED).is_some() {
        let (_servers, pids) = start();
        let pids: Vec<_> = pids.iter().map(u32::to_string).collect();
        println!("\npids {}", pids.join(" "));
        std::io::stdin().read_line(&mut String::new()).unwrap();
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let mut tests = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", name])
        .env("TMPDIR", dir.path())
        .env(TO_BE_KILLED, "")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tests.stdout.take().unwrap()).lines();
    let pids = lines.find_map(|line| Some(line.unwrap().strip_prefix("pids ")?.to_owned())).expect("pids");
    let pids: Vec<u32> = pids.split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert!(pids.iter().all(|pid| is_alive(*pid)), "{pids:?}");
    assert!(files(dir.path()) > 0);
    tests.kill().unwrap();
    tests.wait().unwrap();
    wait_for("the servers to end", || !pids.iter().any(|pid| is_alive(*pid)));
    wait_for("their folders to go", || files(dir.path()) == 0);
}

fn files(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}
