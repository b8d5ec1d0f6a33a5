//! "More doubt about a directory never makes it a victim", and adds none to the confirmed orphans.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;
use workspace_hygiene::fsio::Kind;
use workspace_hygiene::names::EntryName;
use workspace_hygiene::observe::{Inspection, InspectionNote, KeepFileState, Reading, WalkOutcome};
use workspace_hygiene::plan::plan;
use workspace_hygiene::policy::Policy;

use super::oracle::plain;
use super::past::{EVERYTHING, Past};
use super::specs::{CASES, SHAPES};
use super::tape::in_every_world;
use super::world::{HOUR, SECOND, World, victims};

/// Ways to know less of a place, or more that speaks for it.
const DOUBTS: u8 = 29;

/// Doubts place `index` of `world` in way `way`; `false` where that way says nothing in this world.
fn doubt(world: &mut World, index: usize, way: u8) -> bool {
    let (now, spec) = (world.now, *world.spec());
    let age = i128::from(spec.min_age_s) * SECOND;
    let (just_young, soon) = (world.at(1 - age), world.at(5 * SECOND + 1));
    let name = world.places[index].name.clone();
    let id = name.as_str().and_then(SHAPES[spec.shape].session).unwrap_or_default().to_owned();
    let place = &mut world.places[index];
    let outcome = match way {
        0 => WalkOutcome::Young { at: now, path: "a".into() },
        1 => WalkOutcome::Future { at: soon, path: "a".into() },
        2 => WalkOutcome::MountPoint { path: "a".into() },
        3 => WalkOutcome::ForeignIdentity { path: "a".into() },
        4 => WalkOutcome::Incomplete { why: "a".into() },
        5 => WalkOutcome::Idle { newest: just_young, entries: 1, bytes: 0 },
        _ => return doubt_facts(world, index, way, id, just_young, soon),
    };
    place.inspection = Some(Inspection { started: now, outcome });
    age > 0 || way != 5
}

fn doubt_facts(world: &mut World, index: usize, way: u8, id: String, young: Timestamp, soon: Timestamp) -> bool {
    let (now, spec) = (world.now, *world.spec());
    let later = world.at(HOUR);
    let place = &mut world.places[index];
    let name = place.name.clone();
    match way {
        6 => place.inspection = None,
        7 => place.kind = None,
        8 => place.kind = Some(Kind::Symlink),
        9 => place.kind = Some(Kind::Other),
        10 => place.root = None,
        11 => place.root = Some(Reading::Unavailable("it vanished".into())),
        12 => world.live.push(id),
        13 => world.live.push(format!(" {}", id.to_ascii_uppercase())),
        14 => world.claims.get_or_insert_default().push(id),
        15 => world.claims.get_or_insert_default().push(id.to_ascii_uppercase()),
        16 => {
            let twin = EntryName::new(OsString::from_vec(name.as_os_str().as_bytes().to_ascii_uppercase()));
            let Some(twin_id) = twin.as_str().and_then(SHAPES[spec.shape].session) else { return false };
            // The listing may hold that name already, and then nothing is added.
            let is_new = twin_id != id && world.places.iter().all(|place| place.name != twin);
            let mut place = world.places[index].clone();
            place.name = twin;
            world.places.extend(is_new.then_some(place));
            return is_new;
        }
        17..=18 => {
            let (Some(name), Some(Reading::Complete(root))) = (name.as_str(), &place.root) else { return false };
            // What was active just now need not be left alone where nothing is too young.
            let active = (way == 17 && spec.min_age_s > 0).then_some(now);
            let note = InspectionNote { inode: root.inode, at: now, times: 1, active };
            world.notes.insert(name.to_owned(), note);
        }
        27 => {
            // Nothing but an approval lets it go then.
            world.known = Some(Vec::new());
            world.past.approved.clear();
        }
        _ => {
            let Some(Reading::Complete(root)) = &mut place.root else { return false };
            match way {
                28 => root.immovable = Some("it is append-only".into()),
                19 => root.mount_point = true,
                20 => root.keep_file = KeepFileState::Pins,
                21 => root.keep_file = KeepFileState::PinsUntil(later),
                22 => root.modified = young,
                23 => root.modified = soon,
                24 => root.modified = Timestamp::MAX,
                25 => root.changed = young,
                _ => root.born = Some(soon),
            }
            return match way {
                20 | 21 => spec.keep_files,
                22 => spec.min_age_s > 0,
                25 => spec.any_activity && spec.min_age_s > 0,
                26 => spec.any_activity,
                _ => true,
            };
        }
    }
    true
}

/// The orphans that could go if no gate, breaker or limit stood in the way, the row of a stranger being live.
fn confirmed(world: &World, policy: &Policy) -> BTreeSet<EntryName> {
    let mut open = world.clone();
    open.live.push("a stranger".into());
    let (canary, freshest, healthy) = (None, None, None);
    // A person approves everything whose row is known: then no breaker stands in the way, and nothing else gives way.
    let mut approved = open.keys();
    if let Some(known) = &open.known {
        let known: BTreeSet<_> = known.iter().map(|id| plain(id)).collect();
        let session = SHAPES[open.spec().shape].session;
        approved.retain(|key| session(&key.name).is_some_and(|id| known.contains(&plain(id))));
    }
    let mut past = Past { approved: open.past.approved.clone(), approved_for: Some(EVERYTHING), ..Past::calm() };
    past.approved.push(approved);
    let (missing_right, highest_live, spent) = (false, None, Vec::new());
    open = World { canary, freshest, healthy, highest_live, spent, past, missing_right, ..open };
    let mut policy = policy.clone();
    policy.suspend = false;
    Arc::make_mut(&mut policy.sessions).minimum_live = 1;
    policy.schedule = CASES[0].policy.schedule.clone();
    (policy.limits.per_sweep, policy.limits.budget.directories) = (u32::MAX, u32::MAX);
    policy.limits.budget.bytes = u64::MAX;
    (policy.limits.breaker.max_orphans, policy.limits.breaker.max_orphan_percent) = (u32::MAX, 100);
    for place in &mut open.places {
        if let Some(Inspection { outcome: WalkOutcome::Idle { bytes, .. }, .. }) = &mut place.inspection {
            *bytes = 1;
        }
    }
    victims(&plan(&policy, &open.snapshot(), world.now)).into_iter().collect()
}

fn ready(world: &World) -> Option<(World, usize)> {
    let mut world = World { down: Default::default(), ..world.clone() };
    // The rows of the world itself would speak for the places about to be doubted, in none but the name of their own.
    world.live.retain(|id| id.starts_with("live-"));
    let index = usize::from(world.dice[0]).checked_rem(world.places.len())?;
    Some((world, index))
}

#[test]
fn more_doubt_about_a_directory_never_makes_it_a_victim() {
    in_every_world(2_500, |world| {
        let Some((before, index)) = ready(world) else { return Ok(()) };
        let name = before.places[index].name.clone();
        let mut after = before.clone();
        let told = doubt(&mut after, index, before.dice[1] % DOUBTS);
        after.list();
        let (now_going, went) = (victims(&after.plan()), victims(&before.plan()));
        prop_assert!(!now_going.contains(&name) || (!told && went.contains(&name)), "{name} goes");

        let (fewer, all) = (confirmed(&after, after.policy()), confirmed(&before, before.policy()));
        prop_assert!(fewer.is_subset(&all), "{:?} added by doubt about {}", fewer.difference(&all), name);
        prop_assert!(!told || !fewer.contains(&name));
        prop_assert!(now_going.iter().all(|name| fewer.contains(name)), "a victim that is no confirmed orphan");
        Ok(())
    });
}

#[test]
fn live_rows_and_claims_never_add_to_the_confirmed_orphans() {
    in_every_world(1_000, |world| {
        let Some((before, _)) = ready(world) else { return Ok(()) };
        let mut after = before.clone();
        let ids = before.places.iter().filter_map(|p| (SHAPES[before.spec().shape].session)(p.name.as_str()?));
        for (n, id) in ids.enumerate() {
            match before.dice[n % 4] >> (n / 4 % 4 * 2) & 3 {
                0 => after.live.push(id.to_owned()),
                1 => after.claims.get_or_insert_default().push(id.to_uppercase()),
                _ => {}
            }
        }
        let (fewer, all) = (confirmed(&after, after.policy()), confirmed(&before, before.policy()));
        prop_assert!(fewer.is_subset(&all));
        Ok(())
    });
}

#[test]
fn keep_globs_never_add_to_the_confirmed_orphans() {
    let kept = super::specs::CASES.iter().find(|case| case.spec.keep == 2).unwrap();
    in_every_world(700, |world| {
        let Some((world, _)) = ready(world) else { return Ok(()) };
        let mut policy = world.policy().clone();
        let all = confirmed(&world, &policy);
        policy.keep = kept.policy.keep.clone();
        let unkept = |name: &EntryName| !(super::specs::KEEPS[2].keeps)(name.as_str().unwrap_or_default());
        if world.spec().keep == 0 {
            let expected: BTreeSet<_> = all.into_iter().filter(unkept).collect();
            prop_assert_eq!(confirmed(&world, &policy), expected);
        } else {
            prop_assert!(confirmed(&world, &policy).into_iter().all(|name| unkept(&name)));
        }
        Ok(())
    });
}
