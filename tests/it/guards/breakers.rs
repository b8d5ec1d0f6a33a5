//! Promises 3 and 7: answers that are whole and all the same not to be believed.

use std::time::Duration;

use workspace_hygiene::plan::{HoldReason, KeepReason, Verdict};
use workspace_hygiene::records::AnswerKind;

use super::{LIVE, approved, held, holds, swept};
use crate::world::{DAY, World, id};

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn rows_that_lag_behind_the_volume_are_noticed() {
    // Yesterday's copy of the database: what was made today is unknown to it.
    let world = approved(1);
    for n in 10..13 {
        world.workspace(&id(n), HOUR);
    }
    assert_eq!(held(&swept(&world)), None, "three may be chance");
    world.workspace(&id(2), 40 * DAY);
    world.workspace(&id(13), HOUR);
    holds(&world, HoldReason::RowsBehindVolume);
}

#[test]
fn a_few_unknown_among_many_young_ones_are_no_lag() {
    let world = approved(1);
    for n in 100..190 {
        world.set_live(&id(n), true);
        world.workspace(&id(n), HOUR);
    }
    for n in 10..14 {
        world.workspace(&id(n), HOUR);
    }
    assert_eq!(held(&swept(&world)), None, "4 of 94 young ones are unknown, less than 5 %");
    world.workspace(&id(14), HOUR);
    world.workspace(&id(2), 40 * DAY);
    holds(&world, HoldReason::RowsBehindVolume);
}

#[test]
fn sessions_that_the_database_knows_as_deleted_are_no_lag() {
    let mut world = approved(1);
    let db = world.path("sessions.db");
    let sessions = format!(
        "{{sqlite: {{path: {}}}, liveQuery: 'select id from session where deleted_at is null', \
         knownQuery: 'select id from session'}}",
        db.display()
    );
    world.part("sessions", &sessions);
    holds(&world, HoldReason::SpecChanged);
    for n in 10..16 {
        world.set_live(&id(n), false);
        world.workspace(&id(n), HOUR);
    }
    world.set_live(&id(1), false);
    assert_eq!(swept(&world).acted.quarantined, [id(1)]);
    // What no row has ever heard of is kept, until somebody says that it may go.
    world.workspace(&id(2), 40 * DAY);
    let swept_now = swept(&world);
    assert!(swept_now.observed.plan.verdicts.contains(&Verdict::Keep(KeepReason::RowUnknown)));
    assert_eq!(swept_now.acted.quarantined.len(), 0);
    world.answer(AnswerKind::Approve, &swept_now.observed.plan.hash).unwrap();
    assert_eq!(swept(&world).acted.quarantined, [id(2)]);
}

#[test]
fn a_known_query_that_misses_live_sessions_is_not_believed() {
    let mut world = approved(1);
    let db = world.path("sessions.db");
    world.part(
        "sessions",
        &format!(
            "{{sqlite: {{path: {}}}, liveQuery: 'select id from session where deleted_at is null', \
             knownQuery: 'select id from session where deleted_at is not null'}}",
            db.display()
        ),
    );
    let swept = holds(&world, HoldReason::SourceUnavailable);
    assert!(swept.observed.plan.held.unwrap().message.contains("spec.sessions.knownQuery"));
}

#[test]
fn a_drop_in_sessions_is_measured_against_seven_days() {
    let world = approved(0);
    for n in 100..110 {
        world.set_live(&id(n), true);
    }
    assert_eq!(held(&swept(&world)), None);
    for n in 100..105 {
        world.set_live(&id(n), false);
        world.workspace(&id(n), 30 * DAY);
    }
    let hash = holds(&world, HoldReason::SessionsDropped).observed.plan.hash;
    holds(&world, HoldReason::SessionsDropped);
    // A person says that there are fewer sessions: from here on that is the number to fall from.
    world.answer(AnswerKind::Approve, &hash).unwrap();
    assert_eq!(swept(&world).acted.quarantined.len(), 5);
    world.workspace(&id(1), 30 * DAY);
    assert_eq!(swept(&world).acted.quarantined, [id(1)]);
}

#[test]
fn a_drop_behind_a_gate_is_not_forgotten() {
    let mut world = approved(0);
    (100..110).for_each(|n| world.set_live(&id(n), true));
    assert_eq!(held(&swept(&world)), None);
    world.part("suspend", "true");
    (100..105).for_each(|n| world.set_live(&id(n), false));
    for _ in 0..9 {
        world.pass(DAY);
        holds(&world, HoldReason::Suspended);
    }
    world.part("suspend", "false");
    holds(&world, HoldReason::SessionsDropped);
}

#[test]
fn ids_that_are_spelt_otherwise_stop_the_sweep() {
    let world = approved(1);
    world.set_live("cccccccc-0000-4000-8000-00000000abcd", true);
    world.workspace("CCCCCCCC-0000-4000-8000-00000000ABCD", 60 * DAY);
    holds(&world, HoldReason::NearMatches);
}

#[test]
fn one_name_spelt_otherwise_among_many_does_not() {
    let world = approved(1);
    for n in 100..200 {
        world.set_live(&id(n), true);
        world.workspace(&id(n), 30 * DAY);
    }
    world.set_live("cccccccc-0000-4000-8000-00000000abcd", true);
    world.workspace("CCCCCCCC-0000-4000-8000-00000000ABCD", 60 * DAY);
    assert_eq!(swept(&world).acted.quarantined, [id(1)]);
    assert!(world.root().join("CCCCCCCC-0000-4000-8000-00000000ABCD").exists());
}

#[test]
fn ids_that_cannot_be_a_directorys_name_stop_the_sweep() {
    let world = approved(1);
    world.set_live("../../etc", true);
    holds(&world, HoldReason::UnusableIds);
}

#[test]
fn a_sample_of_a_thousand_tells_about_more() {
    let world: World = approved(1);
    let rows: Vec<String> = (1_000..2_500).map(|n| format!("('{}', null)", id(n))).collect();
    world.db(&format!("insert into session values {}", rows.join(",")));
    for n in 1_000..2_500 {
        std::fs::create_dir(world.root().join(id(n))).unwrap();
    }
    for n in 10..15 {
        std::fs::create_dir(world.root().join(id(n))).unwrap();
    }
    let swept = swept(&world);
    let sample = swept.observed.snapshot.sample.unwrap();
    assert_eq!((sample.taken, held(&swept)), (1_000, None));
    assert!(sample.young >= 998, "all but one of the live ones were made just now: {sample:?}");
    assert!(world.root().join(LIVE).exists());
}
