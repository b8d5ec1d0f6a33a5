//! Which sessions pods claim: by a label, by an annotation, or by what they mount.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus, VolumeMount};

use super::stops;
use crate::names::{EntryName, SessionId};
use crate::observe::IdSet;
use crate::policy::{NamePattern, PodSession};

/// The ids that one pod claims; none where it cannot write any more.
///
/// # Errors
/// When the pod does not say which session is its own: it could be any.
pub(super) fn claim(pod: &Pod, session: &PodSession) -> Result<Vec<SessionId>, String> {
    if pod.status.as_ref().is_some_and(is_over) {
        return Ok(Vec::new());
    }
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let value = |kind: &str, values: &Option<BTreeMap<String, String>>, key: &String| {
        let value = values.as_ref().and_then(|values| values.get(key)).ok_or_else(|| {
            format!(
                "pod {name} has no {kind} {key}, so which session is its own is not known: give its pods one, delete the pod, or \
                 let the selector leave it out"
            )
        })?;
        let id = SessionId::new(value);
        if id.is_usable() {
            Ok(vec![id])
        } else {
            Err(format!(
                "the {kind} {key} of pod {name} cannot be the name of a directory: write the session id into it"
            ))
        }
    };
    match session {
        PodSession::Label(key) => value("label", &pod.metadata.labels, key),
        PodSession::Annotation(key) => value("annotation", &pod.metadata.annotations, key),
        PodSession::SubPath { volume, pattern } => mounted(name, pod, volume, pattern),
    }
}

/// The claims of all pods together.
///
/// # Errors
/// That of the first pod that does not say.
pub(super) fn ids(claims: Vec<Result<Vec<SessionId>, String>>) -> Result<IdSet, String> {
    let mut ids = IdSet::default();
    for claim in claims {
        claim?.iter().for_each(|id| ids.insert(id));
    }
    Ok(ids.finish())
}

/// Whether no container of the pod can write any more. The kubelet says so by the phase; of a pod whose node was lost
/// somebody else does, who cannot know.
pub(super) fn is_over(status: &PodStatus) -> bool {
    let is_done = |container: &ContainerStatus| container.state.as_ref().is_none_or(|state| state.running.is_none());
    let orphaned = status.conditions.iter().flatten().any(|condition| {
        condition.type_ == "DisruptionTarget" && condition.reason.as_deref() == Some("DeletionByPodGC")
    });
    matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"))
        && status.reason.as_deref() != Some("NodeLost")
        && !orphaned
        && stops::containers(status).chain(status.ephemeral_container_statuses.iter().flatten()).all(is_done)
}

/// The ids of the workspaces that are mounted of a volume.
fn mounted(name: &str, pod: &Pod, volume: &str, pattern: &NamePattern) -> Result<Vec<SessionId>, String> {
    let unread = |what: &str| {
        format!(
            "pod {name} {what} of its volume {volume}, so which session is its own is not known: mount one workspace by subPath, \
             delete the pod, or let the selector leave it out"
        )
    };
    let mounts: Vec<_> = mounts(pod).filter(|mount| mount.name == volume).collect();
    let mut ids = Vec::new();
    for mount in &mounts {
        if mount.sub_path_expr.as_ref().is_some_and(|path| !path.is_empty()) {
            return Err(unread("mounts a part that only its node knows (subPathExpr)"));
        }
        let Some(path) = mount.sub_path.as_ref().filter(|path| !path.is_empty()) else {
            return Err(unread("mounts the whole"));
        };
        // Whatever lies above or below the workspace: each component that could be one counts.
        ids.extend(path.split('/').filter_map(|part| pattern.session(&EntryName::new(part))));
    }
    if ids.is_empty() {
        return Err(unread("mounts no workspace"));
    }
    Ok(ids)
}

/// All mounts of all containers of a pod.
pub(super) fn mounts(pod: &Pod) -> impl Iterator<Item = &VolumeMount> {
    let spec = pod.spec.as_ref();
    let containers =
        spec.into_iter().flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    let added = spec.into_iter().flat_map(|spec| spec.ephemeral_containers.iter().flatten());
    let mounts = containers.flat_map(|container| container.volume_mounts.iter().flatten());
    mounts.chain(added.flat_map(|container| container.volume_mounts.iter().flatten()))
}
