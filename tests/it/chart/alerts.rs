//! The alerts: each for its condition and not for others, each with a runbook.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::{PROJECT, the, watched};
use crate::servers::process::output;

const CASES: &str = include_str!("alerts.yaml");

/// The rules of all alerts.
pub(super) fn rules() -> Vec<Value> {
    let objects = watched();
    let groups = the(&objects, "PrometheusRule")["spec"]["groups"].as_array().unwrap().clone();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

#[test]
fn each_alert_fires_for_its_condition_and_for_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let objects = watched();
    // JSON is YAML.
    fs::write(dir.path().join("rules.yaml"), the(&objects, "PrometheusRule")["spec"].to_string()).unwrap();
    fs::write(dir.path().join("alerts.yaml"), CASES).unwrap();
    output(Command::new("promtool").args(["check", "rules", "rules.yaml"]).current_dir(dir.path()), "");
    output(Command::new("promtool").args(["test", "rules", "alerts.yaml"]).current_dir(dir.path()), "");
    for rule in rules() {
        let alert = rule["alert"].as_str().unwrap();
        let tried = format!("alertname: {alert}\n        exp_alerts:\n          - exp_labels");
        assert!(CASES.contains(&tried), "no case in which {alert} fires");
    }
}

/// The anchor that a heading gets where Markdown is shown.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-');
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn each_alert_has_a_runbook_and_each_runbook_names_its_alert() {
    let text = fs::read_to_string(format!("{PROJECT}/docs/runbooks.md")).unwrap();
    let sections: Vec<_> = text.split("\n## ").skip(1).map(|part| part.split_once('\n').unwrap()).collect();
    let mut seen = BTreeSet::new();
    for rule in rules() {
        let (alert, annotations) = (rule["alert"].as_str().unwrap(), &rule["annotations"]);
        let link = annotations["runbook_url"].as_str().unwrap().strip_prefix("docs/runbooks.md#").unwrap();
        let section = sections.iter().find(|(heading, _)| anchor(heading) == link);
        let (_, body) = section.unwrap_or_else(|| panic!("{alert}: no section {link}"));
        assert!(body.contains(&format!("`{alert}`")), "{link} does not name {alert}");
        assert!(body.contains("```console"), "{link} has no commands");
        assert!(!annotations["summary"].as_str().unwrap().is_empty());
        assert!(rule["labels"]["severity"].is_string() && rule["for"].is_string(), "{rule}");
        assert!(seen.insert(link.to_owned()), "{link} is of two alerts");
    }
    let named: BTreeSet<_> =
        text.split('`').filter(|word| word.starts_with("WorkspaceHygiene") && !word.contains(' ')).collect();
    assert_eq!(named.len(), seen.len(), "{named:?}");
}
