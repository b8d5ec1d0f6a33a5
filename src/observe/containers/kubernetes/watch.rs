//! A watch of objects of one kind in one namespace. Of each only a few facts are kept, and of those that went for a while
//! that they were there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use jiff::Timestamp;
use kube::core::Selector;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::api::not_allowed;
use super::stops::WINDOW;
use crate::clock::{Clock, before};
use crate::cluster::jittered;

/// First pause after a watch broke, which doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// How far a watch may be behind a list.
const BEHIND: Duration = Duration::from_secs(5);

/// What is kept of an object.
pub(super) trait Kept: Clone + Send + Sync + 'static {
    /// The object.
    type Object: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static;

    /// The facts that are kept.
    fn of(object: &Self::Object) -> Self;

    /// The object's uid and the version of it.
    fn version(&self) -> (&str, &str);

    /// The same, of an object that is gone: nothing that was known before is forgotten.
    fn after(self, before: Option<&Self>) -> Self;
}

/// An object that is gone.
#[derive(Clone, Debug)]
pub(super) struct Gone<T> {
    /// When that was seen.
    pub(super) at: Timestamp,
    /// What was known of it last.
    pub(super) last: T,
}

/// Objects that are watched as long as this is held.
pub(super) struct Watched<T> {
    state: watch::Receiver<State<T>>,
    /// Since when, by the machine's uptime, the watch differs from lists, and how many changes it had told by then.
    differs: Mutex<Option<(Duration, u64)>>,
    clock: Arc<dyn Clock>,
    what: String,
    task: AbortHandle,
}

impl<T> Drop for Watched<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct State<T> {
    course: Course,
    objects: BTreeMap<String, T>,
    gone: Vec<Gone<T>>,
    /// Changes that were told so far.
    changes: u64,
}

enum Course {
    /// The first list is not there yet.
    Beginning,
    /// What there is is known.
    Whole,
    /// It is not, and why.
    Broken(String),
}

impl<T: Kept> Watched<T> {
    /// Begins to watch. `kind` is what people call the objects; the API server is asked to keep each watch for `keep`.
    pub(super) fn begin(
        objects: Api<T::Object>,
        kind: &'static str,
        namespace: &str,
        selector: Option<&Selector>,
        keep: Duration,
        clock: &Arc<dyn Clock>,
    ) -> Arc<Self> {
        let mut config = watcher::Config::default().timeout(u32::try_from(keep.as_secs()).unwrap_or(u32::MAX));
        if let Some(selector) = selector {
            config = config.labels_from(selector);
        }
        let begun = State { course: Course::Beginning, objects: BTreeMap::new(), gone: Vec::new(), changes: 0 };
        let (tell, state) = watch::channel(begun);
        let watching =
            Watching { objects, config, tell, kind, namespace: namespace.to_owned(), clock: Arc::clone(clock) };
        let task = tokio::spawn(watching.run()).abort_handle();
        let what = format!("the watch of the {kind} of namespace {namespace}");
        Arc::new(Self { state, differs: Mutex::default(), clock: Arc::clone(clock), what, task })
    }

    /// What there is, and what went in the last half hour. Waits for the first list.
    ///
    /// # Errors
    /// When the watch does not know.
    pub(super) async fn known(&self) -> Result<(Vec<T>, Vec<Gone<T>>), String> {
        let mut state = self.state.clone();
        let known = state.wait_for(|state| !matches!(state.course, Course::Beginning)).await;
        let known = known.map_err(|_| format!("{} ended", self.what))?;
        match &known.course {
            Course::Broken(why) => Err(why.clone()),
            Course::Beginning | Course::Whole => Ok((known.objects.values().cloned().collect(), known.gone.clone())),
        }
    }

    /// Compares what was listed with what the watch tells, which may be behind for a moment.
    ///
    /// # Errors
    /// When it is behind for longer, so that it cannot be relied on for what lists do not show; and at once when an object is in
    /// no list any more of which it has not told yet how it went.
    pub(super) fn confirm(&self, listed: &[T]) -> Result<(), String> {
        let state = self.state.borrow();
        let listed: BTreeMap<_, _> = listed.iter().map(Kept::version).collect();
        let watched: BTreeMap<_, _> = state.objects.values().map(Kept::version).collect();
        let mut differs = self.differs.lock().unwrap_or_else(PoisonError::into_inner);
        if listed == watched {
            *differs = None;
            return Ok(());
        }
        if watched.keys().any(|uid| !listed.contains_key(uid)) {
            return Err(format!("{} has not told yet how one went that is listed no more", self.what));
        }
        let now = self.clock.uptime();
        match *differs {
            Some((since, changes)) if changes == state.changes && now.saturating_sub(since) >= BEHIND => {
                Err(format!("{} is behind: it does not tell what a list shows", self.what))
            }
            Some((_, changes)) if changes == state.changes => Ok(()),
            _ => {
                *differs = Some((now, state.changes));
                Ok(())
            }
        }
    }
}

struct Watching<T: Kept> {
    objects: Api<T::Object>,
    config: watcher::Config,
    tell: watch::Sender<State<T>>,
    kind: &'static str,
    namespace: String,
    clock: Arc<dyn Clock>,
}

impl<T: Kept> Watching<T> {
    async fn run(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let mut events = std::pin::pin!(watcher::watcher(self.objects.clone(), self.config.clone()));
            let mut listed = BTreeMap::new();
            let broke = loop {
                match events.next().await {
                    None => break "it ended".to_owned(),
                    Some(Err(error)) => break self.told(&error),
                    Some(Ok(event)) => {
                        if matches!(event, Event::InitDone) {
                            pause = FIRST_PAUSE;
                        }
                        self.tell.send_modify(|state| state.hear(event, &mut listed, self.clock.now()));
                    }
                }
            };
            tracing::warn!(namespace = self.namespace, kind = self.kind, why = broke, "a watch broke; it begins anew");
            self.tell.send_modify(|state| state.course = Course::Broken(broke));
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn told(&self, error: &watcher::Error) -> String {
        let (kind, namespace) = (self.kind, &self.namespace);
        let answer = match error {
            watcher::Error::InitialListFailed(kube::Error::Api(status))
            | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => Some(status.code),
            watcher::Error::WatchError(status) => Some(status.code),
            _ => None,
        };
        match answer {
            Some(403) => not_allowed(kind, namespace),
            _ => format!("the watch of the {kind} of namespace {namespace} broke: {error}"),
        }
    }
}

impl<T: Kept> State<T> {
    /// Takes over what the watch tells; `listed` gathers a list until it is whole. `at` is now.
    fn hear(&mut self, event: Event<T::Object>, listed: &mut BTreeMap<String, T>, at: Timestamp) {
        let kept = |object: &T::Object| {
            let kept = T::of(object);
            (kept.version().0.to_owned(), kept)
        };
        match event {
            Event::Init => return listed.clear(),
            Event::InitApply(object) => {
                let (uid, kept) = kept(&object);
                listed.insert(uid, kept);
                return;
            }
            Event::InitDone => {
                let before = std::mem::replace(&mut self.objects, std::mem::take(listed));
                let missing: Vec<_> = before.into_iter().filter(|(uid, _)| !self.objects.contains_key(uid)).collect();
                missing.into_iter().for_each(|(_, last)| self.went(last, at));
                self.course = Course::Whole;
            }
            Event::Apply(object) => {
                let (uid, kept) = kept(&object);
                self.objects.insert(uid, kept);
            }
            Event::Delete(object) => {
                let (uid, last) = kept(&object);
                let last = last.after(self.objects.remove(&uid).as_ref());
                self.went(last, at);
            }
        }
        self.changes += 1;
    }

    fn went(&mut self, last: T, at: Timestamp) {
        self.gone.retain(|gone| gone.at >= before(at, WINDOW));
        self.gone.push(Gone { at, last });
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;

    /// A pod as it is kept here: uid and version.
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Seen(String, String);

    impl Kept for Seen {
        type Object = Pod;

        fn of(pod: &Pod) -> Self {
            Self(pod.metadata.uid.clone().unwrap(), pod.metadata.resource_version.clone().unwrap())
        }

        fn version(&self) -> (&str, &str) {
            (&self.0, &self.1)
        }

        fn after(self, _: Option<&Self>) -> Self {
            self
        }
    }

    fn pod(uid: &str, version: &str) -> Pod {
        serde_json::from_value(json!({"metadata": {"uid": uid, "resourceVersion": version}})).unwrap()
    }

    fn seen(uid: &str, version: &str) -> Seen {
        Seen::of(&pod(uid, version))
    }

    /// Uptimes from a test's hand.
    #[derive(Debug, Default)]
    struct ByHand(Mutex<Duration>);

    impl Clock for ByHand {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }

        fn uptime(&self) -> Duration {
            *self.0.lock().unwrap()
        }
    }

    fn state() -> State<Seen> {
        State { course: Course::Beginning, objects: BTreeMap::new(), gone: Vec::new(), changes: 0 }
    }

    #[test]
    fn a_list_takes_the_place_of_what_was_known_and_what_is_missing_is_gone() {
        let (mut state, mut listed) = (state(), BTreeMap::new());
        let at = |minutes: i64| Timestamp::from_second(minutes * 60).unwrap();
        let mut hear = |event, minutes| state.hear(event, &mut listed, at(minutes));
        for event in [Event::Init, Event::InitApply(pod("a", "1")), Event::InitApply(pod("b", "1"))] {
            hear(event, 0);
        }
        hear(Event::InitDone, 0);
        hear(Event::Apply(pod("c", "2")), 1);
        hear(Event::Delete(pod("a", "3")), 2);
        // A list that breaks off changes nothing.
        hear(Event::Init, 3);
        hear(Event::InitApply(pod("x", "1")), 3);
        hear(Event::Init, 4);
        hear(Event::InitApply(pod("c", "4")), 4);
        hear(Event::InitDone, 5);
        let gone: Vec<_> = state.gone.iter().map(|gone| (gone.last.0.clone(), gone.at)).collect();
        assert_eq!(gone, [("a".to_owned(), at(2)), ("b".to_owned(), at(5))]);
        assert_eq!(state.objects.into_values().collect::<Vec<_>>(), [seen("c", "4")]);
    }

    #[test]
    fn what_went_is_remembered_for_half_an_hour() {
        let mut state = state();
        let at = |minutes: i64| Timestamp::from_second(minutes * 60).unwrap();
        state.went(seen("a", "1"), at(0));
        state.went(seen("b", "1"), at(30));
        assert_eq!(state.gone.len(), 2);
        state.went(seen("c", "1"), at(31));
        assert_eq!(state.gone.len(), 2, "the first is forgotten");
    }

    #[tokio::test]
    async fn a_watch_that_does_not_tell_what_a_list_shows_is_behind() {
        let clock = Arc::new(ByHand::default());
        let (tell, known) = watch::channel(state());
        let watched = Watched {
            state: known,
            differs: Mutex::default(),
            clock: Arc::clone(&clock) as _,
            what: "the watch".into(),
            task: tokio::spawn(std::future::pending::<()>()).abort_handle(),
        };
        tell.send_modify(|state| state.course = Course::Broken("no".into()));
        assert_eq!(watched.known().await.err().as_deref(), Some("no"));
        tell.send_modify(|state| {
            state.hear(Event::InitDone, &mut BTreeMap::from([("a".into(), seen("a", "1"))]), Timestamp::UNIX_EPOCH)
        });
        assert_eq!(watched.known().await.unwrap().0, [seen("a", "1")]);
        let pass = |seconds| *clock.0.lock().unwrap() += Duration::from_secs(seconds);
        let (same, newer) = ([seen("a", "1")], [seen("a", "2")]);
        assert_eq!(watched.confirm(&same), Ok(()));
        assert_eq!(watched.confirm(&newer), Ok(()), "it may be on its way");
        assert!(watched.confirm(&[]).unwrap_err().contains("how one went"), "it could have crashed");
        pass(4);
        assert_eq!(watched.confirm(&newer), Ok(()));
        pass(1);
        assert!(watched.confirm(&newer).unwrap_err().contains("is behind"));
        // It told something: it goes on.
        tell.send_modify(|state| state.hear(Event::Apply(pod("b", "3")), &mut BTreeMap::new(), Timestamp::UNIX_EPOCH));
        assert_eq!(watched.confirm(&[seen("a", "2"), seen("b", "3")]), Ok(()));
        tell.send_modify(|state| state.hear(Event::Apply(pod("a", "2")), &mut BTreeMap::new(), Timestamp::UNIX_EPOCH));
        pass(60);
        assert_eq!(watched.confirm(&[seen("a", "2"), seen("b", "3")]), Ok(()));
        assert_eq!(
            watched.confirm(&[seen("a", "1"), seen("b", "3")]),
            Ok(()),
            "what it was behind of before does not count"
        );
        drop(tell);
    }
}
