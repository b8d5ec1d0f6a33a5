//! Two controllers: one works at a time, whatever becomes of it.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::history::{assert_steps_in_terms, by, journal};
use super::{Controller, apply, cluster, in_namespace, namespace, status, wait};
use crate::fuse::Op;
use crate::world::{DAY, World, id};

const LIVE: &str = "aaaaaaaa-0000-4000-8000-000000000000";
const LEASE: Duration = Duration::from_secs(4);
const ELECT: [&str; 2] = ["--lease-duration", "4s"];

fn holder(namespace: &str) -> Option<String> {
    let mut get = cluster().kubectl();
    let got = get.args(["-n", namespace, "get", "lease", "hygiene", "-o", "jsonpath={.spec.holderIdentity}"]);
    let got = got.output().unwrap();
    Some(String::from_utf8(got.stdout).unwrap()).filter(|holder| got.status.success() && !holder.is_empty())
}

fn enforced(namespace: &str, mut world: World, orphans: u32) -> World {
    world = in_namespace(world, namespace);
    world.part("mode", "Enforce");
    world.workspace(LIVE, 30 * DAY);
    (1..=orphans).for_each(|n| drop(world.workspace(&id(n), 30 * DAY)));
    world
}

#[test]
fn when_the_leader_is_killed_another_takes_over_and_when_it_ends_it_leaves_at_once() {
    let namespace = namespace("leases");
    let world = enforced(&namespace, World::new(), 1);
    let mut first = Controller::start(&world, &namespace, &ELECT);
    wait("leader", &mut first, || holder(&namespace).is_some());
    let mut second = Controller::start(&world, &namespace, &ELECT);
    apply(&world);
    wait("quarantining", &mut first, || !world.root().join(id(1)).exists());
    assert_eq!(by(&journal(&world), &second).len(), 0, "only the leader works");

    let led = holder(&namespace);
    let killed = Instant::now();
    first.child.kill().unwrap();
    wait("takeover", &mut second, || holder(&namespace) != led);
    let took = killed.elapsed();
    assert!(took < LEASE * 2, "{took:?}");
    // What it sees it reports in its own name.
    world.workspace(&id(2), 30 * DAY);
    super::annotate(&namespace, "hygiene.dev/sweep-requested-at=after");
    wait("quarantining by the other", &mut second, || !world.root().join(id(2)).exists());
    assert!(!by(&journal(&world), &second).is_empty());

    let mut third = Controller::start(&world, &namespace, &ELECT);
    std::thread::sleep(Duration::from_secs(1));
    let led = holder(&namespace);
    let stopped = Instant::now();
    assert_eq!(second.stop().code(), Some(0));
    wait("takeover", &mut third, || holder(&namespace).is_some() && holder(&namespace) != led);
    assert!(stopped.elapsed() < LEASE, "a lease that is given away is not waited for: {:?}", stopped.elapsed());
    assert_eq!(third.stop().code(), Some(0));
    assert_eq!(holder(&namespace), None);
    assert_steps_in_terms(&world, cluster().folder(), &namespace, &[&first]);
}

#[test]
fn a_leader_that_stood_still_for_longer_than_its_lease_takes_no_step_when_it_goes_on() {
    let namespace = namespace("still");
    let world = enforced(&namespace, World::on_fuse(), 4);
    apply(&world);
    // In the middle of a sweep: the first workspace is moved, the second is about to be.
    let hang = world.fuse().control().on(Op::Rename, &id(2)).times(1).hang();
    let first = Controller::start(&world, &namespace, &ELECT);
    hang.wait_until_reached();
    let mut second = Controller::start(&world, &namespace, &ELECT);
    let led = holder(&namespace);
    first.signal(Signal::STOP);
    // It hangs in a call of the file system as well, which is let go while it stands still.
    std::thread::sleep(LEASE * 2);
    hang.release();
    wait("takeover", &mut second, || holder(&namespace) != led);
    let before = by(&journal(&world), &first).len();
    first.signal(Signal::CONT);
    std::thread::sleep(LEASE);
    let after = journal(&world);
    // The step that was under way may be recorded; none is begun.
    assert!(by(&after, &first).len() <= before + 1, "{after:#?}");
    let moved = (2..=4).filter(|n| !world.root().join(id(*n)).exists() && *n > 2).count();
    let by_second = by(&after, &second).len();
    assert!(moved == 0 || by_second > 0, "{after:#?}");
    assert!(first.says("no longer leading"), "{:#?}", first.lines());

    // The other goes on with what is left, once the lock on the volume is free.
    super::annotate(&namespace, "hygiene.dev/sweep-requested-at=rest");
    wait("the rest", &mut second, || (1..=4).all(|n| !world.root().join(id(n)).exists()));
    assert_steps_in_terms(&world, cluster().folder(), &namespace, &[&first, &second]);
    assert_eq!(second.stop().code(), Some(0));
    drop(first);
}

#[test]
fn a_leader_whose_api_server_is_silent_takes_no_step_and_leads_again_afterwards() {
    let cluster = super::super::Cluster::start();
    cluster.install_definition();
    let namespace = cluster.namespace("frozen");
    let kubeconfig = cluster.kubeconfig("admin");
    let world = enforced(&namespace, World::on_fuse(), 3);
    world.spec_file();
    cluster.admin_with(&["apply", "-f", "-"], &world.spec());
    let hang = world.fuse().control().on(Op::Rename, &id(2)).times(1).hang();
    let mut first = Controller::start_for(&kubeconfig, &world, &namespace, &ELECT);
    hang.wait_until_reached();
    cluster.signal_api_server("STOP");
    std::thread::sleep(LEASE);
    hang.release();
    std::thread::sleep(Duration::from_secs(2));
    assert!(world.root().join(id(3)).exists(), "a step was begun after the lease could have run out");
    assert!(first.says("no longer leading"), "{:#?}", first.lines());
    cluster.signal_api_server("CONT");
    wait("the rest", &mut first, || !world.root().join(id(3)).exists());
    assert_steps_in_terms(&world, cluster.folder(), &namespace, &[&first]);
    assert_eq!(first.stop().code(), Some(0));
}

#[test]
fn a_status_is_written_by_the_leader_alone() {
    let namespace = namespace("writers");
    let mut world = in_namespace(World::new(), &namespace);
    world.part("mode", "Report");
    world.workspace(LIVE, 30 * DAY);
    let mut first = Controller::start(&world, &namespace, &ELECT);
    wait("leader", &mut first, || holder(&namespace).is_some());
    let second = Controller::start(&world, &namespace, &ELECT);
    apply(&world);
    wait("report", &mut first, || status(&namespace)["lastSweep"]["id"].is_string());
    assert!(!second.says("swept") && !second.says("the resource is swept"), "{:#?}", second.lines());
    assert_eq!((first.stop().code(), second.stop().code()), (Some(0), Some(0)));
}
