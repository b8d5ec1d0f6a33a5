//! Tables and coloured text for people. Whoever prints says whether there is a terminal; nothing here looks.

use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table, presets};

use crate::names::EntryName;

/// The one column whose text may be broken over several lines: a name or an id in pieces cannot be copied.
const FLEXIBLE: &str = "BECAUSE";
/// A column narrower than this is no help to anybody; then the terminal breaks the lines.
const NARROWEST: u16 = 24;
/// Spaces between two columns.
const GAP: u16 = 2;

/// How to draw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Whether to use colours.
    pub color: bool,
    /// Whether to fit tables to the terminal's width. Without a terminal a row is a line, for `grep` and `awk`.
    pub fit: bool,
}

/// What a piece of text means to its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    Plain,
    /// A heading.
    Strong,
    /// Safe, or put back.
    Good,
    /// Something moves.
    Warn,
    /// Held, failed or gone.
    Alarm,
    /// Of little interest.
    Dim,
}

impl Style {
    /// `text` in a tone.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => "",
            Tone::Strong => "1",
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Alarm => "1;31",
            Tone::Dim => "2",
        };
        if self.color && !code.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A table with these headers.
    pub fn grid(self, headers: &[&str]) -> Grid {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if self.color {
            table.enforce_styling();
        }
        table.set_header(headers.iter().map(|header| self.cell(Tone::Strong, header)));
        for column in table.column_iter_mut() {
            column.set_padding((0, GAP));
        }
        let flexible = headers.iter().position(|header| *header == FLEXIBLE);
        Grid { style: self, table, flexible, rows: 0 }
    }

    fn cell(self, tone: Tone, text: &str) -> Cell {
        let cell = Cell::new(text);
        if !self.color {
            return cell;
        }
        match tone {
            Tone::Plain => cell,
            Tone::Strong => cell.add_attribute(Attribute::Bold),
            Tone::Good => cell.fg(Color::Green),
            Tone::Warn => cell.fg(Color::Yellow),
            Tone::Alarm => cell.fg(Color::Red).add_attribute(Attribute::Bold),
            Tone::Dim => cell.add_attribute(Attribute::Dim),
        }
    }
}

/// A table in the making.
#[derive(Debug)]
pub struct Grid {
    style: Style,
    table: Table,
    flexible: Option<usize>,
    rows: usize,
}

impl Grid {
    /// Adds a row, whose cells beyond the headers are left out; what comes from outside may hold control characters, so every cell is made printable.
    pub fn row<const N: usize>(&mut self, cells: [(Tone, &str); N]) {
        let style = self.style;
        let columns = self.table.column_count();
        self.table.add_row(cells.iter().take(columns).map(|(tone, text)| style.cell(*tone, &plain(text))));
        self.rows += 1;
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The table as text, ending with a newline.
    pub fn finish(mut self) -> String {
        self.fit();
        format!("{}\n", self.table.trim_fmt())
    }

    fn fit(&mut self) {
        self.table.set_content_arrangement(ContentArrangement::Disabled);
        let (true, Some(flexible), Some(width)) = (self.style.fit, self.flexible, self.table.width()) else { return };
        let widths = self.table.column_max_content_widths();
        let others: u16 = widths.iter().enumerate().filter(|(n, _)| *n != flexible).map(|(_, width)| width + GAP).sum();
        let left = width.saturating_sub(others);
        if left < NARROWEST {
            return;
        }
        self.table.set_content_arrangement(ContentArrangement::Dynamic);
        for (n, column) in self.table.column_iter_mut().enumerate() {
            if n != flexible {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
    }
}

/// `text` on one line and without control characters: a name must not be able to steer the reader's terminal.
pub fn plain(text: &str) -> String {
    EntryName::new(text).to_string()
}

/// `1 directory`, `2 directories`.
pub fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// `word` as a shell takes it.
pub fn quoted(word: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(safe) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_line_and_control_characters_do_not_reach_the_terminal() {
        let mut grid = Style::default().grid(&["NAME", "WHY"]);
        grid.row([(Tone::Alarm, "a\x1b[2Jb\nc"), (Tone::Plain, "x")]);
        assert_eq!(grid.finish(), "NAME            WHY\na\\u{1b}[2Jb\\nc  x\n");
    }

    #[test]
    fn colour_only_where_it_was_asked_for() {
        assert_eq!(Style::default().paint(Tone::Alarm, "x"), "x");
        let style = Style { color: true, fit: false };
        assert_eq!(style.paint(Tone::Alarm, "x"), "\x1b[1;31mx\x1b[0m");
        assert_eq!(style.paint(Tone::Plain, "x"), "x");
    }

    #[test]
    fn a_word_survives_the_shell() {
        assert_eq!(quoted("ws-1/a.yaml"), "ws-1/a.yaml");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }
}
