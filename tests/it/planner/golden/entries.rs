//! Who is an orphan, and who only looks like one.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use insta::assert_snapshot;
use workspace_hygiene::fsio::Kind;
use workspace_hygiene::names::SessionId;
use workspace_hygiene::observe::{KeepFileState, Reading, WalkOutcome};

use super::{Scene, ago, hours_ago, now};

#[test]
fn a_live_session_keeps_its_workspace() {
    let mut scene = Scene::new();
    scene.orphan("ws-dora", 1_000);
    scene.row("dora");
    assert_snapshot!(scene);
}

#[test]
fn an_orphan_idle_for_a_day_goes() {
    let mut scene = Scene::new();
    scene.orphan("ws-gone", 24);
    assert_snapshot!(scene);
}

#[test]
fn an_orphan_idle_for_a_day_less_a_second_stays() {
    let mut scene = Scene::new();
    scene.orphan("ws-gone", 24).root().modified = ago(24 * 3_600 - 1);
    assert_snapshot!(scene);
}

#[test]
fn a_root_whose_owner_changed_today_is_active_unless_only_writing_counts() {
    let mut scene = Scene::new();
    scene.orphan("ws-chowned", 48).root().changed = hours_ago(2);
    let any = scene.to_string();
    let mut scene = Scene::with("workspaces: {pattern: '^ws-(?<session>.+)$', activity: Modified}");
    scene.orphan("ws-chowned", 48).root().changed = hours_ago(2);
    assert_snapshot!(format!("activity: Any\n{any}\nactivity: Modified\n{scene}"));
}

#[test]
fn what_is_no_directory_of_that_name_stays() {
    let mut scene = Scene::new();
    scene.entry(".hygiene", Some(Kind::Directory));
    scene.entry("lost+found", Some(Kind::Directory));
    scene.entry("ws-link", Some(Kind::Symlink));
    scene.entry("ws-notes.txt", Some(Kind::Other));
    scene.entry("ws-vanished", None);
    scene.entry(OsString::from_vec(b"ws-caf\xe9".to_vec()), Some(Kind::Directory));
    scene.entry("ws-..", Some(Kind::Directory));
    assert_snapshot!(scene);
}

#[test]
fn ids_in_capitals_are_near_matches() {
    let mut scene = Scene::new();
    scene.row("0a1b2c3d-0000-4000-8000-00000000abcd");
    scene.orphan("ws-0A1B2C3D-0000-4000-8000-00000000ABCD", 48);
    assert_snapshot!(scene);
}

#[test]
fn ids_without_dashes_or_in_another_unicode_form_are_near_matches() {
    let mut scene = Scene::new();
    scene.row("0a1b2c3d-0000-4000-8000-00000000abcd");
    scene.row("caf\u{e9}");
    scene.orphan("ws-0a1b2c3d00004000800000000000abcd", 48);
    scene.orphan("ws-cafe\u{301}", 48);
    assert_snapshot!(scene);
}

#[test]
fn two_names_one_id_both_stay() {
    let mut scene = Scene::with("workspaces: {pattern: '^(?:old-)?ws-(?<session>.+)$'}");
    scene.orphan("ws-eve", 48);
    scene.orphan("old-ws-Eve", 48);
    scene.orphan("ws-finn", 48);
    assert_snapshot!(scene);
}

#[test]
fn a_claim_of_a_container_keeps() {
    let mut scene = Scene::new();
    scene.orphan("ws-gina", 48);
    scene.orphan("ws-hugo", 48);
    scene.seen().claims = Some(Reading::Complete([SessionId::new("GINA")].into_iter().collect()));
    assert_snapshot!(scene);
}

#[test]
fn keep_globs_and_keep_files_keep() {
    let mut scene = Scene::with("workspaces: {pattern: '^ws-(?<session>.+)$', keep: ['x*', 'ws-shared-*']}");
    scene.orphan("ws-shared-cache", 48);
    scene.orphan("ws-pinned", 48).root().keep_file = KeepFileState::Pins;
    scene.orphan("ws-until-tomorrow", 48).root().keep_file = KeepFileState::PinsUntil(hours_ago(-24));
    scene.orphan("ws-until-yesterday", 48).root().keep_file = KeepFileState::PinsUntil(hours_ago(24));
    assert_snapshot!(scene);
}

#[test]
fn keep_files_that_are_ignored_keep_nothing() {
    let mut scene = Scene::with("workspaces: {pattern: '^ws-(?<session>.+)$', keepFile: Ignore}");
    scene.orphan("ws-pinned", 48).root().keep_file = KeepFileState::Pins;
    assert_snapshot!(scene);
}

#[test]
fn a_root_that_cannot_be_read_or_is_a_mount_point_stays() {
    let mut scene = Scene::new();
    scene.orphan("ws-locked", 48).root = Some(Reading::Unavailable("Permission denied".into()));
    scene.orphan("ws-mounted", 48).root().mount_point = true;
    assert_snapshot!(scene);
}

#[test]
fn a_clock_from_the_future_keeps() {
    let mut scene = Scene::new();
    scene.orphan("ws-tomorrow", 48).root().modified = hours_ago(-24);
    scene.orphan("ws-a-second-ahead", 48).root().modified = ago(-1);
    let outcome = WalkOutcome::Future { at: hours_ago(-24), path: "src/lib.rs".into() };
    scene.directory("ws-inside", 48).found(outcome);
    assert_snapshot!(scene);
}

#[test]
fn a_young_file_deep_inside_keeps() {
    let mut scene = Scene::new();
    let outcome = WalkOutcome::Young { at: hours_ago(3), path: "a/b/c/d/notes.md".into() };
    scene.directory("ws-busy", 48).found(outcome);
    assert_snapshot!(scene);
}

#[test]
fn a_mount_inside_keeps() {
    let mut scene = Scene::new();
    scene.directory("ws-bound", 48).found(WalkOutcome::MountPoint { path: "mnt/data".into() });
    assert_snapshot!(scene);
}

#[test]
fn another_volume_inside_keeps_and_holds() {
    let mut scene = Scene::new();
    scene.orphan("ws-gone", 48);
    scene.directory("ws-nested", 48).found(WalkOutcome::ForeignIdentity { path: "vol/.hygiene".into() });
    assert_snapshot!(scene);
}

#[test]
fn a_tree_not_seen_whole_keeps() {
    let mut scene = Scene::new();
    scene.directory("ws-partly", 48).found(WalkOutcome::Incomplete { why: "secret: Permission denied".into() });
    assert_snapshot!(scene);
}

#[test]
fn an_orphan_is_inspected_before_it_goes() {
    let mut scene = Scene::new();
    scene.directory("ws-newer", 48);
    scene.directory("ws-older", 480);
    assert_snapshot!(scene);
}

#[test]
fn an_orphan_written_to_while_it_was_walked_stays() {
    let mut scene = Scene::new();
    let outcome = WalkOutcome::Idle { newest: now(), entries: 1, bytes: 1 };
    scene.directory("ws-raced", 48).found(outcome);
    assert_snapshot!(scene);
}
