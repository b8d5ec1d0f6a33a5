//! `hygiene plan`: what a sweep would do, and why. Writes nothing, anywhere on the volume.

use std::sync::Arc;

use clap::Args;

use super::exit::{Ended, Exit};
use super::run::{Results, Run};
use crate::policy::Policy;
use crate::report::answers::HeldDocument;
use crate::report::documents::PlanDocument;
use crate::report::plan;
use crate::sweep::held_plan;

/// Show what a sweep would do, and why, without writing anything
///
/// Reads the volume and the session store, decides about every directory, and prints the plan with its hash. The same
/// state gives the same plan in a sweep. The exit code is 0 even when a sweep would be held.
#[derive(Args, Debug)]
#[command(
    after_long_help = "\
Examples:
  hygiene plan -f spec.yaml
  hygiene plan -f spec.yaml --all                     list the live workspaces as well
  hygiene plan -f spec.yaml -o json | jq .counts      how many directories have which verdict
  hygiene plan -f spec.yaml --exit-code               fail (3) when a sweep would be held",
    override_usage = "hygiene plan -f <SPEC>... [OPTIONS]"
)]
pub(super) struct Plan {
    /// List every entry, the expected ones as well
    #[arg(short = 'A', long)]
    all: bool,

    /// List the plan that a breaker holds, as it was stored, instead of making a new one
    #[arg(long, conflicts_with_all = ["all", "exit_code"])]
    held: bool,

    /// Exit with 3 when a sweep would be held
    #[arg(long)]
    exit_code: bool,
}

async fn held(run: &Run, policies: &[Arc<Policy>]) -> Ended {
    let mut results = Results::new(run, policies);
    let now = run.process.clock.now();
    for policy in policies {
        let held = held_plan(policy.clone(), run.context(policy, "plan", Default::default())).await;
        let outcome = held.map(|held| (HeldDocument::new(policy, held), Exit::Done));
        results.add(policy, outcome, |document| document.text(run.view(false), now))?;
    }
    results.finish()
}

impl Plan {
    pub(super) async fn run(self, run: &Run) -> Ended {
        let policies = run.policies().await?;
        if self.held {
            return held(run, &policies).await;
        }
        let mut results = Results::new(run, &policies);
        for policy in &policies {
            if run.stopped() {
                results.skipped(policy);
                continue;
            }
            let context = run.context(policy, "plan", Default::default());
            match crate::sweep::plan(policy.clone(), run.sources(policy), context).await {
                Err(error) => results.failed(policy, &error),
                Ok(observed) => {
                    let exit = match (run.stopped(), observed.plan.held.is_some() && self.exit_code) {
                        (true, _) => Exit::Failed,
                        (false, true) => Exit::Held,
                        (false, false) => Exit::Done,
                    };
                    if run.for_people() {
                        results.text(&plan::text(run.view(self.all), policy, &observed), exit)?;
                    } else {
                        results.document(PlanDocument::new(policy, &observed), exit);
                    }
                }
            }
        }
        results.finish()
    }
}
