//! What stands in the way of a Job before it has pods, and what is left to say of one when they are gone.

use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::Event;

use super::{Trouble, message, newest};

/// Parts of what admission says, and the way out.
const REFUSALS: &[(&str, &str)] = &[
    ("PodSecurity", "allow it in that namespace, or change spec.job.template.securityContext"),
    ("service account", "create that ServiceAccount, or correct spec.job.serviceAccountName"),
    ("PriorityClass", "correct spec.job.template.priorityClassName"),
    ("failed quota", "set spec.job.template.resources as that quota asks"),
    ("usage per", "set spec.job.template.resources as the LimitRange of that namespace asks"),
    ("admission webhook", "ask whoever runs that webhook"),
];

/// What stands in the way of a Job, if anything does; `events` are those about it. Of its pods [`super::of_pod`] tells more.
pub(crate) fn of_job(job: &Job, events: &[Event]) -> Option<Trouble> {
    let metadata = &job.metadata;
    let name = metadata.name.as_deref().unwrap_or_default();
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut conditions = conditions.filter(|condition| condition.status == "True");
    let known = ["Complete", "Suspended", "Failed", "FailureTarget"];
    match conditions.find(|condition| known.contains(&condition.type_.as_str())) {
        Some(condition) if ["Complete", "Suspended"].contains(&condition.type_.as_str()) => None,
        Some(failed) => Some(failure(name, namespace, failed)),
        None => {
            let event = newest(events, metadata.uid.as_deref(), &["FailedCreate", "SuccessfulCreate"])?;
            (event.reason.as_deref() == Some("FailedCreate")).then(|| not_created(name, namespace, message(event)))
        }
    }
}

fn failure(name: &str, namespace: &str, failed: &JobCondition) -> Trouble {
    let said = failed.message.as_deref().unwrap_or_default();
    let reason = failed.reason.as_deref().unwrap_or("Failed");
    let pods = format!("`kubectl -n {namespace} get pods -l batch.kubernetes.io/job-name={name}` shows its pods");
    // The only exit code for which there is a rule.
    if reason == "PodFailurePolicy" {
        let what = format!("Job {name} failed, since a pod refused its spec or its options (exit code 2)");
        let way_out = format!("an image of another version than the controller's can be the reason; {pods}");
        return Trouble::new("SweeperBadSpec", &what, said, &way_out);
    }
    Trouble::new("SweeperFailed", &format!("Job {name} failed ({reason})"), said, &pods)
}

fn not_created(name: &str, namespace: &str, said: &str) -> Trouble {
    let said = said.split_once("Error creating: ").map_or(said, |(_, said)| said);
    let said = said.split_once(" is forbidden: ").map_or(said, |(_, said)| said);
    if said.contains("exceeded quota") {
        let what = format!("the pods of Job {name} are more than the quota of namespace {namespace} has left");
        let way_out = "raise that ResourceQuota, or lower spec.job.template.resources";
        return Trouble::new("SweeperQuotaExceeded", &what, said, way_out);
    }
    let way_out = REFUSALS.iter().find(|(part, _)| said.contains(part)).map(|(_, way_out)| (*way_out).to_owned());
    let way_out = way_out.unwrap_or_else(|| format!("`kubectl -n {namespace} describe job {name}` tells more"));
    let what = format!("the pods of Job {name} are refused in namespace {namespace}");
    Trouble::new("SweeperNotCreated", &what, said, &way_out)
}
