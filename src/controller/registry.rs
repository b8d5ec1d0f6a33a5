//! All objects that are known, by uid: what is newest of each, and what is wanted of its keeper. Never waits for anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::Event;
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::compose::Since;
use super::events::Events;
use super::keeper::{Keeper, Means, Refused, Sweep, Wanted};
use super::orders::{Known, Newest, Sure};
use super::roots::{Refusal, overlap};
use super::told::Told;
use super::watch::{Asked, News, Seen};
use super::writer::{Digest, Writer};
use crate::api::{WorkspaceHygiene, WorkspaceHygieneStatus};
use crate::clock::Clock;
use crate::policy::{Policy, PolicyOptions, ResourceName};
use crate::report::status::cut;
use crate::report::text::workspaces;
use crate::service::{Audience, NotSwept};
use crate::spec::judge;
use crate::term::Term;

/// Longest list of faults, in bytes: what a condition has room for.
const LONGEST: usize = 1024;

/// All objects.
pub(super) struct Registry {
    pub(super) means: Arc<Means>,
    pub(super) policy: PolicyOptions,
    pub(super) shown: Arc<dyn Audience>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) post: mpsc::Sender<(ObjectReference, Event)>,
    /// Statuses that are written at once.
    pub(super) places: Arc<Semaphore>,
    /// Whether each watch goes on without a gap.
    pub(super) sure: Vec<Sure>,
    pub(super) leading: Option<Arc<Term>>,
    pub(super) entries: BTreeMap<String, Entry>,
    pub(super) keepers: JoinSet<bool>,
    /// Whether the task of an object that is gone did not come to its end.
    pub(super) unclean: bool,
}

/// One object.
pub(super) struct Entry {
    scope: usize,
    uid: String,
    name: ResourceName,
    generation: i64,
    deleted: bool,
    created: Option<jiff::Timestamp>,
    asked: Vec<Asked>,
    /// Whether its `spec.mode` is Enforce, whatever else is in it.
    enforces: bool,
    /// The object itself is kept only where Jobs are made from it: each change brings it anew.
    judged: Result<(Arc<Policy>, Option<Arc<WorkspaceHygiene>>), Refusal>,
    newest: Known,
    wanted: watch::Sender<Wanted>,
    told: Arc<Told>,
    events: Events,
}

impl Entry {
    fn root(&self) -> Option<&Path> {
        self.judged.as_ref().ok().map(|(policy, _)| policy.root.as_path())
    }

    /// What decides which of two that overlap stays: the older one.
    fn age(&self) -> (Option<jiff::Timestamp>, &str) {
        (self.created, &self.uid)
    }
}

impl Registry {
    /// Takes over what a watch tells.
    pub(super) fn hear(&mut self, news: News) {
        match news {
            News::All(scope, all) => {
                let gone = |entry: &Entry| entry.scope == scope && !all.iter().any(|seen| seen.uid == entry.uid);
                let gone: Vec<_> =
                    self.entries.iter().filter(|(_, entry)| gone(entry)).map(|(uid, _)| uid.clone()).collect();
                gone.into_iter().for_each(|uid| self.remove(&uid));
                for seen in all {
                    self.take_over(scope, seen);
                }
                self.set_sure(scope, true);
                self.show();
            }
            News::One(scope, seen) => {
                if self.take_over(scope, *seen) {
                    self.show();
                }
            }
            News::Gone(scope, uid) => {
                if self.entries.get(&uid).is_some_and(|entry| entry.scope == scope) {
                    self.remove(&uid);
                    self.show();
                }
            }
            News::Unsure(scope, why) => {
                tracing::warn!(why, "the watch broke; it begins anew, and until then no step is taken");
                self.set_sure(scope, false);
            }
        }
    }

    fn set_sure(&self, scope: usize, sure: bool) {
        if let Some(one) = self.sure.get(scope) {
            one.set(sure);
        }
    }

    /// The term in which this process leads, or none.
    pub(super) fn lead(&mut self, term: Option<Arc<Term>>) {
        self.shown.leads(term.is_some());
        self.leading = term;
        let all: Vec<_> = self.entries.keys().cloned().collect();
        all.iter().for_each(|uid| self.steer(uid));
        self.show();
    }

    /// Lets all keepers end their tasks. Whether all came to their end.
    pub(super) async fn end(mut self) -> bool {
        self.entries.clear();
        let mut clean = !self.unclean;
        while let Some(ended) = self.keepers.join_next().await {
            clean &= ended.unwrap_or(false);
        }
        clean
    }

    /// Whether the objects that are swept may be others now.
    fn take_over(&mut self, scope: usize, mut seen: Seen) -> bool {
        let newest = Newest { generation: seen.generation, deleted: seen.deleted };
        let uid = seen.uid.clone();
        let before = self.root(&uid);
        let changed = match self.entries.get_mut(&uid) {
            Some(entry) => {
                // Before all else: the sweep that runs looks here before its next step.
                entry.newest.tell(newest);
                let changed = entry.generation != seen.generation;
                let same = !changed && entry.deleted == seen.deleted && entry.asked == seen.asked;
                (entry.generation, entry.deleted) = (seen.generation, seen.deleted);
                entry.asked = std::mem::take(&mut seen.asked);
                // While this process leads, what is told is mostly what it wrote itself.
                if self.leading.is_none() {
                    entry.told.found(status(&seen));
                }
                if same {
                    return false;
                }
                changed
            }
            None => {
                let entry = self.enter(scope, &mut seen, newest);
                self.entries.insert(uid.clone(), entry);
                true
            }
        };
        if changed {
            let enforces = seen.object.pointer("/spec/mode").is_some_and(|mode| mode == "Enforce");
            let judged = self.judged(seen.object);
            if let Some(entry) = self.entries.get_mut(&uid) {
                (entry.enforces, entry.judged) = (enforces, judged);
            }
        }
        let now = self.root(&uid);
        self.steer(&uid);
        if before != now {
            self.steer_around(&uid, [before, now]);
        }
        changed
    }

    fn root(&self, uid: &str) -> Option<PathBuf> {
        self.entries.get(uid)?.root().map(PathBuf::from)
    }

    fn enter(&mut self, scope: usize, seen: &mut Seen, newest: Newest) -> Entry {
        let status: WorkspaceHygieneStatus = status(seen).unwrap_or_default();
        let (name, uid) = (seen.name.clone(), seen.uid.clone());
        let events = Events::new(self.post.clone(), &name, &uid);
        let (write, to_write) = watch::channel(None);
        let writer = Box::new(Writer {
            client: self.means.client.clone(),
            name: name.clone(),
            uid: uid.clone(),
            places: Arc::clone(&self.places),
            written: seen.status.as_ref().map(Digest::of),
            since: Since::of(&status.conditions),
            clock: Arc::clone(&self.clock),
        });
        tokio::spawn(writer.run(to_write));
        let shown = Arc::clone(&self.shown);
        let told = Arc::new(Told::new(name.clone(), status, shown, events.clone(), write));
        let newest = Known::new(newest);
        let (wanted, to_do) = watch::channel(Wanted::Nothing);
        let sure = self.sure.get(scope).cloned().unwrap_or_default();
        let keeper = Box::new(Keeper {
            means: Arc::clone(&self.means),
            uid: uid.clone(),
            told: Arc::clone(&told),
            events: events.clone(),
            newest: newest.clone(),
            sure,
            wanted: to_do,
        });
        self.keepers.spawn(keeper.run());
        // Judged right after.
        let judged = Err(Refusal { reason: "NotJudged", message: String::new() });
        let (generation, deleted, created) = (seen.generation, seen.deleted, seen.created);
        let asked = std::mem::take(&mut seen.asked);
        let enforces = false;
        Entry { scope, uid, name, generation, deleted, created, asked, enforces, judged, newest, wanted, told, events }
    }

    fn remove(&mut self, uid: &str) {
        let Some(entry) = self.entries.remove(uid) else { return };
        entry.newest.tell_deleted();
        let name = &entry.name;
        tracing::info!(
            namespace = name.namespace,
            name = name.name,
            uid,
            "the resource is gone; its volume stays as it is"
        );
        if self.leading.is_some() {
            let left = match entry.told.quarantined() {
                Some(0) => "nothing is in quarantine on its volume".to_owned(),
                Some(count) => format!(
                    "left in quarantine on its volume, in .hygiene/quarantine: {}; nothing of it is removed",
                    workspaces(count)
                ),
                None => "what is in quarantine on its volume is not known; nothing of it is removed".to_owned(),
            };
            entry.events.tell(false, "Delete", "Deleted", &left);
        }
        self.steer_around(uid, [entry.root().map(PathBuf::from), None]);
    }

    /// Others may overlap now, or not any more.
    fn steer_around(&self, uid: &str, roots: [Option<PathBuf>; 2]) {
        for root in roots.iter().flatten() {
            let near = |(other, entry): (&String, &Entry)| {
                (other != uid && entry.root().is_some_and(|other| overlap(other, root))).then(|| other.clone())
            };
            let near: Vec<_> = self.entries.iter().filter_map(near).collect();
            near.iter().for_each(|other| self.steer(other));
        }
    }

    /// Says what is wanted of an object, where that is something else than before.
    fn steer(&self, uid: &str) {
        let Some(entry) = self.entries.get(uid) else { return };
        let Some(term) = self.leading.as_ref().filter(|_| !entry.deleted) else {
            entry.wanted.send_replace(Wanted::Nothing);
            return;
        };
        let judged = match (&entry.judged, self.overlapping(entry)) {
            (Ok(_), Some(refusal)) => Err(refusal),
            (judged, _) => judged.clone(),
        };
        let term = Arc::clone(term);
        match judged {
            Ok((policy, resource)) => {
                let asked = entry.asked.clone();
                let same = matches!(&*entry.wanted.borrow(), Wanted::Sweep(now) if now.asked == asked
                    && Arc::ptr_eq(&now.policy, &policy) && Arc::ptr_eq(&now.term, &term));
                if !same {
                    entry.wanted.send_replace(Wanted::Sweep(Arc::new(Sweep { policy, resource, term, asked })));
                }
            }
            Err(refusal) => {
                let generation = entry.generation;
                let same = matches!(&*entry.wanted.borrow(), Wanted::Refused(now) if now.generation == generation
                    && now.refusal == refusal && Arc::ptr_eq(&now.term, &term));
                if !same {
                    let refused = Refused { generation, refusal, term };
                    entry.wanted.send_replace(Wanted::Refused(Arc::new(refused)));
                }
            }
        }
    }

    /// Of two resources whose volumes overlap the younger is refused: each would take the other's for its own.
    fn overlapping(&self, entry: &Entry) -> Option<Refusal> {
        let root = entry.root()?;
        let older = |other: &&Entry| {
            other.age() < entry.age() && other.root().is_some_and(|other| overlap(other, root)) && !other.deleted
        };
        let other = self.entries.values().find(older)?;
        let (ours, theirs) = (&entry.name, &other.name);
        let whose = match ours.namespace == theirs.namespace {
            true => format!("that of {}", theirs.name),
            false => "that of a resource in another namespace".to_owned(),
        };
        let is_claim = entry.judged.as_ref().is_ok_and(|(policy, _)| policy.claim.is_some());
        let (field, way_out) = match is_claim {
            true => ("spec.volume.persistentVolumeClaim", "name another directory of the claim by subPath"),
            false => ("spec.volume.path", "name another path"),
        };
        let message = format!("{field}: {} overlaps with {whose}, which is older; {way_out}", root.display());
        Some(Refusal { reason: "OverlappingVolume", message })
    }

    /// Shows which objects are swept.
    fn show(&self) {
        let swept = |entry: &Entry| match &*entry.wanted.borrow() {
            Wanted::Sweep(sweep) => Some(Arc::clone(&sweep.policy)),
            _ => None,
        };
        let swept: Vec<_> = self.entries.values().filter_map(swept).collect();
        let refused = |entry: &Entry| match &*entry.wanted.borrow() {
            Wanted::Refused(refused) => {
                Some(NotSwept { resource: entry.name.clone(), reason: refused.refusal.reason, enforce: entry.enforces })
            }
            _ => None,
        };
        let refused: Vec<_> = self.entries.values().filter_map(refused).collect();
        if self.sure.iter().all(Sure::get) {
            self.shown.loaded(&swept);
            self.shown.refused(&refused);
        }
    }

    /// What the spec asks for, or why it is not followed.
    fn judged(&self, object: Value) -> Result<(Arc<Policy>, Option<Arc<WorkspaceHygiene>>), Refusal> {
        let loaded = judge(object, &self.policy).map_err(|faults| {
            let told: Vec<_> = faults.iter().map(crate::spec::Fault::told).collect();
            Refusal { reason: "InvalidSpec", message: cut(&told.join("; "), LONGEST) }
        })?;
        let mut policy = loaded.policy;
        self.means.allowed.bind(&mut policy)?;
        // Compiled patterns are the largest part of a policy, and most resources have the same one.
        let patterns = self.entries.values().filter_map(|entry| Some(&entry.judged.as_ref().ok()?.0.pattern));
        if let Some(same) = patterns.into_iter().find(|pattern| pattern.text() == policy.pattern.text()) {
            policy.pattern = same.clone();
        }
        let resource = policy.claim.is_some().then(|| Arc::new(loaded.resource));
        Ok((Arc::new(policy), resource))
    }
}

fn status(seen: &Seen) -> Option<WorkspaceHygieneStatus> {
    // One that an older version wrote and that does not decode is written anew.
    serde_json::from_value(seen.status.clone()?).ok()
}
