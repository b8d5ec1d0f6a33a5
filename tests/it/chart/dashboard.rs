//! The dashboard and the alerts name metrics that there are: those of a controller at work.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use regex::Regex;
use serde_json::Value;

use super::{alerts, the, watched};
use crate::kubernetes::controller::{Controller, annotate, apply, in_namespace, namespace, status, wait};
use crate::servers::process::{Process, free_port, output, percent_encoded, wait_for};
use crate::world::{DAY, World, id};

/// Where the machine limits no memory there is none to tell.
const NOT_EVERYWHERE: [&str; 3] =
    ["hygiene_memory_usage_bytes", "hygiene_memory_warn_bytes", "hygiene_memory_limit_bytes"];

fn dashboard() -> Value {
    let objects = watched();
    serde_json::from_str(the(&objects, "ConfigMap")["data"]["workspace-hygiene.json"].as_str().unwrap()).unwrap()
}

/// The queries of all panels, with something in place of Grafana's variables.
fn queries() -> Vec<String> {
    let mut found = Vec::new();
    for panel in dashboard()["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap();
            let variables =
                [("$__rate_interval", "5m"), ("$__range", "1d"), ("$job", ".*"), ("$namespace", ".*"), ("$name", ".*")];
            found.push(variables.iter().fold(query.to_owned(), |query, (name, value)| query.replace(name, value)));
        }
    }
    assert!(found.len() > 20, "{found:?}");
    found
}

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let name = Regex::new(r"\bhygiene_[a-z_]+").unwrap();
    name.find_iter(text).map(|found| found.as_str().to_owned()).collect()
}

#[test]
fn prometheus_understands_every_query() {
    let dir = tempfile::tempdir().unwrap();
    let rules: Vec<_> = queries()
        .iter()
        .enumerate()
        .map(|(n, expr)| serde_json::json!({"record": format!("panel:query:{n}"), "expr": expr}))
        .collect();
    let groups = serde_json::json!({"groups": [{"name": "dashboard", "rules": rules}]});
    fs::write(dir.path().join("rules.yaml"), groups.to_string()).unwrap();
    output(Command::new("promtool").args(["check", "rules", "rules.yaml"]).current_dir(dir.path()), "");
}

#[test]
fn panels_neither_overlap_nor_lack_a_title() {
    let dashboard = dashboard();
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()));
        assert!(!panel["title"].as_str().unwrap().is_empty() && !panel["description"].as_str().unwrap().is_empty());
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(x < 24 && taken.insert((x, y)), "{}", panel["title"]);
            }
        }
    }
}

fn address(controller: &Controller) -> String {
    let lines = controller.lines();
    lines.iter().find_map(|line| line["address"].as_str()).unwrap().to_owned()
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: test\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn metrics(controller: &Controller) -> String {
    get(&address(controller), "/metrics")
}

/// A Prometheus that scrapes a controller every second.
struct Prometheus {
    address: String,
    _process: Process,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn of(controller: &Controller) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = serde_json::json!({
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [{"job_name": "hygiene", "static_configs": [{"targets": [address(controller)]}]}],
        });
        let (file, data) = (folder.path().join("config.yaml"), folder.path().join("data"));
        fs::write(&file, config.to_string()).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let mut options: Vec<OsString> = vec!["prometheus".into(), format!("--web.listen-address={address}").into()];
        for (option, path) in [("--config.file=", &file), ("--storage.tsdb.path=", &data)] {
            options.push([option.as_ref(), path.as_os_str()].into_iter().collect());
        }
        let process = Process::start_as_it_is(folder.path(), &options);
        wait_for("Prometheus", || TcpStream::connect(&address).is_ok());
        Self { address, _process: process, _folder: folder }
    }

    /// How many series a query gives.
    fn series(&self, query: &str) -> usize {
        let query = percent_encoded(query);
        let answer = get(&self.address, &format!("/api/v1/query?query={query}"));
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let answer: Value = serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {answer}"));
        assert_eq!(answer["status"], "success", "{answer}");
        answer["data"]["result"].as_array().unwrap().len()
    }
}

#[test]
fn every_metric_that_is_named_is_one_that_a_controller_exports_and_each_panel_has_data() {
    let namespace = namespace("metrics");
    let mut world = in_namespace(World::on_disk(), &namespace);
    world.part("mode", "Enforce");
    world.part("quarantine", "{retention: 1s}");
    world.workspace("aaaaaaaa-0000-4000-8000-000000000000", 30 * DAY);
    world.workspace(&id(1), 30 * DAY);
    apply(&world);
    let mut controller = Controller::start(&world, &namespace, &[]);
    wait_for("its address", || controller.says("the admin server listens"));
    let prometheus = Prometheus::of(&controller);
    wait("quarantining", &mut controller, || !world.root().join(id(1)).exists());
    std::thread::sleep(Duration::from_secs(2));
    annotate(&namespace, "hygiene.dev/sweep-requested-at=again");
    wait("purging", &mut controller, || status(&namespace)["reclaimed"]["directories"] == 1);
    let exported = |text: &str| -> BTreeSet<String> {
        let samples = text.lines().filter(|line| line.starts_with("hygiene_"));
        samples.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect()
    };
    let mut found = exported(&metrics(&controller));

    // Something that is held, and something that is refused.
    (2..60).for_each(|n| drop(world.workspace(&id(n), 30 * DAY)));
    annotate(&namespace, "hygiene.dev/sweep-requested-at=once-more");
    let mut elsewhere = crate::kubernetes::schema::minimal(&namespace, "elsewhere");
    elsewhere["spec"]["volume"]["path"] = "/elsewhere".into();
    crate::kubernetes::Cluster::shared().admin_with(&["apply", "-f", "-"], &elsewhere.to_string());
    wait("hold", &mut controller, || status(&namespace)["hold"]["kind"] == "Breaker");
    wait_for("the refusal", || metrics(&controller).contains("hygiene_refused{"));
    let text = metrics(&controller);
    found.extend(exported(&text));
    let line = |name: &str, more: &str| format!("hygiene_{name}{{namespace=\"{namespace}\",name={more}}} 1.0");
    for line in [
        line("refused", "\"elsewhere\",reason=\"VolumeNotAllowed\",mode=\"Report\""),
        line("mode", "\"test\",mode=\"Enforce\""),
        line("hold", "\"test\",kind=\"Breaker\",reason=\"TooManyOrphans\""),
        "hygiene_leading 1.0".into(),
    ] {
        assert!(text.contains(&line), "{line}\n{text}");
    }

    let mut wanted = BTreeSet::new();
    queries().iter().for_each(|query| wanted.extend(named(query)));
    alerts::rules().iter().for_each(|rule| wanted.extend(named(rule["expr"].as_str().unwrap())));
    let variables = dashboard()["templating"].to_string();
    wanted.extend(named(&variables));
    let missing: Vec<_> = wanted.difference(&found).filter(|name| !NOT_EVERYWHERE.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?} of {found:?}");

    // Each panel has something to draw, of what was scraped while all this went on.
    wait_for("what is held to be scraped some times", || {
        prometheus.series("count_over_time(hygiene_hold[1m]) > 4") > 0
    });
    let shown = queries().into_iter().filter(|query| !NOT_EVERYWHERE.iter().any(|name| query.contains(name)));
    let empty: Vec<_> = shown.filter(|query| prometheus.series(query) == 0).collect();
    assert!(empty.is_empty(), "panels without data: {empty:#?}");
}
