//! The oracle's word on the quarantine.

use std::collections::BTreeMap;

use workspace_hygiene::observe::{Reading, Sidecar, WalkOutcome};

use super::super::world::{Kept, SECOND, Source, World};

type Decisions = BTreeMap<String, (&'static str, &'static str)>;

/// What must become of each entry of the quarantine, by its id.
pub fn expected(world: &World, held: bool) -> Decisions {
    let mut decisions: Decisions =
        world.quarantine.iter().map(|kept| (kept.entry.id.to_string(), decide(world, kept, held))).collect();
    let going_back = decisions.iter().filter(|(_, decision)| decision.0 == "Restore").map(|(id, _)| id.clone());
    for id in going_back.collect::<Vec<_>>() {
        let own = sidecar_of(world, &id);
        let later_namesake = |other: &Kept| {
            let Reading::Complete(sidecar) = &other.entry.sidecar else { return false };
            let goes = decisions[other.entry.id.as_str()].0 == "Restore" || was_outdone(&decisions, other);
            let is_later = (sidecar.quarantined, &sidecar.id) > (own.quarantined, &own.id);
            goes && is_later && sidecar.name == own.name
        };
        if world.quarantine.iter().any(later_namesake) {
            decisions.insert(id, ("Retain", "Outdone"));
        }
    }
    for decision in decisions.values_mut().filter(|decision| decision.1 == "Outdone") {
        decision.1 = "RestoreConflict";
    }
    decisions
}

fn was_outdone(decisions: &Decisions, kept: &Kept) -> bool {
    decisions[kept.entry.id.as_str()].1 == "Outdone"
}

fn sidecar_of<'a>(world: &'a World, id: &str) -> &'a Sidecar {
    let kept = world.quarantine.iter().find(|kept| kept.entry.id.as_str() == id).unwrap();
    kept.entry.sidecar.complete().unwrap()
}

/// One entry by itself.
fn decide(world: &World, kept: &Kept, held: bool) -> (&'static str, &'static str) {
    let entry = &kept.entry;
    let Reading::Complete(sidecar) = &entry.sidecar else { return ("Retain", "Damaged") };
    let back = |reason| if entry.name_taken { ("Retain", "RestoreConflict") } else { ("Restore", reason) };
    let ns = |time: jiff::Timestamp| time.as_nanosecond();
    let retention = i128::from(world.spec().retention_s) * SECOND;
    let mut ends = vec![ns(sidecar.quarantined) + retention, ns(sidecar.deadline)];
    // Where the records cannot be read, the gap may have ended just now.
    let watched = if world.has(Source::History) { world.past.watched_since } else { Some(world.now) };
    if let Some(since) = watched.map(ns).filter(|since| *since > ns(sidecar.quarantined)) {
        ends.extend([since + retention, since + ns(sidecar.deadline) - ns(sidecar.quarantined)]);
    }
    let due = ends.into_iter().all(|end| ns(world.now) >= end);
    let ours = entry.journalled && entry.tree == Some(sidecar.inode);
    match (ours, world.speaks_for(kept, sidecar.session.as_str(), &sidecar.name), due, held, &kept.second_walk) {
        (false, ..) => ("Retain", "Damaged"),
        (_, Some(reason), ..) => back(reason),
        (_, _, false, ..) => ("Retain", "Retention"),
        (_, _, _, true, _) => ("Retain", "Held"),
        (_, _, _, _, None) => ("Retain", "AwaitsSecondWalk"),
        (_, _, _, _, Some(walk)) => match walk.outcome {
            WalkOutcome::Young { .. } => back("WrittenTo"),
            WalkOutcome::Idle { newest, .. } if ns(newest) > ns(sidecar.evidence.newest) => back("WrittenTo"),
            WalkOutcome::Idle { .. } => ("Condemn", "RetentionOver"),
            _ => ("Retain", "SecondWalkIncomplete"),
        },
    }
}

/// The ids of those that wait for their second walk, the first due first.
pub fn walks(world: &World, decisions: &Decisions) -> Vec<String> {
    let waiting = decisions.iter().filter(|(_, decision)| decision.1 == "AwaitsSecondWalk");
    let mut waiting: Vec<_> = waiting.map(|(id, _)| (sidecar_of(world, id).deadline, id.clone())).collect();
    waiting.sort();
    waiting.into_iter().map(|(_, id)| id).collect()
}
