//! Report mode writes nothing, anywhere on the volume.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use workspace_hygiene::act::Pin;
use workspace_hygiene::sweep::SweepError;

use super::{on, world_with};
use crate::world::id;

/// Inode, mode, mtime, ctime and content of everything on the volume, the root and `.hygiene` included: no write escapes
/// a ctime.
fn traces(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(path) = pending.pop() {
        let meta = path.symlink_metadata().unwrap();
        let mut trace = format!(
            "{} {:o} {}.{} {}.{}",
            meta.ino(),
            meta.mode(),
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec()
        );
        if meta.is_dir() {
            pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if meta.is_file() {
            trace += &format!(" {:?}", fs::read(&path).unwrap());
        }
        all.insert(path, trace);
    }
    all
}

#[test]
fn a_sweep_in_report_mode_leaves_no_trace() {
    let mut world = world_with(3);
    world.part("mode", "Report");
    let before = traces(&world.root());
    on(&world, &["plan"]).exits(0);
    on(&world, &["sweep"]).exits(0);
    on(&world, &["sweep", "-o", "json"]).exits(0);
    assert_eq!(traces(&world.root()), before);
    assert!(!world.root().join(".hygiene").exists());
}

#[test]
fn it_leaves_no_trace_on_a_volume_that_was_swept_before() {
    let mut world = world_with(3);
    on(&world, &["sweep"]).exits(0);
    world.set_live(&id(1), true);
    world.workspace(&id(4), 30 * crate::world::DAY);
    world.part("mode", "Report");
    let before = traces(&world.root());
    on(&world, &["sweep"]).exits(0);
    on(&world, &["explain", &id(2)]).exits(0);
    on(&world, &["journal"]).exits(0);
    let ran = on(&world, &["quarantine", "restore", "--all"]).exits(1);
    assert!(ran.stderr.contains("mode is Report"), "{}", ran.stderr);
    on(&world, &["quarantine", "purge", "--all", "--yes"]).exits(1);
    // Nor does what stands behind the command line, by itself.
    assert!(matches!(world.restore(&[&id(2)], Pin::No), Err(SweepError::ReportMode)));
    assert!(matches!(world.purge(&[&id(2)]), Err(SweepError::ReportMode)));
    assert_eq!(traces(&world.root()), before);
}

#[test]
fn the_report_of_such_a_sweep_is_the_plan_and_says_that_nothing_changed() {
    let mut world = world_with(2);
    world.part("mode", "Report");
    let plan = on(&world, &["plan", "-o", "json"]).exits(0).json();
    let report = on(&world, &["sweep", "-o", "json"]).exits(0).json();
    assert_eq!(report["kind"], "SweepReport");
    for field in ["resource", "mode", "planHash", "sources", "counts", "held", "verdicts", "quarantine", "orphans"] {
        assert_eq!(report[field], plan[field], "{field}");
    }
    for list in ["quarantined", "restored", "purged", "condemned", "errors"] {
        assert_eq!(report[list], serde_json::json!([]), "{list}");
    }
    let text = on(&world, &["sweep"]).exits(0).stdout;
    assert!(text.starts_with("mode: Report changed nothing on the volume."), "{text}");
    assert!(text.contains("in mode: Enforce a sweep would now quarantine 2 workspaces"), "{text}");
}
