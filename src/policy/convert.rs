//! From the resource to the policy: everything that can be wrong with a spec is found here, all of it at once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::faults::{Faults, PolicyFault, PolicyOptions};
use super::{
    Activity, BreakerLimits, Budget, ClaimPolicy, Claims, KeepFileRule, Limits, Mode, Policy, PurgeLimits,
    ResourceName, Schedule, SpecDigests, containers, ecs, paths, pattern, sessions,
};
use crate::api::{self, DurationString, WorkspaceHygiene};
use crate::names::hex;

pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

impl Policy {
    /// Parses the spec of `resource`.
    ///
    /// # Errors
    ///
    /// All the faults of the spec, never only the first. A part of the resource that this version does not bring to
    /// life is one of them: it is refused by name and never ignored.
    pub fn from_resource(resource: &WorkspaceHygiene, options: PolicyOptions) -> Result<Policy, Vec<PolicyFault>> {
        let spec = &resource.spec;
        let mut faults = Faults::default();
        let mode = match spec.mode {
            api::Mode::Report => Mode::Report,
            api::Mode::Enforce => Mode::Enforce,
        };
        let times = Times { enforced: mode == Mode::Enforce && !options.allow_short_times };
        let schedule = Schedule::parse(&spec.schedule, &mut faults);
        let namespace = resource.metadata.namespace.as_deref().unwrap_or(api::DEFAULT_NAMESPACE);
        let place = volume(&spec.volume, namespace, &options, &mut faults);
        let root = place.as_ref().map(|place| place.root.clone());
        let efs = spec.volume.efs.as_ref().map(|efs| ecs::efs(efs, &mut faults));
        let text = &spec.workspaces.pattern;
        let pattern = faults.check("spec.workspaces.pattern", text, pattern::name_pattern(text));
        let from = sessions::Place { root: root.as_deref(), pattern: pattern.as_ref(), namespace };
        let sessions = sessions::convert(&spec.sessions, from, &mut faults);
        let containers = containers::containers(spec.containers.as_ref(), namespace, pattern.as_ref(), &mut faults);
        let keep = pattern::keep_globs(&spec.workspaces.keep, &mut faults);
        let min_age = times.at_least("spec.workspaces.minAge", &spec.workspaces.min_age, HOUR, "1h", &mut faults);
        let retention =
            times.at_least("spec.quarantine.retention", &spec.quarantine.retention, DAY, "24h", &mut faults);
        let limits = limits(&spec.limits, spec.volume.path.is_some(), &mut faults);
        let resource = resource_name(resource, &mut faults);

        let generation = resource.1;
        let parts = (place, pattern, sessions, keep, min_age, retention, limits, schedule);
        let (
            Some(Place { root, beneath, claim }),
            Some(pattern),
            Some(sessions),
            Some(keep),
            Some(min_age),
            Some(retention),
            Some(limits),
            Some(schedule),
        ) = parts
        else {
            return Err(faults.0);
        };
        if !faults.0.is_empty() {
            return Err(faults.0);
        }
        Ok(Policy {
            resource: resource.0,
            generation,
            cluster: options.cluster,
            digests: digests(spec),
            mode,
            suspend: spec.suspend,
            schedule,
            root,
            beneath,
            claim,
            efs,
            pattern,
            min_age,
            keep,
            keep_file: match spec.workspaces.keep_file {
                api::KeepFile::Allow => KeepFileRule::Allow,
                api::KeepFile::Ignore => KeepFileRule::Ignore,
            },
            activity: match spec.workspaces.activity {
                api::Activity::Any => Activity::Any,
                api::Activity::Modified => Activity::Modified,
            },
            sessions: Arc::new(sessions),
            containers: containers.map(Box::new),
            limits,
            retention,
        })
    }
}

/// A spec is hashed as the text it has with all defaults filled in.
fn digests(spec: &api::WorkspaceHygieneSpec) -> SpecDigests {
    let digest = |parts: serde_json::Value| hex(&Sha256::digest(parts.to_string().as_bytes())[..16]);
    SpecDigests {
        evidence: digest(serde_json::json!([spec.volume, spec.workspaces, spec.sessions, spec.containers])),
        query: digest(serde_json::json!([spec.workspaces.pattern, spec.sessions.live_query])),
    }
}

fn resource_name(resource: &WorkspaceHygiene, faults: &mut Faults) -> (ResourceName, i64) {
    let metadata = &resource.metadata;
    let name = metadata.name.clone().unwrap_or_default();
    if name.is_empty() {
        faults.absent("metadata.name");
    }
    let namespace = metadata.namespace.clone().unwrap_or_else(|| api::DEFAULT_NAMESPACE.to_owned());
    (ResourceName::new(namespace, name), metadata.generation.unwrap_or(0))
}

/// Where the volume is.
struct Place {
    root: PathBuf,
    beneath: Option<PathBuf>,
    claim: Option<ClaimPolicy>,
}

fn volume(spec: &api::VolumeSpec, namespace: &str, options: &PolicyOptions, faults: &mut Faults) -> Option<Place> {
    if let Some(path) = &spec.path {
        let root = faults.check("spec.volume.path", path, paths::volume_root(path, options.home.as_deref()))?;
        return Some(Place { root, beneath: None, claim: None });
    }
    let Some(api::ClaimVolumeSpec { claim_name, sub_path }) = &spec.persistent_volume_claim else {
        faults.absent("spec.volume.path");
        return None;
    };
    let below = |mount: PathBuf| sub_path.as_ref().map_or_else(|| mount.clone(), |path| mount.join(path));
    let claim = Some(ClaimPolicy { name: claim_name.clone(), sub_path: sub_path.clone() });
    match &options.claims {
        // No path of this machine, and never opened as one: it tells resources apart, and is shown.
        Claims::ByJobs => {
            Some(Place { root: below(format!("pvc:{namespace}/{claim_name}").into()), beneath: None, claim })
        }
        Claims::Mounted(mounts) if mounts.contains_key(claim_name) => {
            let mount = mounts[claim_name].clone();
            Some(Place { root: below(mount.clone()), beneath: Some(mount), claim })
        }
        Claims::OutOfReach => {
            let way_out = "is swept by Jobs, for which the controller needs their image: start it with --job-image";
            faults.add("spec.volume.persistentVolumeClaim.claimName", claim_name, way_out);
            None
        }
        Claims::Mounted(_) => {
            let way_out = format!(
                "is swept by the Jobs of `hygiene controller`; to work on it here mount it, and say where: --claim-mount \
                 {claim_name}=PATH"
            );
            faults.add("spec.volume.persistentVolumeClaim.claimName", claim_name, way_out);
            None
        }
    }
}

/// Whether short times are refused: in Enforce, without `--unsafe-short-times`.
struct Times {
    enforced: bool,
}

impl Times {
    fn at_least(
        &self,
        field: &str,
        text: &DurationString,
        floor: Duration,
        floor_text: &str,
        faults: &mut Faults,
    ) -> Option<Duration> {
        let time = faults.check(field, text.as_str(), text.parse())?;
        if self.enforced && time < floor {
            let message = format!(
                "is too short for mode: Enforce, which needs at least {floor_text}; tests and demos may use \
                 --unsafe-short-times"
            );
            faults.add(field, text, message);
        }
        Some(time)
    }
}

/// A duration within `min..=max`, both of which are whole minutes or less than one.
pub(super) fn duration(
    field: &str,
    text: &DurationString,
    min: Duration,
    max: Duration,
    faults: &mut Faults,
) -> Option<Duration> {
    let time = faults.check(field, text.as_str(), text.parse())?;
    if time < min || time > max {
        faults.add(field, text, format!("must be from {} to {}", plain(min), plain(max)));
    }
    Some(time)
}

fn plain(time: Duration) -> String {
    match (time.as_secs(), time.subsec_millis()) {
        (seconds, _) if seconds >= 3600 && seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        (seconds, _) if seconds >= 60 && seconds % 60 == 0 => format!("{}m", seconds / 60),
        (seconds, 0) => format!("{seconds}s"),
        (_, _) => format!("{}ms", time.as_millis()),
    }
}

fn limits(spec: &api::LimitsSpec, is_path: bool, faults: &mut Faults) -> Option<Limits> {
    let per_sweep = faults.range("spec.limits.perSweep", spec.per_sweep, 1, 1000);
    let budget = &spec.budget;
    let period = duration("spec.limits.budget.period", &budget.period, Duration::from_secs(1), 8760 * HOUR, faults);
    let directories = faults.range("spec.limits.budget.directories", budget.directories, 1, 1_000_000);
    let bytes = faults.check("spec.limits.budget.size", budget.size.as_str(), budget.size.parse());
    let breaker = &spec.breaker;
    let breaker = BreakerLimits {
        max_orphans: faults.range("spec.limits.breaker.maxOrphans", breaker.max_orphans, 0, 1_000_000),
        max_orphan_percent: faults.range("spec.limits.breaker.maxOrphanPercent", breaker.max_orphan_percent, 0, 100),
        max_session_drop_percent: faults.range(
            "spec.limits.breaker.maxSessionDropPercent",
            breaker.max_session_drop_percent,
            0,
            100,
        ),
    };
    let purge = &spec.purge;
    let purge = PurgeLimits {
        entries_per_second: faults.range("spec.limits.purge.entriesPerSecond", purge.entries_per_second, 1, 1_000_000),
        concurrency: faults.range("spec.limits.purge.concurrency", purge.concurrency, 1, 256),
        shards: faults.range("spec.limits.purge.shards", purge.shards, 1, 64),
    };
    if purge.shards > 1 && is_path {
        let message = "several shards are purged by Jobs, which only a persistentVolumeClaim has; use 1";
        faults.add("spec.limits.purge.shards", purge.shards, message);
    }
    Some(Limits { per_sweep, budget: Budget { period: period?, directories, bytes: bytes? }, breaker, purge })
}
