//! Help that teaches, completions, manual pages, the CRD.

use super::hygiene;

const COMMANDS: [&[&str]; 16] = [
    &["plan"],
    &["sweep"],
    &["explain"],
    &["quarantine"],
    &["quarantine", "list"],
    &["quarantine", "restore"],
    &["quarantine", "purge"],
    &["journal"],
    &["healthcheck"],
    &["job-manifest"],
    &["self-test"],
    &["self-test", "make"],
    &["self-test", "ask"],
    &["crd"],
    &["completions"],
    &["man"],
];

#[test]
fn every_command_teaches_by_examples() {
    let main = hygiene(&["--help"]).exits(0).stdout;
    assert!(main.contains("Exit codes:") && main.contains("Examples:"), "{main}");
    for command in COMMANDS {
        let mut args = command.to_vec();
        args.push("--help");
        let help = hygiene(&args).exits(0).stdout;
        let name = format!("hygiene {}", command.join(" "));
        assert!(help.contains("Examples:") && help.contains(&name), "{name}: {help}");
        assert!(main.contains(&format!("\n  {}", command[0])), "{name}: {main}");
        args.pop();
        args.push("-h");
        assert!(hygiene(&args).exits(0).stdout.len() < help.len());
    }
    let version = hygiene(&["--version"]).exits(0).stdout;
    assert_eq!(version, format!("hygiene {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn short_times_are_for_tests_and_the_help_says_so() {
    let help = hygiene(&["sweep", "--help"]).exits(0).stdout;
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("For tests and the demo only"), "{help}");
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = hygiene(&["completions", shell]).exits(0).stdout;
        assert!(text.len() > 1_000 && text.contains("quarantine"), "{shell}");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let page = hygiene(&["man"]).exits(0).stdout;
    assert!(page.contains(".TH hygiene 1") && page.contains("Exit codes"), "{page}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("man1");
    let ran = hygiene(&["man", "--dir", path.to_str().unwrap()]).exits(0);
    assert_eq!(ran.stdout, "");
    let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert!(read("hygiene.1").contains(".TH"));
    for command in COMMANDS {
        let page = read(&format!("hygiene-{}.1", command.join("-")));
        assert!(page.contains(".TH") && page.contains("Examples"), "{command:?}");
    }
    hygiene(&["man", "--dir", "/proc/nowhere"]).exits(1);
}

#[test]
fn the_crd_is_printed_as_yaml_and_as_json() {
    let yaml = hygiene(&["crd"]).exits(0).stdout;
    assert_eq!(yaml, workspace_hygiene::api::crd_yaml());
    let json = hygiene(&["crd", "-o", "json"]).exits(0).json();
    assert_eq!(json["kind"], "CustomResourceDefinition");
    assert_eq!(json["metadata"]["name"], "workspacehygienes.hygiene.dev");
}
