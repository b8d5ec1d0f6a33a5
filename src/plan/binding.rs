//! Whether this is the volume, the database and the resource that belong together.

use super::hold::{Hold, HoldReason, Tally};
use crate::observe::{Snapshot, WalkOutcome};
use crate::policy::{Mode, Policy};
use crate::records::Identity;

/// What the volume would be bound to now, with `id` and the rest as in `like`.
pub fn identity_now(policy: &Policy, seen: &Snapshot, like: &Identity) -> Option<Identity> {
    Some(Identity {
        owner: policy.owner(),
        root: seen.volume.complete()?.root,
        // One that the spec does not name any more is not forgotten.
        efs: efs_now(seen).or_else(|| like.efs.clone()),
        database: seen.sessions.complete()?.database.clone(),
        query: policy.digests.query.clone(),
        ..like.clone()
    })
}

/// The EFS file system that the spec names and AWS described.
fn efs_now(seen: &Snapshot) -> Option<String> {
    Some(seen.efs.as_ref()?.complete()?.system.id.clone())
}

/// In what the volume differs from what it was bound to, the worst first.
pub(super) fn mismatch(policy: &Policy, seen: &Snapshot) -> Option<Hold> {
    let history = seen.history.complete()?;
    let hold = |reason, message: String| {
        let message = format!("{message}. If it is right as it is, bind the volume anew: hygiene adopt -f SPEC");
        Some(Hold::new(reason, message))
    };
    if let Some(damage) = &history.damage {
        let message = format!("{damage}. Restore it from a backup, or let a new one begin: hygiene adopt -f SPEC");
        return Some(Hold::new(HoldReason::RecordsDamaged, message));
    }
    if history.identity_missing {
        let message = format!("{} was bound before, and .hygiene/identity is gone", policy.root.display());
        return hold(HoldReason::IdentityMissing, message);
    }
    let bound = history.identity.as_ref()?;
    let now = identity_now(policy, seen, bound)?;
    if bound.owner != now.owner {
        let message = format!("the volume is cleaned by {}, and this is {}", bound.owner, now.owner);
        return hold(HoldReason::OwnedByAnother, message);
    }
    // A volume that was bound before its spec named a file system takes the id over; see the sweep.
    if bound.efs.is_some() && bound.efs != now.efs {
        let named = |efs: &Option<String>| efs.clone().unwrap_or_default();
        let message =
            format!("spec.volume.efs names {}, and the volume was bound to {}", named(&now.efs), named(&bound.efs));
        return hold(HoldReason::FileSystemChanged, message);
    }
    if bound.root != now.root {
        let message = format!(
            "the root is inode {}, and inode {} was bound: this is a copy, or another directory is mounted here",
            now.root, bound.root
        );
        return hold(HoldReason::RootReplaced, message);
    }
    if bound.database != now.database {
        let message = format!("the sessions are in {}, and the volume was bound to {}", now.database, bound.database);
        return hold(HoldReason::DatabaseChanged, message);
    }
    let sessions = seen.sessions.complete()?;
    // A position that is not told any more is before every other.
    if let Some(before) = history.position
        && sessions.position < Some(before)
    {
        let now = sessions.position.map_or("none".to_owned(), |now| now.to_string());
        let message = format!(
            "the database is at position {now} and was at {before}: this is an older copy of it, or it was restored from a \
             backup"
        );
        return hold(HoldReason::DatabaseWentBack, message);
    }
    // Before anything was ever deleted on its strength a spec may still be found by trying.
    if bound.query != now.query && (history.bound || policy.mode == Mode::Enforce) {
        let message = "workspaces.pattern or sessions.liveQuery changed since the volume was bound".to_owned();
        return hold(HoldReason::QueryChanged, message);
    }
    None
}

/// What must come before the first deletion: a volume that shows itself to be the right one, and a spec that an earlier
/// sweep already planned with.
pub(super) fn not_yet(policy: &Policy, seen: &Snapshot, tally: &Tally) -> Option<Hold> {
    if policy.mode == Mode::Report {
        return None;
    }
    let history = seen.history.complete()?;
    if !history.bound && tally.live == 0 {
        let message = "no live session has its workspace below the root, so nothing shows that this is the right volume; \
                       correct volume.path, workspaces.pattern or sessions.liveQuery";
        return Some(Hold::new(HoldReason::NoLiveWorkspace, message));
    }
    if history.spec.as_ref().is_some_and(|spec| *spec != policy.digests.evidence) {
        let message = "volume, workspaces, sessions or containers of the spec changed, so this sweep only plans; look at \
                       the plan: the next sweep acts on it";
        return Some(Hold::new(HoldReason::SpecChanged, message));
    }
    None
}

/// Where another volume of ours was met inside a workspace.
pub(super) fn nested(seen: &Snapshot) -> Option<String> {
    let entries = &seen.volume.complete()?.entries;
    let below_root = seen.inspections.iter().find_map(|(index, inspection)| match &inspection.outcome {
        WalkOutcome::ForeignIdentity { path } => Some(format!("{}/{path}", entries.get(*index)?.name)),
        _ => None,
    });
    below_root.or_else(|| {
        seen.second_walks.iter().find_map(|(id, walk)| match &walk.outcome {
            WalkOutcome::ForeignIdentity { path } => Some(format!("{path} of the quarantine entry {id}")),
            _ => None,
        })
    })
}
