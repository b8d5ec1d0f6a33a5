//! Whether we may do what a sweep would do, asked before anything is moved.

use std::ffi::OsStr;

use rustix::io::Errno;
use rustix::thread::CapabilitySet;

use crate::fsio::{Dir, Facts, FsError};
use crate::policy::Policy;

/// In a directory with this bit only the owner of an entry, or of the directory, may move the entry away.
const STICKY: u32 = 0o1000;

/// Which right on the root is missing to move anything out of it, and what to set.
///
/// # Errors
/// When it cannot be found out.
pub fn missing_on_root(root: &Dir, policy: &Policy) -> Result<Option<String>, FsError> {
    if root.may_write()? {
        return Ok(None);
    }
    let facts = root.own_facts()?;
    Ok(Some(format!(
        "{} belongs to user {} with mode {:04o}, and user {} may not move anything out of it, so nothing was moved; {}",
        policy.root.display(),
        facts.uid,
        facts.mode,
        us(),
        way_out(policy, facts.uid, "CAP_DAC_OVERRIDE")
    )))
}

/// Which right is missing to move the directory `name` out of `root`, and what to set: giving a directory another parent
/// needs the right to write to it, and in a sticky directory to own it.
///
/// # Errors
/// When it cannot be found out.
pub fn missing_on(root: &Dir, name: &OsStr, facts: &Facts, policy: &Policy) -> Result<Option<Box<str>>, FsError> {
    if facts.immutable {
        return Ok(Some("it is immutable; if it may go: chattr -i".into()));
    }
    let told = |capability| not_ours(facts.uid, facts.mode, policy, capability).into();
    if !root.may_write_to(name)? {
        return Ok(Some(told("CAP_DAC_OVERRIDE")));
    }
    if facts.uid == us() || has_capability(CapabilitySet::FOWNER) {
        return Ok(None);
    }
    let parent = root.own_facts()?;
    Ok((parent.mode & STICKY != 0 && parent.uid != us()).then(|| told("CAP_FOWNER")))
}

/// Why the directory with these `facts` cannot be opened, and what to set where a right is missing.
pub fn unreadable(error: &FsError, facts: &Facts, policy: &Policy) -> String {
    match error.errno {
        Errno::ACCESS => not_ours(facts.uid, facts.mode, policy, "CAP_DAC_OVERRIDE"),
        _ => error.to_string(),
    }
}

/// Why the root cannot be opened, and what to set where a right is missing.
pub fn unreadable_root(error: &FsError, policy: &Policy) -> String {
    match rustix::fs::stat(&policy.root) {
        Ok(stat) if error.errno == Errno::ACCESS => {
            let why = not_ours(stat.st_uid, stat.st_mode & 0o7777, policy, "CAP_DAC_OVERRIDE");
            format!("{} cannot be read: {why}", policy.root.display())
        }
        _ => error.to_string(),
    }
}

fn not_ours(owner: u32, mode: u32, policy: &Policy, capability: &str) -> String {
    let way_out = way_out(policy, owner, capability);
    format!("it belongs to user {owner} with mode {mode:04o}, and this is user {}; {way_out}", us())
}

fn us() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn has_capability(one: CapabilitySet) -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(one))
}

fn way_out(policy: &Policy, owner: u32, capability: &str) -> String {
    match policy.claim {
        Some(_) => format!("set spec.job.template.securityContext.runAsUser: {owner}"),
        None => {
            format!(
                "run as user {owner} or as root, or add {capability} (on a network file system the server must honour it)"
            )
        }
    }
}
