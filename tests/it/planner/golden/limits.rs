//! How many go at once, in which order, and who waits.

use insta::assert_snapshot;
use workspace_hygiene::observe::{InspectionNote, Spent};

use super::{MIB, Scene, ago, hours_ago};

#[test]
fn per_sweep_takes_the_longest_idle_first() {
    let mut scene = Scene::with("limits: {perSweep: 2}");
    scene.orphan("ws-b-three-days", 72);
    scene.orphan("ws-a-two-days", 48);
    scene.orphan("ws-d-ten-days", 240);
    scene.orphan("ws-c-three-days", 72);
    assert_snapshot!(scene);
}

#[test]
fn a_spent_budget_waits() {
    let mut scene = Scene::with("limits: {budget: {period: 24h, directories: 3, size: 500Gi}}");
    scene.history().spent = [30, 23, 5, 1].map(|h| Spent { at: hours_ago(h), bytes: MIB }).to_vec();
    scene.orphan("ws-gone", 48);
    scene.directory("ws-gone-too", 72);
    assert_snapshot!(scene);
}

#[test]
fn a_budget_is_free_again_once_its_period_is_over() {
    let mut scene = Scene::with("limits: {budget: {period: 24h, directories: 3, size: 500Gi}}");
    scene.history().spent = [30, 24, 5, 1].map(|h| Spent { at: hours_ago(h), bytes: MIB }).to_vec();
    scene.orphan("ws-gone", 48);
    scene.directory("ws-gone-too", 72);
    assert_snapshot!(scene);
}

#[test]
fn a_tree_that_does_not_fit_today_is_not_overtaken_by_smaller_ones() {
    let mut scene = Scene::with("limits: {budget: {period: 24h, directories: 100, size: 10Mi}}");
    scene.history().spent = vec![Spent { at: hours_ago(2), bytes: 4 * MIB }];
    scene.orphan("ws-1-fits", 96);
    scene.orphan("ws-2-large", 72).idle(8 * MIB);
    scene.orphan("ws-3-small", 48);
    assert_snapshot!(scene);
}

#[test]
fn a_tree_larger_than_the_budget_does_not_block_the_others() {
    let mut scene = Scene::with("limits: {perSweep: 1, budget: {period: 24h, directories: 100, size: 10Mi}}");
    scene.orphan("ws-huge", 96).idle(11 * MIB);
    scene.orphan("ws-small", 48);
    scene.orphan("ws-smaller", 47);
    assert_snapshot!(scene);
}

#[test]
fn a_budget_made_smaller_than_what_was_spent_lets_nothing_through() {
    let mut scene = Scene::with("limits: {budget: {period: 24h, directories: 100, size: 1Mi}}");
    scene.history().spent = vec![Spent { at: hours_ago(2), bytes: 4 * MIB }];
    scene.orphan("ws-empty", 48).idle(0);
    assert_snapshot!(scene);
}

#[test]
fn back_off_lets_others_through() {
    let mut scene = Scene::with("limits: {perSweep: 1}");
    let inode = scene.directory("ws-busy", 96).root().inode;
    let note = InspectionNote { inode, at: hours_ago(3), times: 1, active: Some(hours_ago(5)) };
    scene.history().inspected.insert("ws-busy".into(), note);
    let inode = scene.directory("ws-locked", 95).root().inode;
    let note = InspectionNote { inode, at: ago(600), times: 3, active: None };
    scene.history().inspected.insert("ws-locked".into(), note);
    scene.directory("ws-next", 48);
    assert_snapshot!(scene);
}

#[test]
fn back_off_ends_and_counts_for_one_directory_only() {
    let mut scene = Scene::new();
    let inode = scene.directory("ws-asked-again", 96).root().inode;
    let note = InspectionNote { inode, at: ago(900), times: 1, active: None };
    scene.history().inspected.insert("ws-asked-again".into(), note);
    scene.directory("ws-made-anew", 95);
    let note = InspectionNote { inode: 1, at: ago(60), times: 9, active: None };
    scene.history().inspected.insert("ws-made-anew".into(), note);
    assert_snapshot!(scene);
}
