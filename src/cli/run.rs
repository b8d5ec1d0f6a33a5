//! One run of a command: its options and what it is handed, and how it goes through the resources of its specs.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use serde::Serialize;
use tracing::level_filters::LevelFilter;

use super::bars::Bars;
use super::exit::{Ended, Exit};
use super::log::{Log, Logging};
use super::objects::{self, Current};
use super::options::{Global, LogFormat, Output};
use super::output::{self, complain};
use super::process::Process;
use super::secrets::GivenSecrets;
use crate::act::LockWait;
use crate::observe::aws::Aws;
use crate::observe::containers::KubernetesApi;
use crate::observe::efs::Efs;
use crate::observe::{containers, sessions};
use crate::orders::{Fixed, Orders};
use crate::policy::{Claims, Policy, PolicyOptions, ResourceName};
use crate::records::StateDir;
use crate::report::plan::View;
use crate::report::table::{Style, quoted};
use crate::secrets::{SecretKind, Secrets};
use crate::spec::{LoadOptions, Loaded, load};
use crate::sweep::{Context, Settling, Sources, SweepError};

/// Threads of the async runtime: it only waits for sources, all file-system work has threads of its own.
const WORKERS: usize = 2;

/// One run of a command.
pub(super) struct Run {
    pub(super) global: Global,
    pub(super) process: Process,
    style: Style,
    bars: Arc<Bars>,
    spec: String,
    state: StateDir,
    secrets: Arc<GivenSecrets>,
    /// The clients of AWS, built once.
    aws: Aws,
    /// The API server of a kubeconfig or of a pod, known when it is first asked.
    kubernetes: KubernetesApi,
    /// Whether what the resources were read from is as it was, by resource.
    orders: OnceLock<BTreeMap<ResourceName, Arc<dyn Orders>>>,
    /// What standard input held, where it was read already.
    stdin: Option<Vec<u8>>,
    _logging: Logging,
}

/// Where the user's programs keep their state: $XDG_STATE_HOME, or ~/.local/state (XDG Base Directory Specification).
fn default_state_dir() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(Path::new(".local/state"))))?;
    Some(base.join("hygiene"))
}

/// What became of one resource: its document, and how it ended.
pub(super) type Outcome<D> = Result<(D, Exit), SweepError>;

impl Run {
    /// Prepares a run; the log begins here.
    pub(super) fn new(global: Global, process: Process, service: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        // A service shows no bar: nobody watches it all the time.
        let bars = Arc::new(Bars::new(terminal && !global.no_progress && !service));
        let format = match global.log_format {
            Some(format) => format,
            None if service && !terminal => LogFormat::Json,
            None => LogFormat::Text,
        };
        let usual = if service { LevelFilter::INFO } else { LevelFilter::WARN };
        let log = Log {
            format,
            level: global.log_level,
            wanted: global.rust_log.clone(),
            usual,
            color: output::color(global.color, terminal),
        };
        let logging = log.begin(bars.drawn());
        let mut spec: Vec<_> = global.file.iter().map(|file| format!("-f {}", quoted(file))).collect();
        spec.extend(global.secret.iter().filter_map(|given| given.shown(SecretKind::Secret)));
        spec.extend(global.config_map.iter().filter_map(|given| given.shown(SecretKind::ConfigMap)));
        spec.extend(global.claim_mount.iter().map(|mount| format!("--claim-mount {}", quoted(&mount.to_string()))));
        if global.unsafe_short_times {
            spec.push("--unsafe-short-times".into());
        }
        let state = StateDir::new(global.state_dir.clone().or_else(default_state_dir));
        let secrets = Arc::new(GivenSecrets::new(&global.secret, &global.config_map));
        let (style, orders) = (output::style(&global), OnceLock::new());
        Self {
            style,
            spec: spec.join(" "),
            global,
            process,
            bars,
            state,
            secrets,
            aws: Aws::default(),
            kubernetes: KubernetesApi::default(),
            orders,
            stdin: None,
            _logging: logging,
        }
    }

    /// Runs a command that needs the async runtime.
    pub(super) fn block_on(&self, command: impl Future<Output = Ended>) -> Ended {
        block_on(command)
    }

    /// The same run, with what standard input held.
    pub(super) fn with_stdin(self, stdin: Vec<u8>) -> Self {
        Self { stdin: Some(stdin), ..self }
    }

    /// What the conversion of a spec depends on.
    pub(super) fn policy_options(&self) -> PolicyOptions {
        let cluster = self.global.cluster.clone();
        let mounts = self.global.claim_mount.iter().map(|one| (one.claim.clone(), one.path.clone())).collect();
        PolicyOptions {
            allow_short_times: self.global.unsafe_short_times,
            home: self.home(),
            cluster,
            claims: Claims::Mounted(mounts),
        }
    }

    /// Whether all secrets that the resources name are given.
    ///
    /// # Errors
    /// Which are not.
    pub(super) fn secrets_are_given(&self, loaded: &[Loaded]) -> Result<(), String> {
        let missing: Vec<_> = loaded.iter().flat_map(|one| self.secrets.missing(&one.policy)).collect();
        let told: Vec<_> = missing.iter().map(ToString::to_string).collect();
        if told.is_empty() { Ok(()) } else { Err(told.join("; ")) }
    }

    /// The policies of [`Self::loaded`].
    pub(super) async fn policies(&self) -> Result<Vec<Arc<Policy>>, Exit> {
        Ok(self.loaded().await?.into_iter().map(|loaded| Arc::new(loaded.policy)).collect())
    }

    /// The resources of the specs. What is wrong with any of them is told here, all of it, before anything runs.
    pub(super) async fn loaded(&self) -> Result<Vec<Loaded>, Exit> {
        let mut options = LoadOptions::of_process(self.policy_options());
        options.objects = objects::named(&self.global.file, &self.kubernetes).await;
        if let Some(stdin) = &self.stdin {
            options.stdin = Box::new(io::Cursor::new(stdin.clone()));
        }
        match load(&self.global.file, options) {
            Ok(loaded) if loaded.is_empty() => {
                complain("-f: holds no resource; write a document of kind WorkspaceHygiene");
                Err(Exit::Usage)
            }
            Ok(loaded) => {
                let orders = self.orders_of(&loaded).await?;
                // Read once in a run; a second reading would find the same resources.
                self.orders.get_or_init(|| orders);
                let faults = self.secrets.faults().iter().cloned();
                let missing: Vec<_> =
                    faults.chain(loaded.iter().flat_map(|one| self.secrets.missing(&one.policy))).collect();
                if !missing.is_empty() {
                    missing.iter().for_each(complain);
                    return Err(Exit::Usage);
                }
                Ok(loaded)
            }
            Err(faults) => {
                faults.iter().for_each(complain);
                Err(Exit::Usage)
            }
        }
    }

    /// Whether the resources stand as they are, for those that could change.
    async fn orders_of(&self, loaded: &[Loaded]) -> Result<BTreeMap<ResourceName, Arc<dyn Orders>>, Exit> {
        let mut orders: BTreeMap<_, Arc<dyn Orders>> = BTreeMap::new();
        for one in loaded {
            let name = &one.policy.resource;
            if let Some(file) = &one.file {
                orders.insert(name.clone(), Arc::new(file.clone()));
            }
            if let Some(version) = &one.object {
                let current = Current::of(name, version.clone(), &self.kubernetes, &self.process.clock).await;
                let current = current.map_err(|why| {
                    complain(why);
                    Exit::Failed
                })?;
                orders.insert(name.clone(), Arc::new(current));
            }
        }
        Ok(orders)
    }

    /// The API server.
    pub(super) fn kubernetes(&self) -> &KubernetesApi {
        &self.kubernetes
    }

    /// The options that name the specs, as a shell takes them.
    pub(super) fn spec(&self) -> &str {
        &self.spec
    }

    /// What work on one resource is handed.
    pub(super) fn context(&self, policy: &Policy, command: &str, lock: LockWait) -> Context {
        Context {
            clock: Arc::clone(&self.process.clock),
            stop: self.process.stop.clone(),
            progress: Arc::clone(&self.bars) as _,
            new_id: Arc::clone(&self.process.new_id),
            actor: self.process.actor.clone(),
            command: format!("hygiene {command} {}/{}", policy.resource.namespace, policy.resource.name),
            lock,
            orders: match self.orders.get().and_then(|orders| orders.get(&policy.resource)) {
                Some(orders) => Arc::clone(orders),
                None => Arc::new(Fixed),
            },
            settling: Settling::Wait,
            state: self.state.clone(),
        }
    }

    /// The sources that one resource names.
    pub(super) fn sources(&self, policy: &Policy) -> Sources {
        self.sources_with(policy, Arc::clone(&self.secrets) as _, &self.kubernetes)
    }

    /// The same, with the values that it names elsewhere, and the pods of this API server.
    pub(super) fn sources_with(&self, policy: &Policy, secrets: Arc<dyn Secrets>, pods: &KubernetesApi) -> Sources {
        let sessions = sessions::open(&policy.sessions, secrets, Arc::clone(&self.process.clock));
        let containers = containers::open(policy.containers.as_deref(), &self.aws, pods, &self.process.clock);
        let efs = policy.efs.clone().map(|efs| Arc::new(Efs::new(efs, self.aws.clone())));
        Sources { sessions, containers, efs }
    }

    /// Told how far work is.
    pub(super) fn progress(&self) -> Arc<Bars> {
        Arc::clone(&self.bars)
    }

    /// The user's home.
    pub(super) fn home(&self) -> Option<PathBuf> {
        std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
    }

    /// Where this user's programs remember things; none where nobody says where that is.
    pub(super) fn state_folder(&self) -> Option<PathBuf> {
        self.global.state_dir.clone().or_else(default_state_dir)
    }

    /// How reports are drawn.
    pub(super) fn view(&self, all: bool) -> View<'_> {
        View { style: self.style, all, spec: &self.spec }
    }

    /// Whether the result is for people.
    pub(super) fn for_people(&self) -> bool {
        self.global.output == Output::Table
    }

    /// Whether a signal asked to stop.
    pub(super) fn stopped(&self) -> bool {
        self.process.stop.requested()
    }
}

/// Runs a command on the async runtime.
pub(super) fn block_on(command: impl Future<Output = Ended>) -> Ended {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let runtime = runtime.context("the async runtime cannot be started")?;
    let ended = runtime.block_on(command);
    // A look-up of a host's name that is still under way is nothing to wait for.
    runtime.shutdown_background();
    ended
}

/// Gathers what becomes of the resources, and prints it: text at once, documents at the end.
pub(super) struct Results<'a, D> {
    run: &'a Run,
    several: bool,
    printed: bool,
    documents: Vec<D>,
    exit: Exit,
}

impl<'a, D: Serialize> Results<'a, D> {
    pub(super) fn new(run: &'a Run, policies: &[Arc<Policy>]) -> Self {
        Self { run, several: policies.len() > 1, printed: false, documents: Vec::new(), exit: Exit::Done }
    }

    /// Adds what became of one resource; for people, `text` says it at once.
    pub(super) fn text(&mut self, text: &str, exit: Exit) -> anyhow::Result<()> {
        self.exit = self.exit.max(exit);
        let gap = if self.printed { "\n" } else { "" };
        self.printed = true;
        output::print(&format!("{gap}{text}"))
    }

    /// Adds the document of one resource.
    pub(super) fn document(&mut self, document: D, exit: Exit) {
        self.exit = self.exit.max(exit);
        self.documents.push(document);
    }

    /// Adds a resource that was not begun because a signal asked to stop.
    pub(super) fn skipped(&mut self, policy: &Policy) {
        self.exit = self.exit.max(Exit::Failed);
        complain(format_args!("{}/{}: not begun: asked to stop", policy.resource.namespace, policy.resource.name));
    }

    /// Adds a resource that came to no result.
    pub(super) fn failed(&mut self, policy: &Policy, error: &SweepError) {
        self.exit = self.exit.max(Exit::from(error));
        let name = &policy.resource;
        let error = error.to_string().replace("-f SPEC", &self.run.spec);
        if self.several { complain(format_args!("{}/{}: {error}", name.namespace, name.name)) } else { complain(error) }
    }

    /// Adds what became of one resource, as text or as a document, whichever was asked for.
    pub(super) fn add(
        &mut self,
        policy: &Policy,
        outcome: Outcome<D>,
        text: impl FnOnce(&D) -> String,
    ) -> anyhow::Result<()> {
        match outcome {
            Err(error) => self.failed(policy, &error),
            Ok((document, exit)) if self.run.for_people() => self.text(&text(&document), exit)?,
            Ok((document, exit)) => self.document(document, exit),
        }
        Ok(())
    }

    /// Prints the documents, and gives the worst of the ends.
    pub(super) fn finish(self) -> Ended {
        output::documents(self.run.global.output, self.several, &self.documents)?;
        if self.run.stopped() {
            output::say("stopped on request; what is left is for the next run");
        }
        Ok(self.exit)
    }
}
