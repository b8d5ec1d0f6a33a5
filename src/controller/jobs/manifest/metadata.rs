//! What all objects that are made have in common.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::{Recipe, Work};
use crate::api;

const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "hygiene");
/// The label with the name of the resource.
pub(crate) const RESOURCE: &str = "hygiene.dev/resource";
/// The label with the kind of work, of Jobs and their pods.
pub(crate) const WORK: &str = "hygiene.dev/work";
/// The annotation with the generation of the resource that an object was made for.
pub(crate) const GENERATION: &str = "hygiene.dev/generation";

/// The metadata of an object. It goes when the resource goes.
pub(super) fn of(recipe: &Recipe<'_>, name: String, work: Option<&Work<'_>>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(recipe.namespace().into()),
        owner_references: Some(vec![owner(recipe)]),
        ..of_pods(recipe, work)
    }
}

/// The labels and annotations alone, for the template of pods.
pub(super) fn of_pods(recipe: &Recipe<'_>, work: Option<&Work<'_>>) -> ObjectMeta {
    let labels = [api::SWEEPER_LABEL, MANAGED_BY, (RESOURCE, recipe.name())].into_iter();
    let labels = labels.chain(work.map(|work| (WORK, work.label())));
    let annotations = BTreeMap::from([(GENERATION.into(), recipe.generation().to_string())]);
    ObjectMeta {
        labels: Some(labels.map(|(label, value)| (label.into(), value.into())).collect()),
        annotations: Some(annotations),
        ..ObjectMeta::default()
    }
}

/// The resource holds nothing up when it is deleted: that would need the right to change its finalizers.
fn owner(recipe: &Recipe<'_>) -> OwnerReference {
    OwnerReference {
        api_version: api::API_VERSION.into(),
        kind: api::KIND.into(),
        name: recipe.name().into(),
        uid: recipe.uid().into(),
        controller: Some(true),
        block_owner_deletion: Some(false),
    }
}
