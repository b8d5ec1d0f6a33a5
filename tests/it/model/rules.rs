//! What must hold after every call, written from the promises and not from the code.

use std::collections::BTreeSet;
use std::fs;

use workspace_hygiene::fsio::Dir;
use workspace_hygiene::journal::{self, Event, Op, Record};
use workspace_hygiene::observe::Sidecar;

use super::actions::{DAY, Db, HOUR, Mischief};
use super::spec::{Evidence, KEPT_BY_GLOB, Spec};
use super::volume::{Place, Tree};
use super::world::{Listing, OLDEST_ANSWER, State};
use crate::world::id;

/// What the rules remember from call to call.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Database and pattern that the volume is bound to.
    pub bound: Option<(&'static str, usize)>,
    /// Whether a person approved a plan since.
    pub confirmed: bool,
    /// Inode and ctime of every root that was approved.
    pub approved: BTreeSet<(u64, i128)>,
    /// When something was quarantined, and its bytes.
    pub spent: Vec<(i64, u64)>,
    /// Since when the volume is watched without a gap, and when it was last looked at.
    pub watched: (i64, i64),
    /// With which specs the last sweep may have planned; `None` where none did.
    pub planned: Option<Vec<Evidence>>,
    /// When how many sessions were live.
    pub live: Vec<(i64, u64)>,
}

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
    pub held: bool,
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

/// How long a count of live sessions must be remembered at least: it is kept as the highest of six hours.
const LIVE_WINDOW: i64 = 7 * DAY - 6 * HOUR;

macro_rules! demand {
    ($holds:expr, $($why:tt)*) => {
        if !$holds {
            return Err(format!($($why)*));
        }
    };
}

/// Judges a call. Updates the trees and the model.
pub fn judge(state: &mut State, model: &mut Model, call: &Call) -> Result<Moves, String> {
    let moves = moves(state, call)?;
    bind(state, model, call);
    let gate = gate(state, model, call);
    let breaker = breaker(state, model, call);
    quarantined(state, model, call, &moves, gate, breaker)?;
    condemned(state, model, call, &moves, gate.or(breaker))?;
    stopped(state, &moves)?;
    if call.kind == Kind::Sweep && call.ended && state.fired.is_none() && call.spec.enforce {
        came_back(state, model, call)?;
        let held = fs::exists(state.volume.join(".hygiene/held/plan.json")).unwrap_or(false);
        demand!(gate.is_some() || breaker.is_none() || held, "{} and no plan is held", breaker.unwrap_or_default());
    }
    recorded(state, call, &moves)?;
    learn(state, model, call);
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
                tree.bytes = bytes;
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
fn bind(state: &State, model: &mut Model, call: &Call) {
    if call.kind == Kind::Sweep
        && call.spec.enforce
        && model.bound.is_none()
        && let Some(listing) = believed(state, model)
        && fs::exists(state.volume.join(".hygiene/identity")).unwrap_or(false)
    {
        model.bound = Some((State::identity(listing.db), call.spec.evidence.pattern));
    }
}

/// A listing that is believed: of the right database, with somebody live in it.
fn believed<'a>(state: &'a State, model: &Model) -> Option<&'a Listing> {
    let right = |listing: &&Listing| {
        let bound = model.bound.is_none_or(|(db, _)| db == State::identity(listing.db));
        bound && !listing.live.is_empty() && !matches!(listing.db, Db::Stale | Db::NoCanary)
    };
    state.listing.as_ref().filter(right)
}

/// Why nothing at all may go, approved or not.
fn gate(state: &State, model: &Model, call: &Call) -> Option<&'static str> {
    let spec = &call.spec;
    if !spec.enforce {
        return Some("the mode is Report");
    }
    if spec.suspend {
        return Some("it is suspended");
    }
    if believed(state, model).is_none() {
        return Some("no source that is believed answered");
    }
    if model.bound.is_none_or(|(_, pattern)| pattern != spec.evidence.pattern) {
        return Some("the volume is not bound to this");
    }
    if model.planned.as_ref().is_some_and(|planned| !planned.contains(&spec.evidence)) {
        return Some("the spec changed and no sweep planned with it");
    }
    None
}

/// Why only what was approved may go, and nothing may be condemned.
fn breaker(state: &State, model: &Model, call: &Call) -> Option<&'static str> {
    if call.held {
        return Some("a plan is held");
    }
    if !model.confirmed {
        return Some("nobody approved a plan yet");
    }
    // What happened in the middle of a sweep it may have seen or not.
    let tampered =
        |what: Mischief| !matches!(what, Mischief::Kill | Mischief::Stop | Mischief::OrdersChange | Mischief::Slow);
    let listing = state.listing.as_ref().filter(|_| !state.fired.as_ref().is_some_and(|f| tampered(f.what)))?;
    let live = listing.live.len() as u64;
    let counts = model.live.iter().filter(|(at, _)| *at > state.now - LIVE_WINDOW);
    let highest = counts.map(|(_, count)| *count).max().unwrap_or(0);
    if (highest.saturating_sub(live)) * 100 > highest * 30 {
        return Some("the number of live sessions fell");
    }
    let idle_after = state.now - call.spec.min_age();
    let mut named = call.before.iter().filter(|tree| tree.place == Place::Named);
    let nobodys = |tree: &&Tree| {
        let globbed = call.spec.evidence.keep == 1 && tree.slot == KEPT_BY_GLOB;
        !listing.live.contains(&tree.slot) && !globbed && !tree.keep.pins(state.now)
    };
    let (young, orphans): (Vec<_>, Vec<_>) = named.by_ref().filter(nobodys).partition(|tree| tree.root > idle_after);
    if young.len() > 3 {
        return Some("the rows lag behind the volume");
    }
    let unapproved = orphans.iter().filter(|tree| !model.approved.contains(&(tree.inode, tree.changed))).count();
    (unapproved > call.spec.max_orphans as usize).then_some("there are too many orphans")
}

fn quarantined(
    state: &mut State,
    model: &mut Model,
    call: &Call,
    moves: &Moves,
    gate: Option<&str>,
    breaker: Option<&str>,
) -> Result<(), String> {
    let spec = &call.spec;
    demand!(moves.quarantined.len() <= spec.per_sweep as usize, "more than perSweep: {moves:?}");
    for index in &moves.quarantined {
        let tree = &state.trees[*index];
        let slot = tree.slot;
        let what = format!("tree {index} of slot {slot} was quarantined");
        demand!(call.kind == Kind::Sweep, "{what} by {:?}", call.kind);
        demand!(gate.is_none(), "{what} though {}", gate.unwrap_or_default());
        let before = call.before.get(*index).ok_or_else(|| format!("{what}, made in this very sweep"))?;
        let approved = model.approved.contains(&(before.inode, before.changed));
        demand!(breaker.is_none() || approved, "{what} though {}", breaker.unwrap_or_default());
        demand!(!believed(state, model).is_some_and(|l| l.live.contains(&slot)), "{what}, and its session is live");
        demand!(before.newest + spec.min_age() <= state.now, "{what}, active {} s ago", state.now - before.newest);
        demand!(!before.keep.pins(state.now), "{what}, and a keep file pins it");
        demand!(spec.evidence.keep == 0 || slot != KEPT_BY_GLOB, "{what}, and a glob keeps it");
        let asked = |named: bool| {
            state.asked.iter().rfind(|asked| asked.slot == slot && (asked.named == Some(before.inode)) == named)
        };
        let first = asked(true);
        let no = first.is_some_and(|asked| asked.live == Some(false) && asked.took <= OLDEST_ANSWER);
        demand!(no, "{what} on the answer {first:?}");
        if !call.killed {
            let last = asked(false);
            demand!(last.is_some_and(|asked| asked.live == Some(false)), "{what} with the last answer {last:?}");
            let root_touched = tree.touched && (tree.root > before.root || tree.keep != before.keep);
            demand!(!root_touched, "{what}, its root touched meanwhile");
        }
        let (now, (hours, directories, most)) = (state.now, spec.budget);
        model.spent.push((now, tree.bytes));
        let recent = model.spent.iter().filter(|(at, _)| at + hours * HOUR > now);
        let (count, bytes) = recent.fold((0, 0), |(n, all), (_, bytes)| (n + 1, all + bytes));
        demand!(count <= directories && bytes <= most, "{what} as number {count} of {directories}, {bytes} bytes");
        let tree = &mut state.trees[*index];
        tree.dirty = tree.newest > before.newest;
    }
    Ok(())
}

fn condemned(state: &State, model: &Model, call: &Call, moves: &Moves, held: Option<&str>) -> Result<(), String> {
    for index in &moves.condemned {
        let tree = &state.trees[*index];
        let slot = tree.slot;
        let what = format!("tree {index} of slot {slot} was condemned");
        demand!(held.is_none(), "{what} though {}", held.unwrap_or_default());
        match call.kind {
            Kind::Sweep => {
                let promised = tree.entered.1.max(call.spec.retention * HOUR);
                let (since, last) = model.watched;
                let since = if state.now > last + DAY { state.now } else { since };
                let due = since.max(tree.entered.0) + promised;
                demand!(due <= state.now, "{what} {} s before its retention was over", due - state.now);
            }
            Kind::Purge(of) => demand!(of == slot, "{what} when {of} was to be purged"),
            other => return Err(format!("{what} by {other:?}")),
        }
        let listed = state.listing.as_ref().is_none_or(|listing| listing.live.contains(&slot));
        demand!(!listed, "{what}, and its session is live");
        demand!(call.spec.evidence.keep == 0 || slot != KEPT_BY_GLOB, "{what}, and a glob keeps it");
        demand!(!tree.keep.pins(state.now), "{what}, and a keep file pins it");
        demand!(!tree.dirty, "{what}, and it was written to");
        let last = state.asked.iter().rfind(|asked| asked.slot == slot);
        let no = last.is_some_and(|asked| asked.live == Some(false) && asked.took <= OLDEST_ANSWER);
        demand!(no, "{what} on the answer {last:?}");
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
            demand!(fired.places[*index] != place, "tree {index} was moved after {:?}", fired.what);
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
fn learn(state: &State, model: &mut Model, call: &Call) {
    if call.kind != Kind::Sweep {
        return;
    }
    let complete = believed(state, model).cloned();
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
    model.watched = (if state.now > last + DAY { state.now } else { since }, state.now);
    if sure {
        model.live.push((state.now, listing.live.len() as u64));
    }
}
