//! The life of a resource.

use std::time::Duration;

use super::{
    Controller, annotate, apply, cluster, condition, events, in_namespace, namespace, object, patch, status, wait,
};
use crate::fuse::Op;
use crate::world::{DAY, World, id, manifest};

const LIVE: &str = "aaaaaaaa-0000-4000-8000-000000000000";

fn world(namespace: &str, orphans: u32) -> World {
    let mut world = in_namespace(World::new(), namespace);
    world.part("mode", "Report");
    world.workspace(LIVE, 30 * DAY);
    (1..=orphans).for_each(|n| drop(world.workspace(&id(n), 30 * DAY)));
    world
}

#[test]
fn a_resource_is_reported_enforced_restored_suspended_and_deleted() {
    let namespace = namespace("life");
    let mut world = world(&namespace, 2);
    apply(&world);
    let before = manifest(&world.root());
    let mut controller = Controller::start(&world, &namespace, &["--leader-elect", "false"]);
    cluster().admin(&["-n", &namespace, "wait", "--for=condition=Ready", "--timeout=60s", "wsh/test"]);
    let seen = status(&namespace);
    assert_eq!((&seen["lastSweep"]["orphans"], &seen["lastSweep"]["quarantined"]), (&2.into(), &0.into()), "{seen}");
    assert_eq!(condition(&seen, "DeletionAllowed")["reason"], "ReportMode");
    assert_eq!((condition(&seen, "Stalled"), condition(&seen, "Reconciling")), (&().into(), &().into()));
    assert_eq!(seen["orphans"].as_array().unwrap().len(), 2);
    assert_eq!(manifest(&world.root()), before);
    let printed = cluster().admin(&["-n", &namespace, "get", "wsh", "test"]);
    assert!(printed.contains("Report") && printed.contains("True"), "{printed}");
    let managers = object(&namespace, "test")["metadata"]["managedFields"].to_string();
    assert!(!managers.contains("hygiene\""), "managed fields are not shown by default: {managers}");

    // Nothing changes and nothing is asked: nothing is written.
    let version = || object(&namespace, "test")["metadata"]["resourceVersion"].clone();
    let at_rest = version();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(version(), at_rest);

    world.part("mode", "Enforce");
    apply(&world);
    wait("quarantining", &mut controller, || !world.root().join(id(1)).exists() && !world.root().join(id(2)).exists());
    wait("status", &mut controller, || status(&namespace)["quarantine"]["directories"] == 2);
    let seen = status(&namespace);
    assert_eq!(
        (&seen["observedGeneration"], &condition(&seen, "Ready")["status"]),
        (&2.into(), &"True".into()),
        "{seen}"
    );
    wait("event", &mut controller, || events(&namespace).iter().any(|(reason, _)| reason == "Quarantined"));

    world.set_live(&id(1), true);
    wait("restore", &mut controller, || world.root().join(id(1)).exists());

    patch(&namespace, r#"{"spec":{"suspend":true}}"#);
    wait("suspension", &mut controller, || status(&namespace)["hold"]["reason"] == "Suspended");
    patch(&namespace, r#"{"spec":{"suspend":false}}"#);
    wait("resumption", &mut controller, || {
        let seen = status(&namespace);
        seen["observedGeneration"] == 4 && seen["hold"]["reason"] != "Suspended"
    });

    annotate(&namespace, "hygiene.dev/sweep-requested-at=2026-01-02T03:04:05Z");
    wait("answer", &mut controller, || status(&namespace)["lastHandledSweepRequest"] == "2026-01-02T03:04:05Z");

    let before = manifest(&world.root());
    let in_quarantine = world.quarantined_trees();
    assert_eq!(in_quarantine.len(), 1);
    cluster().admin(&["-n", &namespace, "delete", "wsh", "test", "--timeout=10s"]);
    wait("event", &mut controller, || {
        events(&namespace)
            .iter()
            .any(|(reason, note)| reason == "Deleted" && note.contains("in .hygiene/quarantine: 1 workspace;"))
    });
    assert_eq!((manifest(&world.root()), world.quarantined_trees()), (before, in_quarantine));
    assert_eq!(controller.stop().code(), Some(0));
}

#[test]
fn a_resource_that_is_changed_or_deleted_stops_its_sweep_before_the_next_step() {
    for deleted in [false, true] {
        let namespace = namespace("orders");
        let mut world = in_namespace(World::on_fuse(), &namespace);
        world.workspace(LIVE, 30 * DAY);
        (1..=3).for_each(|n| drop(world.workspace(&id(n), 30 * DAY)));
        world.part("mode", "Enforce");
        apply(&world);
        let hang = world.fuse().control().on(Op::Rename, &id(2)).times(1).hang();
        let mut controller = Controller::start(&world, &namespace, &["--leader-elect", "false"]);
        hang.wait_until_reached();
        match deleted {
            false => patch(&namespace, r#"{"spec":{"suspend":true}}"#),
            true => drop(cluster().admin(&["-n", &namespace, "delete", "wsh", "test"])),
        }
        std::thread::sleep(Duration::from_secs(2));
        hang.release();
        match deleted {
            false => wait("suspension", &mut controller, || status(&namespace)["hold"]["reason"] == "Suspended"),
            true => std::thread::sleep(Duration::from_secs(2)),
        }
        assert!(world.root().join(id(3)).exists(), "a step was begun after the orders changed");
        assert_eq!(controller.stop().code(), Some(0));
    }
}

#[test]
fn one_that_was_made_again_with_the_same_name_in_the_middle_of_a_sweep_gets_a_sweep_of_its_own() {
    let namespace = namespace("anew");
    let mut world = in_namespace(World::on_fuse(), &namespace);
    world.workspace(LIVE, 30 * DAY);
    (1..=3).for_each(|n| drop(world.workspace(&id(n), 30 * DAY)));
    world.part("mode", "Enforce");
    apply(&world);
    let hang = world.fuse().control().on(Op::Rename, &id(2)).times(1).hang();
    let mut controller = Controller::start(&world, &namespace, &["--leader-elect", "false"]);
    hang.wait_until_reached();
    cluster().admin(&["-n", &namespace, "delete", "wsh", "test"]);
    world.part("mode", "Report");
    apply(&world);
    let uid = object(&namespace, "test")["metadata"]["uid"].clone();
    // It waits for the volume then.
    controller.wait("the new one", |controller| {
        controller.said("the resource is swept", "uid").iter().any(|swept| uid == swept.as_str())
    });
    hang.release();
    wait("its report", &mut controller, || condition(&status(&namespace), "Ready")["reason"] == "Swept");
    let seen = status(&namespace);
    assert_eq!(condition(&seen, "DeletionAllowed")["reason"], "ReportMode", "{seen}");
    assert!(world.root().join(id(3)).exists(), "a step was begun for one that is gone");
    assert_eq!((&seen["observedGeneration"], &object(&namespace, "test")["metadata"]["uid"]), (&1.into(), &uid));
    assert_eq!(controller.stop().code(), Some(0));
}

#[test]
fn one_that_was_made_again_with_the_same_name_is_another_one() {
    let namespace = namespace("again");
    let world = world(&namespace, 1);
    apply(&world);
    let mut controller = Controller::start(&world, &namespace, &["--leader-elect", "false"]);
    wait("report", &mut controller, || status(&namespace)["lastSweep"]["orphans"] == 1);
    annotate(&namespace, "hygiene.dev/sweep-requested-at=once");
    wait("answer", &mut controller, || status(&namespace)["lastHandledSweepRequest"] == "once");
    let uid = object(&namespace, "test")["metadata"]["uid"].clone();
    cluster().admin(&["-n", &namespace, "delete", "wsh", "test"]);
    apply(&world);
    wait("report", &mut controller, || condition(&status(&namespace), "Ready")["status"] == "True");
    assert_ne!(object(&namespace, "test")["metadata"]["uid"], uid);
    assert!(
        status(&namespace).get("lastHandledSweepRequest").is_none(),
        "nobody asked this one: {}",
        status(&namespace)
    );
    assert_eq!(controller.stop().code(), Some(0));
}
