//! Whether the pods that serve are well.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};

use super::stops::{self, Stop, WINDOW};
use super::watch::{Gone, Kept};
use super::workloads::Workload;
use crate::clock::before;
use crate::observe::Health;
use crate::observe::aws::word;
use crate::policy::{KubernetesPolicy, WhenAbsent};
use crate::report::text::length;

/// What is kept of a pod that serves.
#[derive(Clone, Debug)]
pub(super) struct ServingPod {
    uid: String,
    version: String,
    name: String,
    course: Course,
    stop: Option<Stop>,
}

/// Where a pod is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Course {
    /// It serves since then.
    Ready(Timestamp),
    /// It should serve, and does not.
    NotReady(String),
    /// It is being stopped.
    Leaving,
    /// It runs no more (`Succeeded`, `Failed`).
    Over,
}

impl Kept for ServingPod {
    type Object = Pod;

    fn of(pod: &Pod) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let metadata = &pod.metadata;
        Self {
            uid: text(&metadata.uid),
            version: text(&metadata.resource_version),
            name: text(&metadata.name),
            course: course(pod),
            stop: stops::newest(pod),
        }
    }

    fn version(&self) -> (&str, &str) {
        (&self.uid, &self.version)
    }

    fn after(self, before: Option<&Self>) -> Self {
        let Some(before) = before else { return self };
        let was_leaving = matches!(before.course, Course::Leaving | Course::Over);
        let course = if was_leaving { before.course.clone() } else { self.course };
        Self { course, stop: self.stop.or_else(|| before.stop.clone()), ..self }
    }
}

fn course(pod: &Pod) -> Course {
    let status = pod.status.clone().unwrap_or_default();
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return Course::Over;
    }
    if pod.metadata.deletion_timestamp.is_some() {
        return Course::Leaving;
    }
    let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
    match ready.filter(|ready| ready.status == "True") {
        // Without a time it is not known for how long.
        Some(ready) => Course::Ready(ready.last_transition_time.as_ref().map_or(Timestamp::MAX, |time| time.0)),
        None => Course::NotReady(waits_for(&status)),
    }
}

/// Why a pod is not ready, as far as it says: `CrashLoopBackOff`, `ImagePullBackOff`, or its phase.
fn waits_for(status: &PodStatus) -> String {
    let waiting = stops::containers(status).find_map(|container| {
        let reason = container.state.as_ref()?.waiting.as_ref()?.reason.as_deref()?;
        Some(format!("container {}: {}", container.name, word(reason)))
    });
    waiting.unwrap_or_else(|| word(status.phase.as_deref().unwrap_or_default()))
}

/// How the service is, by its pods, those that are gone, and what makes them.
pub(super) fn judge(
    policy: &KubernetesPolicy,
    pods: &[ServingPod],
    gone: &[Gone<ServingPod>],
    workloads: &[Workload],
    now: Timestamp,
) -> Health {
    match wrong(policy, pods, gone, workloads, now) {
        None => Health::Healthy,
        Some(why) => Health::Unhealthy(format!("namespace {}: {why}", policy.namespace)),
    }
}

/// What is wrong, the gravest first.
fn wrong(
    policy: &KubernetesPolicy,
    pods: &[ServingPod],
    gone: &[Gone<ServingPod>],
    workloads: &[Workload],
    now: Timestamp,
) -> Option<String> {
    let stops = pods.iter().filter_map(|pod| pod.stop.clone()).chain(gone.iter().filter_map(ended));
    if let Some(stop) = stops.filter(|stop| stop.at >= before(now, WINDOW)).max_by_key(|stop| stop.at) {
        let ago = ago(stop.at, now).map_or_else(String::new, |ago| format!(" {} ago", whole(ago)));
        let window = length(WINDOW);
        return Some(format!("{}{ago}: nothing is deleted for {window} after a stop that nobody meant", stop.what));
    }
    if let Some(trouble) = workloads.iter().find_map(|workload| workload.trouble.clone()) {
        return Some(trouble);
    }
    let mut present = pods.iter().filter(|pod| pod.course != Course::Over).peekable();
    if present.peek().is_none() {
        return match (policy.when_absent, workloads.iter().find(|workload| workload.wanted > 0)) {
            (_, Some(workload)) => Some(format!("{} wants {} pods, and none is there", workload.name, workload.wanted)),
            (WhenAbsent::Proceed, None) => None,
            (WhenAbsent::Hold, None) => {
                Some("no pod serves; if it is meant to be down, set spec.containers.whenAbsent: Proceed".into())
            }
        };
    }
    present.find_map(|pod| unwell(pod, policy.settle, now))
}

fn unwell(pod: &ServingPod, settle: Duration, now: Timestamp) -> Option<String> {
    let name = &pod.name;
    match &pod.course {
        Course::Over => None,
        Course::Leaving => Some(format!("pod {name} is being stopped")),
        Course::NotReady(why) => Some(format!("pod {name} is not ready ({why})")),
        // Between two looks it may have been unready for a moment: the pod itself tells.
        Course::Ready(since) if *since > before(now, settle) => {
            let ready = ago(*since, now).unwrap_or_default();
            Some(format!("pod {name} has been ready for only {} of containers.settle {}", whole(ready), length(settle)))
        }
        Course::Ready(_) => None,
    }
}

/// How a pod ended that is gone; `None` where somebody meant it to.
fn ended(gone: &Gone<ServingPod>) -> Option<Stop> {
    let pod = &gone.last;
    match (&pod.stop, &pod.course) {
        (Some(stop), _) => Some(stop.clone()),
        (None, Course::Leaving | Course::Over) => None,
        (None, Course::Ready(_) | Course::NotReady(_)) => {
            Some(Stop { at: gone.at, what: format!("pod {} was gone at once", pod.name) })
        }
    }
}

fn ago(at: Timestamp, now: Timestamp) -> Option<Duration> {
    Duration::try_from(now.duration_since(at)).ok()
}

fn whole(time: Duration) -> String {
    length(Duration::from_secs(time.as_secs()))
}
