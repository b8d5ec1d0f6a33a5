//! What is wrong with a spec, and where.

use std::fmt;

use serde_json::Value;

use crate::policy::Quoted;

/// One thing that is wrong with what was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, `standard input` or `env:VAR`, and which document of it where it has several.
    pub origin: String,
    /// The line in the file, from 1, where one is known.
    pub line: Option<usize>,
    /// The field, like `spec.workspaces.minAge`; empty where the document as a whole is the fault.
    pub field: String,
    /// The value as it was written; empty where there is none, or where it could be a secret.
    pub value: String,
    /// What is wrong, and the accepted form or the way out.
    pub message: String,
}

impl Fault {
    /// A fault of a whole source.
    pub(super) fn whole(origin: impl Into<String>, message: impl Into<String>) -> Self {
        let (field, value) = (String::new(), String::new());
        Self { origin: origin.into(), line: None, field, value, message: message.into() }
    }
}

impl Fault {
    /// Field, value and message, where it is clear what they are of.
    pub fn told(&self) -> String {
        let value = if self.value.is_empty() { String::new() } else { format!(": {}", Quoted(&self.value)) };
        match self.field.as_str() {
            "" => self.message.clone(),
            field => format!("{field}{value}: {}", self.message),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        if !self.value.is_empty() {
            write!(f, ": {}", Quoted(&self.value))?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for Fault {}

/// Longest value that is shown, in characters.
const SHOWN: usize = 80;

/// `value` as a fault shows it: scalars only, cut where they are long, nothing that could hold a secret.
pub(super) fn shown(field: &str, value: &Value) -> String {
    match value {
        Value::String(text) => shown_text(field, text),
        Value::Bool(_) | Value::Number(_) => shown_text(field, &value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

/// [`shown`] for a text.
pub(super) fn shown_text(field: &str, text: &str) -> String {
    // People write a connection string where a reference to a Secret belongs; whatever stands there is not repeated.
    let database = ["spec.sessions.postgres", "spec.sessions.mysql"].iter().any(|part| field.starts_with(part));
    let lower = text.to_ascii_lowercase();
    let credentials = (lower.contains("://") && lower.contains('@'))
        || ["password", "passwd", "secret", "token"].iter().any(|word| lower.contains(word));
    if database || credentials {
        return String::new();
    }
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_place_field_value_and_way_out() {
        let fault = Fault {
            origin: "spec.yaml".into(),
            line: Some(12),
            field: "spec.workspaces.minAge".into(),
            value: "7d".into(),
            message: "is not a duration; 7d is 168h".into(),
        };
        assert_eq!(fault.to_string(), "spec.yaml:12: spec.workspaces.minAge: \"7d\": is not a duration; 7d is 168h");
        assert_eq!(Fault::whole("spec.yaml", "cannot be read").to_string(), "spec.yaml: cannot be read");
    }

    #[test]
    fn nothing_that_could_be_a_secret_is_shown() {
        assert_eq!(shown_text("spec.sessions.postgres.url", "anything"), "");
        assert_eq!(shown_text("spec.sessions.url", "postgres://me:hunter2@db/app"), "");
        assert_eq!(shown_text("metadata.name", "host=db Password=hunter2"), "");
        assert_eq!(shown_text("metadata.name", "plain"), "plain");
        assert_eq!(shown_text("metadata.name", &"x".repeat(100)).chars().count(), 81);
    }
}
