//! Anomalies, and what people say to them.

use insta::assert_snapshot;
use workspace_hygiene::names::SessionId;
use workspace_hygiene::observe::LiveSample;

use super::holds::{busy, crowd};
use super::{Scene, hours_ago, now};

#[test]
fn the_first_plan_waits_for_a_person() {
    let mut scene = busy("suspend: false");
    scene.history().confirmed = false;
    assert_snapshot!(scene);
}

#[test]
fn an_approved_plan_goes_through_while_its_breaker_holds() {
    let mut scene = crowd(200, 52);
    scene.approved(&["ws-o00"]);
    // One more than was approved, and it was touched since: both wait.
    scene.orphan("ws-touched", 72);
    scene.approved(&["ws-touched"]);
    scene.orphan("ws-touched", 72).root().changed = hours_ago(71);
    scene.quarantined("q-due", "ws-due", 200, 168);
    scene.still_idle("q-due", 200);
    assert_snapshot!(scene);
}

#[test]
fn orphans_that_were_approved_do_not_count() {
    let mut scene = crowd(200, 51);
    scene.approved(&["ws-o00"]);
    assert_snapshot!(scene);
}

#[test]
fn a_held_plan_latches_after_its_cause_is_gone() {
    let mut scene = busy("suspend: false");
    scene.orphan("ws-approved-before", 96);
    scene.held("TooManyOrphans", "51 orphans, and limits.breaker.maxOrphans is 50", &["ws-gone"]);
    scene.approved(&["ws-approved-before"]);
    assert_snapshot!(scene);
}

#[test]
fn a_held_plan_in_words_of_a_newer_version_latches_too() {
    let mut scene = busy("suspend: false");
    scene.held("SomethingNewer", "something this version knows nothing of", &["ws-gone"]);
    assert_snapshot!(scene);
}

/// A scene with twenty live workspaces and so many young ones that no session is of.
fn young(strangers: usize) -> Scene {
    let mut scene = crowd(20, 1);
    for n in 0..strangers {
        scene.directory(&format!("ws-y{n}"), 1);
    }
    scene
}

#[test]
fn rows_behind_the_volume_hold() {
    assert_snapshot!(young(4));
}

#[test]
fn three_young_strangers_are_not_too_many() {
    assert_snapshot!(young(3));
}

#[test]
fn young_strangers_among_many_young_workspaces_are_not_too_many() {
    let mut scene = crowd(76, 1);
    for n in 0..4 {
        scene.directory(&format!("ws-y{n}"), 1);
    }
    // 4 of 80: five per cent, and not more.
    scene.seen().sample = Some(LiveSample { taken: 38, young: 38 });
    let all_young = scene.to_string();
    // 4 of 78.
    scene.seen().sample = Some(LiveSample { taken: 38, young: 37 });
    assert_snapshot!(format!("38 of 38 are young\n{all_young}\n37 of 38 are young\n{scene}"));
}

#[test]
fn young_workspaces_of_sessions_deleted_at_once_are_no_strangers() {
    let mut scene = young(6);
    scene.sessions().known = Some(["o00", "y0", "y1", "y2"].map(SessionId::new).into_iter().collect());
    assert_snapshot!(scene);
}

#[test]
fn a_known_query_that_does_not_know_an_orphan_keeps_it_until_it_is_approved() {
    let mut scene = Scene::new();
    scene.sessions().known = Some(["amy", "ben", "cleo", "GONE"].map(SessionId::new).into_iter().collect());
    scene.orphan("ws-gone", 48);
    scene.orphan("ws-never-heard-of", 72);
    scene.orphan("ws-not-heard-of-but-approved", 96);
    scene.approved(&["ws-not-heard-of-but-approved"]);
    assert_snapshot!(scene);
}

/// A scene with so many workspaces, two of which match a live id in another spelling only.
fn spelt(workspaces: usize) -> Scene {
    let mut scene = crowd(workspaces - 3, 1);
    for name in ["eve", "finn"] {
        scene.orphan(&format!("ws-{name}"), 48);
        scene.row(&name.to_uppercase());
    }
    scene
}

#[test]
fn near_matches_above_one_per_cent_hold() {
    assert_snapshot!(spelt(199));
}

#[test]
fn near_matches_of_one_per_cent_do_not() {
    assert_snapshot!(spelt(200));
}

#[test]
fn unusable_ids_hold() {
    let mut scene = busy("suspend: false");
    scene.row("a/b");
    assert_snapshot!(scene);
}

#[test]
fn unusable_ids_of_one_per_cent_do_not() {
    let mut scene = crowd(99, 1);
    scene.row("a/b");
    assert_snapshot!(scene);
}

#[test]
fn a_gap_in_the_watch_begins_the_retention_again() {
    let mut scene = Scene::with("quarantine: {retention: 200h}");
    for (id, name, hours) in [("q1", "ws-before", 400), ("q2", "ws-longer-promised", 400), ("q3", "ws-since", 202)] {
        let promised = if id == "q2" { 300 } else { 168 };
        scene.quarantined(id, name, hours, promised);
        scene.still_idle(id, hours);
    }
    scene.history().watched_since = Some(hours_ago(202));
    let over = scene.to_string();
    scene.history().watched_since = Some(hours_ago(199));
    let not_over = scene.to_string();
    scene.history().watched_since = Some(now());
    assert_snapshot!(format!(
        "watched for 202 hours\n{over}\nwatched for 199 hours\n{not_over}\nwatched since now\n{scene}"
    ));
}
