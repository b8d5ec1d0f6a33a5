//! The definition in force: accepted, as it was committed, explained, and shown in columns.

use serde_json::{Value, json};

use super::Cluster;
use super::cluster::DEFINITION;
use super::schema::{definition, minimal, schema, walk};

const NAME: &str = "crd/workspacehygienes.hygiene.dev";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn the_api_server_accepts_the_committed_definition_and_keeps_every_word_of_it() {
    let cluster = Cluster::shared();
    let stored = json(&cluster.admin(&["get", NAME, "-o", "json"]));
    let conditions = stored["status"]["conditions"].as_array().unwrap();
    let status_of = |kind: &str| conditions.iter().find(|one| one["type"] == kind).map(|one| &one["status"]);
    assert_eq!(status_of("Established"), Some(&json!("True")));
    assert_eq!(status_of("NamesAccepted"), Some(&json!("True")));
    // What Kubernetes calls no structural schema is accepted, and then not enforced.
    assert_eq!(status_of("NonStructuralSchema"), None);
    assert_eq!(stored["spec"]["versions"], definition()["spec"]["versions"]);

    let again = cluster.admin(&["apply", "--server-side", "-f", DEFINITION]);
    assert!(again.contains("serverside-applied"), "{again}");
    let unchanged = json(&cluster.admin(&["get", NAME, "-o", "json"]));
    assert_eq!(unchanged["metadata"]["resourceVersion"], stored["metadata"]["resourceVersion"]);
}

#[test]
fn kubectl_explains_every_field() {
    let cluster = Cluster::shared();
    let mut objects = Vec::new();
    walk(&["workspacehygiene"], schema(), &mut |path, schema| {
        if schema.get("properties").is_some() {
            // kubectl looks through lists and maps.
            let path: Vec<_> = path.iter().copied().filter(|name| !["[]", "{}"].contains(name)).collect();
            objects.push((path.join("."), schema));
        }
    });
    let mut fields = 0;
    for (path, schema) in objects {
        let told = one_line(&cluster.admin(&["explain", &path]));
        assert!(!told.contains("<empty>") && !told.contains("<no description>"), "{path}: {told}");
        for (name, property) in schema["properties"].as_object().unwrap() {
            let described = one_line(property["description"].as_str().unwrap());
            assert!(told.contains(&described), "{path}.{name}: {described}\n{told}");
            fields += 1;
        }
    }
    assert!(fields > 200, "{fields}");
}

/// kubectl breaks long lines.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The cells of each line; they are two or more spaces apart.
fn table(text: &str) -> Vec<Vec<String>> {
    let cells =
        |line: &str| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect();
    text.lines().map(cells).collect()
}

#[test]
fn kubectl_get_shows_what_matters_and_more_when_asked() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("columns");
    let resource = minimal(&namespace, "collab");
    let in_namespace = |arguments: &[&str]| cluster.admin(&[&["-n", &namespace], arguments].concat());
    cluster.admin_with(&["create", "-f", "-"], &resource.to_string());

    let fresh = table(&in_namespace(&["get", "wsh", "-o", "wide"]));
    let names =
        ["NAME", "MODE", "READY", "HOLD", "ORPHANS", "QUARANTINED", "RECLAIMED", "LAST SWEEP", "NEXT SWEEP", "AGE"];
    assert_eq!(fresh[0], names);
    assert_eq!(fresh[1][..2], ["collab", "Report"]);

    let mut reported = resource.clone();
    let now = jiff::Timestamp::now();
    let next = (now + jiff::SignedDuration::from_hours(1)).strftime("%FT%TZ").to_string();
    let ended = (now - jiff::SignedDuration::from_mins(7)).strftime("%FT%TZ").to_string();
    reported["status"] = json!({
        "observedGeneration": 1,
        "conditions": [
            { "type": "DeletionAllowed", "status": "False", "reason": "Report", "message": "", "lastTransitionTime": ended },
            { "type": "Ready", "status": "True", "reason": "SweepCompleted", "message": "", "lastTransitionTime": ended },
        ],
        "lastSweep": { "id": "0198", "completionTime": ended, "orphans": 3 },
        "hold": { "kind": "Breaker", "reason": "TooManyOrphans", "message": "51 orphans" },
        "quarantine": { "directories": 12 },
        "reclaimed": { "size": "1.4Gi" },
        "nextSweepTime": next,
    });
    cluster.admin_with(&["replace", "--subresource=status", "-f", "-"], &reported.to_string());
    let wide = table(&in_namespace(&["get", "wsh", "-o", "wide"]));
    let expected = ["collab", "Report", "True", "TooManyOrphans", "3", "12", "1.4Gi", "7m", &next];
    // The seconds of the last sweep's age may be there or not.
    let mut shown = wide[1].clone();
    shown[7].truncate(2);
    assert_eq!(shown[..9], expected);

    let narrow = table(&in_namespace(&["get", "workspacehygienes"]));
    assert_eq!(narrow[0], [&names[..8], &names[9..]].concat());
}
