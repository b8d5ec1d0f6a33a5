//! SQL texts of the spec, as far as they can be judged without a database.

use super::faults::Faults;

/// Longest SQL text, as in the schema.
const MAX_SQL: usize = 8192;

/// Which rows a query is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// All there are: one that is left out is taken for one that is not there.
    All,
    /// One is enough.
    Some,
}

/// Checks the text of a query.
pub(super) fn check(field: &str, text: Option<&String>, rows: Rows, faults: &mut Faults) {
    let Some(text) = text else { return };
    let length = text.chars().count();
    if length == 0 || length > MAX_SQL {
        faults.add(field, "", format!("has {length} characters; a statement has 1 to {MAX_SQL}"));
    } else if text.trim().is_empty() {
        faults.add(field, "", "is blank; write one SQL statement");
    } else if text.contains(';') {
        faults.add(field, "", "contains a semicolon; write one statement, without one at its end");
    } else if rows == Rows::All && is_limited(text) {
        faults.add(
            field,
            "",
            "ends with LIMIT or FETCH FIRST: a session that it leaves out would look deleted; remove it",
        );
    }
}

/// Whether LIMIT, or FETCH FIRST, stands outside of all parentheses, quotes and comments: there it cuts off what the whole
/// query returns. LIMIT is a reserved word everywhere, so a column of that name is quoted. Databases differ in whether a
/// backslash escapes a quote, so the text is read both ways; `#` begins a comment in MySQL alone, so what follows it counts.
fn is_limited(sql: &str) -> bool {
    let limits = |words: Vec<String>| {
        let follows = words.iter().skip(1).map(String::as_str).chain([""]);
        let fetches = |next| matches!(next, "first" | "next");
        words.iter().zip(follows).any(|(word, next)| word == "limit" || (word == "fetch" && fetches(next)))
    };
    limits(outer_words(sql, false)) || limits(outer_words(sql, true))
}

/// The words outside of all parentheses, quotes and comments, in lower case.
fn outer_words(sql: &str, backslash_escapes: bool) -> Vec<String> {
    let (mut words, mut word, mut depth) = (Vec::new(), String::new(), 0_usize);
    let mut rest = sql.chars().peekable();
    while let Some(c) = rest.next() {
        if c.is_alphanumeric() || c == '_' {
            word.extend(c.to_lowercase());
            continue;
        }
        if depth == 0 && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        word.clear();
        match (c, rest.peek()) {
            ('(', _) => depth += 1,
            (')', _) => depth = depth.saturating_sub(1),
            ('\'' | '"' | '`', _) => {
                while let Some(inside) = rest.next().filter(|inside| *inside != c) {
                    if inside == '\\' && backslash_escapes {
                        rest.next();
                    }
                }
            }
            ('-', Some('-')) => {
                rest.by_ref().find(|end| *end == '\n');
            }
            ('/', Some('*')) => {
                rest.next();
                while let Some(inside) = rest.next() {
                    if inside == '*' && rest.peek() == Some(&'/') {
                        rest.next();
                        break;
                    }
                }
            }
            _ => {}
        }
    }
    if depth == 0 && !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::is_limited;

    #[test]
    fn a_limit_of_the_whole_query_is_found_and_no_other() {
        for sql in [
            "select id from session limit 1000",
            "select id from session LIMIT 10 offset 3",
            "select id from session\nlimit all -- all of them",
            "(select id from session) limit 5",
            "select id from session /* so many */ fetch first 5 rows only",
            "select id from session fetch\tnext row only",
            "select id from session where name = ')' limit 1",
            r"select id from session where name = 'it\'s' limit 1",
            r"select id from session where path = 'c:\' limit 1",
            "select id from session where data #> '{a}' is null limit 1",
        ] {
            assert!(is_limited(sql), "{sql}");
        }
        for sql in [
            "select id from session",
            "select id from session where note <> 'limit 5'",
            "select id from session -- limit 5",
            "select id from session /* limit 5 */",
            "select \"limit\" from session",
            "select id from session where id in (select id from recent limit 5)",
            "select rate_limit from session",
            "select prefetch, first from session",
        ] {
            assert!(!is_limited(sql), "{sql}");
        }
    }
}
