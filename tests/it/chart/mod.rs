//! The Helm chart: with the real helm, against a real API server, and at work on a whole node.

mod alerts;
mod dashboard;
mod examples;
mod install;
mod jobs;
mod objects;
mod values;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::kubernetes::program;
use crate::servers::process::{command, output};

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/workspace-hygiene");
/// The namespace that releases of the tests are in.
const SYSTEM: &str = "hygiene";

/// helm 4, or `helm3`, with a home of its own.
fn helm(which: &str) -> Command {
    static HOME: OnceLock<TempDir> = OnceLock::new();
    let home = HOME.get_or_init(|| tempfile::tempdir().unwrap());
    let mut helm = command(program(which));
    helm.env("HOME", home.path()).current_dir(PROJECT);
    helm
}

/// What a command said, where it has to fail.
#[track_caller]
fn refused(command: &mut Command) -> String {
    let ran = command.output().unwrap();
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    assert!(!ran.status.success(), "{command:?} was not refused: {said}");
    said
}

/// The examples of values that come with the chart.
fn examples_of_values() -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(Path::new(CHART).join("ci")).unwrap().map(|one| one.unwrap().path()).collect();
    found.sort();
    assert!(found.len() >= 5, "{found:?}");
    found
}

/// What helm makes of the chart, with further arguments.
fn rendered(args: &[&str]) -> Vec<Value> {
    let mut template = helm("helm");
    template.args(["template", "test", CHART, "--namespace", SYSTEM]).args(args);
    documents(&output(&mut template, ""))
}

/// The same with values in a file.
fn rendered_with(values: &Path) -> Vec<Value> {
    rendered(&["--values", values.to_str().unwrap()])
}

fn documents(text: &str) -> Vec<Value> {
    let parts = text.split("\n---\n").map(|part| part.trim_start_matches("---\n"));
    let parsed = parts.map(|part| serde_saphyr::from_str(part).unwrap_or_else(|e| panic!("{e}: {part}")));
    parsed.filter(|one: &Value| !one.is_null()).collect()
}

/// The objects of a kind.
fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|one| one["kind"] == kind).collect()
}

/// The one object of a kind.
#[track_caller]
fn the<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let [one] = of_kind(objects, kind)[..] else { panic!("one {kind} in {objects:#?}") };
    one
}

/// What the alerts and the dashboard are about: all that the chart can have.
fn watched() -> Vec<Value> {
    rendered_with(&Path::new(CHART).join("ci/cluster-wide-values.yaml"))
}
