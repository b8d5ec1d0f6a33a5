//! `hygiene quarantine list` and `restore`.

use std::fs;

use serde_json::json;

use super::{fresh_world_with, on, strings, verdict, world_with};
use crate::world::{DAY, World, id, manifest};

fn swept(orphans: u32) -> World {
    let world = world_with(orphans);
    on(&world, &["sweep"]).exits(0);
    assert_eq!(world.quarantined_trees().len(), orphans as usize);
    world
}

#[test]
fn the_list_tells_what_is_there_since_when_and_when_it_goes() {
    let world = swept(2);
    let list = on(&world, &["quarantine", "list", "-o", "json"]).exits(0).json();
    assert_eq!(list["kind"], "QuarantineList");
    let entries = list["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    let entry = &entries[0];
    assert_eq!(entry["name"], id(1).as_str());
    assert_eq!(entry["session"], id(1).as_str());
    assert_eq!((entry["decision"].as_str(), entry["reason"].as_str()), (Some("Retain"), Some("Retention")));
    assert_eq!(entry["nameTaken"], false);
    assert_eq!(entry["evidence"]["entries"], 7);
    let time = |field: &str| entry[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(time("due").duration_since(time("quarantined")).as_hours(), 168);
    let text = on(&world, &["quarantine", "list"]).exits(0).stdout;
    assert!(text.contains("  in 6d23h  ") && text.contains("  Retention"), "{text}");
    assert!(!text.contains(entry["id"].as_str().unwrap()), "people go by names: {text}");
    let text = on(&world, &["quarantine", "list", "--all"]).exits(0).stdout;
    assert!(text.contains(entry["id"].as_str().unwrap()), "{text}");
    let one = on(&world, &["quarantine", "list", &id(2), "-o", "json"]).exits(0).json();
    assert_eq!(one["entries"].as_array().unwrap().len(), 1);
}

#[test]
fn an_empty_quarantine_says_so() {
    let world = fresh_world_with(0);
    for args in [&["quarantine", "list"][..], &["quarantine", "restore", "--all"]] {
        let ran = on(&world, args).exits(0);
        assert!(ran.stdout.contains("nothing is in quarantine"), "{args:?}: {}", ran.stdout);
    }
    assert!(!world.root().join(".hygiene").exists());
}

#[test]
fn a_restore_by_hand_pins_so_that_no_sweep_takes_it_again() {
    let world = swept(2);
    let ran = on(&world, &["quarantine", "restore", &id(1), "-o", "json"]).exits(0).json();
    let expected = json!({
        "kind": "QuarantineRestore",
        "resource": {"namespace": "default", "name": "test"},
        "restored": [id(1)],
        "pinned": true,
        "errors": [],
        "stopped": false,
    });
    assert_eq!(ran, expected);
    assert!(world.root().join(id(1)).join(".hygiene-keep").exists());
    crate::world::backdate(&world.root().join(id(1)), 30 * DAY);
    let report = on(&world, &["sweep", "-o", "json"]).exits(0).json();
    assert_eq!(verdict(&report, id(1)), "Keep KeepFile");
    assert_eq!(world.quarantined_trees().len(), 1);
}

#[test]
fn a_restore_without_a_pin_leaves_it_as_it_was() {
    let world = world_with(1);
    let before = manifest(&world.root());
    on(&world, &["sweep"]).exits(0);
    let ran = on(&world, &["quarantine", "restore", "--no-pin", &id(1)]).exits(0);
    assert!(ran.stdout.contains("without a keep file"), "{}", ran.stdout);
    assert_eq!(manifest(&world.root()), before);
    let report = on(&world, &["sweep", "-o", "json"]).exits(0).json();
    assert_eq!(strings(&report["quarantined"]), [id(1)]);
}

#[test]
fn an_entry_goes_by_its_id_as_well_and_all_of_them_at_once() {
    let world = swept(3);
    let list = on(&world, &["quarantine", "list", "-o", "json"]).exits(0).json();
    let entry = list["entries"][0]["id"].as_str().unwrap();
    on(&world, &["quarantine", "restore", entry]).exits(0);
    assert!(world.root().join(id(1)).exists());
    on(&world, &["quarantine", "restore", "--all"]).exits(0);
    assert!(world.root().join(id(2)).exists() && world.root().join(id(3)).exists());
    assert!(world.quarantined_trees().is_empty());
}

#[test]
fn a_name_that_is_not_there_stops_it_before_anything_is_changed() {
    let world = swept(1);
    let ran = on(&world, &["quarantine", "restore", &id(1), "nonsense"]).exits(1);
    assert!(ran.stderr.contains("error: nonsense is not in quarantine"), "{}", ran.stderr);
    assert_eq!(world.quarantined_trees().len(), 1);
}

#[test]
fn what_is_meant_is_found_among_several_resources() {
    let (first, second) = (swept(2), swept(2));
    let (a, b) = (first.spec_file(), second.spec_file());
    let text = fs::read_to_string(&b).unwrap().replace("name: test", "name: other");
    fs::write(&b, text).unwrap();
    // Only the first knows this one.
    let list = on(&first, &["quarantine", "list", "-o", "json"]).exits(0).json();
    let entry = list["entries"][0]["id"].as_str().unwrap();
    let (a, b) = (a.to_str().unwrap(), b.to_str().unwrap());
    super::hygiene(&["quarantine", "restore", "-f", a, "-f", b, entry]).exits(0);
    assert_eq!(first.quarantined_trees().len(), 1);
    assert_eq!(second.quarantined_trees().len(), 2, "an empty selection is not everything");
    super::hygiene(&["quarantine", "restore", "-f", a, "-f", b, "--all"]).exits(0);
    assert_eq!(first.quarantined_trees().len() + second.quarantined_trees().len(), 0);
}

#[test]
fn two_entries_of_one_name_must_be_told_apart() {
    let world = swept(1);
    world.workspace(&id(1), 30 * DAY);
    on(&world, &["sweep"]).exits(0);
    let ran = on(&world, &["quarantine", "restore", &id(1)]).exits(1);
    assert!(ran.stderr.contains("is in quarantine 2 times; name one of"), "{}", ran.stderr);
    let list = on(&world, &["quarantine", "list"]).exits(0).stdout;
    assert!(list.contains("ENTRY"), "where names do not tell them apart ids do: {list}");
}
