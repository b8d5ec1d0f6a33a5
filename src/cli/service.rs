//! `hygiene run`: the sweep as a service.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use signal_hook::consts::SIGHUP;
use signal_hook::flag;

use super::exit::{Ended, Exit};
use super::options::duration;
use super::run::Run;
use crate::policy::Policy;
use crate::report::status::LastState;
use crate::service::{Audience, Pace, Parts, Service, Specs};
use crate::stop::Stop;
use crate::sweep::{Context, Sources, Swept};

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
left unfinished. approve, dismiss, explain, journal, status and the like run beside it; sweep, restore and adopt wait for the \
volume with --lock-timeout.",
    override_usage = "hygiene run -f <SPEC>... [OPTIONS]"
)]
pub(super) struct RunService {
    /// Change nothing on a volume before the service has run for so long
    #[arg(long, value_name = "DURATION", default_value = "90s", value_parser = duration)]
    startup_delay: Duration,

    /// Time between two looks for what is needed again
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    restore_every: Duration,

    /// How many volumes are swept at once
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
}

impl RunService {
    pub(super) async fn run(self, run: Run) -> Ended {
        let mut stdin = Vec::new();
        let run = match run.global.file.iter().any(|file| file == "-") {
            true => {
                std::io::stdin().read_to_end(&mut stdin).context("standard input cannot be read")?;
                run.with_stdin(stdin.clone())
            }
            false => run,
        };
        let loaded = run.loaded()?;
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
        let pace = Pace {
            startup_delay: self.startup_delay,
            restore_every: self.restore_every.max(Duration::from_millis(100)),
            concurrency: self.concurrency.into(),
        };
        let stop = run.process.stop.clone();
        Service::new(pace, run.clone() as _, Arc::new(Log), stop, sweep_now).run(loaded, specs).await;
        Ok(Exit::Done)
    }
}

impl Parts for Run {
    fn context(&self, policy: &Policy, stop: &Stop) -> Context {
        Context { stop: stop.clone(), ..self.context(policy, "run", Duration::ZERO) }
    }

    fn sources(&self, policy: &Policy) -> Sources {
        self.sources(policy)
    }
}

/// Nobody but the log is told.
struct Log;

impl Audience for Log {
    fn loaded(&self, _: &[Arc<Policy>]) {}

    fn fault(&self, _: Option<String>) {}

    fn swept(&self, _: &Policy, _: &Swept, _: &LastState, _: Duration) {}

    fn failed(&self, _: &Policy, _: &str, _: &LastState) {}

    fn due(&self, _: &Policy, _: &LastState) {}
}
