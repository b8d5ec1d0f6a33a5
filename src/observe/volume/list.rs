//! The listing: names below the root, without a stat where the directory says what each is, and our own quarantine.

use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;

use super::hygiene::{ENTRY, Hygiene, WORKSPACE};
use super::roots::read_keep_file;
use crate::fsio::{Dir, FsError, Kind};
use crate::journal::Ledger;
use crate::names::{EntryId, EntryName};
use crate::observe::{Entry, KeepFileState, QuarantineEntry, Reading, Sidecar};
use crate::policy::Policy;

/// Longest sidecar that is read, in bytes.
const SIDECAR_LIMIT: u64 = 64 * 1024;

/// A name in the buffer that holds all of them.
struct Found {
    /// Its first eight bytes: mostly they alone tell the order, without a look into the buffer.
    beginning: [u8; 8],
    name: Range<usize>,
    kind: Option<Kind>,
}

/// Every entry below the root, in name order.
///
/// # Errors
/// When the directory cannot be read to its end.
pub fn list(root: &Dir) -> Result<Vec<Entry>, FsError> {
    let (mut names, mut found) = (Vec::new(), Vec::new());
    root.for_each(|name, kind| {
        let name = name.as_bytes();
        let mut beginning = [0; 8];
        beginning.iter_mut().zip(name).for_each(|(place, byte)| *place = *byte);
        found.push(Found { beginning, name: names.len()..names.len() + name.len(), kind });
        names.extend_from_slice(name);
        true
    })?;
    let name = |one: &Found| &names[one.name.clone()];
    found.sort_unstable_by(|a, b| a.beginning.cmp(&b.beginning).then_with(|| name(a).cmp(name(b))));
    // Only now each name gets memory of its own: in the order in which the planner goes through them, several times.
    let entry = |one: &Found| {
        let name = EntryName::new(OsStr::from_bytes(name(one)));
        // Some file systems do not say in the listing what an entry is. One that vanished meanwhile stays unknown.
        let kind = match one.kind {
            None => root.find(name.as_os_str())?.map(|facts| facts.kind),
            known => known,
        };
        Ok(Entry { name, kind })
    };
    found.iter().map(entry).collect()
}

/// Every entry of the quarantine, in id order.
///
/// # Errors
/// When the quarantine cannot be listed. An entry that cannot be read is part of the answer, as such.
pub fn quarantine_entries(
    root: &Dir,
    hygiene: &Hygiene,
    ledger: &Ledger,
    policy: &Policy,
) -> Result<Vec<QuarantineEntry>, FsError> {
    let mut entries = Vec::new();
    for (name, _) in hygiene.quarantine.names()? {
        let entry = quarantine_entry(root, hygiene, ledger, policy, &name);
        // A folder that never held a tree, or holds none since its restore: the next sweep tidies it up.
        let left_over = entry.tree.is_none() && !ledger.quarantined.contains_key(&entry.id);
        if !(left_over && entry.sidecar.complete().is_some()) {
            entries.push(entry);
        }
    }
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(entries)
}

fn quarantine_entry(root: &Dir, hygiene: &Hygiene, ledger: &Ledger, policy: &Policy, name: &OsStr) -> QuarantineEntry {
    let id = EntryId::new(crate::fsio::printable(name));
    let damaged = |why: String| QuarantineEntry {
        id: id.clone(),
        sidecar: Reading::Unavailable(why),
        tree: None,
        keep_file: KeepFileState::Pins,
        journalled: false,
        name_taken: true,
    };
    let read = || -> Result<QuarantineEntry, String> {
        let text = |e: FsError| e.to_string();
        let dir = hygiene.quarantine.open_dir(name).map_err(text)?;
        let content = dir.read_file(OsStr::new(ENTRY), SIDECAR_LIMIT).map_err(text)?;
        let content = content.ok_or("it has no entry.json")?;
        let sidecar: Sidecar = serde_json::from_slice(&content).map_err(|e| format!("entry.json: {e}"))?;
        if sidecar.id != id {
            return Err(format!("entry.json is of another entry, {}", sidecar.id));
        }
        let tree = dir.find(OsStr::new(WORKSPACE)).map_err(text)?.map(|facts| facts.inode);
        let keep_file = match tree {
            Some(_) => read_keep_file(&dir.open_dir(OsStr::new(WORKSPACE)).map_err(text)?, policy).map_err(text)?,
            None => KeepFileState::Absent,
        };
        let named = ledger.quarantined.get(&id).is_none_or(|moved| moved.name == sidecar.name);
        let journalled = named && tree.is_some_and(|inode| ledger.moved(&id, inode));
        let name_taken = root.find(OsStr::new(&sidecar.name)).map_err(text)?.is_some();
        let sidecar = Reading::Complete(sidecar);
        Ok(QuarantineEntry { id: id.clone(), sidecar, tree, keep_file, journalled, name_taken })
    };
    read().unwrap_or_else(damaged)
}
