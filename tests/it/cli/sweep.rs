//! `hygiene sweep` in mode Enforce.

use std::fs;

use serde_json::json;

use super::{LIVE, on, strings, verdict, world_with};
use crate::world::{DAY, id, manifest};

#[test]
fn the_report_is_one_object() {
    let world = world_with(1);
    let ran = on(&world, &["sweep", "-o", "json"]).exits(0);
    let report = ran.json();
    let keys: Vec<_> = report.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = [
        "kind",
        "sweep",
        "resource",
        "quarantined",
        "restored",
        "condemned",
        "purged",
        "errors",
        "reclaimed",
        "stopped",
        "mode",
        "planHash",
        "generatedAt",
        "workspaces",
        "orphans",
        "sources",
        "counts",
        "held",
        "verdicts",
        "quarantine",
    ];
    expected.sort_unstable();
    let mut keys = keys;
    keys.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!(report["kind"], "SweepReport");
    assert_eq!(report["resource"], json!({"namespace": "default", "name": "test"}));
    assert_eq!(report["mode"], "Enforce");
    assert_eq!(strings(&report["quarantined"]), [id(1)]);
    assert_eq!(report["restored"], json!([]));
    assert_eq!(report["purged"], json!([]));
    assert_eq!(report["errors"], json!([]));
    assert_eq!(report["held"], json!(null));
    assert_eq!(report["reclaimed"], json!({"directories": 0, "entries": 0, "bytes": 0}));
    assert_eq!(report["stopped"], false);
    assert_eq!(verdict(&report, id(1)), "Quarantine NoLiveSession");
}

#[test]
fn an_orphan_goes_to_quarantine_and_nothing_else_changes() {
    let world = world_with(1);
    fs::write(world.root().join("notes.txt"), "mine").unwrap();
    let tree = manifest(&world.root().join(id(1)));
    let mut expected = manifest(&world.root());
    expected.retain(|path, _| !path.starts_with(id(1).as_bytes()));
    on(&world, &["sweep"]).exits(0);
    assert_eq!(manifest(&world.root()), expected);
    let [moved] = world.quarantined_trees().try_into().unwrap();
    assert_eq!(manifest(&moved), tree);
}

#[test]
fn the_report_says_how_to_get_it_back() {
    let world = world_with(1);
    let ran = on(&world, &["sweep"]).exits(0);
    let spec = world.path("spec.yaml");
    let hint = format!("hygiene quarantine restore -f {} {}", spec.display(), id(1));
    for part in [hint.as_str(), "They stay in quarantine for 168h", "1 quarantined, 0 put back, 0 condemned"] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    let again = on(&world, &["sweep"]).exits(0);
    assert!(again.stdout.contains("nothing to do: no workspace is an orphan"), "{}", again.stdout);
}

#[test]
fn a_row_that_is_back_restores_its_workspace_whatever_holds() {
    let mut world = world_with(2);
    let before = manifest(&world.root());
    on(&world, &["sweep"]).exits(0);
    world.set_live(&id(1), true);
    let report = on(&world, &["sweep", "-o", "json"]).exits(0).json();
    assert_eq!(strings(&report["restored"]), [id(1)]);
    world.set_live(&id(2), true);
    world.part("suspend", "true");
    let report = on(&world, &["sweep", "-o", "json"]).exits(3).json();
    assert_eq!(strings(&report["restored"]), [id(2)]);
    assert_eq!(manifest(&world.root()), before);
    assert!(world.quarantined_trees().is_empty());
}

#[test]
fn after_its_retention_it_is_condemned_and_purged() {
    let world = world_with(1);
    world.rewind(8 * DAY);
    world.sweep();
    world.pass(8 * DAY);
    let report = on(&world, &["sweep", "-o", "json"]).exits(0).json();
    assert_eq!(strings(&report["condemned"]), [id(1)]);
    assert_eq!(strings(&report["purged"]), [id(1)]);
    assert_eq!(report["reclaimed"]["directories"], 1);
    assert_eq!(report["reclaimed"]["entries"], 7);
    assert!(report["reclaimed"]["bytes"].as_u64().unwrap() > 9_000);
    assert!(world.quarantined_trees().is_empty());
    assert!(world.root().join(LIVE).join("README").exists());
}

#[test]
fn a_later_edit_never_shortens_the_retention() {
    let mut world = world_with(1);
    world.part("quarantine", "{retention: 240h}");
    world.rewind(8 * DAY);
    world.sweep();
    world.pass(8 * DAY);
    world.part("quarantine", "{retention: 24h}");
    let report = on(&world, &["sweep", "-o", "json"]).exits(0).json();
    assert_eq!(report["condemned"], json!([]));
    assert_eq!(report["quarantine"][0]["reason"], "Retention");
}

#[test]
fn short_times_need_to_be_asked_for() {
    let mut world = world_with(1);
    world.part("workspaces", "{pattern: '^(?<session>[0-9A-Za-z-]{36})$', activity: Modified, minAge: 1s}");
    let ran = on(&world, &["sweep"]).exits(2);
    assert!(
        ran.stderr.contains("spec.workspaces.minAge") && ran.stderr.contains("--unsafe-short-times"),
        "{}",
        ran.stderr
    );
    let ran = on(&world, &["sweep", "--unsafe-short-times"]).exits(0);
    assert!(ran.stdout.contains("--unsafe-short-times bbbbbbbb"), "a command that is shown works: {}", ran.stdout);
}

#[test]
fn a_damaged_journal_holds_and_nothing_is_done() {
    let world = world_with(2);
    let mut limited = world;
    limited.part("limits", "{perSweep: 1}");
    on(&limited, &["sweep"]).exits(0);
    let journal = limited.root().join(".hygiene/journal");
    let file = fs::read_dir(&journal).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&file).unwrap().replace("no live session", "no LIVE session");
    fs::write(&file, text).unwrap();
    let report = on(&limited, &["sweep", "-o", "json"]).exits(3).json();
    assert_eq!(report["held"]["reason"], "RecordsDamaged");
    assert_eq!(report["quarantined"], json!([]));
    on(&limited, &["journal"]).exits(1);
}
