//! `hygiene healthcheck`: asks a running service how it is, for containers without a shell.

use std::time::Duration;

use clap::Args;
use serde_json::Value;
use url::Url;

use super::exit::{Ended, Exit};
use super::options::duration;
use super::output;
use crate::admin::fetch;

/// Ask the service on this machine how it is; needs no spec
///
/// Exits with 0 when /healthz answers 200, and with 1 and the reason when it answers anything else, or nothing.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  hygiene healthcheck
  hygiene healthcheck --url http://127.0.0.1:9090/healthz --timeout 2s
  HEALTHCHECK CMD [\"/hygiene\", \"healthcheck\"]            in a Containerfile")]
pub(super) struct Healthcheck {
    /// What to ask
    #[arg(long, default_value = "http://127.0.0.1:8080/healthz")]
    url: Url,

    /// How long the whole answer may take
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    timeout: Duration,
}

impl Healthcheck {
    pub(super) async fn run(self) -> Ended {
        let why = match fetch::get(&self.url, self.timeout).await {
            Ok((200, _)) => return Ok(Exit::Done),
            Ok((status, body)) => format!("answers {status}{}", stalled(&body).unwrap_or_default()),
            Err(why) => why,
        };
        output::complain(format_args!("{} {why}", self.url));
        Ok(Exit::Failed)
    }
}

/// What the body adds, where it is ours.
fn stalled(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let lag = body.get("event_loop_lag_ms")?.as_u64()?;
    (body.get("event_loop")? == "stalled").then(|| format!(": the event loop is stalled, {lag} ms overdue"))
}
