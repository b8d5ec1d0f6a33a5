//! `hygiene run`: the sweep as a service.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use signal_hook::consts::SIGHUP;
use signal_hook::flag;

use super::exit::{Ended, Exit};
use super::lines::Lines;
use super::output::complain;
use super::run::Run;
use super::serving::ServingOptions;
use super::shown::{Shown, timed};
use crate::act::LockWait;
use crate::admin::{Board, Metrics, Steps};
use crate::policy::Policy;
use crate::service::{Parts, Service, Specs};
use crate::spec::object_name;
use crate::stop::Stop;
use crate::sweep::{Context, Sources};

/// Runs as a service: sweeps each resource by its schedule, until it is asked to stop
///
/// Every resource has a schedule of its own (`spec.schedule`). The first look comes at once and changes nothing; nothing is
/// changed on a volume before --startup-delay is over. Between two sweeps, and in the middle of one, what is needed again is
/// put back from quarantine, whatever holds deletion. A spec file that changes is taken over; one that is wrong is told, and
/// the one before stays.
#[derive(Args, Debug)]
#[command(
    after_long_help = "\
Examples:
  hygiene run -f spec.yaml
  hygiene run -f one.yaml -f two.yaml --startup-delay 5m
  HYGIENE_SPEC=\"$(cat spec.yaml)\" hygiene run -f env:HYGIENE_SPEC

SIGHUP sweeps now. SIGTERM and SIGINT stop before the next file-system call (exit code 0): the next start finds out what was \
left unfinished. approve, dismiss, explain, journal, status and the like run beside it; sweep, restore and adopt ask it to \
step aside, and wait for the volume as --lock-timeout says.",
    override_usage = "hygiene run -f <SPEC>... [OPTIONS]"
)]
pub(super) struct RunService {
    #[command(flatten)]
    serving: ServingOptions,

    /// Write a line for each sweep and each hold to standard output, in this format
    #[arg(long, value_enum, value_name = "FORMAT")]
    metrics: Option<MetricLines>,
}

/// Lines of metrics.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum MetricLines {
    /// CloudWatch's embedded metric format.
    Emf,
}

impl RunService {
    pub(super) async fn run(self, run: Run) -> Ended {
        if let Some(object) = run.global.file.iter().find(|file| object_name(file).is_some()) {
            complain(format_args!(
                "-f {object}: there is no such file, and the objects of a cluster are swept by `hygiene controller`"
            ));
            return Ok(Exit::Usage);
        }
        let mut stdin = Vec::new();
        let run = match run.global.file.iter().any(|file| file == "-") {
            true => {
                std::io::stdin().read_to_end(&mut stdin).context("standard input cannot be read")?;
                run.with_stdin(stdin.clone())
            }
            false => run,
        };
        let sweep_now = Arc::new(AtomicBool::new(false));
        flag::register(SIGHUP, Arc::clone(&sweep_now)).context("SIGHUP cannot be handled")?;
        let run = Arc::new(run);
        let (for_options, for_secrets) = (Arc::clone(&run), Arc::clone(&run));
        let specs = Specs::new(
            run.global.file.clone(),
            stdin,
            move || for_options.policy_options(),
            move |loaded| for_secrets.secrets_are_given(loaded),
        );
        // After the files were looked at: one that changes in between is then read again, and not taken for what was loaded.
        let loaded = run.loaded().await?;
        let serving = self.serving.start()?;
        #[cfg(feature = "test-hooks")]
        tokio::spawn(blocked_when_asked());
        let stop = run.process.stop.clone();
        let (clock, spec, emf) =
            (run.process.clock.clone(), run.spec().to_owned(), self.metrics.and_then(|_| Lines::start()));
        let (board, metrics) = (Arc::clone(&serving.board), Arc::clone(&serving.metrics));
        let shown = Shown { board: board.clone(), metrics: metrics.clone(), spec, emf, clock };
        let made = Made { run, metrics, board };
        Service::new(self.serving.pace(), Arc::new(made), Arc::new(shown), stop, sweep_now).run(loaded, specs).await;
        drop(serving);
        Ok(Exit::Done)
    }
}

/// Blocks every worker of the runtime whenever the process is sent SIGUSR1, as work that does not belong there would.
#[cfg(feature = "test-hooks")]
async fn blocked_when_asked() {
    use std::sync::atomic::Ordering;
    use std::time::Duration;
    let asked = Arc::new(AtomicBool::new(false));
    if flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&asked)).is_err() {
        return;
    }
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if asked.swap(false, Ordering::AcqRel) {
            for _ in 0..tokio::runtime::Handle::current().metrics().num_workers() {
                tokio::spawn(async { std::thread::sleep(Duration::from_secs(6)) });
            }
        }
    }
}

/// The run, and what its sources are timed for.
struct Made {
    run: Arc<Run>,
    metrics: Arc<Metrics>,
    board: Arc<Board>,
}

impl Parts for Made {
    fn context(&self, policy: &Policy, stop: &Stop) -> Context {
        let progress =
            Arc::new(Steps::new(Arc::clone(&self.metrics), Arc::clone(&self.board), policy.resource.clone()));
        Context { stop: stop.clone(), progress, ..self.run.context(policy, "run", LockWait::default()) }
    }

    fn sources(&self, policy: &Policy) -> Sources {
        timed(self.run.sources(policy), &self.metrics, &policy.resource)
    }
}
