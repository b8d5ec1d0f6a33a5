//! What each path answers.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use workspace_hygiene::admin::Pulse;
use workspace_hygiene::report::outcome::Outcome;

use super::{Served, resource, until, view};
use crate::guards::swept;
use crate::world::{DAY, World, id};

#[test]
fn health_is_told_and_says_how_late_the_event_loop_is() {
    let answer = Served::new().get("/healthz");
    assert_eq!((answer.status(), answer.header("content-type")), (200, Some("application/json")));
    let health = answer.json();
    assert_eq!((&health["status"], &health["event_loop"]), (&"ok".into(), &"ok".into()));
    assert_eq!(health["event_loop_lag_ms"], 0);
    assert!(health["last_tick_age_ms"].as_u64().unwrap() < 10_000, "{health}");
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
}

/// The runtime is one of a single thread, and that thread sleeps: nothing on it can run, as when a task deletes a tree inline.
#[test]
fn a_blocked_runtime_is_told_with_its_true_lag_and_recovers() {
    let (beat, stale) = (Duration::from_millis(50), Duration::from_millis(400));
    let pulse = Pulse::new(beat, stale);
    let served = Served::with(pulse.clone());
    let (block, blocked) = std::sync::mpsc::channel::<Duration>();
    let worker = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::spawn(pulse.run());
            loop {
                tokio::time::sleep(Duration::from_millis(5)).await;
                match blocked.try_recv() {
                    Ok(time) => thread::sleep(time),
                    Err(std::sync::mpsc::TryRecvError::Disconnected) => return,
                    Err(std::sync::mpsc::TryRecvError::Empty) => {}
                }
            }
        });
    });
    until("it beats", || served.get("/healthz").json()["last_tick_age_ms"].as_u64() < Some(50));
    block.send(Duration::from_secs(3)).unwrap();
    until("it is stalled", || served.get("/healthz").status() == 503);
    let stalled = served.get("/healthz");
    let health = stalled.json();
    assert_eq!((&health["status"], &health["event_loop"]), (&"stalled".into(), &"stalled".into()));
    let [lag, age] = ["event_loop_lag_ms", "last_tick_age_ms"].map(|field| health[field].as_u64().unwrap());
    assert!(age > 400 && age == lag + 50, "{health}");
    until("the lag grows", || served.get("/healthz").json()["event_loop_lag_ms"].as_u64().unwrap() > 1_500);
    assert_eq!(served.get("/metrics").status(), 200);
    until("it recovers", || served.get("/healthz").status() == 200);
    drop(block);
    worker.join().unwrap();
}

#[test]
fn it_is_ready_once_specs_are_loaded_and_each_was_tried() {
    let served = Served::new();
    let missing = |served: &Served| {
        let answer = served.get("/readyz");
        (answer.status(), answer.json()["loaded"].clone(), answer.json()["waiting"].to_string())
    };
    assert_eq!(missing(&served), (503, false.into(), "[]".into()));
    served.board.expect(&[resource()]);
    served.board.loaded();
    assert_eq!(missing(&served), (503, true.into(), "[\"collab/workspaces\"]".into()));
    served.board.tried(&resource());
    assert_eq!(missing(&served), (200, true.into(), "[]".into()));
    // Loaded anew, it was tried all the same.
    served.board.expect(&[resource()]);
    assert!(served.board.is_ready());
}

#[test]
fn what_is_shown_of_a_resource_ends_with_it() {
    let served = Served::full();
    assert_eq!(served.get("/status").json()["resources"].as_array().unwrap().len(), 1);
    served.board.expect(&[]);
    assert_eq!(served.board.views().len(), 0);
    served.board.publish(view());
    assert_eq!(served.board.views().len(), 0, "a late report of a resource that is gone");
}

#[test]
fn status_is_the_views_as_data_and_bounded() {
    let served = Served::full();
    let mut long = view();
    long.sweeps = vec![long.sweeps[0].clone(); 40];
    long.orphans = vec![long.orphans[0].clone(); 400];
    long.quarantine = vec![long.quarantine[0].clone(); 400];
    served.board.publish(long);
    served.board.fault(Some("spec.yaml: line 3".into()));
    let answer = served.get("/status");
    let status = answer.json();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&status["ready"], &status["fault"]), (&true.into(), &"spec.yaml: line 3".into()));
    let shown = &status["resources"][0];
    assert_eq!(shown["status"]["hold"]["reason"], "TooManyOrphans");
    assert!(shown["orphans"][0]["lastActivity"].is_string(), "{shown}");
    let lengths = ["sweeps", "orphans", "quarantine"].map(|list| shown[list].as_array().unwrap().len());
    assert_eq!(lengths, [10, 50, 50]);
}

#[test]
fn nothing_can_be_written_and_what_is_not_there_is_told() {
    let served = Served::full();
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
        for path in ["/", "/healthz", "/status", "/nothing"] {
            let answer = served.ask(method, path);
            assert_eq!((answer.status(), answer.header("allow")), (405, Some("GET, HEAD")), "{method} {path}");
        }
    }
    let answer = served.get("/../etc/passwd?x=1");
    assert_eq!(answer.status(), 404);
    assert_eq!(answer.body, "there are: / /healthz /metrics /readyz /status /style.css\n");
    for path in ["/", "/healthz", "/readyz", "/metrics", "/status", "/style.css", "/nothing"] {
        let (get, head) = (served.get(path), served.ask("HEAD", path));
        assert_eq!((get.status(), head.body.as_str()), (head.status(), ""), "{path}");
        assert_eq!(get.header("cache-control"), Some("no-store"));
        assert_eq!(get.header("x-content-type-options"), Some("nosniff"));
    }
}

/// Reads OpenMetrics text strictly, and gives the samples.
fn samples(text: &str) -> BTreeSet<String> {
    let name = "[a-z][a-z0-9_]*";
    let label = r#"[a-z][a-z0-9_]*="(?:[^"\\\n]|\\["\\n])*""#;
    let sample = regex::Regex::new(&format!(r"^({name})(\{{{label}(?:,{label})*\}})? -?[0-9.+Infe-]+$")).unwrap();
    let meta = regex::Regex::new(&format!("^# (HELP|TYPE|UNIT) ({name}) (.+)$")).unwrap();
    let body = text.strip_suffix("# EOF\n").expect("it ends with # EOF");
    let (mut family, mut kind, mut seen, mut samples) =
        (String::new(), String::new(), BTreeSet::new(), BTreeSet::new());
    for line in body.lines() {
        if let Some(found) = meta.captures(line) {
            if found[2] != family {
                family = found[2].to_owned();
                assert!(seen.insert(family.clone()), "{family} is there twice");
            }
            match &found[1] {
                "TYPE" => kind = found[3].to_owned(),
                "UNIT" => assert!(family.ends_with(&format!("_{}", &found[3])), "{line}"),
                _ => {}
            }
            continue;
        }
        let found = sample.captures(line).unwrap_or_else(|| panic!("no sample: {line}"));
        let suffix = found[1].strip_prefix(&family).unwrap_or_else(|| panic!("{line} is not of {family}"));
        let fits = match kind.as_str() {
            "counter" => suffix == "_total",
            "histogram" => ["_sum", "_count", "_bucket"].contains(&suffix),
            "gauge" => suffix.is_empty(),
            _ => false,
        };
        assert!(fits, "{kind}: {line}");
        let series = line.rsplit_once(' ').unwrap().0.to_owned();
        assert!(samples.insert(line.to_owned()), "{line} is there twice");
        assert!(family.starts_with("hygiene_"), "{series}");
    }
    samples
}

#[test]
fn metrics_are_openmetrics_and_count_what_a_sweep_did() {
    let world = World::new();
    world.workspace("aaaaaaaa-0000-4000-8000-000000000000", 60 * DAY);
    world.workspace(&id(1), 50 * DAY);
    let report = swept(&world);
    let served = Served::full();
    let hostile = workspace_hygiene::policy::ResourceName::new("a", "b\"\\\n{}");
    for name in [resource(), hostile.clone()] {
        let outcome = Outcome::of(&world.policy(), &report);
        let verdicts = report.state.as_ref().unwrap().status.last_sweep.as_ref().unwrap().verdicts.clone();
        served.metrics.swept(&name, &outcome, &verdicts, Duration::from_millis(1_500));
        served.metrics.failed(&name);
        served.metrics.source(&name, "sessions", Duration::from_millis(20), true);
        served.metrics.source(&name, "sessions", Duration::from_secs(60), false);
    }
    let answer = served.get("/metrics");
    assert_eq!(answer.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let all = samples(&answer.body);
    let of = |name: &str, more: &str, value: &str| {
        let line = format!("hygiene_{name}{{namespace=\"collab\",name=\"workspaces\"{more}}} {value}");
        assert!(all.contains(&line), "{line}\n{}", answer.body);
    };
    of("sweeps_total", ",result=\"Failed\"", "1");
    of("orphans", "", "1.0");
    of("sweep_duration_seconds_count", "", "1");
    of("source_errors_total", ",kind=\"sessions\"", "1");
    assert!(all.contains("hygiene_source_duration_seconds_count{kind=\"sessions\"} 4"), "{}", answer.body);
    of("hold", ",kind=\"Breaker\",reason=\"TooManyOrphans\"", "1.0");
    of("quarantine_size_bytes", "", "1610612736.0");
    of("budget_left_directories", "", "98.0");
    of("condition", ",type=\"Ready\",status=\"True\"", "1.0");
    assert!(all.contains("hygiene_ready 1.0"), "{}", answer.body);
    assert!(answer.body.contains("hygiene_directories{namespace=\"collab\",name=\"workspaces\",verdict="));

    served.metrics.forget(&hostile);
    served.metrics.forget(&resource());
    served.board.expect(&[]);
    let after = served.get("/metrics").body;
    samples(&after);
    assert!(!after.contains("namespace="), "{after}");
}

/// The classic parser knows the OpenMetrics text but for its counters' names, so only what it cannot read fails.
#[test]
fn promtool_reads_the_metrics() {
    let served = Served::full();
    served.metrics.failed(&resource());
    served.metrics.source(&resource(), "sessions", Duration::from_millis(20), true);
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().expect("promtool, of Debian's package prometheus: scripts/setup installs it");
    promtool.stdin.take().unwrap().write_all(served.get("/metrics").body.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("error while linting") && output.status.code() != Some(1), "{said}");
}
