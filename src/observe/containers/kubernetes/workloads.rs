//! What makes the pods that serve: Deployments, StatefulSets and DaemonSets whose pods the selector names. A rollout shows
//! here before it shows in pods, and so does a pod that is missing.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::Resource;
use kube::core::{Selector, SelectorExt};
use serde::de::DeserializeOwned;

use super::watch::{Kept, Watched};

/// What is kept of one.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    /// Its kind and name.
    pub(super) name: String,
    /// How many pods it is to have.
    pub(super) wanted: i32,
    /// What is not as it is meant to be.
    pub(super) trouble: Option<String>,
    /// The labels of the pods that it makes.
    labels: BTreeMap<String, String>,
    uid: String,
    version: String,
}

/// Those of one namespace, watched.
pub(super) struct Workloads {
    pub(super) deployments: Arc<Watched<Made<Deployment>>>,
    pub(super) stateful_sets: Arc<Watched<Made<StatefulSet>>>,
    pub(super) daemon_sets: Arc<Watched<Made<DaemonSet>>>,
}

impl Workloads {
    /// Those that make pods which the selector names.
    ///
    /// # Errors
    /// When a watch does not know.
    pub(super) async fn of(&self, selector: &Selector) -> Result<Vec<Workload>, String> {
        let (deployments, _) = self.deployments.known().await?;
        let (stateful_sets, _) = self.stateful_sets.known().await?;
        let (daemon_sets, _) = self.daemon_sets.known().await?;
        let deployments = deployments.into_iter().map(|made| made.workload);
        let all = deployments
            .chain(stateful_sets.into_iter().map(|made| made.workload))
            .chain(daemon_sets.into_iter().map(|made| made.workload));
        Ok(all.filter(|workload| selector.matches(&workload.labels)).collect())
    }
}

/// A workload made of an object of this kind.
#[derive(Clone)]
pub(super) struct Made<K> {
    workload: Workload,
    of: PhantomData<K>,
}

impl<K: MakesPods> Kept for Made<K> {
    type Object = K;

    fn of(object: &K) -> Self {
        let metadata = object.meta();
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let name = format!("{} {}", K::WORD, text(&metadata.name));
        let Counts { wanted, trouble } = object.counts();
        let labels =
            object.template().and_then(|template| template.metadata.as_ref()?.labels.clone()).unwrap_or_default();
        let workload = Workload {
            trouble: trouble.map(|trouble| format!("{name}: {trouble}")),
            name,
            wanted,
            labels,
            uid: text(&metadata.uid),
            version: text(&metadata.resource_version),
        };
        Self { workload, of: PhantomData }
    }

    fn version(&self) -> (&str, &str) {
        (&self.workload.uid, &self.workload.version)
    }

    fn after(self, _: Option<&Self>) -> Self {
        self
    }
}

#[cfg(test)]
impl<K> Made<K> {
    pub(super) fn workload(self) -> Workload {
        self.workload
    }
}

/// Something that makes pods.
pub(super) trait MakesPods:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
    /// What people call it.
    const WORD: &'static str;
    /// What people call several.
    const WORDS: &'static str;

    /// The pods it makes.
    fn template(&self) -> Option<&PodTemplateSpec>;

    /// How many, and what is not as it is meant to be.
    fn counts(&self) -> Counts;
}

/// What a workload says of its pods.
#[derive(Debug)]
pub(super) struct Counts {
    wanted: i32,
    trouble: Option<String>,
}

impl Counts {
    /// `of` pods are there, `updated` of the newest version and `available`; `newest` of them should be of that version.
    fn new(seen: bool, wanted: i32, of: i32, (updated, newest): (i32, i32), available: i32) -> Self {
        let trouble = if !seen {
            Some("a change is about to be rolled out".to_owned())
        } else if updated < newest {
            Some(format!("a rollout is under way: {updated} of {newest} pods are of the newest version"))
        } else if of > wanted {
            Some(format!("{of} pods are there, and {wanted} are wanted"))
        } else if available < wanted {
            Some(format!("{available} of {wanted} pods are available"))
        } else {
            None
        };
        Self { wanted, trouble }
    }
}

impl MakesPods for Deployment {
    const WORD: &'static str = "Deployment";
    const WORDS: &'static str = "deployments";

    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.as_ref().map(|spec| &spec.template)
    }

    fn counts(&self) -> Counts {
        let wanted = self.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let status = self.status.clone().unwrap_or_default();
        let count = |count: Option<i32>| count.unwrap_or(0);
        let seen = status.observed_generation >= self.metadata.generation;
        let updated = (count(status.updated_replicas), wanted);
        Counts::new(seen, wanted, count(status.replicas), updated, count(status.available_replicas))
    }
}

impl MakesPods for StatefulSet {
    const WORD: &'static str = "StatefulSet";
    const WORDS: &'static str = "statefulsets";

    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.as_ref().map(|spec| &spec.template)
    }

    fn counts(&self) -> Counts {
        let spec = self.spec.clone().unwrap_or_default();
        let wanted = spec.replicas.unwrap_or(1);
        let strategy = spec.update_strategy.unwrap_or_default();
        let status = self.status.clone().unwrap_or_default();
        let partition = strategy.rolling_update.and_then(|rolling| rolling.partition).unwrap_or(0);
        // Pods below the partition stay as they are, and with OnDelete a person updates each.
        let is_rolled =
            strategy.type_.as_deref() != Some("OnDelete") && status.update_revision != status.current_revision;
        let newest = if is_rolled { (wanted - partition).max(0) } else { 0 };
        let seen = status.observed_generation >= self.metadata.generation;
        let updated = (status.updated_replicas.unwrap_or(0), newest);
        Counts::new(seen, wanted, status.replicas, updated, status.available_replicas.unwrap_or(0))
    }
}

impl MakesPods for DaemonSet {
    const WORD: &'static str = "DaemonSet";
    const WORDS: &'static str = "daemonsets";

    fn template(&self) -> Option<&PodTemplateSpec> {
        self.spec.as_ref().map(|spec| &spec.template)
    }

    fn counts(&self) -> Counts {
        let strategy = self.spec.as_ref().and_then(|spec| spec.update_strategy.clone()).unwrap_or_default();
        let status = self.status.clone().unwrap_or_default();
        let wanted = status.desired_number_scheduled;
        let newest = if strategy.type_.as_deref() == Some("OnDelete") { 0 } else { wanted };
        let seen = status.observed_generation >= self.metadata.generation;
        let updated = (status.updated_number_scheduled.unwrap_or(0), newest);
        // Pods on nodes where none should be are in no other count.
        let there = status.current_number_scheduled + status.number_misscheduled;
        Counts::new(seen, wanted, there, updated, status.number_available.unwrap_or(0))
    }
}
