//! One GET over HTTP/1.1, for addresses on this machine: our own health and the ECS metadata endpoint.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use url::{Host, Position, Url};

use crate::report::text::length;

/// Most of an answer that is read, in bytes.
const MOST: usize = 64 * 1024;

/// Asks once, and gives the status and the body.
///
/// # Errors
/// Why there is no answer, as the end of a sentence that begins with the address.
pub(crate) async fn get(url: &Url, timeout: Duration) -> Result<(u16, Bytes), String> {
    let answer = tokio::time::timeout(timeout, ask(url)).await;
    answer.unwrap_or_else(|_| Err(format!("gave no whole answer within {}", length(timeout))))
}

async fn ask(url: &Url) -> Result<(u16, Bytes), String> {
    let (Some(host), Some(port), "http") = (url.host(), url.port_or_known_default(), url.scheme()) else {
        return Err("is no address that begins with http:// and names a host".into());
    };
    let stream = match host {
        Host::Domain(name) => TcpStream::connect((name, port)).await,
        Host::Ipv4(address) => TcpStream::connect((address, port)).await,
        Host::Ipv6(address) => TcpStream::connect((address, port)).await,
    };
    let stream = stream.map_err(|error| format!("cannot be reached: {error}"))?;
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(MOST).handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Ends with this call, also where that one is cut short.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let request = Request::get(&url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, &url[Position::BeforeHost..Position::AfterPort])
        .header(USER_AGENT, concat!("hygiene/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| "is no address that can be asked for".to_owned())?;
    let answer = sender.send_request(request).await.map_err(broken)?;
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), MOST).collect().await;
    let body = body.map_err(|_| "sent no whole answer of at most 64 KiB".to_owned())?;
    Ok((status, body.to_bytes()))
}

fn broken(error: hyper::Error) -> String {
    format!("broke off the exchange: {error}")
}
