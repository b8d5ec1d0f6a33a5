//! `hygiene quarantine purge`: skips the retention, and nothing else.

use std::fs;

use serde_json::json;

use super::{LIVE, on, strings, world_with};
use crate::world::{World, backdate, id, manifest};

fn swept(orphans: u32) -> World {
    let world = world_with(orphans);
    on(&world, &["sweep"]).exits(0);
    world
}

#[test]
fn without_a_terminal_it_must_be_told_that_it_is_meant() {
    let world = swept(1);
    for args in [&["quarantine", "purge", "--all"][..], &["quarantine", "purge", &id(1)]] {
        let ran = on(&world, args).exits(2);
        assert!(ran.stderr.contains("no terminal") && ran.stderr.contains("--yes"), "{}", ran.stderr);
    }
    assert_eq!(world.quarantined_trees().len(), 1);
}

#[test]
fn it_removes_what_was_named_and_the_journal_tells() {
    let world = swept(2);
    let ran = on(&world, &["quarantine", "purge", &id(1), "--yes", "-o", "json"]).exits(0).json();
    assert_eq!(ran["kind"], "QuarantinePurge");
    assert_eq!(strings(&ran["condemned"]), [id(1)]);
    assert_eq!(strings(&ran["purged"]), [id(1)]);
    assert_eq!(ran["errors"], json!([]));
    assert_eq!(ran["held"], json!(null));
    assert_eq!(ran["reclaimed"]["entries"], 7);
    assert_eq!(world.quarantined_trees().len(), 1);
    assert_eq!(fs::read_dir(world.root().join(".hygiene/purging")).unwrap().count(), 0);
    assert!(world.root().join(LIVE).join("README").exists());

    let journal = on(&world, &["journal", "--name", &id(1), "-o", "json"]).exits(0).json();
    let told: Vec<_> = journal["records"].as_array().unwrap().iter().map(|r| (&r["event"], &r["op"])).collect();
    let expected = [("Done", "Quarantine"), ("Done", "Condemn"), ("Purged", "Purge")];
    assert_eq!(told, expected.map(|(event, op)| (json!(event), json!(op))).each_ref().map(|(a, b)| (a, b)));
    assert_eq!(journal["records"][1]["sweep"], ran["sweep"]);
    on(&world, &["quarantine", "restore", &id(1)]).exits(1);
}

#[test]
fn what_somebody_speaks_for_goes_back_instead() {
    let world = world_with(3);
    let before = manifest(&world.root());
    on(&world, &["sweep"]).exits(0);
    world.set_live(&id(1), true);
    let tree = |n: u32| {
        let trees = world.quarantined_trees();
        trees.into_iter().find(|tree| fs::read_to_string(tree.join("README")).unwrap() == id(n)).unwrap()
    };
    fs::write(tree(2).join("src/written"), "alive").unwrap();
    fs::write(tree(3).join(".hygiene-keep"), "").unwrap();
    let ran = on(&world, &["quarantine", "purge", "--all", "--yes", "-o", "json"]).exits(0).json();
    assert_eq!(ran["purged"], json!([]));
    let mut restored = strings(&ran["restored"]);
    restored.sort_unstable();
    assert_eq!(restored, [id(1), id(2), id(3)]);
    let after = manifest(&world.root());
    assert!(before.keys().all(|path| after.contains_key(path)));
}

#[test]
fn a_hold_holds_it() {
    let mut world = swept(1);
    world.part("suspend", "true");
    let ran = on(&world, &["quarantine", "purge", "--all", "--yes"]).exits(3);
    assert!(ran.stdout.contains("HELD by the gate Suspended"), "{}", ran.stdout);
    let ran = on(&world, &["quarantine", "purge", "--all", "--yes", "-o", "json"]).exits(3).json();
    assert_eq!(ran["held"]["reason"], "Suspended");
    world.part("suspend", "false");
    world.part("sessions", "{sqlite: {path: /nowhere/sessions.db}, liveQuery: select id from session}");
    on(&world, &["quarantine", "purge", "--all", "--yes"]).exits(3);
    assert_eq!(world.quarantined_trees().len(), 1);
}

#[test]
fn other_orphans_are_none_of_its_business() {
    let world = swept(1);
    world.workspace(&id(9), 30 * crate::world::DAY);
    on(&world, &["quarantine", "purge", "--all", "--yes"]).exits(0);
    assert!(world.root().join(id(9)).exists());
    assert!(world.quarantined_trees().is_empty());
}

#[test]
fn a_tree_that_is_not_the_one_we_moved_stays() {
    let world = swept(1);
    let [tree] = world.quarantined_trees().try_into().unwrap();
    let aside = world.path("aside");
    fs::rename(&tree, &aside).unwrap();
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("precious"), "somebody put this here").unwrap();
    backdate(&tree, 30 * crate::world::DAY);
    let ran = on(&world, &["quarantine", "purge", "--all", "--yes", "-o", "json"]).exits(1).json();
    assert_eq!(ran["errors"].as_array().unwrap().len(), 1, "{ran}");
    assert!(tree.join("precious").exists());
}
