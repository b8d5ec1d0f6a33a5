//! `hygiene sweeper`: what runs in the pod of a Job that the controller makes.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use kube::Client;
use kube::api::DynamicObject;

use super::exit::{Ended, Exit};
use super::output::complain;
use super::run::Run;
use super::serving::{AdminOptions, Serving};
use super::shown::timed;
use crate::act::{LockWait, Shard};
use crate::admin::Steps;
use crate::api::WorkspaceHygiene;
use crate::cluster;
use crate::controller::{Asked, asked};
use crate::observe::containers::KubernetesApi;
use crate::policy::{Claims, Mode, Policy, PolicyOptions, ResourceName};
use crate::report::outcome::Outcome;
use crate::report::sweep as text;
use crate::spec::{ObjectVersion, judge};
use crate::sweep::{self, Context, Settling, Sources};
use crate::sweeper::{ApiOrders, JobReport, Ordered, ShardReport, SweepReport, answer};

/// How long the API server is asked to keep a watch: a Job does not live for long.
const WATCH: Duration = Duration::from_secs(60);
/// How long another sweep may take to give the volume free, such as one by hand.
const LOCK: LockWait = LockWait { timeout: Duration::from_secs(60), asks: true };
/// How often a share waits before it gives up: what holds it may be a breaker.
const PAUSES: u32 = 12;
/// How long a share waits once the service is not well, before it looks again.
const PAUSED: Duration = Duration::from_secs(15);
/// How long the first answer of the API server may take: until then nothing is known of the orders.
const FIRST_ANSWER: Duration = Duration::from_secs(60);

/// Runs one sweep, or one shard of a purge, in the pod of a Job that the controller made
///
/// It stops before the next step once the API server has not confirmed for 60 s that the resource is as it was and that a
/// controller is at work. What came of it goes to --termination-log as JSON, at most 4 KiB; the whole report goes to standard
/// output. To work on the volume by hand make a Job with `hygiene job-manifest`.
#[derive(Args, Debug)]
#[command(
    override_usage = "hygiene sweeper -f <SPEC> --claim-mount <CLAIM=PATH> --uid <UID> --generation <NUMBER> [OPTIONS]"
)]
pub(super) struct Sweeper {
    /// uid of the resource; another one with the same name has not asked for this
    #[arg(long)]
    uid: String,

    /// Generation of the resource that the spec is of
    #[arg(long, value_name = "NUMBER")]
    generation: i64,

    /// The lease by which the controller leads, as `NAMESPACE/NAME`: while nobody renews it nothing is done
    #[arg(long, value_name = "LEASE", value_parser = lease)]
    lease: Option<ResourceName>,

    /// Only look and report, whatever the mode
    #[arg(long, conflicts_with = "purge_shards")]
    look: bool,

    /// Remove a share of what is condemned instead: that of JOB_COMPLETION_INDEX, of so many
    #[arg(long, value_name = "NUMBER", requires = "shard", value_parser = clap::value_parser!(u32).range(1..=64))]
    purge_shards: Option<u32>,

    /// Which share, from 0
    #[arg(long, value_name = "NUMBER", env = "JOB_COMPLETION_INDEX", requires = "purge_shards")]
    shard: Option<u32>,

    /// Where the report goes
    #[arg(long, value_name = "FILE", default_value = "/dev/termination-log")]
    termination_log: PathBuf,

    #[command(flatten)]
    admin: AdminOptions,
}

fn lease(text: &str) -> Result<ResourceName, String> {
    ResourceName::parse(text).ok_or_else(|| "write NAMESPACE/NAME".into())
}

impl Sweeper {
    pub(super) async fn run(self, run: Run) -> Ended {
        let blank = JobReport { uid: self.uid.clone(), generation: self.generation, ..JobReport::default() };
        let loaded = run.loaded().await?;
        let [loaded] = loaded.as_slice() else {
            complain("-f holds several resources; a sweeper is of one");
            return Ok(Exit::Usage);
        };
        let policy = Arc::new(Policy { generation: self.generation, ..loaded.policy.clone() });
        let serving = self.admin.start()?;
        serving.board.expect(std::slice::from_ref(&policy.resource));
        serving.board.loaded();
        let worked = self.work(&run, &serving, (&loaded.resource, &policy), blank.clone()).await;
        serving.board.tried(&policy.resource);
        let (report, exit) = match worked {
            // One that was asked to stop is followed by another pod, where its node did that.
            Ok(report) if report.failure.is_some() || report.stopped() => (report, Exit::Failed),
            Ok(report) => (report, Exit::Done),
            Err(why) => {
                complain(format_args!("{why:#}"));
                (blank.failed(&format!("{why:#}")), Exit::Failed)
            }
        };
        let log = &self.termination_log;
        fs::write(log, report.message()).with_context(|| format!("{} cannot be written", log.display()))?;
        Ok(exit)
    }

    async fn work(
        &self,
        run: &Run,
        serving: &Serving,
        (spec, policy): (&WorkspaceHygiene, &Arc<Policy>),
        report: JobReport,
    ) -> anyhow::Result<JobReport> {
        let (client, _) = cluster::connect(WATCH).await.map_err(|why| anyhow!(why))?;
        let version = ObjectVersion { uid: self.uid.clone(), generation: self.generation };
        let (resource, lease) = (policy.resource.clone(), self.lease.clone());
        let ordered = Ordered { resource, version: version.clone(), lease };
        let orders = ApiOrders::start(client.clone(), ordered, Arc::clone(&run.process.clock));
        let progress = Steps::new(Arc::clone(&serving.metrics), Arc::clone(&serving.board), policy.resource.clone());
        let context = Context {
            orders: Arc::clone(&orders) as _,
            progress: Arc::new(progress),
            settling: Settling::Wait,
            ..run.context(policy, "sweeper", LOCK)
        };
        let sources = timed(run.sources(policy), &serving.metrics, &policy.resource);
        let sources = with_mounts(sources, policy, &client);
        // In mode Report nothing is done that would need orders.
        if policy.mode == Mode::Enforce && !self.look {
            orders.confirmed(FIRST_ANSWER, &context.stop).await.map_err(|why| anyhow!(why))?;
        }
        let object = cluster::resource(client, &policy.resource).await.context("the resource cannot be read")?;
        version.stands(&object.metadata).map_err(|why| anyhow!(why))?;
        is_of(spec, &object)?;
        match (self.purge_shards, self.shard) {
            (Some(of), Some(index)) => {
                let share = Shard::new(index, of).map_err(|why| anyhow!(why))?;
                shard(policy, sources, context, share, report).await
            }
            _ => self.sweep(run, policy, sources, context, (&asked(&object), report)).await,
        }
    }

    async fn sweep(
        &self,
        run: &Run,
        policy: &Arc<Policy>,
        sources: Sources,
        context: Context,
        (asked, report): (&[Asked], JobReport),
    ) -> anyhow::Result<JobReport> {
        let heard = match policy.mode == Mode::Enforce && !self.look {
            true => answer(policy, &sources, &context, asked).await,
            false => Vec::new(),
        };
        let swept = match self.look {
            true => sweep::look(Arc::clone(policy), sources, context).await,
            false => sweep::sweep(Arc::clone(policy), sources, context).await,
        };
        let report = JobReport { heard, ..report };
        let mut swept = match swept {
            Ok(swept) => swept,
            Err(why) => return Ok(report.failed(&why.to_string())),
        };
        swept.acted.stopped |= run.stopped();
        super::output::print(&text::text(run.view(false), policy, &swept))?;
        let state = swept.state.take().map(|state| *state).unwrap_or_default();
        let left_to_shards = swept.acted.left_to_shards;
        let (status, reclaimed) = (state.status, state.reclaimed);
        let sweep = SweepReport { outcome: Outcome::of(policy, &swept), status, reclaimed, left_to_shards };
        Ok(JobReport { sweep: Some(sweep), ..report })
    }
}

/// Whether the spec that is to be swept by is that of the resource: whoever may write a ConfigMap is not who may change the resource.
fn is_of(spec: &WorkspaceHygiene, object: &DynamicObject) -> anyhow::Result<()> {
    let options = PolicyOptions { claims: Claims::ByJobs, allow_short_times: true, ..PolicyOptions::default() };
    let judged = judge(serde_json::to_value(object)?, &options);
    match judged.is_ok_and(|judged| judged.resource.spec == spec.spec) {
        true => Ok(()),
        false => Err(anyhow!("the spec in the Job's ConfigMap is not that of the resource; delete the ConfigMap")),
    }
}

async fn shard(
    policy: &Arc<Policy>,
    sources: Sources,
    context: Context,
    shard: Shard,
    report: JobReport,
) -> anyhow::Result<JobReport> {
    let (index, of) = (shard.index(), shard.of());
    let stop = context.stop.clone();
    let (mut entries, mut left) = (0, PAUSES);
    let purged = loop {
        let purged = sweep::purge_shard(Arc::clone(policy), sources.clone(), context.clone(), shard).await?;
        entries += purged.entries;
        let Some(why) = purged.paused.as_ref().filter(|_| !stop.requested() && left > 0) else {
            break purged;
        };
        left -= 1;
        // To end would be a failure of this share, of which it may have few.
        tracing::warn!(why, "the share waits");
        let _ = tokio::time::timeout(PAUSED, stop.wait()).await;
    };
    let error = purged.errors.first().map(|error| format!("{}: {}", error.name, error.message));
    let why = purged.paused.or(error).or_else(|| purged.stopped.then(|| "asked to stop".into()));
    let done = purged.removed.len() as u64;
    let told = ShardReport { entries, done, left: purged.left, why: why.clone() };
    let report = JobReport { shard: Some(told), ..report };
    tracing::info!(index, of, entries, left = purged.left, "purged its share");
    match why {
        // The Job tries this share again.
        Some(why) => Err(anyhow!("share {index} of {of} is not done: {why}")),
        None => Ok(report),
    }
}

/// The sources, and what other pods mount of the claim.
fn with_mounts(mut sources: Sources, policy: &Policy, client: &Client) -> Sources {
    let api = KubernetesApi::of(client.clone(), WATCH);
    sources.containers.extend(crate::observe::containers::mounts(policy, api));
    sources
}
