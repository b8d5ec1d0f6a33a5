//! The checker refuses what it is there for.

use serde_json::{Value, json};

use super::{Status, faults};

const T0: &str = "2026-01-02T03:04:05Z";
const T1: &str = "2026-01-02T03:05:00Z";

fn condition(kind: &str, status: &str, reason: &str, generation: i64) -> Value {
    json!({
        "type": kind, "status": status, "reason": reason, "message": "why", "lastTransitionTime": T0,
        "observedGeneration": generation,
    })
}

fn status(generation: i64, status: Value) -> Status {
    let object = json!({ "metadata": { "generation": generation }, "status": status });
    Status::of(&object, T1.parse().unwrap())
}

/// One that is as it should be, of generation 2.
fn good() -> Value {
    json!({
        "observedGeneration": 2,
        "conditions": [
            condition("Ready", "True", "Swept", 2),
            condition("SourcesAvailable", "True", "Complete", 2),
            condition("DeletionAllowed", "False", "TooManyOrphans", 2),
            condition("BacklogDrained", "False", "OrphansWait", 2),
        ],
        "lastSweep": { "id": "a", "generation": 2, "completionTime": T0 },
        "hold": {
            "kind": "Breaker", "reason": "TooManyOrphans", "planHash": "ab12",
            "message": "run kubectl annotate hygiene.dev/approve-plan=ab12 or hygiene.dev/dismiss-plan=ab12",
        },
    })
}

fn stalled() -> Value {
    json!({
        "observedGeneration": 2,
        "conditions": [
            condition("Ready", "False", "InvalidSpec", 2),
            condition("DeletionAllowed", "False", "InvalidSpec", 2),
            condition("Stalled", "True", "InvalidSpec", 2),
        ],
    })
}

fn pending() -> Value {
    let mut pending = good();
    pending["conditions"].as_array_mut().unwrap().push(condition("Reconciling", "True", "SweepPending", 3));
    pending
}

#[test]
fn statuses_that_are_in_order_have_no_faults() {
    for (generation, one) in [(2, good()), (5, good()), (2, stalled()), (3, pending())] {
        assert_eq!(faults(&[], &status(generation, one.clone())), <[&str; 0]>::default(), "{one:#}");
    }
    let (first, mut later) = (status(2, good()), pending());
    later["conditions"][0]["lastTransitionTime"] = T0.into();
    assert_eq!(faults(&[&first], &status(3, later)), <[&str; 0]>::default());
    let mut changed = stalled();
    changed["conditions"][0]["lastTransitionTime"] = T1.into();
    assert_eq!(faults(&[&first], &status(2, changed)), <[&str; 0]>::default());
}

/// Each with what the fault's text holds.
#[test]
fn each_status_that_is_not_is_refused_for_what_is_wrong() {
    type Bad<'a> = (&'a str, fn() -> Value, &'a str, Value);
    let bad: &[Bad] = &[
        ("above 2", good, "/observedGeneration", json!(3)),
        ("which is not observed", good, "/lastSweep/generation", json!(3)),
        ("no condition", good, "/conditions", json!([])),
        ("2 times", good, "/conditions/1", condition("Ready", "True", "Swept", 2)),
        ("no CamelCase", good, "/conditions/0/reason", json!("all is well")),
        ("never has the reason", good, "/conditions/0/reason", json!("SweepCompleted")),
        ("never has the reason", stalled, "/conditions/2/status", json!("False")),
        ("never has the reason", pending, "/conditions/4/status", json!("False")),
        ("message of 0 bytes", good, "/conditions/0/message", json!("")),
        ("message of 257 bytes", good, "/conditions/0/message", json!("x".repeat(257))),
        ("message of 1025 bytes", stalled, "/conditions/2/message", json!("x".repeat(1025))),
        ("Ready: observedGeneration 3", good, "/conditions/0/observedGeneration", json!(3)),
        ("to come", good, "/conditions/0/lastTransitionTime", json!("2027-01-02T03:04:05Z")),
        ("beside Stalled", stalled, "/conditions/0", condition("Ready", "True", "Swept", 2)),
        ("beside Stalled", stalled, "/conditions/1", condition("DeletionAllowed", "True", "Allowed", 2)),
        ("reason of Stalled", stalled, "/conditions/0/reason", json!("OverlappingVolume")),
        ("while it is stalled", stalled, "/nextSweepTime", json!(T1)),
        ("its generation is observed", pending, "/observedGeneration", json!(3)),
        ("generation that is observed", good, "/conditions/0/observedGeneration", json!(1)),
        ("neither Ready nor Reconciling", good, "/conditions/0", condition("Reconciled", "True", "Swept", 2)),
        ("no hold", good, "/hold", Value::Null),
        ("True beside a hold", good, "/conditions/2", condition("DeletionAllowed", "True", "Allowed", 2)),
        ("has the reason", good, "/conditions/2/reason", json!("ReportMode")),
        ("of the kind Gate", good, "/hold/kind", json!("Gate")),
        ("how to end it", good, "/hold/planHash", json!("ab13")),
        ("message of 1025 bytes", good, "/hold/message", json!("x".repeat(1025))),
        ("bytes", good, "/sessions", json!("x".repeat(8 * 1024))),
        ("11 samples", good, "/orphans", json!([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])),
    ];
    for (what, of, place, value) in bad {
        let mut one = of();
        set(&mut one, place, value.clone());
        let generation = if one["conditions"].to_string().contains("SweepPending") { 3 } else { 2 };
        let found = faults(&[], &status(generation, one.clone()));
        assert!(found.iter().any(|fault| fault.contains(what)), "{what}: {found:?}\n{one:#}");
    }
}

/// Null takes it away.
fn set(status: &mut Value, place: &str, value: Value) {
    let (above, name) = place.rsplit_once('/').unwrap();
    match status.pointer_mut(above).unwrap() {
        Value::Array(all) if value.is_null() => drop(all.remove(name.parse().unwrap())),
        Value::Array(all) => all[name.parse::<usize>().unwrap()] = value,
        above if value.is_null() => drop(above.as_object_mut().unwrap().remove(name)),
        above => above[name] = value,
    }
}

#[test]
fn each_change_that_must_not_be_is_refused() {
    let first = status(2, good());
    let refused = |what: &str, later: Value| {
        let found = faults(&[&first], &status(3, later));
        assert!(found.iter().any(|fault| fault.contains(what)), "{what}: {found:?}");
    };
    let with = |place: &str, value: Value| {
        let mut later = good();
        set(&mut later, place, value);
        later
    };
    refused("went back from 2 to 1", with("/observedGeneration", json!(1)));
    refused("stayed True", with("/conditions/0/lastTransitionTime", json!("2026-01-02T03:04:04Z")));
    let mut failed = condition("Ready", "False", "StepFailed", 2);
    failed["lastTransitionTime"] = "2026-01-02T03:04:04Z".into();
    refused("Ready became False before True was reported", with("/conditions/0", failed));

    let gone = status(2, with("/conditions/1", Value::Null));
    let mut back = good();
    back["conditions"][1]["lastTransitionTime"] = "2026-01-02T03:04:04Z".into();
    let found = faults(&[&first, &gone], &status(2, back));
    assert!(found.iter().any(|fault| fault.contains("SourcesAvailable is back")), "{found:?}");
}
