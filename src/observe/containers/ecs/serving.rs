//! Whether a service is well, by what ECS says of it and of its tasks. docs/ecs.md has the table.

use aws_sdk_ecs::types::{Service, Task};
use jiff::Timestamp;

use super::calls::short;
use super::claims::STOPPED;
use super::stops::unplanned;
use crate::observe::Health;
use crate::observe::aws::word;
use crate::policy::{EcsPolicy, WhenAbsent};

/// How the service is.
pub(super) fn judge(policy: &EcsPolicy, service: &Service, tasks: &[Task], now: Timestamp) -> Health {
    let name = service.service_name().unwrap_or_default();
    match wrong(policy, service, tasks, now) {
        None => Health::Healthy,
        Some(why) => Health::Unhealthy(format!("ECS service {name}: {why}")),
    }
}

/// What is wrong with it, the gravest first.
fn wrong(policy: &EcsPolicy, service: &Service, tasks: &[Task], now: Timestamp) -> Option<String> {
    let to_stop = |task: &&Task| task.desired_status() != Some("RUNNING") || task.last_status() == Some(STOPPED);
    if let Some(why) = tasks.iter().filter(to_stop).find_map(|task| unplanned(task, now)) {
        return Some(why);
    }
    let status = service.status().unwrap_or_default();
    if status != "ACTIVE" {
        return Some(format!("its status is {}, not ACTIVE", word(status)));
    }
    if let Some(why) = rolling(service) {
        return Some(why);
    }
    let tasks: Vec<_> = tasks.iter().filter(|task| !to_stop(task)).collect();
    let (desired, running, pending) = (service.desired_count(), service.running_count(), service.pending_count());
    if desired == 0 && running == 0 && pending == 0 && tasks.is_empty() {
        return match policy.when_absent {
            WhenAbsent::Proceed => None,
            WhenAbsent::Hold => Some(
                "no task serves (desiredCount is 0); if it is meant to be down, set spec.containers.whenAbsent: Proceed".into(),
            ),
        };
    }
    if running != desired || pending != 0 {
        return Some(format!("{desired} tasks are desired, {running} run, {pending} are pending"));
    }
    if usize::try_from(desired) != Ok(tasks.len()) {
        return Some(format!("{desired} tasks are desired, and {} are listed", tasks.len()));
    }
    unwell(policy, &tasks)
}

/// Whether a deployment is on its way.
fn rolling(service: &Service) -> Option<String> {
    let (deployments, sets) = (service.deployments(), service.task_sets());
    match (deployments, sets) {
        ([one], []) => {
            // Services that are deployed in another way than by ECS itself have no such state.
            let state = one.rollout_state().map(|state| state.as_str()).filter(|state| *state != "COMPLETED")?;
            Some(format!("a deployment is {}", word(state)))
        }
        ([], [one]) => {
            let state = one.stability_status().map(|state| state.as_str()).unwrap_or_default();
            (state != "STEADY_STATE").then(|| format!("its task set is {}", word(state)))
        }
        ([], []) => Some("ECS names no deployment of it".into()),
        _ => Some(format!("a deployment is under way: there are {}", deployments.len().max(sets.len()))),
    }
}

/// Which of the tasks that should run is not well.
fn unwell(policy: &EcsPolicy, tasks: &[&Task]) -> Option<String> {
    let health = |task: &Task| task.health_status().map_or("UNKNOWN", |health| health.as_str()).to_owned();
    // Where one task has a check, all have, and UNKNOWN means that it did not come to an end yet.
    let checked = tasks.iter().any(|task| health(task) != "UNKNOWN");
    tasks.iter().find_map(|task| {
        let name = short(task.task_arn().unwrap_or_default());
        let status = task.last_status().unwrap_or_default();
        if status != "RUNNING" {
            return Some(format!("task {name} is {}", word(status)));
        }
        match health(task).as_str() {
            "HEALTHY" => None,
            "UNKNOWN" if !checked && policy.http_beside => None,
            "UNKNOWN" if !checked => Some(format!(
                "task {name} has the healthStatus UNKNOWN. Either its first check is still running, or its task definition has \
                 no container check: then give it one (healthCheck), or name a health endpoint in spec.containers.http"
            )),
            other => Some(format!("task {name} has the healthStatus {}", word(other))),
        }
    })
}
