//! What bytes cost in a month, and what status says of the volume they are on.

use super::figures;
use super::status::cut;
use crate::api::{EfsStatus, VolumeStatus, human_size};
use crate::observe::{EfsFacts, Mounted};
use crate::policy::Policy;
use crate::sweep::Swept;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Bytes of one GiB, which EFS is priced by.
const GIB: u128 = 1 << 30;
/// Longest message, in bytes: what the schema allows.
const LONGEST_MESSAGE: usize = 256;

/// What so many bytes cost in a month, with two decimals; `None` where the spec names no price.
pub(super) fn monthly(policy: &Policy, bytes: u64) -> Option<String> {
    let micros = policy.efs.as_ref()?.micros_per_gib_month?;
    // Below 2^64 times 10^12: no product overflows. Half a hundredth is rounded up.
    let hundredths = (u128::from(bytes) * u128::from(micros) / 10_000 + GIB / 2) / GIB;
    Some(format!("{}.{:02}", hundredths / 100, hundredths % 100))
}

/// The volume as a sweep found it; `None` where nothing is known of it.
pub(super) fn volume(policy: &Policy, swept: &Swept) -> Option<VolumeStatus> {
    let seen = &swept.observed.snapshot;
    let identity = seen.history.complete().and_then(|history| history.identity.as_ref());
    let efs = seen.efs.as_ref().and_then(|efs| efs.complete());
    if identity.is_none() && efs.is_none() {
        return None;
    }
    let total = efs.map(|efs| efs.system.size.total);
    Some(VolumeStatus {
        identity: identity.map(|identity| cut(&identity.id, 64)),
        verified_time: identity.map(|_| Time(swept.observed.plan.now)),
        size: total.map(human_size),
        monthly_cost: total.and_then(|total| monthly(policy, total)),
        efs: efs.map(status),
    })
}

fn status(efs: &EfsFacts) -> EfsStatus {
    let verified_by = match efs.mounted {
        Mounted::ByTarget(_) => "MountTarget",
        Mounted::ByHelper => "MountHelper",
        Mounted::Unknown(_) => "IdentityFile",
        Mounted::Another(_) => "Nothing",
    };
    let size = &efs.system.size;
    EfsStatus {
        file_system_id: cut(&efs.system.id, 64),
        verified_by: verified_by.into(),
        message: Some(cut(&figures::file_system(efs), LONGEST_MESSAGE)),
        standard: Some(human_size(size.standard)),
        infrequent_access: Some(human_size(size.infrequent_access)),
        archive: Some(human_size(size.archive)),
    }
}
