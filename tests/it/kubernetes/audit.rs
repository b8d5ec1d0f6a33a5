//! What the API server was asked for, by its own audit log.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;

use super::Cluster;

/// A request that the API server began to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` and so on.
    pub verb: String,
    /// The resource, with the subresource after a slash; a path where it is no resource.
    pub what: String,
    /// Empty where there is none.
    pub namespace: String,
    /// The answer's code, once it was complete.
    pub code: Option<u64>,
}

/// An object as the API server stored it.
#[derive(Clone, Debug)]
pub struct Written {
    /// When the request came in, by the API server's clock.
    pub at: Timestamp,
    /// The field manager, where the request named one.
    pub manager: Option<String>,
    pub object: Value,
}

/// What was written of a kind in a namespace, `leases` for example, in order, by the audit log in a cluster's folder. For the
/// kinds of `audit.yaml`, and not what was deleted.
pub fn written(folder: &Path, what: &str, namespace: &str) -> Vec<Written> {
    let done = |event: &Value| {
        event["stage"] == "ResponseComplete"
            && event["responseStatus"]["code"].as_u64().is_some_and(|code| code < 300)
            // Nor what was only read, of which the log has no more than that.
            && event["verb"] != "delete"
            && event.get("responseObject").is_some()
    };
    let about = |event: &Value| {
        let asked = asked(event);
        asked.what == what && asked.namespace == namespace && done(event)
    };
    let mut all: Vec<_> = events(folder, namespace).filter(about).map(of_event).collect();
    // Events are logged when requests end.
    all.sort_by_key(|written| written.at);
    all
}

fn of_event(mut event: Value) -> Written {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let uri = text(&event["requestURI"]);
    let parameters = uri.split_once('?').map_or("", |(_, parameters)| parameters).split('&');
    Written {
        at: text(&event["requestReceivedTimestamp"]).parse().unwrap(),
        manager: parameters.filter_map(|one| one.strip_prefix("fieldManager=")).map(str::to_owned).next(),
        object: event["responseObject"].take(),
    }
}

/// The events in which a word is.
fn events(folder: &Path, word: &str) -> impl Iterator<Item = Value> {
    let mut log = fs::read_to_string(folder.join("audit.log")).unwrap();
    // The last line may be half written.
    log.truncate(log.rfind('\n').unwrap_or(0));
    let lines: Vec<_> = log.lines().filter(|line| line.contains(word)).map(str::to_owned).collect();
    lines.into_iter().map(|line| serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}")))
}

/// All that was asked so far of which a word is in the log, in order, and by whom. A watch counts once.
pub fn requests(folder: &Path, word: &str) -> Vec<(String, Asked)> {
    let mut places = HashMap::new();
    let mut all = Vec::new();
    for event in events(folder, word) {
        let asked = (event["user"]["username"].as_str().unwrap_or_default().to_owned(), asked(&event));
        let place = *places.entry(event["auditID"].to_string()).or_insert(all.len());
        if place == all.len() {
            all.push(asked);
        } else {
            all[place] = asked;
        }
    }
    all
}

impl Cluster {
    /// All that a user asked for so far, in order. A watch counts once.
    pub fn requests_of(&self, user: &str) -> Vec<Asked> {
        let all = requests(self.folder(), user).into_iter();
        all.filter(|(by, _)| by == user).map(|(_, asked)| asked).collect()
    }
}

fn asked(event: &Value) -> Asked {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let what = match (text("/objectRef/resource"), text("/objectRef/subresource")) {
        (resource, _) if resource.is_empty() => text("/requestURI"),
        (resource, part) if part.is_empty() => resource,
        (resource, part) => format!("{resource}/{part}"),
    };
    let code =
        event.pointer("/responseStatus/code").and_then(Value::as_u64).filter(|_| event["stage"] == "ResponseComplete");
    Asked { verb: text("/verb"), what, namespace: text("/objectRef/namespace"), code }
}
