//! The names of what is made. They follow from the resource, so that what was made before is found again, and no two resources
//! of a namespace have one in common: a resource's name has at most 40 characters, and may have dots.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::Work;
use crate::names::hex;

/// The name of the ServiceAccount, of its Role, and of the RoleBinding of the two. What is applied under it is ours from then on,
/// so it is one that nobody else gives: with `hygiene-{resource}` a resource `workspace-hygiene` would have the ServiceAccount of
/// the release `hygiene` of the chart.
pub(super) fn own(resource: &str) -> String {
    format!("hygiene-sweeper.{resource}")
}

/// The name of the RoleBinding that lets the ServiceAccount read evidence. A RoleBinding's name may have a colon and a
/// resource's may not; with a dash it would also be what [`own`] gives for a resource `x-reader`.
pub(super) fn reader(resource: &str) -> String {
    format!("{}:reader", own(resource))
}

/// The name of the ConfigMap with this content. Another content under the same name would be swept by for what it is not, so
/// the hash has all the room that 63 characters leave: that one of 56 bits happens to come again is out of the question.
pub(super) fn config_map(resource: &str, content: &str) -> String {
    let hash = Sha256::digest(content.as_bytes());
    format!("hygiene-{resource}-{}", hex(&hash[..7]))
}

/// The name of a Job. That of an Indexed one, a dash and an index of two digits make the name of a host, which has no dots and
/// at most 63 characters: 8 + 40 + 1 + 8 + 2 + 3 are 62. Resources that differ in a dot alone differ in their marks.
pub(super) fn job(resource: &str, work: &Work<'_>, mark: &str) -> String {
    let kind = match work {
        Work::Sweep => "",
        Work::Look => "-l",
        Work::Purge { .. } => "-p",
        Work::Command(_) => "-c",
    };
    format!("hygiene-{}-{mark}{kind}", resource.replace('.', "-"))
}

/// What tells the Jobs of one resource apart, in 8 hexadecimal digits: the same for the same object, generation and time at
/// which the work was due, so that nothing is begun twice.
pub(crate) fn mark(uid: &str, generation: i64, due: Timestamp) -> String {
    let mut hash = Sha256::new();
    hash.update((uid.len() as u64).to_be_bytes());
    hash.update(uid);
    hash.update(generation.to_be_bytes());
    hash.update(due.as_nanosecond().to_be_bytes());
    hex(&hash.finalize()[..4])
}
