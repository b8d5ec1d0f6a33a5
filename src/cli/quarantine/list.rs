//! `hygiene quarantine list`: what is there, since when, when it goes.

use clap::Args;

use super::super::exit::{Ended, Exit};
use super::super::run::{Results, Run};
use crate::report::quarantine::QuarantineDocument;
use crate::sweep::{find_entries, list_quarantine};

/// Show what is in quarantine, since when, and when it goes
///
/// Writes nothing and waits for nobody. The session store is not asked: what has a live session again goes back with the
/// next sweep.
#[derive(Args, Debug)]
#[command(
    after_long_help = "\
Examples:
  hygiene quarantine list -f spec.yaml
  hygiene quarantine list -f spec.yaml -o json | jq -r '.entries[] | [.name, .due] | @tsv'",
    override_usage = "hygiene quarantine list -f <SPEC>... [OPTIONS] [NAMES]..."
)]
pub(super) struct List {
    /// Only these, each by its name or by the id of its quarantine entry
    names: Vec<String>,

    /// Show the ids of the entries in a table as well
    #[arg(short = 'A', long)]
    all: bool,
}

impl List {
    pub(super) async fn run(self, run: &Run) -> Ended {
        let policies = run.policies().await?;
        let mut results = Results::new(run, &policies);
        for policy in &policies {
            let now = run.process.clock.now();
            let outcome = list_quarantine(policy.clone()).await.and_then(|listed| {
                let entries = find_entries(&listed.entries, &self.names)?;
                Ok((QuarantineDocument::new(policy, &entries, now), Exit::Done))
            });
            results.add(policy, outcome, |document| document.text(run.view(self.all)))?;
        }
        results.finish()
    }
}
