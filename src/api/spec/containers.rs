//! `spec.containers`.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::api::forms;
use crate::api::text::DurationString;

/// Which containers serve and use the workspaces.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("has(self.kubernetes) || has(self.ecs) || has(self.http)")
        .message("give at least one of kubernetes, ecs and http")
)]
#[serde(rename_all = "camelCase")]
pub struct ContainersSpec {
    /// Pods of the resource's own namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesSpec>,
    /// Tasks of an ECS cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecs: Option<EcsSpec>,
    /// A health endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSpec>,
    /// How long everything must have been healthy before anything is touched. The default is 90s.
    #[serde(default = "default_settle")]
    pub settle: DurationString,
    /// What to do while there is no serving container at all. Hold (the default) deletes nothing; Proceed takes it for
    /// a service that is meant to be down. Of an ECS service that is so while its desiredCount is 0. A health endpoint
    /// never says so: one that does not answer is unhealthy.
    #[serde(default)]
    pub when_absent: WhenAbsent,
}

fn default_settle() -> DurationString {
    "90s".into()
}

/// What to do while there is no serving container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WhenAbsent {
    /// Delete nothing.
    #[default]
    Hold,
    /// Go on.
    Proceed,
}

/// Pods of the resource's own namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("has(self.serving) || has(self.claims)").message("give at least one of serving and claims")
)]
#[serde(rename_all = "camelCase")]
pub struct KubernetesSpec {
    /// Pods that serve sessions. Nothing is deleted while one of them is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving: Option<PodsServing>,
    /// Pods that use a workspace each. The workspace of a running one is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims: Option<PodsClaiming>,
}

/// Pods that serve sessions.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodsServing {
    /// Labels of these pods.
    pub selector: PodSelector,
}

/// Pods that use a workspace each.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodsClaiming {
    /// Labels of these pods.
    pub selector: PodSelector,
    /// Where a pod says which session it runs. A pod that does not say makes the claims unreadable, and nothing is
    /// deleted.
    pub session_from: SessionFrom,
}

/// Labels of pods; all of them must match.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("has(self.matchLabels) || has(self.matchExpressions)")
        .message("give matchLabels or matchExpressions; an empty selector would match every pod of the namespace")
)]
#[serde(rename_all = "camelCase")]
pub struct PodSelector {
    /// Labels with the values they must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "match_labels_schema")]
    pub match_labels: Option<BTreeMap<String, String>>,
    /// Requirements on labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    pub match_expressions: Option<Vec<SelectorRequirement>>,
}

fn match_labels_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": 16,
        "additionalProperties": { "type": "string", "maxLength": 63, "pattern": forms::LABEL_VALUE.pattern },
    })
}

/// A requirement on one label.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SelectorRequirement {
    /// Key of the label.
    #[schemars(length(min = 1, max = 317), regex(pattern = forms::LABEL_KEY.pattern))]
    pub key: String,
    /// In and NotIn compare with values; Exists and DoesNotExist take none.
    pub operator: SelectorOperator,
    /// Values to compare with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), inner(length(max = 63), regex(pattern = forms::LABEL_VALUE.pattern)))]
    pub values: Option<Vec<String>>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SelectorOperator {
    /// The label has one of the values.
    In,
    /// The label has none of the values, or is missing.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is missing.
    DoesNotExist,
}

/// Where a pod says which session it runs.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new(
        "(has(self.label) ? 1 : 0) + (has(self.annotation) ? 1 : 0) + (has(self.subPathOfVolume) ? 1 : 0) == 1"
    )
    .message("give exactly one of label, annotation and subPathOfVolume")
)]
#[serde(rename_all = "camelCase")]
pub struct SessionFrom {
    /// Key of a label whose value is the session id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317), regex(pattern = forms::LABEL_KEY.pattern))]
    pub label: Option<String>,
    /// Key of an annotation whose value is the session id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317), regex(pattern = forms::LABEL_KEY.pattern))]
    pub annotation: Option<String>,
    /// Name of the pod's volume whose mounted sub-path is the workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = forms::LABEL_NAME.pattern))]
    pub sub_path_of_volume: Option<String>,
}

/// Tasks of an ECS cluster.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("has(self.serving) || has(self.claims)").message("give at least one of serving and claims")
)]
#[serde(rename_all = "camelCase")]
pub struct EcsSpec {
    /// Name of the ECS cluster.
    #[schemars(length(min = 1, max = 255), regex(pattern = forms::ECS_NAME.pattern))]
    pub cluster: String,
    /// AWS region of the cluster.
    #[schemars(length(max = 32), regex(pattern = forms::REGION.pattern))]
    pub region: String,
    /// The service that serves sessions. Nothing is deleted while one of its tasks is not healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving: Option<EcsServing>,
    /// Tasks that use a workspace each. The workspace of a running one is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims: Option<EcsClaiming>,
}

/// The ECS service that serves sessions.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EcsServing {
    /// Name of the ECS service.
    #[schemars(length(min = 1, max = 255), regex(pattern = forms::ECS_NAME.pattern))]
    pub service: String,
}

/// ECS tasks that use a workspace each.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("has(self.family) != has(self.service)").message("give exactly one of family and service"))]
#[serde(rename_all = "camelCase")]
pub struct EcsClaiming {
    /// Family of their task definition.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = forms::ECS_NAME.pattern))]
    pub family: Option<String>,
    /// Name of the ECS service they belong to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = forms::ECS_NAME.pattern))]
    pub service: Option<String>,
    /// Key of the tag whose value is the session id. A task without it makes the claims unreadable, and nothing is
    /// deleted.
    #[schemars(length(min = 1, max = 128), regex(pattern = forms::TAG_KEY.pattern))]
    pub session_tag: String,
}

/// A health endpoint.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpSpec {
    /// Address that answers 2xx while the service is healthy. Redirects are not followed.
    #[schemars(length(min = 1, max = 1024), regex(pattern = forms::HTTP_URL.pattern))]
    pub url: String,
    /// Time after which a missing answer counts as unhealthy, 10s at most. The default is 5s.
    #[serde(default = "default_http_timeout")]
    pub timeout: DurationString,
    /// Longest event_loop_lag_ms in a JSON answer that still counts as healthy. Not looked at if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_event_loop_lag: Option<DurationString>,
}

fn default_http_timeout() -> DurationString {
    "5s".into()
}
