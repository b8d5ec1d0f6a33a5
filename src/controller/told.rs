//! What is known of one object: told by its task, shown on the page and in the metrics, and handed to its writer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use super::compose::{self, Since};
use super::events::Events;
use super::roots::Refusal;
use super::writer::{ToWrite, Wanted};
use crate::act::Acted;
use crate::api::{JobStatus, WorkspaceHygieneStatus};
use crate::packed::Packed;
use crate::policy::{Policy, ResourceName};
use crate::report::outcome::Outcome;
use crate::report::status::{LastState, PastSweep};
use crate::service::Audience;
use crate::term::Term;

/// The longest value of the annotation that asks for a sweep, in characters: what status has room for.
pub(super) const LONGEST_REQUEST: usize = 64;

/// What is known of one object.
pub(super) struct Told {
    name: ResourceName,
    shown: Arc<dyn Audience>,
    events: Events,
    write: watch::Sender<Wanted>,
    state: Mutex<State>,
}

struct State {
    /// The term in which its task runs; nothing is written in another.
    term: Arc<Term>,
    /// The status as it was composed last; the writer holds the same, but for the Job that is at work.
    status: Arc<Packed<WorkspaceHygieneStatus>>,
    /// The generation that is swept.
    generation: i64,
    /// What the object's status was found to be since nobody led here.
    found: Option<Packed<WorkspaceHygieneStatus>>,
    /// What it said at the beginning of the term, where it was found to say something.
    began: Option<Since>,
    /// The request for a sweep that waits for one to begin, the one that a sweep runs for, and the one that was answered.
    requested: Option<String>,
    running: Option<String>,
    handled: Option<String>,
    /// Whether the sweep that ended just now left a report, which tells what holds.
    reported: bool,
}

impl State {
    /// Something is to be told about the generation that is swept, before it was swept once.
    fn observe(&mut self) {
        let status = self.status.get();
        if status.observed_generation != self.generation {
            self.status = Arc::new(Packed::new(&compose::unswept(status, self.generation)));
        }
    }
}

impl Told {
    /// What is known from the object itself.
    pub(super) fn new(
        name: ResourceName,
        status: WorkspaceHygieneStatus,
        shown: Arc<dyn Audience>,
        events: Events,
        write: watch::Sender<Wanted>,
    ) -> Self {
        let handled = status.last_handled_sweep_request.clone();
        // Ended, so that nothing is written before somebody leads.
        let term = Term::unlimited();
        term.close();
        let status = Arc::new(Packed::new(&status));
        let state = State {
            term,
            status,
            generation: 0,
            found: None,
            began: None,
            requested: None,
            running: None,
            handled,
            reported: false,
        };
        Self { name, shown, events, write, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, state: &State) {
        self.publish_as(state, Arc::clone(&state.status));
    }

    fn publish_as(&self, state: &State, status: Arc<Packed<WorkspaceHygieneStatus>>) {
        let (term, found) = (Arc::clone(&state.term), state.began.clone());
        self.write.send_replace(Some(ToWrite { term, status, found }));
    }

    /// What the object's status is, where another leader may have written it.
    pub(super) fn found(&self, status: Option<WorkspaceHygieneStatus>) {
        self.state().found = status.as_ref().map(Packed::new);
    }

    /// In a new term what another leader wrote meanwhile is what is there.
    pub(super) fn begin(&self, term: &Arc<Term>) {
        let mut state = self.state();
        if !Arc::ptr_eq(&state.term, term) {
            state.term = Arc::clone(term);
            if let Some(status) = state.found.take() {
                let found = status.get();
                state.began = Some(Since::of(&found.conditions));
                state.handled = found.last_handled_sweep_request;
                state.status = Arc::new(status);
            } else {
                state.began = None;
            }
        }
    }

    /// A generation is about to be swept for the first time.
    pub(super) fn pending(&self, generation: i64) {
        let mut state = self.state();
        state.generation = generation;
        let status = state.status.get();
        if status.observed_generation != generation {
            state.status = Arc::new(Packed::new(&compose::pending(status, generation)));
            self.publish(&state);
        }
    }

    /// The object is not swept.
    pub(super) fn refused(&self, generation: i64, refusal: &Refusal) {
        let (namespace, name) = (&self.name.namespace, &self.name.name);
        tracing::warn!(namespace, name, reason = refusal.reason, "not swept: {}", refusal.message);
        let mut state = self.state();
        let status = compose::refused(state.status.get(), generation, refusal.reason, &refusal.message);
        state.status = Arc::new(Packed::new(&status));
        self.publish(&state);
    }

    /// A sweep is asked for by an annotation; whether that is new.
    pub(super) fn request(&self, value: &str) -> bool {
        let mut state = self.state();
        let known = [&state.requested, &state.running, &state.handled];
        let new = known.into_iter().all(|known| known.as_deref() != Some(value));
        if new {
            state.requested = Some(value.to_owned());
        }
        new
    }

    /// The gate was looked at, and is open.
    pub(super) fn may_go(&self, policy: &Policy) {
        let mut state = self.state();
        let mut status = state.status.get();
        if compose::no_longer_waits(&mut status, state.generation) {
            state.status = Arc::new(Packed::new(&status));
            self.publish(&state);
            drop(state);
            self.shown.meanwhile(policy, &status);
        }
    }

    /// A Job is at work, or something stands in its way: reason and message.
    pub(super) fn works(&self, policy: &Policy, job: &JobStatus, trouble: Option<(&str, &str)>) {
        let mut state = self.state();
        if trouble.is_some() {
            state.observe();
        }
        let status = compose::working(state.status.get(), state.generation, job, trouble);
        self.publish_as(&state, Arc::new(Packed::new(&status)));
        drop(state);
        self.shown.meanwhile(policy, &status);
    }

    /// A gate keeps the next sweep waiting.
    pub(super) fn waits(&self, policy: &Policy, job: Option<&JobStatus>, message: &str, now: Timestamp) {
        let mut state = self.state();
        // Of an object that was swept before, Ready still speaks of that: a gate is no reason not to be.
        if state.status.get().observed_generation < 0 {
            state.observe();
        }
        let mut status = compose::waiting(state.status.get(), state.generation, message, now);
        // Since when it holds is remembered.
        state.status = Arc::new(Packed::new(&status));
        if let Some(job) = job {
            status = compose::working(status, state.generation, job, None);
        }
        self.publish_as(&state, Arc::new(Packed::new(&status)));
        drop(state);
        self.shown.meanwhile(policy, &status);
    }

    /// The state that the last sweep left, as far as the object tells.
    pub(super) fn last(&self) -> Option<LastState> {
        let status = self.state().status.get();
        let sweep = status.last_sweep.clone()?;
        let held = status.hold.as_ref().map(|hold| hold.reason.clone());
        Some(LastState { sweeps: vec![PastSweep { sweep, held }], status, ..LastState::default() })
    }

    /// Directories in quarantine, as far as is known.
    pub(super) fn quarantined(&self) -> Option<u64> {
        self.state().status.get().quarantine.map(|quarantine| quarantine.directories)
    }
}

impl Audience for Told {
    fn loaded(&self, _: &[Arc<Policy>]) {}

    fn fault(&self, _: Option<String>) {}

    fn begins(&self, policy: &Policy) {
        let mut state = self.state();
        if let Some(requested) = state.requested.take() {
            state.running = Some(requested);
        }
        drop(state);
        self.shown.begins(policy);
    }

    fn swept(&self, policy: &Policy, outcome: &Outcome, state: &LastState, took: Duration) {
        self.shown.swept(policy, outcome, state, took);
        let before = self.state().status.get();
        self.events.swept(policy, outcome, before.hold.as_ref().map(|hold| hold.reason.as_str()));
        self.events.sources(&before.conditions, &state.status.conditions);
        let mut state = self.state();
        state.reported = true;
        // One that stepped aside or was stopped follows again at once, and answers then.
        if !outcome.stopped() {
            state.handled = state.running.take().or_else(|| state.handled.take());
        }
    }

    fn restored(&self, policy: &Policy, acted: &Acted) {
        self.shown.restored(policy, acted);
        self.events.restored(acted);
    }

    fn failed(&self, policy: &Policy, why: &str, state: &LastState) {
        self.shown.failed(policy, why, state);
        let mut state = self.state();
        state.handled = state.running.take().or_else(|| state.handled.take());
    }

    fn due(&self, policy: &Policy, last: &LastState) {
        self.shown.due(policy, last);
        let mut state = self.state();
        let mut status =
            compose::swept(last.status.clone(), &self.name, policy.claim.is_some(), state.handled.as_ref());
        // Without a report only the controller's own looks at the gate tell.
        if !std::mem::take(&mut state.reported) && policy.claim.is_some() {
            status = compose::as_gated(status, state.status.get());
        }
        state.status = Arc::new(Packed::new(&status));
        self.publish(&state);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;
    use tokio::sync::mpsc;

    use super::*;
    use crate::policy::PolicyOptions;
    use crate::spec::judge;

    /// Remembers what holds, as it was told between sweeps.
    #[derive(Default)]
    struct Listener(Mutex<Vec<Option<String>>>);

    impl Audience for Listener {
        fn meanwhile(&self, _: &Policy, status: &WorkspaceHygieneStatus) {
            self.0.lock().unwrap().push(status.hold.as_ref().map(|hold| hold.reason.clone()));
        }
        fn loaded(&self, _: &[Arc<Policy>]) {}
        fn fault(&self, _: Option<String>) {}
        fn swept(&self, _: &Policy, _: &Outcome, _: &LastState, _: Duration) {}
        fn failed(&self, _: &Policy, _: &str, _: &LastState) {}
        fn due(&self, _: &Policy, _: &LastState) {}
    }

    pub(in crate::controller) fn policy() -> Policy {
        let object = json!({
            "apiVersion": crate::api::API_VERSION, "kind": crate::api::KIND,
            "metadata": {"name": "collab", "namespace": "team", "uid": "1", "generation": 1},
            "spec": {
                "volume": {"path": "/srv/workspaces"},
                "workspaces": {"pattern": "^(?<session>[a-z]+)$"},
                "sessions": {"sqlite": {"path": "/srv/sessions.db"}, "liveQuery": "select id from session"},
            },
        });
        judge(object, &PolicyOptions::default()).unwrap().policy
    }

    /// What is told, and the status that was written last.
    fn writing() -> (Told, watch::Receiver<Wanted>) {
        let (told, written, _) = heard();
        (told, written)
    }

    fn heard() -> (Told, watch::Receiver<Wanted>, Arc<Listener>) {
        let name = ResourceName::new("team", "collab");
        let (post, _posted) = mpsc::channel(1);
        let (write, written) = watch::channel(None);
        let events = Events::new(post, &name, "uid");
        let listener = Arc::new(Listener::default());
        let shown = Arc::clone(&listener) as Arc<dyn Audience>;
        let told = Told::new(name, WorkspaceHygieneStatus::default(), shown, events, write);
        told.begin(&Term::unlimited());
        (told, written, listener)
    }

    /// Kind, status, reason and generation of a condition.
    type Shown = (String, String, String, Option<i64>);

    fn conditions(written: &watch::Receiver<Wanted>) -> (i64, Vec<Shown>) {
        let status = written.borrow().clone().unwrap().status.get();
        let of = |one: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
            (one.type_.clone(), one.status.clone(), one.reason.clone(), one.observed_generation)
        };
        (status.observed_generation, status.conditions.iter().map(of).collect())
    }

    fn job() -> JobStatus {
        JobStatus {
            name: "hygiene-collab-1".into(),
            pod_name: None,
            node_name: None,
            phase: crate::api::JobPhase::Pending,
            entries_removed: 0,
            progress_time: None,
            message: None,
        }
    }

    fn one(kind: &str, status: &str, reason: &str, generation: i64) -> (String, String, String, Option<i64>) {
        (kind.into(), status.into(), reason.into(), Some(generation))
    }

    #[test]
    fn what_stands_in_the_way_of_a_first_sweep_is_told_of_a_generation_that_is_observed() {
        let (told, written) = writing();
        told.pending(3);
        told.works(&policy(), &job(), None);
        assert_eq!(conditions(&written), (-1, vec![one("Reconciling", "True", "SweepPending", 3)]));
        told.works(&policy(), &job(), Some(("SweeperNotScheduled", "no node")));
        assert_eq!(conditions(&written), (3, vec![one("Ready", "False", "SweeperNotScheduled", 3)]));
        // What was observed once stays so.
        told.works(&policy(), &job(), None);
        assert_eq!(conditions(&written), (3, vec![one("Ready", "False", "SweepPending", 3)]));
    }

    #[test]
    fn a_gate_before_the_first_sweep_of_a_generation_leaves_what_is_known_of_the_one_before() {
        let (told, written) = writing();
        told.pending(1);
        told.waits(&policy(), None, "a pod is not ready", Timestamp::UNIX_EPOCH);
        let first = [one("Ready", "False", "SweepPending", 1), one("DeletionAllowed", "False", "ServiceUnhealthy", 1)];
        assert_eq!(conditions(&written), (1, first.to_vec()));

        told.pending(2);
        told.waits(&policy(), Some(&job()), "a pod is not ready", Timestamp::UNIX_EPOCH);
        let second = [&first[..], &[one("Reconciling", "True", "SweepPending", 2)]].concat();
        assert_eq!(conditions(&written), (1, second));
    }

    #[test]
    fn a_gate_that_opened_holds_no_longer_and_one_that_closes_again_holds_since_then() {
        let (told, written, listener) = heard();
        told.pending(1);
        let since = |seconds| {
            told.waits(&policy(), None, "a pod is not ready", Timestamp::from_second(seconds).unwrap());
            written.borrow().clone().unwrap().status.get().hold.unwrap().since.unwrap().0.as_second()
        };
        assert_eq!((since(100), since(105)), (100, 100));
        told.works(&policy(), &job(), None);
        assert!(written.borrow().clone().unwrap().status.get().hold.is_some(), "nobody looked at the gate");
        told.may_go(&policy());
        told.works(&policy(), &job(), None);
        let open = [one("Ready", "False", "SweepPending", 1), one("DeletionAllowed", "Unknown", "SweepPending", 1)];
        assert_eq!(conditions(&written), (1, open.to_vec()));
        assert_eq!(written.borrow().clone().unwrap().status.get().hold, None);
        assert_eq!(since(200), 200);
        let closed = || Some("ServiceUnhealthy".to_owned());
        assert_eq!(
            *listener.0.lock().unwrap(),
            [closed(), closed(), closed(), None, None, closed()],
            "the metrics hear of it too"
        );
    }

    #[test]
    fn a_gate_hides_no_breaker_that_a_person_has_to_decide_on() {
        let (told, written, _) = heard();
        told.pending(1);
        let hold = crate::api::HoldStatus {
            kind: crate::api::HoldKind::Breaker,
            reason: "TooManyOrphans".into(),
            message: "approve it".into(),
            since: None,
            plan_hash: Some("abc".into()),
            directories: None,
        };
        let mut last = LastState::default();
        last.status.hold = Some(hold);
        told.due(&policy(), &last);
        let held = || written.borrow().clone().unwrap().status.get().hold.unwrap();
        told.waits(&policy(), None, "a pod is not ready", Timestamp::UNIX_EPOCH);
        assert_eq!((held().reason.as_str(), held().plan_hash.as_deref()), ("TooManyOrphans", Some("abc")));
        told.may_go(&policy());
        assert_eq!(held().reason, "TooManyOrphans");
    }

    #[test]
    fn a_job_that_left_no_report_tells_of_no_gate() {
        let (told, written, _) = heard();
        let claim = Some(crate::policy::ClaimPolicy { name: "efs".into(), sub_path: None });
        let policy = Policy { claim, ..policy() };
        told.pending(1);
        told.waits(&policy, None, "a pod is not ready", Timestamp::UNIX_EPOCH);
        // What the task remembers is from when the gate was closed.
        let status = written.borrow().clone().unwrap().status.get();
        let last = LastState { status, ..LastState::default() };
        told.may_go(&policy);
        told.failed(&policy, "no report", &last);
        told.due(&policy, &last);
        let status = written.borrow().clone().unwrap().status.get();
        assert_eq!(status.hold, None);
        let allowed = status.conditions.iter().find(|one| one.type_ == "DeletionAllowed").unwrap();
        assert_eq!((allowed.status.as_str(), allowed.reason.as_str()), ("Unknown", "SweepPending"));
    }

    fn handled(request: &str) -> WorkspaceHygieneStatus {
        WorkspaceHygieneStatus { last_handled_sweep_request: Some(request.into()), ..WorkspaceHygieneStatus::default() }
    }

    #[test]
    fn a_term_begins_with_what_was_found_since_the_last_one() {
        let name = ResourceName::new("team", "collab");
        let (post, _posted) = mpsc::channel(1);
        let (write, written) = watch::channel(None);
        let events = Events::new(post, &name, "uid");
        let told = Told::new(name, handled("first"), Arc::new(Listener::default()), events, write);
        assert!(!told.request("first") && told.request("second"));
        let in_term = |generation| {
            told.begin(&Term::unlimited());
            told.pending(generation);
            let ToWrite { status, .. } = written.borrow().clone().unwrap();
            status.get().last_handled_sweep_request.unwrap()
        };
        assert_eq!(in_term(1), "first");
        told.found(Some(handled("of another leader")));
        assert_eq!(in_term(2), "of another leader");
        assert!(!told.request("of another leader"));
        assert_eq!(in_term(3), "of another leader", "nothing else was found since");
    }
}
