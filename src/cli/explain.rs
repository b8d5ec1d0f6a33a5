//! `hygiene explain`: everything known about one directory.

use std::ffi::OsString;

use anyhow::Context as _;
use clap::Args;

use super::exit::{Ended, Exit};
use super::output::complain;
use super::run::{Results, Run};
use crate::names::EntryName;
use crate::observe::Reading;
use crate::policy::Policy;
use crate::report::explanation::{ExplanationDocument, is_worth_inspecting};
use crate::report::table::plain;
use crate::sweep::{Context, Observed, SweepError, inspect_one, list_quarantine};

/// Names that are offered where one is not known.
const OFFERED: usize = 3;
/// How alike two names must be for one to be offered for the other.
const ALIKE: f64 = 0.75;

/// Tell everything known about one directory: each guard in order, and which decided
///
/// NAME is an entry below the volume's root, the name of a workspace in quarantine, or the id of a quarantine entry. The
/// verdict is that of the plan for the whole volume; an orphan whose turn it is not yet is inspected all the same, so that
/// the state of its whole tree is known.
#[derive(Args, Debug)]
#[command(
    after_long_help = "\
Examples:
  hygiene explain -f spec.yaml 0a1b2c3d-0000-4000-8000-00000000abcd
  hygiene explain -f spec.yaml NAME -o json | jq '.guards[] | select(.decided)'",
    override_usage = "hygiene explain -f <SPEC>... [OPTIONS] <NAME>"
)]
pub(super) struct Explain {
    /// The directory's name, or the id of a quarantine entry
    name: OsString,
}

impl Explain {
    pub(super) async fn run(self, run: &Run) -> Ended {
        let policies = run.policies().await?;
        let name = EntryName::new(self.name);
        let mut results = Results::new(run, &policies);
        let (mut found, mut failed, mut known) = (false, false, Vec::new());
        for policy in &policies {
            let context = run.context(policy, "explain", Default::default());
            let observed = crate::sweep::plan(policy.clone(), run.sources(policy), context.clone()).await;
            let observed = match observed {
                Ok(observed) => observed,
                Err(error) => {
                    failed = true;
                    results.failed(policy, &error);
                    continue;
                }
            };
            let observed = inspected(policy, context, observed, &name).await?;
            let records = match list_quarantine(policy.clone()).await {
                Ok(listed) => listed.records,
                Err(error) => {
                    // The rest can still be explained.
                    results.failed(policy, &error);
                    Vec::new()
                }
            };
            match ExplanationDocument::new(policy, &observed, &name, &records) {
                None => known.extend(names(&observed)),
                Some(document) => {
                    found = true;
                    let exit = if run.stopped() { Exit::Failed } else { Exit::Done };
                    results.add(policy, Ok((document, exit)), |document| document.text(run.view(false)))?;
                }
            }
        }
        let exit = results.finish()?;
        if found || failed {
            return Ok(exit);
        }
        complain(unknown(&name, known));
        Ok(Exit::Failed)
    }
}

/// `observed` with an inspection of the entry called `name`, where that tells more.
async fn inspected(
    policy: &std::sync::Arc<Policy>,
    context: Context,
    mut observed: Observed,
    name: &EntryName,
) -> anyhow::Result<Observed> {
    let entries = observed.snapshot.volume.complete().map(|volume| volume.entries.as_slice()).unwrap_or_default();
    let Ok(index) = entries.binary_search_by(|entry| entry.name.cmp(name)) else { return Ok(observed) };
    let known = observed.snapshot.inspections.contains_key(&index);
    let helps = observed.plan.verdicts.get(index).is_some_and(is_worth_inspecting);
    if known || !helps {
        return Ok(observed);
    }
    let policy = policy.clone();
    let inspection = tokio::task::spawn_blocking(move || {
        inspect_one(&policy, &context, &mut observed, index)
            .map(|()| observed)
            .map_err(|source| SweepError::Root { path: policy.root.clone(), source })
    });
    let inspected = inspection.await.context("the inspection died; this is a bug: please report it")?;
    inspected.map_err(anyhow::Error::from)
}

fn names(observed: &Observed) -> Vec<String> {
    let Reading::Complete(volume) = &observed.snapshot.volume else { return Vec::new() };
    let below_root = volume.entries.iter().filter_map(|entry| entry.name.as_str().map(str::to_owned));
    below_root.chain(observed.plan.quarantine.iter().filter_map(|entry| entry.name.clone())).collect()
}

fn unknown(name: &EntryName, known: Vec<String>) -> String {
    let wanted = name.as_os_str().to_string_lossy();
    let likeness = |other: &str| strsim::normalized_damerau_levenshtein(&wanted, other);
    let mut alike: Vec<_> = known.into_iter().map(|other| (likeness(&other), plain(&other))).collect();
    alike.retain(|(likeness, _)| *likeness >= ALIKE);
    alike.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    alike.dedup();
    let alike: Vec<_> = alike.into_iter().take(OFFERED).map(|(_, other)| other).collect();
    let offer = match alike.as_slice() {
        [] => "`hygiene plan --all` lists every entry".to_owned(),
        alike => format!("did you mean {}?", alike.join(", ")),
    };
    format!("{name} is neither below the root, nor in quarantine, nor in the journal; {offer}")
}
