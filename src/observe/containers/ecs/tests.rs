//! What counts as healthy, and what a claim is. docs/ecs.md has the same as a table.

use aws_sdk_ecs::primitives::DateTime;
use aws_sdk_ecs::types::{
    Deployment, DeploymentRolloutState, HealthStatus, Service, StabilityStatus, Tag, Task, TaskSet, TaskStopCode,
};
use jiff::Timestamp;

use super::{claims, serving};
use crate::names::SessionId;
use crate::observe::Health;
use crate::policy::{EcsPolicy, WhenAbsent};

const NOW: i64 = 1_767_225_600;

fn policy(http_beside: bool, when_absent: WhenAbsent) -> EcsPolicy {
    EcsPolicy {
        cluster: "prod".into(),
        region: "eu-central-1".into(),
        serving: Some("collab".into()),
        claims: None,
        when_absent,
        http_beside,
    }
}

fn service(desired: i32, running: i32, pending: i32) -> Service {
    let deployment = Deployment::builder().status("PRIMARY").rollout_state(DeploymentRolloutState::Completed).build();
    let counts = Service::builder().desired_count(desired).running_count(running).pending_count(pending);
    counts.service_name("collab").status("ACTIVE").deployments(deployment).build()
}

fn task(last: &str, desired: &str) -> aws_sdk_ecs::types::builders::TaskBuilder {
    Task::builder().task_arn("arn:aws:ecs:eu-central-1:1:task/prod/t1").last_status(last).desired_status(desired)
}

fn well() -> Task {
    task("RUNNING", "RUNNING").health_status(HealthStatus::Healthy).build()
}

fn stopped(code: TaskStopCode, reason: &str, minutes_ago: i64) -> Task {
    let at = DateTime::from_secs(NOW - 60 * minutes_ago);
    task("STOPPED", "STOPPED").stop_code(code).stopped_reason(reason).stopped_at(at).stopping_at(at).build()
}

fn judge(policy: &EcsPolicy, service: &Service, tasks: &[Task]) -> Result<(), String> {
    match serving::judge(policy, service, tasks, Timestamp::from_second(NOW).unwrap()) {
        Health::Healthy => Ok(()),
        Health::Unhealthy(why) => Err(why),
    }
}

fn with(tasks: &[Task]) -> Result<(), String> {
    judge(&policy(false, WhenAbsent::Hold), &service(1, 1, 0), tasks)
}

#[track_caller]
fn wrong(found: Result<(), String>, told: &str) {
    let why = found.expect_err("it is healthy");
    assert!(why.starts_with("ECS service collab: ") && why.contains(told), "{why}");
}

#[test]
fn a_service_is_well_while_every_task_is() {
    assert_eq!(with(&[well()]), Ok(()));
    let sick = task("RUNNING", "RUNNING").health_status(HealthStatus::Unhealthy).build();
    wrong(with(&[sick]), "task t1 has the healthStatus UNHEALTHY");
    wrong(with(&[task("PENDING", "RUNNING").build()]), "task t1 is PENDING");
    wrong(with(&[]), "1 tasks are desired, and 0 are listed");
    wrong(with(&[well(), well()]), "1 tasks are desired, and 2 are listed");
    let two = [well(), task("RUNNING", "RUNNING").health_status(HealthStatus::Unhealthy).build()];
    wrong(judge(&policy(true, WhenAbsent::Hold), &service(2, 2, 0), &two), "UNHEALTHY");
}

#[test]
fn as_many_run_as_are_desired() {
    for (running, pending) in [(0, 0), (2, 0), (1, 1), (0, 1)] {
        let found = judge(&policy(false, WhenAbsent::Proceed), &service(1, running, pending), &[well()]);
        wrong(found, &format!("1 tasks are desired, {running} run, {pending} are pending"));
    }
}

#[test]
fn without_a_container_check_a_health_endpoint_is_needed() {
    let unchecked = || task("RUNNING", "RUNNING").build();
    let named = || task("RUNNING", "RUNNING").health_status(HealthStatus::from("UNKNOWN")).build();
    for task in [unchecked(), named()] {
        wrong(with(std::slice::from_ref(&task)), "name a health endpoint in spec.containers.http");
        assert_eq!(judge(&policy(true, WhenAbsent::Hold), &service(1, 1, 0), &[task]), Ok(()));
    }
    // Where one task is checked, the other is not checked yet.
    let found = judge(&policy(true, WhenAbsent::Hold), &service(2, 2, 0), &[well(), unchecked()]);
    wrong(found, "task t1 has the healthStatus UNKNOWN");
}

#[test]
fn a_deployment_on_its_way_closes_the_gate() {
    let rolling = Deployment::builder().rollout_state(DeploymentRolloutState::InProgress).build();
    let done = Deployment::builder().rollout_state(DeploymentRolloutState::Completed).build();
    let set = |state| TaskSet::builder().stability_status(state).build();
    let base = || Service::builder().service_name("collab").status("ACTIVE").desired_count(1).running_count(1);
    let judge = |service| judge(&policy(false, WhenAbsent::Hold), &service, &[well()]);
    wrong(judge(base().deployments(rolling.clone()).build()), "a deployment is IN_PROGRESS");
    wrong(
        judge(base().deployments(done.clone()).deployments(rolling).build()),
        "a deployment is under way: there are 2",
    );
    wrong(judge(base().build()), "ECS names no deployment");
    wrong(judge(base().task_sets(set(StabilityStatus::Stabilizing)).build()), "its task set is STABILIZING");
    assert_eq!(judge(base().task_sets(set(StabilityStatus::SteadyState)).build()), Ok(()));
    // One that CodeDeploy or others deploy has no state of its own.
    assert_eq!(judge(base().deployments(Deployment::builder().build()).build()), Ok(()));
    wrong(judge(base().status("DRAINING").deployments(done).build()), "its status is DRAINING");
}

#[test]
fn a_stop_that_nobody_planned_closes_the_gate_for_half_an_hour() {
    use TaskStopCode::{EssentialContainerExited, ServiceSchedulerInitiated, TaskFailedToStart, UserInitiated};
    let elb = "Task failed ELB health checks in (target-group arn:aws:elasticloadbalancing:...)";
    let scaled = "Scaling activity initiated by (deployment ecs-svc/123)";
    for (code, reason, told) in [
        (ServiceSchedulerInitiated, elb, "stopped by the health checks of its load balancer 4m ago"),
        (ServiceSchedulerInitiated, "Task failed container health checks", "stopped by its health check 4m ago"),
        (
            EssentialContainerExited,
            "Essential container in task exited",
            "stopped by itself (EssentialContainerExited)",
        ),
        (TaskFailedToStart, "hunter2", "(TaskFailedToStart)"),
        (ServiceSchedulerInitiated, "hunter2", "(ServiceSchedulerInitiated)"),
        (TaskStopCode::from("SomethingNew"), "hunter2", "(SomethingNew)"),
        (UserInitiated, "its Health Checks fail", "stopped by its health check"),
    ] {
        let found = with(&[well(), stopped(code.clone(), reason, 4)]);
        assert!(!format!("{found:?}").contains("hunter2"));
        wrong(found, told);
        assert_eq!(with(&[well(), stopped(code, reason, 31)]), Ok(()), "half an hour is over");
    }
    for (code, reason) in [(UserInitiated, "Task stopped by user"), (ServiceSchedulerInitiated, scaled)] {
        assert_eq!(with(&[well(), stopped(code, reason, 4)]), Ok(()), "it was meant");
    }
}

#[test]
fn a_stop_is_seen_while_it_goes_on_and_an_unknown_time_is_no_old_one() {
    let draining = task("DEACTIVATING", "STOPPED").stop_code(TaskStopCode::ServiceSchedulerInitiated);
    let draining = draining.stopped_reason("Task failed ELB health checks in (elb x)").build();
    wrong(with(&[well(), draining]), "by the health checks of its load balancer:");
    wrong(with(&[well(), task("STOPPED", "STOPPED").build()]), "ECS does not say why");
    // One that was asked to stop long ago, and took until now.
    let long = task("STOPPED", "STOPPED").stop_code(TaskStopCode::EssentialContainerExited);
    let long = long.stopping_at(DateTime::from_secs(NOW - 7_200)).stopped_at(DateTime::from_secs(NOW - 60)).build();
    wrong(with(&[well(), long]), "1m ago");
    // By a clock that is ahead of ours.
    wrong(with(&[well(), stopped(TaskStopCode::EssentialContainerExited, "", -10)]), "stopped by itself");
}

#[test]
fn a_service_that_is_meant_to_have_no_task_is_absent() {
    wrong(judge(&policy(false, WhenAbsent::Hold), &service(0, 0, 0), &[]), "whenAbsent: Proceed");
    assert_eq!(judge(&policy(false, WhenAbsent::Proceed), &service(0, 0, 0), &[]), Ok(()));
    let killed = stopped(TaskStopCode::EssentialContainerExited, "", 1);
    wrong(judge(&policy(false, WhenAbsent::Proceed), &service(0, 0, 0), &[killed]), "stopped by itself");
    wrong(judge(&policy(false, WhenAbsent::Proceed), &service(1, 0, 0), &[]), "1 tasks are desired, 0 run");
    wrong(judge(&policy(false, WhenAbsent::Proceed), &service(0, 0, 0), &[well()]), "0 tasks are desired, and 1");
}

#[test]
fn a_task_claims_until_it_has_stopped() {
    let tagged = |last: &str, value: &str| {
        let tag = Tag::builder().key("session").value(value).build();
        task(last, "STOPPED").tags(Tag::builder().key("team").value("x").build()).tags(tag).build()
    };
    let tasks = [tagged("RUNNING", "ada"), tagged("DEACTIVATING", "bob"), tagged("STOPPED", "cyd")];
    let ids = claims::ids(&tasks, "session").unwrap();
    let has = |id: &str| ids.contains(&SessionId::new(id));
    assert_eq!((has("ada"), has("bob"), has("cyd")), (true, true, false));
    let untagged = claims::ids(&[tagged("RUNNING", "ada")], "Session").unwrap_err();
    assert!(untagged.contains("task t1 has no tag Session"), "{untagged}");
    assert!(claims::ids(&[task("STOPPED", "STOPPED").build()], "session").is_ok(), "its tag is no matter any more");
    for value in ["", ".", "..", "a/b"] {
        let odd = claims::ids(&[tagged("RUNNING", value)], "session").unwrap_err();
        assert!(odd.contains("cannot be the name of a directory"), "{odd}");
    }
}
