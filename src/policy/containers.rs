//! Which containers serve the workspaces: `spec.containers`.

use std::fmt;
use std::time::Duration;

use hyper::Uri;
use tokio_rustls::rustls::pki_types::ServerName;

use super::NamePattern;
use super::convert::duration;
use super::ecs::{self, EcsPolicy};
use super::faults::Faults;
use super::kubernetes::{self, KubernetesPolicy};
use crate::api;

const MILLISECOND: Duration = Duration::from_millis(1);

/// Which containers serve the workspaces, and when they count as well.
#[derive(Clone, Debug)]
pub struct ContainerPolicy {
    /// Pods of the resource's own namespace.
    pub kubernetes: Option<KubernetesPolicy>,
    /// Tasks of an ECS cluster.
    pub ecs: Option<EcsPolicy>,
    /// A health endpoint.
    pub http: Option<HttpPolicy>,
    /// How long everything must have been healthy before anything is touched.
    pub settle: Duration,
    /// What to do while there is no serving container at all. A health endpoint never says so: one that does not answer
    /// is unhealthy.
    pub when_absent: WhenAbsent,
}

/// What to do while there is no serving container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenAbsent {
    /// Delete nothing.
    Hold,
    /// Go on.
    Proceed,
}

/// A health endpoint.
#[derive(Clone, Debug)]
pub struct HttpPolicy {
    /// Its address.
    pub url: HealthUrl,
    /// Time after which a missing answer counts as unhealthy.
    pub timeout: Duration,
    /// Longest `event_loop_lag_ms` that still counts as healthy; `None` where the answer's body is not looked at.
    pub max_event_loop_lag: Option<Duration>,
}

/// The address of a health endpoint, in parts. As text it is without its query, which could hold a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthUrl {
    /// The name that the server's certificate must be for; `None` for plain HTTP.
    pub tls: Option<ServerName<'static>>,
    /// Name or address of the host, an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What the `Host` header says.
    pub authority: String,
    /// What is asked for, with the query.
    pub target: String,
}

impl fmt::Display for HealthUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let path = self.target.split('?').next().unwrap_or_default();
        write!(f, "{scheme}://{}{path}", self.authority)
    }
}

impl HealthUrl {
    /// Parses an address. The error says what to write instead, and never repeats the address.
    fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "is no http or https address with a host, like http://collab:4096/healthz";
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).ok_or(FORM)?;
        if rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@')) {
            return Err("holds a user name or a password; a health endpoint is asked without one: remove everything \
                        before the @ and the @ itself");
        }
        if text.contains('#') {
            return Err("has a fragment, which is never sent to a server; remove the # and what follows it");
        }
        let uri: Uri = text.parse().map_err(|_| FORM)?;
        let (Some(authority), Some(host)) = (uri.authority(), uri.host().filter(|host| !host.is_empty())) else {
            return Err(FORM);
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = match (authority.as_str().strip_prefix(uri.host().unwrap_or_default()), uri.port_u16()) {
            (Some(""), _) => {
                if text.starts_with("https") {
                    443
                } else {
                    80
                }
            }
            (Some(_), Some(port)) if port > 0 => port,
            _ => return Err("has a port that is none; write a number from 1 to 65535 behind the colon"),
        };
        let name = || ServerName::try_from(host.clone()).map_err(|_| "has a host that no certificate can be for");
        let tls = if text.starts_with("https") { Some(name()?) } else { None };
        let target = uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        Ok(Self { tls, host, port, authority: authority.as_str().to_owned(), target })
    }
}

/// `spec.containers`, if it is given and in order.
pub(super) fn containers(
    spec: Option<&api::ContainersSpec>,
    namespace: &str,
    pattern: Option<&NamePattern>,
    faults: &mut Faults,
) -> Option<ContainerPolicy> {
    let spec = spec?;
    if spec.kubernetes.is_none() && spec.ecs.is_none() && spec.http.is_none() {
        faults.add("spec.containers", "", "give at least one of kubernetes, ecs and http");
    }
    let http = spec.http.as_ref().map(|http| self::http(http, faults));
    let day = Duration::from_secs(24 * 3600);
    let settle = duration("spec.containers.settle", &spec.settle, Duration::ZERO, day, faults);
    let when_absent = match spec.when_absent {
        api::WhenAbsent::Hold => WhenAbsent::Hold,
        api::WhenAbsent::Proceed => WhenAbsent::Proceed,
    };
    let ecs = spec.ecs.as_ref().map(|ecs| ecs::ecs(ecs, when_absent, http.is_some(), faults));
    let times = (settle.unwrap_or_default(), when_absent);
    let pods = spec.kubernetes.as_ref();
    let pods = pods.map(|pods| kubernetes::kubernetes(pods, namespace, pattern, times, faults));
    let http = match http {
        Some(http) => Some(http?),
        None => None,
    };
    let ecs = match ecs {
        Some(ecs) => Some(ecs?),
        None => None,
    };
    let kubernetes = match pods {
        Some(pods) => Some(pods?),
        None => None,
    };
    Some(ContainerPolicy { kubernetes, ecs, http, settle: settle?, when_absent })
}

fn http(spec: &api::HttpSpec, faults: &mut Faults) -> Option<HttpPolicy> {
    // Not shown: its query could hold a secret.
    let url = faults.check("spec.containers.http.url", "", HealthUrl::parse(&spec.url));
    // No answer older than 10 s is relied on, so none that takes longer is of use (DESIGN, promise 13).
    let most = Duration::from_secs(10);
    let timeout = duration("spec.containers.http.timeout", &spec.timeout, MILLISECOND, most, faults);
    let field = "spec.containers.http.maxEventLoopLag";
    let hour = Duration::from_secs(3600);
    let lag = spec.max_event_loop_lag.as_ref().map(|lag| duration(field, lag, MILLISECOND, hour, faults));
    let max_event_loop_lag = match lag {
        Some(lag) => Some(lag?),
        None => None,
    };
    Some(HttpPolicy { url: url?, timeout: timeout?, max_event_loop_lag })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let url = HealthUrl::parse("http://collab:4096/healthz?token=abc").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.target.as_str()), ("collab", 4096, "/healthz?token=abc"));
        assert_eq!(url.to_string(), "http://collab:4096/healthz", "a query may hold a secret");
        let url = HealthUrl::parse("https://health.example.com").unwrap();
        assert_eq!((url.port, url.target.as_str(), url.tls.is_some()), (443, "/", true));
        let url = HealthUrl::parse("http://[::1]/x").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.authority.as_str()), ("::1", 80, "[::1]"));
    }

    #[test]
    fn what_is_no_address_is_refused_and_never_repeated() {
        for (text, told) in [
            ("http://me:hunter2@collab/healthz", "holds a user name or a password"),
            ("https://hunter2@collab", "holds a user name or a password"),
            ("http://collab/#hunter2", "has a fragment"),
            ("ftp://collab/hunter2", "is no http or https address"),
            ("collab/hunter2", "is no http or https address"),
            ("http://", "is no http or https address"),
            ("http:///hunter2", "is no http or https address"),
            ("http://:80/hunter2", "is no http or https address"),
            ("http://collab:0/hunter2", "has a port that is none"),
            ("http://collab:70000/hunter2", "has a port that is none"),
            ("https://-/hunter2", "has a host that no certificate can be for"),
        ] {
            let message = HealthUrl::parse(text).expect_err(text);
            assert!(message.starts_with(told) && !message.contains("hunter2"), "{text}: {message}");
        }
    }
}
