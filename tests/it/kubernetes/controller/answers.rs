//! Approval and dismissal by annotation.

use super::{Controller, annotate, apply, events, in_namespace, namespace, object, status, wait};
use crate::world::{DAY, World, id};

/// A controller over a volume that no sweep has seen yet, and the hash of its first plan.
fn held(namespace: &str) -> (World, Controller, String) {
    let mut world = in_namespace(World::fresh(), namespace);
    world.part("mode", "Enforce");
    world.workspace("aaaaaaaa-0000-4000-8000-000000000000", 30 * DAY);
    (1..=2).for_each(|n| drop(world.workspace(&id(n), 30 * DAY)));
    apply(&world);
    let mut controller = Controller::start(&world, namespace, &["--leader-elect", "false"]);
    wait("hold", &mut controller, || status(namespace)["hold"]["reason"] == "AwaitsApproval");
    let hold = status(namespace)["hold"].clone();
    let hash = hold["planHash"].as_str().unwrap().to_owned();
    let message = hold["message"].as_str().unwrap();
    let command = format!("kubectl -n {namespace} annotate wsh test hygiene.dev/approve-plan={hash}");
    assert!(message.contains(&command), "{message}");
    (world, controller, hash)
}

fn is_annotated(namespace: &str, annotation: &str) -> bool {
    object(namespace, "test")["metadata"]["annotations"].get(annotation).is_some()
}

#[test]
fn a_plan_is_approved_by_an_annotation_which_is_heard_once() {
    let namespace = namespace("approve");
    let (world, mut controller, hash) = held(&namespace);
    annotate(&namespace, "hygiene.dev/approve-plan=yes");
    wait("refusal", &mut controller, || events(&namespace).iter().any(|(reason, _)| reason == "NotAPlan"));
    wait("its end", &mut controller, || !is_annotated(&namespace, "hygiene.dev/approve-plan"));
    annotate(&namespace, "hygiene.dev/approve-plan=00000000000000000000000000000000");
    wait("refusal", &mut controller, || events(&namespace).iter().any(|(reason, _)| reason == "NoSuchPlan"));
    wait("its end", &mut controller, || !is_annotated(&namespace, "hygiene.dev/approve-plan"));
    assert!(world.root().join(id(1)).exists() && world.root().join(id(2)).exists());

    annotate(&namespace, &format!("hygiene.dev/approve-plan={hash}"));
    wait("quarantining", &mut controller, || !world.root().join(id(1)).exists() && !world.root().join(id(2)).exists());
    wait("its end", &mut controller, || !is_annotated(&namespace, "hygiene.dev/approve-plan"));
    let approved = events(&namespace).into_iter().find(|(reason, _)| reason == "Approved").unwrap();
    assert!(
        approved.1.contains(&hash) && approved.1.contains("the annotation hygiene.dev/approve-plan, set by kubectl")
    );
    let journal = journal(&world);
    assert!(journal.contains("by the annotation hygiene.dev/approve-plan, set by kubectl"), "{journal}");
    assert_eq!(controller.stop().code(), Some(0));
}

#[test]
fn a_plan_is_dismissed_by_an_annotation_and_that_counts_more_than_an_approval() {
    let namespace = namespace("dismiss");
    let (world, mut controller, hash) = held(&namespace);
    let both = [format!("hygiene.dev/approve-plan={hash}"), format!("hygiene.dev/dismiss-plan={hash}")];
    super::cluster().admin(&["-n", &namespace, "annotate", "wsh", "test", &both[0], &both[1]]);
    wait("dismissal", &mut controller, || events(&namespace).iter().any(|(reason, _)| reason == "Dismissed"));
    wait("withdrawal", &mut controller, || events(&namespace).iter().any(|(reason, _)| reason == "Withdrawn"));
    wait("their end", &mut controller, || {
        !is_annotated(&namespace, "hygiene.dev/approve-plan") && !is_annotated(&namespace, "hygiene.dev/dismiss-plan")
    });
    assert!(world.root().join(id(1)).exists() && world.root().join(id(2)).exists());
    assert_eq!(controller.stop().code(), Some(0));
}

/// How many lines of the log say this.
fn says(controller: &Controller, what: &str) -> usize {
    controller.lines().iter().filter(|line| line.to_string().contains(what)).count()
}

/// Takes the volume away: nothing can be said to its plan then, so that an answer waits.
fn away(world: &World) -> std::path::PathBuf {
    let aside = world.root().with_extension("aside");
    std::fs::rename(world.root(), &aside).unwrap();
    aside
}

#[test]
fn an_approval_that_waits_can_be_taken_back() {
    let namespace = namespace("taken-back");
    let (world, mut controller, hash) = held(&namespace);
    let tries = |controller: &Controller| says(controller, "the annotation could not be followed");
    let aside = away(&world);
    annotate(&namespace, &format!("hygiene.dev/approve-plan={hash}"));
    controller.wait("a first try", |controller| tries(controller) == 1);
    annotate(&namespace, "hygiene.dev/approve-plan-");
    std::fs::rename(&aside, world.root()).unwrap();
    controller.wait("its end", |controller| says(controller, "taken back before it could be followed") == 1);
    let there = || world.root().join(id(1)).exists() && world.root().join(id(2)).exists();
    assert!(there() && !events(&namespace).iter().any(|(reason, _)| reason == "Approved"));

    // Nor is one followed whose plan is dismissed, now that it could be.
    let aside = away(&world);
    annotate(&namespace, &format!("hygiene.dev/approve-plan={hash}"));
    controller.wait("another try", |controller| tries(controller) == 2);
    std::fs::rename(&aside, world.root()).unwrap();
    annotate(&namespace, &format!("hygiene.dev/dismiss-plan={hash}"));
    let told = |reason: &str| events(&namespace).iter().any(|(known, _)| known == reason);
    wait("withdrawal", &mut controller, || told("Withdrawn"));
    wait("dismissal", &mut controller, || told("Dismissed"));
    let [approval, dismissal] = ["approve", "dismiss"].map(|what| format!("hygiene.dev/{what}-plan"));
    wait("their end", &mut controller, || {
        !is_annotated(&namespace, &approval) && !is_annotated(&namespace, &dismissal)
    });

    // While neither can be followed the approval is gone before the dismissal, so that it never stands alone.
    let aside = away(&world);
    annotate(&namespace, &format!("{approval}={hash}"));
    controller.wait("another try", |controller| tries(controller) == 3);
    annotate(&namespace, &format!("{dismissal}={hash}"));
    wait("the end of the approval", &mut controller, || !is_annotated(&namespace, &approval));
    controller.wait("a try of the dismissal", |controller| tries(controller) > 3);
    assert!(is_annotated(&namespace, &dismissal));
    std::fs::rename(&aside, world.root()).unwrap();
    annotate(&namespace, "hygiene.dev/sweep-requested-at=now");
    wait("a sweep", &mut controller, || status(&namespace)["lastHandledSweepRequest"] == "now");
    assert!(there() && !told("Approved"));
    assert_eq!(controller.stop().code(), Some(0));
}

fn journal(world: &World) -> String {
    let files = std::fs::read_dir(world.root().join(".hygiene/journal")).unwrap();
    files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
}
