//! The conversion without a schema in front of it: a resource may come from a cluster with an older definition.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::api::WorkspaceHygiene;

fn resource(change: impl FnOnce(&mut Value)) -> WorkspaceHygiene {
    let mut spec = json!({
        "volume": { "path": "/mnt/efs/workspaces/" },
        "workspaces": { "pattern": "^(?<session>[0-9a-f-]{36})$", "keep": ["shared-*"], "activity": "Modified" },
        "sessions": {
            "sqlite": { "path": "/mnt/db/sessions.db" },
            "liveQuery": "select id from session",
            "liveByIDQuery": "select 1 from session where id = ?",
            "timeout": "1m30s",
        },
    });
    change(&mut spec);
    let metadata = json!({ "name": "collab", "namespace": "team", "generation": 7 });
    let resource =
        json!({ "apiVersion": "hygiene.dev/v1alpha1", "kind": "WorkspaceHygiene", "metadata": metadata, "spec": spec });
    serde_json::from_value(resource).unwrap()
}

fn fields(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let faults = Policy::from_resource(&resource(change), PolicyOptions::default()).unwrap_err();
    faults.into_iter().map(|fault| fault.field).collect()
}

#[test]
fn a_sound_spec_becomes_a_policy() {
    let policy = Policy::from_resource(&resource(|_| ()), PolicyOptions::default()).unwrap();
    assert_eq!(policy.resource, ResourceName::new("team", "collab"));
    assert_eq!((policy.generation, policy.mode, policy.activity), (7, Mode::Report, Activity::Modified));
    assert_eq!(policy.root, PathBuf::from("/mnt/efs/workspaces"));
    assert_eq!(policy.sessions.timeout, Duration::from_secs(90));
    assert_eq!(policy.sessions.store, StorePolicy::Sqlite { path: "/mnt/db/sessions.db".into(), beneath: None });
    assert_eq!(policy.limits.purge, PurgeLimits { entries_per_second: 2000, concurrency: 32, shards: 1 });
}

#[test]
fn every_fault_is_told_not_only_the_first() {
    let told = fields(|spec| {
        spec["mode"] = "Enforce".into();
        spec["schedule"] = json!({ "every": "200h", "timeZone": "Mars/Olympus" });
        spec["volume"] = json!({ "path": "/usr" });
        spec["workspaces"] = json!({ "pattern": "a", "minAge": "1d", "keep": ["a/b"] });
        spec["sessions"] = json!({ "liveQuery": "", "timeout": "2h", "minimumLive": 0 });
        spec["limits"] = json!({ "perSweep": 0, "budget": { "size": "0" }, "breaker": { "maxOrphanPercent": 101 } });
        spec["quarantine"] = json!({ "retention": "1h" });
    });
    let expected = [
        "spec.schedule.timeZone",
        "spec.schedule.every",
        "spec.volume.path",
        "spec.workspaces.pattern",
        "spec.sessions.sqlite",
        "spec.sessions.liveQuery",
        "spec.sessions.timeout",
        "spec.sessions.minimumLive",
        "spec.workspaces.keep[0]",
        "spec.workspaces.minAge",
        "spec.quarantine.retention",
        "spec.limits.perSweep",
        "spec.limits.budget.size",
        "spec.limits.breaker.maxOrphanPercent",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_statement_is_one_statement_of_a_bounded_length() {
    for text in [" ", "select 1; drop table session", &"x".repeat(8193)] {
        assert_eq!(fields(|spec| spec["sessions"]["canaryQuery"] = text.into()), ["spec.sessions.canaryQuery"]);
    }
    assert!(
        Policy::from_resource(
            &resource(|spec| spec["sessions"]["canaryQuery"] = "é".repeat(8192).into()),
            PolicyOptions::default()
        )
        .is_ok()
    );
}

#[test]
fn the_home_directory_is_no_volume() {
    let options = PolicyOptions { home: Some("/mnt/efs/workspaces/me".into()), ..PolicyOptions::default() };
    let faults = Policy::from_resource(&resource(|_| ()), options).unwrap_err();
    assert_eq!(faults[0].field, "spec.volume.path");
    assert!(
        faults[0].to_string().contains("\"/mnt/efs/workspaces/\": is or holds the home directory"),
        "{}",
        faults[0]
    );
}

#[test]
fn a_missing_volume_and_a_missing_store_are_faults_of_their_own() {
    assert_eq!(fields(|spec| spec["volume"] = json!({})), ["spec.volume.path"]);
    assert_eq!(fields(|spec| spec["sessions"] = json!({ "liveQuery": "select 1" })), ["spec.sessions.sqlite"]);
}
