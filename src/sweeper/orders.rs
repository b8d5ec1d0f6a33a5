//! Whether what a Job was made for still stands, as the API server says: asked again and again, since nobody can stop a pod whose
//! node is cut off.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::DynamicObject;
use kube::{Api, Client};
use tokio::task::AbortHandle;

use crate::clock::Clock;
use crate::cluster::{answered, jittered, resource};
use crate::orders::Orders;
use crate::policy::ResourceName;
use crate::report::text::length;
use crate::spec::ObjectVersion;
use crate::stop::Stop;

/// Time between two questions.
const ASK: Duration = Duration::from_secs(10);
/// No step is taken so long after the last question whose answer confirmed the orders was sent.
const GOOD_FOR: Duration = Duration::from_secs(60);

/// The resource that a Job was made for.
#[derive(Clone, Debug)]
pub struct Ordered {
    /// Its name.
    pub resource: ResourceName,
    /// The version of it that asked: another one, or another resource with its name, has asked for nothing.
    pub version: ObjectVersion,
    /// The lease of the controller that made the Job; while nobody renews it nobody gates.
    pub lease: Option<ResourceName>,
}

/// Orders that the API server confirms.
pub struct ApiOrders {
    known: Arc<Known>,
    asking: AbortHandle,
}

impl std::fmt::Debug for ApiOrders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiOrders").finish_non_exhaustive()
    }
}

impl Drop for ApiOrders {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

struct Known {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When the last question was sent whose answers confirmed the orders, by the machine's uptime.
    confirmed: Option<Duration>,
    /// Why they stand no more, for good.
    ended: Option<String>,
    /// Why they could not be confirmed the last time.
    unsure: Option<String>,
    /// What the lease said last, and when it was seen to say something new.
    renewed: Option<(MicroTime, Duration)>,
}

impl Known {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ApiOrders {
    /// Begins to ask; nothing stands before the first answer.
    pub fn start(client: Client, ordered: Ordered, clock: Arc<dyn Clock>) -> Arc<Self> {
        let known = Arc::new(Known { clock, state: Mutex::default() });
        let asking = tokio::spawn(ask_on(client, ordered, Arc::clone(&known))).abort_handle();
        Arc::new(Self { known, asking })
    }

    /// Waits until the orders are confirmed, no longer than `most`.
    ///
    /// # Errors
    /// Why they are not.
    pub async fn confirmed(&self, most: Duration, stop: &Stop) -> Result<(), String> {
        let until = self.known.clock.uptime() + most;
        loop {
            let standing = self.standing();
            let ended = self.known.state().ended.is_some();
            if standing.is_ok() || ended || stop.requested() || self.known.clock.uptime() >= until {
                return standing;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Orders for ApiOrders {
    fn standing(&self) -> Result<(), String> {
        self.known.state().standing(self.known.clock.uptime())
    }
}

impl State {
    fn standing(&self, now: Duration) -> Result<(), String> {
        if let Some(why) = &self.ended {
            return Err(why.clone());
        }
        if self.confirmed.is_some_and(|sent| now.saturating_sub(sent) < GOOD_FOR) {
            return Ok(());
        }
        let why = self.unsure.as_deref().unwrap_or("the API server was not heard of yet");
        Err(format!("that the resource is as it was has not been confirmed for {}: {why}", length(GOOD_FOR)))
    }

    /// What the answers say to the question that was sent at `sent`.
    fn hear(&mut self, sent: Duration, object: &DynamicObject, lease: Option<&Lease>, ordered: &Ordered) {
        if let Err(why) = ordered.version.stands(&object.metadata) {
            self.ended.get_or_insert(why);
            return;
        }
        // Whichever is older: that the resource is as it was, or that a controller is at work.
        let confirmed = lease.map_or(Some(sent), |lease| self.renewed_at(sent, lease));
        self.unsure = (confirmed != Some(sent)).then(|| "no controller renews its lease".into());
        if confirmed.is_some() {
            self.confirmed = confirmed;
        }
    }

    /// When somebody was last seen to renew the lease. By what it says, and never by the time it says: clocks differ. What it says
    /// at first may be old, so the first step waits for a renewal.
    fn renewed_at(&mut self, sent: Duration, lease: &Lease) -> Option<Duration> {
        let spec = lease.spec.as_ref();
        let holder = spec.and_then(|spec| spec.holder_identity.as_ref()).is_some_and(|holder| !holder.is_empty());
        let time = spec.and_then(|spec| spec.renew_time.clone()).filter(|_| holder)?;
        match &self.renewed {
            // Seen for the first time, which is no renewal.
            None => {
                self.renewed = Some((time, Duration::ZERO));
                None
            }
            Some((known, seen)) if *known == time => Some(*seen).filter(|seen| !seen.is_zero()),
            Some(_) => {
                self.renewed = Some((time, sent));
                Some(sent)
            }
        }
    }
}

async fn ask_on(client: Client, ordered: Ordered, known: Arc<Known>) {
    let lease = ordered.lease.as_ref();
    let leases = lease.map(|lease| (Api::<Lease>::namespaced(client.clone(), &lease.namespace), &lease.name));
    loop {
        let sent = known.clock.uptime();
        let lease = async {
            match &leases {
                Some((leases, name)) => answered(leases.get(name)).await.map(Some),
                None => Ok(None),
            }
        };
        let (object, lease) = futures_util::future::join(resource(client.clone(), &ordered.resource), lease).await;
        let soon = {
            let mut state = known.state();
            match (object, lease) {
                (Err(error), _) if error.code() == Some(404) => {
                    state.ended.get_or_insert("the resource was deleted".into());
                }
                (Ok(object), Ok(lease)) => state.hear(sent, &object, lease.as_ref(), &ordered),
                (Err(error), _) => state.unsure = Some(format!("the resource cannot be read: {error}")),
                // A change is a change, whether or not the lease can be read.
                (Ok(object), Err(error)) => {
                    state.unsure = Some(format!("the controller's lease cannot be read: {error}"));
                    if let Err(why) = ordered.version.stands(&object.metadata) {
                        state.ended.get_or_insert(why);
                    }
                }
            }
            state.confirmed.is_none() && state.ended.is_none()
        };
        // Until the first confirmation somebody waits.
        tokio::time::sleep(jittered(if soon { ASK / 10 } else { ASK })).await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ordered() -> Ordered {
        let resource = ResourceName::new("team", "one");
        let lease = Some(ResourceName::new("system", "hygiene"));
        Ordered { resource, version: ObjectVersion { uid: "u".into(), generation: 3 }, lease }
    }

    fn object(uid: &str, generation: i64, deleted: bool) -> DynamicObject {
        let deleted = deleted.then_some("2026-01-01T00:00:00Z");
        let metadata = json!({"name": "one", "uid": uid, "generation": generation, "deletionTimestamp": deleted});
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    }

    fn lease(holder: &str, second: u32) -> Lease {
        let time = format!("2026-01-01T00:00:{second:02}.000000Z");
        serde_json::from_value(json!({"spec": {"holderIdentity": holder, "renewTime": time}})).unwrap()
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1_000 + seconds)
    }

    #[test]
    fn orders_stand_for_a_minute_after_they_were_confirmed_and_not_before_a_lease_is_renewed() {
        let mut state = State::default();
        let hear = |state: &mut State, second: u64, renewed: u32| {
            state.hear(at(second), &object("u", 3, false), Some(&lease("a", renewed)), &ordered());
        };
        assert!(state.standing(at(0)).is_err(), "nothing was heard");
        hear(&mut state, 0, 1);
        assert!(state.standing(at(1)).is_err(), "a lease that nobody was seen to renew");
        hear(&mut state, 10, 2);
        assert_eq!(state.standing(at(69)), Ok(()));
        assert!(state.standing(at(70)).is_err(), "a minute after the question was sent");
        hear(&mut state, 60, 2);
        assert_eq!(state.standing(at(69)), Ok(()), "the lease said something new less than a minute ago");
        assert!(state.standing(at(70)).unwrap_err().contains("no controller renews its lease"));
        hear(&mut state, 130, 3);
        assert_eq!(state.standing(at(131)), Ok(()), "another controller leads");
    }

    #[test]
    fn a_lease_that_was_given_away_confirms_nothing() {
        let mut state = State::default();
        for second in 0..5 {
            state.hear(at(second.into()), &object("u", 3, false), Some(&lease("", second)), &ordered());
        }
        assert!(state.standing(at(5)).is_err());
        let without = Ordered { lease: None, ..ordered() };
        state.hear(at(6), &object("u", 3, false), None, &without);
        assert_eq!(state.standing(at(7)), Ok(()), "one controller, which has no lease");
    }

    #[test]
    fn a_resource_that_changed_ends_it_for_good() {
        for (other, word) in [
            (object("v", 3, false), "another one"),
            (object("u", 4, false), "changed"),
            (object("u", 3, true), "deleted"),
        ] {
            let without = Ordered { lease: None, ..ordered() };
            let mut state = State::default();
            state.hear(at(0), &object("u", 3, false), None, &without);
            assert_eq!(state.standing(at(1)), Ok(()));
            state.hear(at(2), &other, None, &without);
            state.hear(at(3), &object("u", 3, false), None, &without);
            let why = state.standing(at(4)).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }
}
