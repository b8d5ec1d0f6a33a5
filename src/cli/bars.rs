//! The progress bar on standard error, and the log that must not be torn by it.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::options::LogFormat;
use crate::progress::{Known, Progress};
use crate::report::text::size;

const KNOWN: &str = "{msg}  {wide_bar}  {human_pos}/{human_len}  {per_sec}  {eta} left";
const UNKNOWN: &str = "{spinner} {msg}  {human_pos} entries  {per_sec}  {elapsed}";
/// Nobody counted before, and what was seen so far is the least that there is: no time can be told from that.
const AT_LEAST: &str = "{spinner} {msg}  {human_pos} of at least {human_len} entries{prefix}  {per_sec}  {elapsed}";
/// Nobody counted before, and by now all of it was seen.
const SEEN: &str = "{spinner} {msg}  {human_pos} of {human_len} entries{prefix}  {per_sec}  {eta} left";

/// What the names of crates begin with whose warnings alone are logged: below that AWS's tell what they send, a session token
/// among it.
const QUIET: [&str; 5] = ["aws_", "hyper", "h2", "rustls", "tower"];

/// Draws how far the work is.
#[derive(Debug)]
pub(super) struct Bars {
    all: MultiProgress,
    current: Mutex<Option<ProgressBar>>,
}

impl Bars {
    /// Bars on standard error, or none at all.
    pub(super) fn new(visible: bool) -> Self {
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { all: MultiProgress::with_draw_target(target), current: Mutex::new(None) }
    }

    /// Sends the log to standard error, above the bar.
    pub(super) fn log(&self, format: LogFormat, level: LevelFilter, color: bool) {
        let bars = self.all.clone();
        let builder = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(color)
            .log_internal_errors(false)
            .with_writer(move || Above(bars.clone()));
        let quiet = QUIET.iter().map(|name| (*name, level.min(LevelFilter::WARN)));
        let targets = Targets::new().with_default(level).with_targets(quiet);
        // It fails where a subscriber is installed already, which then has the log.
        let _ = match format {
            LogFormat::Text => builder.with_target(false).finish().with(targets).try_init(),
            LogFormat::Json => builder.json().flatten_event(true).finish().with(targets).try_init(),
        };
    }

    fn swap(&self, bar: Option<ProgressBar>) -> Option<ProgressBar> {
        std::mem::replace(&mut self.current.lock().unwrap_or_else(PoisonError::into_inner), bar)
    }
}

impl Progress for Bars {
    fn begin(&self, what: &'static str, total: Option<u64>) {
        self.end();
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        let bar = self.all.add(bar);
        let template = if total.is_some() { KNOWN } else { UNKNOWN };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(100));
        self.swap(Some(bar));
    }

    fn advance(&self, units: u64) {
        if let Some(bar) = &*self.current.lock().unwrap_or_else(PoisonError::into_inner) {
            bar.inc(units);
        }
    }

    fn known(&self, known: &Known) {
        let bar = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bar) = &*bar else { return };
        bar.set_length(known.total);
        bar.set_prefix(known.bytes.map_or_else(String::new, |bytes| format!(", {}", size(bytes))));
        if let Ok(style) = ProgressStyle::with_template(if known.whole { SEEN } else { AT_LEAST }) {
            bar.set_style(style);
        }
    }

    fn end(&self) {
        if let Some(bar) = self.swap(None) {
            bar.finish_and_clear();
        }
    }
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
