//! Where specs come from, and what is said of bad ones.

use std::fs;

use super::{command, hygiene, on, with_stdin, world_with};
use crate::world::World;

fn named(world: &World, name: &str) -> String {
    world.spec().replace("name: test", &format!("name: {name}"))
}

#[test]
fn a_spec_comes_from_a_file_standard_input_or_the_environment() {
    let world = world_with(1);
    on(&world, &["plan"]).exits(0);
    with_stdin(&["plan", "-f", "-"], world.spec()).exits(0);
    let ran = command(&["plan", "-f", "env:SPEC"]).env("SPEC", world.spec()).output().unwrap();
    super::Ran::from(ran).exits(0);
    let ran = command(&["plan", "-f", "env:SPEC"]).env_remove("SPEC").output().unwrap();
    let ran = super::Ran::from(ran).exits(2);
    assert!(ran.stderr.contains("error: env:SPEC: is not set"), "{}", ran.stderr);
}

#[test]
fn several_documents_are_several_resources_in_every_format() {
    let (first, second) = (world_with(1), world_with(2));
    let text = format!("{}---\n{}", named(&first, "first"), named(&second, "second"));
    let list = with_stdin(&["plan", "-f", "-", "-o", "json"], &text).exits(0).json();
    assert_eq!(list["kind"], "List");
    let orphans: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| &item["orphans"]).collect();
    assert_eq!(orphans, [1, 2]);
    let yaml = with_stdin(&["plan", "-f", "-", "-o", "yaml"], &text).exits(0).stdout;
    let documents: Vec<_> = yaml.split("\n---\n").collect();
    assert_eq!(documents.len(), 2);
    for (document, name) in documents.iter().zip(["first", "second"]) {
        let document: serde_json::Value = serde_saphyr::from_str(document).unwrap();
        assert_eq!(document["resource"]["name"], name);
    }
    let table = with_stdin(&["plan", "-f", "-"], &text).exits(0).stdout;
    let headings = table.lines().filter(|line| line.starts_with("Plan for default/")).count();
    assert_eq!(headings, 2);
}

#[test]
fn yaml_says_what_json_says() {
    let world = world_with(2);
    let json = on(&world, &["plan", "-o", "json"]).exits(0).json();
    let yaml = on(&world, &["plan", "-o", "yaml"]).exits(0).stdout;
    let mut yaml: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
    yaml["generatedAt"] = json["generatedAt"].clone();
    assert_eq!(yaml, json);
}

#[test]
fn all_faults_are_told_at_once_one_a_line_and_nothing_runs() {
    let world = world_with(1);
    let bad = world.spec().replace("pattern:", "patern:") + "  limits: {perSweep: 0}\n  suspend: maybe\n";
    let path = world.path("bad.yaml");
    fs::write(&path, bad).unwrap();
    let ran = hygiene(&["sweep", "-f", path.to_str().unwrap()]).exits(2);
    assert_eq!(ran.stdout, "");
    for line in ran.stderr.lines() {
        assert!(line.starts_with(&format!("error: {}", path.display())), "{line}");
    }
    for field in ["patern", "perSweep", "suspend"] {
        assert!(ran.stderr.contains(field), "{field}: {}", ran.stderr);
    }
    assert!(!world.root().join(".hygiene").exists());
}

#[test]
fn shards_of_a_volume_that_is_no_claim_are_refused() {
    let mut world = world_with(1);
    world.part("limits", "{purge: {shards: 2}}");
    let ran = on(&world, &["plan"]).exits(2);
    assert!(ran.stderr.contains("spec.limits.purge.shards"), "{}", ran.stderr);
}

#[test]
fn no_spec_is_bad_usage() {
    let ran = hygiene(&["plan"]).exits(2);
    assert!(ran.stderr.contains("-f"), "{}", ran.stderr);
    let ran = with_stdin(&["plan", "-f", "-"], "").exits(2);
    assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
}
