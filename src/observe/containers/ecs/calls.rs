//! The calls of ECS. Each gives the whole answer or none: a page that is missing must never look like fewer tasks.

use std::collections::BTreeSet;

use aws_sdk_ecs::types::{DesiredStatus, Service, Task, TaskField};

use crate::observe::aws::{Aws, Called, word};
use crate::policy::EcsTasks;

/// Tasks of one page of ListTasks, and of one call of DescribeTasks: what ECS allows at most.
const PAGE: usize = 100;
/// Most pages of one list. A service has at most 5 000 tasks; more pages than this are a loop.
const MOST_PAGES: usize = 500;

/// The calls on one cluster.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    pub(super) aws: Aws,
    pub(super) cluster: String,
    pub(super) region: String,
}

/// The ARNs of tasks by what is wanted of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    /// To run.
    pub(super) running: BTreeSet<String>,
    /// To stop; some of them still run.
    pub(super) stopped: BTreeSet<String>,
}

impl Listed {
    /// All of them, each once: one that was asked to stop between the two lists is in both.
    pub(super) fn all(&self) -> BTreeSet<String> {
        self.running.union(&self.stopped).cloned().collect()
    }
}

impl Calls {
    fn of(&self) -> String {
        format!("cluster {} in {}", self.cluster, self.region)
    }

    /// The service with this name.
    ///
    /// # Errors
    /// When there is none, or the answer is not whole.
    pub(super) async fn service(&self, name: &str) -> Result<Service, String> {
        let of = self.of();
        let called = Called { action: "ecs:DescribeServices", of: &of };
        let clients = self.aws.region(&self.region).await;
        let answer = clients.ecs.describe_services().cluster(&self.cluster).services(name).send().await;
        let answer = answer.map_err(|error| called.failed(&error))?;
        if let Some(failure) = answer.failures().first() {
            let why = word(failure.reason().unwrap_or_default());
            return Err(called.partial(&format!("service {name}: {why}; check spec.containers.ecs")));
        }
        let mut services = answer.services.unwrap_or_default().into_iter();
        match (services.next(), services.next()) {
            (Some(service), None) if service.service_name() == Some(name) => Ok(service),
            _ => Err(called.partial(&format!("it does not describe service {name}, and it alone"))),
        }
    }

    /// The tasks that are wanted to run, then those that are wanted to stop: in this order one that is asked to stop meanwhile
    /// is in both lists, in the other it would be in none.
    ///
    /// # Errors
    /// When a page is missing.
    pub(super) async fn list(&self, tasks: &EcsTasks) -> Result<Listed, String> {
        let running = self.pages(tasks, DesiredStatus::Running).await?;
        Ok(Listed { running, stopped: self.pages(tasks, DesiredStatus::Stopped).await? })
    }

    async fn pages(&self, tasks: &EcsTasks, desired: DesiredStatus) -> Result<BTreeSet<String>, String> {
        let of = self.of();
        let called = Called { action: "ecs:ListTasks", of: &of };
        let clients = self.aws.region(&self.region).await;
        let (mut arns, mut token) = (BTreeSet::new(), None);
        for _ in 0..MOST_PAGES {
            let page = clients.ecs.list_tasks().cluster(&self.cluster).max_results(100).desired_status(desired.clone());
            let page = match tasks {
                EcsTasks::Service(name) => page.service_name(name),
                EcsTasks::Family(name) => page.family(name),
            };
            let page = page.set_next_token(token.clone()).send().await.map_err(|error| called.failed(&error))?;
            // An answer without the list is not one with an empty list.
            arns.extend(page.task_arns.ok_or_else(|| called.partial("it has no taskArns"))?);
            match page.next_token.filter(|next| !next.is_empty()) {
                None => return Ok(arns),
                Some(next) if token.as_ref() == Some(&next) => {
                    return Err(called.partial("its pages go round in circles"));
                }
                next => token = next,
            }
        }
        Err(called.partial(&format!("it has more than {MOST_PAGES} pages")))
    }

    /// These tasks, with their tags.
    ///
    /// # Errors
    /// When one of them is not described, or one that was not asked for is.
    pub(super) async fn describe(&self, arns: &BTreeSet<String>) -> Result<Vec<Task>, String> {
        let of = self.of();
        let called = Called { action: "ecs:DescribeTasks", of: &of };
        let clients = self.aws.region(&self.region).await;
        let asked: Vec<&String> = arns.iter().collect();
        let mut tasks = Vec::new();
        for some in asked.chunks(PAGE) {
            let call = clients.ecs.describe_tasks().cluster(&self.cluster).include(TaskField::Tags);
            let call = some.iter().fold(call, |call, arn| call.tasks(*arn));
            let answer = call.send().await.map_err(|error| called.failed(&error))?;
            if let Some(failure) = answer.failures().first() {
                let (arn, why) = (failure.arn().unwrap_or_default(), failure.reason().unwrap_or_default());
                return Err(called.partial(&format!("task {}: {}", short(arn), word(why))));
            }
            tasks.extend(answer.tasks.ok_or_else(|| called.partial("it has no tasks"))?);
        }
        let described: BTreeSet<&str> = tasks.iter().filter_map(Task::task_arn).collect();
        if tasks.len() != arns.len() || !arns.iter().map(String::as_str).eq(described) {
            return Err(called.partial(&format!("{} tasks were asked for, {} described", arns.len(), tasks.len())));
        }
        Ok(tasks)
    }
}

/// A task's id, the last part of its ARN.
pub(super) fn short(arn: &str) -> String {
    word(arn.rsplit('/').next().unwrap_or_default())
}
