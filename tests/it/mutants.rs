//! The list of guards that `make mutants` takes out: what it says of the code is still so.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// All that is written below this folder.
fn written(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            written(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// A guard that was moved or written anew would otherwise be found out when all of them are run, which few people do.
#[test]
fn every_guard_stands_where_the_list_says_and_its_test_is_there() {
    let list = fs::read_to_string("tests/mutants.yaml").unwrap();
    let list: Vec<Value> = serde_saphyr::from_str(&list).unwrap();
    let mut tests = String::new();
    written(Path::new("tests/it"), &mut tests);
    let wrong = |mutant: &Value| {
        let text = |field: &str| mutant[field].as_str().unwrap();
        let found = fs::read_to_string(text("file")).map_or(0, |code| code.matches(text("find")).count());
        // The last parts of its name may be those of one of its cases.
        let is_test = text("test").rsplit("::").take(3).any(|part| tests.contains(&format!("fn {part}(")));
        (found != 1 || !is_test).then(|| format!("{}: found {found} times, test: {is_test}", text("guard")))
    };
    let wrong: Vec<_> = list.iter().filter_map(wrong).collect();
    assert!(list.len() > 200 && wrong.is_empty(), "{wrong:#?}");
}
