//! What the model found, one plain test for each.

use workspace_hygiene::act::Acted;
use workspace_hygiene::plan::HoldReason;
use workspace_hygiene::records::AnswerKind;

use crate::world::{DAY, World, id};

const LIVE: &str = "aaaaaaaa-0000-4000-8000-000000000000";

/// A volume that no sweep has seen, with one orphan.
fn fresh() -> World {
    let world = World::fresh();
    world.workspace(LIVE, DAY);
    world.workspace(&id(1), 30 * DAY);
    world
}

#[test]
fn the_first_plan_can_be_approved_before_the_first_sweep() {
    let world = fresh();
    world.answer(AnswerKind::Approve, &world.plan().plan.hash).unwrap();
    assert_eq!(world.sweep(), Acted { quarantined: vec![id(1)], ..Acted::default() });
    assert_eq!(world.plan().plan.held, None);
}

#[test]
fn an_answer_that_is_not_believed_does_not_keep_the_watch() {
    let world = fresh();
    world.answer(AnswerKind::Approve, &world.plan().plan.hash).unwrap();
    assert_eq!(world.sweep().quarantined, [id(1)]);
    // For longer than its retention the database answers, and is empty.
    world.set_live(LIVE, false);
    for _ in 0..10 {
        world.pass(DAY * 9 / 10);
        assert_eq!(world.sweep(), Acted::default());
        assert_eq!(world.plan().plan.held.unwrap().reason, HoldReason::TooFewLiveSessions);
    }
    world.set_live(LIVE, true);
    assert_eq!(world.sweep(), Acted::default(), "its retention begins again");
    for _ in 0..8 {
        world.pass(DAY * 9 / 10);
        world.sweep();
    }
    assert_eq!(world.quarantined_trees().len(), 0);
}
