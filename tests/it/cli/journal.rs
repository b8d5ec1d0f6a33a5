//! `hygiene journal`.

use serde_json::Value;

use super::{on, world_with};
use crate::world::{World, id};

fn busy() -> World {
    let world = world_with(2);
    on(&world, &["sweep"]).exits(0);
    on(&world, &["quarantine", "restore", &id(1)]).exits(0);
    world
}

fn records(world: &World, args: &[&str]) -> Vec<Value> {
    let mut all = vec!["journal", "-o", "json"];
    all.extend(args);
    let journal = on(world, &all).exits(0).json();
    assert_eq!(journal["kind"], "Journal");
    journal["records"].as_array().unwrap().clone()
}

#[test]
fn it_tells_what_was_done_by_whom_and_why() {
    let world = busy();
    let all = records(&world, &[]);
    let told: Vec<_> = all.iter().map(|r| format!("{} {}", r["event"], r["op"]).replace('"', "")).collect();
    assert_eq!(told, ["Done Quarantine", "Done Quarantine", "Done Restore"]);
    let first = &all[0];
    assert_eq!(first["name"], id(1).as_str());
    assert!(first["actor"].as_str().unwrap().starts_with("uid=0@"), "{first}");
    assert!(first["actor"].as_str().unwrap().contains(&format!("hygiene {}", env!("CARGO_PKG_VERSION"))), "{first}");
    assert!(first["why"].as_str().unwrap().contains("no live session among 1 read at"), "{first}");
    let text = on(&world, &["journal"]).exits(0).stdout;
    assert!(text.contains("3 records") && text.contains("Restore"), "{text}");
    assert_eq!(records(&world, &["--all"]).len(), 6, "the intents as well");
}

#[test]
fn it_is_filtered_by_time_name_and_sweep() {
    let world = busy();
    let all = records(&world, &[]);
    assert_eq!(records(&world, &["--name", &id(1)]).len(), 2);
    assert_eq!(records(&world, &["--name", all[1]["entry"].as_str().unwrap()]).len(), 1);
    assert_eq!(records(&world, &["--sweep", all[0]["sweep"].as_str().unwrap()]).len(), 2);
    assert_eq!(records(&world, &["--since", "1h"]).len(), 3);
    assert_eq!(records(&world, &["--until", "1h"]).len(), 0);
    let third = all[2]["at"].as_str().unwrap();
    assert_eq!(records(&world, &["--since", third]).len(), 1);
    assert_eq!(records(&world, &["--until", third, "--name", &id(1)]).len(), 1);
    let nothing = on(&world, &["journal", "--name", "nobody"]).exits(0).stdout;
    assert!(nothing.contains("no records"), "{nothing}");
}

#[test]
fn a_day_is_24_hours_and_it_says_so() {
    let world = busy();
    let ran = on(&world, &["journal", "--since", "1d"]).exits(2);
    assert!(ran.stderr.contains("1d is 24h"), "{}", ran.stderr);
}
