//! Resources that are named `NAMESPACE/NAME`: read from the API server, and asked for again before each step.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::Client;
use serde_json::Value;
use tokio::runtime::Handle;

use crate::clock::Clock;
use crate::cluster::{Unanswered, resource};
use crate::observe::containers::KubernetesApi;
use crate::orders::Orders;
use crate::policy::ResourceName;
use crate::spec::{ObjectVersion, Objects, object_name};

/// Orders that were confirmed longer ago are asked for again.
const ANEW: Duration = Duration::from_secs(1);

/// What the `-f` values `files` name of the objects of a cluster.
pub(super) async fn named(files: &[String], api: &KubernetesApi) -> Objects {
    let mut objects = Objects::new();
    for file in files {
        if let Some(name) = object_name(file) {
            let object = read(&name, api).await.map_err(|why| format!("there is no such file, and {why}"));
            objects.insert(file.clone(), object);
        }
    }
    objects
}

/// The object as the API server has it now.
///
/// # Errors
/// Why it cannot be read, and the way out.
pub(super) async fn read(name: &ResourceName, api: &KubernetesApi) -> Result<Value, String> {
    let client = api.client().await.map_err(|why| format!("no cluster that can be asked: {why}"))?;
    let object = resource(client, name).await.map_err(|error| unreadable(name, &error))?;
    serde_json::to_value(object).map_err(|error| format!("{}/{}: {error}", name.namespace, name.name))
}

fn unreadable(name: &ResourceName, error: &Unanswered) -> String {
    let (namespace, name) = (&name.namespace, &name.name);
    match error.code() {
        // Where there is no definition the answer names no object.
        Some(404) if !error.to_string().contains(&format!("\"{name}\"")) => {
            "that cluster knows no WorkspaceHygiene; `hygiene crd | kubectl apply --server-side -f -` makes it known"
                .into()
        }
        Some(404) => {
            format!(
                "there is no WorkspaceHygiene {name} in namespace {namespace}; `kubectl -n {namespace} get wsh` lists them"
            )
        }
        Some(403) => format!(
            "WorkspaceHygiene {name} in namespace {namespace} may not be read; allow this user to get \
             workspacehygienes.hygiene.dev there"
        ),
        Some(401) => "the API server does not know who asks; renew the credentials of the kubeconfig".into(),
        _ => format!("WorkspaceHygiene {name} in namespace {namespace} cannot be read: {error}"),
    }
}

/// The orders of one version of an object. They are asked for on threads that may wait, never on one of the runtime.
pub(super) struct Current {
    client: Client,
    name: ResourceName,
    version: ObjectVersion,
    clock: Arc<dyn Clock>,
    handle: Handle,
    /// The last answer, and when it was asked for, by the machine's uptime.
    last: Mutex<Option<(Duration, Result<(), String>)>>,
}

impl Current {
    /// Those of a version that was read with `api` on this runtime.
    ///
    /// # Errors
    /// When there is no API server, which is not so after it was read.
    pub(super) async fn of(
        name: &ResourceName,
        version: ObjectVersion,
        api: &KubernetesApi,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let (client, clock, last) = (api.client().await?, Arc::clone(clock), Mutex::new(None));
        Ok(Self { client, name: name.clone(), version, clock, handle: Handle::current(), last })
    }

    async fn ask(&self) -> Result<(), String> {
        let found = resource(self.client.clone(), &self.name).await.map_err(|error| match error.code() {
            Some(404) => "the resource was deleted".to_owned(),
            _ => format!("whether the resource changed since is not known: {error}"),
        })?;
        self.version.stands(&found.metadata)
    }
}

impl Orders for Current {
    fn standing(&self) -> Result<(), String> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // From before the question was sent.
        let now = self.clock.uptime();
        match &*last {
            Some((asked, answer)) if now.saturating_sub(*asked) < ANEW => answer.clone(),
            _ => {
                let answer = self.handle.block_on(self.ask());
                *last = Some((now, answer.clone()));
                answer
            }
        }
    }
}
