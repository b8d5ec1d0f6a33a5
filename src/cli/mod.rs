//! The command line: one file per command. Only here and in `main` are the environment, the terminal and the signals
//! looked at; everything below is handed what it needs.

mod adopt;
mod answer;
mod ask;
mod bars;
mod completions;
mod controller;
mod crd;
mod exit;
mod explain;
mod healthcheck;
mod job_manifest;
mod journal;
mod lines;
mod log;
mod man;
mod objects;
mod options;
mod output;
mod plan;
mod process;
mod purge;
mod quarantine;
mod run;
mod secrets;
mod self_test;
mod service;
mod serving;
mod shown;
mod status;
mod sweep;
mod sweeper;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::{Early, Exit};
use options::Global;
pub use process::Process;
use run::{Run, block_on};

/// Removes orphaned session workspaces from a shared volume, and never the wrong one
///
/// A workspace is a directory directly below the volume's root whose name yields a session id. One without a live session,
/// and idle for `minAge`, is an orphan. A sweep moves orphans to quarantine, a few at a time, puts back what turns out to
/// be needed, and removes for good what nobody missed for as long as `retention` says.
#[derive(Debug, Parser)]
#[command(name = "hygiene", version, propagate_version = true, after_long_help = EXAMPLES, max_term_width = 120)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  See what a sweep would do; this never writes to the volume:
    hygiene plan -f spec.yaml
  Run one sweep:
    hygiene sweep -f spec.yaml
  Let the first plan go, or one that a breaker held:
    hygiene approve -f spec.yaml HASH
  Keep sweeping, by the schedule of the spec:
    hygiene run -f spec.yaml
  Ask why a directory stays or goes:
    hygiene explain -f spec.yaml NAME
  Put a workspace back:
    hygiene quarantine restore -f spec.yaml NAME

Exit codes:
  0  done
  1  failed: a step failed, or the work was stopped by a signal
  2  bad usage or an invalid spec; nothing was begun
  3  held by a gate or a breaker
  4  the volume is locked by somebody else
  With several resources all are processed, and the code is the first of 1, 4, 3, 0 that one of them gave.";

#[derive(Debug, Subcommand)]
enum Command {
    Plan(plan::Plan),
    Sweep(sweep::Sweep),
    Run(service::RunService),
    Controller(controller::RunController),
    Sweeper(sweeper::Sweeper),
    Status(status::Status),
    Explain(explain::Explain),
    Approve(answer::Approve),
    Dismiss(answer::Dismiss),
    Adopt(adopt::Adopt),
    Quarantine(quarantine::Quarantine),
    Journal(journal::Journal),
    Purge(purge::Purge),
    Healthcheck(healthcheck::Healthcheck),
    JobManifest(job_manifest::JobManifest),
    SelfTest(self_test::SelfTest),
    Crd(crd::Crd),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Cli {
    /// Runs the command, and gives the code to exit with.
    pub fn run(self, process: Process) -> ExitCode {
        let service = matches!(self.command, Command::Run(_) | Command::Controller(_) | Command::Sweeper(_));
        let run = Run::new(self.global, process, service);
        let done = match self.command {
            Command::Run(command) => block_on(command.run(run)),
            Command::Controller(command) => block_on(command.run(run)),
            Command::Sweeper(command) => block_on(command.run(run)),
            Command::Status(command) => run.block_on(command.run(&run)),
            Command::Plan(command) => run.block_on(command.run(&run)),
            Command::Sweep(command) => run.block_on(command.run(&run)),
            Command::Explain(command) => run.block_on(command.run(&run)),
            Command::Approve(command) => run.block_on(command.run(&run)),
            Command::Dismiss(command) => run.block_on(command.run(&run)),
            Command::Adopt(command) => run.block_on(command.run(&run)),
            Command::Quarantine(command) => run.block_on(command.run(&run)),
            Command::Journal(command) => run.block_on(command.run(&run)),
            Command::Purge(command) => command.run(&run),
            Command::Healthcheck(command) => run.block_on(command.run()),
            Command::JobManifest(command) => run.block_on(command.run(&run)),
            Command::SelfTest(command) => run.block_on(command.run(&run)),
            Command::Crd(command) => command.run(&run),
            Command::Completions(command) => command.run(),
            Command::Man(command) => command.run(),
        };
        let exit = match done {
            Ok(exit) | Err(Early::Told(exit)) => exit,
            Err(Early::Untold(error)) => {
                output::complain(format_args!("{error:#}"));
                Exit::Failed
            }
        };
        exit.into()
    }
}
