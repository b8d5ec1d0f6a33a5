//! What is in the image.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{build, image};

fn files(below: &Path) -> Vec<PathBuf> {
    let (mut found, mut pending) = (Vec::new(), vec![below.to_owned()]);
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() { pending.push(path) } else { found.push(path) }
        }
    }
    found
}

#[test]
fn it_runs_as_a_user_with_a_number_in_an_environment_of_its_own_and_says_what_it_is() {
    let config = &image().config;
    assert_eq!((&config["User"], &config["Entrypoint"][0]), (&"65532:65532".into(), &"/hygiene".into()));
    assert_eq!(config["Entrypoint"].as_array().unwrap().len(), 1);
    assert_eq!(config["Cmd"], serde_json::Value::Null);
    let variables = config["Env"].as_array().unwrap();
    assert!(["HYGIENE_STATE_DIR=/state", "MALLOC_ARENA_MAX=1"].iter().all(|one| variables.contains(&(*one).into())));
    let label = |name: &str| config["Labels"][format!("org.opencontainers.image.{name}")].as_str().unwrap();
    assert_eq!(label("title"), "workspace-hygiene");
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(label("licenses"), env!("CARGO_PKG_LICENSE"));
    assert_eq!(label("description"), env!("CARGO_PKG_DESCRIPTION"));
    let passwd = fs::read_to_string(image().root.join("etc/passwd")).unwrap();
    assert_eq!(passwd.lines().map(|line| line.split(':').nth(2).unwrap()).collect::<Vec<_>>(), ["65532"]);
}

#[test]
fn it_holds_one_program_and_nobody_in_it_can_change_it_or_become_root() {
    let root = &image().root;
    let mut programs = Vec::new();
    for path in files(root) {
        let facts = path.symlink_metadata().unwrap();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        assert_eq!((facts.uid(), facts.gid()), (0, 0), "{name}");
        if facts.is_symlink() {
            assert!(path.starts_with(root.join("usr/share/zoneinfo")), "{name} is a link");
            continue;
        }
        assert_eq!(facts.permissions().mode() & 0o7022, 0, "{name}");
        if facts.permissions().mode() & 0o111 != 0 {
            programs.push(name);
        }
    }
    programs.retain(|name| !name.starts_with("lib") && !name.starts_with("usr/lib"));
    assert_eq!(programs, ["hygiene"], "no shell and no other tool");
    let authorities = fs::read_to_string(root.join("etc/ssl/certs/ca-certificates.crt")).unwrap();
    assert!(authorities.matches("BEGIN CERTIFICATE").count() > 50);
}

#[test]
fn the_same_parts_make_the_same_archive() {
    let again = tempfile::tempdir().unwrap();
    let archive = build(&again.path().join("image"));
    assert_eq!(fs::read(archive).unwrap(), fs::read(&image().archive).unwrap());
}

#[test]
fn the_sbom_names_the_crates_of_the_binary_and_the_packages_of_its_libraries() {
    let components = image().sbom["components"].as_array().unwrap();
    let of = |kind: &str| -> BTreeSet<(&str, &str)> {
        let is_of = |purl: Option<&str>| purl.is_some_and(|purl| purl.starts_with(&format!("pkg:{kind}/")));
        let of_kind = components.iter().filter(|one| is_of(one["purl"].as_str()));
        of_kind.map(|one| (one["name"].as_str().unwrap(), one["version"].as_str().unwrap())).collect()
    };
    let crates = of("cargo");
    let lock = include_str!("../../../Cargo.lock");
    for (name, version) in &crates {
        assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n")), "{name} {version}");
    }
    let has = |name: &str| crates.iter().any(|(one, _)| *one == name);
    for name in
        ["workspace-hygiene", "aws-lc-sys", "libsqlite3-sys", "mysql_async", "rustls", "tokio", "tokio-postgres"]
    {
        assert!(has(name), "{name} is missing");
    }
    for name in ["fuser", "insta", "proptest", "syn"] {
        assert!(!has(name), "{name} is for tests or for the compiler, and not in the binary");
    }
    let packages: BTreeSet<_> = of("deb").into_iter().map(|(name, _)| name).collect();
    for name in ["ca-certificates", "libc6", "libgcc-s1", "tzdata"] {
        assert!(packages.contains(name), "{name} is missing: {packages:?}");
    }
}
