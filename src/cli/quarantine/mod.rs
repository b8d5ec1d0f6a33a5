//! `hygiene quarantine`: look, put back, purge before the retention is over.

mod list;
mod purge;
mod restore;

use std::sync::Arc;

use clap::{Args, Subcommand};

use super::exit::{Ended, Exit};
use super::output::complain;
use super::run::Run;
use crate::observe::QuarantineEntry;
use crate::policy::Policy;
use crate::sweep::{SweepError, find_entries, list_quarantine};

/// Show what is in quarantine, put it back, or purge it now
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  hygiene quarantine list -f spec.yaml
  hygiene quarantine restore -f spec.yaml NAME
  hygiene quarantine purge -f spec.yaml NAME --yes")]
pub(super) struct Quarantine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::List),
    Restore(restore::Restore),
    Purge(purge::Purge),
}

/// Which entries are meant.
#[derive(Args, Debug)]
struct Selection {
    /// The workspaces, each by its name or by the id of its quarantine entry
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    names: Vec<String>,

    /// Everything that is in quarantine
    #[arg(long)]
    all: bool,
}

/// The entries of one resource that are meant.
struct Meant {
    policy: Arc<Policy>,
    entries: Vec<QuarantineEntry>,
}

impl Quarantine {
    pub(super) async fn run(self, run: &Run) -> Ended {
        match self.command {
            Command::List(command) => command.run(run).await,
            Command::Restore(command) => command.run(run).await,
            Command::Purge(command) => command.run(run).await,
        }
    }
}

impl Selection {
    /// Finds the entries in the quarantines of all resources, before anything is changed. From here on each goes by its
    /// id: what is acted on is what was found, and what a person was shown.
    async fn find(&self, policies: &[Arc<Policy>]) -> Result<Vec<Meant>, Exit> {
        let mut exit = Exit::Done;
        let mut fail = |error: &SweepError| {
            complain(error);
            exit = exit.max(Exit::from(error));
        };
        let mut quarantines = Vec::new();
        for policy in policies {
            match list_quarantine(policy.clone()).await {
                Ok(listed) => quarantines.push((policy, listed.entries)),
                Err(error) => fail(&error),
            }
        }
        let mut meant: Vec<Meant> =
            quarantines.iter().map(|(policy, _)| Meant { policy: (*policy).clone(), entries: Vec::new() }).collect();
        if self.all {
            for (meant, (_, entries)) in meant.iter_mut().zip(&quarantines) {
                meant.entries.clone_from(entries);
            }
        }
        for name in &self.names {
            let mut found = false;
            for (meant, (_, entries)) in meant.iter_mut().zip(&quarantines) {
                match find_entries(entries, std::slice::from_ref(name)) {
                    Ok(entries) => {
                        found = true;
                        let new = |entry: &QuarantineEntry| meant.entries.iter().all(|known| known.id != entry.id);
                        let entries: Vec<_> = entries.into_iter().filter(new).collect();
                        meant.entries.extend(entries);
                    }
                    Err(SweepError::NotInQuarantine(_)) => {}
                    Err(error) => {
                        found = true;
                        fail(&error);
                    }
                }
            }
            if !found {
                fail(&SweepError::NotInQuarantine(name.clone()));
            }
        }
        // A resource none of whose entries is meant has no part in this, unless all are: then it says that it has none.
        meant.retain(|meant| self.all || !meant.entries.is_empty());
        for meant in &meant {
            if !meant.entries.is_empty() && meant.policy.mode == crate::policy::Mode::Report {
                fail(&SweepError::ReportMode);
            }
        }
        if exit == Exit::Done { Ok(meant) } else { Err(exit) }
    }
}

impl Meant {
    fn ids(&self) -> Vec<String> {
        self.entries.iter().map(|entry| entry.id.to_string()).collect()
    }
}

/// What an entry is called: the workspace's name, or its id where that is not known.
fn called(entry: &QuarantineEntry) -> String {
    entry.sidecar.complete().map_or_else(|| entry.id.to_string(), |sidecar| sidecar.name.clone())
}
