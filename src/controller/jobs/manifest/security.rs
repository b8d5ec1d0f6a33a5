//! What pods may do and use: as little as the restricted Pod Security Standard asks for, but for what the spec says.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, PodSecurityContext, ResourceRequirements, SeccompProfile, SecurityContext,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::Recipe;
use crate::api::{PodSecurity, ResourceAmounts, ResourcesSpec};

/// User and group of the image.
const USER: i64 = 65_532;
const ROOT: i64 = 0;

/// The users and groups of a pod. Never fsGroup: its recursive chown renews the status-change time of every file.
pub(super) fn of_pod(recipe: &Recipe<'_>) -> PodSecurityContext {
    let said = security(recipe);
    PodSecurityContext {
        run_as_user: Some(user(&said)),
        // A user of its own has the group that the container runtime gives it.
        run_as_group: said.run_as_group.or_else(|| said.run_as_user.is_none().then_some(USER)),
        // A spec that says root and not root is for the kubelet to refuse.
        run_as_non_root: Some(user(&said) != ROOT || said.run_as_non_root == Some(true)),
        supplemental_groups: said.supplemental_groups.clone(),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), ..SeccompProfile::default() }),
        ..PodSecurityContext::default()
    }
}

/// What the container may do.
pub(super) fn of_container(recipe: &Recipe<'_>) -> SecurityContext {
    // Root without these two is a user like any other: it could neither look into a private directory of somebody else
    // (DAC_OVERRIDE) nor move or remove what lies in a sticky one (FOWNER), and workspaces are other people's.
    let add = ["DAC_OVERRIDE", "FOWNER"].map(String::from).to_vec();
    let add = (user(&security(recipe)) == ROOT).then_some(add);
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { add, drop: Some(vec!["ALL".into()]) }),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    }
}

fn security(recipe: &Recipe<'_>) -> PodSecurity {
    recipe.template().and_then(|template| template.security_context.clone()).unwrap_or_default()
}

fn user(said: &PodSecurity) -> i64 {
    said.run_as_user.unwrap_or(USER)
}

/// What is reserved and allowed: of each resource what the spec says, or what is usual where it says nothing of it at all. To
/// mix the two could ask for more than is allowed.
pub(super) fn resources(recipe: &Recipe<'_>) -> ResourceRequirements {
    let said = recipe.template().and_then(|template| template.resources.as_ref());
    let usual =
        [("cpu", Some("100m"), None), ("memory", Some("64Mi"), Some("400Mi")), ("ephemeral-storage", None, None)];
    let (mut requests, mut limits) = (BTreeMap::new(), BTreeMap::new());
    for (resource, request, limit) in usual {
        let (request, limit) = match said.map(|said| of_resource(said, resource)) {
            None | Some((None, None)) => (request, limit),
            Some(said) => said,
        };
        requests.extend(request.map(|amount| (resource.to_owned(), Quantity(amount.into()))));
        limits.extend(limit.map(|amount| (resource.to_owned(), Quantity(amount.into()))));
    }
    ResourceRequirements { requests: Some(requests), limits: Some(limits), ..ResourceRequirements::default() }
}

/// What a spec reserves and allows of a resource.
fn of_resource<'a>(said: &'a ResourcesSpec, resource: &str) -> (Option<&'a str>, Option<&'a str>) {
    let amount = |amounts: &'a ResourceAmounts| match resource {
        "cpu" => amounts.cpu.as_deref(),
        "memory" => amounts.memory.as_deref(),
        _ => amounts.ephemeral_storage.as_deref(),
    };
    (said.requests.as_ref().and_then(amount), said.limits.as_ref().and_then(amount))
}
