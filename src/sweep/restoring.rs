//! What comes back between two sweeps: a workspace whose session is live again, or claimed by a container, does not wait for
//! the next one, whatever holds deletion.

use std::sync::Arc;

use super::held::{Held, open_root};
use super::observing::{before_stop, unless_stopped};
use super::{Context, Fresh, Sources, SweepError, new_sweep, on_own_thread};
use crate::act::{Acted, FreshAnswers, Pin, Undone};
use crate::fsio::Dir;
use crate::journal;
use crate::names::{EntryId, SessionId};
use crate::observe::volume::{Hygiene, quarantine_entries};
use crate::observe::{IdSet, QuarantineEntry, Reading};
use crate::policy::{Mode, Policy};
use crate::records::Records;
use crate::stop::Stop;

/// Quarantined workspaces that are needed again.
pub type Returned = Vec<EntryId>;

/// Looks which quarantined workspaces are needed again. Takes no lock and writes nothing.
///
/// # Errors
/// When the volume cannot be read, or a source does not answer.
pub async fn returned(policy: Arc<Policy>, sources: Sources, context: Context) -> Result<Returned, SweepError> {
    on_own_thread(move |handle| {
        if policy.mode == Mode::Report {
            return Ok(Returned::default());
        }
        let Ok(root) = open_root(&policy) else { return Ok(Returned::default()) };
        let Some(hygiene) = Hygiene::open(&root, &policy.root)? else { return Ok(Returned::default()) };
        // Every minute on every volume: journal and records are read only where there is something to put back.
        if hygiene.nothing_in_quarantine()? {
            return Ok(Returned::default());
        }
        let entries = restorable(&policy, &root, &hygiene)?;
        let ids: Vec<SessionId> = entries.iter().map(|(_, _, session)| session.clone()).collect();
        if ids.is_empty() {
            return Ok(Returned::default());
        }
        let live = handle.block_on(unless_stopped(&context.stop, sources.sessions.are_live(&ids)));
        let live = match live {
            Reading::Complete(live) => live,
            Reading::Unavailable(why) => return Err(SweepError::Records(format!("sessions: {why}"))),
        };
        // One reading for all of them; what it does not say keeps nobody else from coming back.
        let claims = handle.block_on(claims(&sources, &context.stop));
        let is_claimed = |id: &SessionId| claims.iter().any(|ids| ids.contains(id) || ids.contains_canonical(id));
        let wanted = entries.into_iter().zip(live).filter(|((.., session), is_live)| *is_live || is_claimed(session));
        Ok(wanted.map(|((id, ..), _)| id).collect())
    })
    .await
}

/// Puts those back that are still needed, whatever gate, breaker, budget or suspension holds deletion.
///
/// # Errors
/// When somebody else holds the lock, or the volume cannot be used.
pub async fn restore(
    policy: Arc<Policy>,
    sources: Sources,
    context: Context,
    wanted: Returned,
) -> Result<Acted, SweepError> {
    on_own_thread(move |handle| {
        let Some(held) = Held::take(&policy, &context)? else { return Ok(Acted::default()) };
        let (context, _) = held.by_server_clock(&context);
        let ledger = journal::read(&held.hygiene.journal, |_| ())?;
        let answers = Fresh { sources: &sources, handle, stop: &context.stop };
        let new_id = || EntryId::new((context.new_id)());
        let mut act = held.act(&policy, &context, &answers, &new_id, ledger, new_sweep(&context));
        act.settle();
        for (id, name, session) in restorable(&policy, &held.root, &held.hygiene)? {
            if !wanted.contains(&id) {
                continue;
            }
            let result = match answers.speaks_for(&session) {
                Reading::Complete(true) => act.restore(&id, &name, "its session is live again", Pin::No),
                Reading::Complete(false) => continue,
                Reading::Unavailable(why) => Err(Undone::Wrong(why)),
            };
            act.note("restore", &name, result);
        }
        Ok(act.acted)
    })
    .await
}

/// Entries whose tree is ours and whose name is free: id, name and session. Nothing where the volume is another resource's.
fn restorable(policy: &Policy, root: &Dir, hygiene: &Hygiene) -> Result<Vec<(EntryId, String, SessionId)>, SweepError> {
    let records = Records::read(Some(&hygiene.dir), None)?;
    if records.identity.is_none_or(|identity| identity.owner != policy.owner()) {
        return Ok(Vec::new());
    }
    let ledger = journal::read(&hygiene.journal, |_| ())?;
    let entries = quarantine_entries(root, hygiene, &ledger, policy)
        .map_err(|source| SweepError::Root { path: policy.root.clone(), source })?;
    let restorable = |entry: QuarantineEntry| {
        let sidecar = entry.sidecar.complete()?;
        let is_ours = entry.tree == Some(sidecar.inode) && !entry.name_taken;
        is_ours.then(|| (entry.id.clone(), sidecar.name.clone(), sidecar.session.clone()))
    };
    Ok(entries.into_iter().filter_map(restorable).collect())
}

/// What each source that answers says is claimed.
async fn claims(sources: &Sources, stop: &Stop) -> Vec<IdSet> {
    let mut claims = Vec::new();
    for source in &sources.containers {
        match before_stop(stop, source.claims()).await.flatten() {
            Some(Reading::Complete(ids)) => claims.push(ids),
            Some(Reading::Unavailable(why)) => tracing::debug!(why, "which sessions containers claim is not known"),
            None => {}
        }
    }
    claims
}
