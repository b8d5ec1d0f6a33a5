//! `spec.containers.ecs` and `spec.volume.efs`.

use super::containers::WhenAbsent;
use super::faults::Faults;
use crate::api;

/// Tasks of an ECS cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EcsPolicy {
    /// Name of the cluster.
    pub cluster: String,
    /// Its region.
    pub region: String,
    /// The service whose tasks serve sessions.
    pub serving: Option<String>,
    /// The tasks that use a workspace each.
    pub claims: Option<EcsClaims>,
    /// What to do while the service is meant to have no task.
    pub when_absent: WhenAbsent,
    /// Whether a health endpoint is asked as well: then tasks may do without a container check.
    pub http_beside: bool,
}

/// ECS tasks that use a workspace each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EcsClaims {
    /// Which tasks.
    pub tasks: EcsTasks,
    /// Key of the tag whose value is the session id.
    pub session_tag: String,
}

/// Which tasks of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EcsTasks {
    /// Those of a service.
    Service(String),
    /// Those of a family of task definitions.
    Family(String),
}

/// An EFS file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EfsPolicy {
    /// Its id.
    pub id: String,
    /// Its region.
    pub region: String,
    /// What one GiB costs in a month, in millionths of the currency.
    pub micros_per_gib_month: Option<u64>,
}

pub(super) fn ecs(
    spec: &api::EcsSpec,
    when_absent: WhenAbsent,
    http_beside: bool,
    faults: &mut Faults,
) -> Option<EcsPolicy> {
    if spec.serving.is_none() && spec.claims.is_none() {
        faults.add("spec.containers.ecs", "", "give at least one of serving and claims");
    }
    let claims = match &spec.claims {
        None => None,
        Some(claims) => {
            let tasks = match (&claims.family, &claims.service) {
                (Some(family), None) => EcsTasks::Family(family.clone()),
                (None, Some(service)) => EcsTasks::Service(service.clone()),
                _ => {
                    faults.add("spec.containers.ecs.claims", "", "give exactly one of family and service");
                    return None;
                }
            };
            Some(EcsClaims { tasks, session_tag: claims.session_tag.clone() })
        }
    };
    Some(EcsPolicy {
        cluster: spec.cluster.clone(),
        region: spec.region.clone(),
        serving: spec.serving.as_ref().map(|serving| serving.service.clone()),
        claims,
        when_absent,
        http_beside,
    })
}

pub(super) fn efs(spec: &api::EfsSpec, faults: &mut Faults) -> EfsPolicy {
    let price = spec.price_per_gib_month.as_ref();
    let field = "spec.volume.efs.pricePerGiBMonth";
    let micros_per_gib_month = price.and_then(|price| faults.check(field, price.as_str(), price.parse_micros()));
    EfsPolicy { id: spec.file_system_id.clone(), region: spec.region.clone(), micros_per_gib_month }
}
