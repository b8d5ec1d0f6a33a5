//! `hygiene job-manifest`: a Job that runs a command where the volume of a resource is.

use std::fmt::Display;
use std::iter;

use anyhow::{Context as _, anyhow};
use clap::{Args, Parser as _, ValueEnum};
use serde::Serialize;
use serde_json::json;

use super::exit::{Ended, Exit};
use super::options::{Global, Output};
use super::output::{self, complain};
use super::run::Run;
use super::{Cli, Command, objects};
use crate::controller::jobs::manifest::{Operator, Recipe, Work, config_map, job, mark};
use crate::policy::{Claims, PolicyOptions, ResourceName};
use crate::report::table::quoted;
use crate::spec::judge;

/// Print a Job that runs a command where the volume of a resource is, for kubectl apply
///
/// It is for a resource with spec.volume.persistentVolumeClaim. The Job mounts that claim and the Secrets that the spec names, in
/// the resource's namespace, and runs `hygiene COMMAND` on the resource as it is now: nobody needs a shell or a mount for that. In
/// mode Report the claim is mounted read-only. The pod has the ServiceAccount that the controller makes for the resource, or the
/// one that spec.job.serviceAccountName names; what the command prints is in its log.
///
/// Each run prints another Job, which goes a day after it ended. --cluster must be the one that the controller runs with.
#[derive(Args, Debug)]
#[command(
    after_long_help = "\
Examples:
  hygiene job-manifest team/collab --image registry.example.com/hygiene:1 -- quarantine list | kubectl apply -f -
  hygiene job-manifest team/collab -- quarantine restore NAME | kubectl apply -f -    with the image in HYGIENE_IMAGE
  hygiene job-manifest team/collab -- explain NAME -o json | kubectl apply -f -
  kubectl -n team logs -f job/JOB                                                     JOB as kubectl apply says",
    override_usage = "hygiene job-manifest <NAMESPACE/NAME> --image <IMAGE> [OPTIONS] -- <COMMAND>..."
)]
pub(super) struct JobManifest {
    /// The resource, as the API server has it
    #[arg(value_name = "NAMESPACE/NAME", value_parser = resource)]
    resource: ResourceName,

    /// The image of the Job: the one that the controller runs from
    #[arg(long, env = "HYGIENE_IMAGE", value_name = "IMAGE")]
    image: Option<String>,

    /// When the image is pulled
    #[arg(long, value_enum, value_name = "POLICY", default_value_t)]
    pull_policy: PullPolicy,

    /// The command that the Job runs, with its options: plan, sweep, status, explain, approve, dismiss, adopt, quarantine or
    /// journal
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
#[value(rename_all = "PascalCase")]
enum PullPolicy {
    /// Each time.
    Always,
    /// When the node does not have it.
    #[default]
    IfNotPresent,
    /// Never.
    Never,
}

fn resource(text: &str) -> Result<ResourceName, String> {
    let way_out = "write NAMESPACE/NAME, as `kubectl get wsh --all-namespaces` shows them";
    ResourceName::parse(text).ok_or_else(|| way_out.into())
}

impl JobManifest {
    pub(super) async fn run(self, run: &Run) -> Ended {
        let (namespace, name) = (&self.resource.namespace, &self.resource.name);
        if let Some(ended) = self.no_command() {
            return ended;
        }
        if let Some(option) = says_where(&run.global) {
            return refused(format_args!(
                "{option}: is not for job-manifest, whose Job finds that by the resource; remove it"
            ));
        }
        let Some(image) = self.image.clone().filter(|image| !image.is_empty()) else {
            return refused(
                "--image: is not given; name the image that the controller runs from, or set HYGIENE_IMAGE",
            );
        };
        let object = objects::read(&self.resource, run.kubernetes()).await.map_err(|why| anyhow!(why))?;
        let loaded = match judge(object, &PolicyOptions { claims: Claims::ByJobs, ..run.policy_options() }) {
            Ok(loaded) => loaded,
            Err(faults) => {
                faults.iter().for_each(|fault| complain(format_args!("{namespace}/{name}: {}", fault.told())));
                return Ok(Exit::Usage);
            }
        };
        if let Some(path) = &loaded.resource.spec.volume.path {
            let command: Vec<_> = self.command.iter().map(|word| quoted(word)).collect();
            return refused(format_args!(
                "{namespace}/{name}: spec.volume.path: {path} is mounted by the controller, and by no Job; run the command \
                 beside it: kubectl exec CONTROLLER -- /hygiene -f {namespace}/{name} {}",
                command.join(" ")
            ));
        }
        let operator = Operator {
            image,
            pull_policy: format!("{:?}", self.pull_policy),
            cluster: run.global.cluster.clone(),
            lease: None,
            short_times: run.global.unsafe_short_times,
            log_level: run.global.log_level.map(|level| level.to_string()),
            // What pods may read is for the controller to say, and a command listens nowhere.
            reader: String::new(),
            listen_port: 0,
        };
        let recipe = Recipe { resource: &loaded.resource, operator: &operator };
        let uid = loaded.resource.metadata.uid.as_deref().unwrap_or_default();
        let mark = mark(uid, loaded.policy.generation, run.process.clock.now());
        let job = job(&recipe, &Work::Command(&self.command), &mark);
        output::print(&text(run.global.output, &config_map(&recipe), &job)?)?;
        let job = job.metadata.name.unwrap_or_default();
        output::say(format_args!("when it is applied: kubectl -n {namespace} logs -f job/{job}"));
        Ok(Exit::Done)
    }

    /// How it ends where the Job would have nothing to run, or something that is not about a resource.
    fn no_command(&self) -> Option<Ended> {
        const WRITE: &str = "such as: hygiene job-manifest NAMESPACE/NAME --image IMAGE -- quarantine list";
        if self.command.is_empty() {
            return Some(refused(format_args!(
                "-- COMMAND: is not given; write what the Job runs after two dashes, {WRITE}"
            )));
        }
        let cli = match Cli::try_parse_from(iter::once("hygiene").chain(self.command.iter().map(String::as_str))) {
            Ok(cli) => cli,
            Err(error) if error.use_stderr() => {
                let error = error.to_string();
                return Some(refused(format_args!("-- COMMAND: {}", error.trim_start_matches("error: ").trim_end())));
            }
            // Somebody asked how the command is used.
            Err(help) => return Some(output::print(&help.to_string()).map(|()| Exit::Done).map_err(Into::into)),
        };
        if let Some(option) = says_where(&cli.global) {
            return Some(refused(format_args!(
                "-- COMMAND: {option}: the Job is told that by the resource; remove it"
            )));
        }
        match cli.command {
            Command::Plan(_)
            | Command::Sweep(_)
            | Command::Status(_)
            | Command::Explain(_)
            | Command::Approve(_)
            | Command::Dismiss(_)
            | Command::Adopt(_)
            | Command::Quarantine(_)
            | Command::Journal(_) => None,
            _ => Some(refused(format_args!(
                "-- COMMAND: {} is not about one resource; write one that is, {WRITE}",
                self.command[0]
            ))),
        }
    }
}

/// An option that says where a spec is, or what it names.
fn says_where(global: &Global) -> Option<&'static str> {
    let options = [
        ("-f", global.file.is_empty()),
        ("--secret", global.secret.is_empty()),
        ("--config-map", global.config_map.is_empty()),
        ("--claim-mount", global.claim_mount.is_empty()),
    ];
    options.into_iter().find(|(_, absent)| !absent).map(|(option, _)| option)
}

fn refused(why: impl Display) -> Ended {
    complain(why);
    Ok(Exit::Usage)
}

/// Both objects as kubectl takes them.
fn text(output: Output, map: &impl Serialize, job: &impl Serialize) -> anyhow::Result<String> {
    let (map, job) = (json!(map), json!(job));
    match output {
        Output::Json => {
            let list = json!({"apiVersion": "v1", "kind": "List", "items": [map, job]});
            Ok(format!("{list:#}\n"))
        }
        Output::Table | Output::Yaml => {
            let yaml = |object| serde_saphyr::to_string(object).context("the Job cannot be written as YAML");
            Ok(format!("{}\n---\n{}\n", yaml(&map)?.trim_end(), yaml(&job)?.trim_end()))
        }
    }
}
