//! The keeper of one object, told apart by its uid: starts its task, ends it when the object or the leader changes, and hears
//! what its annotations ask for. Whoever watches only tells it what is wanted, and never waits.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::answers::{self, Answering};
use super::events::Events;
use super::jobs::{InJobs, Jobs};
use super::orders::{Current, Known, Sure};
use super::roots::{Allowed, Refusal};
use super::told::{LONGEST_REQUEST, Told};
use super::watch::Asked;
use crate::api::WorkspaceHygiene;
use crate::policy::Policy;
use crate::service::{Host, Parts, Task, Wiring};
use crate::stop::Stop;
use crate::sweep::Context;
use crate::term::Term;

/// How long a task may take to end; a file-system call that hangs is left behind.
const PATIENCE: Duration = Duration::from_secs(5);
/// The annotation that asks for a sweep.
const SWEEP: &str = "sweep-requested-at";

/// What is wanted of an object.
#[derive(Clone)]
pub(super) enum Wanted {
    /// Nothing: another controller leads, or the object is going.
    Nothing,
    /// It is swept.
    Sweep(Arc<Sweep>),
    /// It is not swept, and its status says why.
    Refused(Arc<Refused>),
}

impl Wanted {
    /// What its annotations ask for.
    pub(super) fn asked(&self) -> &[Asked] {
        match self {
            Self::Sweep(sweep) => &sweep.asked,
            Self::Nothing | Self::Refused(_) => &[],
        }
    }
}

/// An object that is swept.
pub(super) struct Sweep {
    pub(super) policy: Arc<Policy>,
    /// The object, where its sweeps are Jobs.
    pub(super) resource: Option<Arc<WorkspaceHygiene>>,
    pub(super) term: Arc<Term>,
    pub(super) asked: Vec<Asked>,
}

/// An object that is not swept.
pub(super) struct Refused {
    pub(super) generation: i64,
    pub(super) refusal: Refusal,
    pub(super) term: Arc<Term>,
}

/// What all keepers share.
pub(super) struct Means {
    pub(super) client: Client,
    pub(super) host: Host,
    pub(super) parts: Arc<dyn Parts>,
    pub(super) allowed: Arc<Allowed>,
    pub(super) stop: Stop,
    /// How volumes of claims are swept; `None` where they are not.
    pub(super) jobs: Option<Arc<Jobs>>,
}

/// The keeper.
pub(super) struct Keeper {
    pub(super) means: Arc<Means>,
    pub(super) uid: String,
    pub(super) told: Arc<Told>,
    pub(super) events: Events,
    pub(super) newest: Known,
    pub(super) sure: Sure,
    pub(super) wanted: watch::Receiver<Wanted>,
}

/// A task that runs.
struct Running {
    of: Arc<Sweep>,
    task: Task,
    stop: Stop,
    /// What gives answers: one task, while there is something to answer.
    answering: JoinSet<Vec<Asked>>,
    /// What was followed, of what is still asked.
    heard: Vec<Asked>,
}

impl Running {
    fn is(&self, sweep: &Sweep) -> bool {
        let generation = |sweep: &Sweep| sweep.policy.generation;
        generation(&self.of) == generation(sweep) && Arc::ptr_eq(&self.of.term, &sweep.term)
    }
}

impl Keeper {
    /// Keeps the object until nobody wants anything of it any more. Whether all tasks came to their end.
    ///
    /// In a box, as a task has room for what it is given twice: as it came, and where it is used.
    pub(super) async fn run(mut self: Box<Self>) -> bool {
        let mut clean = true;
        let mut running: Option<Running> = None;
        loop {
            let now = self.wanted.borrow_and_update().clone();
            match (&mut running, now) {
                (Some(running), Wanted::Sweep(sweep)) if running.is(&sweep) => self.hear(running, &sweep.asked),
                (_, now) => {
                    if let Some(running) = running.take() {
                        clean &= Box::pin(running.task.end(PATIENCE)).await;
                    }
                    // Boxed, as below: a thousand keepers that only wait should be small.
                    running = Box::pin(self.begin(now)).await;
                }
            }
            let gone = match &mut running {
                None => self.wanted.changed().await.is_err(),
                Some(running) => tokio::select! {
                    changed = self.wanted.changed() => changed.is_err(),
                    Some(answered) = running.answering.join_next() => {
                        if let Ok(settled) = answered {
                            // A sweep may have been asked for since it was handed what was heard.
                            running.heard.retain(|one| !settled.contains(one));
                            running.heard.extend(settled);
                            // What was said while it came to its end.
                            let asked = self.wanted.borrow().asked().to_vec();
                            self.hear(running, &asked);
                        }
                        false
                    }
                },
            };
            if gone {
                if let Some(running) = running.take() {
                    clean &= Box::pin(running.task.end(PATIENCE)).await;
                }
                return clean;
            }
        }
    }

    async fn begin(&self, wanted: Wanted) -> Option<Running> {
        match wanted {
            Wanted::Nothing => None,
            Wanted::Refused(refused) => {
                self.told.begin(&refused.term);
                self.told.refused(refused.generation, &refused.refusal);
                None
            }
            Wanted::Sweep(sweep) => {
                self.told.begin(&sweep.term);
                let (allowed, policy) = (Arc::clone(&self.means.allowed), Arc::clone(&sweep.policy));
                let looked = tokio::task::spawn_blocking(move || allowed.look_at_files(&policy)).await;
                if let Ok(Err(refusal)) = looked {
                    self.told.refused(sweep.policy.generation, &refusal);
                    return None;
                }
                Some(self.start(sweep))
            }
        }
    }

    fn start(&self, sweep: Arc<Sweep>) -> Running {
        let generation = sweep.policy.generation;
        let name = &sweep.policy.resource;
        tracing::info!(
            namespace = name.namespace,
            name = name.name,
            generation,
            uid = self.uid,
            "the resource is swept"
        );
        // Before anything runs: a request that is there already is answered by the first sweep.
        let mut heard = Vec::new();
        self.requests(&sweep.asked, &mut heard);
        self.told.pending(generation);
        let orders = Arc::new(Current { generation, newest: self.newest.clone(), sure: self.sure.clone() });
        let elsewhere = self.means.jobs.as_ref().zip(sweep.resource.as_ref()).map(|(jobs, resource)| {
            Arc::new(InJobs {
                shared: Arc::clone(jobs),
                resource: Arc::clone(resource),
                uid: self.uid.clone(),
                told: Arc::clone(&self.told),
                events: self.events.clone(),
            }) as _
        });
        let wiring = Wiring {
            parts: Arc::clone(&self.means.parts),
            audience: Arc::clone(&self.told) as _,
            orders: orders as _,
            elsewhere,
        };
        let stop = self.means.stop.within(Arc::clone(&sweep.term));
        let task = self.means.host.start(Arc::clone(&sweep.policy), wiring, &stop);
        let asked = sweep.asked.clone();
        let mut running = Running { of: sweep, task, stop, answering: JoinSet::new(), heard };
        self.hear(&mut running, &asked);
        running
    }

    /// Follows what is asked and was not heard yet.
    fn hear(&self, running: &mut Running, asked: &[Asked]) {
        running.heard.retain(|heard| asked.contains(heard));
        if self.requests(asked, &mut running.heard) {
            running.task.sweep_now();
        }
        let is_new = |one: &&Asked| answers::kind(&one.what).is_some() && !running.heard.contains(one);
        let new: Vec<_> = asked.iter().filter(is_new).cloned().collect();
        if new.is_empty() || !running.answering.is_empty() {
            return;
        }
        if running.of.resource.is_some() {
            // Its Job reads the annotations itself, and says what came of them.
            running.heard.extend(new);
            running.task.sweep_now();
            return;
        }
        let policy = Arc::clone(&running.of.policy);
        let context = self.means.parts.context(&policy, &running.stop);
        let answering = Answering {
            client: self.means.client.clone(),
            events: self.events.clone(),
            uid: self.uid.clone(),
            sources: self.means.parts.sources(&policy),
            context: Context { stop: running.stop.clone(), ..context },
            policy,
            wanted: self.wanted.clone(),
            sure: self.sure.clone(),
            bell: running.task.bell(),
            settled: running.heard.clone(),
        };
        running.answering.spawn(answering.run());
    }

    /// Notes requests for a sweep; whether one is new.
    fn requests(&self, asked: &[Asked], heard: &mut Vec<Asked>) -> bool {
        let mut new = false;
        for one in asked.iter().filter(|one| one.what == SWEEP) {
            if heard.contains(one) {
                continue;
            }
            heard.push(one.clone());
            if one.value.chars().count() > LONGEST_REQUEST {
                let note =
                    "the annotation's value has more than 64 characters, for which status has no room; write a time";
                self.events.tell(true, "Sweep", "RequestTooLong", note);
            } else {
                new |= self.told.request(&one.value);
            }
        }
        new
    }
}
