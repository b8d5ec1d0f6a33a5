//! What `-f` names: texts, and objects of a cluster.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::{Environment, Fault, ObjectVersion, Objects};
use crate::orders::Orders;
use crate::policy::ResourceName;

/// Largest source in bytes. A spec has a few kilobytes; an endless pipe must not fill the memory.
const MAX_BYTES: u64 = 4 << 20;

/// What was read, and where it came from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) content: Content,
    /// The file it was read from, if it was one.
    pub(super) file: Option<SpecFile>,
}

impl Source {
    /// Which version of an object it is, if it is one.
    pub(super) fn version(&self) -> Option<ObjectVersion> {
        match &self.content {
            Content::Text(_) => None,
            Content::Object(object) => Some(ObjectVersion::of(object)),
        }
    }
}

/// What was read.
#[derive(Debug)]
pub(super) enum Content {
    /// A text with documents.
    Text(String),
    /// An object as an API server holds it.
    Object(Value),
}

/// A file with specs, as it was when it was read.
#[derive(Clone, Debug)]
pub struct SpecFile {
    path: PathBuf,
    text: Arc<str>,
}

impl SpecFile {
    /// Where it is.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }
}

impl Orders for SpecFile {
    fn standing(&self) -> Result<(), String> {
        let path = self.path.display();
        let read = File::open(&self.path).map_err(unreadable).and_then(|mut file| read(&mut file));
        match read {
            Ok(text) if *text == *self.text => Ok(()),
            Ok(_) => Err(format!("{path} changed since the sweep began; the next sweep goes by what it says now")),
            Err(why) => Err(format!("{path} {why}; nothing more is done without a spec")),
        }
    }
}

/// Reads each of `args`; one that cannot be read is a fault.
pub(super) fn read_all(
    args: &[String],
    stdin: &mut dyn Read,
    env: &Environment<'_>,
    mut objects: Objects,
    faults: &mut Vec<Fault>,
) -> Vec<Source> {
    let mut sources = Vec::new();
    for (index, arg) in args.iter().enumerate() {
        if args[..index].contains(arg) {
            faults.push(Fault::whole(name(arg), "is given twice; give it once"));
            continue;
        }
        let mut file = None;
        let content = match (arg.strip_prefix("env:"), objects.remove(arg)) {
            (Some(variable), _) => {
                env(variable).map(Content::Text).ok_or_else(|| "is not set, or is not UTF-8 text".to_owned())
            }
            (None, Some(object)) => object.map(Content::Object),
            (None, None) if arg == "-" => read(stdin).map(Content::Text),
            (None, None) => File::open(arg).map_err(unreadable).and_then(|mut open| read(&mut open)).map(|text| {
                file = Some(SpecFile { path: arg.into(), text: text.as_str().into() });
                Content::Text(text)
            }),
        };
        match content {
            Ok(content) => sources.push(Source { name: name(arg), content, file }),
            Err(message) => faults.push(Fault::whole(name(arg), message)),
        }
    }
    sources
}

/// The object that a value of `-f` names as `NAMESPACE/NAME`, both as DNS labels; `None` where it is something else, or a file
/// has that name.
pub fn object_name(arg: &str) -> Option<ResourceName> {
    let (namespace, name) = arg.split_once('/').filter(|(namespace, name)| is_label(namespace) && is_label(name))?;
    let absent = |error: io::Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
    // What cannot be looked at may be there.
    let named = || ResourceName::new(namespace, name);
    fs::symlink_metadata(arg).is_err_and(absent).then(named)
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn name(arg: &str) -> String {
    if arg == "-" { "standard input".to_owned() } else { arg.to_owned() }
}

fn read(reader: &mut dyn Read) -> Result<String, String> {
    let mut bytes = Vec::new();
    reader.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("is larger than {} MiB, which no spec is", MAX_BYTES >> 20));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_owned())
}

fn unreadable(error: io::Error) -> String {
    let reason = match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::IsADirectory => "it is a directory; name a file".to_owned(),
        _ => error.to_string(),
    };
    format!("cannot be read: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_labels_with_a_slash_name_an_object_unless_there_is_such_a_file() {
        let found = object_name("team-a/collab").unwrap();
        assert_eq!((found.namespace.as_str(), found.name.as_str()), ("team-a", "collab"));
        let long = format!("team/{}", "x".repeat(64));
        for other in
            ["collab", "./team/collab", "team/collab/", "/team/collab", "a/b/c", "team/spec.yaml", "Team/x", "-"]
        {
            assert!(object_name(other).is_none(), "{other}");
        }
        for other in ["env:team/collab", "team/", "/collab", "-a/b", "a/b-", "", &long] {
            assert!(object_name(other).is_none(), "{other}");
        }
        // The tests run in the folder of the crate.
        assert!(object_name("src/api").is_none() && object_name("src/nothing").is_some());
    }
}
