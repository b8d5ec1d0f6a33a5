//! What a pod on a node waits for before its container is made: volumes, and the keys that are files in them.

use k8s_openapi::api::core::v1::{KeyToPath, VolumeProjection};

use super::pod::Seen;
use super::{Trouble, has_reason, message, newest, quoted_after};

/// What is said of a volume that is not ready.
const MOUNTS: [&str; 3] = ["FailedMount", "FailedAttachVolume", "FailedMapVolume"];
/// What is said of the network and the runtime.
const SANDBOX: [&str; 2] = ["FailedCreatePodSandBox", "NetworkNotReady"];
/// What is said when it went on.
const WENT_ON: [&str; 5] = ["SuccessfulAttachVolume", "Pulling", "Pulled", "Created", "Started"];
/// What the kubelet says of all volumes together when it waited for long; why one is missing it said before.
const TOGETHER: &str = "Unable to attach or mount volumes";

/// What stands in the way by the events about a pod that waits.
pub(super) fn of_pod(pod: &Seen<'_>) -> Option<Trouble> {
    let all: Vec<_> = MOUNTS.into_iter().chain(SANDBOX).chain(WENT_ON).collect();
    let mut event = newest(pod.events, pod.uid, &all).filter(|event| !has_reason(event, &WENT_ON))?;
    if message(event).contains(TOGETHER) {
        let alone = pod.events.iter().filter(|event| !message(event).contains(TOGETHER));
        event = newest(alone, pod.uid, &MOUNTS).unwrap_or(event);
    }
    let said = message(event);
    match has_reason(event, &SANDBOX) {
        true => Some(not_set_up(pod, said)),
        false => missing(pod, said).or_else(|| Some(not_mounted(pod, said))),
    }
}

fn not_set_up(pod: &Seen<'_>, said: &str) -> Trouble {
    let what = format!("{} cannot be set up", pod.place());
    Trouble::new("SweeperNotCreated", &what, said, "look at the network and the container runtime of that node")
}

fn not_mounted(pod: &Seen<'_>, said: &str) -> Trouble {
    // A claim's volume has the name of the persistent volume there, every other one the name in the pod.
    let own = |name: &&str| pod.spec.volumes.iter().flatten().any(|volume| volume.name == *name);
    let own = quoted_after(said, "for volume ").filter(own);
    let (what, way_out) = match own {
        Some(name) => (format!("volume {name}"), "look at the kubelet of that node"),
        None => (format!("the claim {}", pod.claim()), "look at its file system, and at its driver on that node"),
    };
    Trouble::new("SweeperMountFailed", &format!("{what} cannot be mounted for {}", pod.place()), said, way_out)
}

/// A Secret, a ConfigMap or a key in one that is not there, if that is what `said` is about.
pub(super) fn missing(pod: &Seen<'_>, said: &str) -> Option<Trouble> {
    object(pod, said).or_else(|| key(pod, said))
}

fn object(pod: &Seen<'_>, said: &str) -> Option<Trouble> {
    let kinds = [("Secret", "secret"), ("Secret", "secrets"), ("ConfigMap", "configmap"), ("ConfigMap", "configmaps")];
    let (kind, name) = kinds.into_iter().find_map(|(kind, word)| {
        let name = quoted_after(said, &format!("{word} "))?;
        said.contains(&format!("{word} \"{name}\" not found")).then_some((kind, name))
    })?;
    let spec = pod.spec.volumes.iter().flatten().filter_map(|volume| volume.config_map.as_ref());
    let is_spec = kind == "ConfigMap" && spec.into_iter().any(|map| map.name == name);
    let way_out = match is_spec {
        true => "the controller makes it anew for the next Job; delete this one".to_owned(),
        false => format!("create it, or correct the {} in spec.sessions", field(kind)),
    };
    let what = format!("{kind} {name} in namespace {} is not there, and {} waits for it", pod.namespace, pod.place());
    Some(Trouble::new("SweeperSecretMissing", &what, "", &way_out))
}

fn key(pod: &Seen<'_>, said: &str) -> Option<Trouble> {
    let after = |before: &str| {
        let (_, rest) = said.split_once(before)?;
        rest.split(|c: char| c.is_whitespace() || ",]".contains(c)).next().filter(|key| !key.is_empty())
    };
    let (kind, key) = None
        .or_else(|| Some(("Secret", after("references non-existent secret key: ")?)))
        .or_else(|| Some(("ConfigMap", after("references non-existent config key: ")?)))?;
    // The kubelet names the key alone.
    let holders = holders(pod, kind, key).join(" or ");
    let what =
        format!("{kind} {holders} in namespace {} has no key {key}, and {} waits for it", pod.namespace, pod.place());
    let way_out = format!("add it, or correct the {} in spec.sessions", field(kind));
    Some(Trouble::new("SweeperSecretMissing", &what, "", &way_out))
}

fn field(kind: &str) -> &'static str {
    if kind == "Secret" { "secretKeyRef" } else { "configMapKeyRef" }
}

/// The Secrets or ConfigMaps of which a pod wants this key.
fn holders<'a>(pod: &Seen<'a>, kind: &str, key: &str) -> Vec<&'a str> {
    let sources = pod.spec.volumes.iter().flatten().filter_map(|volume| volume.projected.as_ref()?.sources.as_ref());
    let wants = |items: &Option<Vec<KeyToPath>>| items.iter().flatten().any(|item| item.key == key);
    let holder = |source: &'a VolumeProjection| match (kind, &source.secret, &source.config_map) {
        ("Secret", Some(secret), _) => wants(&secret.items).then_some(secret.name.as_str()),
        ("ConfigMap", _, Some(map)) => wants(&map.items).then_some(map.name.as_str()),
        _ => None,
    };
    sources.flatten().filter_map(holder).collect()
}
