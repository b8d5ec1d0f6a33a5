//! One document after another: what kind it is, whether it is sound, and what it asks for.

use std::collections::BTreeSet;
use std::iter;

use serde_json::{Map, Value};

use super::fault::{Fault, shown, shown_text};
use super::field::{self, Lines};
use super::source::{Content, Source};
use super::{cel, defaults, repair, schema, yaml};
use crate::api::{self, WorkspaceHygiene};
use crate::policy::{Policy, PolicyFault, PolicyOptions};

/// What only a cluster says of an object. People pipe `kubectl get -o yaml` into us, so it is dropped, not refused.
const CLUSTER_METADATA: &[&str] = &[
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// A document, or an item of a list, that is to be a resource.
#[derive(Debug)]
pub(super) struct Item {
    /// The source, and which document of it where it has several.
    pub(super) origin: String,
    source: String,
    value: Value,
    lines: Lines,
}

impl Item {
    /// An item that comes from no text, and so has no lines.
    pub(super) fn alone(origin: &str, value: Value) -> Self {
        Self { origin: origin.into(), source: origin.into(), value, lines: Lines::default() }
    }

    /// A fault of this item. With a line the source alone says where; without one the document must be named.
    pub(super) fn fault(&self, field: &str, value: String, message: impl Into<String>) -> Fault {
        let line = self.lines.line(field);
        let origin = if line.is_some() { self.source.clone() } else { self.origin.clone() };
        Fault { origin, line, field: field.to_owned(), value, message: message.into() }
    }

    /// Where this item begins, for the message of another one.
    pub(super) fn place(&self) -> String {
        match self.lines.line("") {
            Some(line) => format!("{}:{line}", self.source),
            None => self.origin.clone(),
        }
    }
}

/// A resource, and its policy unless the item has faults.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub(super) resource: Option<WorkspaceHygiene>,
    pub(super) policy: Option<Policy>,
}

/// The items of `source`, lists taken apart.
pub(super) fn items(source: &Source, faults: &mut Vec<Fault>) -> Vec<Item> {
    let text = match &source.content {
        Content::Text(text) => text,
        Content::Object(object) => return vec![Item::alone(&source.name, object.clone())],
    };
    let documents = match yaml::parse(text) {
        Ok(documents) => documents,
        Err(fault) => {
            faults.push(Fault { line: fault.line, ..Fault::whole(&source.name, fault.message) });
            return Vec::new();
        }
    };
    if documents.is_empty() {
        faults.push(Fault::whole(&source.name, "holds no resource"));
    }
    let several = documents.len() > 1;
    let mut items = Vec::new();
    for (index, document) in documents.into_iter().enumerate() {
        let origin = if several { format!("{} (document {})", source.name, index + 1) } else { source.name.clone() };
        let item = Item { origin, source: source.name.clone(), value: document.value, lines: document.lines };
        match list_items(&item) {
            Some(parts) => items.extend(parts),
            None => items.push(item),
        }
    }
    items
}

fn list_items(list: &Item) -> Option<Vec<Item>> {
    let kind = list.value.get("kind")?.as_str()?;
    if kind != "List" && kind != "WorkspaceHygieneList" {
        return None;
    }
    let parts = list.value.get("items")?.as_array()?;
    let item = |(index, value): (usize, &Value)| {
        let name = field::element("items", index);
        Item {
            origin: format!("{} (item {})", list.origin, index + 1),
            source: list.source.clone(),
            value: value.clone(),
            lines: list.lines.below(&name),
        }
    };
    Some(parts.iter().enumerate().map(item).collect())
}

/// Judges `item` by schema, rules and policy; what it finds is added to `faults`.
pub(super) fn check(item: &Item, options: &PolicyOptions, faults: &mut Vec<Fault>) -> Checked {
    let Value::Object(fields) = &item.value else {
        let message = "is not a resource: a mapping with apiVersion, kind, metadata and spec is expected";
        faults.push(item.fault("", String::new(), message));
        return Checked::default();
    };
    if !is_our_kind(item, fields, faults) {
        return Checked::default();
    }
    let mut value = own_part(fields);
    defaults::drop_nulls(schema::closed(), &mut value);
    // Each field is told once, by the first judge that has something to say of it.
    let mut told = BTreeSet::new();
    for fault in schema::faults(&value) {
        let text = fault.value.map(|value| shown(&fault.field, &value)).unwrap_or_default();
        faults.push(item.fault(&fault.field, text, fault.message));
        told.insert(fault.field);
    }
    let refused = told.clone();
    let mut defaulted = value.clone();
    defaults::fill(schema::closed(), &mut defaulted);
    for rule in cel::broken_rules(&defaulted, !refused.is_empty()) {
        if told.insert(rule.field.clone()) {
            let text = field::value(&defaulted, &rule.field).map(|value| shown(&rule.field, value));
            faults.push(item.fault(&rule.field, text.unwrap_or_default(), rule.message));
        }
    }
    if !refused.is_empty() {
        repair::repair(schema::closed(), &mut value);
        defaults::fill(schema::closed(), &mut value);
    } else {
        value = defaulted;
    }
    let resource: WorkspaceHygiene = match serde_json::from_value(value) {
        Ok(resource) => resource,
        Err(error) => {
            faults.push(item.fault("", String::new(), format!("cannot be read as a WorkspaceHygiene: {error}")));
            return Checked::default();
        }
    };
    let policy = Policy::from_resource(&resource, options.clone()).map_err(|found| {
        for fault in found.into_iter().filter(|fault| !is_echo(fault, &told, &refused)) {
            faults.push(item.fault(&fault.field, shown_text(&fault.field, &fault.value), fault.message));
        }
    });
    Checked { resource: Some(resource), policy: policy.ok().filter(|_| told.is_empty()) }
}

/// Whether `fault` repeats what was told: of the same field, of one that stood in a refused part, or of one whose
/// absence a rule complained of.
fn is_echo(fault: &PolicyFault, told: &BTreeSet<String>, refused: &BTreeSet<String>) -> bool {
    let around = iter::successors(field::parent(&fault.field), |field| field::parent(field));
    told.contains(&fault.field)
        || around.clone().any(|field| refused.contains(field))
        || (fault.is_absence() && around.clone().any(|field| told.contains(field)))
}

/// Whether this is a WorkspaceHygiene at all; a wrong version of one is told and still judged.
fn is_our_kind(item: &Item, fields: &Map<String, Value>, faults: &mut Vec<Fault>) -> bool {
    let expect = |name: &str, expected: &str, faults: &mut Vec<Fault>| match fields.get(name) {
        Some(Value::String(found)) if found == expected => true,
        Some(found) => {
            faults.push(item.fault(name, shown(name, found), format!("must be {expected}")));
            false
        }
        None => {
            faults.push(item.fault(name, String::new(), format!("is required: {expected}")));
            true
        }
    };
    expect("apiVersion", api::API_VERSION, faults);
    expect("kind", api::KIND, faults)
}

/// The fields that a file says, without those that only a cluster says.
fn own_part(fields: &Map<String, Value>) -> Value {
    let mut own = fields.clone();
    own.remove("status");
    // What is wrong with these two was told; for the schema they count as given.
    own.insert("apiVersion".into(), api::API_VERSION.into());
    own.insert("kind".into(), api::KIND.into());
    if let Some(Value::Object(metadata)) = own.get_mut("metadata") {
        metadata.retain(|name, value| !CLUSTER_METADATA.contains(&name.as_str()) && !value.is_null());
        // Defaults belong to the schema, but metadata has none there.
        metadata.entry("namespace").or_insert_with(|| api::DEFAULT_NAMESPACE.into());
    }
    Value::Object(own)
}
