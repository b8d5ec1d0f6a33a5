//! How the file system behaves, changeable while it is in use.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::io::Errno;

use super::Op;
use super::gate::{Slots, lock};
use super::ops::Cost;
use super::rules::{On, Rule, Step, When};

/// Slots of an NFSv4.1 session as the Linux client asks for them (max_session_slots).
const SLOTS: usize = 64;

/// How long a client may go on using what it was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeOuts {
    pub attributes: Duration,
    pub names: Duration,
    pub absences: Duration,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    reads: Duration,
    writes: Duration,
    latency_of: BTreeMap<Op, Duration>,
    pub time_outs: TimeOuts,
    pub takes_rename_flags: bool,
    /// Seconds the server's clock is ahead of ours.
    pub ahead: i64,
}

/// A handle on how one file system behaves. Cloning it is cheap; all clones are about the same file system.
#[derive(Clone)]
pub struct Control(Arc<Inner>);

struct Inner {
    settings: Mutex<Settings>,
    rules: Mutex<Vec<Rule>>,
    slots: Slots,
    counts: Mutex<BTreeMap<Op, u64>>,
    closed: AtomicBool,
    panicked: Mutex<Option<String>>,
}

impl Control {
    pub(super) fn new() -> Self {
        Self(Arc::new(Inner {
            settings: Mutex::default(),
            rules: Mutex::default(),
            slots: Slots::new(SLOTS),
            counts: Mutex::default(),
            closed: AtomicBool::new(false),
            panicked: Mutex::default(),
        }))
    }

    fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut lock(&self.0.settings));
    }

    pub(super) fn settings(&self) -> Settings {
        lock(&self.0.settings).clone()
    }

    /// Lets every call take time; EFS documents about 1 ms for reads and 2.7 ms for writes. What NFS does not send, or
    /// nobody waits for, stays free: opening and closing a directory, closing a file.
    pub fn set_latency(&self, reads: Duration, writes: Duration) {
        self.set(|settings| (settings.reads, settings.writes) = (reads, writes));
    }

    /// Lets one kind of call take another time.
    pub fn set_latency_of(&self, op: Op, latency: Duration) {
        self.set(|settings| _ = settings.latency_of.insert(op, latency));
    }

    /// Lets so many calls be in flight at once; 64 at first. No more than the server has threads, which is 72.
    pub fn set_slots(&self, slots: usize) {
        assert!((1..=super::THREADS).contains(&slots));
        self.0.slots.set_limit(slots);
    }

    /// The most calls that were in flight at once.
    pub fn peak(&self) -> usize {
        self.0.slots.peak()
    }

    pub fn reset_peak(&self) {
        self.0.slots.reset_peak();
    }

    /// How long answers from now on may be used again, for attributes, names, and names that are not there; all zero at
    /// first, as with the NFS options `noac,lookupcache=none`. The Linux NFS client's defaults are 30 to 60 s.
    pub fn set_time_outs(&self, time_outs: TimeOuts) {
        self.set(|settings| settings.time_outs = time_outs);
    }

    /// Whether renameat2 takes flags. At first, as on EFS, it answers EINVAL.
    pub fn take_rename_flags(&self, take: bool) {
        self.set(|settings| settings.takes_rename_flags = take);
    }

    /// Sets the server's clock ahead of ours, or behind it: all times it reports, and those it is told, are by its clock.
    pub fn set_clock_ahead(&self, seconds: i64) {
        self.set(|settings| settings.ahead = seconds);
    }

    /// Picks calls something is to happen to: of one kind, or with `None` of any, about an entry that `which` matches. It is
    /// a glob over the entry's path below the root where it holds a slash (`/name` is one at the top, `a/**` all below a),
    /// and over its name where it does not. Renames and links are about both their names.
    pub fn on(&self, op: impl Into<Option<Op>>, which: &str) -> On<'_> {
        On::new(self, op.into(), which)
    }

    /// Runs `hook` right before the server does `op` on an entry called `which`; see [`On::before`].
    pub fn before(&self, op: Op, which: &str, hook: impl FnOnce() + Send + 'static) {
        self.on(op, which).before(hook);
    }

    /// Runs `hook` when the server did `op` on an entry called `which`, before it answers.
    pub fn after(&self, op: Op, which: &str, hook: impl FnOnce() + Send + 'static) {
        self.on(op, which).after(hook);
    }

    /// Forgets everything that was to happen to calls, and lets go those that hang.
    pub fn clear(&self) {
        lock(&self.0.rules).drain(..).for_each(|rule| rule.release());
    }

    /// How often the server was asked what, since the mount or the last reset.
    pub fn counts(&self) -> BTreeMap<Op, u64> {
        lock(&self.0.counts).clone()
    }

    pub fn count(&self, op: Op) -> u64 {
        lock(&self.0.counts).get(&op).copied().unwrap_or(0)
    }

    pub fn reset_counts(&self) {
        lock(&self.0.counts).clear();
    }

    pub(super) fn add(&self, rule: Rule) {
        let mut rules = lock(&self.0.rules);
        if self.0.closed.load(Ordering::SeqCst) {
            rule.release();
        }
        rules.push(rule);
    }

    /// Lets go whatever hangs, and whatever would.
    pub(super) fn close(&self) {
        let rules = lock(&self.0.rules);
        self.0.closed.store(true, Ordering::SeqCst);
        rules.iter().for_each(Rule::release);
    }

    /// What a hook said when it panicked.
    pub(super) fn panicked(&self) -> Option<String> {
        lock(&self.0.panicked).clone()
    }

    /// Serves one call: waits as long as it has to, does `work` unless a rule forbids it, and gives the answer.
    pub(super) fn serve<T>(
        &self,
        op: Op,
        paths: impl FnOnce() -> Vec<PathBuf>,
        work: impl FnOnce() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        *lock(&self.0.counts).entry(op).or_default() += 1;
        let _slot = self.0.slots.take();
        let latency = self.latency(op);
        if !latency.is_zero() {
            std::thread::sleep(latency);
        }
        let mut steps = self.steps(op, paths);
        self.run(&mut steps, When::Before)?;
        if let Some(errno) = steps.iter().find_map(|step| if let Step::Refuse(e) = step { Some(*e) } else { None }) {
            return Err(errno);
        }
        let done = work()?;
        self.run(&mut steps, When::After)?;
        match steps.iter().find_map(|step| if let Step::Deny(e) = step { Some(*e) } else { None }) {
            Some(errno) => Err(errno),
            None => Ok(done),
        }
    }

    fn latency(&self, op: Op) -> Duration {
        let settings = lock(&self.0.settings);
        settings.latency_of.get(&op).copied().unwrap_or(match op.cost() {
            Cost::Read => settings.reads,
            Cost::Write => settings.writes,
            Cost::Free => Duration::ZERO,
        })
    }

    fn steps(&self, op: Op, paths: impl FnOnce() -> Vec<PathBuf>) -> Vec<Step> {
        let mut rules = lock(&self.0.rules);
        if rules.is_empty() {
            return Vec::new();
        }
        let paths = paths();
        rules.iter_mut().filter_map(|rule| rule.take(op, &paths)).collect()
    }

    /// Runs what is to run now. A hook that panics fails its call, and the test when the file system is dropped: a panic
    /// that ended the thread would leave the caller without any answer.
    fn run(&self, steps: &mut Vec<Step>, now: When) -> Result<(), Errno> {
        for step in std::mem::take(steps) {
            match step {
                Step::Wait(when, gate) if when == now => gate.pass(),
                Step::Run(when, hook) if when == now => {
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(hook)) {
                        let said = panic.downcast_ref::<String>().cloned();
                        let said = said.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
                        *lock(&self.0.panicked) = Some(said.unwrap_or_default());
                        return Err(Errno::IO);
                    }
                }
                later => steps.push(later),
            }
        }
        Ok(())
    }
}
