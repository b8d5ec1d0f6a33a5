//! YAML documents as JSON values, with the line of every field.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

use super::field::{self, Lines};

/// One document of a YAML stream.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) value: Value,
    pub(super) lines: Lines,
}

/// Why a text is no YAML.
#[derive(Debug)]
pub(super) struct SyntaxFault {
    pub(super) line: Option<usize>,
    pub(super) message: String,
}

/// The documents of `text`, empty ones left out.
pub(super) fn parse(text: &str) -> Result<Vec<Document>, SyntaxFault> {
    // Strict booleans: `yes` is a word in YAML 1.2 and true in YAML 1.1, so the schema shall ask for a clear one.
    // No snippets: what stands around a fault may be a secret.
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let nodes: Vec<Spanned<Node>> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| syntax_fault(&error))?;
    let mut documents = Vec::new();
    for node in nodes {
        let mut lines = Lines::default();
        lines.begin(line(&node));
        let value = into_json(node.value, "", &mut lines);
        if !value.is_null() {
            documents.push(Document { value, lines });
        }
    }
    Ok(documents)
}

fn syntax_fault(error: &serde_saphyr::Error) -> SyntaxFault {
    let line = error.location().and_then(|location| usize::try_from(location.line()).ok()).filter(|line| *line > 0);
    // The message repeats the place, which stands in front of it already.
    let message = error.render();
    let message = message.lines().next().unwrap_or_default();
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    SyntaxFault { line, message: format!("is not valid YAML: {message}") }
}

fn line<T>(spanned: &Spanned<T>) -> usize {
    usize::try_from(spanned.referenced.line()).unwrap_or_default()
}

/// `node` as JSON; the line of a field is the line of its key, that of an element its own.
fn into_json(node: Node, name: &str, lines: &mut Lines) -> Value {
    match node {
        Node::Scalar(value) => value,
        Node::List(elements) => {
            let element = |(index, node): (usize, Spanned<Node>)| {
                let name = field::element(name, index);
                lines.note(&name, line(&node));
                into_json(node.value, &name, lines)
            };
            Value::Array(elements.into_iter().enumerate().map(element).collect())
        }
        Node::Map(entries) => {
            let entry = |(key, node): (Spanned<String>, Spanned<Node>)| {
                let name = field::child(name, &key.value);
                lines.note(&name, line(&key));
                (key.value, into_json(node.value, &name, lines))
            };
            Value::Object(entries.into_iter().map(entry).collect::<Map<_, _>>())
        }
    }
}

/// A YAML node that knows the places of what is in it.
enum Node {
    Scalar(Value),
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping, a list, a text, a number or a boolean")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string().into()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string().into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        // 1e2 is a whole number to the API server and to the schema, so it is one here.
        if value.fract() == 0.0 && value.abs() < 1e15 {
            return Ok(Node::Scalar((value as i64).into()));
        }
        Ok(Node::Scalar(Number::from_f64(value).map_or(Value::Null, Value::Number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = access.next_element()? {
            elements.push(element);
        }
        Ok(Node::List(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_field_knows_its_line() {
        let text = "# comment\na: 1\nb:\n  c: [x, y]\n  d:\n    - e: true\n    - |\n      long\n      text\nf.g: 0.5\n";
        let documents = parse(text).unwrap();
        let [document] = documents.as_slice() else { panic!("{documents:?}") };
        assert_eq!(
            document.value,
            json!({"a": 1, "b": {"c": ["x", "y"], "d": [{"e": true}, "long\ntext\n"]}, "f.g": 0.5})
        );
        for (field, line) in
            [("a", 2), ("b", 3), ("b.c", 4), ("b.c[1]", 4), ("b.d", 5), ("b.d[0].e", 6), ("b.d[1]", 8), ("[f.g]", 10)]
        {
            assert_eq!(document.lines.line(field), Some(line), "{field}");
        }
    }

    #[test]
    fn several_documents_count_lines_from_the_top_and_empty_ones_are_left_out() {
        let documents = parse("---\na: 1\n---\n---\n# nothing\n---\nb: 2\n").unwrap();
        let [first, second] = documents.as_slice() else { panic!("{documents:?}") };
        assert_eq!((first.lines.line("a"), second.lines.line("b")), (Some(2), Some(7)));
    }

    #[test]
    fn a_syntax_fault_names_the_line_and_shows_no_neighbours() {
        for (text, line) in [("a: 1\nb: [1, 2\nc: 3\n", 3), ("a: 1\nb: 2\na: 3\n", 3), ("a: [hunter2\n", 1)] {
            let fault = parse(text).unwrap_err();
            assert_eq!(fault.line, Some(line), "{text:?}: {}", fault.message);
            assert!(!fault.message.contains('\n') && !fault.message.contains("hunter2"), "{}", fault.message);
        }
        assert!(parse("a: 1\na: 2\n").unwrap_err().message.contains("duplicate"));
    }

    #[test]
    fn words_that_mean_true_to_some_parsers_stay_words() {
        let documents = parse("a: yes\nb: on\nc: true\nd: ~\n").unwrap();
        assert_eq!(documents[0].value, json!({"a": "yes", "b": "on", "c": true, "d": null}));
    }
}
