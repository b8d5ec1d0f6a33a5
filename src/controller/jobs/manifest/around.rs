//! What a Job needs around it: the spec, and who its pods are.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use serde_json::json;

use super::{Recipe, metadata, names};
use crate::api;

const RBAC: &str = "rbac.authorization.k8s.io";
/// The key of the spec in its ConfigMap, and its file in the pod.
pub(super) const SPEC: &str = "resource.json";

/// The ConfigMap with the resource's spec. Another spec has another name, and this one never changes.
pub(crate) fn config_map(recipe: &Recipe<'_>) -> ConfigMap {
    let content = content(recipe);
    ConfigMap {
        metadata: metadata::of(recipe, names::config_map(recipe.name(), &content), None),
        immutable: Some(true),
        data: Some(BTreeMap::from([(SPEC.into(), content)])),
        ..ConfigMap::default()
    }
}

/// The resource as a spec file: nothing of it that changes without its spec.
pub(super) fn content(recipe: &Recipe<'_>) -> String {
    let metadata = json!({"name": recipe.name(), "namespace": recipe.namespace()});
    let spec = &recipe.resource.spec;
    let resource = json!({"apiVersion": api::API_VERSION, "kind": api::KIND, "metadata": metadata, "spec": spec});
    format!("{resource:#}\n")
}

/// The ServiceAccount of the pods; `None` where the spec names one.
pub(crate) fn service_account(recipe: &Recipe<'_>) -> Option<ServiceAccount> {
    let named = recipe.resource.spec.job.as_ref().is_some_and(|job| job.service_account_name.is_some());
    (!named).then(|| ServiceAccount {
        metadata: metadata::of(recipe, names::own(recipe.name()), None),
        // The pods that need its token say so.
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    })
}

/// Lets the pods ask whether their orders stand.
pub(crate) fn role(recipe: &Recipe<'_>) -> Role {
    let rule = PolicyRule {
        api_groups: Some(vec![api::GROUP.into()]),
        resources: Some(vec!["workspacehygienes".into()]),
        resource_names: Some(vec![recipe.name().into()]),
        verbs: vec!["get".into()],
        ..PolicyRule::default()
    };
    Role { metadata: metadata::of(recipe, names::own(recipe.name()), None), rules: Some(vec![rule]) }
}

/// Gives the pods that Role, and what they may read of their namespace.
pub(crate) fn role_bindings(recipe: &Recipe<'_>) -> Vec<RoleBinding> {
    let (own, reader) = (names::own(recipe.name()), names::reader(recipe.name()));
    let roles = [("Role", own.clone(), own), ("ClusterRole", recipe.operator.reader.clone(), reader)];
    let binding = |(kind, role, name): (&str, String, String)| RoleBinding {
        metadata: metadata::of(recipe, name, None),
        role_ref: RoleRef { api_group: RBAC.into(), kind: kind.into(), name: role },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".into(),
            name: recipe.account(),
            namespace: Some(recipe.namespace().into()),
            ..Subject::default()
        }]),
    };
    roles.into_iter().map(binding).collect()
}
