//! The whole life of a volume that two clusters share.

use serde_json::Value;

use super::{BOTH, Cloud};
use crate::service::Running;
use crate::world::{DAY, World, id};

/// What the service over this world says its state is.
fn status(cloud: &Cloud, world: &World, cluster: &str) -> Value {
    let (_, stdout, stderr) =
        cloud.run_as_written(world, &["status", "-o", "json", "--cluster", cluster, "--unsafe-short-times"]);
    serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}: {stdout}{stderr}"))
}

fn start(cloud: &Cloud, world: &World, cluster: &str) -> Running {
    let args = ["--startup-delay", "0s", "--restore-every", "200ms", "--cluster", cluster];
    Running::of(world, &args, |command| cloud.environment(world, command))
}

fn held_by(service: &Running, reason: &str) -> bool {
    service.sweeps().last().is_some_and(|sweep| sweep["held"] == reason)
}

#[test]
fn two_clusters_share_a_volume_and_only_the_first_cleans_it() {
    let cloud = Cloud::start();
    let mut world = World::fresh_on_disk();
    world.part("schedule", "{every: 1m}");
    world.part("quarantine", "{retention: 2s}");
    let ecs = format!("{{cluster: {}, region: eu-central-1, {BOTH}}}", cloud.cluster);
    world.part("containers", &format!("{{ecs: {ecs}, settle: 1s}}"));
    world.workspace(super::LIVE, 60 * DAY);
    (1..=3).for_each(|n| drop(world.workspace(&id(n), 50 * DAY)));
    cloud.session_task(&serde_json::json!({"session": id(2)}), &serde_json::json!({}));
    world.spec_file();

    // The first plan waits for a person.
    let mut first = start(&cloud, &world, "east");
    let now = rustix::process::Signal::HUP;
    first.wait("first sweep", |service| !service.sweeps().is_empty());
    first.wait("settled service", |service| {
        if !held_by(service, "AwaitsApproval") {
            service.signal(now);
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
        held_by(service, "AwaitsApproval")
    });
    let hash = status(&cloud, &world, "east")["hold"]["planHash"].as_str().unwrap().to_owned();
    let (code, stdout, stderr) =
        cloud.run_as_written(&world, &["approve", &hash, "--cluster", "east", "--unsafe-short-times"]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");

    // The other cluster sees the same volume, and holds.
    let mut second = start(&cloud, &world, "west");
    second.wait("first sweep", |service| !service.sweeps().is_empty());
    second.wait("hold", |service| {
        if !held_by(service, "OwnedByAnother") {
            service.signal(now);
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
        held_by(service, "OwnedByAnother")
    });

    first.signal(now);
    first.wait("quarantining", |_| !world.root().join(id(1)).exists() && !world.root().join(id(3)).exists());
    assert!(world.root().join(id(2)).exists(), "a task claims it");
    // Needed again, and put back by the first.
    world.set_live(&id(3), true);
    first.wait("restore", |_| world.root().join(id(3)).exists());
    first.wait("purge", |service| {
        service.signal(now);
        std::thread::sleep(std::time::Duration::from_millis(500));
        service.sweeps().iter().any(|sweep| sweep["purged"] == 1)
    });
    // While the first sweeps, the second finds the lock taken; it asks again.
    second.wait("second hold", |service| {
        service.signal(now);
        std::thread::sleep(std::time::Duration::from_millis(500));
        service.sweeps().len() > 1
    });
    assert!(
        second.sweeps().iter().all(|sweep| sweep["held"] == "OwnedByAnother" || sweep["held"] == "ServiceUnhealthy")
    );
    assert!(second.sweeps().iter().all(|sweep| sweep["quarantined"] == 0 && sweep["purged"] == 0));
    for service in [first, second] {
        assert_eq!(service.stop().code(), Some(0));
    }
    assert!([super::LIVE, &id(2), &id(3)].iter().all(|name| world.root().join(name).exists()));
}
