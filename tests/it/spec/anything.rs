//! Whatever is written, it is read or refused in words: nothing panics, and nothing slips past the schema.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{good, load};

/// A spec in which every part is used.
pub fn whole() -> Value {
    let mut spec = good();
    let key = json!({ "secretKeyRef": { "name": "db", "key": "url" } });
    let selector = json!({ "matchLabels": { "app": "collab" } });
    let claims = json!({ "selector": selector, "sessionFrom": { "label": "example.com/session" } });
    spec["spec"]["schedule"] = json!({ "cron": "0 3 * * *", "windows": [{ "start": "0 1 * * *", "duration": "4h" }] });
    spec["spec"]["volume"]["efs"] = json!({ "fileSystemID": "fs-01234567", "region": "eu-central-1" });
    spec["spec"]["sessions"]["postgres"] = json!({ "url": key, "tls": { "ca": key } });
    let tasks = json!({ "family": "session", "sessionTag": "session" });
    let ecs =
        json!({ "cluster": "prod", "region": "eu-central-1", "serving": { "service": "collab" }, "claims": tasks });
    let kubernetes = json!({ "serving": { "selector": selector }, "claims": claims });
    spec["spec"]["containers"] = json!({ "kubernetes": kubernetes, "ecs": ecs });
    spec["spec"]["limits"] = json!({ "perSweep": 5, "budget": { "size": "1Gi" }, "purge": { "shards": 1 } });
    spec["spec"]["job"] = json!({ "template": { "tolerations": [{ "key": "a", "tolerationSeconds": 1 }] } });
    spec
}

/// The pointers to everything in `value`.
pub fn pointers(here: &str, value: &Value, found: &mut Vec<String>) {
    found.push(here.to_owned());
    for (name, value) in value.as_object().into_iter().flatten() {
        pointers(&format!("{here}/{}", name.replace('/', "~1")), value, found);
    }
    for (index, value) in value.as_array().into_iter().flatten().enumerate() {
        pointers(&format!("{here}/{index}"), value, found);
    }
}

pub fn odd_value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![any::<i64>().prop_map(Value::from), any::<f64>().prop_map(Value::from)];
    let text = prop_oneof![".{0,20}", "[0-9]{0,6}[dhms]{1,2}", "(\\^|\\(|\\?<session>|a|\\)|\\$){0,8}"];
    let simple =
        prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), number, text.prop_map(Value::from)];
    simple.prop_recursive(2, 8, 3, |inner| {
        let map = prop::collection::btree_map("[a-zA-Z/~.]{0,8}", inner.clone(), 0..3);
        prop_oneof![prop::collection::vec(inner, 0..3).prop_map(Value::from), map.prop_map(|map| json!(map))]
    })
}

proptest! {
    #[test]
    fn whatever_stands_in_a_field_the_spec_is_read_or_refused_with_words(
        at in any::<prop::sample::Index>(),
        value in odd_value(),
    ) {
        let mut spec = whole();
        let mut all = Vec::new();
        pointers("", &spec, &mut all);
        *spec.pointer_mut(at.get(all.as_slice()).as_str()).unwrap() = value;
        for fault in load(&["-"], &spec.to_string(), false).err().unwrap_or_default() {
            prop_assert!(!fault.message.is_empty());
            // The schema must catch all that the types cannot hold.
            prop_assert!(!fault.message.contains("cannot be read as"), "{fault}");
        }
    }

    #[test]
    fn whatever_the_text_is_reading_it_ends(text in "\\PC{0,200}") {
        prop_assert!(load(&["-"], &text, false).is_err());
    }
}
