//! The texts that `-f` names.

use std::fs::File;
use std::io::{self, Read};

use super::{Environment, Fault};

/// Largest source in bytes. A spec has a few kilobytes; an endless pipe must not fill the memory.
const MAX_BYTES: u64 = 4 << 20;

/// A text and where it came from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: String,
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
            Ok(text) => sources.push(Source { name: name(arg), text }),
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
