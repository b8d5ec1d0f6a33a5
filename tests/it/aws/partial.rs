//! Answers that are not whole: never fewer tasks, always no victims.

use std::time::{Duration, Instant};

use rstest::rstest;
use serde_json::{Value, json};

use super::proxy::{Answer, Call};
use super::{BOTH, Cloud, held, names};
use crate::world::id;

/// A cloud with a task for each of two orphans, and one without.
fn claimed() -> (Cloud, crate::world::World) {
    let cloud = Cloud::start();
    let world = cloud.world(3, BOTH, ", settle: 0s");
    cloud.session_task(&json!({"session": id(1)}), &json!({}));
    cloud.session_task(&json!({"session": id(2)}), &json!({}));
    (cloud, world)
}

/// Holds on an unavailable source, with this told, and moves nothing.
#[track_caller]
fn unavailable(cloud: &Cloud, world: &crate::world::World, told: &str) {
    let report = cloud.sweep(world);
    let (reason, message) = held(&report);
    assert!(reason == "SourceUnavailable" && message.contains(told), "{told}: {reason} {message}");
    assert_eq!(names(&report, "quarantined"), [""; 0]);
    assert!(world.quarantined_trees().is_empty());
}

fn edit(change: impl FnOnce(&mut Value) + Send + 'static) -> Answer {
    Answer::Edit(Box::new(move |mut value| {
        change(&mut value);
        value
    }))
}

fn without(field: &'static str) -> Answer {
    edit(move |value| drop(value.as_object_mut().unwrap().remove(field)))
}

#[rstest]
#[case::expired("ListTasks", || Answer::Refuse(400, "ExpiredTokenException"), "the credentials have expired")]
#[case::denied("ListTasks", || Answer::Refuse(400, "AccessDeniedException"), "allow ecs:ListTasks to the role")]
#[case::denied_tasks("DescribeTasks", || Answer::Refuse(400, "AccessDeniedException"), "allow ecs:DescribeTasks to the role")]
#[case::denied_service("DescribeServices", || Answer::Refuse(400, "AccessDeniedException"), "allow ecs:DescribeServices")]
#[case::signature("ListTasks", || Answer::Refuse(403, "SignatureDoesNotMatch"), "AWS does not accept the credentials")]
#[case::no_cluster("ListTasks", || Answer::Refuse(400, "ClusterNotFoundException"), "check names and region in the spec")]
#[case::odd_code("ListTasks", || Answer::Refuse(400, "hunter2 <b>"), "a word that cannot be shown")]
#[case::halved("ListTasks", || Answer::Halve, "cut short or cannot be read")]
#[case::halved_tasks("DescribeTasks", || Answer::Halve, "cut short or cannot be read")]
#[case::no_arns("ListTasks", || without("taskArns"), "it has no taskArns")]
#[case::no_tasks("DescribeTasks", || without("tasks"), "it has no tasks")]
#[case::circles("ListTasks", || edit(|value| value["nextToken"] = "0".into()), "go round in circles")]
#[case::fewer("DescribeTasks", || edit(|value| drop(value["tasks"].as_array_mut().unwrap().pop())), "tasks were asked for")]
#[case::failure(
    "DescribeTasks",
    || edit(|value| value["failures"] = json!([{"arn": "arn:aws:ecs:x:1:task/prod/t9", "reason": "MISSING"}])),
    "task t9: MISSING"
)]
#[case::no_service(
    "DescribeServices",
    || edit(|value| *value = json!({"services": [], "failures": [{"arn": "collab", "reason": "MISSING"}]})),
    "service collab: MISSING"
)]
#[case::another_service(
    "DescribeServices",
    || edit(|value| value["services"][0]["serviceName"] = "collab-2".into()),
    "does not describe service collab"
)]
fn a_partial_answer_is_no_answer(#[case] action: &'static str, #[case] answer: fn() -> Answer, #[case] told: &str) {
    let (cloud, world) = claimed();
    cloud.proxy.rule(move |call: &Call| if call.action == action { answer() } else { Answer::Pass });
    unavailable(&cloud, &world, told);
    cloud.proxy.rule(|_| Answer::Pass);
    assert_eq!(names(&cloud.sweep(&world), "quarantined"), [id(3)], "once it answers again");
}

#[rstest]
#[case::throttled(|| Answer::Refuse(400, "ThrottlingException"), "several attempts with pauses did not help")]
#[case::cut(|| Answer::Cut, "ecs:ListTasks of cluster")]
#[case::truncated(|| Answer::Truncate, "ecs:ListTasks of cluster")]
fn what_fails_again_and_again_is_given_up(#[case] answer: fn() -> Answer, #[case] told: &str) {
    let (cloud, world) = claimed();
    cloud.proxy.rule(move |call| if call.action == "ListTasks" { answer() } else { Answer::Pass });
    unavailable(&cloud, &world, told);
    let tried = cloud.proxy.calls("ListTasks").len();
    assert!((3..=20).contains(&tried), "with pauses, not for ever: {tried}");
}

#[test]
fn what_fails_once_is_asked_again() {
    let (cloud, world) = claimed();
    cloud.proxy.rule(|call| match (call.action.as_str(), call.number) {
        ("ListTasks", 0) => Answer::Refuse(400, "ThrottlingException"),
        ("ListTasks", 3) => Answer::Cut,
        ("DescribeTasks", 0) => Answer::Refuse(500, "ServerException"),
        _ => Answer::Pass,
    });
    assert_eq!(names(&cloud.sweep(&world), "quarantined"), [id(3)]);
}

#[test]
fn a_page_that_is_missing_is_not_the_end_of_the_list() {
    let (cloud, world) = claimed();
    let many = json!({"session": "bbbbbbbb-0000-4000-8000-00000000#"});
    super::moto::force(
        &json!({"do": "task", "cluster": cloud.cluster, "family": "session", "tags": many, "count": 120}),
    );
    // The one for the second page of the family is refused.
    cloud.proxy.rule(|call| match call.body.get("nextToken") {
        Some(Value::String(_)) => Answer::Refuse(400, "InvalidParameterException"),
        _ => Answer::Pass,
    });
    unavailable(&cloud, &world, "InvalidParameterException");
}

#[test]
fn an_answer_that_comes_too_late_is_none() {
    let (cloud, world) = claimed();
    cloud.proxy.rule(|call| match call.action.as_str() {
        "DescribeServices" => Answer::Delay(Duration::from_secs(15)),
        _ => Answer::Pass,
    });
    let begun = Instant::now();
    unavailable(&cloud, &world, "ecs:DescribeServices of cluster");
    assert!(begun.elapsed() < Duration::from_secs(13), "{:?}", begun.elapsed());
}

#[test]
fn a_token_that_expires_in_mid_sweep_leaves_the_rest_alone() {
    let cloud = Cloud::start();
    let world = cloud.world(4, BOTH, ", settle: 0s");
    // Two lists tell the service's health and four the claims; eight more let the first victim go.
    cloud.proxy.rule(|call| {
        let expired = call.action == "ListTasks" && call.body["family"] == "session" && call.number >= 6 + 8 + 2;
        if expired { Answer::Refuse(400, "ExpiredTokenException") } else { Answer::Pass }
    });
    let (code, stdout, stderr) = cloud.run(&world, &["sweep", "--no-settle", "--unsafe-short-times", "-o", "json"]);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    assert_eq!(names(&report, "quarantined"), [id(1)], "{report:#}");
    assert!(report["errors"][0]["message"].as_str().unwrap().contains("the credentials have expired"), "{report:#}");
    for n in 2..=4 {
        assert!(world.root().join(id(n)).exists());
    }
    cloud.proxy.rule(|_| Answer::Pass);
    let report = cloud.sweep(&world);
    assert_eq!(report["counts"]["Keep"]["BackOff"], 3, "they have their turn after a pause: {report:#}");
}

#[test]
fn without_credentials_nothing_is_known() {
    let (cloud, world) = claimed();
    world.spec_file();
    let mut command = cloud.command(&world, &["plan", "-o", "json"]);
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
        command.env_remove(name);
    }
    let output = command.output().unwrap();
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (reason, message) = held(&plan);
    assert!(reason == "SourceUnavailable" && message.contains("are there credentials"), "{message}");
}
