//! What a document tells to write into files and to run, and what it says comes of it.

use regex::Regex;

/// A block of a document.
#[derive(Debug, PartialEq, Eq)]
pub enum Block {
    /// A file, named by a comment in its first line.
    File { name: String, content: String },
    /// A command, and what it prints. `…` stands for anything in a line, and alone in a line for any lines.
    Command { line: usize, text: String, prints: Vec<String> },
}

/// The blocks of a document, in order.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((_, line)) = lines.next() {
        let Some(kind) = line.trim_start().strip_prefix("```").filter(|kind| !kind.is_empty()) else { continue };
        // A block within a list is indented.
        let indent = line.len() - line.trim_start().len();
        let inside = lines.by_ref().take_while(|(_, line)| line.trim_start() != "```");
        let inside: Vec<_> = inside.map(|(at, line)| (at + 1, line.get(indent..).unwrap_or("").to_owned())).collect();
        match kind {
            "console" => blocks.extend(commands(inside)),
            "yaml" => blocks.extend(file(&inside)),
            _ => {}
        }
    }
    blocks
}

fn file(lines: &[(usize, String)]) -> Option<Block> {
    let name = lines.first()?.1.strip_prefix("# ").filter(|name| name.ends_with(".yaml") && !name.contains(' '))?;
    let content = lines.iter().map(|(_, line)| format!("{line}\n")).collect();
    Some(Block::File { name: name.to_owned(), content })
}

fn commands(lines: Vec<(usize, String)>) -> Vec<Block> {
    let mut commands = Vec::new();
    let mut continues = false;
    for (at, line) in lines {
        if let Some(text) = line.strip_prefix("$ ") {
            continues = text.ends_with('\\');
            commands.push(Block::Command { line: at, text: text.to_owned(), prints: Vec::new() });
        } else if let Some(Block::Command { text, prints, .. }) = commands.last_mut() {
            if continues {
                continues = line.ends_with('\\');
                *text = format!("{text}\n{line}");
            } else {
                prints.push(line);
            }
        }
    }
    commands
}

/// Whether a command printed what the document says. How many blanks are in a row does not matter: columns are as wide as what
/// is in them.
pub fn fits(prints: &[String], printed: &str) -> bool {
    if prints.is_empty() {
        return true;
    }
    let mut pattern = String::from("^");
    for line in prints {
        match single_blanks(line).as_str() {
            "…" => pattern.push_str("(?:.*\n)*?"),
            line => {
                let parts: Vec<_> = line.split('…').map(regex::escape).collect();
                pattern.push_str(&format!("{}\n", parts.join(".*")));
            }
        }
    }
    pattern.push('$');
    let printed: String = printed.lines().map(|line| format!("{}\n", single_blanks(line))).collect();
    Regex::new(&pattern).unwrap().is_match(&printed)
}

fn single_blanks(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_document_is_taken_apart() {
    let text = "x\n```yaml\n# a.yaml\nkey: 1\n```\n1. y\n   ```console\n   $ one \\\n     two\n   out\n   $ three\n   ```\n```yaml\nno: file\n```\n";
    let command = |line, text: &str, prints: &[&str]| Block::Command {
        line,
        text: text.into(),
        prints: prints.iter().map(ToString::to_string).collect(),
    };
    let expected = [
        Block::File { name: "a.yaml".into(), content: "# a.yaml\nkey: 1\n".into() },
        command(8, "one \\\n  two", &["out"]),
        command(11, "three", &[]),
    ];
    assert_eq!(blocks(text), expected);
}

#[test]
fn what_is_printed_fits_or_does_not() {
    let fits =
        |prints: &[&str], printed: &str| fits(&prints.iter().map(ToString::to_string).collect::<Vec<_>>(), printed);
    assert!(fits(&[], "anything") && fits(&["a   b"], "a b\n") && fits(&["a…c"], "abc\n"));
    assert!(fits(&["…", "b", "…"], "a\nb\nc\nd") && fits(&["…", "b"], "b\n"));
    assert!(!fits(&["a"], "a\nb") && !fits(&["a…c"], "ab\nc") && !fits(&["…", "b"], "b\nc") && !fits(&["a.c"], "abc"));
}
