//! `hygiene sweep`: one sweep of each resource.

use clap::Args;

use super::exit::{Ended, Exit};
use super::options::{LockOptions, SettleOptions};
use super::run::{Results, Run};
use crate::report::documents::SweepDocument;
use crate::report::sweep;

/// Run one sweep
///
/// In mode Report the same as plan: nothing is written to the volume. In mode Enforce a sweep puts back what came back,
/// moves confirmed orphans to quarantine, condemns what has been there for its retention, and purges what is condemned.
/// A gate or a breaker holds all of it but the putting back; the exit code is then 3, in either mode.
///
/// With spec.containers a sweep in mode Enforce first waits until the service has been healthy for `settle`. While it acts
/// it asks again, and takes nothing away any more once the service is unhealthy (exit code 3).
#[derive(Args, Debug)]
#[command(
    after_long_help = "\
Examples:
  hygiene sweep -f spec.yaml
  hygiene sweep -f spec.yaml --lock-timeout 1m        wait for another sweep to end
  hygiene sweep -f spec.yaml --no-settle              the service is known to have been well
  hygiene sweep -f spec.yaml -o json | jq .quarantined

SIGTERM or SIGINT stops a sweep before its next step (exit code 1); a second SIGINT ends it at once. \
Either way the next sweep finds out what was left unfinished.",
    override_usage = "hygiene sweep -f <SPEC>... [OPTIONS]"
)]
pub(super) struct Sweep {
    /// List every entry, the expected ones as well
    #[arg(short = 'A', long)]
    all: bool,

    #[command(flatten)]
    lock: LockOptions,

    #[command(flatten)]
    settle: SettleOptions,
}

impl Sweep {
    pub(super) async fn run(self, run: &Run) -> Ended {
        let policies = run.policies().await?;
        let mut results = Results::new(run, &policies);
        for policy in &policies {
            if run.stopped() {
                results.skipped(policy);
                continue;
            }
            let mut context = run.context(policy, "sweep", self.lock.wait());
            context.settling = self.settle.settling();
            match crate::sweep::sweep(policy.clone(), run.sources(policy), context).await {
                Err(error) => results.failed(policy, &error),
                Ok(mut swept) => {
                    swept.acted.stopped |= run.stopped();
                    let exit = Exit::of(&swept.acted, swept.observed.plan.held.is_some());
                    if run.for_people() {
                        results.text(&sweep::text(run.view(self.all), policy, &swept), exit)?;
                    } else {
                        results.document(SweepDocument::new(policy, &swept), exit);
                    }
                }
            }
        }
        results.finish()
    }
}
