//! What stands in the way of a pod, by its own state.

use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Event, Pod, PodCondition,
    PodSpec, PodStatus,
};

use super::{Trouble, message, mounts, newest};
use crate::controller::jobs::manifest::CONTAINER;

/// What stands in the way of a pod, if anything does; `events` are those about it.
pub(crate) fn of_pod(pod: &Pod, events: &[Event]) -> Option<Trouble> {
    let seen = Seen::new(pod, events)?;
    match seen.status.phase.as_deref() {
        Some("Succeeded") => None,
        Some("Running" | "Failed") => seen.out_of_memory().or_else(|| seen.disrupted()).or_else(|| seen.failed()),
        _ => {
            let waits = || seen.waits().or_else(|| seen.unscheduled()).or_else(|| mounts::of_pod(&seen));
            seen.disrupted().or_else(waits)
        }
    }
}

/// A pod and what is said of it.
pub(super) struct Seen<'a> {
    pub(super) events: &'a [Event],
    pub(super) uid: Option<&'a str>,
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) spec: &'a PodSpec,
    status: &'a PodStatus,
}

impl<'a> Seen<'a> {
    fn new(pod: &'a Pod, events: &'a [Event]) -> Option<Self> {
        let metadata = &pod.metadata;
        Some(Self {
            events,
            uid: metadata.uid.as_deref(),
            name: metadata.name.as_deref().unwrap_or_default(),
            namespace: metadata.namespace.as_deref().unwrap_or_default(),
            spec: pod.spec.as_ref()?,
            status: pod.status.as_ref()?,
        })
    }

    /// The claim that is mounted.
    pub(super) fn claim(&self) -> &'a str {
        let claims = self.spec.volumes.iter().flatten().filter_map(|volume| volume.persistent_volume_claim.as_ref());
        claims.map(|claim| claim.claim_name.as_str()).next().unwrap_or_default()
    }

    /// The pod, and the node it is on.
    pub(super) fn place(&self) -> String {
        match self.spec.node_name.as_deref() {
            Some(node) => format!("pod {} on node {node}", self.name),
            None => format!("pod {}", self.name),
        }
    }

    fn logs(&self) -> String {
        format!("`kubectl -n {} logs {}` says why", self.namespace, self.name)
    }

    /// How the program ended.
    fn ended(&self) -> Option<&'a ContainerStateTerminated> {
        let ours = |status: &&ContainerStatus| status.name == CONTAINER;
        let status = self.status.container_statuses.iter().flatten().find(ours)?;
        status.state.as_ref()?.terminated.as_ref()
    }

    fn condition(&self, kind: &str) -> Option<&'a PodCondition> {
        self.status.conditions.iter().flatten().find(|condition| condition.type_ == kind)
    }

    fn out_of_memory(&self) -> Option<Trouble> {
        self.ended().filter(|ended| ended.reason.as_deref() == Some("OOMKilled"))?;
        let container = self.spec.containers.iter().find(|container| container.name == CONTAINER);
        let limits = container.and_then(|container| container.resources.as_ref()?.limits.as_ref());
        let limit = match limits.and_then(|limits| limits.get("memory")) {
            Some(limit) => format!("it needed more memory than its limit of {}", limit.0),
            None => "its node had no more memory".to_owned(),
        };
        let what = format!("{} was killed: {limit}", self.place());
        Some(Trouble::new("SweeperOutOfMemory", &what, "", "raise spec.job.template.resources.limits.memory"))
    }

    /// Evicted, preempted, drained, or gone with its node. The Job makes another pod.
    fn disrupted(&self) -> Option<Trouble> {
        let condition = self.condition("DisruptionTarget").filter(|condition| condition.status == "True");
        let evicted = self.status.reason.as_deref() == Some("Evicted");
        if condition.is_none() && !evicted {
            return None;
        }
        let reason = condition.and_then(|condition| condition.reason.as_deref()).unwrap_or("Evicted");
        let said = condition.and_then(|condition| condition.message.as_deref()).or(self.status.message.as_deref());
        let way_out = match reason {
            "PreemptionByScheduler" => {
                "another one takes its place; spec.job.template.priorityClassName can put it first"
            }
            "TerminationByKubelet" | "Evicted" => {
                "another one takes its place; what spec.job.template.resources.requests reserves is not taken away"
            }
            _ => "another one takes its place",
        };
        let what = format!("{} had to go ({reason})", self.place());
        Some(Trouble::new("SweeperEvicted", &what, said.unwrap_or_default(), way_out))
    }

    fn failed(&self) -> Option<Trouble> {
        let Some(ended) = self.ended() else {
            // One that its node did not take, or that was lost with all that is known of its container.
            let failed = self.status.phase.as_deref() == Some("Failed");
            let reason = self.status.reason.as_deref().unwrap_or("unknown");
            let (what, said) = (format!("{} failed ({reason})", self.place()), self.status.message.as_deref());
            let way_out = format!("`kubectl -n {} describe pod {}` tells more", self.namespace, self.name);
            return failed.then(|| Trouble::new("SweeperFailed", &what, said.unwrap_or_default(), &way_out));
        };
        let (place, logs, code) = (self.place(), self.logs(), ended.exit_code);
        let how = match code {
            0 => return None,
            2 => {
                let what = format!("{place} refused its spec or its options (exit code 2)");
                let way_out = format!("{logs}; an image of another version than the controller's can be the reason");
                return Some(Trouble::new("SweeperBadSpec", &what, "", &way_out));
            }
            1 => "a step failed, or it was stopped",
            3 => "a gate or a breaker holds it",
            4 => "the volume is locked by somebody else",
            101 => "a fault of the program",
            137 => "it was killed",
            143 => "it was asked to stop",
            _ => "",
        };
        // What the program itself left there is its report, and told as that.
        let said = ended.message.as_deref().filter(|_| ended.reason.as_deref() != Some("Error"));
        let what = format!("{place} ended with exit code {code}");
        let what = if how.is_empty() { what } else { format!("{what}: {how}") };
        Some(Trouble::new("SweeperFailed", &what, said.unwrap_or_default(), &logs))
    }

    fn waits(&self) -> Option<Trouble> {
        let statuses = [&self.status.container_statuses, &self.status.init_container_statuses];
        let statuses = statuses.into_iter().flatten().flatten();
        let waiting = |status: &'a ContainerStatus| match &status.state {
            Some(ContainerState { waiting: Some(waiting), .. }) => Some((status, waiting)),
            _ => None,
        };
        statuses.filter_map(waiting).find_map(|(status, waiting)| self.waits_for(status, waiting))
    }

    fn waits_for(&self, status: &ContainerStatus, waiting: &ContainerStateWaiting) -> Option<Trouble> {
        let said = waiting.message.as_deref().unwrap_or_default();
        let way_out = match waiting.reason.as_deref()? {
            "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" | "SignatureValidationFailed" => {
                "correct the image that the controller is told to use, or name what pulls it in \
                 spec.job.template.imagePullSecrets"
            }
            "ErrImageNeverPull" => "load it on that node, or let the controller's pull policy be IfNotPresent",
            "InvalidImageName" | "ImageInspectError" => "correct the image that the controller is told to use",
            "CreateContainerConfigError" => {
                return mounts::missing(self, said).or_else(|| Some(self.not_made(said)));
            }
            "CreateContainerError" | "RunContainerError" | "PreCreateHookError" | "PostStartHookError" => {
                return Some(self.not_made(said));
            }
            _ => return None,
        };
        let what = format!("the image {} of {} is not there", self.image(status), self.place());
        // While the kubelet waits before it tries again, only the event tells why.
        let why = newest(self.events, self.uid, &["Failed"]).map(message).filter(|why| why.contains("pull image"));
        let said = if said.starts_with("Back-off") { why.unwrap_or(said) } else { said };
        Some(Trouble::new("SweeperImageNotPulled", &what, said, way_out))
    }

    /// As the spec has it; a status may not have it yet.
    fn image(&self, status: &'a ContainerStatus) -> &'a str {
        let containers = self.spec.containers.iter().chain(self.spec.init_containers.iter().flatten());
        let image = containers.filter(|container| container.name == status.name).find_map(|one| one.image.as_deref());
        image.unwrap_or(&status.image)
    }

    fn not_made(&self, said: &str) -> Trouble {
        let way_out = match said.contains("runAsUser") || said.contains("runAsNonRoot") {
            true => "correct spec.job.template.securityContext".to_owned(),
            false => format!("`kubectl -n {} describe pod {}` tells more", self.namespace, self.name),
        };
        Trouble::new("SweeperNotCreated", &format!("{} cannot be started", self.place()), said, &way_out)
    }

    fn unscheduled(&self) -> Option<Trouble> {
        let condition = self.condition("PodScheduled").filter(|condition| condition.status == "False")?;
        let said = condition.message.as_deref().unwrap_or_default();
        if !said.to_ascii_lowercase().contains("persistentvolumeclaim") {
            let what = format!("no node takes pod {}", self.name);
            let way_out = "change nodeSelector, tolerations or resources in spec.job.template, or add a node";
            return Some(Trouble::new("SweeperNotScheduled", &what, said, way_out));
        }
        let (claim, namespace) = (self.claim(), self.namespace);
        let way_out = match said.contains(&format!("\"{claim}\" not found")) {
            true => "create it, or correct spec.volume.persistentVolumeClaim.claimName".to_owned(),
            false => format!("`kubectl -n {namespace} describe pvc {claim}` says what it waits for"),
        };
        let what =
            format!("the claim {claim} in namespace {namespace} is not bound, and pod {} waits for it", self.name);
        Some(Trouble::new("SweeperClaimNotBound", &what, said, &way_out))
    }
}
