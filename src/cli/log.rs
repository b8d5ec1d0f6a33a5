//! The log: lines on standard error, and where the program was built with it, traces for OpenTelemetry.

use std::io::{self, Write};

use indicatif::MultiProgress;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{FilterExt as _, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry};

use super::options::LogFormat;
use super::output::complain;

#[cfg(feature = "otel")]
mod otel;

/// What the names of crates begin with whose warnings alone are logged, whatever is asked for: below that AWS's tell what they send, a session token
/// among it.
const QUIET: [&str; 5] = ["aws_", "hyper", "h2", "rustls", "tower"];

/// What is logged, and how.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) format: LogFormat,
    /// As the options say.
    pub(super) level: Option<LevelFilter>,
    /// As RUST_LOG says, where it says anything.
    pub(super) wanted: Option<String>,
    /// Where neither options nor environment say anything.
    pub(super) usual: LevelFilter,
    pub(super) color: bool,
}

/// Ends what was begun: traces that wait are sent.
#[derive(Debug, Default)]
pub(super) struct Logging {
    #[cfg(feature = "otel")]
    _traces: Option<otel::Traces>,
}

impl Log {
    /// Begins the log, above the `bars`.
    pub(super) fn begin(self, bars: &MultiProgress) -> Logging {
        let filter = match (self.level, self.wanted) {
            (Some(level), _) => EnvFilter::default().add_directive(level.into()),
            (None, Some(text)) if !text.is_empty() => EnvFilter::try_new(&text).unwrap_or_else(|error| {
                complain(format_args!("RUST_LOG: {text}: {error}; write a level as info, or target=level; ignored"));
                EnvFilter::default().add_directive(self.usual.into())
            }),
            (None, _) => EnvFilter::default().add_directive(self.usual.into()),
        };
        let quiet = QUIET.iter().map(|name| (*name, LevelFilter::WARN));
        // The client of Kubernetes warns with the whole text of an answer that it cannot read, which may be a Secret's.
        let targets = Targets::new().with_default(LevelFilter::TRACE).with_targets(quiet);
        let filter = filter.and(targets.with_target("kube_client", LevelFilter::OFF));
        let bars = bars.clone();
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(self.color)
            .log_internal_errors(false)
            .with_writer(move || Above(bars.clone()));
        let lines: Box<dyn Layer<Registry> + Send + Sync> = match self.format {
            LogFormat::Text => boxed(lines.with_target(false).with_filter(filter)),
            LogFormat::Json => boxed(
                lines.json().flatten_event(true).with_current_span(false).with_span_list(false).with_filter(filter),
            ),
        };
        let registry = tracing_subscriber::registry().with(lines);
        // It fails where a subscriber is installed already, which then has the log.
        #[cfg(not(feature = "otel"))]
        {
            let _ = registry.try_init();
            Logging::default()
        }
        #[cfg(feature = "otel")]
        {
            let (layer, traces) = otel::begin();
            let _ = registry.with(layer).try_init();
            Logging { _traces: traces }
        }
    }
}

fn boxed<S: Subscriber + for<'s> LookupSpan<'s>>(
    layer: impl Layer<S> + Send + Sync,
) -> Box<dyn Layer<S> + Send + Sync> {
    Box::new(layer)
}

/// Standard error, with the bar out of the way.
struct Above(MultiProgress);

impl Write for Above {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // A log that nobody reads any more must not fail the work.
        let _ = self.0.suspend(|| io::stderr().write_all(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
