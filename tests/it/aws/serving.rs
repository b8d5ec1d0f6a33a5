//! What closes the gate, and what opens it.

use serde_json::{Value, json};

use super::{BOTH, Cloud, held, names};
use crate::containers_http::server::Server;
use crate::world::id;

const SERVING: &str = "serving: {service: collab}";

/// What ECS writes where a load balancer's checks fail.
const ELB: &str =
    "Task failed ELB health checks in (target-group arn:aws:elasticloadbalancing:eu-central-1:1:targetgroup/x/1)";

/// A task that the load balancer had killed so many seconds ago.
pub fn killed(cloud: &Cloud, seconds: u32) -> String {
    cloud.serving_task(&json!({
        "last_status": "STOPPED",
        "desired_status": "STOPPED",
        "stop_code": "ServiceSchedulerInitiated",
        "stopped_reason": ELB,
        "stopping_at": seconds,
        "stopped_at": seconds,
    }))
}

#[test]
fn a_service_that_is_well_lets_orphans_go_and_claims_are_not_configured() {
    let cloud = Cloud::start();
    let world = cloud.world(1, SERVING, ", settle: 0s");
    let plan = cloud.plan(&world);
    assert_eq!(plan["sources"]["serving"]["state"], "Complete", "{plan:#}");
    assert_eq!(plan["sources"]["claims"]["state"], "NotConfigured");
    assert_eq!(held(&plan).0, "");
    let (_, text, _) = cloud.run(&world, &["plan"]);
    assert!(text.contains("the serving containers are healthy") && text.contains("the spec names none"), "{text}");
    assert_eq!(names(&cloud.sweep(&world), "quarantined"), [id(1)]);
    let (code, text, stderr) = cloud.run(&world, &["explain", super::LIVE]);
    assert_eq!(code, Some(0), "{text}{stderr}");
}

#[test]
fn whatever_is_not_well_closes_the_gate() {
    let cloud = Cloud::start();
    let world = cloud.world(1, SERVING, ", settle: 0s");
    let unwell = |told: &str| {
        let plan = cloud.plan(&world);
        let (reason, message) = held(&plan);
        assert!(reason == "ServiceUnhealthy" && message.contains(told), "{told}: {reason} {message}");
        assert_eq!(names(&cloud.sweep(&world), "quarantined"), [""; 0]);
    };
    let task = |values: Value| cloud.set_task(&cloud.task, &values);
    task(json!({"health_status": "UNHEALTHY"}));
    unwell("has the healthStatus UNHEALTHY");
    task(json!({"health_status": null}));
    unwell("name a health endpoint in spec.containers.http");
    task(json!({"health_status": "HEALTHY", "last_status": "PENDING"}));
    unwell("is PENDING");
    task(json!({"last_status": "RUNNING"}));
    cloud.set_service(&json!({"rollout_state": "IN_PROGRESS"}));
    unwell("a deployment is IN_PROGRESS");
    cloud.set_service(&json!({"rollout_state": "COMPLETED", "desired_count": 2}));
    unwell("2 tasks are desired, 1 run");
    cloud.set_service(&json!({"desired_count": 1}));
    let gone = killed(&cloud, 29 * 60);
    unwell("was stopped by the health checks of its load balancer");
    cloud.set_task(&gone, &json!({"stopping_at": 31 * 60, "stopped_at": 31 * 60}));
    assert_eq!(names(&cloud.sweep(&world), "quarantined"), [id(1)]);
}

#[test]
fn without_a_container_check_the_health_endpoint_decides() {
    let cloud = Cloud::start();
    cloud.set_task(&cloud.task, &json!({"health_status": "UNKNOWN"}));
    let endpoint = Server::well();
    let world = cloud.world(1, SERVING, &format!(", http: {{url: \"{}\"}}, settle: 0s", endpoint.url()));
    assert_eq!(held(&cloud.plan(&world)).0, "");
    endpoint.write(crate::containers_http::server::answer("500 Oh", "", ""));
    assert!(held(&cloud.plan(&world)).1.contains("answers 500"));
}

#[test]
fn a_service_without_tasks_goes_by_when_absent() {
    let cloud = Cloud::start();
    cloud.set_service(&json!({"desired_count": 0, "running_count": 0}));
    let stopped =
        json!({"last_status": "STOPPED", "desired_status": "STOPPED", "stop_code": "UserInitiated", "stopped_at": 60});
    cloud.set_task(&cloud.task, &stopped);
    let world = cloud.world(1, SERVING, ", settle: 0s");
    assert!(held(&cloud.plan(&world)).1.contains("set spec.containers.whenAbsent: Proceed"));
    let world = cloud.world(1, SERVING, ", settle: 0s, whenAbsent: Proceed");
    assert_eq!(held(&cloud.plan(&world)).0, "");
}

#[test]
fn the_service_is_looked_at_until_it_settled() {
    let cloud = Cloud::start();
    let world = cloud.world(1, SERVING, ", settle: 1s");
    let report = cloud.json(&world, &["sweep"]);
    assert_eq!(names(&report, "quarantined"), [id(1)]);
    assert!(cloud.proxy.calls("DescribeServices").len() >= 4, "it was looked at again and again");
    let world = cloud.world(1, SERVING, ", settle: 2s");
    let task = cloud.task.clone();
    cloud.proxy.rule(move |call| {
        if call.action == "DescribeServices" && call.number == 1 {
            super::moto::force(&json!({"do": "set_task", "arn": task, "values": {"health_status": "UNHEALTHY"}}));
        }
        super::proxy::Answer::Pass
    });
    let report = cloud.json(&world, &["sweep"]);
    assert!(held(&report).1.contains("has the healthStatus UNHEALTHY"), "{report:#}");
    assert_eq!(names(&report, "quarantined"), [""; 0]);
}

#[test]
fn each_call_names_the_cluster_and_asks_for_tags() {
    let cloud = Cloud::start();
    let world = cloud.world(1, BOTH, ", settle: 0s");
    cloud.session_task(&json!({"session": id(9)}), &json!({}));
    assert_eq!(held(&cloud.plan(&world)).0, "");
    for call in ["ListTasks", "DescribeTasks", "DescribeServices"].map(|action| cloud.proxy.calls(action)).concat() {
        assert_eq!(call.body["cluster"], cloud.cluster.as_str(), "{call:?}");
        assert!(call.action != "DescribeTasks" || call.body["include"] == json!(["TAGS"]), "{call:?}");
    }
    let desired: Vec<_> =
        cloud.proxy.calls("ListTasks").iter().map(|call| call.body["desiredStatus"].clone()).collect();
    let pair = ["RUNNING", "STOPPED"];
    assert_eq!(desired, [pair, pair, pair].concat(), "the service once, the claims twice");
}

#[test]
fn no_secret_is_in_the_log_however_much_is_logged() {
    let cloud = Cloud::start();
    let world = cloud.world(1, BOTH, ", settle: 0s");
    let (code, _, log) = cloud.run(&world, &["plan", "--log-level", "trace"]);
    assert_eq!(code, Some(0), "{log}");
    for part in [super::TOKEN, "s3cret", "AKIDTEST", "Signature="] {
        assert!(!log.contains(part), "{part}");
    }
}
