//! The guides, as somebody follows them: every command in them is run in their order on a whole node, and prints what they say.

mod parse;
mod volume;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use self::parse::{Block, blocks, fits};
use crate::kubernetes::{Node, program};
use crate::servers::process::output;

const HERE: &str = env!("CARGO_MANIFEST_DIR");
/// The guides in the order in which they build on each other.
const GUIDES: [&str; 7] =
    ["getting-started", "first-enforcement", "restore", "migrate", "runbooks", "upgrade", "uninstall"];
/// What stands between the outputs of two commands.
const MARK: &str = "@@@@";

#[test]
fn every_command_of_the_guides_does_what_they_say() {
    let node = Node::start();
    // As the guides name it: nothing is pulled that is there.
    node.load(crate::image::archive(), "registry.example.com/workspace-hygiene:0.1.0");
    let _mounted = volume::provide(&node, "team-a", "collab-efs");
    let folder = node.volume("reader");
    for shared in ["charts", "crds", "examples"] {
        symlink(Path::new(HERE).join(shared), folder.join(shared)).unwrap();
    }
    let programs = folder.join("programs");
    fs::create_dir(&programs).unwrap();
    for name in ["kubectl", "helm"] {
        symlink(program(name), programs.join(name)).unwrap();
    }
    let faults: Vec<_> = GUIDES.iter().flat_map(|guide| follow(&node, &folder, guide)).collect();
    assert!(faults.is_empty(), "{}\n{}", faults.join("\n\n"), node.logs());
}

/// Does what a guide says. What did not come out as it says.
fn follow(node: &Node, folder: &Path, guide: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("{HERE}/docs/{guide}.md")).unwrap();
    let mut script = String::from("exec 2>&1\n");
    let mut commands = Vec::new();
    for block in blocks(&text) {
        match block {
            Block::File { name, content } => fs::write(folder.join(name), content).unwrap(),
            Block::Command { line, text, prints } => {
                script += &format!("{text}\necho; echo \"{MARK}$? $SECONDS\"\n");
                commands.push((line, text, prints));
            }
        }
    }
    let mut shell = node.command(Path::new("bash"));
    shell.args(["-c", &script]).current_dir(folder);
    let path = format!("{}:{}", folder.join("programs").display(), std::env::var("PATH").unwrap());
    let printed = output(shell.env("PATH", path), "");
    // kubectl now and then logs how it ended a watch.
    let printed: String =
        printed.split_inclusive('\n').filter(|line| !line.contains("] \"Warning: watch ended")).collect();
    let mut rest = printed.as_str();
    let mut faults = Vec::new();
    for (line, text, prints) in commands {
        let (said, after) = rest.split_once(MARK).unwrap_or((rest, "gone\n"));
        let (ended, after) = after.split_once('\n').unwrap_or((after, ""));
        let (code, seconds) = ended.split_once(' ').unwrap_or((ended, ""));
        println!("docs/{guide}.md:{line}: done {seconds} s after the guide was begun");
        rest = after;
        // The line end that came before the mark.
        let said = said.strip_suffix('\n').unwrap_or(said);
        if code != "0" || !fits(&prints, said) {
            let prints = prints.join("\n");
            faults.push(format!(
                "docs/{guide}.md:{line}: exit code {code}\n$ {text}\n{said}\n--- the guide says:\n{prints}"
            ));
        }
    }
    faults
}
