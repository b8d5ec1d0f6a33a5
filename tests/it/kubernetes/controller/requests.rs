//! Requests that the API server refuses, answers late or not at all, and watches that end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::super::proxy::{Answer, Proxy};
use super::process::Controller;
use super::{USER, annotate, apply, cluster, condition, in_namespace, namespace, patch, status, wait};
use crate::world::{DAY, World, id};

const RESOURCES: &str = "workspacehygienes";
const STATUS: &str = "workspacehygienes/status";
const ALONE: [&str; 2] = ["--leader-elect", "false"];

/// A resource in mode Report with one orphan, and a controller behind a proxy, as soon as it reported.
fn reported(purpose: &str, args: &[&str]) -> (String, World, Proxy, Controller) {
    let namespace = namespace(purpose);
    let mut world = in_namespace(World::new(), &namespace);
    world.part("mode", "Report");
    world.workspace("aaaaaaaa-0000-4000-8000-000000000000", 30 * DAY);
    world.workspace(&id(1), 30 * DAY);
    apply(&world);
    let proxy = Proxy::start(cluster(), USER);
    let mut controller = Controller::start_for(proxy.kubeconfig(), &world, &namespace, args);
    wait("report", &mut controller, || condition(&status(&namespace), "Ready")["status"] == "True");
    (namespace, world, proxy, controller)
}

fn ask(namespace: &str, request: &str) {
    annotate(namespace, &format!("hygiene.dev/sweep-requested-at={request}"));
}

/// Asks for a sweep, and waits until the status answers.
#[track_caller]
fn is_answered(namespace: &str, controller: &mut Controller, request: &str) {
    ask(namespace, request);
    wait(request, controller, || status(namespace)["lastHandledSweepRequest"] == request);
}

#[test]
fn a_status_that_is_refused_or_whose_answer_is_lost_is_written_in_the_end_and_not_in_haste() {
    let (namespace, _world, proxy, mut controller) = reported("refused", &ALONE);
    let answers: [fn() -> Answer; 5] = [
        || Answer::Later(1),
        || Answer::Refuse(500, "InternalError"),
        // An API server that saw others write five times in a row says so, of whatever was forced.
        || Answer::Refuse(409, "Conflict"),
        || Answer::Refuse(404, "NotFound"),
        || Answer::Lose,
    ];
    for (number, answer) in answers.into_iter().enumerate() {
        proxy.rule(move |call| match call.is("patch", STATUS) && call.number == 0 {
            true => answer(),
            false => Answer::Pass,
        });
        is_answered(&namespace, &mut controller, &format!("{number}"));
        let tries = proxy.calls("patch", STATUS);
        assert!((1..=3).contains(&tries), "{number}: {tries} tries");
    }
    // Whatever it is refused for, it is tried again with pauses that grow.
    proxy.rule(|call| if call.is("patch", STATUS) { Answer::Later(1) } else { Answer::Pass });
    ask(&namespace, "never");
    std::thread::sleep(Duration::from_secs(3));
    let tries = proxy.calls("patch", STATUS);
    assert!((2..=4).contains(&tries), "{tries} tries in three seconds");
    proxy.rule(|_| Answer::Pass);
    wait("answer", &mut controller, || status(&namespace)["lastHandledSweepRequest"] == "never");
    assert_eq!(controller.stop().code(), Some(0));
}

#[test]
fn nothing_is_missed_when_a_watch_ends_is_refused_or_has_expired() {
    let (namespace, _world, proxy, mut controller) = reported("watches", &ALONE);
    proxy.end_watches();
    is_answered(&namespace, &mut controller, "ended");
    let expired = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version: 1 (2)","reason":"Expired","code":410}}"#;
    let answers: [fn(&str) -> Answer; 4] = [
        |_| Answer::Refuse(410, "Gone"),
        |expired| Answer::Say(format!("{expired}\n")),
        |_| Answer::Later(1),
        |_| Answer::Say(r#"{"type":"ADDED","object":{"kind":"Wo"#.into()),
    ];
    for (number, answer) in answers.into_iter().enumerate() {
        let ended = Arc::new(AtomicBool::new(false));
        let is_ended = Arc::clone(&ended);
        proxy.rule(move |call| match call.is("watch", RESOURCES) && call.number == 0 {
            true => {
                is_ended.store(true, Ordering::SeqCst);
                answer(expired)
            }
            false => Answer::Pass,
        });
        proxy.end_watches();
        wait("new watch", &mut controller, || ended.load(Ordering::SeqCst));
        is_answered(&namespace, &mut controller, &format!("{number}"));
    }
    // A list that fails is tried again, and a change in the gap is found.
    proxy.rule(|call| match call.verb {
        "watch" if call.number == 0 => Answer::Refuse(410, "Gone"),
        "list" if call.number < 2 => Answer::Refuse(500, "InternalError"),
        _ => Answer::Pass,
    });
    proxy.end_watches();
    patch(&namespace, r#"{"spec":{"suspend":true}}"#);
    wait("suspension", &mut controller, || status(&namespace)["hold"]["reason"] == "Suspended");
    assert!(controller.says("the watch broke"), "{:#?}", controller.lines());
    assert_eq!(controller.stop().code(), Some(0));
}

#[test]
fn an_api_server_that_is_slow_or_deaf_for_a_while_changes_nothing_but_the_time() {
    let (namespace, _world, proxy, mut controller) = reported("slow", &ALONE);
    proxy.rule(|call| if call.verb == "watch" { Answer::Pass } else { Answer::Late(Duration::from_secs(2)) });
    is_answered(&namespace, &mut controller, "slow");
    // Longer than a request is waited for, and then it was done all the same.
    proxy.rule(|call| match call.is("patch", STATUS) && call.number == 0 {
        true => Answer::Late(Duration::from_secs(11)),
        false => Answer::Pass,
    });
    ask(&namespace, "deaf");
    wait("another try", &mut controller, || proxy.calls("patch", STATUS) > 1);
    assert!(controller.text().contains("did not answer within 10 s"), "{}", controller.text());
    assert_eq!(status(&namespace)["lastHandledSweepRequest"], "deaf");
    assert_eq!(controller.stop().code(), Some(0));
}

#[test]
fn a_lease_whose_renewals_are_refused_is_given_up_in_time_and_taken_again() {
    let (namespace, _world, proxy, mut controller) = reported("renewals", &["--lease-duration", "3s"]);
    let leads = |controller: &Controller| controller.said("leading", "identity").len();
    assert_eq!(leads(&controller), 1);
    // One that is refused or lost is nothing yet.
    for answer in [|| Answer::Later(1), || Answer::Refuse(500, "InternalError"), || Answer::Lose] {
        let refused = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&refused);
        proxy.rule(move |call| match call.is("update", "leases") && call.number == 0 {
            true => {
                count.fetch_add(1, Ordering::SeqCst);
                answer()
            }
            false => Answer::Pass,
        });
        wait("renewals", &mut controller, || proxy.calls("update", "leases") > 1);
        assert_eq!((refused.load(Ordering::SeqCst), leads(&controller)), (1, 1), "{:#?}", controller.lines());
    }
    proxy.rule(|call| match call.is("update", "leases") {
        true => Answer::Refuse(500, "InternalError"),
        false => Answer::Pass,
    });
    controller.wait("the end of its term", |controller| controller.says("no longer leading"));
    proxy.rule(|_| Answer::Pass);
    controller.wait("another term", |controller| leads(controller) == 2);
    is_answered(&namespace, &mut controller, "again");
    assert_eq!(controller.stop().code(), Some(0));
}

#[test]
fn an_answer_to_a_plan_that_could_not_be_taken_away_is_not_heard_twice() {
    let (namespace, _world, proxy, mut controller) = reported("answers", &ALONE);
    proxy.rule(|call| match call.is("patch", RESOURCES) && call.number == 0 {
        true => Answer::Refuse(409, "Conflict"),
        false => Answer::Pass,
    });
    annotate(&namespace, "hygiene.dev/approve-plan=no");
    let annotated =
        || super::object(&namespace, "test")["metadata"]["annotations"].get("hygiene.dev/approve-plan").is_some();
    wait("its end", &mut controller, || !annotated());
    assert!(proxy.calls("patch", RESOURCES) > 1);
    let told = super::events(&namespace).into_iter().filter(|(reason, _)| reason == "NotAPlan").count();
    assert_eq!(told, 1);
    assert_eq!(controller.stop().code(), Some(0));
}
