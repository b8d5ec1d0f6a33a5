//! Root directories of workspaces, and the keep file in each.

use std::ffi::OsStr;

use jiff::Timestamp;

use super::rights::{missing_on, unreadable};

use crate::fsio::{Dir, FsError, Kind};
use crate::names::EntryName;
use crate::observe::{DirectoryFacts, KeepFileState, Reading};
use crate::policy::{Activity, KeepFileRule, Mode, Policy};

/// The file that pins a workspace: for ever, or until the date it holds.
pub const KEEP_FILE: &str = ".hygiene-keep";
/// Longest keep file that is read for a date, in bytes.
const KEEP_FILE_LIMIT: u64 = 4096;

/// The root directory of the workspace `name`.
pub fn read_root(root: &Dir, name: &EntryName, policy: &Policy) -> Reading<DirectoryFacts> {
    facts(root, name.as_os_str(), policy).into()
}

fn facts(root: &Dir, name: &OsStr, policy: &Policy) -> Result<DirectoryFacts, String> {
    let text = |e: FsError| e.to_string();
    let facts = root.facts(name).map_err(text)?;
    if facts.kind != Kind::Directory {
        return Err("it is no directory any more".into());
    }
    let mount_point = !root.same_mount(&facts);
    // Nothing is opened behind a mount point: it may be a file system that hangs.
    let keep_file = if mount_point {
        KeepFileState::Absent
    } else {
        let dir = root.open_dir(name).map_err(|error| unreadable(&error, &facts, policy))?;
        read_keep_file(&dir, policy).map_err(text)?
    };
    // In mode Report nothing is moved, and whoever looks need not be who moves.
    let asked = policy.mode == Mode::Enforce && !mount_point;
    let immovable = if asked { missing_on(root, name, &facts, policy).map_err(text)? } else { None };
    Ok(DirectoryFacts {
        inode: facts.inode,
        device: facts.device,
        modified: facts.modified,
        changed: facts.changed,
        born: facts.born,
        mount_point,
        keep_file,
        immovable,
    })
}

/// When the root directory of the workspace `name` was last active; `None` where that cannot be told. For a sample of live
/// ones, so with as few calls as can be.
pub fn root_activity(root: &Dir, name: &EntryName, activity: Activity) -> Option<Timestamp> {
    let facts = root.facts(name.as_os_str()).ok().filter(|facts| facts.kind == Kind::Directory)?;
    Some(match activity {
        Activity::Modified => facts.modified,
        Activity::Any => facts.modified.max(facts.changed).max(facts.born.unwrap_or(Timestamp::MIN)),
    })
}

/// What the keep file in `workspace` says. Whatever cannot be understood pins: an empty file, a file that is no text or
/// no date, a directory or a symlink of that name.
///
/// # Errors
/// When it cannot be found out whether there is one.
pub fn read_keep_file(workspace: &Dir, policy: &Policy) -> Result<KeepFileState, FsError> {
    let name = OsStr::new(KEEP_FILE);
    if policy.keep_file == KeepFileRule::Ignore || workspace.find(name)?.is_none() {
        return Ok(KeepFileState::Absent);
    }
    let content = match workspace.read_file(name, KEEP_FILE_LIMIT) {
        Ok(Some(content)) => content,
        Ok(None) | Err(_) => return Ok(KeepFileState::Pins),
    };
    Ok(std::str::from_utf8(&content)
        .ok()
        .and_then(|text| until(text.trim()))
        .map_or(KeepFileState::Pins, KeepFileState::PinsUntil))
}

/// A time (`2027-01-31T12:00:00Z`), or a date, which counts to the end of that day everywhere on earth (UTC-12).
fn until(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let next_day = text.parse::<jiff::civil::Date>().ok()?.tomorrow().ok()?;
    let zone = jiff::tz::Offset::constant(-12).to_time_zone();
    Some(next_day.to_zoned(zone).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keep_file_pins_to_the_end_of_its_day_and_for_ever_where_it_is_not_understood() {
        assert_eq!(until("2027-01-31"), Some("2027-02-01T12:00:00Z".parse().unwrap()));
        assert_eq!(until("2027-01-31T12:00:00Z"), Some("2027-01-31T12:00:00Z".parse().unwrap()));
        assert_eq!(until("until spring"), None);
        assert_eq!(until(""), None);
    }
}
