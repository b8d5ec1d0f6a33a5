//! The cgroup this process is in, version 2 or 1, and what it says of memory. Only files below the given root are read.
//!
//! Sources: cgroups(7) and proc_pid_mountinfo(5); Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.

use std::fs;
use std::path::{Path, PathBuf};

/// A version 1 limit from here on is none: the kernel writes the largest multiple of a page that fits 63 bits.
const NO_LIMIT: u64 = 1 << 60;

/// How the files of one version are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Names {
    usage: &'static str,
    limit: &'static str,
    inactive: &'static str,
}

const V2: Names = Names { usage: "memory.current", limit: "memory.max", inactive: "inactive_file" };
const V1: Names =
    Names { usage: "memory.usage_in_bytes", limit: "memory.limit_in_bytes", inactive: "total_inactive_file" };

/// The memory side of one cgroup.
#[derive(Debug)]
pub(super) struct Cgroup {
    names: Names,
    /// Where the hierarchy is mounted.
    mount: PathBuf,
    /// The cgroup, the mount itself or below it.
    dir: PathBuf,
}

/// One look, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    /// What is in use, less the page cache that the kernel gives up first, as the kubelet counts.
    pub(super) usage: u64,
    /// The smallest limit of the cgroup and those around it.
    pub(super) limit: Option<u64>,
}

impl Cgroup {
    /// The cgroup of this process; `None` where none tells about memory. Both versions may be mounted, and then memory
    /// belongs to one of them.
    pub(super) fn own(root: &Path) -> Option<Self> {
        let own = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
        let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).ok()?;
        [V1, V2].into_iter().find_map(|names| {
            let path = own.lines().find_map(|line| path_of(line, names))?;
            let (mounted, point) = mounts.lines().find_map(|line| mount_of(line, names))?;
            let mount = root.join(point.trim_start_matches('/'));
            // A container may see its own cgroup as the root of the mount, and its path as the host has it.
            let below = path.strip_prefix(mounted.trim_end_matches('/')).unwrap_or(path).trim_start_matches('/');
            let dir = Some(mount.join(below)).filter(|_| !below.split('/').any(|part| part == ".."));
            let cgroups = [dir, Some(mount.clone())].into_iter().flatten();
            cgroups.map(|dir| Self { names, mount: mount.clone(), dir }).find(|found| found.look().is_some())
        })
    }

    /// What it says now.
    pub(super) fn look(&self) -> Option<Memory> {
        let used = number(&self.dir.join(self.names.usage))?;
        let stat = fs::read_to_string(self.dir.join("memory.stat")).unwrap_or_default();
        let inactive = stat.lines().filter_map(|line| line.split_once(' '));
        let inactive =
            inactive.filter(|(name, _)| *name == self.names.inactive).find_map(|(_, n)| n.trim().parse().ok());
        let around = self.dir.ancestors().take_while(|dir| dir.starts_with(&self.mount));
        let limits = around.filter_map(|dir| number(&dir.join(self.names.limit)));
        let limit = limits.filter(|limit| *limit < NO_LIMIT).min();
        Some(Memory { usage: used.saturating_sub(inactive.unwrap_or(0)), limit })
    }
}

/// The path of a line of /proc/self/cgroup, `hierarchy:controllers:path`, where it is about memory in this version.
fn path_of(line: &str, names: Names) -> Option<&str> {
    let (hierarchy, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    let fits = match names {
        V2 => hierarchy == "0" && controllers.is_empty(),
        _ => controllers.split(',').any(|controller| controller == "memory"),
    };
    fits.then_some(path)
}

/// What is mounted and where, of a line of /proc/self/mountinfo that mounts memory cgroups of this version.
fn mount_of(line: &str, names: Names) -> Option<(&str, &str)> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let (mounted, point) = (before.next()?, before.next()?);
    let mut after = after.split(' ');
    let (kind, options) = (after.next()?, after.nth(1).unwrap_or_default());
    let fits = match names {
        V2 => kind == "cgroup2",
        _ => kind == "cgroup" && options.split(',').any(|option| option == "memory"),
    };
    fits.then_some((mounted, point))
}

/// The number in a file; `None` of `max`.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
