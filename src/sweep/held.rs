//! The volume, held for changing it.

use std::sync::Arc;

use jiff::SignedDuration;

use super::{Context, SweepError};
use crate::act::{Act, Acted, FreshAnswers, Lock, Service};
use crate::clock::{self, ServerClock};
use crate::fsio::{Dir, FsError};
use crate::journal::{Journal, Ledger};
use crate::names::{EntryId, SweepId};
use crate::observe::volume::Hygiene;
use crate::policy::Policy;

/// Opens the volume's root, as the policy lets it be reached.
pub(super) fn open_root(policy: &Policy) -> Result<Dir, FsError> {
    match &policy.beneath {
        Some(base) => Dir::open_root_below(base, &policy.root),
        None => Dir::open_root(&policy.root),
    }
}

/// Whether our folder is on the volume already.
pub(super) fn has_folder(policy: &Policy) -> Result<bool, SweepError> {
    // A root that cannot be opened has its place in the plan.
    let Ok(root) = open_root(policy) else { return Ok(false) };
    Ok(Hygiene::open(&root, &policy.root)?.is_some())
}

/// The context with the file server's clock, as a lock that was written just now told it, and how far that clock is ahead.
pub(super) fn by_server_clock(lock: &Lock, context: &Context) -> (Context, SignedDuration) {
    let ahead = clock::ahead(lock.server_time(), lock.taken());
    let clock = ServerClock::new(Arc::clone(&context.clock), ahead);
    (Context { clock: Arc::new(clock), ..context.clone() }, ahead)
}

/// The root, our folder and the lock on it, held together.
pub(super) struct Held {
    pub(super) root: Dir,
    pub(super) hygiene: Hygiene,
    lock: Lock,
}

impl Held {
    /// Takes hold of the volume for changing it, making our folder where it is missing. `None` where the root cannot be
    /// read, which the plan then tells, or is empty: an empty directory may be where the volume is not mounted.
    pub(super) fn take(policy: &Policy, context: &Context) -> Result<Option<Self>, SweepError> {
        let Ok(root) = open_root(policy) else { return Ok(None) };
        let mut empty = true;
        let listed = root.for_each(|_, _| {
            empty = false;
            false
        });
        if empty || listed.is_err() {
            return Ok(None);
        }
        let hygiene = Hygiene::ensure(&root, &policy.root)?;
        let (clock, stop) = (&*context.clock, &context.stop);
        let lock = Lock::take(&hygiene.dir, &context.actor, &context.command, context.lock, clock, stop)?;
        Ok(Some(Self { root, hygiene, lock }))
    }

    /// The context with the file server's clock, as the lock that was written just now told it, and how far that clock is
    /// ahead.
    pub(super) fn by_server_clock(&self, context: &Context) -> (Context, SignedDuration) {
        by_server_clock(&self.lock, context)
    }

    pub(super) fn act<'a>(
        &'a self,
        policy: &'a Policy,
        context: &'a Context,
        sources: &'a dyn FreshAnswers,
        new_id: &'a dyn Fn() -> EntryId,
        ledger: Ledger,
        sweep: SweepId,
    ) -> Act<'a> {
        let hygiene = &self.hygiene;
        Act {
            policy,
            root: &self.root,
            hygiene,
            lock: &self.lock,
            orders: &*context.orders,
            journal: Journal::new(&hygiene.journal, &hygiene.dir, ledger, sweep, context.actor.clone()),
            sources,
            service: Service::new(sources, &*context.clock),
            clock: &*context.clock,
            new_id,
            stop: &context.stop,
            progress: &*context.progress,
            acted: Acted::default(),
        }
    }
}
