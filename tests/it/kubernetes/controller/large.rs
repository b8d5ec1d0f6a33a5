//! A status of a volume that holds much.

use std::fs;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use super::process::Controller;
use super::{apply, condition, in_namespace, namespace, status, wait};
use crate::world::{DAY, World};

const MANY: u32 = 100_000;

#[test]
fn a_status_stays_below_8_kib_with_a_hundred_thousand_orphans() {
    // It is in the messages, and as long as it can be.
    let namespace = namespace(&"large".repeat(11));
    let mut world = in_namespace(World::on_tmpfs(), &namespace);
    world.part("mode", "Enforce");
    world.part("workspaces", "{pattern: '^(?<session>.{1,255})$', activity: Modified}");
    world.workspace("aaaaaaaa-0000-4000-8000-000000000000", 30 * DAY);
    // The first in order are as long as names can be, and twice that in JSON.
    let name = |n: u32| if n < 20 { format!("{}{n:06}", "\"\\".repeat(124)) } else { format!("{n:06}") };
    let long_ago = (jiff::Timestamp::now() - jiff::SignedDuration::from_hours(30 * 24)).as_second();
    let time = Timespec { tv_sec: long_ago, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    for n in 0..MANY {
        let path = world.root().join(name(n));
        fs::create_dir(&path).unwrap();
        utimensat(CWD, &path, &times, AtFlags::empty()).unwrap();
    }
    // One of each kind, so that many are counted.
    world.workspace("young", DAY / 2);
    world.workspace("AAAAAAAA-0000-4000-8000-000000000000", 30 * DAY);
    fs::write(world.root().join("file"), "").unwrap();
    std::os::unix::fs::symlink("file", world.root().join("link")).unwrap();
    fs::write(world.workspace("kept", 30 * DAY).join(".hygiene-keep"), "").unwrap();
    apply(&world);
    let mut controller = Controller::start(&world, &namespace, &["--leader-elect", "false"]);
    wait("hold", &mut controller, || status(&namespace)["hold"]["reason"] == "TooManyOrphans");
    // Which says that it is at most 8 KiB.
    let seen = status(&namespace);
    assert_eq!(seen["lastSweep"]["orphans"], MANY, "{seen}");
    assert_eq!(condition(&seen, "Ready")["status"], "True", "{seen}");
    let samples = seen["orphans"].as_array().unwrap().len();
    assert!((1..10).contains(&samples), "all ten samples would be too much: {seen}");
    assert_eq!(controller.stop().code(), Some(0));
}
