//! Promise 10: the lock is held, proved before each step, and says whose it is.

use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use workspace_hygiene::names::SessionId;
use workspace_hygiene::observe::sessions::SessionStore;
use workspace_hygiene::observe::{LiveSessions, Reading};
use workspace_hygiene::sweep::{Sources, Swept};

use super::{approved, swept};
use crate::world::{World, id, manifest};

/// Does something when it is first asked about one id: the last question before the step.
pub struct Before<F> {
    real: Arc<dyn SessionStore>,
    act: F,
}

#[async_trait]
impl<F: Fn() + Send + Sync> SessionStore for Before<F> {
    async fn live(&self) -> Reading<LiveSessions> {
        self.real.live().await
    }

    async fn is_live(&self, id: &SessionId) -> Reading<bool> {
        (self.act)();
        self.real.is_live(id).await
    }
}

/// Sweeps, and does something right before each step.
pub fn sweep_and(world: &World, act: impl Fn() + Send + Sync + 'static) -> Swept {
    let real = world.sources().sessions;
    world.try_sweep(Sources { sessions: Arc::new(Before { real, act }), containers: Vec::new(), efs: None }).unwrap()
}

#[test]
fn a_lock_that_was_taken_away_stops_the_sweep_before_its_next_step() {
    for replaced in [false, true] {
        let world = approved(2);
        let before = manifest(&world.root());
        let lock = world.root().join(".hygiene/lock");
        let acted = sweep_and(&world, move || {
            fs::remove_file(&lock).ok();
            if replaced {
                fs::write(&lock, "somebody else's").unwrap();
            }
        })
        .acted;
        assert_eq!(acted.quarantined.len(), 0, "{acted:?}");
        assert!(acted.stopped && acted.errors.len() == 1, "told once: {acted:?}");
        assert!(acted.errors[0].message.contains("lock on the volume was lost"), "{acted:?}");
        assert_eq!(manifest(&world.root()), before);
        assert_eq!(swept(&world).acted.quarantined, [id(1), id(2)]);
    }
}

#[test]
fn two_tools_at_once_are_one_and_a_refusal() {
    let world = approved(1);
    let (spec, state) = (world.spec_file(), world.path("state"));
    let refused = Arc::new(Mutex::new(None));
    let outcome = Arc::clone(&refused);
    // The other begins while this one is about to take a step.
    let acted = sweep_and(&world, move || {
        outcome.lock().unwrap().get_or_insert_with(|| {
            let mut other = Command::new(env!("CARGO_BIN_EXE_hygiene"));
            other
                .args(["sweep", "--no-progress", "--lock-timeout", "0s", "-f"])
                .arg(&spec)
                .env("HYGIENE_STATE_DIR", &state);
            other.output().unwrap()
        });
    })
    .acted;
    assert_eq!(acted.quarantined, [id(1)], "{acted:?}");
    let refused = refused.lock().unwrap().take().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(said.contains("locked by test"), "{said}");
}

#[test]
fn approving_needs_no_lock() {
    let world = super::fresh(1);
    let hash = swept(&world).observed.plan.hash;
    let lock = fs::File::open(world.root().join(".hygiene/lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    world.answer(workspace_hygiene::records::AnswerKind::Approve, &hash).unwrap();
    drop(lock);
    assert_eq!(swept(&world).acted.quarantined, [id(1)]);
}
