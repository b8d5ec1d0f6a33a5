//! What `hygiene run` and `hygiene controller` have in common: the pace of the loop, the admin server, the memory monitor.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use super::options::duration;
use crate::admin::{Admin, Board, MemoryMonitor, MemoryWarn, Metrics, Options, Pulse};
use crate::service::Pace;

/// Options of everything that runs as a service.
#[derive(Args, Debug)]
pub(super) struct ServingOptions {
    #[command(flatten)]
    admin: AdminOptions,

    /// Change nothing on a volume before the service has run for so long
    #[arg(long, value_name = "DURATION", default_value = "90s", value_parser = duration)]
    startup_delay: Duration,

    /// Time between two looks for what is needed again
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    restore_every: Duration,

    /// How many volumes are swept at once
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
}

/// Options of whatever shows how it is.
#[derive(Args, Debug)]
pub(super) struct AdminOptions {
    /// Where the admin server listens: /healthz, /readyz, /metrics, /status and a page for people
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// Time between two beats of the async runtime, by which /healthz tells whether it stands still
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    beat: Duration,

    /// After this long without a beat /healthz answers 503
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    stale: Duration,

    /// Warn when the container uses more memory than this: a size as 13Gi, or a share of its limit as 80% [default: 13/16 of
    /// the limit, 13Gi where there is none]
    #[arg(long, value_name = "SIZE")]
    memory_warn: Option<MemoryWarn>,
}

/// What shows how the service is, while it is held.
pub(super) struct Serving {
    pub(super) board: Arc<Board>,
    pub(super) metrics: Arc<Metrics>,
    _memory: MemoryMonitor,
    _admin: Admin,
}

impl ServingOptions {
    /// How the loop runs.
    pub(super) fn pace(&self) -> Pace {
        Pace {
            startup_delay: self.startup_delay,
            restore_every: self.restore_every.max(Duration::from_millis(100)),
            concurrency: self.concurrency.into(),
        }
    }

    /// As [`AdminOptions::start`].
    pub(super) fn start(&self) -> anyhow::Result<Serving> {
        self.admin.start()
    }
}

impl AdminOptions {
    /// Starts the admin server, the beat and the memory monitor.
    pub(super) fn start(&self) -> anyhow::Result<Serving> {
        let (board, pulse, metrics) = (Board::new(), Pulse::new(self.beat, self.stale), Arc::new(Metrics::new()));
        let options =
            Options { listen: self.listen, board: board.clone(), pulse: pulse.clone(), metrics: metrics.clone() };
        let admin = Admin::start(options);
        let admin =
            admin.with_context(|| format!("{} cannot be listened on; name another with --listen", self.listen))?;
        tracing::info!(address = %admin.address(), "the admin server listens");
        tokio::spawn(pulse.run());
        let memory = MemoryMonitor::start(self.memory_warn.unwrap_or_default(), metrics.clone());
        Ok(Serving { board, metrics, _memory: memory, _admin: admin })
    }
}
