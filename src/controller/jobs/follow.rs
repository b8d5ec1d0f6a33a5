//! A Job from its creation to its end: how far its pods are, what stands in their way, and what they said in the end. While the
//! service is not well it stands still.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::ResourceExt;
use serde::Deserialize;
use url::Url;

use super::calls::Calls;
use super::queue::Place;
use super::run::{InJobs, failed, pending, unanswered};
use super::trouble::{self, Trouble};
use crate::admin;
use crate::api::{JobPhase, JobStatus};
use crate::report::status::cut;
use crate::service::{Failed, Wanted};
use crate::sweeper::{JobReport, ShardReport};

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(2);
/// How long the API server may say nothing of a Job before it is given up, and taken up again by the next sweep.
const SILENCE: Duration = Duration::from_secs(120);
/// How long a pod may take to tell how far it is.
const ASK: Duration = Duration::from_secs(2);
const LONGEST: usize = JobStatus::LONGEST_MESSAGE;

/// A Job that ended.
pub(super) struct Followed {
    pods: Vec<Pod>,
    pub(super) status: JobStatus,
}

impl Followed {
    /// What its pod said.
    ///
    /// # Errors
    /// That it said nothing: what it did is not known.
    pub(super) fn report(&self, uid: &str) -> Result<JobReport, Failed> {
        let mut why = "its pod is gone, and left no report".to_owned();
        for pod in &self.pods {
            match last_words(pod).map(|words| JobReport::read(words, uid)) {
                Some(Ok(report)) => return Ok(report),
                Some(Err(said)) => why = said,
                None => {}
            }
        }
        let trouble = self.pods.iter().find_map(|pod| trouble::of_pod(pod, &[]));
        let Trouble { reason, message } = trouble.unwrap_or(Trouble { reason: "SweeperFailed", message: why });
        Err(Failed { job: Some(Box::new(self.status.clone())), ..failed(reason, &message) })
    }

    /// Why it failed, where it did.
    pub(super) fn failure(&self, uid: &str) -> Option<Failed> {
        (self.status.phase == JobPhase::Failed).then(|| match self.report(uid) {
            Err(failed) => failed,
            Ok(_) => {
                let read = |pod: &Pod| JobReport::read(last_words(pod)?, uid).ok()?.failure;
                let why = self.pods.iter().find_map(read);
                let why = why.unwrap_or_else(|| "its Job failed, and no pod says why".into());
                Failed { job: Some(Box::new(self.status.clone())), ..failed("SweeperFailed", &why) }
            }
        })
    }

    /// What the shards of a purge said, the last of each.
    pub(super) fn shards(&self, uid: &str) -> Vec<ShardReport> {
        let mut shards = BTreeMap::new();
        for pod in &self.pods {
            let said = last_words(pod).and_then(|words| JobReport::read(words, uid).ok()).and_then(|said| said.shard);
            if let Some(shard) = said {
                shards.entry(index(pod)).or_insert(shard);
            }
        }
        shards.into_values().collect()
    }
}

fn index(pod: &Pod) -> Option<&String> {
    pod.annotations().get("batch.kubernetes.io/job-completion-index")
}

/// What a pod's container said when it ended.
fn last_words(pod: &Pod) -> Option<&str> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    containers.first()?.state.as_ref()?.terminated.as_ref()?.message.as_deref()
}

/// Whether a Job is finished, and how.
pub(super) fn is_finished(job: &Job) -> Option<JobPhase> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().filter(|one| one.status == "True").find_map(|one| match one.type_.as_str() {
        "Complete" => Some(JobPhase::Succeeded),
        "Failed" => Some(JobPhase::Failed),
        _ => None,
    })
}

/// What a pod tells of itself.
#[derive(Deserialize)]
struct Told {
    working: Vec<admin::Step>,
}

/// Follows a Job to its end.
///
/// While it stands still it has no place among those that run, so that it keeps nobody waiting.
pub(super) async fn follow(
    of: &InJobs,
    calls: &Calls,
    job: &Job,
    wanted: &Wanted<'_>,
    place: &mut Option<Place>,
) -> Result<Followed, Failed> {
    let (name, uid) = (job.name_any(), job.uid().unwrap_or_default());
    let mut status = pending(job);
    let mut heard = tokio::time::Instant::now();
    loop {
        match look(of, calls, (&name, &uid), &mut status, wanted, place).await {
            Ok(Some(pods)) => return Ok(Followed { pods, status }),
            Ok(None) => heard = tokio::time::Instant::now(),
            Err(Looked::Unanswered(error)) if heard.elapsed() < SILENCE => {
                tracing::debug!(%error, job = name, "the Job cannot be looked at");
            }
            Err(Looked::Unanswered(error)) => return Err(unanswered("its Job cannot be looked at", &error)),
            Err(Looked::Failed(failed)) => return Err(failed),
        }
        tokio::time::sleep(LOOK).await;
    }
}

enum Looked {
    Unanswered(crate::cluster::Unanswered),
    Failed(Failed),
}

impl From<crate::cluster::Unanswered> for Looked {
    fn from(error: crate::cluster::Unanswered) -> Self {
        Self::Unanswered(error)
    }
}

/// Looks once; gives the pods of a Job that ended, the newest first.
async fn look(
    of: &InJobs,
    calls: &Calls,
    (name, uid): (&str, &str),
    status: &mut JobStatus,
    wanted: &Wanted<'_>,
    place: &mut Option<Place>,
) -> Result<Option<Vec<Pod>>, Looked> {
    let job = calls.job(name).await?.filter(|job| job.uid().as_deref() == Some(uid));
    let Some(job) = job else {
        let message =
            format!("Job {name} was removed before it ended; what it did is not known, and the next sweep looks");
        return Err(Looked::Failed(Failed {
            job: Some(Box::new(status.clone())),
            ..failed("SweeperRemoved", &message)
        }));
    };
    let mut pods = calls.pods(name, uid).await?;
    pods.sort_by_key(|pod| std::cmp::Reverse(pod.creation_timestamp().map(|time| time.0)));
    if let Some(phase) = is_finished(&job) {
        // One that was done before anybody looked ran somewhere too.
        name_pod(status, pods.first());
        status.phase = phase;
        status.message = None;
        return Ok(Some(pods));
    }
    let suspended = job.spec.as_ref().and_then(|spec| spec.suspend).unwrap_or(false);
    let gate = of.gate(wanted).await;
    if gate.is_ok() && place.is_none() {
        *place = Some(of.place(wanted).await);
    }
    if gate.is_err() != suspended {
        calls.suspend(name, gate.is_err()).await?;
    } else if suspended && !pods.iter().any(runs) {
        *place = None;
    }
    let trouble = stands_in_the_way(calls, &job, &pods).await;
    show(of, status, &pods).await;
    match gate {
        Err(why) => {
            status.phase = JobPhase::Pending;
            status.message = Some(cut(&format!("stands still while the service is not well: {why}"), LONGEST));
            of.told.waits(wanted.policy, Some(status), &why, of.now().0);
        }
        Ok(()) => {
            if let Some(trouble) = &trouble {
                status.message = Some(cut(&trouble.message, LONGEST));
            }
            let trouble = trouble.as_ref().map(|one| (one.reason, one.message.as_str()));
            of.told.works(wanted.policy, status, trouble);
        }
    }
    Ok(None)
}

/// Why a pod does not run, or why there is none.
async fn stands_in_the_way(calls: &Calls, job: &Job, pods: &[Pod]) -> Option<Trouble> {
    let waits = |pod: &&Pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Pending");
    if let Some(pod) = pods.iter().find(waits) {
        return trouble::of_pod(pod, &told(calls, pod.uid()).await);
    }
    match pods.is_empty() {
        true => trouble::of_job(job, &told(calls, job.uid()).await),
        false => None,
    }
}

/// The events about an object. Where they cannot be had there is less to tell, and no more.
async fn told(calls: &Calls, uid: Option<String>) -> Vec<Event> {
    let events = calls.events(&uid.unwrap_or_default()).await;
    events.unwrap_or_else(|why| {
        tracing::debug!(%why, "the events about a Job cannot be listed");
        Vec::new()
    })
}

fn runs(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
}

/// Which pods are at work, and how far they are.
async fn show(of: &InJobs, status: &mut JobStatus, pods: &[Pod]) {
    let running: Vec<_> = pods.iter().filter(|pod| runs(pod)).collect();
    status.phase = if running.is_empty() { JobPhase::Pending } else { JobPhase::Running };
    let shown = running.first().copied().or(pods.first());
    name_pod(status, shown);
    let port = of.shared.operator.listen_port;
    let asked = running.iter().filter_map(|pod| address(pod, port)).map(|url| async move { ask(&url).await });
    let steps: Vec<_> = futures_util::future::join_all(asked).await.into_iter().flatten().collect();
    // A pod that cannot be asked says nothing; what was known stays.
    let Some(step) = steps.first() else { return };
    let mut removed = steps.iter().filter(|step| step.step == "purging").map(|step| step.done).sum();
    removed = status.entries_removed.max(removed);
    let message = match step.total {
        Some(total) => format!("{}: {} of {total}", step.step, step.done),
        None => format!("{}: {}", step.step, step.done),
    };
    let message = cut(&message, LONGEST);
    if removed != status.entries_removed || status.message.as_ref() != Some(&message) {
        status.progress_time = Some(of.now());
    }
    (status.entries_removed, status.message) = (removed, Some(message));
}

fn name_pod(status: &mut JobStatus, pod: Option<&Pod>) {
    status.pod_name = pod.map(ResourceExt::name_any);
    status.node_name = pod.and_then(|pod| pod.spec.as_ref()?.node_name.clone());
}

fn address(pod: &Pod, port: u16) -> Option<Url> {
    let ip: std::net::IpAddr = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
    Url::parse(&format!("http://{}/status", std::net::SocketAddr::new(ip, port))).ok()
}

async fn ask(url: &Url) -> Option<admin::Step> {
    let (200, body) = admin::fetch::get(url, ASK).await.ok()? else { return None };
    serde_json::from_slice::<Told>(&body).ok()?.working.into_iter().next()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, index: u32, exit: i32, said: &JobReport) -> Pod {
        let ended = json!({"exitCode": exit, "reason": "Error", "message": said.clone().message()});
        let container = json!({"name": "sweeper", "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": {"terminated": ended}});
        let annotations = json!({"batch.kubernetes.io/job-completion-index": index.to_string()});
        let pod = json!({
            "metadata": {"name": name, "annotations": annotations}, "spec": {"containers": []},
            "status": {"phase": if exit == 0 { "Succeeded" } else { "Failed" }, "containerStatuses": [container]},
        });
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn a_purge_that_failed_says_why_and_what_its_shards_did_counts() {
        let blank = || JobReport { uid: "u".into(), ..JobReport::default() };
        let done = JobReport { shard: Some(ShardReport { entries: 7, done: 2, ..ShardReport::default() }), ..blank() };
        let pods = vec![pod("b", 1, 1, &blank().failed("share 1 of 2 is not done: EIO")), pod("a", 0, 0, &done)];
        let mut followed = Followed { pods, status: JobStatus { phase: JobPhase::Failed, ..pending(&Job::default()) } };
        let failed = followed.failure("u").unwrap();
        assert_eq!((failed.reason, failed.message.as_str()), ("SweeperFailed", "share 1 of 2 is not done: EIO"));
        assert_eq!(followed.shards("u").iter().map(|shard| shard.entries).sum::<u64>(), 7);
        // What nobody could read is a failure too.
        followed.pods.clear();
        assert!(followed.failure("u").unwrap().message.contains("left no report"));
        followed.status.phase = JobPhase::Succeeded;
        assert!(followed.failure("u").is_none());
    }
}
