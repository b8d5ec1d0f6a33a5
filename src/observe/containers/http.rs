//! A health endpoint. It is asked over a connection of its own each time, so that no answer is an old one; nothing is
//! followed, kept, unpacked or sent on. What the endpoint writes never gets into a message.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CACHE_CONTROL, CONNECTION, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ClientConfig, Error as TlsError, RootCertStore};

use super::{ContainerEvidence, Look};
use crate::names::SessionId;
use crate::observe::{Health, IdSet, Reading};
use crate::policy::HttpPolicy;
use crate::report::text::length;

/// Most of a body that is read, in bytes. A health answer has some hundred.
const MOST: usize = 64 * 1024;
/// Most that an answer's head may have, in bytes.
const HEAD: usize = 64 * 1024;
/// Whom the endpoint is told that it is asked by.
const AGENT: &str = concat!("hygiene/", env!("CARGO_PKG_VERSION"));

/// A health endpoint.
pub struct Http {
    policy: HttpPolicy,
    /// For an https address only.
    tls: Option<Result<TlsConnector, TlsError>>,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").field("url", &self.policy.url.to_string()).finish_non_exhaustive()
    }
}

/// The part of an answer that is looked at.
#[derive(Deserialize)]
struct Answer {
    event_loop_lag_ms: Option<serde_json::Value>,
}

impl Http {
    /// The endpoint that `policy` names. An https one must prove itself by the public authorities.
    pub fn new(policy: HttpPolicy) -> Self {
        Self::trusting(policy, RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
    }

    /// The same with other authorities.
    pub fn trusting(policy: HttpPolicy, authorities: RootCertStore) -> Self {
        let tls = policy.url.tls.is_some().then(|| connector(authorities));
        Self { policy, tls }
    }

    /// Asks once.
    ///
    /// # Errors
    /// Why the service does not count as healthy.
    async fn look(&self) -> Result<(), String> {
        let timeout = self.policy.timeout;
        match tokio::time::timeout(timeout, self.ask()).await {
            Ok(found) => found,
            Err(_) => Err(format!("gave no whole answer within {}", length(timeout))),
        }
    }

    async fn ask(&self) -> Result<(), String> {
        let url = &self.policy.url;
        let stream = TcpStream::connect((url.host.as_str(), url.port));
        let stream = stream.await.map_err(|error| format!("cannot be reached: {error}"))?;
        let (Some(tls), Some(name)) = (&self.tls, &url.tls) else { return self.exchange(stream).await };
        let tls = tls.as_ref().map_err(|error| format!("cannot be asked over TLS: {error}"))?;
        let stream = tls.connect(name.clone(), stream).await.map_err(|error| {
            // Only what our own side found: the texts of a certificate are the server's.
            match error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
                Some(TlsError::InvalidCertificate(_)) => {
                    "has a certificate that no public authority vouches for under this name and today".to_owned()
                }
                Some(_) => "does not speak TLS as it should; does the address need http instead of https?".to_owned(),
                None => format!("ended the TLS connection: {error}"),
            }
        })?;
        self.exchange(stream).await
    }

    async fn exchange(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<(), String> {
        let connected = http1::Builder::new().max_buf_size(HEAD).handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = connected.map_err(broken)?;
        // Ends with this look, also where that one is cut short.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let url = &self.policy.url;
        let request = Request::get(&url.target)
            .header(HOST, &url.authority)
            .header(USER_AGENT, AGENT)
            .header(ACCEPT, "application/json, */*;q=0.5")
            .header(CACHE_CONTROL, "no-cache")
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|_| "has an address that cannot be asked for".to_owned())?;
        let answer = sender.send_request(request).await.map_err(broken)?;
        let status = answer.status();
        if status.is_redirection() {
            return Err(format!(
                "answers {} and redirects are not followed; give the address it leads to",
                status.as_u16()
            ));
        }
        if !status.is_success() {
            return Err(format!("answers {}", status.as_u16()));
        }
        let body = read(answer.into_body()).await?;
        match self.policy.max_event_loop_lag {
            Some(most) => within(body, most),
            None => Ok(()),
        }
    }
}

/// The body, as far as it is not longer than [`MOST`]; `None` of one that is.
async fn read(mut body: Incoming) -> Result<Option<Vec<u8>>, String> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(broken)?;
        let Some(data) = frame.data_ref() else { continue };
        if read.len() + data.len() > MOST {
            return Ok(None);
        }
        read.extend_from_slice(data);
    }
    Ok(Some(read))
}

/// Whether the event loop keeps up, as the body tells.
fn within(body: Option<Vec<u8>>, most: Duration) -> Result<(), String> {
    let body = body.ok_or("answers with more than 64 KiB, so its event_loop_lag_ms is not read")?;
    // A list could stand for the fields in their order as well, and is no object.
    let object = Some(body.as_slice()).filter(|body| body.trim_ascii_start().starts_with(b"{"));
    let answer: Answer = object
        .and_then(|object| serde_json::from_slice(object).ok())
        .ok_or("answers with something else than a JSON object, so its event_loop_lag_ms is not known")?;
    let lag = answer.event_loop_lag_ms.ok_or("answers without event_loop_lag_ms")?;
    let lag = lag.as_f64().filter(|lag| *lag >= 0.0).ok_or("has an event_loop_lag_ms that is no number from 0 up")?;
    let limit = most.as_secs_f64() * 1e3;
    if lag > limit {
        // Whatever number it sends, what is printed of it stays short.
        let shown = lag.ceil().min(1e12);
        return Err(format!("has an event_loop_lag_ms of {shown}, and maxEventLoopLag is {}", length(most)));
    }
    Ok(())
}

fn broken(error: hyper::Error) -> String {
    let what = if error.is_parse() {
        "does not answer in HTTP"
    } else if error.is_incomplete_message() {
        "closed the connection in the middle of its answer"
    } else {
        "broke off the exchange"
    };
    what.to_owned()
}

fn connector(authorities: RootCertStore) -> Result<TlsConnector, TlsError> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(authorities)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[async_trait]
impl ContainerEvidence for Http {
    async fn serving(&self, _: Look) -> Option<Reading<Health>> {
        let health = match self.look().await {
            Ok(()) => Health::Healthy,
            // A missing answer is unhealthy, not unknown: either way nothing is deleted.
            Err(why) => Health::Unhealthy(format!("{} {why}", self.policy.url)),
        };
        Some(Reading::Complete(health))
    }

    async fn claims(&self) -> Option<Reading<IdSet>> {
        None
    }

    async fn is_claimed(&self, _: &SessionId) -> Option<Reading<bool>> {
        None
    }
}
