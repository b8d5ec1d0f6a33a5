//! What the service shows of itself, written by the loop and read by the admin server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::api::WorkspaceHygieneStatus;
use crate::packed::Packed;
use crate::policy::ResourceName;

/// Most sweeps of one resource that are shown.
const SWEEPS: usize = 10;
/// Most orphans, and most entries of the quarantine, of one resource that are shown.
const LINES: usize = 50;

/// What the service shows of itself. Shared; every method takes a short lock and never waits for anything else.
#[derive(Debug, Default)]
pub struct Board(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    loaded: bool,
    /// The resources that are loaded, and whether their first observation was tried.
    expected: BTreeMap<ResourceName, bool>,
    views: BTreeMap<ResourceName, Packed<ResourceView>>,
    fault: Option<String>,
    /// The step that is under way, of each resource that has one.
    working: BTreeMap<ResourceName, Step>,
}

/// A step of a sweep that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The resource's namespace.
    pub namespace: String,
    /// The resource's name.
    pub name: String,
    /// The step.
    pub step: String,
    /// Units that are done: workspaces, entries of a tree, or seconds, as the step has them.
    pub done: u64,
    /// How many there are, where that is known.
    pub total: Option<u64>,
}

/// One resource as it is shown.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceView {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `Report` or `Enforce`.
    pub mode: String,
    /// The volume's root.
    pub root: String,
    /// The schedule as people read it: `every 15m`.
    pub schedule: String,
    /// Conditions, hold, next sweep, quarantine, budget and the like.
    pub status: WorkspaceHygieneStatus,
    /// The last sweeps, newest first; 10 at most.
    pub sweeps: Vec<SweepLine>,
    /// Orphans; 50 at most.
    pub orphans: Vec<OrphanLine>,
    /// What is in quarantine; 50 at most.
    pub quarantine: Vec<QuarantineLine>,
    /// Shell commands that unblock what is held.
    pub commands: Vec<String>,
}

/// One sweep as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SweepLine {
    /// Its id, as in the journal.
    pub id: String,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// `Completed`, `Held`, `Stopped` or `Failed`.
    pub result: String,
    /// Orphans it found.
    pub orphans: u64,
    /// Workspaces it moved to quarantine.
    pub quarantined: u64,
    /// Workspaces it put back.
    pub restored: u64,
    /// Workspaces it removed for good.
    pub purged: u64,
    /// Steps that failed.
    pub errors: u64,
    /// Why it was held, if it was.
    pub held: Option<String>,
}

/// One orphan as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrphanLine {
    /// Its name.
    pub name: String,
    /// When anything in it changed last, where it is known.
    pub last_activity: Option<Timestamp>,
    /// Its size, where it is known.
    pub bytes: Option<u64>,
    /// Why it goes, or why it stays.
    pub reason: String,
}

/// One entry of the quarantine as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuarantineLine {
    /// Its name.
    pub name: String,
    /// When it entered.
    pub quarantined: Timestamp,
    /// When it may be purged.
    pub due: Timestamp,
    /// Its size.
    pub bytes: u64,
}

/// Whether the service is ready, and what is missing where it is not.
#[derive(Debug, Serialize)]
pub(super) struct Readiness {
    pub(super) ready: bool,
    /// Whether specs are loaded.
    pub(super) loaded: bool,
    /// The resources whose first observation was not tried yet, as `namespace/name`.
    pub(super) waiting: Vec<String>,
}

impl Board {
    /// A board with nothing on it.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// These are the resources that are loaded now. Whatever is shown of others is dropped; what was tried stays tried.
    pub fn expect(&self, resources: &[ResourceName]) {
        let mut state = self.state();
        let tried = |name: &ResourceName| state.expected.get(name).copied().unwrap_or(false);
        let expected: BTreeMap<_, _> = resources.iter().map(|name| (name.clone(), tried(name))).collect();
        state.views.retain(|name, _| expected.contains_key(name));
        state.expected = expected;
    }

    /// Replaces what is shown of one resource. Of a resource that is not expected, such as one whose last sweep ended after
    /// its spec was taken away, nothing is shown.
    pub fn publish(&self, mut view: ResourceView) {
        view.sweeps.truncate(SWEEPS);
        view.orphans.truncate(LINES);
        view.quarantine.truncate(LINES);
        let name = ResourceName::new(view.namespace.as_str(), view.name.as_str());
        let mut state = self.state();
        if let Some((known, _)) = state.expected.get_key_value(&name) {
            let known = known.clone();
            state.views.insert(known, Packed::new(&view));
        }
    }

    /// What is shown, by namespace and name.
    pub fn views(&self) -> Vec<Arc<ResourceView>> {
        self.state().views.values().map(|view| Arc::new(view.get())).collect()
    }

    /// What is shown of one resource.
    pub fn view(&self, name: &ResourceName) -> Option<Arc<ResourceView>> {
        self.state().views.get(name).map(|view| Arc::new(view.get()))
    }

    /// The resources of which something is shown.
    pub fn names(&self) -> Vec<ResourceName> {
        self.state().views.keys().cloned().collect()
    }

    /// The step that is under way for a resource; `None` between two.
    pub fn working(&self, resource: &ResourceName, step: Option<(&str, Option<u64>)>) {
        let mut state = self.state();
        match step {
            None => drop(state.working.remove(resource)),
            Some((step, total)) => {
                let (namespace, name) = (resource.namespace.clone(), resource.name.clone());
                let step = Step { namespace, name, step: step.into(), done: 0, total };
                state.working.insert(resource.clone(), step);
            }
        }
    }

    /// So many more units of its step are done.
    pub fn advance(&self, resource: &ResourceName, units: u64) {
        if let Some(step) = self.state().working.get_mut(resource) {
            step.done = step.done.saturating_add(units);
        }
    }

    /// The steps that are under way.
    pub fn steps(&self) -> Vec<Step> {
        self.state().working.values().cloned().collect()
    }

    /// Specs are loaded.
    pub fn loaded(&self) {
        self.state().loaded = true;
    }

    /// The first observation of this resource was tried, whatever came of it.
    pub fn tried(&self, resource: &ResourceName) {
        if let Some(tried) = self.state().expected.get_mut(resource) {
            *tried = true;
        }
    }

    /// Whether specs are loaded and every expected resource was tried.
    pub fn is_ready(&self) -> bool {
        let state = self.state();
        state.loaded && state.expected.values().all(|tried| *tried)
    }

    /// A newer spec file that could not be taken over, so that the old one is kept; `None` when that is mended.
    pub fn fault(&self, what: Option<String>) {
        self.state().fault = what;
    }

    pub(super) fn fault_now(&self) -> Option<String> {
        self.state().fault.clone()
    }

    pub(super) fn readiness(&self) -> Readiness {
        let state = self.state();
        let waiting = state.expected.iter().filter(|(_, tried)| !**tried);
        let waiting: Vec<_> = waiting.map(|(name, _)| format!("{}/{}", name.namespace, name.name)).collect();
        Readiness { ready: state.loaded && waiting.is_empty(), loaded: state.loaded, waiting }
    }

    /// Nothing that is done below the lock can leave it half-done, so a panic elsewhere changes nothing here.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
