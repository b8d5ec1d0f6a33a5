//! The admin server: a thread and a runtime of its own, so that it answers whatever the rest does. Whoever connects can cost
//! it little: connections, heads, time and what is written are bounded, and nothing of a request is logged.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, REFRESH};
use hyper::header::{HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::board::{Board, ResourceView, Step};
use super::metrics::Metrics;
use super::pulse::Pulse;
use super::{VERSION, page};
use crate::clock::{Clock, SystemClock};

/// Most connections at once. A balancer, a scraper and some people need a handful.
const CONNECTIONS: usize = 64;
/// Most that a request's head may have, in bytes. It is also the least buffer that hyper takes.
const HEAD: usize = 8 * 1024;
/// How long a head may take, and how long a connection may be silent between two requests.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection may live, whatever it does: what reads an answer drop by drop ends too.
const LIFE: Duration = Duration::from_secs(300);
/// How long to wait after an accept that failed, as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

const PATHS: [&str; 6] = ["/", "/healthz", "/metrics", "/readyz", "/status", "/style.css"];

/// What the admin server is handed.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 is any that is free.
    pub listen: SocketAddr,
    /// What there is to show.
    pub board: Arc<Board>,
    /// The heartbeat of the runtime that does the work.
    pub pulse: Arc<Pulse>,
    /// What was counted.
    pub metrics: Arc<Metrics>,
}

/// The admin server. It stops when this is dropped.
#[derive(Debug)]
pub struct Admin {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    /// Starts it. When this returns it is listening.
    ///
    /// # Errors
    /// When the address cannot be listened on, or no thread can be had.
    pub fn start(options: Options) -> io::Result<Self> {
        let listener = StdListener::bind(options.listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("admin".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, Arc::new(options)) => {}
                    _ = stopped => {}
                }
            });
            // The connections end with the runtime.
        })?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // That it died is no reason to die here.
            let _ = thread.join();
        }
    }
}

/// One connection: how to end it, and the number of the answer it had last.
struct Connection {
    end: AbortHandle,
    answered: Arc<AtomicU64>,
}

/// Accepts for ever. Where all places are taken the connection that has had no answer for the longest gives way: so whoever
/// holds connections open, and asks for nothing or never to the end, keeps nobody out.
async fn serve(listener: TcpListener, options: Arc<Options>) {
    let mut connections: Vec<Connection> = Vec::with_capacity(CONNECTIONS);
    let answers = Arc::new(AtomicU64::new(0));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "the admin server cannot accept");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        connections.retain(|connection| !connection.end.is_finished());
        if connections.len() >= CONNECTIONS {
            let stalest = (0..connections.len()).min_by_key(|at| connections[*at].answered.load(Ordering::Relaxed));
            if let Some(at) = stalest {
                connections.swap_remove(at).end.abort();
            }
        }
        let answered = Arc::new(AtomicU64::new(answers.fetch_add(1, Ordering::Relaxed)));
        let task = converse(stream, Arc::clone(&options), Arc::clone(&answers), Arc::clone(&answered));
        connections.push(Connection { end: tokio::spawn(task).abort_handle(), answered });
    }
}

async fn converse(stream: TcpStream, options: Arc<Options>, answers: Arc<AtomicU64>, answered: Arc<AtomicU64>) {
    let service = service_fn(|request: Request<Incoming>| {
        answered.store(answers.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        let answer = answer(request.method(), request.uri().path(), &options);
        async { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(LIFE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection of the admin server ended early"),
        Err(_) => tracing::debug!("a connection of the admin server had its time"),
    }
}

fn answer(method: &Method, path: &str, options: &Options) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut answer =
            text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD: nothing can be changed here\n".into());
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    match path {
        "/" => front(options),
        "/healthz" => health(options),
        "/readyz" => {
            let readiness = options.board.readiness();
            json(when(readiness.ready), &readiness)
        }
        "/metrics" => {
            let text = options.metrics.text(&options.board, &options.pulse);
            typed(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", text)
        }
        "/status" => status(&options.board),
        "/style.css" => typed(StatusCode::OK, "text/css; charset=utf-8", page::STYLE.into()),
        _ => text(StatusCode::NOT_FOUND, format!("there are: {}\n", PATHS.join(" "))),
    }
}

/// Whether this process is alive. It depends on nothing outside: liveness must not spread another's outage.
fn health(options: &Options) -> Response<Full<Bytes>> {
    #[derive(Serialize)]
    struct Health {
        status: &'static str,
        event_loop: &'static str,
        event_loop_lag_ms: u64,
        last_tick_age_ms: u64,
        version: &'static str,
    }
    let pulse = options.pulse.state();
    let word = if pulse.stalled { "stalled" } else { "ok" };
    let health = Health {
        status: word,
        event_loop: word,
        event_loop_lag_ms: pulse.lag_ms,
        last_tick_age_ms: pulse.last_tick_age_ms,
        version: VERSION,
    };
    json(when(!pulse.stalled), &health)
}

/// Everything that is shown, as data.
fn status(board: &Board) -> Response<Full<Bytes>> {
    #[derive(Serialize)]
    struct Status<'a> {
        version: &'static str,
        ready: bool,
        /// Why a newer spec was not taken over.
        fault: Option<String>,
        /// The steps that are under way.
        working: Vec<Step>,
        resources: Vec<&'a ResourceView>,
    }
    let views = board.views();
    let resources = views.iter().map(AsRef::as_ref).collect();
    let (ready, fault, working) = (board.is_ready(), board.fault_now(), board.steps());
    json(StatusCode::OK, &Status { version: VERSION, ready, fault, working, resources })
}

fn front(options: &Options) -> Response<Full<Bytes>> {
    let html = page::html(&options.board, options.pulse.state(), SystemClock.now());
    let mut answer = typed(StatusCode::OK, "text/html; charset=utf-8", html);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(page::POLICY));
    headers.insert(REFRESH, HeaderValue::from_static(page::REFRESH));
    answer
}

fn when(well: bool) -> StatusCode {
    if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn json(status: StatusCode, document: &impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_string(document) {
        Ok(body) => typed(status, "application/json", body + "\n"),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("this cannot be written as JSON: {error}\n")),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", body)
}

fn typed(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}
