//! `hygiene purge`: trees by name.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Ran, command};
use crate::world::World;

fn tree(folder: &Path, name: &str, files: u32) -> PathBuf {
    let path = folder.join(name);
    for n in 0..files {
        let dir = path.join(format!("{}/{}", n % 7, n % 3));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(format!("file-{n}")), vec![1; 5_000]).unwrap();
    }
    path
}

fn purge(state: &Path, args: &[&Path], more: &[&str]) -> Command {
    let mut purge = command(&["purge"]);
    purge.args(args).args(more).arg("--state-dir").arg(state).stdin(Stdio::null());
    purge
}

fn ran(command: &mut Command) -> Ran {
    Ran::from(command.output().unwrap())
}

#[test]
fn trees_go_whole_are_summed_up_and_noted_in_a_journal() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let (one, two, state) = (tree(&folder, "one", 50), tree(&folder, "two", 30), folder.join("state"));
    let summary = ran(&mut purge(&state, &[&one, &two], &["--yes", "-o", "json"])).exits(0).json();
    assert!(!one.exists() && !two.exists());
    assert_eq!(summary["entries"], 50 + 30 + 2 * (1 + 7 + 21));
    assert_eq!(summary["trees"][1]["path"], two.to_str().unwrap());
    assert!(summary["bytes"].as_u64().unwrap() >= 80 * 5_000);
    assert!(summary["calls"].as_u64().unwrap() > 138 && summary["peakConcurrency"].as_u64().unwrap() >= 1);
    let journal = fs::read_to_string(state.join("purges.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["begun", "ended", "begun", "ended"]);
    assert_eq!((&lines[1]["path"], &lines[1]["removed"]), (&one.to_str().unwrap().into(), &true.into()));
    let three = tree(&folder, "three", 10);
    let text = ran(&mut purge(&state, &[&three], &["--yes", "--no-sizes", "--concurrency", "2"])).exits(0).stdout;
    assert!(text.contains("three: removed; 28 entries in "), "{text}");
}

#[test]
fn what_must_not_go_is_refused_and_then_nothing_goes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let (good, state) = (tree(&folder, "good", 3), folder.join("state"));
    let refused = |path: &Path, change: &dyn Fn(&mut Command), part: &str| {
        let mut purge = purge(&state, &[&good, path], &["--yes"]);
        change(&mut purge);
        let ran = ran(&mut purge).exits(2);
        assert!(ran.stderr.contains(part) && ran.stderr.contains("nothing was removed"), "{part}: {}", ran.stderr);
        assert!(good.exists());
    };
    let as_it_is = |_: &mut Command| ();
    refused(Path::new("/"), &as_it_is, "is the root of everything");
    refused(Path::new("/proc"), &as_it_is, "is a mount point");
    let home = tree(&folder, "home/me", 3);
    for spared in [&home, home.parent().unwrap()] {
        refused(spared, &|purge| _ = purge.env("HOME", &home), "is or holds your home");
        refused(spared, &|purge| _ = purge.current_dir(&home), "is or holds the working directory");
    }
    std::os::unix::fs::symlink(&home, folder.join("link")).unwrap();
    refused(&folder.join("link"), &as_it_is, "leads over a symlink");
    refused(&folder.join("link/0"), &as_it_is, "leads over a symlink");
    refused(&folder.join("good/../home"), &as_it_is, "leads over a symlink or `..`");
    refused(&folder.join("none"), &as_it_is, "No such file");
    fs::write(folder.join("file"), "x").unwrap();
    refused(&folder.join("file"), &as_it_is, "is no directory");
    let mounted = folder.join("mounted");
    fs::create_dir(&mounted).unwrap();
    rustix::mount::mount_bind(&home, &mounted).unwrap();
    refused(&mounted, &as_it_is, "is a mount point");
    rustix::mount::unmount(&mounted, rustix::mount::UnmountFlags::DETACH).unwrap();
    let world = World::new();
    world.workspace(&crate::world::id(1), crate::world::DAY);
    world.spec_file();
    let root = world.root().canonicalize().unwrap();
    for managed in [root.clone(), root.join(crate::world::id(1)), root.join(".hygiene/quarantine")] {
        refused(&managed, &as_it_is, "which sweeps clean; use hygiene quarantine purge");
    }
    // Nobody can be asked, and nobody said yes.
    let asked = ran(&mut purge(&state, &[&good], &[])).exits(2);
    assert!(asked.stderr.contains("give --yes"), "{}", asked.stderr);
    assert!(good.exists());
}

/// SIGTERM ends it before its next call, SIGKILL at any moment: the same command finishes what is left.
#[test]
fn however_it_ends_the_next_one_finishes_and_what_is_beside_stays() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let state = folder.join("state");
    let beside = tree(&folder, "beside", 20);
    let before = crate::world::manifest(&beside);
    for round in 0..20_u64 {
        let path = tree(&folder, "tree", 400);
        let mut purge = purge(&state, &[&path], &["--yes", "--entries-per-second", "400", "-o", "json"]);
        let mut child = purge.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(20 + 17 * round));
        let pid = rustix::process::Pid::from_child(&child);
        if round % 4 == 0 {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
            let begun = Instant::now();
            let code = child.wait().unwrap().code();
            assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
            // It may have been done by then, or not yet have taken the signal into its own hands.
            assert!(matches!(code, Some(0 | 1) | None), "{code:?}");
        } else {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(crate::world::manifest(&beside), before, "round {round}");
        if path.exists() {
            ran(&mut self::purge(&state, &[&path], &["--yes"])).exits(0);
        }
        assert!(!path.exists());
    }
}

/// Most memory of `hygiene purge`, in KiB, for a directory of so many files: the kernel's own high-water mark.
fn memory_for(files: u64) -> u64 {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let tree = folder.path().join("tree");
    fs::create_dir(&tree).unwrap();
    (0..files).for_each(|n| drop(fs::File::create(tree.join(n.to_string())).unwrap()));
    let mut purge = purge(&folder.path().join("state"), &[&tree], &["--yes", "--no-sizes"]);
    let mut purge = purge.stdout(Stdio::null()).spawn().unwrap();
    let mut most = 0;
    let status = loop {
        let text = fs::read_to_string(format!("/proc/{}/status", purge.id())).unwrap_or_default();
        let peak =
            text.lines().find_map(|line| line.strip_prefix("VmHWM:")).map(|kib| kib.trim_end_matches("kB").trim());
        most = most.max(peak.map_or(0, |kib| kib.parse().unwrap()));
        if let Some(status) = purge.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    assert!(status.success() && !tree.exists());
    most
}

#[test]
fn memory_does_not_grow_with_the_entries_of_a_directory() {
    const SLACK: u64 = 8 * 1024;
    let (few, many) = (memory_for(20_000), memory_for(200_000));
    assert!(few > 0 && many <= few + SLACK, "{few} KiB for 20 000 entries, {many} KiB for 200 000");
}
