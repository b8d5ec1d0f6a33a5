//! What a service shows of itself: the board of the admin server, the metrics, and lines for CloudWatch.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::lines::Lines;
use crate::act::Acted;
use crate::admin::{Board, Metrics, OrphanLine, QuarantineLine, ResourceView, SweepLine};
use crate::api::WorkspaceHygieneStatus;
use crate::clock::Clock;
use crate::names::SessionId;
use crate::observe::containers::{ContainerEvidence, Look};
use crate::observe::sessions::SessionStore;
use crate::observe::{Health, IdSet, LiveSessions, Reading};
use crate::policy::{Policy, ResourceName};
use crate::report::documents::mode;
use crate::report::outcome::{Outcome, Samples};
use crate::report::status::LastState;
use crate::service::{Audience, NotSwept};
use crate::sweep::Sources;

/// Shows what happens.
pub(super) struct Shown {
    pub(super) board: Arc<Board>,
    pub(super) metrics: Arc<Metrics>,
    /// What `-f` and its like were given, for the commands that are shown.
    pub(super) spec: String,
    /// Where each sweep and hold is a line, in CloudWatch's embedded metric format.
    pub(super) emf: Option<Lines>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Shown {
    /// Publishes the state; the lines below it are `samples`, or what was shown before.
    fn publish(&self, policy: &Policy, state: &LastState, samples: Option<&Samples>) {
        let name = &policy.resource;
        let before = self.board.view(name);
        let (orphans, quarantine) = match (samples, before) {
            (Some(samples), _) => (
                (samples.orphans.iter())
                    .map(|one| OrphanLine {
                        name: one.name.clone(),
                        last_activity: one.newest,
                        bytes: one.bytes,
                        reason: one.reason.into(),
                    })
                    .collect(),
                (samples.quarantine.iter())
                    .map(|(name, quarantined, due, bytes)| QuarantineLine {
                        name: name.clone(),
                        quarantined: *quarantined,
                        due: *due,
                        bytes: *bytes,
                    })
                    .collect(),
            ),
            (None, Some(before)) => (before.orphans.clone(), before.quarantine.clone()),
            (None, None) => (Vec::new(), Vec::new()),
        };
        let sweeps = state.sweeps.iter().map(|past| {
            let time = |time: &Option<Time>| time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
            SweepLine {
                id: past.sweep.id.clone(),
                start: time(&past.sweep.start_time),
                end: time(&past.sweep.completion_time),
                result: past.sweep.result.map_or_else(String::new, |result| format!("{result:?}")),
                orphans: past.sweep.orphans,
                quarantined: past.sweep.quarantined,
                restored: past.sweep.restored,
                purged: past.sweep.purged,
                errors: past.sweep.errors,
                held: past.held.clone(),
            }
        });
        let sweeps = sweeps.collect();
        self.board.publish(ResourceView { sweeps, orphans, quarantine, ..self.view(policy, &state.status) });
        self.board.tried(name);
    }

    /// A resource with nothing but its status.
    fn view(&self, policy: &Policy, status: &WorkspaceHygieneStatus) -> ResourceView {
        ResourceView {
            namespace: policy.resource.namespace.clone(),
            name: policy.resource.name.clone(),
            mode: mode(policy.mode).into(),
            root: policy.root.display().to_string(),
            schedule: policy.schedule.text().into(),
            commands: self.commands(status),
            status: status.clone(),
            ..ResourceView::default()
        }
    }

    fn commands(&self, status: &WorkspaceHygieneStatus) -> Vec<String> {
        let Some(hold) = &status.hold else { return Vec::new() };
        let commands = match &hold.plan_hash {
            Some(hash) => vec![
                "hygiene plan -f SPEC --held".to_owned(),
                format!("hygiene approve -f SPEC {hash}"),
                format!("hygiene dismiss -f SPEC {hash}"),
            ],
            None if hold.message.contains("hygiene adopt") => vec!["hygiene adopt -f SPEC".to_owned()],
            None => Vec::new(),
        };
        commands.into_iter().map(|command| command.replace("-f SPEC", &self.spec)).collect()
    }

    fn emit(&self, name: &ResourceName, figures: &[(&str, &str, serde_json::Value)], more: serde_json::Value) {
        let Some(lines) = &self.emf else { return };
        let metrics: Vec<_> = figures.iter().map(|(name, unit, _)| json!({"Name": name, "Unit": unit})).collect();
        let mut line = json!({
            "_aws": {
                "Timestamp": self.clock.now().as_millisecond(),
                "CloudWatchMetrics": [{
                    "Namespace": "WorkspaceHygiene",
                    "Dimensions": [["namespace", "name"]],
                    "Metrics": metrics,
                }],
            },
            "namespace": name.namespace,
            "name": name.name,
        });
        if let (Some(line), Some(more)) = (line.as_object_mut(), more.as_object()) {
            line.extend(figures.iter().map(|(name, _, value)| ((*name).to_owned(), value.clone())));
            line.extend(more.clone());
        }
        lines.write(format!("{line}\n"));
    }
}

impl Audience for Shown {
    fn loaded(&self, resources: &[Arc<Policy>]) {
        let names: BTreeSet<_> = resources.iter().map(|policy| &policy.resource).collect();
        for gone in self.board.names().iter().filter(|name| !names.contains(name)) {
            self.metrics.forget(gone);
        }
        let names: Vec<_> = names.into_iter().cloned().collect();
        self.board.expect(&names);
        self.board.loaded();
    }

    fn fault(&self, what: Option<String>) {
        self.board.fault(what);
    }

    fn refused(&self, resources: &[NotSwept]) {
        self.metrics.refused(resources);
    }

    fn leads(&self, leads: bool) {
        self.metrics.leads(leads);
    }

    fn begins(&self, policy: &Policy) {
        // Its Job may have to wait for long, which says nothing of this process.
        if policy.claim.is_some() {
            self.board.tried(&policy.resource);
        }
    }

    fn swept(&self, policy: &Policy, outcome: &Outcome, state: &LastState, took: Duration) {
        let verdicts = state.status.last_sweep.as_ref().map_or(&[][..], |sweep| &sweep.verdicts);
        self.metrics.swept(&policy.resource, outcome, verdicts, took);
        self.publish(policy, state, outcome.samples.as_ref());
        let figures = [
            ("SweepSeconds", "Seconds", json!(took.as_secs_f64())),
            ("Workspaces", "Count", json!(outcome.workspaces)),
            ("Orphans", "Count", json!(outcome.orphans)),
            ("Quarantined", "Count", json!(outcome.quarantined)),
            ("Restored", "Count", json!(outcome.restored)),
            ("Purged", "Count", json!(outcome.purged)),
            ("ReclaimedBytes", "Bytes", json!(outcome.reclaimed.bytes)),
            ("Errors", "Count", json!(outcome.failed())),
        ];
        self.emit(&policy.resource, &figures, json!({"event": "sweep", "sweep": outcome.sweep}));
        if let Some(held) = &outcome.held {
            let more = json!({"event": "hold", "kind": held.kind.word(), "reason": held.reason});
            self.emit(&policy.resource, &[("Held", "Count", json!(1))], more);
        }
    }

    fn meanwhile(&self, policy: &Policy, status: &WorkspaceHygieneStatus) {
        self.metrics.held(&policy.resource, status.hold.as_ref().map(|hold| hold.kind.word()));
        let before = self.board.view(&policy.resource).map(|before| (*before).clone()).unwrap_or_default();
        let ResourceView { sweeps, orphans, quarantine, status: known, .. } = before;
        let mut status = status.clone();
        // Since when they are so is written into them once they are published.
        for one in &mut status.conditions {
            let same = known.conditions.iter().find(|known| known.type_ == one.type_ && known.status == one.status);
            one.last_transition_time = same.map_or(Time(self.clock.now()), |same| same.last_transition_time.clone());
        }
        self.board.publish(ResourceView { sweeps, orphans, quarantine, ..self.view(policy, &status) });
    }

    fn restored(&self, policy: &Policy, acted: &Acted) {
        self.metrics.restored(&policy.resource, acted);
    }

    fn failed(&self, policy: &Policy, _: &str, state: &LastState) {
        self.metrics.failed(&policy.resource);
        self.publish(policy, state, None);
        self.emit(&policy.resource, &[("Failed", "Count", json!(1))], json!({"event": "sweep"}));
    }

    fn due(&self, policy: &Policy, state: &LastState) {
        self.publish(policy, state, None);
    }
}

/// The sources, with what they take noted in the metrics.
pub(super) fn timed(sources: Sources, metrics: &Arc<Metrics>, resource: &ResourceName) -> Sources {
    let note = |kind| Note { metrics: Arc::clone(metrics), resource: resource.clone(), kind };
    Sources {
        sessions: Arc::new(Timed { of: sources.sessions, note: note("sessions") }),
        containers: (sources.containers.into_iter())
            .map(|of| Arc::new(Timed { of, note: note("containers") }) as _)
            .collect(),
        efs: sources.efs,
    }
}

struct Timed<S> {
    of: S,
    note: Note,
}

struct Note {
    metrics: Arc<Metrics>,
    resource: ResourceName,
    kind: &'static str,
}

impl Note {
    async fn of<T>(&self, asked: impl Future<Output = Reading<T>>) -> Reading<T> {
        let begun = begin();
        let answer = asked.await;
        self.metrics.source(&self.resource, self.kind, begun.elapsed(), answer.complete().is_some());
        answer
    }
}

#[allow(clippy::disallowed_methods)] // how long an answer takes, not what time it is
fn begin() -> Instant {
    Instant::now()
}

#[async_trait]
impl SessionStore for Timed<Arc<dyn SessionStore>> {
    async fn live(&self) -> Reading<LiveSessions> {
        self.note.of(self.of.live()).await
    }

    async fn is_live(&self, id: &SessionId) -> Reading<bool> {
        self.note.of(self.of.is_live(id)).await
    }

    async fn are_live(&self, ids: &[SessionId]) -> Reading<Vec<bool>> {
        self.note.of(self.of.are_live(ids)).await
    }
}

#[async_trait]
impl ContainerEvidence for Timed<Arc<dyn ContainerEvidence>> {
    async fn serving(&self, look: Look) -> Option<Reading<Health>> {
        let begun = begin();
        let answer = self.of.serving(look).await?;
        self.note.metrics.source(&self.note.resource, self.note.kind, begun.elapsed(), answer.complete().is_some());
        Some(answer)
    }

    async fn claims(&self) -> Option<Reading<IdSet>> {
        self.of.claims().await
    }

    async fn is_claimed(&self, id: &SessionId) -> Option<Reading<bool>> {
        self.of.is_claimed(id).await
    }
}
