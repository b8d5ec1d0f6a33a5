//! The EFS file system that the spec names: whether it is sound and no copy, how large it is, and whether it is what is
//! mounted below the root. An answer that is not whole is none.

mod calls;
mod mount;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

pub use mount::{Mount, State, mount_of};

use super::Reading;
use super::aws::Aws;
use crate::policy::EfsPolicy;
use crate::report::text::length;

/// Longest time for all calls of a look.
const LOOK: Duration = Duration::from_secs(25);

/// The EFS file system that a policy names.
#[derive(Debug)]
pub struct Efs {
    policy: EfsPolicy,
    aws: Aws,
}

/// What AWS says of a file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSystem {
    /// Its id.
    pub id: String,
    /// Its size.
    pub size: Sizes,
    /// The file system it is a read-only copy of.
    pub replica_of: Option<String>,
    /// Addresses of its mount targets.
    pub addresses: BTreeSet<IpAddr>,
    /// Ids of its access points.
    pub access_points: BTreeSet<String>,
}

/// Metered size by storage class, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// All classes together.
    pub total: u64,
    /// Standard.
    pub standard: u64,
    /// Infrequent access.
    pub infrequent_access: u64,
    /// Archive.
    pub archive: u64,
}

/// What is known of the file system, and of what is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EfsFacts {
    /// What AWS says.
    pub system: FileSystem,
    /// Whether it is what is mounted below the root.
    pub mounted: Mounted,
}

/// Whether a file system is what is mounted below the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mounted {
    /// It is: the server's address is that of one of its mount targets.
    ByTarget(IpAddr),
    /// It is: the mount helper, through whose TLS proxy it is mounted, says so.
    ByHelper,
    /// Nothing tells, and why. Then the identity file alone says whether this is the right volume.
    Unknown(String),
    /// It is not: something else is mounted.
    Another(String),
}

impl Efs {
    /// The file system that `policy` names.
    pub fn new(policy: EfsPolicy, aws: Aws) -> Self {
        Self { policy, aws }
    }

    /// What AWS says of it, held against what is mounted.
    pub async fn look(&self, mount: Result<Mount, String>) -> Reading<EfsFacts> {
        let late = || Err(format!("EFS gave no whole answer within {}", length(LOOK)));
        let system = tokio::time::timeout(LOOK, self.describe()).await.unwrap_or_else(|_| late());
        let facts = system.map(|system| {
            let mounted = match mount {
                Ok(mount) => mount::judge(&mount, &system),
                Err(why) => Mounted::Unknown(why),
            };
            EfsFacts { system, mounted }
        });
        facts.into()
    }
}
