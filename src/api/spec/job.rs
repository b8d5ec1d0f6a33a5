//! `spec.job`.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::api::forms;

/// How the Jobs that sweep a persistentVolumeClaim are made.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobSpec {
    /// ServiceAccount of the Jobs' pods, in the resource's own namespace. The namespace's default one if nothing is
    /// said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = forms::OBJECT_NAME.pattern))]
    pub service_account_name: Option<String>,
    /// Finished Jobs that are kept, from 0 to 20. The default is 1.
    #[serde(default = "default_history")]
    #[schemars(range(max = 20))]
    pub successful_jobs_history_limit: u32,
    /// Failed Jobs that are kept, from 0 to 20. The default is 1.
    #[serde(default = "default_history")]
    #[schemars(range(max = 20))]
    pub failed_jobs_history_limit: u32,
    /// Where and how the Jobs' pods run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<JobTemplate>,
}

fn default_history() -> u32 {
    1
}

/// Where and how the Jobs' pods run.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobTemplate {
    /// Compute resources of the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourcesSpec>,
    /// Labels of the nodes the pods may run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "node_selector_schema")]
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Taints the pods tolerate.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub tolerations: Option<Vec<TolerationSpec>>,
    /// PriorityClass of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = forms::OBJECT_NAME.pattern))]
    pub priority_class_name: Option<String>,
    /// Secrets to pull the image with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub image_pull_secrets: Option<Vec<LocalReference>>,
    /// Users and groups of the pods. There is no fsGroup here: it renews the status-change time of every file, and with
    /// it the age of every workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_context: Option<PodSecurity>,
}

fn node_selector_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": { "type": "string", "maxLength": 63, "pattern": forms::LABEL_VALUE.pattern },
    })
}

/// Compute resources.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourcesSpec {
    /// What is reserved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<ResourceAmounts>,
    /// What is allowed at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<ResourceAmounts>,
}

/// Amounts of compute resources, as texts.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceAmounts {
    /// Processors, such as "500m".
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), regex(pattern = forms::RESOURCE_AMOUNT.pattern))]
    pub cpu: Option<String>,
    /// Bytes of memory, such as "256Mi".
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), regex(pattern = forms::RESOURCE_AMOUNT.pattern))]
    pub memory: Option<String>,
    /// Bytes of local disk, such as "1Gi".
    #[serde(rename = "ephemeral-storage", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), regex(pattern = forms::RESOURCE_AMOUNT.pattern))]
    pub ephemeral_storage: Option<String>,
}

/// A taint that is tolerated.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TolerationSpec {
    /// Key of the taint; every taint if nothing is said and the operator is Exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317), regex(pattern = forms::LABEL_KEY.pattern))]
    pub key: Option<String>,
    /// Equal (the default) compares the value, Exists takes any.
    #[serde(default)]
    pub operator: TolerationOperator,
    /// Value of the taint.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = forms::LABEL_VALUE.pattern))]
    pub value: Option<String>,
    /// Effect of the taint; every effect if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
    /// Seconds a NoExecute taint is tolerated; for ever if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub toleration_seconds: Option<i64>,
}

/// How a taint's value is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TolerationOperator {
    /// The value must be the same.
    #[default]
    Equal,
    /// Any value.
    Exists,
}

/// What a taint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// New pods do not start there.
    NoSchedule,
    /// New pods start there only if nothing else is left.
    PreferNoSchedule,
    /// Running pods are evicted.
    NoExecute,
}

/// An object of the resource's own namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalReference {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253), regex(pattern = forms::OBJECT_NAME.pattern))]
    pub name: String,
}

/// Users and groups of the pods.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSecurity {
    /// User id of the process. It must be able to rename and remove what is in the workspaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_294_i64))]
    pub run_as_user: Option<i64>,
    /// Group id of the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_294_i64))]
    pub run_as_group: Option<i64>,
    /// True refuses to start as root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_as_non_root: Option<bool>,
    /// Further group ids of the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), inner(range(min = 0, max = 4_294_967_294_i64)))]
    pub supplemental_groups: Option<Vec<i64>>,
}
