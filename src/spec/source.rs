//! The texts that `-f` names.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use super::{Environment, Fault};
use crate::orders::Orders;

/// Largest source in bytes. A spec has a few kilobytes; an endless pipe must not fill the memory.
const MAX_BYTES: u64 = 4 << 20;

/// A text and where it came from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: String,
    /// The file it was read from, if it was one.
    pub(super) file: Option<SpecFile>,
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
    faults: &mut Vec<Fault>,
) -> Vec<Source> {
    let mut sources = Vec::new();
    for (index, arg) in args.iter().enumerate() {
        if args[..index].contains(arg) {
            faults.push(Fault::whole(name(arg), "is given twice; give it once"));
            continue;
        }
        let text = match arg.strip_prefix("env:") {
            Some(variable) => env(variable).ok_or_else(|| "is not set, or is not UTF-8 text".to_owned()),
            None if arg == "-" => read(stdin),
            None => File::open(arg).map_err(unreadable).and_then(|mut file| read(&mut file)),
        };
        match text {
            Ok(text) => {
                let is_file = arg != "-" && !arg.starts_with("env:");
                let file = is_file.then(|| SpecFile { path: arg.into(), text: text.as_str().into() });
                sources.push(Source { name: name(arg), text, file });
            }
            Err(message) => faults.push(Fault::whole(name(arg), message)),
        }
    }
    sources
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
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory; name a file".to_owned(),
        _ => error.to_string(),
    };
    format!("cannot be read: {reason}")
}
