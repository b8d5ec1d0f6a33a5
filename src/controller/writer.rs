//! The one writer of an object's status: the whole of it, by server-side apply, only when it changed, until it is done or
//! something newer is to be written.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use sha2::Digest as _;
use sha2::Sha256;
use tokio::sync::{Semaphore, watch};

use super::compose::Since;
use crate::api::{API_VERSION, KIND, WorkspaceHygieneStatus};
use crate::clock::Clock;
use crate::cluster::{Unanswered, answered, jittered, resources};
use crate::packed::Packed;
use crate::policy::ResourceName;
use crate::term::Term;

/// The field manager of everything that we apply.
pub(super) const MANAGER: &str = "hygiene";
/// First pause after a status could not be written, which doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What is to be written, if anything.
pub(super) type Wanted = Option<ToWrite>;

/// A status to be written, while the term stands in which it was made.
#[derive(Clone)]
pub(super) struct ToWrite {
    pub(super) term: Arc<Term>,
    pub(super) status: Arc<Packed<WorkspaceHygieneStatus>>,
    /// What the object said when the term began, where that is news.
    pub(super) found: Option<Since>,
}

/// Writes what it is told, until nobody tells any more.
pub(super) struct Writer {
    pub(super) client: Client,
    pub(super) name: ResourceName,
    pub(super) uid: String,
    /// Requests at once, of all writers.
    pub(super) places: Arc<Semaphore>,
    /// What is there.
    pub(super) written: Option<Digest>,
    /// Since when its conditions are as they are there.
    pub(super) since: Since,
    pub(super) clock: Arc<dyn Clock>,
}

/// Tells one status from another, without keeping either.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest([u8; 32]);

impl Digest {
    pub(super) fn of(status: &Value) -> Self {
        // Objects are sorted by their keys, whoever wrote them.
        Self(Sha256::digest(status.to_string()).into())
    }
}

impl Writer {
    /// In a box, as a task has room for what it is given twice: as it came, and where it is used.
    pub(super) async fn run(mut self: Box<Self>, mut wanted: watch::Receiver<Wanted>) {
        let mut pause = FIRST_PAUSE;
        let mut in_term: Option<Arc<Term>> = None;
        loop {
            // A place first. Those that wait for one know nothing yet: a thousand statuses that are about to be written would be
            // most of what there is in memory, and might be old by then. Nobody closes it.
            let mut place = Arc::clone(&self.places).acquire_owned().await.ok();
            let newest = wanted.borrow_and_update().clone();
            if let Some(ToWrite { term, status, found }) = newest.filter(|newest| newest.term.stands()) {
                if !in_term.as_ref().is_some_and(|before| Arc::ptr_eq(before, &term)) {
                    // Between two terms somebody else may have written.
                    self.written = self.written.filter(|_| in_term.is_none());
                    self.since = found.unwrap_or_else(|| self.since.clone());
                    in_term = Some(Arc::clone(&term));
                }
                let Ok((status, since)) = self.settled(&status) else { return };
                let digest = Digest::of(&status);
                if self.written != Some(digest) {
                    // Boxed, as it is seldom under way and its state is large.
                    let applied = Box::pin(self.apply(status)).await;
                    drop(place.take());
                    match applied {
                        Ok(()) => {
                            (self.written, self.since) = (Some(digest), since);
                            pause = FIRST_PAUSE;
                        }
                        Err(why) => {
                            // What is there now is not known: a request that was not answered may have been done.
                            self.written = None;
                            if !why.is_refusal() {
                                self.since = since;
                            }
                            let (namespace, name) = (&self.name.namespace, &self.name.name);
                            tracing::warn!(namespace, name, %why, "the status cannot be written; it is tried again");
                            // Something newer may come meanwhile; nobody left to tell it means that this is the last try.
                            if matches!(tokio::time::timeout(jittered(pause), wanted.changed()).await, Ok(Err(_))) {
                                return;
                            }
                            pause = (pause * 2).min(LONGEST_PAUSE);
                            // What came meanwhile counts as seen now: it may be of another term.
                            continue;
                        }
                    }
                }
            }
            drop(place);
            if wanted.changed().await.is_err() {
                return;
            }
        }
    }

    /// A status with the times at which its conditions became as they are.
    fn settled(&self, status: &Packed<WorkspaceHygieneStatus>) -> serde_json::Result<(Value, Since)> {
        let mut status = status.get();
        self.since.settle(&mut status.conditions, self.clock.now());
        let since = Since::of(&status.conditions);
        Ok((serde_json::to_value(status)?, since))
    }

    async fn apply(&self, status: Value) -> Result<(), Unanswered> {
        let api = resources(self.client.clone(), &self.name.namespace);
        // With the uid: an object of the same name that was made since is another one.
        let metadata = json!({"name": self.name.name, "namespace": self.name.namespace, "uid": self.uid});
        let body = json!({"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "status": status});
        let params = PatchParams::apply(MANAGER).force();
        // 404 and 409 are tried again as well: the object may be gone, or of another uid, and then the watch tells soon and nobody
        // wants anything written; but an API server that comes to its feet, or saw others write all the time, says the same.
        answered(api.patch_status(&self.name.name, &params, &Patch::Apply(&body))).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_the_same_however_its_fields_are_ordered_and_another_one_is_not() {
        let ours = json!({"observedGeneration": 3, "conditions": [{"type": "Ready", "status": "True"}]});
        let found: Value =
            serde_json::from_str(r#"{"conditions":[{"status":"True","type":"Ready"}],"observedGeneration":3}"#)
                .unwrap();
        assert!(Digest::of(&ours) == Digest::of(&found));
        let other = json!({"observedGeneration": 3, "conditions": [{"type": "Ready", "status": "False"}]});
        assert!(Digest::of(&ours) != Digest::of(&other));
    }
}
