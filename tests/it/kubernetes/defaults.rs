//! A spec means the same to the API server as to the command line.

use std::cell::Cell;

use hyper::Request;
use kube::core::Status;
use proptest::prelude::*;
use proptest::strategy::BoxedStrategy;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};
use serde_json::{Map, Value, json};
use workspace_hygiene::api::WorkspaceHygiene;

use super::Cluster;
use super::cluster::Access;
use super::schema::{minimal, schema};

/// Fields of which mostly one is given: the schema has rules about them.
const ALTERNATIVES: &[&[&str]] = &[
    &["path", "persistentVolumeClaim"],
    &["every", "cron"],
    &["postgres", "mysql", "sqlite"],
    &["url", "connection"],
    &["value", "secretKeyRef"],
    &["configMapKeyRef", "secretKeyRef"],
    &["kubernetes", "ecs", "http"],
    &["serving", "claims"],
    &["matchLabels", "matchExpressions"],
    &["label", "annotation", "subPathOfVolume"],
];

/// Values that a schema lets through, by and large: of its rules only [`ALTERNATIVES`] are known here.
fn any_of(name: &str, schema: &'static Value) -> BoxedStrategy<Value> {
    let bound = |bound: &str| schema[bound].as_u64().map(|bound| bound as usize);
    match schema["type"].as_str().unwrap() {
        "object" if schema.get("properties").is_some() => any_object(schema),
        "object" => prop::collection::btree_map("[a-z]{1,8}", any_of("", &schema["additionalProperties"]), 1..3)
            .prop_map(|map| json!(map))
            .boxed(),
        "array" => prop::collection::vec(any_of("", &schema["items"]), bound("minItems").unwrap_or(0)..3)
            .prop_map(Value::from)
            .boxed(),
        "boolean" => any::<bool>().prop_map(Value::from).boxed(),
        "integer" => {
            let end = |bound: &str| schema[bound].as_i64().unwrap();
            (end("minimum")..=end("maximum")).prop_map(Value::from).boxed()
        }
        "string" if schema.get("enum").is_some() => {
            prop::sample::select(schema["enum"].as_array().unwrap().clone()).boxed()
        }
        // Most durations that the pattern allows are out of its range.
        "string" if name == "every" => "([1-9][0-9]?h)?[1-9][0-9]{0,3}m".prop_map(Value::from).boxed(),
        "string" => {
            let pattern = schema["pattern"].as_str().unwrap_or("^\\PC{1,40}$");
            let strategy = prop::string::string_regex(&pattern[1..pattern.len() - 1]).unwrap();
            let longest = schema["maxLength"].as_u64().unwrap() as usize;
            strategy.prop_filter("too long", move |text| text.chars().count() <= longest).prop_map(Value::from).boxed()
        }
        other => panic!("no spec has a {other}"),
    }
}

fn any_object(schema: &'static Value) -> BoxedStrategy<Value> {
    let properties = schema["properties"].as_object().unwrap();
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let alternatives = ALTERNATIVES
        .iter()
        .find(|names| names.iter().all(|name| properties.contains_key(*name) && !required.contains(name)));
    let fields: Vec<_> = properties
        .iter()
        .map(|(name, schema)| {
            let field = any_of(name, schema).prop_map(move |value| (name.clone(), value));
            if required.contains(&name.as_str()) || alternatives.is_some_and(|names| names.contains(&name.as_str())) {
                return field.prop_map(Some).boxed();
            }
            // A job belongs to one kind of volume.
            prop::option::weighted(if name == "job" { 0.1 } else { 0.4 }, field).boxed()
        })
        .collect();
    let several = alternatives.map_or(1, |names| names.len());
    (fields, 0..several, prop::bool::weighted(0.03))
        .prop_map(move |(fields, chosen, all)| {
            let dropped = |name: &str| {
                let at = alternatives.and_then(|names| names.iter().position(|one| *one == name));
                at.is_some_and(|at| at != chosen && !all)
            };
            fields.into_iter().flatten().filter(|(name, _)| !dropped(name)).collect::<Map<_, _>>().into()
        })
        .boxed()
}

/// What a YAML document may hold by mistake.
fn odd_value() -> impl Strategy<Value = Value> {
    let whole = (-3_i32..3).prop_map(|number| json!(f64::from(number)));
    let text =
        prop_oneof!["\\PC{0,12}", "[ \\t\u{a0}\u{85}\u{2003}\\n]{1,3}", "[0-9]{1,3}[dwhms]?", "https?://[a-z]{3}\\s"];
    prop_oneof![
        Just(Value::Null),
        Just(json!({})),
        Just(json!([])),
        any::<i64>().prop_map(Value::from),
        whole,
        text.prop_map(Value::from)
    ]
}

/// The pointers to everything below `value`.
fn pointers(here: &str, value: &Value, found: &mut Vec<String>) {
    let fields = value.as_object().into_iter().flatten().map(|(name, value)| (name.replace('/', "~1"), value));
    let elements = value.as_array().into_iter().flatten().enumerate().map(|(at, value)| (at.to_string(), value));
    for (name, value) in fields.chain(elements) {
        let here = format!("{here}/{name}");
        pointers(&here, value, found);
        found.push(here);
    }
}

/// A spec; one of four has something odd in it.
fn any_spec() -> impl Strategy<Value = (Value, bool)> {
    let spec = any_of("spec", &schema()["properties"]["spec"]);
    let odd = prop::option::weighted(0.25, (any::<prop::sample::Index>(), odd_value()));
    (spec, odd).prop_map(|(mut spec, odd)| {
        let is_odd = odd.is_some();
        if let Some((at, value)) = odd {
            let mut all = Vec::new();
            pointers("", &spec, &mut all);
            *spec.pointer_mut(at.get(all.as_slice()).as_str()).unwrap() = value;
        }
        (spec, is_odd)
    })
}

/// JSON is YAML too, where no character stands for itself that YAML does not allow.
fn as_flow(value: &Value) -> String {
    let escaped = |letter: char| match letter {
        '\u{7f}'..='\u{9f}' | '\u{feff}' => format!("\\u{:04x}", u32::from(letter)),
        letter => letter.to_string(),
    };
    value.to_string().chars().map(escaped).collect()
}

/// What the API server makes of a document, or why it refuses it.
fn created(access: &Access, namespace: &str, yaml: &str) -> Result<Value, Box<Status>> {
    let path = format!("/apis/hygiene.dev/v1alpha1/namespaces/{namespace}/workspacehygienes?dryRun=All");
    let request = Request::post(path).header("content-type", "application/yaml").body(yaml.into()).unwrap();
    access.run(access.client.request::<Value>(request)).map_err(|error| match error {
        kube::Error::Api(status) => status,
        other => panic!("{other}"),
    })
}

#[test]
fn the_api_server_and_the_command_line_read_the_same_spec() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("defaults");
    let access = cluster.access();
    let config = Config {
        cases: 300,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/it/kubernetes/regressions.txt"))),
        ..Config::default()
    };
    let seen = [const { Cell::new(0_u32) }; 3];
    let count = |which: usize| seen[which].set(seen[which].get() + 1);
    let judged = TestRunner::new(config).run(&(any_spec(), any::<bool>()), |((spec, is_odd), flow)| {
        let mut resource = minimal(&namespace, "collab");
        resource["spec"] = spec;
        // In a block of text that begins with a tab, the tab may be taken for indentation, which YAML does not allow.
        let flow = flow || resource.to_string().contains("\\t");
        let yaml = if flow { as_flow(&resource) } else { serde_saphyr::to_string(&resource).unwrap() };
        let loaded = crate::spec::load(&["-"], &yaml, false);
        match created(&access, &namespace, &yaml) {
            Ok(stored) => {
                count(usize::from(is_odd));
                // As the controller reads it.
                let typed: WorkspaceHygiene = serde_json::from_value(stored.clone()).unwrap();
                prop_assert_eq!(&serde_json::to_value(&typed.spec).unwrap(), &stored["spec"]);
                if !is_odd {
                    let decoded: WorkspaceHygiene = serde_saphyr::from_str(&yaml).unwrap();
                    prop_assert_eq!(&decoded.spec, &typed.spec);
                }
                if let Ok(loaded) = loaded {
                    prop_assert_eq!(&loaded[0].resource.spec, &typed.spec);
                }
            }
            // Two readers of YAML differ about characters that nobody types; what is refused does no harm.
            Err(refused) if refused.message.contains("yaml: ") => {}
            Err(refused) => {
                count(2);
                let told: Vec<_> = loaded.err().into_iter().flatten().map(|fault| fault.field).collect();
                let causes = refused.details.iter().flat_map(|details| &details.causes);
                // What one calls a fault of a field may be one of the field around it to the other.
                let near = |one: &str, other: &str| one.starts_with(other) || other.starts_with(one);
                let same = causes.into_iter().any(|cause| told.iter().any(|field| near(field, &cause.field)));
                prop_assert!(same, "only the API server refuses: {:?}\n{:?}", refused, told);
            }
        }
        Ok(())
    });
    judged.unwrap_or_else(|error| panic!("{error}"));
    let seen = seen.map(|count| count.get());
    assert!(seen[0] > 100 && seen[1] > 0 && seen[2] > 50, "accepted, odd and accepted, refused: {seen:?}");
}
