//! `hygiene`: parse, find out who and where this is, hand over.

use std::process::ExitCode;

use clap::Parser;
use workspace_hygiene::cli::{Cli, Process};

fn main() -> ExitCode {
    Cli::parse().run(Process::this())
}
