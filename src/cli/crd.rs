//! `hygiene crd`: the CustomResourceDefinition.

use anyhow::Context as _;
use clap::Args;

use super::exit::{Ended, Exit};
use super::options::Output;
use super::output;
use super::run::Run;
use crate::api::{crd, crd_yaml};

/// Print the CustomResourceDefinition, as YAML unless `-o json` is given
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  hygiene crd | kubectl apply --server-side -f -
  hygiene crd | diff - crds/hygiene.dev_workspacehygienes.yaml")]
pub(super) struct Crd {}

impl Crd {
    pub(super) fn run(self, run: &Run) -> Ended {
        let text = match run.global.output {
            Output::Table | Output::Yaml => crd_yaml(),
            Output::Json => serde_json::to_string_pretty(&crd()).context("the definition cannot be written")? + "\n",
        };
        output::print(&text)?;
        Ok(Exit::Done)
    }
}
