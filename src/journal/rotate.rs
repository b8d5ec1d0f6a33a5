//! Keeps the journal small: many files become one, and the oldest go once nothing needs them. What an open intent, an entry
//! of the quarantine, a condemned tree or a budget needs is never dropped.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ledger::FILE_LIMIT;
use super::{JournalError, Ledger, Record, digest, lines};
use crate::clock::before;
use crate::fsio::Dir;
use crate::names::SweepId;

/// Where the chain begins once older files were dropped.
const ANCHOR: &str = "anchor.json";
/// More files than this are put together: each costs some calls at the start of every sweep.
const FILES: usize = 16;
/// Largest file that is made by putting files together, in bytes.
const LARGEST: usize = 64 << 20;
/// A file goes when its last record is older than this: longer than the longest period of a budget, a year.
const KEEP: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// The last record that was dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Anchor {
    pub(super) seq: u64,
    pub(super) hash: String,
}

impl Anchor {
    pub(super) fn read(dir: &Dir) -> Result<Option<Self>, JournalError> {
        let Some(content) = dir.read_file(OsStr::new(ANCHOR), 4096)? else { return Ok(None) };
        let damaged = |e: serde_json::Error| JournalError::Damaged { file: ANCHOR.into(), line: 1, why: e.to_string() };
        serde_json::from_slice(&content).map(Some).map_err(damaged)
    }
}

/// The files of the journal in their order: the name of each is the number of its first record.
pub(super) fn files(dir: &Dir) -> Result<Vec<OsString>, JournalError> {
    let mut files: Vec<OsString> = dir.names()?.into_iter().map(|(name, _)| name).collect();
    files.retain(|name| name.as_encoded_bytes().ends_with(b".jsonl"));
    files.sort();
    Ok(files)
}

/// Drops what is old and not needed, then puts files together. For the holder of the lock, after its last append;
/// `ledger` is what all of the journal adds up to. A crash at any point leaves a journal that reads the same.
///
/// # Errors
/// When a file cannot be read or written. Nothing is lost then.
pub(super) fn rotate(dir: &Dir, ledger: &Ledger, now: Timestamp) -> Result<(), JournalError> {
    if ledger.files <= FILES {
        return Ok(());
    }
    let dropped = Anchor::read(dir)?.map_or(0, |anchor| anchor.seq);
    let dropped = match oldest_not_needed(dir, ledger, dropped, now)? {
        None => dropped,
        Some(anchor) => {
            let damaged =
                |e: serde_json::Error| JournalError::Damaged { file: ANCHOR.into(), line: 1, why: e.to_string() };
            let text = serde_json::to_vec(&anchor).map_err(damaged)?;
            dir.replace_file(OsStr::new(ANCHOR), &text)?;
            anchor.seq
        }
    };
    put_together(dir, dropped)
}

/// The last of the records, from the oldest on, that are old and that nothing needs.
fn oldest_not_needed(dir: &Dir, ledger: &Ledger, dropped: u64, now: Timestamp) -> Result<Option<Anchor>, JournalError> {
    let oldest = before(now, KEEP);
    let mut last = None;
    for name in files(dir)? {
        for (record, line) in records(&content(dir, &name)?).filter(|(record, _)| record.seq > dropped) {
            if record.at >= oldest || ledger.needs(&record) {
                return Ok(last);
            }
            last = Some(Anchor { seq: record.seq, hash: digest(line) });
        }
    }
    Ok(last)
}

/// Writes what several files hold into the first of them, without what was dropped.
fn put_together(dir: &Dir, dropped: u64) -> Result<(), JournalError> {
    let mut group: Vec<OsString> = Vec::new();
    let mut all: Vec<u8> = Vec::new();
    for name in files(dir)? {
        let content = content(dir, &name)?;
        let mut kept = Vec::new();
        for (_, line) in records(&content).filter(|(record, _)| record.seq > dropped) {
            kept.extend_from_slice(line);
            kept.push(b'\n');
        }
        if all.len() + kept.len() > LARGEST {
            replace(dir, &group, &all)?;
            (group, all) = (Vec::new(), Vec::new());
        }
        group.push(name);
        all.extend(kept);
    }
    replace(dir, &group, &all)
}

/// The records of a file with their lines; what is no record was never made durable.
fn records(content: &[u8]) -> impl Iterator<Item = (Record, &[u8])> {
    lines(content).filter_map(|line| Some((serde_json::from_slice(line).ok()?, line)))
}

/// Sets a damaged journal apart, so that a new one can begin; answers where it is. What it told of is then no longer known
/// as ours, and is kept.
///
/// # Errors
/// When a file cannot be moved.
pub fn set_apart(dir: &Dir, by: &SweepId) -> Result<String, JournalError> {
    let aside = OsString::from(format!("damaged-{by}"));
    dir.make_dir(&aside)?;
    let folder = dir.open_dir(&aside)?;
    for name in files(dir)? {
        dir.rename_file_new(&name, &folder, &name)?;
    }
    if dir.find(OsStr::new(ANCHOR))?.is_some() {
        dir.rename_file_new(OsStr::new(ANCHOR), &folder, OsStr::new(ANCHOR))?;
    }
    folder.sync()?;
    dir.sync()?;
    Ok(crate::fsio::printable(&aside))
}

/// Writes what the files of `group` hold into the first, then removes the others. In between they hold again what the
/// first holds already, which reading the journal sees through.
fn replace(dir: &Dir, group: &[OsString], all: &[u8]) -> Result<(), JournalError> {
    let [first, others @ ..] = group else { return Ok(()) };
    if others.is_empty() {
        return Ok(());
    }
    dir.replace_file(first, all)?;
    for name in others {
        dir.unlink(name)?;
    }
    dir.sync()?;
    Ok(())
}

fn content(dir: &Dir, name: &OsStr) -> Result<Vec<u8>, JournalError> {
    let vanished = || JournalError::Vanished { file: crate::fsio::printable(name) };
    dir.read_file(name, FILE_LIMIT)?.ok_or_else(vanished)
}
