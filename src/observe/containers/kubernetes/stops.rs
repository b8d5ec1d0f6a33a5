//! Which stops of a pod and of its containers nobody meant.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::clock::before;
use crate::observe::aws::word;

/// After an unplanned stop nothing is deleted for so long (DESIGN, promise 13).
pub(super) const WINDOW: Duration = Duration::from_secs(30 * 60);

/// A stop that nobody meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    pub(super) at: Timestamp,
    /// What stopped, and how.
    pub(super) what: String,
}

/// Reasons of the condition DisruptionTarget behind which no person stands. An eviction through the API is a drain: somebody
/// means it, and the pod is not ready meanwhile.
const DISRUPTIONS: [&str; 4] =
    ["PreemptionByScheduler", "DeletionByTaintManager", "DeletionByPodGC", "TerminationByKubelet"];

/// The newest unplanned stop that the pod tells of.
pub(super) fn newest(pod: &Pod) -> Option<Stop> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let status = pod.status.as_ref()?;
    let leaves = leaving_since(pod);
    let containers = containers(status).filter_map(|container| stopped(pod, name, container, leaves));
    let disrupted = status.conditions.iter().flatten().filter(|condition| {
        let reason = condition.reason.as_deref().unwrap_or_default();
        condition.type_ == "DisruptionTarget" && condition.status == "True" && DISRUPTIONS.contains(&reason)
    });
    let disrupted = disrupted.map(|condition| Stop {
        at: time(condition.last_transition_time.as_ref()).unwrap_or_else(|| last_time(pod)),
        what: format!("pod {name} was taken away ({})", word(condition.reason.as_deref().unwrap_or_default())),
    });
    // Nor does it matter how a pod that leaves ends as a whole: one whose program ends by SIGTERM, or that never began, failed.
    let failed = (leaves.is_none() && status.phase.as_deref() == Some("Failed")).then(|| Stop {
        at: last_time(pod),
        what: format!("pod {name} failed{}", bracketed(status.reason.as_deref())),
    });
    // Of stops at one time the one that says most: a container's, which comes first.
    let all: Vec<_> = containers.chain(disrupted).chain(failed).collect();
    all.into_iter().reduce(|newest, stop| if stop.at > newest.at { stop } else { newest })
}

/// The status of every container of the pod.
pub(super) fn containers(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let all = [&status.container_statuses, &status.init_container_statuses];
    all.into_iter().flatten().flatten()
}

/// How far the clocks of a node and of the API server may be apart.
const SKEW: Duration = Duration::from_secs(10);

/// Since when a pod is being stopped; its `deletionTimestamp` is when its time is over.
fn leaving_since(pod: &Pod) -> Option<Timestamp> {
    let over = pod.metadata.deletion_timestamp.as_ref()?.0;
    let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or_default().max(0);
    Some(before(over, Duration::from_secs(grace.unsigned_abs())))
}

fn stopped(pod: &Pod, name: &str, container: &ContainerStatus, leaves: Option<Timestamp>) -> Option<Stop> {
    let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let now = container.state.as_ref().and_then(|state| state.terminated.as_ref());
    // One that ends while its pod is being stopped does what it was told, and an init container that is done is done.
    let by_itself = |end: &ContainerStateTerminated| match (leaves, time(end.finished_at.as_ref())) {
        (None, _) => true,
        (Some(leaves), Some(ended)) => ended < before(leaves, SKEW),
        (Some(_), None) => false,
    };
    let now = now.filter(|end| end.exit_code != 0 && by_itself(end));
    let end = now.or(last)?;
    let verb = if now.is_some() { "ended" } else { "was restarted" };
    // Of a container whose end nobody saw (ContainerStatusUnknown) it is only known when it began again.
    let again = container.state.as_ref().and_then(|state| state.running.as_ref()?.started_at.as_ref());
    Some(Stop {
        at: time(end.finished_at.as_ref()).or(time(again)).unwrap_or_else(|| last_time(pod)),
        what: format!("container {} of pod {name} {verb} ({})", container.name, cause(end)),
    })
}

fn cause(end: &ContainerStateTerminated) -> String {
    match end.reason.as_deref().filter(|reason| !reason.is_empty()) {
        Some(reason) => format!("{}, exit code {}", word(reason), end.exit_code),
        None => format!("exit code {}", end.exit_code),
    }
}

fn bracketed(reason: Option<&str>) -> String {
    reason.filter(|reason| !reason.is_empty()).map_or_else(String::new, |reason| format!(" ({})", word(reason)))
}

/// The last time that the pod tells of: a pod that failed long ago may lie around for weeks.
fn last_time(pod: &Pod) -> Timestamp {
    let status = pod.status.as_ref();
    let ends = status.into_iter().flat_map(containers).flat_map(|container| {
        let states = [&container.state, &container.last_state];
        states.into_iter().flatten().filter_map(|state| time(state.terminated.as_ref()?.finished_at.as_ref()))
    });
    let conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let conditions = conditions.filter_map(|condition| time(condition.last_transition_time.as_ref()));
    let begun = status.and_then(|status| time(status.start_time.as_ref()));
    let made = time(pod.metadata.creation_timestamp.as_ref());
    ends.chain(conditions).chain(begun).chain(made).max().unwrap_or(Timestamp::MAX)
}

fn time(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| time.0)
}
