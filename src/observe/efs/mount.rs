//! What is mounted below the root, as the kernel and Amazon's mount helper tell it.

use std::net::IpAddr;
use std::path::Path;

use super::{FileSystem, Mounted};
use crate::fsio::Dir;

/// Where the kernel tells what is mounted where (proc(5)).
const MOUNTS: &str = "/proc/self/mountinfo";
/// Where Amazon's mount helper keeps a file for each mount that goes through its TLS proxy: `fs-ID.MOUNT.POINT.PORT`
/// (amazon-efs-utils, mount_efs).
const STATES: &str = "/var/run/efs";
/// Longest such file that is read, in bytes. It has some hundred.
const LONGEST_STATE: u64 = 64 * 1024;

/// One mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// The type of file system: `nfs4`.
    pub kind: String,
    /// What is mounted: `10.0.1.5:/` or `127.0.0.1:/`.
    pub source: String,
    /// The options of the file system: `rw,vers=4.1,port=20049,addr=127.0.0.1`.
    pub options: String,
    /// What the mount helper says of its mounts.
    pub states: Vec<State>,
}

/// What the mount helper says of one mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The file system.
    pub file_system: String,
    /// The port of the loopback interface that it is mounted through.
    pub port: u16,
    /// The access point, where it is mounted by one.
    pub access_point: Option<String>,
}

/// The mount that `root` is on.
///
/// # Errors
/// When it cannot be told.
pub fn mount_of(root: &Dir) -> Result<Mount, String> {
    let facts = root.own_facts().map_err(|error| error.to_string())?;
    let id = facts.mount.ok_or("this kernel does not say which mount the root is on (Linux 5.8 does)")?;
    let table = std::fs::read_to_string(MOUNTS).map_err(|error| format!("{MOUNTS}: {error}"))?;
    let mount = parse(&table, id).ok_or_else(|| format!("{MOUNTS} does not list the mount that the root is on"))?;
    Ok(Mount { states: states(Path::new(STATES)), ..mount })
}

/// The mount with this id.
fn parse(table: &str, id: u64) -> Option<Mount> {
    let line = table.lines().find(|line| line.split(' ').next() == Some(&id.to_string()))?;
    let (_, after) = line.split_once(" - ")?;
    let mut fields = after.split(' ');
    let (kind, source, options) = (fields.next()?.to_owned(), fields.next()?.to_owned(), fields.next()?.to_owned());
    Some(Mount { kind, source, options, states: Vec::new() })
}

/// What the mount helper says; nothing where there is none, as in a container.
fn states(folder: &Path) -> Vec<State> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let state = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let (file_system, rest) = name.split_once('.').filter(|(id, _)| id.starts_with("fs-"))?;
        let port = rest.rsplit('.').next()?.parse().ok()?;
        let small = entry.metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= LONGEST_STATE);
        let content = small.then(|| std::fs::read(entry.path()).ok()).flatten();
        let content: Option<serde_json::Value> = content.and_then(|content| serde_json::from_slice(&content).ok());
        let access_point = content.and_then(|content| Some(content.get("accessPoint")?.as_str()?.to_owned()));
        Some(State { file_system: file_system.to_owned(), port, access_point })
    };
    entries.filter_map(state).collect()
}

/// Whether the mount is of this file system.
pub(super) fn judge(mount: &Mount, system: &FileSystem) -> Mounted {
    if !matches!(mount.kind.as_str(), "nfs" | "nfs4") {
        return Mounted::Unknown(format!("the root is on {}, not on NFS", mount.kind));
    }
    let option = |name: &str| mount.options.split(',').find_map(|option| option.strip_prefix(name));
    let host = mount.source.rsplit_once(":/").map_or(mount.source.as_str(), |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = option("addr=").unwrap_or(host);
    match address.parse::<IpAddr>() {
        Err(_) => Mounted::Unknown("the mount names no address of its server".into()),
        Ok(address) if !address.is_loopback() && system.addresses.contains(&address) => Mounted::ByTarget(address),
        // Of its addresses AWS tells those of version 4.
        Ok(IpAddr::V6(address)) if !address.is_loopback() => Mounted::Unknown(format!(
            "the root is mounted from {address}, and AWS tells no address of version 6 to compare it with"
        )),
        Ok(address) if !address.is_loopback() => {
            Mounted::Another(format!("the root is mounted from {address}, which is no mount target of {}", system.id))
        }
        Ok(_) => by_helper(mount, system, option("port=").and_then(|port| port.parse().ok())),
    }
}

/// A mount through the helper's TLS proxy, by the port of that proxy.
fn by_helper(mount: &Mount, system: &FileSystem, port: Option<u16>) -> Mounted {
    let of_port: Vec<_> = mount.states.iter().filter(|state| Some(state.port) == port).collect();
    let ours = |state: &&&State| {
        let known = |point: &String| system.access_points.contains(point);
        state.file_system == system.id && state.access_point.as_ref().is_none_or(known)
    };
    match (of_port.iter().filter(ours).count(), of_port.len()) {
        (_, 0) => {
            Mounted::Unknown("the root is mounted through a local TLS proxy, whose state is not to be seen here".into())
        }
        (ours, all) if ours == all => Mounted::ByHelper,
        (0, _) => {
            let state = of_port[0];
            let through =
                state.access_point.as_ref().map_or_else(String::new, |point| format!(" by access point {point}"));
            Mounted::Another(format!(
                "the mount helper says that {}{through} is mounted, and the spec names {}",
                state.file_system, system.id
            ))
        }
        _ => Mounted::Unknown("the mount helper's files tell of two file systems on one port".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system() -> FileSystem {
        FileSystem {
            id: "fs-01234567".into(),
            addresses: ["10.0.1.5".parse().unwrap()].into(),
            access_points: ["fsap-1".into()].into(),
            ..FileSystem::default()
        }
    }

    fn nfs(source: &str, options: &str, states: &[(&str, u16, Option<&str>)]) -> Mounted {
        let state = |(id, port, point): &(&str, u16, Option<&str>)| State {
            file_system: (*id).into(),
            port: *port,
            access_point: point.map(Into::into),
        };
        let states = states.iter().map(state).collect();
        judge(&Mount { kind: "nfs4".into(), source: source.into(), options: options.into(), states }, &system())
    }

    #[test]
    fn the_mount_is_found_by_its_id() {
        let table = "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                     36 21 0:44 /ws /mnt/efs/a\\040b rw shared:7 master:1 - nfs4 127.0.0.1:/ rw,port=20049,addr=127.0.0.1\n";
        let mount = parse(table, 36).unwrap();
        assert_eq!((mount.kind.as_str(), mount.source.as_str()), ("nfs4", "127.0.0.1:/"));
        assert_eq!(mount.options, "rw,port=20049,addr=127.0.0.1");
        assert_eq!((parse(table, 3), parse("", 36)), (None, None));
    }

    #[test]
    fn a_server_is_one_of_the_mount_targets_or_another_file_system() {
        assert_eq!(nfs("10.0.1.5:/", "rw,addr=10.0.1.5", &[]), Mounted::ByTarget("10.0.1.5".parse().unwrap()));
        assert!(matches!(nfs("[fd00::5]:/", "rw", &[]), Mounted::Unknown(_)));
        let local = nfs("[::1]:/", "rw,port=20049,addr=::1", &[("fs-7654321", 20049, None)]);
        assert!(matches!(local, Mounted::Another(_)));
        let by_name = nfs("fs-01234567.efs.eu-central-1.amazonaws.com:/", "addr=10.0.1.5", &[]);
        assert!(matches!(by_name, Mounted::ByTarget(_)));
        // The name says one thing and the address another: the address is where the calls go.
        let other = nfs("fs-01234567.efs.eu-central-1.amazonaws.com:/", "addr=10.0.1.6", &[]);
        assert!(matches!(other, Mounted::Another(_)), "{other:?}");
        assert!(matches!(nfs("fs-01234567.efs.eu-central-1.amazonaws.com:/", "rw", &[]), Mounted::Unknown(_)));
    }

    #[test]
    fn behind_the_tls_proxy_the_mount_helper_tells() {
        let local = |states: &[_]| nfs("127.0.0.1:/", "rw,port=20049,addr=127.0.0.1", states);
        assert!(matches!(local(&[]), Mounted::Unknown(_)));
        assert!(matches!(local(&[("fs-01234567", 20050, None)]), Mounted::Unknown(_)), "another port");
        assert_eq!(local(&[("fs-01234567", 20049, None)]), Mounted::ByHelper);
        assert_eq!(local(&[("fs-01234567", 20049, Some("fsap-1"))]), Mounted::ByHelper);
        assert!(matches!(local(&[("fs-01234567", 20049, Some("fsap-2"))]), Mounted::Another(_)));
        assert!(matches!(local(&[("fs-7654321", 20049, None)]), Mounted::Another(_)));
        let both = local(&[("fs-7654321", 20049, None), ("fs-01234567", 20049, None)]);
        assert!(matches!(both, Mounted::Unknown(_)));
    }

    #[test]
    fn what_is_no_nfs_tells_nothing() {
        let mount = Mount { kind: "ext4".into(), ..Mount::default() };
        assert_eq!(judge(&mount, &system()), Mounted::Unknown("the root is on ext4, not on NFS".into()));
    }

    #[test]
    fn the_helpers_files_are_read_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| std::fs::write(folder.path().join(name), content).unwrap();
        write("fs-01234567.mnt.efs.20049", r#"{"pid": 7, "accessPoint": "fsap-1"}"#);
        write("fs-7654321.mnt.20050", "no JSON");
        write("stunnel-config.fs-01234567.mnt.efs.20049", "");
        write("~fs-01234567.mnt.efs.20051", "");
        let mut found = states(folder.path());
        found.sort_by_key(|state| state.port);
        let told: Vec<_> = found.iter().map(|s| (s.file_system.as_str(), s.port, s.access_point.as_deref())).collect();
        assert_eq!(told, [("fs-01234567", 20049, Some("fsap-1")), ("fs-7654321", 20050, None)]);
        assert!(states(Path::new("/nowhere")).is_empty());
    }
}
