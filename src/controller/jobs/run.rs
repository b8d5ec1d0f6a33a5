//! One sweep as a Job: a place in the queue, the gate, what the Job needs, the Job itself, and what it reported. Each step can be
//! left at any time; whoever leads next takes up the Job that runs.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Client, ResourceExt};

use super::super::answers;
use super::super::events::Events;
use super::super::told::Told;
use super::calls::Calls;
use super::follow::{Followed, is_finished};
use super::history::{Finished, Limits, superfluous};
use super::manifest::{self, GENERATION, Operator, Recipe, WORK, Work};
use super::queue::{FairQueue, Place};
use crate::api::{JobPhase, JobStatus, WorkspaceHygiene};
use crate::clock::Clock;
use crate::cluster::Unanswered;
use crate::observe::containers::Look;
use crate::observe::{Health, Reading};
use crate::policy::{Mode, ResourceName};
use crate::report::status::LastState;
use crate::service::{Done, Elsewhere, Failed, Wanted};
use crate::sweeper::{JobReport, SweepReport};

/// Finished Jobs of each kind that are kept where the resource does not say.
const HISTORY: u32 = 1;
/// Time between two looks at a gate that is closed.
const GATE: Duration = Duration::from_secs(5);

/// What the Jobs of all resources share.
pub struct Jobs {
    client: Client,
    pub(super) operator: Operator,
    queue: FairQueue,
    clock: Arc<dyn Clock>,
}

impl Jobs {
    /// Jobs of this operator, at most `most` at once.
    pub fn new(client: Client, operator: Operator, most: usize, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { client, operator, queue: FairQueue::new(most), clock })
    }
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("operator", &self.operator).finish_non_exhaustive()
    }
}

/// Sweeps of one generation of one resource, as Jobs.
pub(in crate::controller) struct InJobs {
    pub(in crate::controller) shared: Arc<Jobs>,
    pub(in crate::controller) resource: Arc<WorkspaceHygiene>,
    pub(in crate::controller) uid: String,
    pub(in crate::controller) told: Arc<Told>,
    pub(in crate::controller) events: Events,
}

#[async_trait]
impl Elsewhere for InJobs {
    fn last(&self) -> Option<LastState> {
        self.told.last()
    }

    async fn sweep(&self, wanted: Wanted<'_>) -> Result<Done, Failed> {
        tokio::select! {
            done = self.run(&wanted) => done,
            // The Job goes on by its own orders: whoever leads next hears of it, and one that changed stops it.
            () = wanted.stop.wait() => Err(failed("Stopped", "asked to stop")),
        }
    }
}

impl InJobs {
    pub(super) fn calls(&self) -> Calls {
        let namespace = self.resource.namespace().unwrap_or_default();
        Calls { client: self.shared.client.clone(), namespace }
    }

    fn recipe(&self) -> Recipe<'_> {
        Recipe { resource: &self.resource, operator: &self.shared.operator }
    }

    async fn run(&self, wanted: &Wanted<'_>) -> Result<Done, Failed> {
        let mut place = Some(self.place(wanted).await);
        let calls = self.calls();
        self.prepare(&calls).await?;
        let unfinished = self.unfinished(&calls).await?;
        for purge in unfinished.iter().filter(|job| work(job) == Some(Work::Purge { shards: 0 }.label())) {
            self.follow(&calls, purge, wanted, &mut place).await?;
        }
        let what = if wanted.only_look { Work::Look } else { Work::Sweep };
        let job = match unfinished.into_iter().find(|job| work(job) == Some(what.label())) {
            Some(job) => job,
            None => self.create(&calls, &what).await?,
        };
        let followed = self.follow(&calls, &job, wanted, &mut place).await?;
        let report = followed.report(&self.uid)?;
        self.heard(&report, &wanted.policy.resource).await;
        let Some(sweep) = report.sweep else {
            let message = report.failure.unwrap_or_else(|| "its report tells of no sweep".into());
            return Err(Failed { job: Some(Box::new(followed.status)), ..failed("SweeperFailed", &message) });
        };
        // What it did is told, whatever becomes of the purge.
        let (again, failed) = self.purge(&calls, &sweep, wanted, &mut place).await;
        self.clean_up(&calls).await;
        let mut state = sweep.after(wanted.before);
        let mut status = followed.status;
        status.entries_removed = sweep.outcome.reclaimed.entries;
        state.status.job = Some(status);
        Ok(Done { outcome: sweep.outcome, state, again, failed })
    }

    /// A place among the Jobs that run at once, once the gate is open.
    pub(super) async fn place(&self, wanted: &Wanted<'_>) -> Place {
        let namespace = self.resource.namespace().unwrap_or_default();
        loop {
            while let Err(why) = self.gate(wanted).await {
                self.told.waits(wanted.policy, None, &why, self.shared.clock.now());
                tokio::time::sleep(GATE).await;
            }
            let place = self.shared.queue.acquire(&namespace).await;
            // It may have been a while.
            if self.gate(wanted).await.is_ok() {
                return place;
            }
        }
    }

    /// Whether anything may be changed, as far as the service's pods tell.
    ///
    /// # Errors
    /// Why not.
    pub(super) async fn gate(&self, wanted: &Wanted<'_>) -> Result<(), String> {
        if wanted.only_look || wanted.policy.mode == Mode::Report || wanted.policy.suspend {
            return Ok(());
        }
        match wanted.sources.serving(Look::Passing, wanted.stop).await {
            None => Ok(()),
            Some(Reading::Complete(Health::Healthy)) => {
                self.told.may_go(wanted.policy);
                Ok(())
            }
            Some(Reading::Complete(Health::Unhealthy(why)) | Reading::Unavailable(why)) => Err(why),
        }
    }

    /// Everything that a Job needs.
    async fn prepare(&self, calls: &Calls) -> Result<(), Failed> {
        self.look_at_claim(calls).await?;
        let recipe = self.recipe();
        let spec = manifest::config_map(&recipe);
        let made = async {
            if let Some(account) = manifest::service_account(&recipe) {
                calls.apply(&account).await?;
            }
            calls.apply(&manifest::role(&recipe)).await?;
            for binding in manifest::role_bindings(&recipe) {
                calls.apply(&binding).await?;
            }
            calls.create(&spec).await
        };
        let made = made.await.map_err(|error| unanswered("what its Jobs need cannot be made", &error))?;
        // Its name follows from what is in it; one of somebody else would be swept by.
        if made.data == spec.data && made.immutable == Some(true) {
            return Ok(());
        }
        let message = format!("ConfigMap {} does not hold what the controller puts there; delete it", spec.name_any());
        Err(failed("SweeperNotCreated", &message))
    }

    async fn look_at_claim(&self, calls: &Calls) -> Result<(), Failed> {
        let Some(claim) = &self.resource.spec.volume.persistent_volume_claim else { return Ok(()) };
        let (field, name) = ("spec.volume.persistentVolumeClaim.claimName", &claim.claim_name);
        let found = calls.claim(name).await.map_err(|error| unanswered("the claim cannot be looked at", &error))?;
        let Some(found) = found else {
            return Err(failed(
                "ClaimNotFound",
                &format!("{field}: there is no claim {name} in this namespace; create it"),
            ));
        };
        let modes = found.spec.and_then(|spec| spec.access_modes).unwrap_or_default();
        if modes.iter().any(|mode| mode == "ReadWriteMany") {
            return Ok(());
        }
        let message = format!(
            "{field}: claim {name} has the access modes {}; a Job mounts it beside the pods that use it, so it needs ReadWriteMany",
            modes.join(", ")
        );
        Err(failed("ClaimNotShared", &message))
    }

    /// The Jobs of this generation that are not finished; those of others are removed.
    async fn unfinished(&self, calls: &Calls) -> Result<Vec<Job>, Failed> {
        let generation = self.resource.metadata.generation.unwrap_or_default().to_string();
        let mut unfinished = Vec::new();
        for job in self.jobs(calls).await?.into_iter().filter(|job| is_finished(job).is_none()) {
            if job.annotations().get(GENERATION) == Some(&generation) {
                unfinished.push(job);
            } else if work(&job) != Some(Work::Command(&[]).label()) {
                let deleted = calls.delete_job(&job.name_any()).await;
                deleted.map_err(|error| unanswered("a Job of an older generation cannot be removed", &error))?;
            }
        }
        Ok(unfinished)
    }

    async fn jobs(&self, calls: &Calls) -> Result<Vec<Job>, Failed> {
        let jobs = calls.jobs(&self.resource.name_any(), &self.uid).await;
        jobs.map_err(|error| unanswered("its Jobs cannot be listed", &error))
    }

    async fn create(&self, calls: &Calls, what: &Work<'_>) -> Result<Job, Failed> {
        let generation = self.resource.metadata.generation.unwrap_or_default();
        let mark = manifest::mark(&self.uid, generation, self.shared.clock.now());
        let job = manifest::job(&self.recipe(), what, &mark);
        calls.create(&job).await.map_err(|error| unanswered("its Job cannot be made", &error))
    }

    /// Lets shards remove what the sweep left to them. Whether another sweep is due at once, to write down what they did; and why
    /// not all of it was done.
    async fn purge(
        &self,
        calls: &Calls,
        sweep: &SweepReport,
        wanted: &Wanted<'_>,
        place: &mut Option<Place>,
    ) -> (bool, Option<Failed>) {
        let shards = wanted.policy.limits.purge.shards;
        if sweep.left_to_shards == 0 || shards < 2 || wanted.policy.schedule.open(self.shared.clock.now()).is_err() {
            return (false, None);
        }
        let followed = async {
            let job = self.create(calls, &Work::Purge { shards }).await?;
            self.follow(calls, &job, wanted, place).await
        };
        match followed.await {
            // Only where something went: a share that is done already is no reason to look again and again at what stays.
            Ok(followed) => {
                let removed = followed.shards(&self.uid).iter().any(|shard| shard.entries > 0);
                (removed, followed.failure(&self.uid))
            }
            Err(failed) => (false, Some(failed)),
        }
    }

    /// Tells what came of annotations, and takes those away that are over with.
    async fn heard(&self, report: &JobReport, name: &ResourceName) {
        for heard in &report.heard {
            // Another version's sweeper may have heard what this one knows nothing of.
            let Some(kind) = answers::kind(&heard.what) else { continue };
            self.events.tell(!heard.followed, answers::action(kind), &heard.reason, &heard.note);
            if heard.settled {
                answers::forget(&self.shared.client, name, &self.uid, &heard.what, &heard.value).await;
            }
        }
    }

    /// Removes finished Jobs beyond the limits, and specs that no Job needs. What fails is tried after the next sweep.
    async fn clean_up(&self, calls: &Calls) {
        let job = self.resource.spec.job.as_ref();
        let limit = |limit: Option<u32>| limit.unwrap_or(HISTORY) as usize;
        let limits = Limits {
            succeeded: limit(job.map(|job| job.successful_jobs_history_limit)),
            failed: limit(job.map(|job| job.failed_jobs_history_limit)),
        };
        let Ok(jobs) = self.jobs(calls).await else { return };
        let finished: Vec<_> = jobs.iter().filter_map(finished).collect();
        for name in superfluous(&finished, limits) {
            if let Err(why) = calls.delete_job(name).await {
                tracing::debug!(%why, job = name, "a finished Job cannot be removed");
            }
        }
        // A command by hand goes by the spec that it was made for, and its pod may still have to start.
        let mut needed: Vec<_> = jobs.iter().filter(|job| is_finished(job).is_none()).flat_map(specs).collect();
        needed.push(manifest::config_map(&self.recipe()).name_any());
        if let Err(why) = calls.delete_other_specs(&self.resource.name_any(), &self.uid, &needed).await {
            tracing::debug!(%why, "the specs of older generations cannot be removed");
        }
    }

    async fn follow(
        &self,
        calls: &Calls,
        job: &Job,
        wanted: &Wanted<'_>,
        place: &mut Option<Place>,
    ) -> Result<Followed, Failed> {
        let followed = super::follow::follow(self, calls, job, wanted, place).await;
        if followed.is_err() {
            self.clean_up(calls).await;
        }
        followed
    }

    pub(super) fn now(&self) -> Time {
        Time(self.shared.clock.now())
    }
}

fn finished(job: &Job) -> Option<Finished> {
    let succeeded = is_finished(job)? == JobPhase::Succeeded;
    let ended = job.status.as_ref().and_then(|status| status.completion_time.clone());
    let at = ended.or_else(|| job.creation_timestamp()).map(|time| time.0);
    Some(Finished { name: job.name_any(), succeeded, at, work: work(job).unwrap_or_default().into() })
}

/// The ConfigMaps that a Job's pods mount.
fn specs(job: &Job) -> Vec<String> {
    let volumes = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()?.volumes.as_ref());
    volumes.into_iter().flatten().filter_map(|volume| Some(volume.config_map.as_ref()?.name.clone())).collect()
}

/// What a Job is for.
pub(super) fn work(job: &Job) -> Option<&str> {
    job.labels().get(WORK).map(String::as_str)
}

pub(super) fn failed(reason: &'static str, message: &str) -> Failed {
    Failed { reason, message: message.into(), job: None }
}

pub(super) fn unanswered(what: &str, error: &Unanswered) -> Failed {
    let (reason, way_out) = match error.code() {
        Some(403) => {
            ("NotPermitted", "; allow the controller's ServiceAccount to do it, or lift the quota that says no")
        }
        Some(_) => ("SweeperNotCreated", ""),
        None => ("ApiServerUnavailable", ""),
    };
    failed(reason, &format!("{what}: {error}{way_out}"))
}

/// What is known of a Job before it was looked at.
pub(super) fn pending(job: &Job) -> JobStatus {
    JobStatus {
        name: job.name_any(),
        pod_name: None,
        node_name: None,
        phase: JobPhase::Pending,
        entries_removed: 0,
        progress_time: None,
        message: None,
    }
}
