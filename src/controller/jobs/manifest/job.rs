//! The Jobs themselves: when one is tried again, and where its pods run.

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    Affinity, PodAffinityTerm, PodAntiAffinity, PodTemplateSpec, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::pod::{CONTAINER, pod};
use super::{Recipe, Work, metadata, names};

/// How often a shard is tried again alone.
const RETRIES: i32 = 3;
/// The exit code of a spec or a usage that is wrong, which no further try mends.
const BAD_SPEC: i32 = 2;
/// How long the Job of a command stays after it ended: nobody but its owner would remove it.
const COMMAND_STAYS: i32 = 24 * 3600;

/// A Job that does `work`, told apart by `mark` from the others of the resource. It has no deadline: a purge that goes on does
/// not fail for taking long.
pub(crate) fn job(recipe: &Recipe<'_>, work: &Work<'_>, mark: &str) -> Job {
    let name = names::job(recipe.name(), work, mark);
    let mut pod = pod(recipe, work);
    let once = JobSpec {
        // What a sweep left undone is for the next one, which is due soon and looks anew.
        backoff_limit: Some(0),
        pod_failure_policy: Some(failures()),
        // A new pod only when the old one is gone for good: two would wait for each other's lock.
        pod_replacement_policy: Some("Failed".into()),
        ..JobSpec::default()
    };
    let spec = match work {
        Work::Sweep | Work::Look => once,
        Work::Command(_) => JobSpec { ttl_seconds_after_finished: Some(COMMAND_STAYS), ..once },
        Work::Purge { shards } => {
            pod.affinity = Some(apart(&name));
            let shards = i32::try_from(*shards).ok();
            JobSpec {
                backoff_limit: None,
                backoff_limit_per_index: Some(RETRIES),
                completion_mode: Some("Indexed".into()),
                completions: shards,
                parallelism: shards,
                ..once
            }
        }
    };
    let template = PodTemplateSpec { metadata: Some(metadata::of_pods(recipe, Some(work))), spec: Some(pod) };
    Job { metadata: metadata::of(recipe, name, Some(work)), spec: Some(JobSpec { template, ..spec }), status: None }
}

/// A pod that was evicted, preempted or drained is no failure of the work; with a spec that is wrong it can only fail again.
fn failures() -> PodFailurePolicy {
    let disrupted = PodFailurePolicyOnPodConditionsPattern { type_: "DisruptionTarget".into(), status: "True".into() };
    let bad_spec = PodFailurePolicyOnExitCodesRequirement {
        container_name: Some(CONTAINER.into()),
        operator: "In".into(),
        values: vec![BAD_SPEC],
    };
    let ignore = PodFailurePolicyRule {
        action: "Ignore".into(),
        on_pod_conditions: Some(vec![disrupted]),
        ..PodFailurePolicyRule::default()
    };
    let fail = PodFailurePolicyRule {
        action: "FailJob".into(),
        on_exit_codes: Some(bad_spec),
        ..PodFailurePolicyRule::default()
    };
    PodFailurePolicy { rules: vec![ignore, fail] }
}

/// Each pod of the Job on a node of its own, where there are so many: every node has a client of the file system of its own,
/// with requests and locks that others do not wait for.
fn apart(job: &str) -> Affinity {
    let labels = [("batch.kubernetes.io/job-name".to_owned(), job.to_owned())].into();
    let term = PodAffinityTerm {
        label_selector: Some(LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }),
        topology_key: "kubernetes.io/hostname".into(),
        ..PodAffinityTerm::default()
    };
    let preferred = WeightedPodAffinityTerm { pod_affinity_term: term, weight: 100 };
    let anti = PodAntiAffinity {
        preferred_during_scheduling_ignored_during_execution: Some(vec![preferred]),
        ..PodAntiAffinity::default()
    };
    Affinity { pod_anti_affinity: Some(anti), ..Affinity::default() }
}
