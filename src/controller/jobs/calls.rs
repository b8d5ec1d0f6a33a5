//! What is asked of the API server about the Jobs of one namespace. Each call has an end.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Event, PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, PropagationPolicy};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::super::writer::MANAGER;
use super::manifest::RESOURCE;
use crate::cluster::{Unanswered, answered};

/// Most objects of one list: a resource has a handful.
const MOST: u32 = 500;

/// The API server, for one namespace.
#[derive(Clone)]
pub(super) struct Calls {
    pub(super) client: Client,
    pub(super) namespace: String,
}

impl Calls {
    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Makes the object so, whether it is there or not.
    pub(super) async fn apply<K>(&self, object: &K) -> Result<(), Unanswered>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug,
    {
        let params = PatchParams::apply(MANAGER).force();
        answered(self.api::<K>().patch(&object.name_any(), &params, &Patch::Apply(object))).await.map(drop)
    }

    /// Makes the object, unless one with this name is there. Which one it is then.
    pub(super) async fn create<K>(&self, object: &K) -> Result<K, Unanswered>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug,
    {
        let params = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
        match answered(self.api::<K>().create(&params, object)).await {
            Err(error) if error.code() == Some(409) => answered(self.api::<K>().get(&object.name_any())).await,
            made => made,
        }
    }

    /// The Jobs of a resource.
    pub(super) async fn jobs(&self, resource: &str, uid: &str) -> Result<Vec<Job>, Unanswered> {
        let list = self.api::<Job>();
        let listed = answered(list.list(&of_resource(resource))).await?;
        Ok(listed.items.into_iter().filter(|job| is_owned(job, uid)).collect())
    }

    /// One Job; `None` where it is gone.
    pub(super) async fn job(&self, name: &str) -> Result<Option<Job>, Unanswered> {
        answered(self.api::<Job>().get_opt(name)).await
    }

    /// The pods of a Job, and not those that somebody else gave its label.
    pub(super) async fn pods(&self, job: &str, uid: &str) -> Result<Vec<Pod>, Unanswered> {
        let params = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}")).limit(MOST);
        let listed = answered(self.api::<Pod>().list(&params)).await?;
        Ok(listed.items.into_iter().filter(|pod| is_owned(pod, uid)).collect())
    }

    /// The events about one object.
    pub(super) async fn events(&self, uid: &str) -> Result<Vec<Event>, Unanswered> {
        let params = ListParams::default().fields(&format!("involvedObject.uid={uid}")).limit(MOST);
        Ok(answered(self.api::<Event>().list(&params)).await?.items)
    }

    /// Lets a Job stand still, or go on.
    pub(super) async fn suspend(&self, job: &str, suspend: bool) -> Result<(), Unanswered> {
        let patch = json!({"spec": {"suspend": suspend}});
        let params = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        answered(self.api::<Job>().patch(job, &params, &Patch::Merge(&patch))).await.map(drop)
    }

    /// Removes a Job and its pods.
    pub(super) async fn delete_job(&self, name: &str) -> Result<(), Unanswered> {
        let params =
            DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() };
        gone(answered(self.api::<Job>().delete(name, &params)).await.map(drop))
    }

    /// Removes specs but those that are needed.
    pub(super) async fn delete_other_specs(
        &self,
        resource: &str,
        uid: &str,
        needed: &[String],
    ) -> Result<(), Unanswered> {
        let api = self.api::<ConfigMap>();
        let listed = answered(api.list(&of_resource(resource))).await?;
        for old in listed.items.iter().filter(|one| is_owned(*one, uid) && !needed.contains(&one.name_any())) {
            gone(answered(api.delete(&old.name_any(), &DeleteParams::default())).await.map(drop))?;
        }
        Ok(())
    }

    /// A claim; `None` where there is none.
    pub(super) async fn claim(&self, name: &str) -> Result<Option<PersistentVolumeClaim>, Unanswered> {
        answered(self.api::<PersistentVolumeClaim>().get_opt(name)).await
    }
}

fn of_resource(name: &str) -> ListParams {
    ListParams::default().labels(&format!("{RESOURCE}={name}")).limit(MOST)
}

fn is_owned<K: Resource<DynamicType = ()>>(object: &K, uid: &str) -> bool {
    object.owner_references().iter().any(|owner| owner.uid == uid)
}

fn gone(deleted: Result<(), Unanswered>) -> Result<(), Unanswered> {
    match deleted {
        Err(error) if error.code() == Some(404) => Ok(()),
        deleted => deleted,
    }
}
