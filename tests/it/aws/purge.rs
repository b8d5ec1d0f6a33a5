//! A service that turns unhealthy while a tree is removed, and one that is killed again and again.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use super::proxy::Answer;
use super::serving::killed;
use super::{BOTH, Cloud, names};
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
    let world = due(&cloud);
    let mut service = Running::of(&world, &["--startup-delay", "0s"], |command| cloud.environment(&world, command));
    service.wait("purge", |_| (1..390).contains(&left(&world.root())));
    // What is left when the answer that tells of it goes out.
    let told: Arc<Mutex<Option<usize>>> = Arc::default();
    let (note, root) = (Arc::clone(&told), world.root());
    cloud.set_task(&cloud.task, &json!({"health_status": "UNHEALTHY"}));
    cloud.proxy.rule(move |call| {
        if call.action != "DescribeServices" {
            return Answer::Pass;
        }
        let (note, root) = (Arc::clone(&note), root.clone());
        Answer::Edit(Box::new(move |value| {
            note.lock().unwrap().get_or_insert_with(|| left(&root));
            value
        }))
    });
    let begun = Instant::now();
    let paused = |service: &Running| {
        service.lines().iter().any(|line| line["message"].as_str().unwrap().contains("paused: the service comes first"))
    };
    service.wait("pause", paused);
    assert!(begun.elapsed() < Duration::from_secs(12), "an answer is at most 10 s old: {:?}", begun.elapsed());
    let (at_answer, now) = (told.lock().unwrap().unwrap(), left(&world.root()));
    // The look that stopped it may be the purge's own or the one beside it; either way no answer is older than five seconds.
    assert!(at_answer - now <= 5 * 10 + 5, "{at_answer} were left when it was told, and now {now}");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(left(&world.root()), now, "nothing goes meanwhile");
    assert!(now > 100, "much of it is still there: {now}");
    // Well again, and asked at once: it is not settled yet.
    cloud.set_task(&cloud.task, &json!({"health_status": "HEALTHY"}));
    service.signal(rustix::process::Signal::HUP);
    service.wait("rest", |_| left(&world.root()) == 0);
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
            service.signal(rustix::process::Signal::HUP);
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
