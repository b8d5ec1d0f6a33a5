//! `hygiene man`: the manual pages.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory, ValueHint};
use clap_mangen::Man as Page;

use super::exit::{Ended, Exit};
use super::{Cli, output};

/// Print the manual page, or write the pages of all commands into a directory
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  hygiene man | man -l -
  hygiene man --dir /usr/local/share/man/man1")]
pub(super) struct Man {
    /// Write one page for each command into this directory, which is made where it is missing
    #[arg(long, value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(self) -> Ended {
        match self.dir {
            Some(dir) => {
                let shown = dir.display();
                std::fs::create_dir_all(&dir).with_context(|| format!("{shown} cannot be made"))?;
                clap_mangen::generate_to(Cli::command(), &dir)
                    .with_context(|| format!("the pages cannot be written into {shown}"))?;
            }
            None => {
                let mut text = Vec::new();
                Page::new(Cli::command()).render(&mut text).context("the page cannot be made")?;
                output::print(&String::from_utf8_lossy(&text))?;
            }
        }
        Ok(Exit::Done)
    }
}
