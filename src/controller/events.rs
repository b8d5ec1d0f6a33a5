//! Events of events.k8s.io: what was done, and what stands in the way. They are told once and never waited for: what must be
//! known is in status and in the journal.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;

use crate::act::Acted;
use crate::api::{API_VERSION, HoldKind, KIND};
use crate::cluster::answered;
use crate::policy::{Policy, ResourceName};
use crate::report::outcome::Outcome;
use crate::report::status::cut;
use crate::report::text::workspaces;

/// Events that wait to be sent; what comes on top is dropped.
const MOST: usize = 256;
/// The longest note, in bytes: what the API server takes.
const LONGEST: usize = 1024;

/// Where events of one object go. Clones share it.
#[derive(Clone)]
pub(super) struct Events(Arc<Address>);

struct Address {
    post: mpsc::Sender<(ObjectReference, Event)>,
    about: ObjectReference,
}

/// Starts the one task that sends them, as the pod or host with this name.
pub(super) fn start(client: Client, instance: &str) -> mpsc::Sender<(ObjectReference, Event)> {
    let (post, mut posted) = mpsc::channel(MOST);
    let reporter = Reporter { controller: "hygiene.dev/controller".into(), instance: Some(cut(instance, 128)) };
    let recorder = Recorder::new(client, reporter);
    tokio::spawn(async move {
        while let Some((about, event)) = posted.recv().await {
            if let Err(why) = answered(recorder.publish(&event, &about)).await {
                tracing::warn!(%why, reason = event.reason, "an event could not be told");
            }
        }
    });
    post
}

impl Events {
    pub(super) fn new(post: mpsc::Sender<(ObjectReference, Event)>, name: &ResourceName, uid: &str) -> Self {
        let about = ObjectReference {
            api_version: Some(API_VERSION.into()),
            kind: Some(KIND.into()),
            name: Some(name.name.clone()),
            namespace: Some(name.namespace.clone()),
            uid: Some(uid.into()),
            ..ObjectReference::default()
        };
        Self(Arc::new(Address { post, about }))
    }

    /// Tells it, unless there is no room.
    pub(super) fn tell(&self, bad: bool, action: &str, reason: &str, note: &str) {
        let event = Event {
            type_: if bad { EventType::Warning } else { EventType::Normal },
            reason: reason.into(),
            note: Some(cut(note, LONGEST)),
            action: action.into(),
            secondary: None,
        };
        if self.0.post.try_send((self.0.about.clone(), event)).is_err() {
            tracing::debug!(reason, "an event is dropped: too many wait");
        }
    }

    /// What was put back outside a sweep.
    pub(super) fn restored(&self, acted: &Acted) {
        let note = format!("{} put back, needed again", workspaces(acted.restored.len() as u64));
        self.tell(false, "Restore", "Restored", &note);
    }

    /// What a sweep did, and what held it.
    ///
    /// `before` is the reason of what held the sweep before: that it still does is no event.
    pub(super) fn swept(&self, policy: &Policy, outcome: &Outcome, before: Option<&str>) {
        let counts = [
            ("Quarantined", outcome.quarantined, "moved to quarantine"),
            ("Restored", outcome.restored, "put back, needed again"),
            ("Purged", outcome.purged, "removed for good after the retention"),
        ];
        for (reason, count, what) in counts {
            if count > 0 {
                self.tell(false, "Sweep", reason, &format!("{} {what}, by sweep {}", workspaces(count), outcome.sweep));
            }
        }
        if let Some((step, message)) = &outcome.first_error {
            let note = format!("{} steps failed; the first: {step}: {message}", outcome.failed());
            self.tell(true, "Sweep", "StepFailed", &note);
        }
        if let Some(held) = &outcome.held
            && held.kind == HoldKind::Breaker
            && before != Some(held.reason.as_str())
        {
            let note = format!("{}: {}", policy.root.display(), held.cause);
            self.tell(true, "Sweep", &held.reason, &note);
        }
    }

    /// That a source is lost or back, by the conditions before a sweep and after it.
    pub(super) fn sources(&self, before: &[Condition], now: &[Condition]) {
        let find = |conditions: &[Condition]| conditions.iter().find(|one| one.type_ == "SourcesAvailable").cloned();
        let Some(now) = find(now) else { return };
        let was_lost = find(before).is_some_and(|before| before.status == "False");
        match (was_lost, now.status.as_str()) {
            (false, "False") => self.tell(true, "Sweep", "SourceLost", &now.message),
            (true, "True") => self.tell(false, "Sweep", "SourceBack", "every source answers again"),
            _ => {}
        }
    }
}
