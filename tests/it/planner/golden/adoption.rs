//! Volumes, databases and specs that do not belong together, and those that do not show that they do.

use insta::assert_snapshot;
use workspace_hygiene::fsio::Kind;

use super::Scene;
use super::holds::busy;

#[test]
fn a_volume_that_another_cluster_cleans_waits_for_adoption() {
    let mut scene = busy("suspend: false");
    scene.identity().owner = "staging/prod/collab".into();
    scene.approved(&["ws-gone"]);
    assert_snapshot!(scene);
}

#[test]
fn a_root_that_was_replaced_waits_for_adoption() {
    let mut scene = busy("suspend: false");
    scene.volume().root = 3;
    assert_snapshot!(scene);
}

#[test]
fn another_database_waits_for_adoption() {
    let mut scene = busy("suspend: false");
    scene.sessions().database = "db-2".into();
    assert_snapshot!(scene);
}

#[test]
fn an_older_copy_of_the_database_waits_for_adoption() {
    let mut scene = busy("suspend: false");
    (scene.sessions().position, scene.history().position) = (Some(41), Some(42));
    assert_snapshot!(scene);
}

#[test]
fn a_database_that_does_not_tell_any_more_how_far_it_came_waits_for_adoption() {
    let mut scene = busy("suspend: false");
    (scene.sessions().position, scene.history().position) = (None, Some(42));
    assert_snapshot!(scene);
}

#[test]
fn a_changed_pattern_waits_for_adoption() {
    let mut scene = busy("workspaces: {pattern: '^ws-(?<session>.+)$', minAge: 24h}");
    scene.identity().query = "the digest of ^(?<session>.+)$".into();
    // The spec changed too, but to sweep again does not help.
    scene.history().spec = Some("the digest of another spec".into());
    assert_snapshot!(scene);
}

#[test]
fn in_mode_report_a_pattern_may_still_be_found_by_trying() {
    let mut scene = busy("suspend: false");
    scene.policy.mode = workspace_hygiene::policy::Mode::Report;
    scene.history().bound = false;
    scene.identity().query = "the digest of ^(?<session>.+)$".into();
    assert_snapshot!(scene);
}

#[test]
fn an_identity_that_is_gone_waits_for_adoption() {
    let mut scene = busy("suspend: false");
    (scene.history().identity, scene.history().bound, scene.history().identity_missing) = (None, false, true);
    assert_snapshot!(scene);
}

#[test]
fn damaged_records_wait_for_adoption() {
    let mut scene = busy("suspend: false");
    scene.history().damage = Some("journal: record 7 does not follow from record 6".into());
    assert_snapshot!(scene);
}

#[test]
fn a_spec_that_changed_only_plans() {
    let mut scene = busy("suspend: false");
    scene.history().spec = Some("the digest of another spec".into());
    scene.approved(&["ws-gone"]);
    assert_snapshot!(scene);
}

#[test]
fn an_empty_volume_may_not_be_mounted() {
    let mut scene = busy("suspend: false");
    scene.places.clear();
    assert_snapshot!(scene);
}

#[test]
fn our_own_folder_alone_is_no_empty_volume() {
    let mut scene = busy("suspend: false");
    scene.places.clear();
    scene.entry(".hygiene", Some(Kind::Directory));
    assert_snapshot!(scene);
}

#[test]
fn a_volume_without_a_live_workspace_is_not_bound() {
    let mut scene = Scene::new();
    scene.places.clear();
    scene.orphan("ws-gone", 48);
    (scene.history().identity, scene.history().bound, scene.history().confirmed) = (None, false, false);
    assert_snapshot!(scene);
}

#[test]
fn a_root_we_may_not_write_to_holds() {
    let mut scene = busy("suspend: false");
    scene.volume().missing_right = Some("/mnt/efs/workspaces is not writable for uid 1000".into());
    assert_snapshot!(scene);
}

#[test]
fn a_workspace_we_may_not_move_stays_and_the_others_go() {
    let mut scene = Scene::new();
    scene.orphan("ws-append-only", 96).root().immovable = Some("it is append-only; chattr -a it".into());
    scene.orphan("ws-gone", 48);
    assert_snapshot!(scene);
}
