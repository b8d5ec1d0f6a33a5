//! What was done to a volume and by whom, by its journal, and who held the lease meanwhile, by the API server's audit log.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use workspace_hygiene::journal::{Event, Op, Record};

use super::super::audit::written;
use super::process::Controller;
use crate::world::World;

/// The records of a journal, in order.
pub fn journal(world: &World) -> Vec<Record> {
    let files = fs::read_dir(world.root().join(".hygiene/journal")).into_iter().flatten();
    let text: String = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    let mut records: Vec<Record> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    records.sort_by_key(|record| record.seq);
    records
}

/// The records that a controller wrote.
pub fn by<'a>(records: &'a [Record], controller: &Controller) -> Vec<&'a Record> {
    let pid = format!(" pid {} ", controller.pid());
    records.iter().filter(|record| record.actor.contains(&pid)).collect()
}

/// The names of those workspaces that a step of this kind was taken with.
pub fn done(records: &[Record], op: Op) -> BTreeSet<String> {
    let of = |record: &Record| match &record.event {
        Event::Done(step) if step.op == op => Some(step.name.clone()),
        Event::Purged(step) if op == Op::Purge => Some(step.name.clone()),
        _ => None,
    };
    records.iter().filter_map(of).collect()
}

/// A lease as somebody wrote it.
struct Renewal {
    /// When the API server was asked to; it was sent before.
    at: Timestamp,
    holder: String,
    length: SignedDuration,
}

impl Renewal {
    fn trusted(&self) -> Timestamp {
        self.at + self.length * 2 / 3
    }
}

fn renewals(folder: &Path, namespace: &str) -> Vec<Renewal> {
    let of = |spec: &serde_json::Value, at| Renewal {
        at,
        holder: spec["holderIdentity"].as_str().unwrap_or_default().to_owned(),
        length: SignedDuration::from_secs(spec["leaseDurationSeconds"].as_i64().unwrap()),
    };
    written(folder, "leases", namespace).iter().map(|lease| of(&lease.object["spec"], lease.at)).collect()
}

/// Until when the holder of the lease may have taken steps, by what reached the API server so far.
pub fn trusted_until(folder: &Path, namespace: &str) -> Timestamp {
    renewals(folder, namespace).last().expect("somebody held the lease").trusted()
}

/// Looks at every step of these controllers: that it held the lease when it began the step, that the lease could not have run
/// out by then, and that two thirds of it were not over.
///
/// # Panics
///
/// At a step for which that is not so, and where none took a step.
pub fn assert_steps_in_terms(world: &World, folder: &Path, namespace: &str, controllers: &[&Controller]) {
    let (records, renewals) = (journal(world), renewals(folder, namespace));
    let told: Vec<_> = renewals.iter().map(|one| format!("{} {}", one.at, one.holder)).collect();
    let mut steps = 0;
    for controller in controllers {
        let identity = controller.said("leading", "identity").into_iter().next();
        for record in by(&records, controller) {
            if !matches!(record.event, Event::Intent(_)) {
                continue;
            }
            steps += 1;
            let last = renewals.iter().rev().find(|renewal| renewal.at <= record.at);
            let last = last.unwrap_or_else(|| panic!("a step before anybody held the lease: {record:?}\n{told:#?}"));
            assert_eq!(Some(&last.holder), identity.as_ref(), "somebody else held it: {record:?}\n{told:#?}");
            let trusted = last.trusted();
            assert!(record.at <= trusted, "a step after {trusted}: {record:?}\n{told:#?}");
        }
    }
    assert!(steps > 0, "no step was taken: {records:#?}");
}

/// Looks for the names: each is at its place, or whole in quarantine, and in one of both.
pub fn assert_nothing_is_lost(world: &World, names: &[String]) {
    let readmes = world.quarantined_trees().into_iter().map(|tree| fs::read_to_string(tree.join("README")).unwrap());
    let mut found: Vec<String> = readmes.collect();
    found.extend(names.iter().filter(|name| world.root().join(name).join("README").exists()).cloned());
    found.sort();
    let mut wanted = names.to_vec();
    wanted.sort();
    assert_eq!(found, wanted);
}
