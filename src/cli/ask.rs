//! Asks a person on the terminal before what cannot be undone.

use std::fmt::Display;
use std::io::{self, BufRead, IsTerminal, Write};

use super::options::Global;

/// Whether there is a terminal to ask on, and standard input is not where a spec comes from.
pub(super) fn can_ask(global: &Global) -> bool {
    let reads_stdin = global.file.iter().any(|file| file == "-");
    !reads_stdin && io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks `question`; anything but `yes` is a no.
pub(super) fn confirmed(question: impl Display) -> bool {
    // Should the question not get through, no answer comes either.
    let _ = write!(io::stderr(), "{question} Type yes: ").and_then(|()| io::stderr().flush());
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).is_ok() && answer.trim() == "yes"
}
