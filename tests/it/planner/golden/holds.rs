//! What stops a whole sweep.

use insta::assert_snapshot;
use workspace_hygiene::fsio::Kind;
use workspace_hygiene::observe::efs::FileSystem;
use workspace_hygiene::observe::{EfsFacts, Health, Mounted, Reading};
use workspace_hygiene::plan::{HoldReason, plan};

use super::{Scene, ago, hours_ago, now};

/// A scene with an orphan, something due in quarantine and something to restore.
pub fn busy(parts: &str) -> Scene {
    let mut scene = Scene::with(parts);
    scene.orphan("ws-gone", 48);
    scene.quarantined("q-due", "ws-due", 200, 168);
    scene.still_idle("q-due", 200);
    scene.quarantined("q-back", "ws-back", 20, 168);
    scene.row("back");
    scene
}

/// A scene with so many live workspaces and so many orphans.
pub fn crowd(live: usize, orphans: usize) -> Scene {
    let mut scene = Scene::with("limits: {perSweep: 2}");
    for n in 3..live {
        scene.live(&format!("l{n:02}"));
    }
    for n in 0..orphans {
        scene.orphan(&format!("ws-o{n:02}"), 48);
    }
    scene
}

#[test]
fn no_live_rows_is_not_an_empty_service() {
    let mut scene = busy("suspend: false");
    scene.live.clear();
    assert_snapshot!(scene);
}

#[test]
fn fewer_live_rows_than_minimum_live_hold() {
    let scene =
        busy("sessions: {sqlite: {path: /mnt/db/sessions.db}, liveQuery: select id from session, minimumLive: 5}");
    assert_snapshot!(scene);
}

#[test]
fn a_missing_canary_holds() {
    let mut scene = busy("suspend: false");
    scene.sessions().canary = Some(false);
    assert_snapshot!(scene);
}

#[test]
fn stale_rows_hold() {
    let mut scene = busy("suspend: false");
    scene.sessions().freshest = Some(ago(3_601));
    assert_snapshot!(scene);
}

#[test]
fn a_row_from_a_time_to_come_does_not_make_the_database_fresh() {
    let mut scene = busy("suspend: false");
    scene.sessions().freshest = Some(ago(-3_601));
    assert_snapshot!(scene);
}

#[test]
fn rows_as_old_as_max_staleness_do_not_hold() {
    let mut scene = busy("suspend: false");
    scene.sessions().freshest = Some(ago(3_600));
    scene.sessions().canary = Some(true);
    assert_snapshot!(scene);
}

#[test]
fn an_unmounted_volume_is_no_empty_volume() {
    let mut scene = busy("suspend: false");
    scene.seen().volume = Reading::Unavailable("/mnt/efs/workspaces: Stale file handle".into());
    scene.places.clear();
    assert_snapshot!(scene);
}

#[test]
fn sessions_that_time_out_hold_and_restore_nothing() {
    let mut scene = busy("suspend: false");
    scene.seen().sessions = Reading::Unavailable("liveQuery was stopped after 60s".into());
    assert_snapshot!(scene);
}

#[test]
fn claims_that_cannot_be_read_hold_but_rows_still_restore() {
    let mut scene = busy("suspend: false");
    scene.seen().claims = Some(Reading::Unavailable("task 1234 has no tag session".into()));
    assert_snapshot!(scene);
}

#[test]
fn an_unhealthy_service_holds() {
    let mut scene = busy("suspend: false");
    scene.seen().serving = Some(Reading::Complete(Health::Unhealthy("collab-0 is not ready".into())));
    assert_snapshot!(scene);
}

#[test]
fn suspension_holds_but_restores_go_on() {
    assert_snapshot!(busy("suspend: true"));
}

#[test]
fn fifty_orphans_are_not_too_many() {
    assert_snapshot!(crowd(200, 50));
}

#[test]
fn fifty_one_orphans_trip_the_breaker() {
    assert_snapshot!(crowd(200, 51));
}

#[test]
fn twelve_of_thirty_are_too_many_per_cent() {
    assert_snapshot!(crowd(18, 12));
}

#[test]
fn ten_of_twenty_are_not() {
    assert_snapshot!(crowd(10, 10));
}

#[test]
fn our_own_folder_makes_no_breaker_wider() {
    let mut scene = Scene::with("workspaces: {pattern: '^(?<session>.+)$', minAge: 24h}");
    for n in 3..25 {
        scene.live(&format!("l{n:02}"));
    }
    for row in scene.live.clone() {
        scene.row(&format!("ws-{row}"));
    }
    for n in 0..11 {
        scene.orphan(&format!("o{n:02}"), 48);
    }
    scene.entry(".hygiene", Some(Kind::Directory));
    assert_snapshot!(scene);
}

#[test]
fn a_fall_in_sessions_holds() {
    let mut scene = busy("suspend: false");
    scene.history().highest_live = Some(6);
    assert_snapshot!(scene);
}

#[test]
fn a_fall_in_sessions_of_thirty_per_cent_does_not() {
    let mut scene = crowd(7, 1);
    scene.history().highest_live = Some(10);
    scene.orphan("ws-young", 48).root().modified = hours_ago(1);
    assert_snapshot!(scene);
}

/// An approval names a plan by its hash, and a new version of this program must not make it void. The hash below was
/// computed by another program: SHA-256, cut to 32 digits, over each field after its length in eight bytes.
#[test]
fn the_hash_that_was_approved_is_the_hash_of_the_next_version() {
    let mut scene = Scene::with("limits: {breaker: {maxOrphans: 1}}");
    scene.orphan("ws-one", 48);
    scene.orphan("ws-two", 72);
    let plan = plan(&scene.policy, &scene.snapshot(), now());
    assert_eq!(plan.hash.as_str(), "1d8fcb28007d0521dcedbaaf3e4875cd");
}

/// What holds a busy scene on this file system, and whether anything would go.
fn held_on(mounted: Mounted, replica_of: Option<&str>) -> (Option<HoldReason>, bool) {
    let mut scene = busy("suspend: false");
    let system = FileSystem { id: "fs-1".into(), replica_of: replica_of.map(Into::into), ..FileSystem::default() };
    scene.seen().efs = Some(Reading::Complete(EfsFacts { system, mounted }));
    let plan = plan(&scene.policy, &scene.snapshot(), now());
    (plan.held.as_ref().map(|hold| hold.reason), !plan.victims.is_empty())
}

#[test]
fn another_file_system_at_the_root_holds() {
    let another = Mounted::Another("the root is mounted from 10.0.0.9".into());
    assert_eq!(held_on(another, None), (Some(HoldReason::OtherFileSystem), false));
    let sound = [Mounted::Unknown("the root is on ext4".into()), Mounted::ByHelper];
    sound.into_iter().for_each(|mounted| assert_eq!(held_on(mounted, None), (None, true)));
}

#[test]
fn the_destination_of_a_replication_holds() {
    assert_eq!(held_on(Mounted::ByHelper, Some("fs-2")), (Some(HoldReason::ReplicationDestination), false));
}
