//! The plan's hash: equal for two plans exactly when a person who read one of them has read the other.

use sha2::{Digest, Sha256};

use super::hold::HoldReason;
use crate::names::{PlanHash, hex};
use crate::observe::{DirectoryFacts, Entry};
use crate::policy::Policy;

/// Hashes the resource, the volume, the breaker and every orphan (name, inode, ctime), the orphans in name order. The
/// time of day is no part of it.
pub(super) fn plan_hash<'a>(
    policy: &Policy,
    volume: &str,
    breaker: Option<HoldReason>,
    orphans: impl Iterator<Item = (&'a Entry, &'a DirectoryFacts)>,
) -> PlanHash {
    let mut sha = Sha256::new();
    // Every field is preceded by its length, so that no two lists of fields run together to the same bytes.
    let mut field = |bytes: &[u8]| {
        sha.update((bytes.len() as u64).to_be_bytes());
        sha.update(bytes);
    };
    field(policy.resource.namespace.as_bytes());
    field(policy.resource.name.as_bytes());
    field(volume.as_bytes());
    // That the first plan waits for a person is no anomaly of the plan: what was read in mode Report is the same plan.
    let breaker = breaker.filter(|reason| reason.yields_to_approval() && *reason != HoldReason::AwaitsApproval);
    field(breaker.map_or("", HoldReason::word).as_bytes());
    for (entry, root) in orphans {
        field(entry.name.as_os_str().as_encoded_bytes());
        field(&root.inode.to_be_bytes());
        field(&root.changed.as_nanosecond().to_be_bytes());
    }
    // Half of it is enough to tell plans apart, and short enough to be typed.
    let digest: [u8; 32] = sha.finalize().into();
    let (half, _) = digest.split_at(16);
    PlanHash::new(hex(half))
}
