//! `hygiene completions`: what a shell needs to complete the command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::exit::{Ended, Exit};
use super::{Cli, output};

/// Print the completions for a shell
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  hygiene completions bash > /etc/bash_completion.d/hygiene
  hygiene completions zsh > \"${fpath[1]}/_hygiene\"
  hygiene completions fish > ~/.config/fish/completions/hygiene.fish")]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Ended {
        // Into memory first: the generator panics when a pipe breaks.
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "hygiene", &mut text);
        output::print(&String::from_utf8_lossy(&text))?;
        Ok(Exit::Done)
    }
}
