//! `hygiene controller`: the sweep as a controller of a Kubernetes API server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use clap::{ArgAction, Args};

use super::exit::{Ended, Exit};
use super::options::duration;
use super::output::complain;
use super::run::Run;
use super::serving::ServingOptions;
use super::shown::{Shown, timed};
use crate::act::LockWait;
use crate::admin::{Board, Metrics, Steps};
use crate::cluster;
use crate::controller::{self, Allowed, ClusterSecrets, Evidence, Jobs, LeaseOptions, Operator, VolumeRoot};
use crate::observe::containers::KubernetesApi;
use crate::policy::{Claims, ContainerPolicy, Policy, PolicyOptions};
use crate::service::Parts;
use crate::stop::Stop;
use crate::sweep::{Context, Sources};

/// Where the pods of Jobs tell how they are.
const JOB_PORT: u16 = 8080;
/// How long the API server is asked to keep a watch.
const WATCH: Duration = Duration::from_secs(290);
/// The same where no lease tells that the API server is out of reach.
const WATCH_ALONE: Duration = Duration::from_secs(30);

/// Runs as a controller: sweeps the WorkspaceHygiene resources of a Kubernetes API server, until it is asked to stop
///
/// Each resource whose volume.path is below one of the roots that name its namespace is swept by its schedule, as by `hygiene
/// run`. Status and events tell what came of it; the annotations hygiene.dev/sweep-requested-at, hygiene.dev/approve-plan and
/// hygiene.dev/dismiss-plan ask for something. A resource that is changed, suspended or deleted stops its sweep before the next
/// step. Of several controllers the one that holds the lease works, and the others wait.
#[derive(Args, Debug)]
#[command(
    after_long_help = "\
Examples:
  hygiene controller --namespace team-a --volume-root efs=/mnt/efs:team-a
  hygiene controller --all-namespaces --volume-root a=/mnt/a:team-a --volume-root b=/mnt/b:team-b,team-c \\
    --lease-namespace hygiene-system --state-dir /var/lib/hygiene

  kubectl annotate wsh collab hygiene.dev/sweep-requested-at=\"$(date -u +%FT%TZ)\" --overwrite
  kubectl annotate wsh collab hygiene.dev/approve-plan=HASH      HASH as status.hold.planHash says
  kubectl wait wsh/collab --for=condition=Ready

The API server is that of KUBECONFIG, of ~/.kube/config, or of the pod's ServiceAccount. SIGTERM and SIGINT stop before the \
next file-system call and give the lease away (exit code 0).",
    override_usage = "hygiene controller (--namespace <NAMESPACE>... | --all-namespaces) --volume-root <ROOT>... [OPTIONS]"
)]
pub(super) struct RunController {
    /// Watch the resources of this namespace; may be given several times
    #[arg(long, value_name = "NAMESPACE", required_unless_present = "all_namespaces")]
    namespace: Vec<String>,

    /// Watch the resources of all namespaces
    #[arg(long, conflicts_with = "namespace")]
    all_namespaces: bool,

    /// A folder below which volumes may be, and the namespaces whose resources may have them there:
    /// `NAME=PATH:NAMESPACE[,NAMESPACE…]`
    ///
    /// May be given several times. A path below it is followed over no symlink. Session databases of SQLite must be below one
    /// as well.
    #[arg(long, value_name = "ROOT", required_unless_present = "job_image")]
    volume_root: Vec<VolumeRoot>,

    /// The image of the Jobs that sweep the volumes of persistentVolumeClaims: this program's own. Without it such resources are
    /// refused
    #[arg(long, value_name = "IMAGE", env = "HYGIENE_IMAGE")]
    job_image: Option<String>,

    /// When nodes pull that image: Always, IfNotPresent or Never
    #[arg(long, value_name = "POLICY", default_value = "IfNotPresent", value_parser = ["Always", "IfNotPresent", "Never"])]
    job_pull_policy: String,

    /// How many Jobs run at once; namespaces take turns
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    max_concurrent_jobs: u16,

    /// The ClusterRole by which Jobs see the pods of their namespace
    #[arg(long, value_name = "NAME", default_value = "hygiene-sweeper")]
    job_reader_role: String,

    /// What a resource may let this controller ask elsewhere, and the namespaces for which it may: `http=HOST:NAMESPACE[,…]`,
    /// `ecs=CLUSTER:…` or `efs=ID:…`
    #[arg(long, value_name = "EVIDENCE")]
    allow_evidence: Vec<Evidence>,

    /// Whether to work only while holding a lease; `false` where there is never a second controller, not even for a moment
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    leader_elect: bool,

    /// The lease's name
    #[arg(long, value_name = "NAME", default_value = "hygiene")]
    lease_name: String,

    /// The lease's namespace [default: that of the pod, or of the kubeconfig's context]
    #[arg(long, value_name = "NAMESPACE")]
    lease_namespace: Option<String>,

    /// How long the lease is held after a renewal, in whole seconds, 3s or more. No step is taken later than two thirds of it
    /// after a renewal was sent; another controller takes over when it has seen none for the whole of it
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = lease_duration)]
    lease_duration: Duration,

    #[command(flatten)]
    serving: ServingOptions,
}

impl RunController {
    pub(super) async fn run(self, run: Run) -> Ended {
        let given = [
            ("-f", run.global.file.is_empty()),
            ("--secret", run.global.secret.is_empty()),
            ("--config-map", run.global.config_map.is_empty()),
        ];
        if let Some((option, _)) = given.into_iter().find(|(_, empty)| !empty) {
            complain(format_args!(
                "{option}: is not for a controller, which reads resources and their secrets from the API server; remove it"
            ));
            return Ok(Exit::Usage);
        }
        let watch = if self.leader_elect { WATCH } else { WATCH_ALONE };
        let (client, own_namespace) = cluster::connect(watch).await.map_err(|why| anyhow!(why))?;
        let serving = self.serving.start()?;
        let run = Arc::new(run);
        let clock = Arc::clone(&run.process.clock);
        let instance = run.process.host();
        let lease = self.leader_elect.then(|| LeaseOptions {
            name: self.lease_name,
            namespace: self.lease_namespace.unwrap_or(own_namespace),
            duration: self.lease_duration,
            // Of this process and no other: one that was started again in the same pod is somebody else.
            identity: format!("{instance}_{}", (run.process.new_id)()),
        });
        let shown = Shown {
            board: Arc::clone(&serving.board),
            metrics: Arc::clone(&serving.metrics),
            spec: "-f SPEC".into(),
            emf: None,
            clock: Arc::clone(&clock),
        };
        let parts = Made {
            run: Arc::clone(&run),
            metrics: Arc::clone(&serving.metrics),
            board: Arc::clone(&serving.board),
            secrets: ClusterSecrets(client.clone()),
            pods: KubernetesApi::of(client.clone(), watch),
        };
        let lease_name = lease.as_ref().map(|lease| (lease.namespace.clone(), lease.name.clone()));
        let jobs = self.job_image.map(|image| {
            let operator = Operator {
                image,
                pull_policy: self.job_pull_policy,
                cluster: run.global.cluster.clone(),
                lease: lease_name,
                short_times: run.global.unsafe_short_times,
                log_level: run.global.log_level.map(|level| level.to_string()),
                reader: self.job_reader_role,
                listen_port: JOB_PORT,
            };
            Jobs::new(client.clone(), operator, self.max_concurrent_jobs.into(), Arc::clone(&clock))
        });
        let claims = if jobs.is_some() { Claims::ByJobs } else { Claims::OutOfReach };
        let namespaces: BTreeSet<_> = self.namespace.into_iter().collect();
        let options = controller::Options {
            client,
            namespaces: namespaces.into_iter().collect(),
            watch,
            allowed: Allowed { roots: self.volume_root, evidence: self.allow_evidence },
            jobs,
            policy: PolicyOptions { claims, ..run.policy_options() },
            pace: self.serving.pace(),
            parts: Arc::new(parts),
            shown: Arc::new(shown),
            clock,
            stop: run.process.stop.clone(),
            lease,
            instance,
        };
        controller::run(options).await;
        drop(serving);
        Ok(Exit::Done)
    }
}

fn lease_duration(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    match time.subsec_nanos() == 0 && (3..=3600).contains(&time.as_secs()) {
        true => Ok(time),
        false => Err("must be whole seconds, from 3s to 1h".into()),
    }
}

/// The run, what its sources are timed for, and where secrets are.
struct Made {
    run: Arc<Run>,
    metrics: Arc<Metrics>,
    board: Arc<Board>,
    secrets: ClusterSecrets,
    pods: KubernetesApi,
}

impl Parts for Made {
    fn context(&self, policy: &Policy, stop: &Stop) -> Context {
        let progress =
            Arc::new(Steps::new(Arc::clone(&self.metrics), Arc::clone(&self.board), policy.resource.clone()));
        Context { stop: stop.clone(), progress, ..self.run.context(policy, "controller", LockWait::default()) }
    }

    fn sources(&self, policy: &Policy) -> Sources {
        let secrets = Arc::new(self.secrets.clone());
        if policy.claim.is_some() {
            // The Job asks the rest, from its own namespace.
            let pods_alone = |all: Box<ContainerPolicy>| Box::new(ContainerPolicy { ecs: None, http: None, ..*all });
            let policy = Policy { containers: policy.containers.clone().map(pods_alone), efs: None, ..policy.clone() };
            return timed(self.run.sources_with(&policy, secrets, &self.pods), &self.metrics, &policy.resource);
        }
        timed(self.run.sources_with(policy, secrets, &self.pods), &self.metrics, &policy.resource)
    }
}
