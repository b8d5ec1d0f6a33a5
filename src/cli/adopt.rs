//! `hygiene adopt`: binds a volume anew.

use clap::Args;

use super::ask::{can_ask, confirmed};
use super::exit::{Ended, Exit};
use super::options::LockOptions;
use super::output::{complain, say};
use super::run::{Results, Run};
use crate::report::answers::AdoptionDocument;
use crate::sweep::adopt;

/// Bind the volume anew to this resource, this database and this spec
///
/// A volume is bound by its first sweep in mode Enforce. When its owner, its root, its database, or pattern and liveQuery
/// differ from what it was bound to, nothing is deleted before this. Shows what differs, and asks. What was approved or held
/// under the old binding counts no more: the next plan waits for approval. A damaged journal is set apart, and a new one
/// begins; what it told of in quarantine is then kept for a person to look at.
#[derive(Args, Debug)]
#[command(
    after_long_help = "\
Examples:
  hygiene adopt -f spec.yaml
  hygiene adopt -f spec.yaml --yes --lock-timeout 5m",
    override_usage = "hygiene adopt -f <SPEC>... [OPTIONS]"
)]
pub(super) struct Adopt {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,

    #[command(flatten)]
    lock: LockOptions,
}

impl Adopt {
    pub(super) async fn run(self, run: &Run) -> Ended {
        if !self.yes && !can_ask(&run.global) {
            complain("there is no terminal to ask on; look at the differences on one, or give --yes if it is meant");
            return Ok(Exit::Usage);
        }
        let policies = run.policies().await?;
        let mut results = Results::new(run, &policies);
        for policy in &policies {
            let context = || run.context(policy, "adopt", self.lock.wait());
            if !self.yes {
                match adopt(policy.clone(), run.sources(policy), context(), false).await {
                    Err(error) => {
                        results.failed(policy, &error);
                        continue;
                    }
                    Ok(adoption) => say(AdoptionDocument::new(policy, adoption).text(run.view(false))),
                }
                if !confirmed("Bind the volume so?") {
                    say("nothing was changed");
                    return Ok(Exit::Failed);
                }
            }
            let adopted = adopt(policy.clone(), run.sources(policy), context(), true).await;
            let outcome = adopted.map(|adoption| (AdoptionDocument::new(policy, adoption), Exit::Done));
            results.add(policy, outcome, |document| document.text(run.view(false)))?;
        }
        results.finish()
    }
}
