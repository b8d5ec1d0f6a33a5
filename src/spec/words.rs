//! Faults of the schema in words that say what to write instead.

use std::fmt::Write;

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;
use serde_json::Value;

use super::field;
use super::schema::{self, Place, SchemaFault};
use crate::api::forms::{self, Form};
use crate::api::{DurationString, SizeString};

/// `error` as faults: one for each unknown field, else one.
pub(super) fn faults(place: &Place<'_>, error: &ValidationError<'_>) -> Vec<SchemaFault> {
    if let Kind::AdditionalProperties { unexpected } = error.kind() {
        return unexpected.iter().map(|name| unknown_field(place, name)).collect();
    }
    let mut name = place.field.clone();
    let mut value = Some(place.value.clone());
    let message = match error.kind() {
        Kind::Required { property } => {
            let missing = property.as_str().unwrap_or_default();
            name = field::child(&place.field, missing);
            value = None;
            is_required(place, missing)
        }
        Kind::Type { .. } => wrong_type(place),
        Kind::Pattern { pattern } => wrong_form(place.value, forms::by_pattern(pattern)),
        Kind::Enum { options } => not_an_option(place.value, options),
        Kind::Minimum { .. } | Kind::Maximum { .. } => out_of_range(place.schema),
        Kind::MinLength { .. } => "must not be empty".to_owned(),
        Kind::MaxLength { limit } => {
            let length = place.value.as_str().unwrap_or_default().chars().count();
            format!("has {length} characters; at most {limit} are accepted")
        }
        Kind::MinItems { .. } | Kind::MinProperties { .. } => "must not be empty; remove it or fill it".to_owned(),
        Kind::MaxItems { limit } => {
            format!("has {} elements; at most {limit} are accepted", place.value.as_array().map_or(0, Vec::len))
        }
        Kind::MaxProperties { limit } => {
            format!("has {} entries; at most {limit} are accepted", place.value.as_object().map_or(0, |map| map.len()))
        }
        _ => "is not accepted by the schema of the resource; see `hygiene crd`".to_owned(),
    };
    // A statement is long, and may hold what nobody wants in a log.
    if place.schema.get("pattern").and_then(Value::as_str) == Some(forms::SQL.pattern) {
        value = None;
    }
    vec![SchemaFault { field: name, value, message }]
}

fn is_required(place: &Place<'_>, missing: &str) -> String {
    let description = place.schema.pointer(&format!("/properties/{missing}/description")).and_then(Value::as_str);
    match description.map(first_sentence) {
        Some(sentence) => format!("is required: {}", lower_first(sentence)),
        None => "is required".to_owned(),
    }
}

fn first_sentence(text: &str) -> &str {
    text.split_once(". ").map_or(text, |(sentence, _)| sentence).trim_end_matches('.')
}

fn lower_first(text: &str) -> String {
    let second_is_lower = text.chars().nth(1).is_some_and(|c| c.is_lowercase() || c == ' ');
    let mut chars = text.chars();
    match chars.next() {
        // SQL, ECS and the like keep their capitals.
        Some(first) if second_is_lower => format!("{}{}", first.to_lowercase(), chars.as_str()),
        _ => text.to_owned(),
    }
}

fn wrong_type(place: &Place<'_>) -> String {
    let wanted = place.schema.get("type").and_then(Value::as_str).unwrap_or_default();
    let form = place.schema.get("pattern").and_then(Value::as_str).and_then(forms::by_pattern);
    match (wanted, place.value) {
        (_, Value::Null) => "is empty; give it a value or remove the line".to_owned(),
        ("string", Value::Number(number)) if form == Some(&forms::DURATION) || form == Some(&forms::SIZE) => {
            wrong_form(&Value::String(number.to_string()), form)
        }
        ("string", Value::Number(_) | Value::Bool(_)) => "must be a text; put it in quotes".to_owned(),
        ("boolean", _) => "must be true or false".to_owned(),
        ("integer", Value::String(text)) if text.parse::<i64>().is_ok() => {
            "must be a number; remove the quotes".to_owned()
        }
        ("integer", Value::Number(_)) => "must be a whole number".to_owned(),
        (wanted, found) => format!("must be {}, not {}", type_name(wanted), kind_of(found)),
    }
}

fn type_name(wanted: &str) -> &'static str {
    match wanted {
        "string" => "a text",
        "integer" => "a whole number",
        "array" => "a list",
        "object" => "a mapping of fields",
        _ => "something else",
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

fn wrong_form(value: &Value, form: Option<&Form>) -> String {
    let text = value.as_str().unwrap_or_default();
    let Some(form) = form else { return "has characters that are not accepted here".to_owned() };
    let parsed = match *form {
        forms::DURATION => DurationString::new(text).parse().err(),
        forms::SIZE => SizeString::new(text).parse().err(),
        _ => None,
    };
    match parsed {
        Some(error) => error.to_string(),
        None => format!("is not accepted here (accepted: {})", form.accepted),
    }
}

fn not_an_option(value: &Value, options: &Value) -> String {
    let options: Vec<&str> = options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let listed = match options.as_slice() {
        [all @ .., last] if !all.is_empty() => format!("{} or {last}", all.join(", ")),
        _ => options.join(""),
    };
    let mut message = format!("must be {listed}");
    if let Some(near) = value.as_str().and_then(|text| nearest(text, options.iter().copied())) {
        let _ = write!(message, "; did you mean {near}?");
    }
    message
}

fn out_of_range(schema: &Value) -> String {
    match (schema.get("minimum"), schema.get("maximum")) {
        (Some(min), Some(max)) => format!("must be from {min} to {max}"),
        (Some(min), None) => format!("must be at least {min}"),
        (None, Some(max)) => format!("must be at most {max}"),
        (None, None) => "is out of range".to_owned(),
    }
}

fn unknown_field(place: &Place<'_>, name: &str) -> SchemaFault {
    let mut message = "is not a known field".to_owned();
    let mut elsewhere = Vec::new();
    find_field(schema::closed(), "", name, &mut elsewhere);
    if let Some(near) = nearest(name, place.known()) {
        let _ = write!(message, "; did you mean {near}?");
    } else if let [only] = elsewhere.as_slice() {
        let _ = write!(message, "; did you mean {only}?");
    } else {
        let _ = write!(message, "; known here: {}", place.known().collect::<Vec<_>>().join(", "));
    }
    // The value is left out: whoever invents a field `password` fills it in.
    SchemaFault { field: field::child(&place.field, name), value: None, message }
}

/// The places at which the schema has a field `name`.
fn find_field(schema: &Value, here: &str, name: &str, found: &mut Vec<String>) {
    for (property, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let field = field::child(here, property);
        if property == name {
            found.push(field.clone());
        }
        find_field(schema, &field, name, found);
    }
}

/// The candidate that `name` is most likely a misspelling of.
fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let folded = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let name = folded(name);
    let distance = |candidate: &str| strsim::damerau_levenshtein(&name, &folded(candidate));
    let best = candidates.map(|candidate| (distance(candidate), candidate)).min()?;
    (best.0 <= (name.len() / 3).clamp(1, 3)).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        let known = ["minAge", "keep", "keepFile", "pattern", "activity"];
        for (name, near) in [
            ("minage", "minAge"),
            ("min_age", "minAge"),
            ("patern", "pattern"),
            ("keepfiles", "keepFile"),
            ("kep", "keep"),
        ] {
            assert_eq!(nearest(name, known.into_iter()), Some(near), "{name}");
        }
        assert_eq!(nearest("retention", known.into_iter()), None);
        assert_eq!(nearest("", known.into_iter()), None);
    }

    #[test]
    fn a_description_becomes_the_end_of_a_sentence() {
        assert_eq!(lower_first(first_sentence("Name of the thing. And more.")), "name of the thing");
        assert_eq!(lower_first(first_sentence("SQL that returns ids.")), "SQL that returns ids");
        assert_eq!(lower_first("A list"), "a list");
    }
}
