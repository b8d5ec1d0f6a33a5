//! A leader that something happens to while it takes one step after the other, and another controller that waits: no step after
//! the lease could have run out, and nothing is lost.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustix::process::Signal;

use super::super::proxy::Proxy;
use super::history::{assert_nothing_is_lost, assert_steps_in_terms, by, journal, trusted_until};
use super::process::Controller;
use super::{USER, annotate, apply, cluster, in_namespace, namespace, wait, wait_for_retention};
use crate::fuse::Op;
use crate::world::{DAY, World, backdate, id};

const LEASE: Duration = Duration::from_secs(3);
const ELECT: [&str; 2] = ["--lease-duration", "3s"];
// More than are moved until the other one leads, also on a machine that is busy.
const ORPHANS: u32 = 60;

/// A leader at work behind a proxy, and one that waits for its turn.
struct Scene {
    // Before the folder that their logs are in, and so dropped before it.
    first: Controller,
    second: Controller,
    proxy: Proxy,
    world: World,
    namespace: String,
}

impl Scene {
    fn new(purpose: &str) -> Self {
        let namespace = namespace(purpose);
        let mut world = in_namespace(World::on_fuse(), &namespace);
        world.part("mode", "Enforce");
        world.part("limits", "{perSweep: 100, breaker: {maxOrphans: 100, maxOrphanPercent: 100}}");
        world.workspace("aaaaaaaa-0000-4000-8000-000000000000", 30 * DAY);
        (1..=ORPHANS).for_each(|n| drop(world.workspace(&id(n), 30 * DAY)));
        // A step every third of a second: some fall into each part of a lease.
        world.fuse().control().set_latency_of(Op::Rename, LEASE / 9);
        apply(&world);
        let proxy = Proxy::start(cluster(), USER);
        let mut first = Controller::start_for(proxy.kubeconfig(), &world, &namespace, &ELECT);
        wait("first steps", &mut first, || world.quarantined_trees().len() > 1);
        let second = Controller::start(&world, &namespace, &ELECT);
        Self { world, namespace, first, second, proxy }
    }

    /// The other goes on with what is left, and both kept to their terms.
    fn comes_to_its_end(mut self) {
        let left = |world: &World| (1..=ORPHANS).filter(|n| world.root().join(id(*n)).exists()).count();
        self.second.wait("takeover", leads);
        let moved = journal(&self.world).len();
        assert!(left(&self.world) > 0, "all was done before the takeover, after {moved} records");
        self.world.fuse().control().set_latency_of(Op::Rename, Duration::ZERO);
        // It may have waited for the lock on the volume until this was over.
        annotate(&self.namespace, "hygiene.dev/sweep-requested-at=rest");
        wait("the rest", &mut self.second, || left(&self.world) == 0);
        let records = journal(&self.world);
        let steps = [&self.first, &self.second].map(|one| by(&records, one).len());
        assert!(steps.iter().all(|steps| *steps > 0), "{steps:?}");
        let folder = cluster().folder();
        assert_steps_in_terms(&self.world, folder, &self.namespace, &[&self.first, &self.second]);
        assert_nothing_is_lost(&self.world, &(1..=ORPHANS).map(id).collect::<Vec<_>>());
        assert_eq!(self.second.stop().code(), Some(0));
    }
}

fn leads(controller: &Controller) -> bool {
    !controller.said("leading", "identity").is_empty()
}

#[test]
fn a_leader_that_is_killed_leaves_nothing_half_done() {
    let mut scene = Scene::new("killed");
    scene.first.child.kill().unwrap();
    scene.first.child.wait().unwrap();
    scene.comes_to_its_end();
}

#[test]
fn a_leader_that_is_stopped_between_any_two_steps_goes_on_with_none() {
    let scene = Scene::new("stopped");
    scene.first.signal(Signal::STOP);
    // Nothing else tells that two lease times are over.
    std::thread::sleep(LEASE * 2);
    assert!(leads(&scene.second));
    scene.first.signal(Signal::CONT);
    scene.comes_to_its_end();
}

#[test]
fn a_leader_that_is_cut_off_stops_by_itself() {
    let scene = Scene::new("cut");
    scene.proxy.cut();
    scene.comes_to_its_end();
}

#[test]
fn a_leader_whose_network_comes_and_goes_stays_within_its_terms() {
    let mut scene = Scene::new("flutters");
    for _ in 0..3 {
        scene.proxy.cut();
        std::thread::sleep(LEASE / 3);
        scene.proxy.mend();
        std::thread::sleep(LEASE / 6);
    }
    scene.proxy.cut();
    scene.second.wait("takeover", leads);
    scene.proxy.mend();
    scene.first.wait("the end of its term", |first| first.says("no longer leading"));
    scene.comes_to_its_end();
}

/// Its calls are in no journal.
#[test]
fn a_purge_ends_in_the_middle_of_a_tree_before_the_lease_could_run_out() {
    let namespace = namespace("purge");
    let mut world = in_namespace(World::on_fuse(), &namespace);
    world.part("mode", "Enforce");
    world.part("quarantine", "{retention: 1s}");
    world.part("limits", "{purge: {entriesPerSecond: 60}}");
    world.workspace("aaaaaaaa-0000-4000-8000-000000000000", 30 * DAY);
    let tree = world.workspace(&id(1), 30 * DAY);
    (0..300).for_each(|n| std::fs::write(tree.join(format!("{n}")), "").unwrap());
    backdate(&tree, 30 * DAY);
    apply(&world);
    let proxy = Proxy::start(cluster(), USER);
    let mut controller = Controller::start_for(proxy.kubeconfig(), &world, &namespace, &ELECT);
    wait("quarantining", &mut controller, || world.quarantined_trees().len() == 1);
    wait_for_retention(&namespace, &mut controller);
    annotate(&namespace, "hygiene.dev/sweep-requested-at=purge");
    let removed = || world.fuse().control().count(Op::Unlink);
    let before = removed();
    wait("first calls", &mut controller, || removed() > before + 20);
    proxy.cut();
    let (mut last, mut at) = (removed(), Timestamp::now());
    let is_over = |controller: &Controller| controller.says("no longer leading");
    while at.duration_until(Timestamp::now()) < SignedDuration::from_secs(1) || !is_over(&controller) {
        assert!(at.duration_until(Timestamp::now()) < SignedDuration::from_secs(30), "{:#?}", controller.lines());
        if removed() > last {
            (last, at) = (removed(), Timestamp::now());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    // It is looked at every few milliseconds, and the last call was begun before it was counted.
    let trusted = trusted_until(cluster().folder(), &namespace) + SignedDuration::from_millis(50);
    assert!(at <= trusted, "the last call was at {at}, after {trusted}");
    assert!(last < before + 300, "all was removed before its end");
    proxy.mend();
    let purging = world.root().join(".hygiene/purging");
    wait("the rest", &mut controller, || std::fs::read_dir(&purging).unwrap().count() == 0);
    assert_eq!(controller.stop().code(), Some(0));
}
