//! Takes each guard out once, sees its test fail, and writes down what came of it.
//!
//! `make mutants` runs it. It works on a copy of the tree below `target/mutants`, never on the tree itself; the list is
//! `tests/mutants.yaml`, and the table of the last full run is written into `docs/promises.md` between its two markers.
//! With arguments only the mutants whose guard contains one of them are run, and nothing is written.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// A guard, and how it is taken out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    /// The number of the promise that it keeps.
    promise: u8,
    /// What the guard does.
    guard: String,
    /// The file that is changed.
    file: String,
    /// What stands there, exactly once.
    find: String,
    /// What takes its place.
    replace: String,
    /// The test that must fail.
    test: String,
}

const DOCUMENT: &str = "docs/promises.md";
const BEGIN: &str = "<!-- mutants: begin -->";
const END: &str = "<!-- mutants: end -->";

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::disallowed_methods)] // a tool is an entry point: it may ask for the time
fn run(wanted: Vec<String>) -> Result<bool> {
    let list = fs::read_to_string("tests/mutants.yaml").context("tests/mutants.yaml")?;
    let all: Vec<Mutant> = serde_saphyr::from_str(&list).context("tests/mutants.yaml")?;
    let meant = |mutant: &&Mutant| wanted.is_empty() || wanted.iter().any(|part| mutant.guard.contains(part.as_str()));
    let mutants: Vec<&Mutant> = all.iter().filter(meant).collect();
    ensure!(!mutants.is_empty(), "no guard is called so");
    let tree = copy()?;
    for mutant in &mutants {
        // All of them before the first is run: one that fits nothing any more would be skipped in silence.
        let text = fs::read_to_string(tree.join(&mutant.file)).with_context(|| mutant.file.clone())?;
        let found = text.matches(&mutant.find).count();
        ensure!(found == 1, "{}: {:?} stands {found} times in {}", mutant.guard, mutant.find, mutant.file);
    }
    let tests: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.test.as_str()).collect();
    println!("{} guards, {} tests; first all of them without a mutation", mutants.len(), tests.len());
    let tests: Vec<&str> = tests.into_iter().collect();
    match outcome(&tree, &tests)? {
        Outcome::Passed => {}
        Outcome::Failed => bail!("a test fails without any mutation"),
        Outcome::Broken => bail!("it does not compile without any mutation"),
    }
    let (mut rows, mut caught) = (Vec::new(), 0);
    for (number, mutant) in mutants.iter().enumerate() {
        let started = Instant::now();
        let file = tree.join(&mutant.file);
        let text = fs::read_to_string(&file)?;
        fs::write(&file, text.replacen(&mutant.find, &mutant.replace, 1))?;
        let outcome = outcome(&tree, &[&mutant.test]);
        fs::write(&file, text)?;
        let word = match outcome? {
            Outcome::Failed => "caught",
            Outcome::Passed => "SURVIVED",
            Outcome::Broken => "does not compile",
        };
        caught += usize::from(word == "caught");
        println!("{:>3} {word:<9} {:>4} s  {}", number + 1, started.elapsed().as_secs(), mutant.guard);
        rows.push(format!(
            "| {} | {} | `{}` | `{}` | {word} |",
            mutant.promise, mutant.guard, mutant.file, mutant.test
        ));
    }
    println!("\n{caught} of {} mutations were caught", mutants.len());
    if wanted.is_empty() {
        write_down(&rows, caught)?;
    }
    Ok(caught == mutants.len())
}

/// Copies what git tracks, with the changes of the working tree, to where it may be broken.
fn copy() -> Result<PathBuf> {
    let tree = PathBuf::from("target/mutants/tree");
    let listed = Command::new("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).output()?;
    ensure!(listed.status.success(), "git does not list the files");
    let mut wanted = BTreeSet::new();
    for name in String::from_utf8(listed.stdout)?.split_terminator('\0') {
        let (from, to) = (Path::new(name), tree.join(name));
        if !from.exists() {
            continue;
        }
        wanted.insert(to.clone());
        fs::create_dir_all(to.parent().context("a file without a folder")?)?;
        // A file that is as it was keeps its time, so that what was built of it stays.
        if fs::read(&to).ok() != Some(fs::read(from)?) {
            fs::copy(from, &to).with_context(|| name.to_owned())?;
        }
    }
    remove_others(&tree, &wanted)?;
    Ok(tree)
}

/// Removes the files of an earlier copy that are no part of this one.
fn remove_others(folder: &Path, wanted: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => remove_others(&path, wanted)?,
            false if !wanted.contains(&path) => fs::remove_file(&path)?,
            false => {}
        }
    }
    Ok(())
}

#[derive(PartialEq)]
enum Outcome {
    Passed,
    Failed,
    Broken,
}

/// Runs tests by their full names.
fn outcome(tree: &Path, tests: &[&str]) -> Result<Outcome> {
    let target = std::env::current_dir()?.join("target/mutants/build");
    let cargo = |args: &[&str]| {
        let mut command = Command::new("cargo");
        command
            .current_dir(tree)
            .env("CARGO_TARGET_DIR", &target)
            .args(["test", "--locked", "--quiet", "--test", "it"]);
        command.args(args).stdout(Stdio::piped()).stderr(Stdio::null()).stdin(Stdio::null());
        command
    };
    if !cargo(&["--no-run"]).status()?.success() {
        return Ok(Outcome::Broken);
    }
    let mut args = vec!["--", "--exact"];
    args.extend(tests);
    let output = cargo(&args).env("PROPTEST_CASES", "2000").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if output.status.success() {
        // A name that is misspelt runs nothing, and nothing fails.
        ensure!(text.contains(&format!("{} passed", tests.len())), "not every one of {tests:?} is a test");
        return Ok(Outcome::Passed);
    }
    if text.contains("test result: FAILED") || text.contains("panicked") {
        Ok(Outcome::Failed)
    } else {
        bail!("{text}")
    }
}

fn write_down(rows: &[String], caught: usize) -> Result<()> {
    let text = fs::read_to_string(DOCUMENT).context(DOCUMENT)?;
    let (before, rest) = text.split_once(BEGIN).context("docs/promises.md lacks the marker of the table")?;
    let (_, after) = rest.split_once(END).context("docs/promises.md lacks the end of the table")?;
    let day = Command::new("date").arg("+%Y-%m-%d").output()?.stdout;
    let day = String::from_utf8(day)?;
    let table = format!(
        "The last full run, on {}: {caught} of {} mutations were caught.\n\n| promise | guard | where | test | |\n| --- | --- | --- | --- | --- |\n{}\n",
        day.trim(),
        rows.len(),
        rows.join("\n")
    );
    fs::write(DOCUMENT, format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))?;
    Ok(())
}
