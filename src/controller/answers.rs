//! What people say to a plan by an annotation. It is heard once: the answer is left where the next sweep finds it, and the
//! annotation is taken away, so that it says nothing again after a restart, when somebody may have said otherwise since.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::sync::watch;

use super::events::Events;
use super::keeper::Wanted;
use super::watch::{Asked, OURS};
use super::writer::MANAGER;
use crate::cluster::{Unanswered, answered, resource, resources};
use crate::names::PlanHash;
use crate::policy::{Policy, ResourceName};
use crate::records::AnswerKind;
use crate::sweep::{self, Context, Sources, SweepError};
use crate::sweeper::Heard;

/// Time between two tries where it is not known whether there is such a plan.
const PAUSE: Duration = Duration::from_secs(30);

/// An answer that is to be left.
pub(super) struct Answering {
    pub(super) client: Client,
    pub(super) events: Events,
    pub(super) uid: String,
    pub(super) policy: Arc<Policy>,
    pub(super) sources: Sources,
    pub(super) context: Context,
    pub(super) asked: Asked,
    /// What is wanted now: whoever takes the annotation back, or dismisses the plan, while it cannot be followed yet, is heard.
    pub(super) wanted: watch::Receiver<Wanted>,
}

/// What an annotation says to a plan; `None` for one that says something else.
pub fn kind(what: &str) -> Option<AnswerKind> {
    match what {
        "approve-plan" => Some(AnswerKind::Approve),
        "dismiss-plan" => Some(AnswerKind::Dismiss),
        _ => None,
    }
}

/// What an answer is called where it is told.
pub(super) fn action(kind: AnswerKind) -> &'static str {
    match kind {
        AnswerKind::Approve => "Approve",
        AnswerKind::Dismiss => "Dismiss",
    }
}

/// Whether another annotation drops the same plan: then this one lets nothing go, now or later.
pub(crate) fn is_withdrawn(one: &Asked, all: &[Asked]) -> bool {
    let plan = |asked: &Asked| hash(&asked.value);
    let dismissed = |other: &Asked| kind(&other.what) == Some(AnswerKind::Dismiss) && plan(other) == plan(one);
    kind(&one.what) == Some(AnswerKind::Approve) && plan(one).is_some() && all.iter().any(dismissed)
}

/// Follows what one of the annotations says to a plan, and says what came of it.
pub async fn follow(
    policy: &Arc<Policy>,
    sources: &Sources,
    context: &Context,
    (asked, kind, withdrawn): (&Asked, AnswerKind, bool),
) -> Heard {
    let heard = |reason: &str, note: &str| {
        let heard = Heard { what: asked.what.clone(), value: asked.value.clone(), settled: true, ..Heard::default() };
        Heard { reason: reason.into(), ..heard }.with_note(note)
    };
    if withdrawn {
        return heard("Withdrawn", "the same plan is dismissed by another annotation, which counts");
    }
    let Some(hash) = hash(&asked.value) else {
        let note = "the annotation's value is no plan's hash: it has 32 hexadecimal digits, as status.hold.planHash";
        return heard("NotAPlan", note);
    };
    let by = asked.by.as_deref().unwrap_or("an unknown manager");
    let who = format!("the annotation {OURS}{}, set by {by}", asked.what);
    let context = Context { actor: format!("{who}, heard by {}", context.actor), ..context.clone() };
    match sweep::answer(Arc::clone(policy), sources.clone(), context, kind, hash.clone()).await {
        Ok(answered) => {
            let note = format!("plan {hash} with {} orphans, by {who}", answered.answer.orphans.len());
            tracing::info!(name = policy.resource.name, "{}: {note}", action(kind));
            let reason = if kind == AnswerKind::Approve { "Approved" } else { "Dismissed" };
            Heard { followed: true, ..heard(reason, &note) }
        }
        Err(why) => {
            tracing::warn!(name = policy.resource.name, %why, "the annotation could not be followed");
            let settled = matches!(why, SweepError::NoSuchPlan { .. } | SweepError::NothingHeld);
            Heard { settled, ..heard("NoSuchPlan", &why.to_string()) }
        }
    }
}

impl Answering {
    /// Answers, and takes the annotation away; tried until it is known what came of it. Whether a sweep should follow.
    pub(super) async fn run(self, kind: AnswerKind) -> bool {
        while !self.context.stop.requested() {
            let Some(withdrawn) = self.withdrawn() else {
                let (name, annotation) = (&self.policy.resource.name, &self.asked.what);
                tracing::info!(name, annotation, "the annotation was taken back before it could be followed");
                return false;
            };
            let asked = (&self.asked, kind, withdrawn);
            let heard = follow(&self.policy, &self.sources, &self.context, asked).await;
            self.events.tell(!heard.followed, action(kind), &heard.reason, &heard.note);
            if heard.settled {
                self.forget().await;
                return heard.followed;
            }
            let _ = tokio::time::timeout(PAUSE, self.context.stop.wait()).await;
        }
        false
    }

    /// Whether another annotation drops the same plan now; `None` where this one is not there any more.
    fn withdrawn(&self) -> Option<bool> {
        match &*self.wanted.borrow() {
            Wanted::Sweep(sweep) if sweep.asked.contains(&self.asked) => Some(is_withdrawn(&self.asked, &sweep.asked)),
            _ => None,
        }
    }

    async fn forget(&self) {
        forget(&self.client, &self.policy.resource, &self.uid, &self.asked.what, &self.asked.value).await;
    }
}

/// Takes an annotation away, as long as it says what was heard.
pub(super) async fn forget(client: &Client, name: &ResourceName, uid: &str, what: &str, value: &str) {
    for _ in 0..5 {
        match try_forget(client, name, uid, what, value).await {
            Ok(()) => return,
            Err(error) if error.code() == Some(404) => return,
            Err(why) => {
                tracing::warn!(%why, annotation = what, "an annotation that was heard cannot be taken away");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn try_forget(
    client: &Client,
    name: &ResourceName,
    uid: &str,
    what: &str,
    value: &str,
) -> Result<(), Unanswered> {
    let object = resource(client.clone(), name).await?;
    let annotation = format!("{OURS}{what}");
    let says = object.metadata.annotations.as_ref().and_then(|all| all.get(&annotation));
    if object.metadata.uid.as_deref() != Some(uid) || says.map(String::as_str) != Some(value) {
        return Ok(());
    }
    // Only this version: one that somebody wrote since may say something else.
    let patch = json!({"metadata": {
        "resourceVersion": object.metadata.resource_version,
        "annotations": { annotation: null },
    }});
    let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    answered(resources(client.clone(), &name.namespace).patch(&name.name, &params, &Patch::Merge(&patch)))
        .await
        .map(drop)
}

/// A plan's hash; `None` for a text that cannot be one.
fn hash(text: &str) -> Option<PlanHash> {
    let text = text.trim().to_ascii_lowercase();
    (text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| PlanHash::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_a_hash_is_one() {
        assert_eq!(hash("90CBDD24590bd40fb95818ac1a05c1fd").unwrap().to_string(), "90cbdd24590bd40fb95818ac1a05c1fd");
        assert!(
            ["", "yes", "90cbdd24590bd40fb95818ac1a05c1f", "90cbdd24590bd40fb95818ac1a05c1fg"]
                .into_iter()
                .all(|text| hash(text).is_none())
        );
        assert!(kind("approve-plan") == Some(AnswerKind::Approve) && kind("sweep-requested-at").is_none());
    }
}
