//! The watches: objects as they come, whatever is in them.
//!
//! They are watched as plain objects: one that does not decode as a WorkspaceHygiene is judged like any other, so that it hides
//! none and all its faults are told. A watch that breaks begins anew with a whole list, and until that is there nothing is
//! known: a resource may have been changed or deleted in the gap.

use std::time::Duration;

use futures_util::StreamExt;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::{ApiResource, DynamicObject, TypeMeta};
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::api::{API_VERSION, KIND, WorkspaceHygiene};
use crate::cluster::jittered;
use crate::policy::ResourceName;

/// First pause after a watch broke, which doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// One version of an object.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) uid: String,
    pub(super) name: ResourceName,
    pub(super) generation: i64,
    pub(super) deleted: bool,
    pub(super) created: Option<Timestamp>,
    /// Annotations of ours.
    pub(super) asked: Vec<Asked>,
    /// The object, without status and what else changes all the time.
    pub(super) object: Value,
    pub(super) status: Option<Value>,
}

/// An annotation of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What comes after `hygiene.dev/`.
    pub what: String,
    /// What it says.
    pub value: String,
    /// The field manager that set it, as the API server noted it.
    pub by: Option<String>,
}

/// Our annotations of an object.
pub fn asked(object: &DynamicObject) -> Vec<Asked> {
    let managers = object.metadata.managed_fields.as_deref().unwrap_or_default();
    let asked = |(name, value): (&String, &String)| {
        let what = name.strip_prefix(OURS)?.to_owned();
        Some(Asked { what, value: value.clone(), by: manager(managers, name) })
    };
    object.metadata.annotations.iter().flatten().filter_map(asked).collect()
}

/// What a watch tells.
#[derive(Debug)]
pub(super) enum News {
    /// These are all objects of the scope.
    All(usize, Vec<Seen>),
    /// One is new or changed.
    One(usize, Box<Seen>),
    /// One is gone.
    Gone(usize, String),
    /// What there is in the scope is not known any more.
    Unsure(usize, String),
}

/// The prefix of our annotations.
pub(super) const OURS: &str = "hygiene.dev/";

/// Watches one namespace, or all, for ever.
pub(super) async fn watch(
    client: Client,
    scope: usize,
    namespace: Option<String>,
    keep: Duration,
    tell: mpsc::Sender<News>,
) {
    let kind = ApiResource::erase::<WorkspaceHygiene>(&());
    let api: Api<DynamicObject> = match &namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &kind),
        None => Api::all_with(client, &kind),
    };
    let seconds = u32::try_from(keep.as_secs()).unwrap_or(u32::MAX);
    let mut pause = FIRST_PAUSE;
    loop {
        let config = watcher::Config::default().timeout(seconds);
        let mut events = std::pin::pin!(watcher(api.clone(), config));
        let mut listed = Vec::new();
        let broke = loop {
            let news = match events.next().await {
                None => break "it ended".to_owned(),
                Some(Err(error)) => break error.to_string(),
                Some(Ok(watcher::Event::Init)) => {
                    listed.clear();
                    continue;
                }
                Some(Ok(watcher::Event::InitApply(object))) => {
                    listed.extend(seen(object));
                    continue;
                }
                Some(Ok(watcher::Event::InitDone)) => {
                    pause = FIRST_PAUSE;
                    News::All(scope, std::mem::take(&mut listed))
                }
                Some(Ok(watcher::Event::Apply(object))) => match seen(object) {
                    Some(seen) => News::One(scope, Box::new(seen)),
                    None => continue,
                },
                Some(Ok(watcher::Event::Delete(object))) => match object.meta().uid.clone() {
                    Some(uid) => News::Gone(scope, uid),
                    None => continue,
                },
            };
            if tell.send(news).await.is_err() {
                return;
            }
        };
        if tell.send(News::Unsure(scope, broke)).await.is_err() {
            return;
        }
        tokio::time::sleep(jittered(pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What is read of an object; `None` for one without a name or uid, which no API server sends.
fn seen(object: DynamicObject) -> Option<Seen> {
    let asked = asked(&object);
    let DynamicObject { types, mut metadata, mut data } = object;
    metadata.managed_fields = None;
    // The items of a list may come without.
    let types = types.or_else(|| Some(TypeMeta { api_version: API_VERSION.into(), kind: KIND.into() }));
    let status = data.as_object_mut().and_then(|data| data.remove("status"));
    let name = ResourceName::new(metadata.namespace.clone()?, metadata.name.clone()?);
    let (uid, generation) = (metadata.uid.clone()?, metadata.generation.unwrap_or(0));
    let (deleted, created) =
        (metadata.deletion_timestamp.is_some(), metadata.creation_timestamp.as_ref().map(|time| time.0));
    let object = serde_json::to_value(DynamicObject { types, metadata, data }).ok()?;
    Some(Seen { uid, name, generation, deleted, created, asked, object, status })
}

/// Who set an annotation.
fn manager(managers: &[ManagedFieldsEntry], annotation: &str) -> Option<String> {
    let owns = |entry: &&ManagedFieldsEntry| {
        let annotations = entry.fields_v1.as_ref().and_then(|fields| fields.0.get("f:metadata")?.get("f:annotations"));
        annotations.is_some_and(|annotations| annotations.get(format!("f:{annotation}")).is_some())
    };
    managers.iter().find(owns)?.manager.clone()
}
