//! Names of fields, and the lines they stand on.

use std::collections::BTreeMap;

use serde_json::Value;

/// The field `key` of `parent`, spelt as in `metadata.labels[example.com/team]`.
pub(super) fn child(parent: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_');
    match (parent.is_empty(), plain) {
        (true, true) => key.to_owned(),
        (false, true) => format!("{parent}.{key}"),
        (_, false) => format!("{parent}[{key}]"),
    }
}

/// Element `index` of the list `parent`.
pub(super) fn element(parent: &str, index: usize) -> String {
    format!("{parent}[{index}]")
}

/// The field around `field`: `a.b` for `a.b.c` and for `a.b[2]`, nothing for `a`.
pub(super) fn parent(field: &str) -> Option<&str> {
    if let Some(list) = field.strip_suffix(']') {
        // The key in brackets may hold dots, never an opening bracket of its own.
        return list.rfind('[').map(|at| &field[..at]);
    }
    field.rfind('.').map(|at| &field[..at])
}

/// The value of `field` in `resource`, for fields of fields; elements of lists are not looked for.
pub(super) fn value<'a>(resource: &'a Value, field: &str) -> Option<&'a Value> {
    field.split('.').try_fold(resource, |value, key| value.get(key))
}

/// Where each field of a document stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    lines: BTreeMap<String, usize>,
    first: Option<usize>,
}

impl Lines {
    /// Notes that the document begins on `line`.
    pub(super) fn begin(&mut self, line: usize) {
        self.first = Some(line);
    }

    /// Notes that `field` stands on `line`.
    pub(super) fn note(&mut self, field: &str, line: usize) {
        self.lines.insert(field.to_owned(), line);
    }

    /// The line of `field`, or of the nearest field around it that stands in the document.
    pub(super) fn line(&self, field: &str) -> Option<usize> {
        let mut here = Some(field);
        while let Some(field) = here {
            if let Some(line) = self.lines.get(field) {
                return Some(*line);
            }
            here = parent(field);
        }
        self.first
    }

    /// The lines of what stands below `field`, which becomes a document of its own.
    pub(super) fn below(&self, field: &str) -> Lines {
        let prefix = format!("{field}.");
        let lines = self.lines.iter().filter_map(|(name, line)| Some((name.strip_prefix(&prefix)?.to_owned(), *line)));
        Lines { lines: lines.collect(), first: self.line(field) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_missing_stands_where_its_parent_stands() {
        let mut lines = Lines::default();
        lines.begin(1);
        lines.note("spec", 4);
        lines.note("spec.workspaces.keep", 9);
        assert_eq!(lines.line("spec.workspaces.keep[2]"), Some(9));
        assert_eq!(lines.line("spec.volume.path"), Some(4));
        assert_eq!(lines.line("kind"), Some(1));
        assert_eq!(lines.below("spec").line("workspaces.keep"), Some(9));
    }

    #[test]
    fn keys_with_dots_are_bracketed() {
        let label = child("metadata.labels", "example.com/team");
        assert_eq!(label, "metadata.labels[example.com/team]");
        assert_eq!(parent(&label), Some("metadata.labels"));
        assert_eq!(parent("spec.workspaces.keep[2]"), Some("spec.workspaces.keep"));
        assert_eq!(parent("spec"), None);
    }
}
