//! A service that turns unhealthy while a tree is removed, and one that is killed again and again.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::proxy::Answer;
use super::serving::killed;
use super::{BOTH, Cloud, names};
use crate::servers::wait_for;
use crate::service::Running;
use crate::world::{DAY, World, backdate, id};

/// How many entries are left of what is condemned.
fn left(root: &Path) -> usize {
    let folders = fs::read_dir(root.join(".hygiene/purging")).into_iter().flatten().flatten();
    let entries = folders.filter_map(|folder| fs::read_dir(folder.path().join("workspace")).ok());
    entries.map(Iterator::count).sum()
}

/// A world with one large orphan, quarantined, and due.
fn due(cloud: &Cloud) -> World {
    let mut world = cloud.world(1, BOTH, ", settle: 1s");
    world.part("quarantine", "{retention: 1s}");
    world.part("limits", "{purge: {entriesPerSecond: 10}}");
    world.part("schedule", "{every: 1m}");
    for n in 0..400 {
        fs::write(world.root().join(id(1)).join(format!("file-{n:03}")), "x").unwrap();
    }
    backdate(&world.root().join(id(1)), 60 * DAY);
    assert_eq!(names(&cloud.sweep(&world), "quarantined"), [id(1)]);
    std::thread::sleep(Duration::from_millis(1_500));
    world
}

#[test]
fn a_task_that_turns_unhealthy_in_mid_purge_stops_it_within_one_call_and_it_goes_on_once_settled() {
    let cloud = Cloud::start();
    let mut world = due(&cloud);
    // Nobody but the purge asks about the service here, so that the answer that stops it is known.
    let mut sweep = cloud.command(&world, &["sweep", "--no-settle", "--unsafe-short-times", "-o", "json"]);
    let sweep = sweep.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("the purge", || (1..390).contains(&left(&world.root())));
    let told: Arc<Mutex<Option<usize>>> = Arc::default();
    let (note, root) = (Arc::clone(&told), world.root());
    // What is left when the answer goes out that tells of it.
    cloud.proxy.rule(move |call| match call.action.as_str() {
        "DescribeServices" => {
            let (note, root) = (Arc::clone(&note), root.clone());
            Answer::Edit(Box::new(move |value| {
                note.lock().unwrap().get_or_insert_with(|| left(&root));
                value
            }))
        }
        _ => Answer::Pass,
    });
    cloud.set_task(&cloud.task, &json!({"health_status": "UNHEALTHY"}));
    let begun = Instant::now();
    let ended = sweep.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(ended.status.code(), Some(3), "{report:#}");
    assert!(begun.elapsed() < Duration::from_secs(10), "an answer is at most 10 s old: {:?}", begun.elapsed());
    assert!(report["paused"].as_str().unwrap().contains("has the healthStatus UNHEALTHY"), "{report:#}");
    let (at_answer, now) = (told.lock().unwrap().unwrap(), left(&world.root()));
    // Ten a second go while the answer is on its way.
    assert!(at_answer - now <= 2, "{at_answer} were left when it was told, and now {now}");
    assert!(now > 250, "much of it is still there: {now}");

    // Nothing goes while it is unwell, and the rest once it was well for `settle`.
    world.part("limits", "{purge: {entriesPerSecond: 2000}}");
    world.spec_file();
    cloud.proxy.rule(|_| Answer::Pass);
    let mut service = Running::of(&world, &["--startup-delay", "0s"], |command| cloud.environment(&world, command));
    service.wait("hold", |service| service.sweeps().iter().any(|sweep| sweep["held"] == "ServiceUnhealthy"));
    assert_eq!(left(&world.root()), now);
    cloud.set_task(&cloud.task, &json!({"health_status": "HEALTHY"}));
    let well = Instant::now();
    service.wait("rest", |service| {
        service.signal(Signal::HUP);
        std::thread::sleep(Duration::from_millis(200));
        left(&world.root()) == 0
    });
    assert!(well.elapsed() >= Duration::from_secs(1), "it settled first: {:?}", well.elapsed());
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn a_service_that_is_killed_again_and_again_never_opens_the_gate() {
    let cloud = Cloud::start();
    let mut world = cloud.world(3, BOTH, ", settle: 1s");
    world.part("schedule", "{every: 1m}");
    world.spec_file();
    // Every four minutes of the incident are three seconds here; each task looks healthy for longer than settle.
    killed(&cloud, 240);
    let mut service = Running::of(&world, &["--startup-delay", "0s"], |command| cloud.environment(&world, command));
    let mut task = cloud.task.clone();
    service.wait("first sweep", |service| !service.sweeps().is_empty());
    for round in 0..3 {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(3) {
            service.signal(Signal::HUP);
            std::thread::sleep(Duration::from_millis(500));
        }
        service.wait("sweep", |service| service.sweeps().len() > round);
        let next = cloud.serving_task(&json!({}));
        let gone = json!({
            "last_status": "STOPPED", "desired_status": "STOPPED", "stop_code": "ServiceSchedulerInitiated",
            "stopped_reason": "Task failed ELB health checks in (target-group x)", "stopping_at": 0, "stopped_at": 0,
        });
        cloud.set_task(&task, &gone);
        task = next;
    }
    let sweeps = service.sweeps();
    assert!(sweeps.iter().all(|sweep| sweep["held"] == "ServiceUnhealthy"), "{sweeps:#?}");
    assert!((1..=3).all(|n| world.root().join(id(n)).exists()) && world.quarantined_trees().is_empty());
    assert_eq!(service.stop().code(), Some(0));
}
