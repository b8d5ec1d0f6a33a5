//! Pods that mount the claim with the workspaces: whatever they are for, they may be using one.

use std::path::Path;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Pod, Volume, VolumeDevice};
use kube::ResourceExt;
use kube::core::{Selector, SelectorExt};

use super::claims::{self, is_over, mounts};
use super::{CLAIMS, KubernetesApi, within};
use crate::api::{SWEEPER_CONTAINER, SWEEPER_LABEL};
use crate::names::{EntryName, SessionId};
use crate::observe::containers::{ContainerEvidence, Look};
use crate::observe::volume::HYGIENE;
use crate::observe::{Health, IdSet, Reading};
use crate::policy::{ClaimPolicy, KubernetesPolicy, NamePattern, Policy};

/// The pods of a namespace that mount a claim.
#[derive(Debug)]
pub struct Mounts {
    place: Place,
    namespace: String,
    api: KubernetesApi,
}

/// What decides what a mount says.
#[derive(Clone, Debug)]
struct Place {
    claim: ClaimPolicy,
    pattern: NamePattern,
    /// Pods that are accounted for otherwise.
    pods: Option<KubernetesPolicy>,
}

impl Mounts {
    /// The pods that mount the claim of `policy`; `None` where its volume is on none.
    pub fn of(policy: &Policy, api: KubernetesApi) -> Option<Self> {
        let claim = policy.claim.clone()?;
        let pods = policy.containers.as_ref().and_then(|containers| containers.kubernetes.clone());
        let place = Place { claim, pattern: policy.pattern.clone(), pods };
        Some(Self { place, namespace: policy.resource.namespace.clone(), api })
    }

    async fn mounted(&self) -> Result<IdSet, String> {
        claims::ids(self.api.list_pods(&self.namespace, &Selector::default(), |pod| self.place.claimed(pod)).await?)
    }
}

impl Place {
    /// The ids that one pod claims by what it mounts.
    ///
    /// # Errors
    /// When it reaches more than one workspace, and nothing says which is its own.
    fn claimed(&self, pod: &Pod) -> Result<Vec<SessionId>, String> {
        if pod.status.as_ref().is_some_and(is_over) {
            return Ok(Vec::new());
        }
        // What somebody added to it is not ours.
        let ours = is_ours(pod).then(|| without_sweeper(pod.clone()));
        let pod = ours.as_ref().unwrap_or(pod);
        let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        let volumes: Vec<_> = volumes.filter(|volume| self.is_of_claim(pod, volume)).map(|one| &one.name).collect();
        let mut ids = Vec::new();
        let mut reaches_more = devices(pod).any(|device| volumes.contains(&&device.name));
        for mount in mounts(pod).filter(|mount| volumes.contains(&&mount.name)) {
            let by_its_node = mount.sub_path_expr.as_ref().is_some_and(|path| !path.is_empty());
            match self.reached(mount.sub_path.as_deref().unwrap_or_default()) {
                _ if by_its_node => reaches_more = true,
                Reached::More => reaches_more = true,
                Reached::One(id) => ids.push(id),
                Reached::Nothing => {}
            }
        }
        if !reaches_more || self.serves(pod) {
            return Ok(ids);
        }
        ids.extend(self.claim_otherwise(pod).unwrap_or_else(|| {
            Err(format!(
                "pod {} mounts claim {} with more than one workspace, and which session is its own is not known: name it by \
                 spec.containers.kubernetes.serving.selector or claims.selector, mount one workspace by subPath, or end it",
                pod.name_any(),
                self.claim.name
            ))
        })?);
        Ok(ids)
    }

    fn is_of_claim(&self, pod: &Pod, volume: &Volume) -> bool {
        let named = volume.persistent_volume_claim.as_ref().map(|claim| claim.claim_name.clone());
        // What a template of the pod makes is called so.
        let made = volume.ephemeral.as_ref().map(|_| format!("{}-{}", pod.name_any(), volume.name));
        named.or(made).is_some_and(|name| name == self.claim.name)
    }

    fn reached(&self, sub_path: &str) -> Reached {
        let (root, mounted) = (Path::new(self.claim.sub_path.as_deref().unwrap_or("")), Path::new(sub_path));
        let (root, mounted) = (plain(root), plain(mounted));
        if root.starts_with(&mounted) {
            return Reached::More;
        }
        let Some(name) = mounted.strip_prefix(root.as_slice()).and_then(<[_]>::first) else { return Reached::Nothing };
        let name = EntryName::new(name);
        match self.pattern.session(&name) {
            Some(id) => Reached::One(id),
            // What is in there is ours, and more than one.
            None if name.as_str() == Some(HYGIENE) => Reached::More,
            None => Reached::Nothing,
        }
    }

    /// Whether the pod is one of the service: its sessions are in the database.
    fn serves(&self, pod: &Pod) -> bool {
        let serving = self.pods.as_ref().and_then(|pods| pods.serving.as_ref());
        serving.is_some_and(|serving| serving.matches(pod.labels()))
    }

    /// What it claims by label, annotation or volume, where it is one of the pods that do.
    fn claim_otherwise(&self, pod: &Pod) -> Option<Result<Vec<SessionId>, String>> {
        let claims = self.pods.as_ref()?.claims.as_ref()?;
        claims.selector.matches(pod.labels()).then(|| claims::claim(pod, &claims.session))
    }
}

/// What a mount reaches.
enum Reached {
    /// The root, what is above it, or our folder in it.
    More,
    /// One workspace, or a part of it.
    One(SessionId),
    /// No workspace.
    Nothing,
}

/// All volumes that containers of a pod have as devices.
fn devices(pod: &Pod) -> impl Iterator<Item = &VolumeDevice> {
    let devices = pod.spec.iter().flat_map(|spec| {
        let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        let added = spec.ephemeral_containers.iter().flatten().map(|added| &added.volume_devices);
        containers.map(|container| &container.volume_devices).chain(added)
    });
    devices.flatten().flatten()
}

fn plain(path: &Path) -> Vec<&str> {
    path.components().filter_map(|part| part.as_os_str().to_str()).filter(|part| *part != ".").collect()
}

/// Whether it is the pod of a Job of ours, which works by the lock on the volume.
fn is_ours(pod: &Pod) -> bool {
    pod.labels().get(SWEEPER_LABEL.0).is_some_and(|value| value == SWEEPER_LABEL.1)
        && pod.owner_references().iter().any(|owner| owner.kind == "Job" && owner.controller == Some(true))
}

fn without_sweeper(mut pod: Pod) -> Pod {
    if let Some(spec) = &mut pod.spec {
        spec.containers.retain(|container| container.name != SWEEPER_CONTAINER);
    }
    pod
}

#[async_trait]
impl ContainerEvidence for Mounts {
    async fn serving(&self, _: Look) -> Option<Reading<Health>> {
        None
    }

    async fn claims(&self) -> Option<Reading<IdSet>> {
        Some(within(CLAIMS, self.mounted()).await)
    }

    async fn is_claimed(&self, id: &SessionId) -> Option<Reading<bool>> {
        Some(match within(CLAIMS, self.mounted()).await {
            Reading::Complete(ids) => Reading::Complete(ids.contains(id) || ids.contains_canonical(id)),
            Reading::Unavailable(why) => Reading::Unavailable(why),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::policy::{PodClaims, PodSession, WhenAbsent};

    const ID: &str = "00000000-0000-4000-8000-000000000001";

    fn place(sub_path: Option<&str>) -> Place {
        let selector = |value: &str| [("app".to_owned(), value.to_owned())].into_iter().collect::<Selector>();
        let pods = KubernetesPolicy {
            namespace: "team".into(),
            serving: Some(selector("collab")),
            claims: Some(PodClaims { selector: selector("session"), session: PodSession::Label("session".into()) }),
            settle: Duration::ZERO,
            when_absent: WhenAbsent::Hold,
        };
        let claim = ClaimPolicy { name: "efs".into(), sub_path: sub_path.map(Into::into) };
        Place { claim, pattern: "^(?<session>[0-9a-f-]{36})$".parse().unwrap(), pods: Some(pods) }
    }

    /// A pod with these labels that mounts these parts of the claim.
    fn pod(labels: Value, sub_paths: &[Value]) -> Pod {
        let mounts: Vec<_> =
            sub_paths.iter().map(|path| json!({"name": "v", "mountPath": "/x", "subPath": path})).collect();
        let spec = json!({
            "metadata": {"name": "p", "labels": labels},
            "spec": {
                "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "efs"}},
                            {"name": "w", "persistentVolumeClaim": {"claimName": "other"}}],
                "containers": [{"name": "c", "volumeMounts": mounts}, {"name": "d", "volumeMounts": [{"name": "w", "mountPath": "/y"}]}],
            },
            "status": {"phase": "Running"},
        });
        serde_json::from_value(spec).unwrap()
    }

    fn ids(place: &Place, pod: &Pod) -> Result<Vec<String>, String> {
        Ok(place.claimed(pod)?.iter().map(|id| id.as_str().to_owned()).collect())
    }

    #[test]
    fn a_part_of_a_workspace_claims_it_and_what_lies_elsewhere_claims_nothing() {
        let below = format!("workspaces/{ID}");
        let deep = format!("workspaces/{ID}/src/x");
        let root = place(Some("workspaces"));
        for path in [&below, &deep] {
            assert_eq!(ids(&root, &pod(json!({}), &[json!(path)])), Ok(vec![ID.to_owned()]), "{path}");
        }
        for path in ["workspacesX", "other/dir", "workspaces/readme"] {
            assert_eq!(ids(&root, &pod(json!({}), &[json!(path)])), Ok(Vec::new()), "{path}");
        }
        assert_eq!(ids(&place(None), &pod(json!({}), &[json!(format!("{ID}/"))])), Ok(vec![ID.to_owned()]));
        assert_eq!(ids(&root, &pod(json!({}), &[])), Ok(Vec::new()), "a volume that nothing mounts");
    }

    #[test]
    fn whoever_reaches_more_than_one_workspace_must_be_accounted_for() {
        let root = place(Some("a/workspaces"));
        for path in [
            json!(null),
            json!(""),
            json!("a"),
            json!("a/workspaces"),
            json!("a/workspaces/"),
            json!("a/workspaces/.hygiene"),
        ] {
            let why = ids(&root, &pod(json!({}), std::slice::from_ref(&path))).unwrap_err();
            assert!(why.contains("pod p mounts claim efs"), "{path}: {why}");
            assert_eq!(
                ids(&root, &pod(json!({"app": "collab"}), std::slice::from_ref(&path))),
                Ok(Vec::new()),
                "it serves"
            );
            let claims = pod(json!({"app": "session", "session": ID}), std::slice::from_ref(&path));
            assert_eq!(ids(&root, &claims), Ok(vec![ID.to_owned()]));
            assert!(ids(&root, &pod(json!({"app": "session"}), &[path])).is_err(), "its claim cannot be read");
        }
        let mut expression = pod(json!({}), &[json!(null)]);
        expression.spec.as_mut().unwrap().containers[0].volume_mounts.as_mut().unwrap()[0].sub_path_expr =
            Some("other/$(NAME)".into());
        assert!(ids(&root, &expression).is_err());
        let mut alone = root.clone();
        alone.pods = None;
        assert!(ids(&alone, &pod(json!({"app": "collab"}), &[json!(null)])).is_err());
    }

    #[test]
    fn a_pod_of_our_own_jobs_claims_nothing_and_a_label_alone_makes_none() {
        let root = place(None);
        let labels = json!({"app.kubernetes.io/name": "workspace-hygiene-sweeper"});
        let mut ours = pod(labels, &[json!(null)]);
        assert!(root.claimed(&ours).is_err());
        ours.metadata.owner_references = serde_json::from_value(
            json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u", "controller": true}]),
        )
        .unwrap();
        assert!(root.claimed(&ours).is_err(), "a container that somebody added");
        ours.spec.as_mut().unwrap().containers[0].name = SWEEPER_CONTAINER.into();
        assert_eq!(ids(&root, &ours), Ok(Vec::new()));
    }

    #[test]
    fn what_is_over_claims_nothing_and_every_kind_of_container_and_volume_counts() {
        let root = place(None);
        let mut over = pod(json!({}), &[json!(null)]);
        over.status.as_mut().unwrap().phase = Some("Succeeded".into());
        assert_eq!(ids(&root, &over), Ok(Vec::new()));
        let mut init = pod(json!({}), &[json!(null)]);
        let spec = init.spec.as_mut().unwrap();
        spec.init_containers = Some(std::mem::take(&mut spec.containers));
        assert!(root.claimed(&init).is_err());
        let mut device = pod(json!({}), &[]);
        let spec = device.spec.as_mut().unwrap();
        spec.containers[0].volume_devices = Some(vec![VolumeDevice { name: "v".into(), device_path: "/dev/x".into() }]);
        spec.init_containers = Some(vec![spec.containers.remove(0)]);
        assert!(root.claimed(&device).is_err());
        let mut made = pod(json!({}), &[json!(null)]);
        let volume = &mut made.spec.as_mut().unwrap().volumes.as_mut().unwrap()[0];
        (volume.persistent_volume_claim, volume.ephemeral) = (None, Some(Default::default()));
        assert_eq!(ids(&root, &made), Ok(Vec::new()));
        let its_own = Place { claim: ClaimPolicy { name: "p-v".into(), sub_path: None }, ..root };
        assert!(its_own.claimed(&made).is_err());
    }
}
