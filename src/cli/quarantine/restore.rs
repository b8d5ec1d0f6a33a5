//! `hygiene quarantine restore`: back under its name, never over a name that exists.

use clap::Args;

use super::super::exit::{Ended, Exit};
use super::super::options::LockOptions;
use super::super::run::{Results, Run};
use super::Selection;
use crate::act::Pin;
use crate::report::by_hand::RestoreDocument;
use crate::sweep::restore_now;

/// Put workspaces back under their names
///
/// Each gets an empty .hygiene-keep file first, so that no later sweep takes it again; remove that file when the workspace
/// may go. Nothing is ever put over a name that exists.
#[derive(Args, Debug)]
#[command(
    after_long_help = "\
Examples:
  hygiene quarantine restore -f spec.yaml NAME
  hygiene quarantine restore -f spec.yaml --all
  hygiene quarantine restore -f spec.yaml NAME --no-pin    the next sweep may take it again",
    override_usage = "hygiene quarantine restore -f <SPEC>... [OPTIONS] <NAMES|--all>"
)]
pub(super) struct Restore {
    #[command(flatten)]
    selection: Selection,

    /// Leave no .hygiene-keep file: a later sweep takes an orphan again
    #[arg(long)]
    no_pin: bool,

    #[command(flatten)]
    lock: LockOptions,
}

impl Restore {
    pub(super) async fn run(self, run: &Run) -> Ended {
        let policies = run.policies().await?;
        let meant = self.selection.find(&policies).await?;
        let pin = if self.no_pin { Pin::No } else { Pin::Yes };
        let mut results = Results::new(run, &policies);
        for meant in meant {
            let policy = meant.policy.clone();
            let context = run.context(&policy, "quarantine restore", self.lock.wait());
            let acted = if meant.entries.is_empty() {
                Ok(Default::default())
            } else {
                restore_now(policy.clone(), run.sources(&policy), context, meant.ids(), pin).await
            };
            let outcome = acted.map(|acted| {
                let exit = Exit::of(&acted, false);
                (RestoreDocument::new(&policy, pin == Pin::Yes, acted), exit)
            });
            results.add(&policy, outcome, |document| document.text(run.view(false)))?;
        }
        results.finish()
    }
}
