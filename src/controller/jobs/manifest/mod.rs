//! The objects that are made for a resource: a ConfigMap with its spec, a ServiceAccount that may look at it, and Jobs. They
//! follow from the resource and the operator alone, and no value of a Secret is in any of them.

mod around;
mod job;
mod keys;
mod metadata;
mod names;
mod pod;
mod security;
#[cfg(test)]
mod tests;

use crate::api::{ClaimVolumeSpec, JobTemplate, Mode, WorkspaceHygiene};
pub(crate) use around::{config_map, role, role_bindings, service_account};
pub(crate) use job::job;
pub(crate) use metadata::{GENERATION, RESOURCE, WORK};
pub(crate) use names::mark;
pub(crate) use pod::{CONTAINER, VOLUME};

/// What objects are made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipe<'a> {
    /// The resource as its API server holds it, with all defaults filled in. It names a claim; what is made for one that does
    /// not is refused by every API server.
    pub(crate) resource: &'a WorkspaceHygiene,
    /// What is the same for all resources.
    pub(crate) operator: &'a Operator,
}

/// What is the same for all resources.
#[derive(Clone, Debug)]
pub struct Operator {
    /// The image of the pods, whose entry point is this program.
    pub image: String,
    /// `Always`, `IfNotPresent` or `Never`.
    pub pull_policy: String,
    /// The cluster's name: `--cluster`.
    pub cluster: String,
    /// Namespace and name of the lease whose holder may let pods work.
    pub lease: Option<(String, String)>,
    /// Whether `--unsafe-short-times` holds for the pods too.
    pub short_times: bool,
    /// What the pods log, if not what they usually do.
    pub log_level: Option<String>,
    /// The ClusterRole that lets pods read what may be evidence in their namespace.
    pub reader: String,
    /// The port of the pods' own page, metrics and status.
    pub listen_port: u16,
}

/// What a Job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work<'a> {
    /// One sweep.
    Sweep,
    /// One look, which changes nothing.
    Look,
    /// Removes what a sweep condemned.
    Purge {
        /// Pods that share the work.
        shards: u32,
    },
    /// Runs a command of this program, with the resource as its spec.
    Command(&'a [String]),
}

impl Work<'_> {
    /// The value of the label `hygiene.dev/work`.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::Look => "look",
            Self::Purge { .. } => "purge",
            Self::Command(_) => "command",
        }
    }
}

impl Recipe<'_> {
    fn name(&self) -> &str {
        self.resource.metadata.name.as_deref().unwrap_or_default()
    }

    fn namespace(&self) -> &str {
        self.resource.metadata.namespace.as_deref().unwrap_or(crate::api::DEFAULT_NAMESPACE)
    }

    fn uid(&self) -> &str {
        self.resource.metadata.uid.as_deref().unwrap_or_default()
    }

    fn generation(&self) -> i64 {
        self.resource.metadata.generation.unwrap_or_default()
    }

    fn claim(&self) -> Option<&ClaimVolumeSpec> {
        self.resource.spec.volume.persistent_volume_claim.as_ref()
    }

    fn template(&self) -> Option<&JobTemplate> {
        self.resource.spec.job.as_ref()?.template.as_ref()
    }

    /// Whether its pods may write to the volume.
    fn writes(&self) -> bool {
        self.resource.spec.mode == Mode::Enforce
    }

    /// The ServiceAccount of the pods: the one that the spec names, or the one that is made.
    fn account(&self) -> String {
        let named = self.resource.spec.job.as_ref().and_then(|job| job.service_account_name.clone());
        named.unwrap_or_else(|| names::own(self.name()))
    }
}
