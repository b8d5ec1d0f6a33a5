//! What is asked of the API server: lists that are whole or none, and watches that resources share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::core::Selector;
use kube::{Api, Client};
use tokio::sync::OnceCell;

use super::serving::ServingPod;
use super::watch::{Kept, Watched};
use super::workloads::{Made, MakesPods, Workloads};
use crate::clock::Clock;
use crate::cluster::{self, Unanswered, answered};

/// Pods of one page of a list.
const PAGE: u32 = 500;
/// Most pages of one list: 250 000 pods, more than a cluster may have (150 000).
const MOST_PAGES: usize = 500;
/// How long the API server is asked to keep a watch, for whoever does not say.
const WATCH: Duration = Duration::from_secs(290);

/// The API server of pods. Clones share the client and the watches.
#[derive(Clone)]
pub struct KubernetesApi(Arc<Inner>);

struct Inner {
    client: OnceCell<Client>,
    watch: Duration,
    pods: Registry<ServingPod>,
    deployments: Registry<Made<Deployment>>,
    stateful_sets: Registry<Made<StatefulSet>>,
    daemon_sets: Registry<Made<DaemonSet>>,
}

impl std::fmt::Debug for KubernetesApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KubernetesApi").finish_non_exhaustive()
    }
}

impl Default for KubernetesApi {
    /// The API server of KUBECONFIG, of ~/.kube/config or of the pod's ServiceAccount, looked for when it is first asked.
    fn default() -> Self {
        Self::with(OnceCell::new(), WATCH)
    }
}

impl KubernetesApi {
    /// The API server of this client, which is asked to keep a watch for `watch`.
    pub fn of(client: Client, watch: Duration) -> Self {
        Self::with(OnceCell::new_with(Some(client)), watch)
    }

    fn with(client: OnceCell<Client>, watch: Duration) -> Self {
        Self(Arc::new(Inner {
            client,
            watch,
            pods: Registry::default(),
            deployments: Registry::default(),
            stateful_sets: Registry::default(),
            daemon_sets: Registry::default(),
        }))
    }

    /// The client.
    ///
    /// # Errors
    /// Where there is no API server, or none that can be used.
    pub(crate) async fn client(&self) -> Result<Client, String> {
        let made =
            self.0.client.get_or_try_init(|| async { cluster::connect(self.0.watch).await.map(|(client, _)| client) });
        made.await.cloned()
    }

    /// The pods of a namespace that a selector names, as they are now.
    ///
    /// # Errors
    /// When the answer is not whole.
    pub(super) async fn list_pods<T>(
        &self,
        namespace: &str,
        selector: &Selector,
        keep: impl Fn(&Pod) -> T,
    ) -> Result<Vec<T>, String> {
        let pods: Api<Pod> = Api::namespaced(self.client().await?, namespace);
        let mut page = ListParams::default().labels_from(selector).limit(PAGE);
        let mut kept = Vec::new();
        for _ in 0..MOST_PAGES {
            let listed = answered(pods.list(&page)).await.map_err(|error| refused("pods", namespace, &error))?;
            kept.extend(listed.items.iter().map(&keep));
            match listed.metadata.continue_.filter(|next| !next.is_empty()) {
                None => return Ok(kept),
                Some(next) => page = page.continue_token(&next),
            }
        }
        Err(format!("the list of the pods of namespace {namespace} does not end"))
    }

    /// The watch of the pods that serve.
    pub(super) async fn pods(
        &self,
        namespace: &str,
        selector: &Selector,
        clock: &Arc<dyn Clock>,
    ) -> Result<Arc<Watched<ServingPod>>, String> {
        let client = self.client().await?;
        Ok(self.0.pods.get(namespace, &selector.to_string(), || {
            Watched::begin(Api::namespaced(client, namespace), "pods", namespace, Some(selector), self.0.watch, clock)
        }))
    }

    /// The watches of what makes pods in a namespace.
    pub(super) async fn workloads(&self, namespace: &str, clock: &Arc<dyn Clock>) -> Result<Workloads, String> {
        let client = self.client().await?;
        let watch = self.0.watch;
        Ok(Workloads {
            deployments: self.0.deployments.made(&client, namespace, watch, clock),
            stateful_sets: self.0.stateful_sets.made(&client, namespace, watch, clock),
            daemon_sets: self.0.daemon_sets.made(&client, namespace, watch, clock),
        })
    }
}

/// Watches as long as somebody holds them.
struct Registry<T>(Mutex<BTreeMap<Place, Weak<Watched<T>>>>);

/// A namespace, and what is watched there.
type Place = (String, String);

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Kept> Registry<T> {
    fn get(&self, namespace: &str, what: &str, begin: impl FnOnce() -> Arc<Watched<T>>) -> Arc<Watched<T>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, watched| watched.strong_count() > 0);
        let key = (namespace.to_owned(), what.to_owned());
        if let Some(watched) = known.get(&key).and_then(Weak::upgrade) {
            return watched;
        }
        let watched = begin();
        known.insert(key, Arc::downgrade(&watched));
        watched
    }
}

impl<K: MakesPods> Registry<Made<K>> {
    fn made(&self, client: &Client, namespace: &str, keep: Duration, clock: &Arc<dyn Clock>) -> Arc<Watched<Made<K>>> {
        let objects = Api::namespaced(client.clone(), namespace);
        self.get(namespace, "", || Watched::begin(objects, K::WORDS, namespace, None, keep, clock))
    }
}

/// Why objects of a kind could not be read.
pub(super) fn refused(kind: &str, namespace: &str, error: &Unanswered) -> String {
    match error.code() {
        Some(403) => not_allowed(kind, namespace),
        Some(410) => {
            format!("the {kind} of namespace {namespace} changed too fast to be listed whole; they are listed again")
        }
        _ => format!("the {kind} of namespace {namespace} cannot be listed: {error}"),
    }
}

/// What to do about a refusal.
pub(super) fn not_allowed(kind: &str, namespace: &str) -> String {
    format!("the {kind} of namespace {namespace} may not be read; allow the ServiceAccount to list and watch them")
}
