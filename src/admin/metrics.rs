//! Metrics as OpenMetrics text. What is counted is kept here by resource; the rest is read off the board when somebody asks.
//! Labels are bounded: resources, and words of our own.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

use super::VERSION;
use super::board::{Board, ResourceView};
use super::counts::{Few, Labels, Lengths, SweepLengths, step_buckets};
use super::pulse::Pulse;
use crate::act::Acted;
use crate::api::{SizeString, SweepResult, VerdictCount};
use crate::policy::ResourceName;
use crate::progress::Working;
use crate::report::outcome::Outcome;
use crate::service::NotSwept;

type Float = Gauge<f64, AtomicU64>;
type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// Metrics of the service. Shared; every method takes a short lock.
#[derive(Debug)]
pub struct Metrics {
    /// Boxed: there is room in a tree for many more than there are.
    resources: Mutex<BTreeMap<ResourceName, Box<Counted>>>,
    /// Of all resources together, as the next: by resource they would be most of all series, and of the memory of a thousand.
    step_seconds: Histograms,
    source_seconds: Histograms,
    memory: Mutex<Option<(u64, Option<u64>, u64)>>,
    refused: Mutex<Vec<NotSwept>>,
    /// Whether this process leads; `None` where there is no election.
    leads: Mutex<Option<bool>>,
}

/// What was counted of one resource.
#[derive(Clone, Debug, Default)]
struct Counted {
    sweeps: Few<u64>,
    sweep_seconds: Lengths,
    /// Of the last sweep.
    verdicts: Box<[VerdictCount]>,
    orphans: Option<u64>,
    quarantined: u64,
    restored: u64,
    condemned: u64,
    purged: u64,
    purged_entries: u64,
    purged_bytes: u64,
    /// By step.
    errors: BTreeMap<String, u64>,
    /// Calls of the purge that removed or moved something, the seconds spent in them, and workers.
    purge_calls: u64,
    purge_seconds: f64,
    purge_workers: usize,
    /// Seconds in which something held deletion, by kind; and what holds it now, since when.
    held_seconds: Few<f64>,
    held: Option<(&'static str, Instant)>,
    /// By kind of source: answers that were no answer.
    source_errors: Few<u64>,
}

impl Counted {
    /// What holds deletion from now on.
    fn hold(&mut self, kind: Option<&'static str>) {
        self.held_seconds = self.held_until_now();
        self.held = kind.map(|kind| (kind, now()));
    }

    fn held_until_now(&self) -> Few<f64> {
        let mut seconds = self.held_seconds.clone();
        if let Some((kind, since)) = self.held {
            *seconds.of(kind) += since.elapsed().as_secs_f64();
        }
        seconds
    }
}

#[allow(clippy::disallowed_methods)] // how long something holds, not what time it is
fn now() -> Instant {
    Instant::now()
}

/// A source answers at once or within its time-out, 60 s as a rule.
fn source_buckets() -> Histogram {
    Histogram::new([0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0])
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics that have counted nothing yet.
    pub fn new() -> Self {
        Self {
            resources: Mutex::default(),
            step_seconds: Family::new_with_constructor(step_buckets),
            source_seconds: Family::new_with_constructor(source_buckets),
            memory: Mutex::default(),
            refused: Mutex::default(),
            leads: Mutex::default(),
        }
    }

    /// The resources that are not swept now.
    pub fn refused(&self, resources: &[NotSwept]) {
        *locked(&self.refused) = resources.to_vec();
    }

    /// Whether this process is the one that works, of those that could.
    pub fn leads(&self, leads: bool) {
        *locked(&self.leads) = Some(leads);
    }

    /// Counts a sweep that ended with a report.
    pub fn swept(&self, resource: &ResourceName, outcome: &Outcome, verdicts: &[VerdictCount], took: Duration) {
        let result = outcome.result.map_or("Failed", SweepResult::word);
        let mut resources = locked(&self.resources);
        let counted = resources.entry(resource.clone()).or_default();
        *counted.sweeps.of(result) += 1;
        counted.sweep_seconds.observe(took);
        counted.hold(outcome.held.as_ref().map(|held| held.kind.word()));
        // Between two purges nobody is at work.
        counted.purge_workers = 0;
        counted.verdicts = verdicts.into();
        counted.orphans = Some(outcome.orphans);
        counted.quarantined += outcome.quarantined;
        counted.restored += outcome.restored;
        counted.condemned += outcome.condemned;
        counted.purged += outcome.purged;
        counted.purged_entries += outcome.reclaimed.entries;
        counted.purged_bytes += outcome.reclaimed.bytes;
        for (step, times) in &outcome.errors {
            *counted.errors.entry(step.clone()).or_default() += times;
        }
    }

    /// What holds deletion before a sweep ends, of a resource that is not forgotten yet.
    pub fn held(&self, resource: &ResourceName, kind: Option<&'static str>) {
        if let Some(counted) = locked(&self.resources).get_mut(resource) {
            counted.hold(kind);
        }
    }

    /// Counts what was put back outside a sweep.
    pub fn restored(&self, resource: &ResourceName, acted: &Acted) {
        locked(&self.resources).entry(resource.clone()).or_default().restored += acted.restored.len() as u64;
    }

    /// Notes how long a step of a sweep took.
    pub(super) fn step(&self, step: &'static str, took: Duration) {
        self.step_seconds.get_or_create(&vec![("step", step.to_owned())]).observe(took.as_secs_f64());
    }

    /// Counts what a purge did since this was told last.
    pub(super) fn purging(&self, resource: &ResourceName, working: &Working) {
        let mut resources = locked(&self.resources);
        let counted = resources.entry(resource.clone()).or_default();
        counted.purge_calls += working.calls;
        counted.purge_seconds += working.busy.as_secs_f64();
        counted.purge_workers = working.workers;
    }

    /// Counts a sweep that ended without a report.
    pub fn failed(&self, resource: &ResourceName) {
        *locked(&self.resources).entry(resource.clone()).or_default().sweeps.of("Failed") += 1;
    }

    /// Counts an answer of a source, or that there was none.
    pub fn source(&self, resource: &ResourceName, kind: &'static str, took: Duration, ok: bool) {
        self.source_seconds.get_or_create(&vec![("kind", kind.to_owned())]).observe(took.as_secs_f64());
        let mut resources = locked(&self.resources);
        *resources.entry(resource.clone()).or_default().source_errors.of(kind) += u64::from(!ok);
    }

    /// Forgets a resource that is not there any more.
    pub fn forget(&self, resource: &ResourceName) {
        locked(&self.resources).remove(resource);
    }

    /// Usage, limit and threshold as the memory monitor saw them last; `None` where nothing tells any more.
    pub(super) fn memory(&self, seen: Option<(u64, Option<u64>, u64)>) {
        *locked(&self.memory) = seen;
    }

    /// Everything, as OpenMetrics text.
    pub fn text(&self, board: &Board, pulse: &Pulse) -> String {
        let mut page = Page(Registry::with_prefix("hygiene"));
        self.process(&mut page, board, pulse);
        self.counted(&mut page);
        shown(&mut page, &board.views());
        let mut text = String::new();
        // Writing into memory does not fail.
        if encode(&mut text, &page.0).is_err() {
            return "# EOF\n".into();
        }
        text
    }

    fn process(&self, page: &mut Page, board: &Board, pulse: &Pulse) {
        let state = pulse.state();
        let version = vec![("version", VERSION.to_owned())];
        page.gauge("build_info", "What runs", None, [(version, 1.0)]);
        let ready = f64::from(u8::from(board.is_ready()));
        page.single("ready", "Whether specs are loaded and each was tried", None, ready);
        let fault = f64::from(u8::from(board.fault_now().is_some()));
        page.single("spec_fault", "Whether a newer spec could not be taken over", None, fault);
        let seconds = |ms: u64| ms as f64 / 1e3;
        let what = "How overdue the next beat of the async runtime is";
        page.single("event_loop_lag", what, Some(Unit::Seconds), seconds(state.lag_ms));
        let what = "How long ago the last beat of the async runtime was";
        page.single("event_loop_last_tick_age", what, Some(Unit::Seconds), seconds(state.last_tick_age_ms));
        if let Some(leads) = *locked(&self.leads) {
            let what = "Whether this controller is the one that works";
            page.single("leading", what, None, f64::from(u8::from(leads)));
        }
        let refused = locked(&self.refused).clone();
        let refused = refused.iter().map(|one| {
            let mode = if one.enforce { "Enforce" } else { "Report" };
            (with(with(named(&one.resource), "reason", one.reason), "mode", mode), 1.0)
        });
        page.gauge("refused", "Resources that are not swept, since something is wrong with them", None, refused);
        if let Some((usage, limit, warn)) = *locked(&self.memory) {
            let what = "Memory in use by the cgroup, less inactive page cache";
            page.single("memory_usage", what, Some(Unit::Bytes), usage as f64);
            if let Some(limit) = limit {
                page.single("memory_limit", "Memory limit", Some(Unit::Bytes), limit as f64);
            }
            page.single("memory_warn", "Usage from which on it warns", Some(Unit::Bytes), warn as f64);
        }
    }

    fn counted(&self, page: &mut Page) {
        let resources = locked(&self.resources).clone();
        let by = |name: &'static str, of: fn(&Counted) -> &Few<u64>| {
            let rows = resources.iter().flat_map(move |(resource, counted)| {
                of(counted).iter().map(move |(word, n)| (with(named(resource), name, word), n))
            });
            rows.collect::<Vec<_>>()
        };
        let sum = |of: fn(&Counted) -> u64| {
            resources.iter().map(|(resource, counted)| (named(resource), of(counted))).collect::<Vec<_>>()
        };
        page.counter("sweeps", "Sweeps by result", by("result", |c| &c.sweeps));
        let lengths = resources.iter().filter(|(_, counted)| counted.sweep_seconds.any());
        let lengths = lengths.map(|(resource, counted)| (named(resource), counted.sweep_seconds.clone()));
        page.0.register_collector(Box::new(SweepLengths(lengths.collect())));
        page.counter("quarantined_directories", "Workspaces moved to quarantine", sum(|c| c.quarantined));
        page.counter("restored_directories", "Workspaces put back", sum(|c| c.restored));
        page.counter("condemned_directories", "Workspaces without a way back", sum(|c| c.condemned));
        page.counter("purged_directories", "Workspaces whose tree is gone", sum(|c| c.purged));
        page.counter("purged_entries", "Files and directories removed", sum(|c| c.purged_entries));
        page.counter("purged_bytes", "Bytes freed", sum(|c| c.purged_bytes));
        let errors = resources.iter().flat_map(|(resource, counted)| {
            counted.errors.iter().map(|(step, n)| (with(named(resource), "step", step), *n))
        });
        page.counter("step_errors", "Steps that failed, by step", errors.collect());
        page.counter("source_errors", "Times a source gave no answer", by("kind", |c| &c.source_errors));
        page.histogram("sweep_step_duration", "How long the steps of sweeps took", &self.step_seconds);
        let held = resources.iter().flat_map(|(resource, counted)| {
            let seconds = counted.held_until_now();
            let row = |(kind, seconds)| (with(named(resource), "kind", kind), seconds);
            seconds.iter().map(row).collect::<Vec<_>>()
        });
        page.seconds("held", "Time in which something held deletion, by kind", held);
        page.counter("purge_calls", "Calls of purges that removed or moved something", sum(|c| c.purge_calls));
        let seconds = resources.iter().map(|(resource, counted)| (named(resource), counted.purge_seconds));
        page.seconds("purge_call", "Time spent in these calls, by all workers together", seconds);
        let workers = resources.iter().map(|(resource, counted)| (named(resource), counted.purge_workers as f64));
        page.gauge("purge_workers", "Calls that a purge makes at once now", None, workers);
        page.histogram("source_duration", "How long sources took", &self.source_seconds);
        let verdicts = resources.iter().flat_map(|(resource, counted)| {
            counted.verdicts.iter().map(|one| {
                (with(with(named(resource), "verdict", &one.verdict), "reason", &one.reason), one.directories as f64)
            })
        });
        page.gauge("directories", "Entries below the root in the last report", None, verdicts);
        let orphans = resources.iter().filter_map(|(name, counted)| Some((named(name), counted.orphans? as f64)));
        page.gauge("orphans", "Orphans in the last report", None, orphans);
    }
}

/// What the board shows.
fn shown(page: &mut Page, views: &[Arc<ResourceView>]) {
    let mut each = |name, what, unit: Option<Unit>, of: fn(&ResourceView) -> Option<f64>| {
        page.gauge(name, what, unit, views.iter().filter_map(|view| Some((of_view(view), of(view)?))));
    };
    let seconds = || Some(Unit::Seconds);
    let bytes = || Some(Unit::Bytes);
    each("live_sessions", "Live sessions", None, |v| Some(v.status.sessions.as_ref()?.live? as f64));
    each("sessions_observed_timestamp", "When the live sessions were read", seconds(), |v| {
        at(v.status.sessions.as_ref()?.observed_time.as_ref())
    });
    each("last_sweep_timestamp", "When the last sweep ended", seconds(), |v| {
        at(v.status.last_sweep.as_ref()?.completion_time.as_ref())
    });
    each("next_sweep_timestamp", "When the next sweep is due", seconds(), |v| at(v.status.next_sweep_time.as_ref()));
    each("hold_since_timestamp", "Since when it is held", seconds(), |v| at(v.status.hold.as_ref()?.since.as_ref()));
    each("journal_sequence", "Number of the last record in the volume's journal", None, |v| {
        Some(v.status.last_sweep.as_ref()?.journal_sequence? as f64)
    });
    each("backlog_directories", "Confirmed orphans that wait for their turn", None, |v| {
        Some(v.status.backlog.as_ref()?.directories as f64)
    });
    each("quarantine_directories", "Workspaces in quarantine", None, |v| {
        Some(v.status.quarantine.as_ref()?.directories as f64)
    });
    each("quarantine_size", "Size of what is in quarantine", bytes(), |v| {
        size_in(v.status.quarantine.as_ref()?.size.as_deref())
    });
    each("budget_left_directories", "Workspaces that may still be quarantined", None, |v| {
        Some(v.status.budget.as_ref()?.directories_left as f64)
    });
    each("budget_left_size", "Bytes that may still be quarantined", bytes(), |v| {
        size_in(v.status.budget.as_ref()?.size_left.as_deref())
    });
    let modes = views.iter().map(|view| (with(of_view(view), "mode", &view.mode), 1.0));
    page.gauge("mode", "The mode of each resource that is swept", None, modes);
    let held = views.iter().filter_map(|view| {
        let hold = view.status.hold.as_ref()?;
        Some((with(with(of_view(view), "kind", format!("{:?}", hold.kind)), "reason", &hold.reason), 1.0))
    });
    page.gauge("hold", "Why nothing is taken away now", None, held);
    let conditions = views.iter().flat_map(|view| {
        let row = |type_: &String, status: &String| (with(with(of_view(view), "type", type_), "status", status), 1.0);
        view.status.conditions.iter().map(move |condition| row(&condition.type_, &condition.status)).collect::<Vec<_>>()
    });
    page.gauge("condition", "The conditions as they are", None, conditions);
}

/// The metrics of one answer.
struct Page(Registry);

impl Page {
    fn gauge(&mut self, name: &str, what: &str, unit: Option<Unit>, rows: impl IntoIterator<Item = (Labels, f64)>) {
        let family = Family::<Labels, Float>::default();
        for (labels, value) in rows {
            family.get_or_create(&labels).set(value);
        }
        self.register(name, what, unit, family);
    }

    /// A gauge of the process itself, without labels.
    fn single(&mut self, name: &str, what: &str, unit: Option<Unit>, value: f64) {
        let gauge = Float::default();
        gauge.set(value);
        self.register(name, what, unit, gauge);
    }

    fn register(&mut self, name: &str, what: &str, unit: Option<Unit>, metric: impl Metric) {
        match unit {
            Some(unit) => self.0.register_with_unit(name, what, unit, metric),
            None => self.0.register(name, what, metric),
        }
    }

    fn counter(&mut self, name: &str, what: &str, rows: Vec<(Labels, u64)>) {
        let family = Family::<Labels, Counter>::default();
        for (labels, value) in rows {
            family.get_or_create(&labels).inc_by(value);
        }
        self.0.register(name, what, family);
    }

    /// A counter of seconds.
    fn seconds(&mut self, name: &str, what: &str, rows: impl IntoIterator<Item = (Labels, f64)>) {
        let family = Family::<Labels, Counter<f64, AtomicU64>>::default();
        for (labels, value) in rows {
            family.get_or_create(&labels).inc_by(value);
        }
        self.0.register_with_unit(name, what, Unit::Seconds, family);
    }

    fn histogram(&mut self, name: &str, what: &str, family: &Histograms) {
        self.0.register_with_unit(name, what, Unit::Seconds, family.clone());
    }
}

fn named(resource: &ResourceName) -> Labels {
    vec![("namespace", resource.namespace.clone()), ("name", resource.name.clone())]
}

fn of_view(view: &ResourceView) -> Labels {
    vec![("namespace", view.namespace.clone()), ("name", view.name.clone())]
}

fn with(mut labels: Labels, name: &'static str, value: impl Into<String>) -> Labels {
    labels.push((name, value.into()));
    labels
}

fn at(time: Option<&Time>) -> Option<f64> {
    Some(time?.0.as_millisecond() as f64 / 1e3)
}

/// Sizes in a status are rounded as people read them.
fn size_in(text: Option<&str>) -> Option<f64> {
    let text = text?;
    text.parse().ok().or_else(|| SizeString::from(text).parse().ok()).map(|bytes: u64| bytes as f64)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
