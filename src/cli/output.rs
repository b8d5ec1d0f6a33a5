//! Standard output holds the result and nothing else; standard error holds everything else. Neither may panic when its
//! reader went away.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use anyhow::Context as _;
use serde::Serialize;

use super::options::{Global, Output, When};
use crate::report::documents::ListDocument;
use crate::report::table::Style;

/// Prints `error: …` on standard error.
pub(super) fn complain(error: impl fmt::Display) {
    say(format_args!("error: {error}"));
}

/// Prints a line on standard error.
pub(super) fn say(line: impl fmt::Display) {
    // Whoever closed standard error does not want to read it.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Prints `text` on standard output. That its reader went away, as `head` does, is no failure.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("standard output cannot be written"),
    }
}

/// Prints documents, of one resource or of several.
pub(super) fn documents<D: Serialize>(output: Output, several: bool, documents: &[D]) -> anyhow::Result<()> {
    let text = match (output, documents) {
        (Output::Table, _) => return Ok(()),
        // A resource that failed has no document, and said why on standard error.
        (_, []) if !several => return Ok(()),
        (Output::Json, [one]) if !several => json(one)?,
        (Output::Json, items) => json(&ListDocument { kind: "List", items })?,
        (Output::Yaml, items) => {
            let parts: Result<Vec<_>, _> = items.iter().map(serde_saphyr::to_string).collect();
            let parts = parts.context("the result cannot be written as YAML")?;
            parts.iter().map(|part| part.trim_end()).collect::<Vec<_>>().join("\n---\n") + "\n"
        }
    };
    print(&text)
}

/// Prints the one document of a command that is about no resource.
pub(super) fn document(output: Output, document: &impl Serialize) -> anyhow::Result<()> {
    documents(output, false, std::slice::from_ref(document))
}

fn json(document: &impl Serialize) -> anyhow::Result<String> {
    let mut text = serde_json::to_string_pretty(document).context("the result cannot be written as JSON")?;
    text.push('\n');
    Ok(text)
}

/// How to draw tables on standard output.
pub(super) fn style(global: &Global) -> Style {
    let terminal = io::stdout().is_terminal();
    Style { color: color(global.color, terminal), fit: terminal }
}

/// Whether to use colours on a stream that is a terminal or not.
pub(super) fn color(when: When, terminal: bool) -> bool {
    match when {
        When::Always => true,
        When::Never => false,
        // https://no-color.org: set and not empty.
        When::Auto => {
            let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
            terminal && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
        }
    }
}
