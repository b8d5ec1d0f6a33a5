//! What a release is made of, from a binary as the tests have it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const HERE: &str = env!("CARGO_MANIFEST_DIR");

fn release(project: &Path, output: &Path) -> Output {
    let mut script = Command::new(project.join("scripts/release"));
    script.args(["--binary", env!("CARGO_BIN_EXE_hygiene"), "--output"]).arg(output);
    script.output().unwrap()
}

fn run(command: &mut Command) -> String {
    let ran = command.output().unwrap();
    assert!(ran.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn a_release_has_everything_with_its_checksums_and_licences() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path();
    let ran = release(Path::new(HERE), output);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let version = env!("CARGO_PKG_VERSION");
    let binary = format!("hygiene-{version}-{}-linux", std::env::consts::ARCH);
    let expected = [
        "SHA256SUMS".to_owned(),
        "THIRD-PARTY-LICENCES.txt".to_owned(),
        format!("{binary}.tar.gz"),
        "hygiene.dev_workspacehygienes.yaml".to_owned(),
        format!("workspace-hygiene-{version}.cdx.json"),
        format!("workspace-hygiene-{version}.oci.tar"),
        format!("workspace-hygiene-{version}.tgz"),
        format!("workspace-hygiene-manifests-{version}.tar.gz"),
    ];
    let found: BTreeSet<_> =
        fs::read_dir(output).unwrap().map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, expected.into_iter().collect());

    let checked = run(Command::new("sha256sum").args(["--check", "SHA256SUMS"]).current_dir(output));
    assert_eq!(checked.lines().filter(|line| line.ends_with(": OK")).count(), found.len() - 1, "{checked}");
    run(Command::new("tar").arg("-xzf").arg(output.join(format!("{binary}.tar.gz"))).current_dir(output));
    let unpacked = output.join(&binary);
    assert_eq!(run(Command::new(unpacked.join("hygiene")).arg("--version")), format!("hygiene {version}\n"));
    for name in ["LICENSE", "README.md", "CHANGELOG.md", "completions/hygiene.bash", "man/hygiene.1"] {
        assert!(unpacked.join(name).metadata().unwrap().len() > 0, "{name}");
    }
    let licences = fs::read_to_string(output.join("THIRD-PARTY-LICENCES.txt")).unwrap();
    for words in ["\ntokio 1.", "\nrustix 1.", "\nkube 5.", "Permission is hereby granted, free of charge", "Apache License"] {
        assert!(licences.contains(words), "{words}");
    }
    assert!(!licences.contains("\ninsta 1."), "what only tests need is in no program");
    let values = run(Command::new("tar").args(["-xzOf"]).arg(output.join(format!("workspace-hygiene-{version}.tgz"))).arg("workspace-hygiene/Chart.yaml"));
    assert!(values.contains(&format!("version: {version}")), "{values}");
}

#[test]
fn a_version_that_is_not_the_same_everywhere_is_no_release() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("project");
    fs::create_dir(&project).unwrap();
    let tracked = run(Command::new("git").args(["ls-files"]).current_dir(HERE));
    for file in tracked.lines() {
        let to = project.join(file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(Path::new(HERE).join(file), to).unwrap();
    }
    for (file, from, to, words) in [
        ("charts/workspace-hygiene/Chart.yaml", "version: 0.", "version: 9.", "Chart.yaml, version, says 9."),
        ("charts/workspace-hygiene/Chart.yaml", "appVersion: \"0.", "appVersion: \"9.", "Chart.yaml, appVersion, says 9."),
        ("CHANGELOG.md", "## [0.", "## [9.", "CHANGELOG.md says 9."),
    ] {
        let path = project.join(file);
        let right = fs::read_to_string(&path).unwrap();
        fs::write(&path, right.replacen(from, to, 1)).unwrap();
        let ran = release(&project, &folder.path().join("output"));
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(!ran.status.success() && said.contains(words), "{said}");
        fs::write(&path, right).unwrap();
    }
}
