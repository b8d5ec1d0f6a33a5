//! Parts of the resource that this version does not bring to life. Ignoring one could delete what it was meant to keep,
//! so each is refused by name.

use super::faults::Faults;
use crate::api::WorkspaceHygieneSpec;

/// One fault for each part in use that this version does not support.
pub(super) fn refuse(spec: &WorkspaceHygieneSpec, faults: &mut Faults) {
    let shards = spec.limits.purge.shards;
    if shards > 1 {
        let message = "purging in several shards is not supported by this version of hygiene; use 1";
        faults.add("spec.limits.purge.shards", shards, message);
    }
}
