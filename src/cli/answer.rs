//! `hygiene approve` and `hygiene dismiss`: what a person says to a plan.

use clap::Args;

use super::exit::{Ended, Exit};
use super::output::complain;
use super::run::{Results, Run};
use crate::names::PlanHash;
use crate::records::AnswerKind;
use crate::report::answers::AnswerDocument;
use crate::sweep::answer;

/// Let exactly the orphans of one plan go
///
/// HASH is the hash of the plan that is held (`hygiene plan --held` lists it), or of the plan as it is now, which `hygiene
/// plan` shows: the first plan for a volume always waits for this, also one that was seen in mode Report. Its orphans then
/// go over as many sweeps as the limits need, each asked about anew; one that changed since is no part of it any more.
/// Needs no lock and changes nothing by itself.
#[derive(Args, Debug)]
#[command(
    after_long_help = "\
Examples:
  hygiene plan -f spec.yaml                           look at it first
  hygiene approve -f spec.yaml 90cbdd24590bd40fb95818ac1a05c1fd",
    override_usage = "hygiene approve -f <SPEC>... [OPTIONS] <HASH>"
)]
pub(super) struct Approve {
    /// The plan's hash, 32 hexadecimal digits
    #[arg(value_parser = hash)]
    hash: PlanHash,
}

/// Drop the plan that is held, and let the next sweep look afresh
///
/// Nothing of it goes. If the anomaly is still there, the next sweep holds a new plan.
#[derive(Args, Debug)]
#[command(
    after_long_help = "\
Examples:
  hygiene plan -f spec.yaml --held                    look at it first
  hygiene dismiss -f spec.yaml 90cbdd24590bd40fb95818ac1a05c1fd",
    override_usage = "hygiene dismiss -f <SPEC>... [OPTIONS] <HASH>"
)]
pub(super) struct Dismiss {
    /// The plan's hash, 32 hexadecimal digits
    #[arg(value_parser = hash)]
    hash: PlanHash,
}

impl Approve {
    pub(super) async fn run(self, run: &Run) -> Ended {
        say(run, AnswerKind::Approve, self.hash).await
    }
}

impl Dismiss {
    pub(super) async fn run(self, run: &Run) -> Ended {
        say(run, AnswerKind::Dismiss, self.hash).await
    }
}

async fn say(run: &Run, kind: AnswerKind, hash: PlanHash) -> Ended {
    let policies = run.policies().await?;
    let [policy] = policies.as_slice() else {
        complain("-f holds several resources, and a plan is of one of them; give a spec with that one alone");
        return Ok(Exit::Usage);
    };
    let command = if kind == AnswerKind::Approve { "approve" } else { "dismiss" };
    let context = run.context(policy, command, Default::default());
    let answered = answer(policy.clone(), run.sources(policy), context, kind, hash).await;
    let mut results = Results::new(run, &policies);
    let outcome = answered.map(|answered| (AnswerDocument::new(policy, answered), Exit::Done));
    results.add(policy, outcome, |document| document.text(run.view(false), policy))?;
    results.finish()
}

fn hash(text: &str) -> Result<PlanHash, String> {
    let text = text.to_ascii_lowercase();
    if text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(PlanHash::new(text))
    } else {
        Err("is no plan's hash: it has 32 hexadecimal digits, as `hygiene plan` shows it".into())
    }
}
