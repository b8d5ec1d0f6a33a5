//! Trees that are not what a naive delete expects.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use workspace_hygiene::plan::{KeepReason, Verdict};
use workspace_hygiene::progress::{Progress, Unwatched};
use workspace_hygiene::stop::Stop;

use crate::world::{DAY, World, backdate, id, manifest};

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{program} is missing: {e}"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn quarantine_and_purge(world: &World) -> workspace_hygiene::act::Acted {
    assert_eq!(world.sweep().quarantined, [id(1)]);
    world.pass(8 * DAY);
    world.sweep()
}

#[test]
fn no_byte_and_no_name_outside_the_victim_changes() {
    let world = World::on_disk();
    let outside = world.path("outside");
    fs::create_dir_all(outside.join("deep")).unwrap();
    fs::write(outside.join("deep/file"), "precious").unwrap();
    let path = world.workspace(&id(1), 30 * DAY);
    symlink(&outside, path.join("to-dir")).unwrap();
    symlink(outside.join("deep/file"), path.join("to-file")).unwrap();
    symlink("..", path.join("up")).unwrap();
    symlink(".", path.join("self")).unwrap();
    fs::hard_link(outside.join("deep/file"), path.join("hard")).unwrap();
    fs::write(path.join(std::ffi::OsStr::from_bytes(b"new\nline \xff")), "").unwrap();
    run("mkfifo", &[path.join("fifo").to_str().unwrap()]);
    std::os::unix::net::UnixListener::bind(path.join("socket")).unwrap();
    backdate(&path, 30 * DAY);
    let before = manifest(&outside);
    let acted = quarantine_and_purge(&world);
    assert_eq!((acted.purged.as_slice(), acted.errors.as_slice()), ([id(1)].as_slice(), [].as_slice()));
    assert_eq!(manifest(&outside), before);
    assert!(!path.exists());
}

/// Unmounts when dropped, also when the test fails.
struct Mount(std::path::PathBuf);

impl Mount {
    fn bind(from: &Path, to: &Path) -> Self {
        run("mount", &["--bind", from.to_str().unwrap(), to.to_str().unwrap()]);
        Self(to.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run("umount", &[self.0.to_str().unwrap()]);
    }
}

#[test]
fn a_bind_mount_inside_a_workspace_keeps_it() {
    let world = World::new();
    let (outside, path) = (world.path("outside"), world.workspace(&id(1), 30 * DAY));
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "precious").unwrap();
    fs::create_dir(path.join("mnt")).unwrap();
    backdate(&path, 30 * DAY);
    backdate(&outside, 30 * DAY);
    {
        let _mount = Mount::bind(&outside, &path.join("mnt"));
        assert_eq!(world.sweep().quarantined.len(), 0);
        let verdicts = world.plan().plan.verdicts;
        // Remembered since the sweep, so that it does not cost a walk each time.
        assert!(verdicts.iter().any(|v| matches!(v, Verdict::Keep(KeepReason::BackOff(_)))), "{verdicts:?}");
    }
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "precious");
}

#[test]
fn a_bind_mount_over_a_file_or_over_the_workspace_itself_keeps_it() {
    let world = World::new();
    let (file, other) = (world.workspace(&id(1), 30 * DAY), world.workspace(&id(2), 30 * DAY));
    let outside = world.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "precious").unwrap();
    backdate(&outside, 30 * DAY);
    let _over_file = Mount::bind(&outside.join("file"), &file.join("README"));
    let _over_root = Mount::bind(&outside, &other);
    let verdicts = world.plan().plan.verdicts;
    assert!(verdicts.contains(&Verdict::Keep(KeepReason::MountPointInside("README".into()))), "{verdicts:?}");
    assert!(verdicts.contains(&Verdict::Keep(KeepReason::MountPoint)), "{verdicts:?}");
}

/// Asks the sweep to stop when the purge begins, so that a condemned tree is left.
struct StopBeforePurge(Stop);

impl Progress for StopBeforePurge {
    fn begin(&self, what: &'static str, _: Option<u64>) {
        if what == "purging" {
            self.0.request();
        }
    }

    fn advance(&self, _: u64) {}

    fn end(&self) {}
}

/// A world whose one orphan was condemned and is still there whole, and the folder it is in.
fn condemned_and_not_purged() -> (World, PathBuf) {
    let mut world = World::on_disk();
    let path = world.workspace(&id(1), 30 * DAY);
    fs::create_dir(path.join("mnt")).unwrap();
    backdate(&path, 30 * DAY);
    assert_eq!(world.sweep().quarantined.len(), 1);
    world.pass(8 * DAY);
    world.progress = Arc::new(StopBeforePurge(world.stop.clone()));
    let acted = world.sweep();
    assert_eq!((acted.condemned.len(), acted.purged.len(), acted.stopped), (1, 0, true));
    (world.stop, world.progress) = (Stop::default(), Arc::new(Unwatched));
    let folder = fs::read_dir(world.root().join(".hygiene/purging")).unwrap().next().unwrap().unwrap().path();
    (world, folder)
}

#[test]
fn a_mount_that_appears_in_a_condemned_tree_stops_its_purge_and_is_named() {
    let (world, folder) = condemned_and_not_purged();
    let outside = world.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "precious").unwrap();
    let mount = Mount::bind(&outside, &folder.join("workspace/mnt"));
    let acted = world.sweep();
    assert_eq!(acted.purged.len(), 0);
    assert!(acted.errors.iter().any(|e| e.message.contains("workspace/mnt")), "{acted:?}");
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "precious");
    drop(mount);
    assert_eq!(world.sweep().purged, [id(1)]);
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "precious");
}

#[test]
fn what_the_journal_does_not_call_condemned_is_not_purged() {
    let (world, folder) = condemned_and_not_purged();
    // Somebody's directory, moved to where we purge; and another tree in place of the one that was condemned.
    let strange = folder.with_file_name("strange");
    fs::create_dir_all(strange.join("workspace")).unwrap();
    fs::rename(folder.join("workspace"), world.path("aside")).unwrap();
    fs::create_dir(folder.join("workspace")).unwrap();
    fs::write(folder.join("workspace/precious"), "").unwrap();
    let acted = world.sweep();
    assert_eq!((acted.purged.len(), acted.errors.len()), (0, 2), "{acted:?}");
    assert!(strange.join("workspace").exists() && folder.join("workspace/precious").exists());
}

#[test]
fn a_volume_inside_a_workspace_keeps_it() {
    let world = World::new();
    let path = world.workspace(&id(1), 30 * DAY);
    fs::create_dir_all(path.join("volume/.hygiene/journal")).unwrap();
    backdate(&path, 30 * DAY);
    let verdicts = world.plan().plan.verdicts;
    let reason = KeepReason::NestedVolume("volume/.hygiene".into());
    assert!(verdicts.contains(&Verdict::Keep(reason)), "{verdicts:?}");
}

#[test]
fn a_tree_too_deep_to_be_seen_whole_stays_and_a_deep_one_goes() {
    let world = World::new();
    for (n, depth) in [(1, 1_000), (2, 1_600)] {
        let mut path = world.workspace(&id(n), 30 * DAY);
        let dir = rustix::fs::open(&path, rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
        let mut dir = dir;
        for _ in 0..depth {
            rustix::fs::mkdirat(&dir, "d", rustix::fs::Mode::RWXU).unwrap();
            let below = rustix::fs::openat(&dir, "d", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
            backdate_fd(&below);
            backdate_fd(&dir);
            dir = below;
        }
        path.pop();
    }
    let acted = quarantine_and_purge(&world);
    assert_eq!((acted.purged.as_slice(), acted.errors.as_slice()), ([id(1)].as_slice(), [].as_slice()));
    assert!(world.root().join(id(2)).exists());
}

fn backdate_fd(dir: &std::os::fd::OwnedFd) {
    let then = rustix::fs::Timespec { tv_sec: 1_600_000_000, tv_nsec: 0 };
    rustix::fs::futimens(dir, &rustix::fs::Timestamps { last_access: then, last_modification: then }).unwrap();
}

#[test]
fn read_only_directories_are_no_obstacle_to_the_owner() {
    let world = World::new();
    let path = world.workspace(&id(1), 30 * DAY);
    fs::set_permissions(path.join("src/deep"), fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(path.join("src"), fs::Permissions::from_mode(0o500)).unwrap();
    assert_eq!(quarantine_and_purge(&world).purged, [id(1)]);
}

#[test]
fn a_folder_of_ours_that_is_not_ours_alone_holds_everything() {
    let world = World::new();
    world.workspace(&id(1), 30 * DAY);
    fs::create_dir(world.root().join(".hygiene")).unwrap();
    fs::set_permissions(world.root().join(".hygiene"), fs::Permissions::from_mode(0o755)).unwrap();
    let error = world.try_sweep(world.sources()).unwrap_err().to_string();
    assert!(error.contains("has mode 0755"), "{error}");
    let held = world.plan().plan.held.unwrap();
    assert!(held.message.contains("has mode 0755"), "{}", held.message);
    fs::remove_dir(world.root().join(".hygiene")).unwrap();
    let elsewhere = world.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, world.root().join(".hygiene")).unwrap();
    let error = world.try_sweep(world.sources()).unwrap_err().to_string();
    assert!(error.contains("is no directory"), "{error}");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
}

#[test]
fn an_entry_of_the_quarantine_that_is_not_as_we_left_it_is_never_condemned() {
    let world = World::on_disk();
    world.workspace(&id(1), 30 * DAY);
    world.workspace(&id(2), 31 * DAY);
    assert_eq!(world.sweep().quarantined.len(), 2);
    let trees = world.quarantined_trees();
    // One tree replaced by another, one sidecar cut short; and a folder that was never ours.
    fs::rename(&trees[0], world.path("aside")).unwrap();
    fs::create_dir(&trees[0]).unwrap();
    fs::write(trees[1].parent().unwrap().join("entry.json"), "{").unwrap();
    fs::create_dir_all(world.root().join(".hygiene/quarantine/strange/workspace")).unwrap();
    world.pass(30 * DAY);
    let acted = world.sweep();
    assert_eq!((acted.condemned.len(), acted.purged.len(), acted.restored.len()), (0, 0, 0), "{acted:?}");
    assert!(trees.iter().all(|tree| tree.exists()));
    assert!(world.plan().plan.quarantine.iter().all(|entry| entry.decision.reason() == "Damaged"));
}
