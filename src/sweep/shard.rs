//! A share of the purge, beside the sweeps: only what is condemned is removed, and nothing is decided.

use std::sync::Arc;
use std::time::Duration;

use super::held::{by_server_clock, open_root};
use super::settling::settled;
use super::{Context, Fresh, Sources, SweepError, on_own_thread};
use crate::act::{Condemned, Service, Shard, ShardAct, ShardLock, ShardPurged};
use crate::fsio::Dir;
use crate::journal::{self, JournalError, Ledger};
use crate::observe::volume::Hygiene;
use crate::policy::{Mode, Policy};
use crate::records::Records;
use crate::stop::Stop;

/// How often the journal is read that a sweep may be writing to, or putting together, meanwhile; and the time between.
const READS: u32 = 5;
const BETWEEN: Duration = Duration::from_millis(500);

/// Removes the share `shard` of what is condemned, and writes nothing down of it: the next sweep does. Others may remove theirs
/// meanwhile, and sweeps may run that leave the condemned trees to shards.
///
/// Nothing is removed that the journal does not call condemned, while the orders do not stand, while the service is not well or
/// the window is closed, or once the lock of this share is lost.
///
/// # Errors
/// When somebody else removes this share, or removes the trees in another number of shares; when the volume is not bound to this
/// resource, or what is on it cannot be read.
#[tracing::instrument(level = "debug", skip_all, fields(namespace = policy.resource.namespace, name = policy.resource.name))]
pub async fn purge_shard(
    policy: Arc<Policy>,
    sources: Sources,
    context: Context,
    shard: Shard,
) -> Result<ShardPurged, SweepError> {
    on_own_thread(move |handle| {
        if policy.mode == Mode::Report {
            return Err(SweepError::ReportMode);
        }
        let sources = settled(&policy, &sources, &context, handle);
        let root = open_root(&policy).map_err(|source| SweepError::Root { path: policy.root.clone(), source })?;
        let Some(hygiene) = Hygiene::open(&root, &policy.root)? else {
            return Err(SweepError::NothingThere(policy.root.clone()));
        };
        if let Some(why) = held(&policy, &root, &hygiene)? {
            return Ok(ShardPurged { paused: Some(why), ..ShardPurged::default() });
        }
        let whom = (context.actor.as_str(), context.command.as_str());
        let lock = ShardLock::take(&hygiene.dir, shard, whom, context.lock, &*context.clock, &context.stop)?;
        let (context, _) = by_server_clock(lock.lock(), &context);
        // In this order: what is listed was condemned before, so that the journal tells of it or of what a sweep is just about
        // to do.
        let root_error = |source| SweepError::Root { path: policy.root.clone(), source };
        let condemned = Condemned::all(&hygiene.purging).map_err(root_error)?;
        let ledger = read_journal(&hygiene.journal, &context.stop)?;
        let answers = Fresh { sources: &sources, handle, stop: &context.stop };
        let act = ShardAct {
            policy: &policy,
            hygiene: &hygiene,
            lock: &lock,
            orders: &*context.orders,
            ledger: &ledger,
            service: Service::new(&answers, &*context.clock),
            clock: &*context.clock,
            stop: &context.stop,
            progress: &*context.progress,
            done: ShardPurged::default(),
        };
        Ok(act.purge(&condemned))
    })
    .await
}

/// Why nothing is removed now, though nothing is wrong.
///
/// # Errors
/// When the volume is not the one that is bound to this resource, or that is not known.
fn held(policy: &Policy, root: &Dir, hygiene: &Hygiene) -> Result<Option<String>, SweepError> {
    let records = Records::read(Some(&hygiene.dir), None)?;
    let identity = records.identity.as_ref().filter(|_| records.bound);
    let Some(identity) = identity else {
        return Err(SweepError::NotBound("the volume is bound to no resource: a sweep has to bind it first".into()));
    };
    if identity.owner != policy.owner() {
        let (owner, this) = (&identity.owner, policy.owner());
        let why = format!("the volume is cleaned by {owner}, and this is {this}; nothing was removed");
        return Err(SweepError::NotBound(why));
    }
    let inode = root.own_facts().map_err(|source| SweepError::Root { path: policy.root.clone(), source })?.inode;
    if identity.root != inode {
        let bound = identity.root;
        let why = format!(
            "the root is inode {inode}, and inode {bound} was bound: this is a copy, or another directory is mounted here"
        );
        return Err(SweepError::NotBound(why));
    }
    if policy.suspend {
        return Ok(Some("spec.suspend is true".into()));
    }
    Ok(records.held.map(|held| format!("the plan {} is held ({}): {}", held.hash, held.reason, held.message)))
}

/// What the journal adds up to. A sweep may write meanwhile: what was read of a file that it was just replacing is read again.
fn read_journal(journal: &Dir, stop: &Stop) -> Result<Ledger, JournalError> {
    let mut reads = 1;
    loop {
        match journal::read(journal, |_| ()) {
            Err(error) if reads < READS && !stop.requested() => {
                tracing::debug!(%error, "the journal is read again");
                reads += 1;
                std::thread::sleep(BETWEEN);
            }
            read => return read,
        }
    }
}
