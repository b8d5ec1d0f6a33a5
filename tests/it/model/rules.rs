//! What must hold after every call, written from the promises and not from the code.

use std::collections::BTreeSet;
use std::fs;

use workspace_hygiene::fsio::Dir;
use workspace_hygiene::journal::{self, Event, Op, Record};
use workspace_hygiene::observe::Sidecar;

use super::actions::{DAY, Db, GAP, HOUR, Mischief};
use super::limits::{AT_LEAST, AT_MOST, believed, breaker, condemned, doubts, gate, is_orphan, quarantined, went};
use super::spec::{Evidence, KEPT_BY_GLOB, Spec};
use super::volume::{Place, Tree};
use super::world::State;
use crate::world::id;

/// What the rules remember from call to call.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Database and pattern that the volume is bound to.
    pub bound: Option<(&'static str, usize)>,
    /// Whether a person approved a plan since.
    pub confirmed: bool,
    /// What was approved and not taken back.
    pub approvals: Vec<Approval>,
    /// When something was quarantined, and its bytes.
    pub spent: Vec<(i64, u64)>,
    /// Since when the volume is watched without a gap, and when it was last looked at.
    pub watched: (i64, i64),
    /// With which specs the last sweep may have planned; `None` where none did.
    pub planned: Option<Vec<Evidence>>,
    /// When how many sessions were live.
    pub live: Vec<(i64, u64)>,
    /// Since when they count: a person may have said that so few are right.
    pub live_since: i64,
    /// Whether something may be remembered in the state directory that speaks against binding the volume.
    pub aside: bool,
    /// Until when a sweep may do less than it could, since one did not end as it meant to.
    pub disturbed: i64,
}

/// Inode and ctime of a root.
pub type Root = (u64, i128);

/// What a person approved.
#[derive(Clone, Debug, Default)]
pub struct Approval {
    pub hash: String,
    /// What held the plan, if anything did.
    pub reason: Option<String>,
    pub roots: BTreeSet<Root>,
    /// Those of them that were orphans in every sweep since: an approval of what is none any more is forgotten.
    pub in_line: BTreeSet<Root>,
}

impl Model {
    /// Whether a root was approved whatever held the plan, which is enough where only the number is in question.
    pub fn approved(&self, root: Root) -> bool {
        self.approvals.iter().any(|approval| approval.roots.contains(&root))
    }

    /// Whether it was approved in spite of each of these, and is still in line where that is asked for.
    pub fn approved_for(&self, root: Root, reasons: &[String], in_line: bool) -> bool {
        let holds = |approval: &&Approval| (if in_line { &approval.in_line } else { &approval.roots }).contains(&root);
        let of = |reason: &String| {
            let mut covering = self.approvals.iter().filter(holds);
            covering.any(|approval| BY_NUMBER.contains(&reason.as_str()) || approval.reason.as_ref() == Some(reason))
        };
        self.approvals.iter().any(|approval| holds(&approval)) && reasons.iter().all(of)
    }
}

/// Reasons that ask only whether a person has looked.
pub const BY_NUMBER: [&str; 3] = ["TooManyOrphans", "TooManyOrphansPercent", "AwaitsApproval"];

/// Which call it was, and by whose orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sweep,
    Restore {
        slot: u32,
        pin: bool,
    },
    Purge(u32),
    /// One that moves nothing.
    Still,
}

/// A call that is over.
#[derive(Debug)]
pub struct Call {
    pub kind: Kind,
    pub spec: Spec,
    /// The trees before it.
    pub before: Vec<Tree>,
    /// Whether a plan waited for a person.
    pub held: Option<String>,
    /// Whether it came back without an error.
    pub ended: bool,
    pub killed: bool,
}

/// What moved in a call, by index of the tree.
#[derive(Debug, Default)]
pub struct Moves {
    pub quarantined: Vec<usize>,
    pub restored: Vec<usize>,
    pub condemned: Vec<usize>,
}

macro_rules! demand {
    ($holds:expr, $($why:tt)*) => {
        if !$holds {
            return Err(format!($($why)*));
        }
    };
}
pub(super) use demand;

/// Judges a call. Updates the trees and the model.
pub fn judge(state: &mut State, model: &mut Model, call: &Call) -> Result<Moves, String> {
    let moves = moves(state, call)?;
    bind(state, model, call)?;
    let gate = gate(state, model, call);
    let held_for = |since| breaker(state, model, call, since);
    let since = model.live_since.max(state.now - AT_LEAST);
    let (breaker, perhaps) = (held_for(since), held_for(state.now - AT_MOST));
    let (doubts, most) = (doubts(state, model, call, since), doubts(state, model, call, state.now - AT_MOST));
    quarantined(state, model, call, &moves, gate, (breaker, &doubts))?;
    condemned(state, model, call, &moves, gate.or(breaker))?;
    stopped(state, &moves)?;
    if call.kind == Kind::Sweep && call.ended && state.fired.is_none() && call.spec.enforce {
        came_back(state, model, call)?;
        // What only may have been planned with may be held for that.
        let planned = model.planned.as_ref().is_some_and(|all| all.iter().all(|one| *one == call.spec.evidence));
        if gate.is_none() && planned {
            went(state, model, call, &moves, (breaker, &most))?;
            let held = fs::exists(state.volume.join(".hygiene/held/plan.json")).unwrap_or(false);
            demand!(breaker.is_none() || held, "{} and no plan is held", breaker.unwrap_or_default());
            demand!(perhaps.is_some() || !held, "a plan is held for nothing");
        }
    }
    recorded(state, call, &moves)?;
    learn(state, model, call, gate.is_some());
    Ok(moves)
}

/// Where everything is now, and whether all of it is as it was left.
fn moves(state: &mut State, call: &Call) -> Result<Moves, String> {
    let mut moves = Moves::default();
    let (now, volume) = (state.now, state.volume.clone());
    for (index, tree) in state.trees.iter_mut().enumerate() {
        let found = tree.find(&volume);
        let place = found.as_ref().map_or(Place::Gone, |found| found.place);
        let what = format!("tree {index} of slot {}", tree.slot);
        match (tree.place, place) {
            (Place::Removed | Place::Gone, _) => continue,
            (Place::Named, Place::Quarantine) => moves.quarantined.push(index),
            (Place::Quarantine, Place::Named) => moves.restored.push(index),
            (Place::Quarantine, Place::Purging | Place::Gone) => moves.condemned.push(index),
            (Place::Purging, Place::Purging | Place::Gone) => {}
            (old, new) => demand!(old == new, "{what} was {old:?} and is {new:?}"),
        }
        let Some(found) = found else {
            tree.place = Place::Gone;
            continue;
        };
        tree.changed = found.changed;
        if matches!(call.kind, Kind::Restore { slot, pin: true } if slot == tree.slot) && tree.place != place {
            tree.was_pinned(&found.path, now);
        }
        if place != Place::Purging {
            let bytes = tree.compare(&found.path).map_err(|why| format!("{what} is not as it was left: {why}"))?;
            if moves.quarantined.last() == Some(&index) {
                tree.entered = (now, call.spec.retention * HOUR);
                // What was written into it while it was moved is not what was counted.
                let same = call.before.get(index).is_some_and(|before| before.files == tree.files);
                tree.bytes = if same { bytes } else { 0 };
            }
        }
        if place == Place::Quarantine {
            let sidecar = fs::read(found.path.with_file_name("entry.json")).map_err(|e| format!("{what}: {e}"))?;
            let sidecar: Sidecar = serde_json::from_slice(&sidecar).map_err(|e| format!("{what}: {e}"))?;
            demand!(sidecar.name == id(tree.slot), "{what} is in quarantine as {}", sidecar.name);
        }
        tree.place = place;
        tree.entry = found.entry;
    }
    let still = call.kind == Kind::Still || !call.spec.enforce;
    let moved = moves.quarantined.len() + moves.restored.len() + moves.condemned.len();
    demand!(!still || moved == 0, "a call that moves nothing moved {moves:?}");
    Ok(moves)
}

/// The first sweep binds the volume, and may act at once where its plan was approved before.
fn bind(state: &State, model: &mut Model, call: &Call) -> Result<(), String> {
    model.aside |= !call.spec.enforce;
    if call.kind != Kind::Sweep || !call.spec.enforce || model.bound.is_some() {
        return Ok(());
    }
    let Some(listing) = believed(state, model) else { return Ok(()) };
    if fs::exists(state.volume.join(".hygiene/identity")).unwrap_or(false) {
        model.bound = Some((State::identity(listing.db), call.spec.evidence.pattern));
    } else {
        let may = call.ended && state.fired.is_none() && !call.spec.suspend && !model.aside;
        demand!(!may, "nothing keeps the volume from being bound, and it was not");
    }
    Ok(())
}

/// No step is begun after a request to stop, or after the orders changed.
fn stopped(state: &State, moves: &Moves) -> Result<(), String> {
    let Some(fired) = state.fired.as_ref().filter(|f| matches!(f.what, Mischief::Stop | Mischief::OrdersChange)) else {
        return Ok(());
    };
    for (place, moved) in [(Place::Named, &moves.quarantined), (Place::Quarantine, &moves.condemned)] {
        for index in moved {
            demand!(fired.places[*index] != place, "tree {index}, {place:?}, was moved on after {:?}", fired.what);
        }
    }
    Ok(())
}

/// What somebody asks for is back under its name, whatever holds the rest.
fn came_back(state: &State, model: &Model, call: &Call) -> Result<(), String> {
    let Some(listing) = state.listing.as_ref().filter(|_| model.bound.is_some()) else { return Ok(()) };
    let mut taken: BTreeSet<u32> =
        call.before.iter().filter(|tree| tree.place == Place::Named).map(|tree| tree.slot).collect();
    let mut there: Vec<&Tree> = state.trees.iter().filter(|tree| tree.place == Place::Quarantine).collect();
    // Of two of one name the later goes back.
    there.sort_by_key(|tree| std::cmp::Reverse((tree.entered.0, tree.entry.clone())));
    for tree in state.trees.iter().filter(|tree| tree.place == Place::Named) {
        taken.insert(tree.slot);
    }
    for tree in there {
        let globbed = call.spec.evidence.keep == 1 && tree.slot == KEPT_BY_GLOB;
        let wanted = listing.live.contains(&tree.slot) || globbed || tree.keep.pins(state.now);
        demand!(!wanted || taken.contains(&tree.slot), "the tree of slot {} was not put back", tree.slot);
    }
    Ok(())
}

/// Every disappearance is in the journal, and the journal reads.
fn recorded(state: &State, call: &Call, moves: &Moves) -> Result<(), String> {
    let path = state.volume.join(".hygiene/journal");
    if !path.exists() || !call.spec.enforce {
        return Ok(());
    }
    let mut records: Vec<Record> = Vec::new();
    let dir = Dir::open_root(&path).map_err(|e| e.to_string())?;
    journal::read(&dir, |record| records.push(record.clone())).map_err(|e| e.to_string())?;
    let says = |tree: &Tree, wanted: &dyn Fn(&Event) -> bool| {
        let about = |record: &&Record| record.event.step().is_some_and(|step| step.inode == tree.inode);
        records.iter().filter(about).any(|record| wanted(&record.event))
    };
    let intent = |event: &Event, op: Op| matches!(event, Event::Intent(step) if step.op == op);
    let done = |event: &Event, op: Op| matches!(event, Event::Done(step) if step.op == op);
    for index in &moves.quarantined {
        let tree = &state.trees[*index];
        demand!(says(tree, &|e| intent(e, Op::Quarantine)), "tree {index} was quarantined without an intent");
        let finished = call.killed || says(tree, &|e| done(e, Op::Quarantine));
        demand!(finished, "tree {index} was quarantined without an outcome");
    }
    for (index, tree) in state.trees.iter().enumerate() {
        if !matches!(tree.place, Place::Purging | Place::Gone) {
            continue;
        }
        let asked = says(tree, &|e| intent(e, Op::Condemn));
        demand!(asked, "tree {index} was condemned without an intent");
        let settled = call.kind == Kind::Sweep && call.ended;
        demand!(!settled || says(tree, &|e| done(e, Op::Condemn)), "tree {index} was condemned without an outcome");
        let purged = tree.place == Place::Purging || says(tree, &|e| matches!(e, Event::Purged(_)));
        let cut = call.killed || !settled || !moves.condemned.contains(&index) || state.fired.is_some();
        demand!(purged || cut, "tree {index} was purged without a record");
    }
    Ok(())
}

/// What a complete observation in mode Enforce leaves behind.
fn learn(state: &State, model: &mut Model, call: &Call, gated: bool) {
    if call.kind != Kind::Sweep {
        return;
    }
    if let Some(listing) = &state.listing {
        let orphan = |tree: &&Tree| tree.place == Place::Named && is_orphan(tree, call, &listing.live, state.now);
        let keys: BTreeSet<_> = state.trees.iter().filter(orphan).map(|tree| (tree.inode, tree.changed)).collect();
        model.approvals.iter_mut().for_each(|approval| approval.in_line.retain(|root| keys.contains(root)));
    }
    let complete = believed(state, model).cloned();
    if state.fired.is_some() || complete.as_ref().is_some_and(|listing| listing.db == Db::HalfBroken) {
        // What a killed sweep moved is counted by the budget when it is settled, some time later.
        model.disturbed = state.now + if call.killed { 8 * DAY } else { 0 };
    }
    let spec = &call.spec;
    let right_pattern = model.bound.is_none_or(|(_, pattern)| pattern == spec.evidence.pattern);
    let sure = spec.enforce && call.ended && complete.is_some() && right_pattern && !state.stop.requested();
    if sure {
        model.planned = Some(vec![spec.evidence]);
    } else if let Some(planned) = &mut model.planned {
        planned.push(spec.evidence);
    }
    let Some(listing) = complete else { return };
    let (since, last) = model.watched;
    model.watched = (if state.now > last + GAP { state.now } else { since }, state.now);
    if sure {
        // Behind a gate the number to fall from does not grow old.
        let since = model.live_since.max(state.now - AT_LEAST);
        let known = model.live.iter().filter(|(at, _)| gated && *at > since).map(|(_, count)| *count).max();
        model.live.push((state.now, known.unwrap_or(0).max(listing.live.len() as u64)));
    }
}
