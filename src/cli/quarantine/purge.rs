//! `hygiene quarantine purge`: before the retention is over, and skipping nothing else.

use clap::Args;

use super::super::ask::{can_ask, confirmed};
use super::super::exit::{Ended, Exit};
use super::super::options::{LockOptions, SettleOptions};
use super::super::output::{complain, say};
use super::super::run::{Results, Run};
use super::{Meant, Selection, called};
use crate::act::Acted;
use crate::report::by_hand::PurgeDocument;
use crate::report::quarantine::QuarantineDocument;
use crate::report::table::count;
use crate::sweep::{Swept, purge_now};

/// Purge workspaces from quarantine now, for ever
///
/// Skips the retention and nothing else: every source is asked, keep files and keep globs count, the tree is walked a
/// second time, and a gate or a breaker holds it (exit code 3). What turns out to be needed is put back instead. Asks
/// before it begins, unless --yes is given.
#[derive(Args, Debug)]
#[command(
    after_long_help = "\
Examples:
  hygiene quarantine purge -f spec.yaml NAME
  hygiene quarantine purge -f spec.yaml --all --yes",
    override_usage = "hygiene quarantine purge -f <SPEC>... [OPTIONS] <NAMES|--all>"
)]
pub(super) struct Purge {
    #[command(flatten)]
    selection: Selection,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,

    #[command(flatten)]
    lock: LockOptions,

    #[command(flatten)]
    settle: SettleOptions,
}

impl Purge {
    pub(super) async fn run(self, run: &Run) -> Ended {
        if !self.yes && !can_ask(&run.global) {
            complain("a purge cannot be undone, and there is no terminal to ask on; give --yes if it is meant");
            return Ok(Exit::Usage);
        }
        let policies = run.policies().await?;
        let meant = self.selection.find(&policies).await?;
        if !self.yes && meant.iter().any(|meant| !meant.entries.is_empty()) && !is_meant(run, &meant) {
            say("nothing was purged");
            return Ok(Exit::Failed);
        }
        let mut results = Results::new(run, &policies);
        for meant in meant {
            let policy = meant.policy.clone();
            if meant.entries.is_empty() {
                let document = PurgeDocument::new(&policy, None, None, Acted::default());
                results.add(&policy, Ok((document, Exit::Done)), |document| document.text(run.view(false)))?;
                continue;
            }
            let mut context = run.context(&policy, "quarantine purge", self.lock.wait());
            context.settling = self.settle.settling();
            let swept = purge_now(policy.clone(), run.sources(&policy), context, meant.ids()).await;
            let outcome = swept.map(|mut swept| {
                name_what_stays(&meant, &mut swept);
                let held = swept.observed.plan.held.as_ref();
                let exit = Exit::of(&swept.acted, held.is_some());
                (PurgeDocument::new(&policy, Some(swept.id), held, swept.acted), exit)
            });
            results.add(&policy, outcome, |document| document.text(run.view(false)))?;
        }
        results.finish()
    }
}

/// Whoever asked for an entry by name is told when it stays: a change at the last moment is no error of a sweep, but here
/// it means that what was asked for was not done. A hold is told once for all of them.
fn name_what_stays(meant: &Meant, swept: &mut Swept) {
    let acted = &mut swept.acted;
    if acted.stopped || acted.paused.is_some() || swept.observed.plan.held.is_some() {
        return;
    }
    for entry in &meant.entries {
        let name = called(entry);
        let told = [&acted.purged, &acted.condemned, &acted.restored].into_iter().any(|names| names.contains(&name))
            || acted.errors.iter().any(|error| error.name == name || error.name == entry.id.as_str());
        if !told {
            let message = "it changed while it was looked at, and stays; try again".to_owned();
            acted.errors.push(crate::act::StepError { name, step: "purge", message });
        }
    }
}

/// Lists what would go, and asks.
fn is_meant(run: &Run, meant: &[Meant]) -> bool {
    let now = run.process.clock.now();
    let mut entries = 0;
    for meant in meant.iter().filter(|meant| !meant.entries.is_empty()) {
        entries += meant.entries.len() as u64;
        say(QuarantineDocument::new(&meant.policy, &meant.entries, now).text(run.view(false)));
    }
    let workspaces = count(entries, "workspace", "workspaces");
    confirmed(format_args!("Remove {workspaces} for ever, with everything inside?"))
}
