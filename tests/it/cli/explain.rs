//! `hygiene explain`.

use std::fs;
use std::os::unix::ffi::OsStrExt;

use serde_json::{Value, json};

use super::{LIVE, command, on, world_with};
use crate::world::{World, id};

fn explained(world: &World, name: &str) -> Value {
    on(world, &["explain", name, "-o", "json"]).exits(0).json()
}

fn guard<'a>(explanation: &'a Value, name: &str) -> &'a Value {
    let guards = explanation["guards"].as_array().unwrap();
    guards.iter().find(|guard| guard["guard"] == name).unwrap_or_else(|| panic!("{name}: {explanation:#}"))
}

#[test]
fn a_live_workspace_is_kept_by_its_session_and_nothing_more_is_looked_at() {
    let world = world_with(1);
    let explanation = explained(&world, LIVE);
    assert_eq!(explanation["kind"], "Explanation");
    assert_eq!(explanation["verdict"]["decidedBy"], "no live session");
    let decided = guard(&explanation, "no live session");
    let expected = json!({
        "guard": "no live session", "answer": "Keeps", "reason": "LiveSession", "message": "its session is live",
        "decided": true,
    });
    assert_eq!(*decided, expected);
    assert_eq!(guard(&explanation, "its root can be read")["answer"], "NotAsked");
    assert_eq!((&explanation["root"], &explanation["inspection"]), (&Value::Null, &Value::Null));
}

#[test]
fn no_guard_keeps_an_orphan() {
    let world = world_with(1);
    let explanation = explained(&world, &id(1));
    assert_eq!(explanation["verdict"]["verdict"], "Quarantine");
    assert_eq!(explanation["verdict"]["decidedBy"], Value::Null);
    let guards = explanation["guards"].as_array().unwrap();
    assert!(guards.iter().all(|guard| guard["answer"] == "Passes" && guard["decided"] == false), "{guards:#?}");
    assert_eq!(explanation["inspection"]["outcome"], "Idle");
    assert_eq!(explanation["inspection"]["entries"], 7);
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(world.root().join(id(1))).unwrap());
    assert_eq!(explanation["root"]["inode"], inode);
    assert_eq!(explanation["root"]["keepFile"], "Absent");
    let text = on(&world, &["explain", &id(1)]).exits(0).stdout;
    assert!(text.contains("decided by  no guard keeps it") && text.contains("whole tree  Idle: 7 entries"), "{text}");
}

#[test]
fn an_orphan_whose_turn_it_is_not_yet_is_inspected_and_its_verdict_stays() {
    let mut world = world_with(3);
    world.part("suspend", "true");
    let explanation = explained(&world, &id(3));
    assert_eq!(explanation["verdict"]["reason"], "Held");
    assert_eq!(explanation["verdict"]["decidedBy"], "nothing holds the sweep");
    assert_eq!(explanation["inspection"]["outcome"], "Idle");
    assert_eq!(guard(&explanation, "its whole tree is idle for minAge")["answer"], "Passes");
    assert_eq!(explanation["held"]["reason"], "Suspended");

    world.part("suspend", "false");
    world.part("limits", "{perSweep: 1}");
    let explanation = explained(&world, &id(3));
    assert_eq!(explanation["verdict"]["verdict"], "Keep");
    assert_eq!(explanation["verdict"]["decidedBy"], "the limits of this sweep leave room for it");
    assert_eq!(explanation["inspection"]["outcome"], "Idle");
}

#[test]
fn what_is_in_quarantine_is_explained_by_name_and_by_id() {
    let world = world_with(1);
    on(&world, &["sweep"]).exits(0);
    let explanation = explained(&world, &id(1));
    assert_eq!(explanation["verdict"], Value::Null);
    assert_eq!(explanation["guards"], json!([]));
    let entry = &explanation["quarantine"][0];
    assert_eq!(entry["reason"], "Retention");
    assert_eq!(entry["evidence"]["live"], 1);
    assert_eq!(explanation["journal"].as_array().unwrap().len(), 2);
    let by_id = explained(&world, entry["id"].as_str().unwrap());
    assert_eq!(by_id["quarantine"], explanation["quarantine"]);
    assert_eq!(by_id["journal"], explanation["journal"]);
    let text = on(&world, &["explain", &id(1)]).exits(0).stdout;
    assert!(text.contains("in quarantine as") && text.contains("no such entry below the root"), "{text}");
    on(&world, &["quarantine", "purge", "--all", "--yes"]).exits(0);
    assert_eq!(explained(&world, &id(1))["journal"].as_array().unwrap().len(), 5, "what is gone is still explained");
}

#[test]
fn a_name_that_is_not_text_is_explained() {
    let world = world_with(0);
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9");
    fs::create_dir(world.root().join(name)).unwrap();
    let spec = world.spec_file();
    let output = command(&["explain", "-o", "json", "-f", spec.to_str().unwrap()]).arg(name).output().unwrap();
    let explanation = super::Ran::from(output).exits(0).json();
    assert_eq!(explanation["nameBytes"], "636166e9");
    assert_eq!(explanation["verdict"]["reason"], "NotUTF8");
}

#[test]
fn an_unknown_name_is_1_and_the_nearest_are_offered() {
    let world = world_with(2);
    let ran = on(&world, &["explain", "bbbbbbbb-0000-4000-8000-0000000000011"]).exits(1);
    assert!(ran.stderr.contains(&format!("did you mean {}", id(1))), "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
    let ran = on(&world, &["explain", "zzz"]).exits(1);
    assert!(ran.stderr.contains("`hygiene plan --all` lists every entry"), "{}", ran.stderr);
}

#[test]
fn of_several_resources_the_one_that_knows_it_answers() {
    let (first, second) = (world_with(1), world_with(3));
    let (a, b) = (first.spec_file(), second.spec_file());
    fs::write(&b, fs::read_to_string(&b).unwrap().replace("name: test", "name: other")).unwrap();
    let (a, b) = (a.to_str().unwrap(), b.to_str().unwrap());
    let ran = super::hygiene(&["explain", "-f", a, "-f", b, &id(3), "-o", "json"]).exits(0).json();
    assert_eq!(ran["kind"], "List");
    assert_eq!(ran["items"].as_array().unwrap().len(), 1);
    assert_eq!(ran["items"][0]["resource"]["name"], "other");
    super::hygiene(&["explain", "-f", a, "-f", b, "nobody"]).exits(1);
}
