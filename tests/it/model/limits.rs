//! What may go, and what must.

use std::collections::BTreeSet;

use super::actions::{DAY, Db, GAP, HOUR, Mischief};
use super::rules::{Call, Kind, Model, Moves, demand};
use super::spec::KEPT_BY_GLOB;
use super::volume::{Place, Tree};
use super::world::{Listing, OLDEST_ANSWER, State};

/// How long a count of live sessions must be remembered at least: it is kept as the highest of six hours.
pub const AT_LEAST: i64 = 7 * DAY - 6 * HOUR;
/// And at most.
pub const AT_MOST: i64 = 7 * DAY;

/// A listing that is believed: of the right database, with somebody live in it.
pub fn believed<'a>(state: &'a State, model: &Model) -> Option<&'a Listing> {
    let right = |listing: &&Listing| {
        let bound = model.bound.is_none_or(|(db, _)| db == State::identity(listing.db));
        bound && !listing.live.is_empty() && !matches!(listing.db, Db::Stale | Db::NoCanary)
    };
    state.listing.as_ref().filter(right)
}

/// Why nothing at all may go, approved or not.
pub fn gate(state: &State, model: &Model, call: &Call) -> Option<&'static str> {
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
pub fn breaker(state: &State, model: &Model, call: &Call, live_since: i64) -> Option<&'static str> {
    if call.held.is_some() {
        return Some("a plan is held");
    }
    if !model.confirmed {
        return Some("nobody approved a plan yet");
    }
    let listing = undisturbed(state)?;
    if fell(model, listing, live_since) {
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
    let unapproved = orphans.iter().filter(|tree| !model.approved((tree.inode, tree.changed))).count();
    (unapproved > call.spec.max_orphans as usize).then_some("there are too many orphans")
}

/// What the sweep listed, where nothing happened in the middle of it that it may have seen or not.
fn undisturbed(state: &State) -> Option<&Listing> {
    let tampered =
        |what: Mischief| !matches!(what, Mischief::Kill | Mischief::Stop | Mischief::OrdersChange | Mischief::Slow);
    state.listing.as_ref().filter(|_| !state.fired.as_ref().is_some_and(|f| tampered(f.what)))
}

fn fell(model: &Model, listing: &Listing, live_since: i64) -> bool {
    let live = listing.live.len() as u64;
    let counts = model.live.iter().filter(|(at, _)| *at > live_since);
    let highest = counts.map(|(_, count)| *count).max().unwrap_or(0);
    highest.saturating_sub(live) * 100 > highest * 30
}

/// Everything that holds, in the words in which an approval is given in spite of it.
pub fn doubts(state: &State, model: &Model, call: &Call, live_since: i64) -> Vec<String> {
    let mut doubts: Vec<String> = call.held.iter().cloned().collect();
    let Some(listing) = undisturbed(state) else { return doubts };
    if fell(model, listing, live_since) {
        doubts.push("SessionsDropped".into());
    }
    let young = |tree: &&Tree| {
        let globbed = call.spec.evidence.keep == 1 && tree.slot == KEPT_BY_GLOB;
        let nobodys = !listing.live.contains(&tree.slot) && !globbed && !tree.keep.pins(state.now);
        tree.place == Place::Named && nobodys && tree.root > state.now - call.spec.min_age()
    };
    if call.before.iter().filter(young).count() > 3 {
        doubts.push("RowsBehindVolume".into());
    }
    doubts
}

pub fn quarantined(
    state: &mut State,
    model: &mut Model,
    call: &Call,
    moves: &Moves,
    gate: Option<&str>,
    (breaker, doubts): (Option<&str>, &[String]),
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
        let approved = model.approved_for((before.inode, before.changed), doubts, false);
        demand!(breaker.is_none() || approved, "{what} though {}", breaker.unwrap_or_default());
        demand!(!believed(state, model).is_some_and(|l| l.live.contains(&slot)), "{what}, and its session is live");
        demand!(before.newest + spec.min_age() <= state.now, "{what}, active {} s ago", state.now - before.newest);
        demand!(!before.keep.pins(state.now), "{what}, and a keep file pins it");
        demand!(spec.evidence.keep == 0 || slot != KEPT_BY_GLOB, "{what}, and a glob keeps it");
        // The last answer about it under its name, and the one after the rename. Later ones may be about an older tree.
        let mine: Vec<_> = state.asked.iter().filter(|asked| asked.slot == slot).collect();
        let first = mine.iter().rposition(|asked| asked.named == Some(before.inode));
        let no = first.is_some_and(|at| mine[at].live == Some(false) && mine[at].took <= OLDEST_ANSWER);
        demand!(no, "{what} on the answers {mine:?}");
        if !call.killed {
            let next = first.and_then(|at| mine.get(at + 1));
            demand!(next.is_some_and(|asked| asked.live == Some(false)), "{what} with the last answer {next:?}");
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

pub fn condemned(state: &State, model: &Model, call: &Call, moves: &Moves, held: Option<&str>) -> Result<(), String> {
    for index in &moves.condemned {
        let tree = &state.trees[*index];
        let slot = tree.slot;
        let what = format!("tree {index} of slot {slot} was condemned");
        demand!(held.is_none(), "{what} though {}", held.unwrap_or_default());
        match call.kind {
            Kind::Sweep => {
                let promised = tree.entered.1.max(call.spec.retention * HOUR);
                let (since, last) = model.watched;
                let since = if state.now > last + GAP { state.now } else { since };
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
        let last = state.asked.iter().rfind(|asked| asked.slot == slot && asked.quarantined.contains(&tree.inode));
        let no = last.is_some_and(|asked| asked.live == Some(false) && asked.took <= OLDEST_ANSWER);
        demand!(no, "{what} on the answer {last:?}");
    }
    Ok(())
}

/// Whether nothing but the inside of a tree can keep it.
pub fn is_orphan(tree: &Tree, call: &Call, live: &BTreeSet<u32>, now: i64) -> bool {
    let globbed = call.spec.evidence.keep == 1 && tree.slot == KEPT_BY_GLOB;
    let kept = live.contains(&tree.slot) || globbed || tree.keep.pins(now);
    !kept && tree.root + call.spec.min_age() <= now
}

/// What may go goes, as far as the limits let it: a sweep that moves nothing is no guard.
pub fn went(
    state: &State,
    model: &Model,
    call: &Call,
    moves: &Moves,
    (breaker, doubts): (Option<&str>, &[String]),
) -> Result<(), String> {
    let Some(listing) = state.listing.as_ref() else { return Ok(()) };
    let spec = &call.spec;
    let (hours, directories, most) = spec.budget;
    let recent = model.spent.iter().filter(|(at, _)| at + hours * HOUR > state.now);
    let (count, bytes) = recent.fold((0, 0), |(n, all), (_, bytes)| (n + 1, all + bytes));
    let spent = count >= directories || bytes + (1 << 20) > most || moves.quarantined.len() >= spec.per_sweep as usize;
    // What could not be moved, or was put back by hand, is looked at again after a pause of a day at most.
    if spent || listing.db == Db::HalfBroken || state.now <= model.disturbed + DAY {
        return Ok(());
    }
    let stayed = |(now, before): &(&Tree, &Tree)| now.place == Place::Named && before.place == Place::Named;
    for (tree, _) in state.trees.iter().zip(&call.before).filter(stayed) {
        let approved = model.approved_for((tree.inode, tree.changed), doubts, true);
        let idle = tree.newest + spec.min_age() <= state.now;
        let may = idle && is_orphan(tree, call, &listing.live, state.now) && (breaker.is_none() || approved);
        demand!(!may, "nothing keeps the tree of slot {}, and it was not moved", tree.slot);
    }
    Ok(())
}
