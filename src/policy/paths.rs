//! Paths in a spec, judged by their text alone: nothing here looks at the file system.

use std::path::{Path, PathBuf};

/// Children of `/` that an operating system needs, and nobody keeps session workspaces directly in.
const SYSTEM: &[&str] = &[
    "bin",
    "boot",
    "dev",
    "etc",
    "home",
    "lib",
    "lib32",
    "lib64",
    "libx32",
    "lost+found",
    "nix",
    "opt",
    "proc",
    "root",
    "run",
    "sbin",
    "snap",
    "sys",
    "tmp",
    "usr",
    "var",
];

/// Directories below them for which the same holds.
const SYSTEM_BELOW: &[&str] = &[
    "/usr/bin",
    "/usr/include",
    "/usr/lib",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/local",
    "/usr/sbin",
    "/usr/share",
    "/usr/src",
    "/var/cache",
    "/var/lib",
    "/var/lock",
    "/var/log",
    "/var/mail",
    "/var/run",
    "/var/spool",
    "/var/tmp",
];

/// Trees of which no part can be a volume of workspaces.
const SYSTEM_TREES: &[&str] =
    &["/bin", "/boot", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/sbin", "/sys"];

/// `text` as a path, if it is absolute and in its shortest spelling; one slash at the end is forgiven.
pub(super) fn absolute(text: &str) -> Result<PathBuf, String> {
    let Some(below_root) = text.strip_prefix('/') else {
        return Err("is not absolute; begin with /".into());
    };
    let below_root = below_root.strip_suffix('/').unwrap_or(below_root);
    if below_root.is_empty() {
        return Err("is the root of the file system; name the directory itself".into());
    }
    if text.contains('\0') {
        return Err("contains a NUL character".into());
    }
    for component in below_root.split('/') {
        match component {
            "" => return Err("has an empty component; write single slashes".into()),
            "." | ".." => return Err(format!("has a component {component}; write the path without it")),
            _ => {}
        }
    }
    Ok(Path::new("/").join(below_root))
}

/// [`absolute`], refusing directories that no volume of workspaces can be.
pub(super) fn volume_root(text: &str, home: Option<&Path>) -> Result<PathBuf, String> {
    let root = absolute(text)?;
    let names_system = root.parent() == Some(Path::new("/"))
        && root.file_name().and_then(|name| name.to_str()).is_some_and(|name| SYSTEM.contains(&name));
    if names_system || SYSTEM_BELOW.iter().any(|path| root == Path::new(path)) {
        return Err("is a directory of the operating system; give the volume a directory of its own below it".into());
    }
    if let Some(tree) = SYSTEM_TREES.iter().find(|tree| root.starts_with(tree)) {
        return Err(format!("lies in {tree}, which belongs to the operating system; mount the volume elsewhere"));
    }
    if home.is_some_and(|home| home.starts_with(&root)) {
        return Err(
            "is or holds the home directory of whoever runs this; give the volume a directory of its own".into()
        );
    }
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_spelling() {
        assert_eq!(absolute("/mnt/efs/workspaces"), Ok(PathBuf::from("/mnt/efs/workspaces")));
        assert_eq!(absolute("/mnt/efs/"), Ok(PathBuf::from("/mnt/efs")));
        assert_eq!(absolute("/mnt/..data/.x"), Ok(PathBuf::from("/mnt/..data/.x")));
        for text in [
            "",
            "mnt",
            "./mnt",
            "/",
            "//",
            "//mnt",
            "/mnt//efs",
            "/mnt/./efs",
            "/mnt/../etc",
            "/mnt/efs/..",
            "/mnt/efs//",
            "/a\0b",
        ] {
            assert!(absolute(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_operating_system_and_the_home_directory_are_no_volume() {
        let home = Path::new("/home/me");
        for text in [
            "/etc",
            "/etc/x",
            "/usr",
            "/var/",
            "/var/lib",
            "/home",
            "/home/me",
            "/root",
            "/proc/1/root",
            "/tmp",
            "/dev",
        ] {
            assert!(volume_root(text, Some(home)).is_err(), "{text}");
        }
        for text in [
            "/mnt/efs",
            "/efs",
            "/srv",
            "/home/me/volume",
            "/tmp/volume",
            "/var/lib/volume",
            "/dev/shm/volume",
            "/root/volume",
        ] {
            assert!(volume_root(text, Some(home)).is_ok(), "{text}");
        }
    }
}
