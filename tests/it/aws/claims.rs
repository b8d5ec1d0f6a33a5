//! Which sessions tasks claim.

use serde_json::json;

use super::proxy::Answer;
use super::{BOTH, Cloud, held, moto, names};
use crate::world::{DAY, id};

const CLAIMS: &str = "claims: {family: session, sessionTag: session}";

#[test]
fn a_task_keeps_its_workspace_until_it_has_stopped() {
    let cloud = Cloud::start();
    let world = cloud.world(5, CLAIMS, ", settle: 0s");
    let tag = |n| json!({"session": id(n)});
    cloud.session_task(&tag(1), &json!({}));
    cloud.session_task(&tag(2), &json!({"desired_status": "STOPPED", "last_status": "DEACTIVATING"}));
    cloud.session_task(&tag(3), &json!({"last_status": "PROVISIONING"}));
    let stopped = json!({"desired_status": "STOPPED", "last_status": "STOPPED"});
    cloud.session_task(&tag(4), &stopped);
    // Once it has stopped nobody asks for its tag any more.
    cloud.session_task(&json!({}), &stopped);
    let plan = cloud.plan(&world);
    assert_eq!(plan["sources"]["claims"]["message"], "3 claims", "{plan:#}");
    assert_eq!(plan["sources"]["serving"]["state"], "NotConfigured");
    assert_eq!(names(&cloud.sweep(&world), "quarantined"), [id(4), id(5)]);
}

#[test]
fn the_tasks_of_a_service_claim_as_well() {
    let cloud = Cloud::start();
    let world = cloud.world(2, "claims: {service: collab, sessionTag: session}", ", settle: 0s");
    cloud.set_task(&cloud.task, &json!({"tags": [{"key": "session", "value": id(1)}]}));
    // Of another service, and so no matter here.
    cloud.session_task(&json!({}), &json!({}));
    assert_eq!(names(&cloud.sweep(&world), "quarantined"), [id(2)]);
}

#[test]
fn a_task_that_does_not_say_which_session_it_has_could_have_any() {
    for tags in [json!({}), json!({"Session": id(1)}), json!({"session": ""}), json!({"session": "a/b"})] {
        let cloud = Cloud::start();
        let world = cloud.world(2, CLAIMS, ", settle: 0s");
        cloud.session_task(&json!({"session": id(1)}), &json!({}));
        let task = cloud.session_task(&tags, &json!({"desired_status": "STOPPED", "last_status": "STOPPING"}));
        let report = cloud.sweep(&world);
        let (reason, message) = held(&report);
        assert!(reason == "SourceUnavailable" && message.contains(task.rsplit('/').next().unwrap()), "{message}");
        assert_eq!(names(&report, "quarantined"), [""; 0]);
        assert!(world.quarantined_trees().is_empty());
    }
}

#[test]
fn more_tasks_than_a_page_holds_are_all_seen() {
    let cloud = Cloud::start();
    let world = cloud.world(3, CLAIMS, ", settle: 0s");
    let many = json!({"session": "bbbbbbbb-0000-4000-8000-00000000#"});
    moto::force(&json!({"do": "task", "cluster": cloud.cluster, "family": "session", "tags": many, "count": 230}));
    cloud.session_task(&json!({"session": id(2)}), &json!({}));
    assert_eq!(cloud.plan(&world)["sources"]["claims"]["message"], "231 claims");
    let describes = cloud.proxy.calls("DescribeTasks");
    let sizes: Vec<_> = describes.iter().map(|call| call.body["tasks"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [100, 100, 31]);
    cloud.proxy.rule(|_| Answer::Pass);
    assert_eq!(names(&cloud.sweep(&world), "quarantined"), [id(1), id(3)]);
    let state = std::fs::read(world.root().join(".hygiene/status.json")).unwrap();
    let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
    assert_eq!(state["status"]["drift"]["containersWithoutSession"], 231, "{state:#}");
}

#[test]
fn a_task_that_appears_between_the_two_lists_makes_them_unknown() {
    let cloud = Cloud::start();
    let world = cloud.world(2, CLAIMS, ", settle: 0s");
    let cluster = cloud.cluster.clone();
    // The first pair was listed; the second is about to be.
    cloud.proxy.rule(move |call| {
        if call.action == "ListTasks" && call.number == 2 {
            let tags = json!({"session": id(1)});
            moto::force(&json!({"do": "task", "cluster": cluster, "family": "session", "tags": tags}));
        }
        Answer::Pass
    });
    let report = cloud.sweep(&world);
    assert!(held(&report).1.contains("changed while they were listed"), "{report:#}");
    assert_eq!(names(&report, "quarantined"), [""; 0]);
    cloud.proxy.rule(|_| Answer::Pass);
    assert_eq!(names(&cloud.sweep(&world), "quarantined"), [id(2)]);
}

#[test]
fn a_task_that_starts_in_mid_sweep_keeps_its_workspace() {
    let cloud = Cloud::start();
    let world = cloud.world(3, CLAIMS, ", settle: 0s");
    let cluster = cloud.cluster.clone();
    // Four lists tell the plan, four each of the two looks at the first victim; the ninth begins the second look.
    cloud.proxy.rule(move |call| {
        if call.action == "ListTasks" && call.number == 8 {
            for n in [1, 2] {
                let tags = json!({"session": id(n)});
                moto::force(&json!({"do": "task", "cluster": cluster, "family": "session", "tags": tags}));
            }
        }
        Answer::Pass
    });
    let report = cloud.sweep(&world);
    assert_eq!(names(&report, "quarantined"), [id(3)], "{report:#}");
    assert!(world.root().join(id(1)).exists(), "it was moved, and put back");
    assert!(world.root().join(id(2)).exists());
}

#[test]
fn a_claim_that_is_back_restores() {
    let cloud = Cloud::start();
    let world = cloud.world(2, BOTH, ", settle: 0s");
    assert_eq!(names(&cloud.sweep(&world), "quarantined"), [id(1), id(2)]);
    cloud.session_task(&json!({"session": id(2)}), &json!({}));
    cloud.set_task(&cloud.task, &json!({"health_status": "UNHEALTHY"}));
    world.workspace(&id(3), 50 * DAY);
    let report = cloud.sweep(&world);
    assert_eq!((names(&report, "restored"), held(&report).0), (vec![id(2)], "ServiceUnhealthy"));
}
