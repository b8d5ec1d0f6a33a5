//! `hygiene status`: the last state of a resource.

use clap::Args;
use std::fmt::Write as _;

use super::exit::{Ended, Exit};
use super::run::{Results, Run};
use crate::act::LockWait;
use crate::policy::Policy;
use crate::report::plan::View;
use crate::report::status::{LastState, is_old};
use crate::report::table::Tone;
use crate::report::text::ago;

/// Shows the last state: conditions, what holds deletion, backlog, quarantine, budget
///
/// It is what the last sweep left, of a service or by hand: on the volume in mode Enforce, else in the state directory. Asks
/// no database and takes no lock.
#[derive(Args, Debug)]
#[command(
    after_long_help = "\
Examples:
  hygiene status -f spec.yaml
  hygiene status -f spec.yaml -o json | jq '.conditions[] | select(.type == \"Ready\")'",
    override_usage = "hygiene status -f <SPEC>... [OPTIONS]"
)]
pub(super) struct Status {}

impl Status {
    pub(super) async fn run(self, run: &Run) -> Ended {
        let policies = run.policies().await?;
        let mut results = Results::new(run, &policies);
        for policy in &policies {
            let context = run.context(policy, "status", LockWait::default());
            match crate::sweep::last_state(policy.clone(), context).await {
                Err(error) => results.failed(policy, &error),
                Ok(state) => {
                    let state = state.unwrap_or_default();
                    if run.for_people() {
                        results.text(&text(run, run.view(false), policy, &state), Exit::Done)?;
                    } else {
                        results.document(state.status, Exit::Done);
                    }
                }
            }
        }
        results.finish()
    }
}

fn text(run: &Run, view: View<'_>, policy: &Policy, state: &LastState) -> String {
    let (status, name) = (&state.status, &policy.resource);
    let now = run.process.clock.now();
    let mut out = view.style.paint(Tone::Strong, &format!("{}/{}", name.namespace, name.name));
    let Some(sweep) = &status.last_sweep else {
        out += "\nno sweep was run yet: hygiene sweep ";
        return out + view.spec + "\n";
    };
    let end = sweep.completion_time.as_ref().map_or_else(String::new, |end| format!(", {}", ago(end.0, now)));
    let result = sweep.result.map_or_else(String::new, |result| format!("{result:?}"));
    let old = if is_old(policy, status, now) { "; the next ones did not come: is the service running?" } else { "" };
    let _ = writeln!(out, "\nlast sweep {}: {result}{end}{old}", sweep.id);
    let mut grid = view.style.grid(&["CONDITION", "STATUS", "REASON", "MESSAGE"]);
    for condition in &status.conditions {
        let tone = match condition.status.as_str() {
            "True" => Tone::Good,
            _ => Tone::Warn,
        };
        let message = condition.message.replace("-f SPEC", view.spec);
        grid.row([
            (Tone::Plain, &condition.type_),
            (tone, &condition.status),
            (Tone::Plain, &condition.reason),
            (Tone::Plain, &message),
        ]);
    }
    let _ = write!(out, "\n{}", grid.finish());
    if let Some(hold) = &status.hold {
        let _ = write!(out, "\nheld by {}: {}\n", hold.reason, hold.message.replace("-f SPEC", view.spec));
    }
    let mut figures = Vec::new();
    let a_month = |cost: &Option<String>| cost.as_ref().map_or_else(String::new, |cost| format!(", {cost} a month"));
    if let Some(volume) = &status.volume
        && let Some(efs) = &volume.efs
    {
        let message = efs.message.as_deref().unwrap_or(&efs.file_system_id);
        let _ = writeln!(out, "\nfile system {message}{}", a_month(&volume.monthly_cost));
    }
    if let Some(backlog) = status.backlog.as_ref().filter(|backlog| backlog.directories > 0) {
        let size = backlog
            .size
            .as_ref()
            .map_or_else(String::new, |size| format!(" ({size}{})", a_month(&backlog.monthly_cost)));
        figures.push(format!("{} orphans wait{size}", backlog.directories));
    }
    if let Some(kept) = &status.quarantine {
        figures.push(format!("{} in quarantine ({})", kept.directories, kept.size.as_deref().unwrap_or("0")));
    }
    if let Some(budget) = &status.budget {
        figures.push(format!("{} may still go in this period", budget.directories_left));
    }
    if let Some(given) = &status.reclaimed {
        let size = given.size.as_deref().unwrap_or("0");
        figures.push(format!("{} purged so far ({size}{})", given.directories, a_month(&given.monthly_cost)));
    }
    let _ = writeln!(out, "\n{}", figures.join(", "));
    out
}
