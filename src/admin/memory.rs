//! The memory monitor: says once that memory runs short, once that it does not any more, and changes nothing.

use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::cgroup::{Cgroup, Memory};
use super::fetch;
use super::metrics::Metrics;
use crate::api::SizeString;
use crate::report::text::size;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(5);
/// The threshold where there is no limit (DESIGN, "Watching itself").
const WITHOUT_LIMIT: u64 = 13 << 30;
/// How long the ECS metadata endpoint may take.
const METADATA: Duration = Duration::from_secs(2);

/// From which usage on to warn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemoryWarn {
    /// 13/16 of the limit, or 13 GiB where there is none.
    #[default]
    Default,
    /// So many bytes.
    Bytes(u64),
    /// So many per cent of the limit, 1 to 100; as by default where there is none.
    Percent(u8),
}

impl FromStr for MemoryWarn {
    type Err = String;

    /// ```
    /// use workspace_hygiene::admin::MemoryWarn;
    ///
    /// assert_eq!("80%".parse(), Ok(MemoryWarn::Percent(80)));
    /// assert_eq!("1Gi".parse(), Ok(MemoryWarn::Bytes(1 << 30)));
    /// assert!("0%".parse::<MemoryWarn>().is_err());
    /// ```
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_suffix('%') {
            Some(number) => match number.parse() {
                Ok(percent @ 1..=100) => Ok(Self::Percent(percent)),
                _ => Err(format!("{text:?} is no share of the limit (accepted: 1% to 100%)")),
            },
            None => match SizeString::from(text).parse() {
                Ok(bytes) => Ok(Self::Bytes(bytes)),
                Err(why) => Err(format!("{text:?} {why}, or a share of the limit such as 80%")),
            },
        }
    }
}

impl MemoryWarn {
    fn threshold(self, limit: Option<u64>) -> u64 {
        let of_limit = |part: u128, of: u128| {
            limit.and_then(|limit| u64::try_from(u128::from(limit) * part / of).ok()).unwrap_or(WITHOUT_LIMIT)
        };
        match self {
            Self::Default => of_limit(13, 16),
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => of_limit(percent.into(), 100),
        }
    }
}

/// Where a monitor reads, and how often.
#[derive(Clone, Debug)]
pub struct Place {
    /// What `/proc` and `/sys` are below.
    pub root: PathBuf,
    /// The ECS metadata endpoint, version 4.
    pub metadata: Option<String>,
    /// How often it looks.
    pub every: Duration,
}

impl Place {
    /// This machine; the metadata endpoint is where ECS tells a container that it is.
    pub fn here() -> Self {
        let metadata = std::env::var_os("ECS_CONTAINER_METADATA_URI_V4").and_then(|uri| uri.into_string().ok());
        Self { root: "/".into(), metadata, every: EVERY }
    }
}

/// The memory monitor of a process: a thread that looks from time to time. It stops when this is dropped.
#[derive(Debug)]
pub struct MemoryMonitor {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl MemoryMonitor {
    /// Watches this process.
    pub fn start(warn: MemoryWarn, metrics: Arc<Metrics>) -> Self {
        Self::watch(Place::here(), warn, metrics)
    }

    /// The same, reading elsewhere.
    pub fn watch(place: Place, warn: MemoryWarn, metrics: Arc<Metrics>) -> Self {
        let (stop, stopped) = mpsc::channel();
        let log = tracing::dispatcher::get_default(Clone::clone);
        let spawned = thread::Builder::new().name("memory".into()).spawn(move || {
            tracing::dispatcher::with_default(&log, || {
                let Some(mut monitor) = Monitor::new(&place, warn, metrics) else {
                    tracing::info!("the memory monitor is off: no cgroup tells how much memory this process uses");
                    return;
                };
                while stopped.recv_timeout(place.every) == Err(RecvTimeoutError::Timeout) {
                    monitor.look();
                }
            });
        });
        let thread = spawned.inspect_err(|error: &io::Error| tracing::info!(%error, "the memory monitor is off"));
        Self { stop: Some(stop), thread: thread.ok() }
    }
}

impl Drop for MemoryMonitor {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It ends at once, or after one question to the metadata endpoint. That it died is no reason to die here.
            let _ = thread.join();
        }
    }
}

struct Monitor {
    cgroup: Cgroup,
    /// The limit that ECS tells, asked for once.
    told: Option<u64>,
    warn: MemoryWarn,
    metrics: Arc<Metrics>,
    above: bool,
}

impl Monitor {
    fn new(place: &Place, warn: MemoryWarn, metrics: Arc<Metrics>) -> Option<Self> {
        let cgroup = Cgroup::own(&place.root)?;
        let limit = cgroup.look()?.limit;
        let told = place.metadata.as_deref().filter(|_| limit.is_none()).and_then(told);
        let mut monitor = Self { cgroup, told, warn, metrics, above: false };
        monitor.look();
        Some(monitor)
    }

    fn look(&mut self) {
        let Some(Memory { usage, limit }) = self.cgroup.look() else {
            tracing::debug!("the cgroup tells nothing any more");
            return self.metrics.memory(None);
        };
        let limit = limit.or(self.told);
        let threshold = self.warn.threshold(limit);
        self.metrics.memory(Some((usage, limit, threshold)));
        let of = limit.map_or_else(|| "none".into(), size);
        // Five per cent below before it is called over, so that a usage around the threshold is one warning.
        if !self.above && usage > threshold {
            self.above = true;
            tracing::warn!(usage = size(usage), threshold = size(threshold), limit = of, "memory runs short");
        } else if self.above && usage < threshold / 100 * 95 {
            self.above = false;
            tracing::info!(
                usage = size(usage),
                threshold = size(threshold),
                limit = of,
                "memory does not run short any more"
            );
        }
    }
}

/// The limit that the ECS metadata endpoint tells, which is in MiB there.
fn told(address: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(rename = "Limits")]
        limits: Limits,
    }
    #[derive(Deserialize)]
    struct Limits {
        #[serde(rename = "Memory")]
        memory: u64,
    }
    let url = Url::parse(address).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let answer = runtime.block_on(fetch::get(&url, METADATA));
    // A name that is still looked up is nothing to wait for.
    runtime.shutdown_background();
    let (_, body) = answer.ok().filter(|(status, _)| *status == 200)?;
    let answer: Answer = serde_json::from_slice(&body).ok()?;
    answer.limits.memory.checked_mul(1 << 20).filter(|limit| *limit > 0)
}
