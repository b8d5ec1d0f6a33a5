//! What people say to a plan by an annotation. It is heard once: the answer is left where the next sweep finds it, and the
//! annotation is taken away, so that it says nothing again after a restart, when somebody may have said otherwise since.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::sync::{Notify, watch};

use super::events::Events;
use super::keeper::Wanted;
use super::orders::{NOT_SURE, Sure};
use super::watch::{Asked, OURS};
use super::writer::MANAGER;
use crate::cluster::{Unanswered, answered, resource, resources};
use crate::names::PlanHash;
use crate::orders::Orders;
use crate::policy::{Policy, ResourceName};
use crate::records::AnswerKind;
use crate::sweep::{self, Context, Sources, SweepError};
use crate::sweeper::Heard;

/// Time between two tries where it is not known whether there is such a plan.
const PAUSE: Duration = Duration::from_secs(30);

/// What people say to the plans of one object, answered one after the other by the newest version of the object that was seen.
pub(super) struct Answering {
    pub(super) client: Client,
    pub(super) events: Events,
    pub(super) uid: String,
    pub(super) policy: Arc<Policy>,
    pub(super) sources: Sources,
    pub(super) context: Context,
    pub(super) wanted: watch::Receiver<Wanted>,
    pub(super) sure: Sure,
    /// Rung where a sweep should follow.
    pub(super) bell: Arc<Notify>,
    /// What is over; its annotation may still be seen for a moment.
    pub(super) settled: Vec<Asked>,
}

/// Whether an approval is still asked for, and its plan not dismissed. Looked at right before the answer is left.
struct StillAsked {
    asked: Asked,
    wanted: watch::Receiver<Wanted>,
    sure: Sure,
}

impl Orders for StillAsked {
    fn standing(&self) -> Result<(), String> {
        if !self.sure.get() {
            return Err(NOT_SURE.into());
        }
        let wanted = self.wanted.borrow();
        match wanted.asked().contains(&self.asked) && !is_withdrawn(&self.asked, wanted.asked()) {
            true => Ok(()),
            false => Err("the approval was taken back".into()),
        }
    }
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
    /// Answers until there is nothing left to answer; gives what is over.
    pub(super) async fn run(mut self) -> Vec<Asked> {
        let mut waiting: Vec<Asked> = Vec::new();
        while !self.context.stop.requested() {
            let asked = self.wanted.borrow_and_update().asked().to_vec();
            let says_so = |gone: &Asked| asked.iter().any(|one| (&one.what, &one.value) == (&gone.what, &gone.value));
            for gone in waiting.iter().filter(|gone| !says_so(gone)) {
                let (name, annotation) = (&self.policy.resource.name, &gone.what);
                tracing::info!(name, annotation, "the annotation was taken back before it could be followed");
            }
            self.settled.retain(|one| asked.contains(one));
            // While the watch is broken nobody knows what is asked for.
            if self.sure.get() {
                self.answer(&asked).await;
            }
            waiting = self.open(&asked);
            if waiting.is_empty() {
                break;
            }
            // Until it may be otherwise, or something else is said.
            tokio::select! {
                () = self.context.stop.wait() => {}
                changed = self.wanted.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
        self.settled
    }

    /// What is to be answered: what a dismissal drops, then dismissals, then the rest.
    fn open(&self, asked: &[Asked]) -> Vec<Asked> {
        let is_open = |one: &&Asked| kind(&one.what).is_some() && !self.settled.contains(one);
        let mut open: Vec<_> = asked.iter().filter(is_open).cloned().collect();
        open.sort_by_key(|one| (!is_withdrawn(one, asked), kind(&one.what) != Some(AnswerKind::Dismiss)));
        open
    }

    async fn answer(&mut self, asked: &[Asked]) {
        let mut kept = false;
        for one in self.open(asked) {
            let Some(kind) = kind(&one.what).filter(|_| !self.context.stop.requested()) else { return };
            let withdrawn = is_withdrawn(&one, asked);
            let (wanted, sure) = (self.wanted.clone(), self.sure.clone());
            let orders = Arc::new(StillAsked { asked: one.clone(), wanted, sure });
            let context = Context { orders: Arc::clone(&orders) as _, ..self.context.clone() };
            let heard = follow(&self.policy, &self.sources, &context, (&one, kind, withdrawn)).await;
            if !heard.settled && orders.standing().is_err() {
                continue;
            }
            self.events.tell(!heard.followed, action(kind), &heard.reason, &heard.note);
            if heard.followed {
                self.bell.notify_one();
            }
            // An approval that is dismissed must never stand alone: while it cannot be taken away, what dismisses it stays.
            if !heard.settled || (kind == AnswerKind::Dismiss && kept) {
                continue;
            }
            let (name, uid) = (&self.policy.resource, &self.uid);
            match forget(&self.client, name, uid, &one.what, &one.value).await || !withdrawn {
                true => self.settled.push(one),
                false => kept = true,
            }
        }
    }
}

/// Takes an annotation away, as long as it says what was heard. Whether it is gone.
pub(super) async fn forget(client: &Client, name: &ResourceName, uid: &str, what: &str, value: &str) -> bool {
    for _ in 0..5 {
        match try_forget(client, name, uid, what, value).await {
            Ok(()) => return true,
            Err(error) if error.code() == Some(404) => return true,
            Err(why) => {
                tracing::warn!(%why, annotation = what, "an annotation that was heard cannot be taken away");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
    false
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
    use super::super::keeper::Sweep;
    use super::*;
    use crate::term::Term;

    #[test]
    fn an_approval_stands_while_it_is_asked_for_and_nobody_dismisses_its_plan_and_the_watch_is_whole() {
        let asked = |what: &str, value: &str| Asked { what: what.into(), value: value.into(), by: None };
        let plan = "90cbdd24590bd40fb95818ac1a05c1fd";
        let (approval, dismissal) = (asked("approve-plan", plan), asked("dismiss-plan", &plan.to_uppercase()));
        let wanted = |asked: &[&Asked]| {
            let asked = asked.iter().map(|one| (*one).clone()).collect();
            let policy = super::super::told::tests::policy();
            Wanted::Sweep(Arc::new(Sweep { policy: Arc::new(policy), resource: None, term: Term::unlimited(), asked }))
        };
        let (tell, newest) = watch::channel(wanted(&[&approval]));
        let sure = Sure::default();
        let orders = StillAsked { asked: approval.clone(), wanted: newest, sure: sure.clone() };
        assert!(orders.standing().is_err(), "before the first list nothing is known");
        sure.set(true);
        assert_eq!(orders.standing(), Ok(()));
        for taken_back in [wanted(&[]), wanted(&[&approval, &dismissal]), wanted(&[&dismissal]), Wanted::Nothing] {
            tell.send_replace(taken_back);
            assert!(orders.standing().unwrap_err().contains("taken back"));
        }
    }

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
