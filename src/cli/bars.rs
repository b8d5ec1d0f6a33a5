//! The progress bar on standard error.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::progress::{Known, Progress};
use crate::report::text::size;

const KNOWN: &str = "{msg}  {wide_bar}  {human_pos}/{human_len}  {per_sec}  {eta} left";
/// Nothing was counted yet.
const WAITING: &str = "{spinner} {msg}  {elapsed}";
const UNKNOWN: &str = "{spinner} {msg}  {human_pos} entries  {per_sec}  {elapsed}";
/// Nobody counted before, and what was seen so far is the least that there is: no time can be told from that.
const AT_LEAST: &str = "{spinner} {msg}  {human_pos} of at least {human_len} entries{prefix}  {per_sec}  {elapsed}";
/// Nobody counted before, and by now all of it was seen.
const SEEN: &str = "{spinner} {msg}  {human_pos} of {human_len} entries{prefix}  {per_sec}  {eta} left";

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

    /// What draws them, for whoever writes lines in between.
    pub(super) fn drawn(&self) -> &MultiProgress {
        &self.all
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
        let template = if total.is_some() { KNOWN } else { WAITING };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(100));
        self.swap(Some(bar));
    }

    fn advance(&self, units: u64) {
        if let Some(bar) = &*self.current.lock().unwrap_or_else(PoisonError::into_inner) {
            if bar.length().is_none()
                && bar.position() == 0
                && let Ok(style) = ProgressStyle::with_template(UNKNOWN)
            {
                bar.set_style(style);
            }
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
