//! What is wrong with a spec beyond its schema, gathered so that all of it is told at once.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// What the conversion of a spec depends on besides the spec.
#[derive(Clone, Debug, Default)]
pub struct PolicyOptions {
    /// Accept a `minAge` below 1 h and a `retention` below 24 h in Enforce: `--unsafe-short-times`, for tests and the
    /// demo.
    pub allow_short_times: bool,
    /// The home directory of whoever runs this; it is never a volume.
    pub home: Option<PathBuf>,
    /// The cluster or account the resources are of.
    pub cluster: String,
    /// How a persistentVolumeClaim is reached.
    pub claims: Claims,
}

/// How the persistentVolumeClaim of a resource is reached.
#[derive(Clone, Debug, Default)]
pub enum Claims {
    /// Not at all.
    #[default]
    OutOfReach,
    /// It is mounted here: where, by its name.
    Mounted(BTreeMap<String, PathBuf>),
    /// By Jobs that mount it.
    ByJobs,
}

/// One thing that is wrong with a spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFault {
    /// The field, like `spec.workspaces.minAge`.
    pub field: String,
    /// Its value as text, empty where the field as a whole is the fault.
    pub value: String,
    /// What is wrong, and the accepted form or the way out.
    pub message: String,
}

impl PolicyFault {
    /// What the message of a missing field begins with.
    const ABSENT: &'static str = "is required";

    /// Whether the fault is that the field is missing.
    pub(crate) fn is_absence(&self) -> bool {
        self.message.starts_with(Self::ABSENT)
    }
}

impl fmt::Display for PolicyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, value, message } = self;
        if value.is_empty() {
            write!(f, "{field}: {message}")
        } else {
            write!(f, "{field}: {}: {message}", Quoted(value))
        }
    }
}

/// A value in quotes, on one line, its backslashes left alone: a pattern shall read as it was written.
#[derive(Debug)]
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
        }
        f.write_str("\"")
    }
}

impl std::error::Error for PolicyFault {}

/// The faults found so far.
#[derive(Debug, Default)]
pub(super) struct Faults(pub(super) Vec<PolicyFault>);

impl Faults {
    /// Adds a fault.
    pub(super) fn add(&mut self, field: impl Into<String>, value: impl fmt::Display, message: impl fmt::Display) {
        self.0.push(PolicyFault { field: field.into(), value: value.to_string(), message: message.to_string() });
    }

    /// Adds the fault that `field` is missing.
    pub(super) fn absent(&mut self, field: &str) {
        self.add(field, "", PolicyFault::ABSENT);
    }

    /// The value of `result`, or a fault made of its error.
    pub(super) fn check<T>(&mut self, field: &str, value: &str, result: Result<T, impl fmt::Display>) -> Option<T> {
        result.map_err(|error| self.add(field, value, error)).ok()
    }

    /// `value`, with a fault if it lies outside of `min..=max`.
    pub(super) fn range<T: PartialOrd + fmt::Display + Copy>(&mut self, field: &str, value: T, min: T, max: T) -> T {
        if value < min || value > max {
            self.add(field, value, format!("must be from {min} to {max}"));
        }
        value
    }
}
