//! The example specs: an API server takes them, and the program makes something of them.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use workspace_hygiene::policy::{Claims, PolicyOptions};
use workspace_hygiene::spec::{LoadOptions, load};

use super::PROJECT;
use crate::kubernetes::Cluster;

fn examples() -> Vec<PathBuf> {
    let files = fs::read_dir(format!("{PROJECT}/examples")).unwrap().map(|one| one.unwrap().path());
    let mut found: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    found.sort();
    found
}

/// How many fields are given.
fn fields(value: &Value) -> usize {
    match value {
        Value::Object(members) => members.values().map(|member| 1 + fields(member)).sum(),
        Value::Array(members) => members.iter().map(fields).sum(),
        _ => 0,
    }
}

#[test]
fn there_are_six_from_the_smallest_to_the_fullest() {
    let examples = examples();
    let sizes: Vec<_> = examples
        .iter()
        .map(|path| fields(&serde_saphyr::from_str::<Value>(&fs::read_to_string(path).unwrap()).unwrap()))
        .collect();
    assert_eq!(examples.len(), 6, "{examples:?}");
    assert!(sizes.is_sorted() && sizes[0] < 15 && sizes[4] > 60 && sizes[5] > 80, "{sizes:?}");
}

#[test]
fn an_api_server_takes_each_and_the_program_finds_no_fault_in_it() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("examples");
    for path in examples() {
        let file = path.to_str().unwrap();
        let apply = ["-n", &*namespace, "apply", "--server-side", "--validate=strict", "-f", file];
        cluster.admin(&apply);
        let claims = Claims::ByJobs;
        let policy =
            PolicyOptions { allow_short_times: false, cluster: "local".into(), claims, ..PolicyOptions::default() };
        let loaded = load(&[file.to_owned()], LoadOptions::of_process(policy));
        let loaded = loaded.unwrap_or_else(|faults| panic!("{file}: {faults:#?}"));
        assert_eq!(loaded.len(), 1);
        // The volume may not change in an update that enforces.
        cluster.admin(&["-n", &namespace, "delete", "wsh", "--all", "--timeout=30s"]);
    }
}
