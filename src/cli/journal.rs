//! `hygiene journal`: deletions and restores so far.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::exit::{Ended, Exit};
use super::options::duration;
use super::run::{Results, Run};
use crate::clock::before;
use crate::journal::Record;
use crate::report::journal::{JournalDocument, settled_intents};
use crate::sweep::list_quarantine;

/// Show the deletions and restores so far
///
/// The journal is on the volume: append-only, one record before each step and one after it, each chained to the one before
/// by its hash. Reading it checks the chain. An intent is shown only where nothing tells its outcome yet.
#[derive(Args, Debug)]
#[command(
    after_long_help = "\
Examples:
  hygiene journal -f spec.yaml --since 24h
  hygiene journal -f spec.yaml --since 2026-01-31T00:00:00Z --until 2026-02-01T00:00:00Z
  hygiene journal -f spec.yaml --name NAME -o json | jq '.records[].why'",
    override_usage = "hygiene journal -f <SPEC>... [OPTIONS]"
)]
pub(super) struct Journal {
    /// Only records from then on: a time such as 2026-01-31T12:00:00Z, or how long ago, such as 24h
    #[arg(long, value_name = "WHEN", value_parser = instant)]
    since: Option<Instant>,

    /// Only records before then: a time, or how long ago
    #[arg(long, value_name = "WHEN", value_parser = instant)]
    until: Option<Instant>,

    /// Only records of this workspace, or of the quarantine entry with this id
    #[arg(long)]
    name: Option<String>,

    /// Only records of this sweep
    #[arg(long, value_name = "ID")]
    sweep: Option<String>,

    /// Show every intent, also where its outcome is known, and in a table the ids of sweeps and entries
    #[arg(short = 'A', long)]
    all: bool,
}

/// A time, or how long ago it was.
#[derive(Clone, Copy, Debug)]
enum Instant {
    At(Timestamp),
    Ago(Duration),
}

impl Instant {
    fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Ago(length) => before(now, length),
        }
    }
}

fn instant(text: &str) -> Result<Instant, String> {
    if let Ok(time) = text.parse() {
        return Ok(Instant::At(time));
    }
    duration(text).map(Instant::Ago).map_err(|error| {
        format!("is neither a time such as 2026-01-31T12:00:00Z nor how long ago, such as 24h: {error}")
    })
}

impl Journal {
    pub(super) async fn run(self, run: &Run) -> Ended {
        let policies = run.policies().await?;
        let now = run.process.clock.now();
        let mut results = Results::new(run, &policies);
        for policy in &policies {
            let outcome = list_quarantine(policy.clone()).await.map(|listed| {
                let settled = settled_intents(&listed.records);
                let wanted = |record: &Record| self.wants(record, now) && (self.all || !settled.contains(&record.seq));
                (JournalDocument::new(policy, listed.records, wanted), Exit::Done)
            });
            results.add(policy, outcome, |document| document.text(run.view(self.all)))?;
        }
        results.finish()
    }

    fn wants(&self, record: &Record, now: Timestamp) -> bool {
        self.since.is_none_or(|since| record.at >= since.at(now))
            && self.until.is_none_or(|until| record.at < until.at(now))
            && self.name.as_ref().is_none_or(|name| record.event.is_about(name))
            && self.sweep.as_ref().is_none_or(|sweep| record.sweep.as_str() == sweep)
    }
}
