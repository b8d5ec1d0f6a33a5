//! `spec.volume`.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::api::forms;
use crate::api::text::PriceString;

/// The volume with the workspaces.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("has(self.path) != has(self.persistentVolumeClaim)")
        .message("give exactly one of path and persistentVolumeClaim")
)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSpec {
    /// Absolute path of the directory whose children are the workspaces, as the operator sees it: without . or .., and
    /// below a root the operator was started with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), regex(pattern = forms::ABSOLUTE_PATH.pattern))]
    pub path: Option<String>,
    /// A claim in the resource's own namespace, instead of path. It is swept by Jobs that mount it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<ClaimVolumeSpec>,
    /// The EFS file system behind the volume: cross-checked with what is mounted, and used to tell what orphans cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub efs: Option<EfsSpec>,
}

/// A persistent volume claim.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimVolumeSpec {
    /// Name of the PersistentVolumeClaim.
    #[schemars(length(min = 1, max = 253), regex(pattern = forms::OBJECT_NAME.pattern))]
    pub claim_name: String,
    /// Directory on the claim whose children are the workspaces, relative, without . and .. as components. The claim's
    /// root if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = forms::RELATIVE_PATH.pattern))]
    pub sub_path: Option<String>,
}

/// An EFS file system.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EfsSpec {
    /// Id of the file system. Nothing is deleted while another one is mounted.
    #[serde(rename = "fileSystemID")]
    #[schemars(length(max = 43), regex(pattern = forms::FILE_SYSTEM_ID.pattern))]
    pub file_system_id: String,
    /// AWS region of the file system.
    #[schemars(length(max = 32), regex(pattern = forms::REGION.pattern))]
    pub region: String,
    /// Price of one GiB for one month, a decimal number in quotes without a currency. Turns sizes into costs in status;
    /// without it no cost is shown.
    #[serde(rename = "pricePerGiBMonth", skip_serializing_if = "Option::is_none")]
    pub price_per_gib_month: Option<PriceString>,
}
