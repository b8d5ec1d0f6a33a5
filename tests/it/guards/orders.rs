//! Promise 11: current orders only.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use workspace_hygiene::orders::Orders;
use workspace_hygiene::plan::HoldReason;
use workspace_hygiene::records::AnswerKind;
use workspace_hygiene::sweep::SweepError;

use super::lock::sweep_and;
use super::{approved, fresh, holds, swept};
use crate::world::{DAY, World, change_time, id, manifest};

/// Orders that stand until they are withdrawn.
#[derive(Debug, Default)]
struct Withdrawn(AtomicBool);

impl Orders for Withdrawn {
    fn standing(&self) -> Result<(), String> {
        if self.0.load(Ordering::SeqCst) { Err("the spec changed".into()) } else { Ok(()) }
    }
}

#[test]
fn an_approval_that_is_taken_back_while_it_is_followed_is_not_left_and_a_dismissal_needs_no_orders() {
    let mut world = fresh(1);
    let hash = holds(&world, HoldReason::AwaitsApproval).observed.plan.hash;
    let orders = Arc::new(Withdrawn::default());
    world.orders = orders.clone();
    orders.0.store(true, Ordering::SeqCst);
    let refused = world.answer(AnswerKind::Approve, &hash).unwrap_err();
    assert!(matches!(refused, SweepError::Orders(_)), "{refused}");
    orders.0.store(false, Ordering::SeqCst);
    holds(&world, HoldReason::AwaitsApproval);
    assert!(world.root().join(id(1)).exists());
    orders.0.store(true, Ordering::SeqCst);
    world.answer(AnswerKind::Dismiss, &hash).unwrap();
}

#[test]
fn a_spec_that_changes_stops_the_running_sweep_before_its_next_step() {
    let mut world = approved(3);
    let before = manifest(&world.root());
    let unmoved = change_time(&world.root().join(id(1)));
    let orders = Arc::new(Withdrawn::default());
    world.orders = orders.clone();
    let acted = sweep_and(&world, move || orders.0.store(true, Ordering::SeqCst)).acted;
    assert_eq!((acted.quarantined.len(), acted.stopped, acted.errors.len()), (0, true, 1), "{acted:?}");
    assert_eq!(manifest(&world.root()), before);
    assert_eq!(change_time(&world.root().join(id(1))), unmoved);
}

#[test]
fn the_first_sweep_after_a_change_of_what_is_an_orphan_only_plans() {
    let mut world = approved(1);
    for change in [
        "{pattern: '^(?<session>[0-9A-Za-z-]{36})$', activity: Modified, minAge: 2h}",
        "{pattern: '^(?<session>[0-9A-Za-z-]{36})$', activity: Modified, minAge: 2h, keep: ['cccc*']}",
    ] {
        world.part("workspaces", change);
        let swept = holds(&world, HoldReason::SpecChanged);
        assert_eq!(swept.observed.plan.orphans, 1);
    }
    // How fast it goes is no question of what goes.
    world.part("limits", "{perSweep: 1}");
    assert_eq!(swept(&world).acted.quarantined, [id(1)]);
}

/// Runs the built binary, and edits its spec in the middle of a purge.
fn purge_meanwhile(edit: impl Fn(&World)) -> (String, usize) {
    let mut world = World::new();
    let path = world.workspace(&id(1), 60 * DAY);
    for n in 0..300 {
        fs::write(path.join(format!("file-{n}")), "x").unwrap();
    }
    crate::world::backdate(&path, 60 * DAY);
    world.workspace(&id(2), 59 * DAY);
    world.rewind(20 * DAY);
    assert_eq!(swept(&world).acted.quarantined.len(), 2);
    world.pass(20 * DAY);
    world.part("limits", "{purge: {entriesPerSecond: 100}}");
    let spec = world.spec_file();
    let child = Command::new(env!("CARGO_BIN_EXE_hygiene"))
        .args(["sweep", "--no-progress", "-o", "json", "-f"])
        .arg(&spec)
        .env("HYGIENE_STATE_DIR", world.path("state"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let purging = world.root().join(".hygiene/purging");
    let condemned = || fs::read_dir(&purging).map(|dir| dir.count()).unwrap_or(0);
    let begun = || {
        let trees = fs::read_dir(&purging).into_iter().flatten().flatten();
        let entries = |tree: fs::DirEntry| fs::read_dir(tree.path().join("workspace")).map_or(0, |dir| dir.count());
        let large: usize = trees.map(entries).sum();
        condemned() == 2 && large < 295
    };
    let started = Instant::now();
    while !begun() && started.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(10));
    }
    edit(&world);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    (String::from_utf8(output.stdout).unwrap(), condemned())
}

#[test]
fn a_spec_file_that_is_edited_or_deleted_in_mid_sweep_stops_it() {
    let (report, left) = purge_meanwhile(|world| {
        let spec = world.path("spec.yaml");
        let text = fs::read_to_string(&spec).unwrap();
        fs::write(&spec, text + "  suspend: true\n").unwrap();
    });
    assert!(report.contains("changed since the sweep began"), "{report}");
    assert_eq!(left, 2, "the tree that was begun is left as it is, within a second, and the next one is not begun");
    let (report, left) = purge_meanwhile(|world| fs::remove_file(world.path("spec.yaml")).unwrap());
    assert!(report.contains("there is no such file"), "{report}");
    assert_eq!(left, 2);
}
