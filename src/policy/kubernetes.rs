//! `spec.containers.kubernetes`.

use std::time::Duration;

use kube::core::{Expression, Selector};

use super::NamePattern;
use super::containers::WhenAbsent;
use super::faults::Faults;
use crate::api;

/// Pods of the resource's own namespace.
#[derive(Clone, Debug)]
pub struct KubernetesPolicy {
    /// The namespace.
    pub namespace: String,
    /// The pods that serve sessions.
    pub serving: Option<Selector>,
    /// The pods that use a workspace each.
    pub claims: Option<PodClaims>,
    /// How long a pod must have been ready.
    pub settle: Duration,
    /// What to do while no pod serves and none is meant to.
    pub when_absent: WhenAbsent,
}

/// Pods that use a workspace each.
#[derive(Clone, Debug)]
pub struct PodClaims {
    /// Which pods.
    pub selector: Selector,
    /// Where each says which session is its own.
    pub session: PodSession,
}

/// Where a pod says which session is its own.
#[derive(Clone, Debug)]
pub enum PodSession {
    /// The value of the label with this key.
    Label(String),
    /// The value of the annotation with this key.
    Annotation(String),
    /// What is mounted of the pod's volume with this name: a component of the sub-path is the workspace's name.
    SubPath {
        /// The volume's name.
        volume: String,
        /// How a workspace's name yields the id.
        pattern: Box<NamePattern>,
    },
}

/// `spec.containers.kubernetes`, if it is in order.
pub(super) fn kubernetes(
    spec: &api::KubernetesSpec,
    namespace: &str,
    pattern: Option<&NamePattern>,
    (settle, when_absent): (Duration, WhenAbsent),
    faults: &mut Faults,
) -> Option<KubernetesPolicy> {
    const FIELD: &str = "spec.containers.kubernetes";
    if spec.serving.is_none() && spec.claims.is_none() {
        faults.add(FIELD, "", "give at least one of serving and claims");
    }
    let serving = spec.serving.as_ref().map(|serving| {
        let field = format!("{FIELD}.serving.selector");
        selector(&field, &serving.selector, faults)
    });
    let claims = spec.claims.as_ref().map(|claims| {
        let field = format!("{FIELD}.claims.selector");
        let selector = selector(&field, &claims.selector, faults);
        let session = session(&format!("{FIELD}.claims.sessionFrom"), &claims.session_from, pattern, faults);
        Some(PodClaims { selector: selector?, session: session? })
    });
    let serving = match serving {
        Some(serving) => Some(serving?),
        None => None,
    };
    let claims = match claims {
        Some(claims) => Some(claims?),
        None => None,
    };
    Some(KubernetesPolicy { namespace: namespace.to_owned(), serving, claims, settle, when_absent })
}

fn session(
    field: &str,
    spec: &api::SessionFrom,
    pattern: Option<&NamePattern>,
    faults: &mut Faults,
) -> Option<PodSession> {
    match (&spec.label, &spec.annotation, &spec.sub_path_of_volume) {
        (Some(key), None, None) => Some(PodSession::Label(key.clone())),
        (None, Some(key), None) => Some(PodSession::Annotation(key.clone())),
        (None, None, Some(volume)) => {
            Some(PodSession::SubPath { volume: volume.clone(), pattern: Box::new(pattern?.clone()) })
        }
        _ => {
            faults.add(field, "", "give exactly one of label, annotation and subPathOfVolume");
            None
        }
    }
}

/// A selector as the API server takes it. One that matches everything or that no API server accepts is a fault.
fn selector(field: &str, spec: &api::PodSelector, faults: &mut Faults) -> Option<Selector> {
    let before = faults.0.len();
    let labels = spec.match_labels.iter().flatten();
    let mut expressions: Vec<_> = labels.map(|(key, value)| Expression::Equal(key.clone(), value.clone())).collect();
    for (index, requirement) in spec.match_expressions.iter().flatten().enumerate() {
        let values = requirement.values.as_deref().unwrap_or_default();
        let field = format!("{field}.matchExpressions[{index}].values");
        let (key, set) = (requirement.key.clone(), values.iter().cloned().collect());
        let takes_values = matches!(requirement.operator, api::SelectorOperator::In | api::SelectorOperator::NotIn);
        match (takes_values, values.is_empty()) {
            (true, true) => faults.add(&field, "", "must name at least one value for the operators In and NotIn"),
            (false, false) => faults.add(
                &field,
                "",
                "must be left out with the operators Exists and DoesNotExist, which compare with none",
            ),
            _ => {}
        }
        expressions.push(match requirement.operator {
            api::SelectorOperator::In => Expression::In(key, set),
            api::SelectorOperator::NotIn => Expression::NotIn(key, set),
            api::SelectorOperator::Exists => Expression::Exists(key),
            api::SelectorOperator::DoesNotExist => Expression::DoesNotExist(key),
        });
    }
    if expressions.is_empty() {
        faults.add(
            field,
            "",
            "give matchLabels or matchExpressions; an empty selector would match every pod of the namespace",
        );
    }
    (faults.0.len() == before).then(|| expressions.into_iter().collect())
}
