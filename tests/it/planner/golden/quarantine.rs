//! What comes back, what goes for ever, and what waits.

use insta::assert_snapshot;
use workspace_hygiene::names::SessionId;
use workspace_hygiene::observe::{KeepFileState, Reading, WalkOutcome};

use super::{Scene, hours_ago};

#[test]
fn retention_over_and_still_idle_is_condemned() {
    let mut scene = Scene::new();
    scene.quarantined("q1", "ws-gone", 168, 168);
    scene.still_idle("q1", 168);
    assert_snapshot!(scene);
}

#[test]
fn nothing_is_condemned_without_a_second_walk_and_the_first_due_is_walked_first() {
    let mut scene = Scene::new();
    scene.quarantined("q1", "ws-due", 169, 168);
    scene.quarantined("q2", "ws-long-due", 300, 168);
    scene.quarantined("q3", "ws-not-due", 167, 168);
    assert_snapshot!(scene);
}

#[test]
fn retention_lengthened_later_counts() {
    let mut scene = Scene::with("quarantine: {retention: 336h}");
    scene.quarantined("q1", "ws-gone", 200, 168);
    scene.still_idle("q1", 200);
    assert_snapshot!(scene);
}

#[test]
fn retention_shortened_later_does_not() {
    let mut scene = Scene::with("quarantine: {retention: 24h}");
    scene.quarantined("q1", "ws-gone", 100, 168);
    scene.still_idle("q1", 100);
    assert_snapshot!(scene);
}

#[test]
fn a_row_that_came_back_restores() {
    let mut scene = Scene::new();
    scene.quarantined("q1", "ws-back", 1, 168);
    scene.row("back");
    scene.quarantined("q2", "ws-Nearly", 300, 168);
    scene.still_idle("q2", 300);
    scene.row("nearly");
    assert_snapshot!(scene);
}

#[test]
fn a_claim_a_glob_or_a_keep_file_restores() {
    let mut scene = Scene::with("workspaces: {pattern: '^ws-(?<session>.+)$', keep: ['ws-shared-*']}");
    scene.quarantined("q1", "ws-claimed", 1, 168);
    scene.seen().claims = Some(Reading::Complete([SessionId::new("claimed")].into_iter().collect()));
    scene.quarantined("q2", "ws-shared-cache", 2, 168);
    scene.quarantined("q3", "ws-pinned", 3, 168).keep_file = KeepFileState::Pins;
    scene.quarantined("q4", "ws-pinned-once", 4, 168).keep_file = KeepFileState::PinsUntil(hours_ago(1));
    assert_snapshot!(scene);
}

#[test]
fn a_name_taken_again_is_a_conflict() {
    let mut scene = Scene::new();
    scene.quarantined("q1", "ws-amy", 300, 168).name_taken = true;
    scene.still_idle("q1", 300);
    assert_snapshot!(scene);
}

#[test]
fn of_two_entries_with_one_name_the_later_goes_back() {
    let mut scene = Scene::new();
    scene.quarantined("q1", "ws-back", 50, 168);
    scene.quarantined("q2", "ws-back", 20, 168);
    scene.row("back");
    assert_snapshot!(scene);
}

#[test]
fn written_in_quarantine_goes_back() {
    let mut scene = Scene::new();
    scene.quarantined("q1", "ws-open-file", 200, 168);
    scene.walked_again("q1", WalkOutcome::Young { at: hours_ago(190), path: "log.txt".into() });
    scene.quarantined("q2", "ws-newer", 200, 168);
    scene.walked_again("q2", WalkOutcome::Idle { newest: hours_ago(229), entries: 3, bytes: 3 });
    assert_snapshot!(scene);
}

#[test]
fn a_second_walk_cut_short_keeps_it_in_quarantine() {
    let mut scene = Scene::new();
    scene.quarantined("q1", "ws-unread", 200, 168);
    scene.walked_again("q1", WalkOutcome::Incomplete { why: "a/b: Input/output error".into() });
    scene.quarantined("q2", "ws-mounted", 200, 168);
    scene.walked_again("q2", WalkOutcome::MountPoint { path: "a/b".into() });
    scene.quarantined("q3", "ws-future", 200, 168);
    scene.walked_again("q3", WalkOutcome::Future { at: hours_ago(-9), path: "a/b".into() });
    assert_snapshot!(scene);
}

#[test]
fn another_volume_met_by_a_second_walk_holds() {
    let mut scene = Scene::new();
    scene.quarantined("q1", "ws-nested", 200, 168);
    scene.walked_again("q1", WalkOutcome::ForeignIdentity { path: "a/.hygiene".into() });
    assert_snapshot!(scene);
}

#[test]
fn what_the_journal_does_not_know_waits_for_a_person() {
    let mut scene = Scene::new();
    scene.quarantined("q1", "ws-unknown", 200, 168).journalled = false;
    scene.quarantined("q2", "ws-swapped", 200, 168).tree = Some(78);
    scene.quarantined("q3", "ws-missing", 200, 168).tree = None;
    scene.quarantined("q4", "ws-no-sidecar", 200, 168).sidecar = Reading::Unavailable("sidecar.json: not JSON".into());
    for id in ["q1", "q2", "q3", "q4"] {
        scene.still_idle(id, 200);
    }
    scene.row("swapped");
    assert_snapshot!(scene);
}

#[test]
fn a_held_sweep_condemns_nothing() {
    let mut scene = Scene::new();
    scene.quarantined("q1", "ws-gone", 200, 168);
    scene.still_idle("q1", 200);
    scene.sessions().canary = Some(false);
    assert_snapshot!(scene);
}
