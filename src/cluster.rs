//! The client of a Kubernetes API server: every request has an end, and few are tried twice.

use std::time::Duration;

use kube::api::{ApiResource, DynamicObject};
use kube::{Api, Client, Config};

use crate::api::WorkspaceHygiene;
use crate::policy::ResourceName;

/// Longest time for a connection, and for one request but a watch.
pub(crate) const REQUEST: Duration = Duration::from_secs(10);
/// So much longer than a watch the client waits for a byte of it, before it takes the connection for dead.
const BEYOND_WATCH: Duration = Duration::from_secs(10);

/// A client by KUBECONFIG, ~/.kube/config or the ServiceAccount of a pod, and the namespace that it names. `watch` is how long
/// the API server is asked to keep a watch.
///
/// # Errors
/// Where there is neither, or what there is cannot be used.
pub async fn connect(watch: Duration) -> Result<(Client, String), String> {
    let mut config = Config::infer().await.map_err(|error| {
        format!("the API server is not known: {error}; set KUBECONFIG, or run in a pod with a ServiceAccount")
    })?;
    // Its own would try for two and a half minutes what is decided anew here long before.
    config.default_retry = false;
    config.connect_timeout = Some(REQUEST);
    config.write_timeout = Some(REQUEST);
    config.read_timeout = Some(watch + BEYOND_WATCH);
    config.reset_reader_on_write = true;
    let namespace = config.default_namespace.clone();
    let client = Client::try_from(config).map_err(|error| format!("the API server cannot be used: {error}"))?;
    Ok((client, namespace))
}

/// Waits for the answer to a request no longer than [`REQUEST`].
///
/// # Errors
/// That of the request, or that there was no answer.
pub(crate) async fn answered<T>(asked: impl Future<Output = kube::Result<T>>) -> Result<T, Unanswered> {
    within(REQUEST, asked).await
}

/// The same no longer than `longest`.
///
/// # Errors
/// As [`answered`].
pub(crate) async fn within<T>(
    longest: Duration,
    asked: impl Future<Output = kube::Result<T>>,
) -> Result<T, Unanswered> {
    match tokio::time::timeout(longest, asked).await {
        Ok(answer) => answer.map_err(Unanswered::Error),
        Err(_) => Err(Unanswered::Silence(longest)),
    }
}

/// A request that came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// The API server said why, or could not be reached.
    #[error("{0}")]
    Error(kube::Error),
    /// Nobody answered. Whether it was done is not known.
    #[error("the API server did not answer within {} s", .0.as_secs_f64())]
    Silence(Duration),
}

impl Unanswered {
    /// Whether it is known that nothing was done.
    pub(crate) fn is_refusal(&self) -> bool {
        self.code().is_some_and(|code| (400..500).contains(&code))
    }

    /// The code of the API server's refusal; `None` where it did not say anything.
    pub(crate) fn code(&self) -> Option<u16> {
        match self {
            Self::Error(kube::Error::Api(status)) => Some(status.code),
            _ => None,
        }
    }
}

/// The resources of a namespace as plain objects, so that what this version does not know of them is there too.
pub(crate) fn resources(client: Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client, namespace, &ApiResource::erase::<WorkspaceHygiene>(&()))
}

/// One resource as it is now.
///
/// # Errors
/// As [`answered`].
pub(crate) async fn resource(client: Client, name: &ResourceName) -> Result<DynamicObject, Unanswered> {
    answered(resources(client, &name.namespace).get(&name.name)).await
}

/// The time up to a fifth longer or shorter, so that those that began together do not stay together.
pub(crate) fn jittered(time: Duration) -> Duration {
    let share = uuid::Uuid::now_v7().as_bytes()[15];
    time.mul_f64(0.8 + 0.4 * f64::from(share) / 255.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_a_fifth() {
        let times: Vec<_> = (0..200).map(|_| jittered(Duration::from_secs(10))).collect();
        assert!(times.iter().all(|time| (Duration::from_secs(8)..=Duration::from_secs(12)).contains(time)));
        assert!(times.iter().max() > times.iter().min());
    }
}
