//! The alarms, on the lines that a service really writes.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::made;
use crate::world::{DAY, World, id};

const PATIENCE: Duration = Duration::from_secs(60);

/// A world in which there is one orphan, with the name that the parameters give the resource.
fn named(mut world: World) -> World {
    world.name = "collab";
    world.workspace(&id(1), 30 * DAY);
    world.workspace("aaaaaaaa-0000-4000-8000-000000000000", 30 * DAY);
    world
}

/// The lines that a service writes for its first sweep that may act.
fn lines(world: &World) -> Vec<Value> {
    let written = world.path("metrics");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hygiene"));
    command
        .args(["run", "--metrics", "emf", "--startup-delay", "0s", "--listen", "127.0.0.1:0", "-f"])
        .arg(world.spec_file())
        .env("HYGIENE_STATE_DIR", world.path("state"))
        .env_remove("HYGIENE_LOG")
        .env_remove("HYGIENE_CLUSTER")
        .stdin(Stdio::null())
        .stdout(fs::File::create(&written).unwrap())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    while fs::metadata(&written).unwrap().len() == 0 && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let text = fs::read_to_string(&written).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// Whether a filter pattern of CloudWatch Logs matches a line, as far as ours use its language.
fn matches(pattern: &str, line: &Value) -> bool {
    let inner = pattern.strip_prefix("{ ").and_then(|rest| rest.strip_suffix(" }")).unwrap();
    inner.split(" && ").all(|term| {
        let [field, operator, value] = term.split(' ').collect::<Vec<_>>()[..] else { panic!("{term}") };
        let found = &line[field.strip_prefix("$.").unwrap()];
        let value: Value = serde_json::from_str(value).unwrap();
        match operator {
            "=" => *found == value,
            ">=" => found.as_f64().is_some_and(|found| found >= value.as_f64().unwrap()),
            other => panic!("{other} is not known here"),
        }
    })
}

/// What an alarm's metric is after these lines; `None` where they say nothing about it.
fn metric(alarm: &str, lines: &[Value]) -> Option<i64> {
    let alarm = &made()["alarms"][alarm];
    assert_eq!((&alarm["Statistic"], &alarm["TreatMissingData"]), (&json!("Maximum"), &json!("ignore")));
    let mut values = Vec::new();
    for filter in made()["filters"].as_object().unwrap().values() {
        let [into] = filter["MetricTransformations"].as_array().unwrap().as_slice() else { panic!("{filter}") };
        if into["MetricName"] == alarm["MetricName"] && into["MetricNamespace"] == alarm["Namespace"] {
            let found = lines.iter().filter(|line| matches(filter["FilterPattern"].as_str().unwrap(), line));
            values.extend(found.map(|_| into["MetricValue"].as_str().unwrap().parse::<i64>().unwrap()));
        }
    }
    values.into_iter().max()
}

#[test]
fn a_sweep_that_is_not_held_ends_every_alarm() {
    let lines = lines(&named(World::on_disk()));
    assert_eq!((metric("BreakerAlarm", &lines), metric("SourceAlarm", &lines)), (Some(0), Some(0)), "{lines:#?}");
    // CloudWatch takes this one from the line itself.
    let alarm = &made()["alarms"]["NoSweepAlarm"];
    let line = &lines[0];
    let [written] = line["_aws"]["CloudWatchMetrics"].as_array().unwrap().as_slice() else { panic!("{line}") };
    assert_eq!(written["Namespace"], alarm["Namespace"]);
    let metrics = written["Metrics"].as_array().unwrap();
    assert!(metrics.iter().any(|metric| metric["Name"] == alarm["MetricName"]), "{line}");
    assert!(line[alarm["MetricName"].as_str().unwrap()].is_number(), "{line}");
    let dimensions = alarm["Dimensions"].as_array().unwrap();
    let names: Vec<_> = dimensions.iter().map(|one| one["Name"].clone()).collect();
    assert_eq!(written["Dimensions"], json!([names]));
    for dimension in dimensions {
        assert_eq!(line[dimension["Name"].as_str().unwrap()], dimension["Value"]);
    }
    assert_eq!((&alarm["EvaluationPeriods"], &alarm["TreatMissingData"]), (&json!(3), &json!("breaching")));
}

#[test]
fn a_breaker_raises_its_alarm() {
    // Nobody has approved a plan for this volume yet.
    let lines = lines(&named(World::fresh_on_disk()));
    assert_eq!((metric("BreakerAlarm", &lines), metric("SourceAlarm", &lines)), (Some(1), Some(0)), "{lines:#?}");
}

#[test]
fn a_source_that_does_not_answer_raises_its_alarm_and_no_other() {
    let world = named(World::on_disk());
    world.spec_file();
    fs::remove_file(world.path("sessions.db")).unwrap();
    let lines = lines(&world);
    assert_eq!((metric("BreakerAlarm", &lines), metric("SourceAlarm", &lines)), (Some(0), Some(1)), "{lines:#?}");
}
