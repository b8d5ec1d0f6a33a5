//! What stands between a controller and the API server: it sees each request, and refuses, delays or cuts the answer as the test
//! says. The controller speaks plain HTTP with it; it speaks with the API server as a user whose certificate it has.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::Cluster;
use super::cluster::client;

/// A request.
#[derive(Clone, Debug)]
pub struct Call {
    /// `get`, `list`, `watch`, `create`, `update`, `patch` or `delete`.
    pub verb: &'static str,
    /// The resource, with the subresource after a slash.
    pub what: String,
    /// How many of this verb for this resource there were before.
    pub number: usize,
}

impl Call {
    pub fn is(&self, verb: &str, what: &str) -> bool {
        self.verb == verb && self.what == what
    }
}

/// What becomes of a request.
pub enum Answer {
    /// It is answered.
    Pass,
    /// It is answered with this code and reason, and does not reach the API server.
    Refuse(u16, &'static str),
    /// It is answered with 429, and that it may be tried again after so many seconds.
    Later(u32),
    /// It is answered so much later.
    Late(Duration),
    /// It is done, and the connection is cut before the answer.
    Lose,
    /// It is answered with this text.
    Say(String),
}

type Rule = Arc<dyn Fn(&Call) -> Answer + Send + Sync>;
type Answered = Response<UnsyncBoxBody<Bytes, kube::Error>>;

struct Shared {
    client: Client,
    rule: Mutex<Rule>,
    calls: Mutex<Vec<Call>>,
    /// Whether anything gets through.
    open: watch::Sender<bool>,
    /// Counts how often the streams were ended.
    ended: watch::Sender<u32>,
}

pub struct Proxy {
    kubeconfig: PathBuf,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl Proxy {
    /// One that passes on what a user of the cluster is asked for.
    pub fn start(cluster: &Cluster, user: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            client: runtime.block_on(client(&cluster.kubeconfig(user))),
            rule: Mutex::new(Arc::new(|_| Answer::Pass)),
            calls: Mutex::default(),
            open: watch::Sender::new(true),
            ended: watch::Sender::new(0),
        });
        runtime.spawn(accept(listener, Arc::clone(&shared)));
        let kubeconfig = cluster.kubeconfig(&format!("proxy-{port}"));
        fs::write(&kubeconfig, kubeconfig_of(port)).unwrap();
        Self { kubeconfig, shared, runtime: Some(runtime) }
    }

    /// What a controller finds it by.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// From now on requests are counted anew, and this is asked what becomes of each.
    pub fn rule(&self, rule: impl Fn(&Call) -> Answer + Send + Sync + 'static) {
        let mut now = self.shared.rule.lock().unwrap();
        self.shared.calls.lock().unwrap().clear();
        *now = Arc::new(rule);
    }

    /// The requests since the rule was set.
    pub fn calls(&self, verb: &str, what: &str) -> usize {
        self.shared.calls.lock().unwrap().iter().filter(|call| call.is(verb, what)).count()
    }

    /// Lets nothing through any more, in either direction, and cuts no connection.
    pub fn cut(&self) {
        self.shared.open.send_replace(false);
    }

    /// Lets everything through again.
    pub fn mend(&self) {
        self.shared.open.send_replace(true);
    }

    /// Ends all watches in good order, as an API server does that is about to stop.
    pub fn end_watches(&self) {
        self.shared.ended.send_modify(|ended| *ended += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Watches would be waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        fs::remove_file(&self.kubeconfig).ok();
    }
}

fn kubeconfig_of(port: u16) -> String {
    format!(
        "{{apiVersion: v1, kind: Config, current-context: it, users: [{{name: it, user: {{}}}}], \
         contexts: [{{name: it, context: {{cluster: it, user: it}}}}], \
         clusters: [{{name: it, cluster: {{server: 'http://127.0.0.1:{port}'}}}}]}}"
    )
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let serve = service_fn(|request| Arc::clone(&shared).serve(request));
            // An error is a connection that was cut, by us or by the client.
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), serve).await.ok();
        });
    }
}

impl Shared {
    async fn serve(self: Arc<Self>, request: Request<Incoming>) -> Result<Answered, String> {
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open).await.map_err(|e| e.to_string())?;
        let answer = self.ask(&request);
        match answer {
            Answer::Pass => self.pass(request).await,
            Answer::Refuse(code, reason) => Ok(refusal(code, reason, None)),
            Answer::Later(seconds) => Ok(refusal(429, "TooManyRequests", Some(seconds))),
            Answer::Late(time) => {
                let answer = self.pass(request).await;
                tokio::time::sleep(time).await;
                answer
            }
            Answer::Lose => {
                self.pass(request).await?;
                Err("the answer is lost".into())
            }
            Answer::Say(text) => Ok(Response::new(whole(text))),
        }
    }

    fn ask(&self, request: &Request<Incoming>) -> Answer {
        // Out of the lock before it is asked: it may set another rule.
        let rule = Arc::clone(&self.rule.lock().unwrap());
        let (verb, what) = asked(request);
        let mut calls = self.calls.lock().unwrap();
        let number = calls.iter().filter(|call| call.is(verb, &what)).count();
        let call = Call { verb, what, number };
        calls.push(call.clone());
        drop(calls);
        rule(&call)
    }

    async fn pass(&self, request: Request<Incoming>) -> Result<Answered, String> {
        let (mut head, body) = request.into_parts();
        let body = body.collect().await.map_err(|e| e.to_string())?.to_bytes();
        ["host", "connection"].into_iter().for_each(|name| drop(head.headers.remove(name)));
        let answer = self.client.send(Request::from_parts(head, Body::from(body))).await.map_err(|e| e.to_string())?;
        let (mut head, body) = answer.into_parts();
        // It says so itself.
        ["connection", "transfer-encoding"].into_iter().for_each(|name| drop(head.headers.remove(name)));
        let (open, mut ended) = (self.open.subscribe(), self.ended.subscribe());
        ended.mark_unchanged();
        let frames = stream::unfold((body, open, ended), |(mut body, mut open, mut ended)| async move {
            let frame = async {
                let frame = body.frame().await;
                open.wait_for(|open| *open).await.ok()?;
                frame
            };
            let frame = tokio::select! { frame = frame => frame?, _ = ended.changed() => return None };
            Some((frame, (body, open, ended)))
        });
        Ok(Response::from_parts(head, StreamBody::new(frames).boxed_unsync()))
    }
}

/// What a request is, as the API server's audit log would say.
fn asked(request: &Request<Incoming>) -> (&'static str, String) {
    let mut parts: Vec<_> = request.uri().path().split('/').skip(1).collect();
    // `apis` and a group, or `api`; then the version.
    parts.drain(..parts.len().min(if parts[0] == "apis" { 3 } else { 2 }));
    if parts.first() == Some(&"namespaces") && parts.len() > 2 {
        parts.drain(..2);
    }
    let what = [parts.first().copied(), parts.get(2).copied()].into_iter().flatten().collect::<Vec<_>>().join("/");
    let watches = request.uri().query().is_some_and(|query| query.contains("watch=true"));
    let verb = match (request.method().as_str(), parts.len()) {
        ("GET", _) if watches => "watch",
        ("GET", 1) => "list",
        ("GET", _) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        _ => "delete",
    };
    (verb, what)
}

fn whole(text: String) -> UnsyncBoxBody<Bytes, kube::Error> {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()
}

fn refusal(code: u16, reason: &str, retry_after: Option<u32>) -> Answered {
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
        "message": format!("the test says {reason}"),
    });
    let mut answer = Response::builder().status(code).header("content-type", "application/json");
    if let Some(seconds) = retry_after {
        answer = answer.header("retry-after", seconds);
    }
    answer.body(whole(status.to_string())).unwrap()
}
