//! What the API server was asked for, by its own audit log.

use std::collections::HashMap;
use std::fs;

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

impl Cluster {
    /// All that a user asked for so far, in order. A watch counts once.
    pub fn requests_of(&self, user: &str) -> Vec<Asked> {
        let log = fs::read_to_string(self.folder().join("audit.log")).unwrap();
        // The last line may be half written.
        let complete = log.rsplit_once('\n').map_or("", |(lines, _)| lines);
        let mut places = HashMap::new();
        let mut all = Vec::new();
        for line in complete.lines() {
            let event: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
            if event["user"]["username"] != user {
                continue;
            }
            let place = *places.entry(event["auditID"].to_string()).or_insert(all.len());
            if place == all.len() {
                all.push(asked(&event));
            } else {
                all[place] = asked(&event);
            }
        }
        all
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
