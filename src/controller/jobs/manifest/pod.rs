//! The pods of a Job: one container with this program, the whole claim, the spec and the keys that it names.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource, KeyToPath,
    LocalObjectReference, ObjectFieldSelector, PersistentVolumeClaimVolumeSource, PodSpec, Toleration, Volume,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{Recipe, Work, around, keys, names, security};
use crate::api::{TolerationOperator, TolerationSpec};

/// The name of the container.
pub(crate) const CONTAINER: &str = crate::api::SWEEPER_CONTAINER;
/// The name of its port.
pub(super) const PORT: &str = "admin";
/// Where the claim is mounted, as a whole.
pub(crate) const VOLUME: &str = "/mnt/hygiene/volume";
/// Where the spec is.
const SPEC: &str = "/mnt/hygiene/spec";
/// Where the program remembers what it may not leave on the volume in mode Report. It is gone with the pod.
const STATE: &str = "/mnt/hygiene/state";
/// Most that it remembers.
const STATE_SIZE: &str = "256Mi";

/// The pods of a Job.
pub(super) fn pod(recipe: &Recipe<'_>, work: &Work<'_>) -> PodSpec {
    let (volumes, mounts): (Vec<_>, Vec<_>) = volumes(recipe, work).into_iter().unzip();
    let template = recipe.template().cloned().unwrap_or_default();
    let pull_secret = |secret: crate::api::LocalReference| LocalObjectReference { name: secret.name };
    PodSpec {
        containers: vec![container(recipe, work, mounts)],
        restart_policy: Some("Never".into()),
        service_account_name: Some(recipe.account()),
        // It asks the API server, and finds nobody by variables.
        automount_service_account_token: Some(true),
        enable_service_links: Some(false),
        security_context: Some(security::of_pod(recipe)),
        termination_grace_period_seconds: Some(30),
        node_selector: template.node_selector,
        tolerations: template.tolerations.map(|all| all.into_iter().map(toleration).collect()),
        priority_class_name: template.priority_class_name,
        image_pull_secrets: template.image_pull_secrets.map(|all| all.into_iter().map(pull_secret).collect()),
        volumes: Some(volumes),
        ..PodSpec::default()
    }
}

fn container(recipe: &Recipe<'_>, work: &Work<'_>, mounts: Vec<VolumeMount>) -> Container {
    let port = i32::from(recipe.operator.listen_port);
    let port = ContainerPort { name: Some(PORT.into()), container_port: port, ..ContainerPort::default() };
    let listens = !matches!(work, Work::Command(_));
    Container {
        name: CONTAINER.into(),
        image: Some(recipe.operator.image.clone()),
        image_pull_policy: Some(recipe.operator.pull_policy.clone()),
        // The kubelet reads $(NAME) as a variable, and $$ as a dollar.
        args: Some(args(recipe, work).iter().map(|arg| arg.replace('$', "$$")).collect()),
        env: Some(env()),
        ports: listens.then(|| vec![port]),
        resources: Some(security::resources(recipe)),
        security_context: Some(security::of_container(recipe)),
        // Where the report of a sweep is left.
        termination_message_path: Some("/dev/termination-log".into()),
        termination_message_policy: Some("File".into()),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

fn args(recipe: &Recipe<'_>, work: &Work<'_>) -> Vec<String> {
    let operator = recipe.operator;
    let claim = recipe.claim().map_or("", |claim| &claim.claim_name);
    let mut spec = vec![
        "-f".to_owned(),
        format!("{SPEC}/{}", around::SPEC),
        format!("--claim-mount={claim}={VOLUME}"),
        format!("--cluster={}", operator.cluster),
    ];
    spec.extend(keys::of(recipe).iter().map(keys::Key::option));
    spec.extend(operator.short_times.then(|| "--unsafe-short-times".into()));
    spec.extend(operator.log_level.as_ref().map(|level| format!("--log-level={level}")));
    let shards = match work {
        // First, since behind a lone -- of the command they would be names.
        Work::Command(command) => return spec.into_iter().chain(command.iter().cloned()).collect(),
        Work::Sweep => None,
        Work::Look => Some("--look".into()),
        Work::Purge { shards } => Some(format!("--purge-shards={shards}")),
    };
    let mut args = vec!["sweeper".to_owned()];
    args.extend(spec);
    args.push(format!("--uid={}", recipe.uid()));
    args.push(format!("--generation={}", recipe.generation()));
    args.extend(operator.lease.as_ref().map(|(namespace, name)| format!("--lease={namespace}/{name}")));
    args.push(format!("--listen=0.0.0.0:{}", operator.listen_port));
    args.extend(shards);
    args
}

fn env() -> Vec<EnvVar> {
    let field = |(name, path): (&str, &str)| {
        let field = ObjectFieldSelector { field_path: path.into(), ..ObjectFieldSelector::default() };
        let value_from = Some(EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() });
        EnvVar { name: name.into(), value_from, ..EnvVar::default() }
    };
    let fields = [("POD_NAME", "metadata.name"), ("NODE_NAME", "spec.nodeName")].map(field);
    let state = EnvVar { name: "HYGIENE_STATE_DIR".into(), value: Some(STATE.into()), ..EnvVar::default() };
    fields.into_iter().chain([state]).collect()
}

fn volumes(recipe: &Recipe<'_>, work: &Work<'_>) -> Vec<(Volume, VolumeMount)> {
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only: Some(read_only),
        ..VolumeMount::default()
    };
    let claim = PersistentVolumeClaimVolumeSource {
        claim_name: recipe.claim().map(|claim| claim.claim_name.clone()).unwrap_or_default(),
        // The mount says it: not every driver knows of a claim that is read-only for one pod.
        ..PersistentVolumeClaimVolumeSource::default()
    };
    let volume = Volume { name: "volume".into(), persistent_volume_claim: Some(claim), ..Volume::default() };
    let item = KeyToPath { key: around::SPEC.into(), path: around::SPEC.into(), mode: None };
    let spec = ConfigMapVolumeSource {
        name: names::config_map(recipe.name(), &around::content(recipe)),
        items: Some(vec![item]),
        default_mode: Some(0o444),
        optional: Some(false),
    };
    let spec = Volume { name: "spec".into(), config_map: Some(spec), ..Volume::default() };
    let empty =
        EmptyDirVolumeSource { size_limit: Some(Quantity(STATE_SIZE.into())), ..EmptyDirVolumeSource::default() };
    let state = Volume { name: "state".into(), empty_dir: Some(empty), ..Volume::default() };
    let mut volumes = vec![
        (volume, mount("volume", VOLUME, !recipe.writes() || *work == Work::Look)),
        (spec, mount("spec", SPEC, true)),
        (state, mount("state", STATE, false)),
    ];
    volumes.extend(keys::volumes(&keys::of(recipe)));
    volumes
}

fn toleration(said: TolerationSpec) -> Toleration {
    let operator = match said.operator {
        TolerationOperator::Equal => "Equal",
        TolerationOperator::Exists => "Exists",
    };
    Toleration {
        key: said.key,
        operator: Some(operator.into()),
        value: said.value,
        effect: said.effect.map(|effect| format!("{effect:?}")),
        toleration_seconds: said.toleration_seconds,
    }
}
