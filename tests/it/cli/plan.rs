//! `hygiene plan`.

use std::fs;

use serde_json::{Value, json};

use super::{LIVE, fresh_world_with, on, strings, verdict, world_with};
use crate::world::{DAY, World, id, manifest};

/// `document` without what differs from run to run, which is checked to be there.
fn stable(mut document: Value) -> Value {
    let hash = document["planHash"].take();
    assert!(hash.as_str().is_some_and(|hash| hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_hexdigit())));
    let time = document["generatedAt"].take();
    time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    document
}

#[test]
fn the_plan_is_one_object() {
    let world = world_with(1);
    fs::write(world.root().join("notes.txt"), "mine").unwrap();
    let ran = on(&world, &["plan", "-o", "json"]).exits(0);
    assert_eq!(ran.stderr, "");
    let expected = json!({
        "kind": "Plan",
        "resource": {"namespace": "default", "name": "test"},
        "mode": "Enforce",
        "planHash": null,
        "generatedAt": null,
        "workspaces": 2,
        "orphans": 1,
        "sources": {
            "volume": {"state": "Complete", "message": "4 entries below the root, 0 in quarantine"},
            "sessions": {"state": "Complete", "message": "1 live session", "live": 1},
            "serving": {"state": "NotConfigured", "message": "the spec names none"},
            "claims": {"state": "NotConfigured", "message": "the spec names none"},
            "history": {"state": "Complete", "message": "no earlier sweep is remembered"},
        },
        "counts": {"Keep": {"ForeignName": 1, "LiveSession": 1, "Reserved": 1}, "Quarantine": {"NoLiveSession": 1}},
        "held": null,
        "verdicts": [
            {
                "name": ".hygiene", "session": null, "verdict": "Keep", "reason": "Reserved",
                "message": "holds the quarantine and the journal",
            },
            {
                "name": LIVE, "session": LIVE, "verdict": "Keep", "reason": "LiveSession",
                "message": "its session is live",
            },
            {
                "name": id(1), "session": id(1), "verdict": "Quarantine", "reason": "NoLiveSession",
                "message": "no live session, no claim, and nothing in the tree younger than 24h",
            },
            {
                "name": "notes.txt", "session": null, "verdict": "Keep", "reason": "ForeignName",
                "message": "the name does not match spec.workspaces.pattern",
            },
        ],
        "quarantine": [],
    });
    assert_eq!(stable(ran.json()), expected);
}

#[test]
fn a_held_plan_says_by_what() {
    let mut world = world_with(1);
    world.part("suspend", "true");
    let plan = on(&world, &["plan", "-o", "json"]).exits(0).json();
    let message = "spec.suspend is true; set it to false to sweep";
    assert_eq!(plan["held"], json!({"kind": "Gate", "reason": "Suspended", "message": message}));
    assert_eq!(verdict(&plan, id(1)), "Keep Held");
    assert_eq!(plan["counts"]["Quarantine"], json!({}));
}

#[test]
fn what_is_in_quarantine_is_part_of_the_plan() {
    let world = world_with(1);
    on(&world, &["sweep"]).exits(0);
    let plan = on(&world, &["plan", "-o", "json"]).exits(0).json();
    let entry = &plan["quarantine"][0];
    assert_eq!(entry["name"], id(1).as_str());
    assert_eq!((entry["decision"].as_str(), entry["reason"].as_str()), (Some("Retain"), Some("Retention")));
    assert_eq!(entry.as_object().unwrap().len(), 5, "{entry}");
    world.set_live(&id(1), true);
    let plan = on(&world, &["plan", "-o", "json"]).exits(0).json();
    assert_eq!(plan["quarantine"][0]["decision"], "Restore");
}

#[test]
fn the_same_state_gives_the_same_hash_and_a_sweep_does_what_the_plan_said() {
    let world = world_with(3);
    let first = on(&world, &["plan", "-o", "json"]).exits(0).json();
    let second = on(&world, &["plan", "-o", "json"]).exits(0).json();
    assert_eq!(first["planHash"], second["planHash"]);
    assert_eq!(first["verdicts"], second["verdicts"]);
    let report = on(&world, &["sweep", "-o", "json"]).exits(0).json();
    assert_eq!(report["planHash"], first["planHash"]);
    assert_eq!(strings(&report["quarantined"]), [id(1), id(2), id(3)]);
    world.workspace(&id(4), 30 * DAY);
    let other = on(&world, &["plan", "-o", "json"]).exits(0).json();
    assert_ne!(other["planHash"], first["planHash"]);
}

#[test]
fn a_plan_writes_nothing_in_enforce_mode_either() {
    let world = fresh_world_with(2);
    let before = manifest(&world.root());
    on(&world, &["plan"]).exits(0);
    on(&world, &["explain", &id(1)]).exits(0);
    on(&world, &["quarantine", "list"]).exits(0);
    on(&world, &["journal"]).exits(0);
    assert_eq!(manifest(&world.root()), before);
    assert!(!world.root().join(".hygiene").exists());
}

#[test]
fn the_table_lists_what_matters_and_counts_the_rest() {
    let world = world_with(1);
    fs::write(world.root().join("notes.txt"), "mine").unwrap();
    let ran = on(&world, &["plan"]).exits(0);
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(lines[0], "Plan for default/test");
    let line =
        |start: &str| lines.iter().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{}", ran.stdout));
    assert!(line(&id(1)).contains("Quarantine  NoLiveSession  39d"), "{}", ran.stdout);
    assert!(line("notes.txt").contains("Keep        ForeignName"), "{}", ran.stdout);
    assert!(line("Keep").ends_with('1'));
    assert!(line("sessions").contains("1 live session"));
    assert!(!lines.iter().any(|line| line.starts_with(LIVE)), "a live workspace is only counted");
    assert!(line("a sweep would now quarantine 1 workspace").contains("hygiene sweep -f "));
    let all = on(&world, &["plan", "--all"]).exits(0);
    assert!(all.stdout.lines().any(|line| line.starts_with(LIVE)));
}

#[test]
fn an_empty_state_says_something_helpful() {
    let says = |world: &World, what: &str| {
        let ran = on(world, &["plan"]).exits(0);
        assert!(ran.stdout.contains(what), "{what}: {}", ran.stdout);
    };
    let mut world = World::fresh();
    world.part("mode", "Report");
    says(&world, "is empty. Is the volume mounted?");
    fs::write(world.root().join("notes.txt"), "mine").unwrap();
    says(&world, "no name below");
    world.workspace(LIVE, DAY);
    says(&world, "nothing to do: no workspace is an orphan");
    world.part("volume", "{path: /nowhere/at/all}");
    says(&world, "nothing to do: the volume cannot be read");
}

#[test]
fn a_long_list_is_cut_and_says_so() {
    let mut world = World::new();
    world.part("limits", "{breaker: {maxOrphans: 1000, maxOrphanPercent: 100}}");
    for n in 0..250 {
        fs::write(world.root().join(format!("file-{n}")), "").unwrap();
    }
    let ran = on(&world, &["plan"]).exits(0);
    assert!(ran.stdout.contains("… and 50 more; --all lists every entry"), "{}", ran.stdout);
    let rows = |text: &str| text.lines().filter(|line| line.starts_with("file-")).count();
    assert_eq!(rows(&ran.stdout), 200);
    assert_eq!(rows(&on(&world, &["plan", "-A"]).exits(0).stdout), 250);
}
