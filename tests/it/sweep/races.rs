//! What happens between the plan and the rename, and between the rename and the look after it. The session store is
//! asked at exactly these moments, so a store that does mischief when asked is the race, at the worst time, every time.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use workspace_hygiene::act::Acted;
use workspace_hygiene::names::SessionId;
use workspace_hygiene::observe::sessions::SessionStore;
use workspace_hygiene::observe::{LiveSessions, Reading};
use workspace_hygiene::sweep::Sources;

use crate::world::{DAY, World, backdate, change_time, id, manifest};

type Mischief = Box<dyn Fn(u32) -> Option<Reading<bool>> + Send + Sync>;

/// Asks the real store, but first does something, and may answer in its place. Calls are counted from 1.
struct Mischievous {
    real: Arc<dyn SessionStore>,
    calls: AtomicU32,
    act: Mischief,
}

#[async_trait]
impl SessionStore for Mischievous {
    async fn live(&self) -> Reading<LiveSessions> {
        self.real.live().await
    }

    async fn is_live(&self, id: &SessionId) -> Reading<bool> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        match (self.act)(call) {
            Some(answer) => answer,
            None => self.real.is_live(id).await,
        }
    }
}

pub fn sweep_with(world: &World, act: impl Fn(u32) -> Option<Reading<bool>> + Send + Sync + 'static) -> Acted {
    let real = world.sources().sessions;
    let sessions = Arc::new(Mischievous { real, calls: AtomicU32::new(0), act: Box::new(act) });
    let acted = world.try_sweep(Sources { sessions, containers: Vec::new(), efs: None }).unwrap().acted;
    assert_eq!(acted.purged.len() + acted.condemned.len(), 0, "{acted:?}");
    acted
}

fn world_with_one_orphan() -> (World, PathBuf) {
    let world = World::new();
    let path = world.workspace(&id(1), 30 * DAY);
    (world, path)
}

/// The call before the rename, and the one after it.
const BEFORE: u32 = 1;
const AFTER: u32 = 2;

#[test]
fn a_row_that_comes_back_between_plan_and_rename_keeps() {
    let (world, path) = world_with_one_orphan();
    let before = manifest(&world.root());
    let unmoved = change_time(&path);
    let acted = sweep_with(&world, |call| (call == BEFORE).then_some(Reading::Complete(true)));
    assert_eq!(acted, Acted::default());
    assert_eq!(manifest(&world.root()), before);
    assert_eq!(change_time(&path), unmoved);
    assert_eq!(fs::read_dir(world.root().join(".hygiene/quarantine")).unwrap().count(), 0);
}

#[test]
fn a_row_that_comes_back_between_rename_and_check_puts_it_back() {
    let (world, _) = world_with_one_orphan();
    let before = manifest(&world.root());
    let acted = sweep_with(&world, |call| (call == AFTER).then_some(Reading::Complete(true)));
    assert_eq!(acted, Acted::default());
    assert_eq!(manifest(&world.root()), before);
    assert_eq!(world.quarantined_trees().len(), 0);
}

#[test]
fn a_database_that_stops_answering_moves_nothing_or_puts_it_back() {
    for moment in [BEFORE, AFTER] {
        let (world, _) = world_with_one_orphan();
        let before = manifest(&world.root());
        let gone = || Some(Reading::Unavailable("connection reset".into()));
        let acted = sweep_with(&world, move |call| if call == moment { gone() } else { None });
        assert_eq!(acted.quarantined.len(), 0);
        assert!(acted.errors[0].message.contains("connection reset"), "{acted:?}");
        assert_eq!(manifest(&world.root()), before);
    }
}

#[test]
fn another_directory_under_the_same_name_is_not_moved() {
    let (world, path) = world_with_one_orphan();
    let aside = world.root().join("aside");
    let acted = sweep_with(&world, move |call| {
        if call == BEFORE {
            fs::rename(&path, &aside).unwrap();
            fs::create_dir(&path).unwrap();
            fs::write(path.join("new"), "work").unwrap();
        }
        None
    });
    assert_eq!(acted, Acted::default());
    assert_eq!(fs::read_to_string(world.root().join(id(1)).join("new")).unwrap(), "work");
}

#[test]
fn a_workspace_that_is_written_to_before_the_rename_is_not_moved() {
    let (world, path) = world_with_one_orphan();
    let acted = sweep_with(&world, move |call| {
        if call == BEFORE {
            fs::write(path.join("new"), "work").unwrap();
        }
        None
    });
    assert_eq!(acted, Acted::default());
    assert!(world.root().join(id(1)).join("new").exists());
}

#[test]
fn a_keep_file_that_appears_before_the_rename_keeps() {
    let (world, path) = world_with_one_orphan();
    // One whose day is over: what is written into it anew leaves no trace on the workspace itself.
    let pin = path.join(".hygiene-keep");
    fs::write(&pin, "2020-01-01").unwrap();
    backdate(&path, 30 * DAY);
    let unmoved = change_time(&path);
    let acted = sweep_with(&world, move |call| {
        if call == BEFORE {
            fs::write(&pin, "2999-01-01").unwrap();
        }
        None
    });
    assert_eq!(acted, Acted::default());
    assert_eq!(change_time(&path), unmoved);
}

/// Makes a keep file, and leaves no other trace.
fn keep(workspace: &std::path::Path) {
    let then = fs::metadata(workspace).unwrap().modified().unwrap();
    fs::write(workspace.join(".hygiene-keep"), "").unwrap();
    for path in [workspace.join(".hygiene-keep"), workspace.to_owned()] {
        fs::File::open(path).unwrap().set_modified(then).unwrap();
    }
}

#[test]
fn a_keep_file_that_appears_between_rename_and_check_puts_it_back() {
    let (world, path) = world_with_one_orphan();
    let quarantine = world.root().join(".hygiene/quarantine");
    let acted = sweep_with(&world, move |call| {
        if call == AFTER {
            let entry = fs::read_dir(&quarantine).unwrap().next().unwrap().unwrap();
            keep(&entry.path().join("workspace"));
        }
        None
    });
    assert_eq!(acted, Acted::default());
    assert!(path.join(".hygiene-keep").exists());
}

#[test]
fn orders_that_are_withdrawn_between_rename_and_check_put_it_back() {
    let (mut world, path) = world_with_one_orphan();
    let withdrawn = Arc::new(std::sync::atomic::AtomicBool::new(false));
    world.orders = Arc::new(Until(Arc::clone(&withdrawn)));
    let acted = sweep_with(&world, move |call| {
        withdrawn.store(call == AFTER, Ordering::SeqCst);
        None
    });
    assert_eq!((acted.quarantined.len(), acted.stopped), (0, true), "{acted:?}");
    assert!(path.exists());
}

struct Until(Arc<std::sync::atomic::AtomicBool>);

impl workspace_hygiene::orders::Orders for Until {
    fn standing(&self) -> Result<(), String> {
        if self.0.load(Ordering::SeqCst) { Err("withdrawn".into()) } else { Ok(()) }
    }
}

#[test]
fn a_keep_file_that_appears_at_the_last_moment_is_not_condemned() {
    let (world, _) = world_with_one_orphan();
    assert_eq!(world.sweep().quarantined.len(), 1);
    world.pass(8 * DAY);
    let tree = world.quarantined_trees().remove(0);
    let acted = sweep_with(&world, move |call| {
        if call == 1 {
            keep(&tree);
        }
        None
    });
    assert_eq!(acted, Acted::default());
    assert_eq!(world.quarantined_trees().len(), 1);
}

#[test]
fn a_workspace_that_vanishes_is_nobodys_error() {
    let (world, path) = world_with_one_orphan();
    let acted = sweep_with(&world, move |call| {
        if call == BEFORE {
            fs::remove_dir_all(&path).unwrap();
        }
        None
    });
    assert_eq!(acted, Acted::default());
}

#[test]
fn a_name_taken_while_it_is_to_be_put_back_loses_nothing() {
    let (world, path) = world_with_one_orphan();
    let again = path.clone();
    let acted = sweep_with(&world, move |call| {
        if call == AFTER {
            fs::create_dir(&again).unwrap();
            return Some(Reading::Complete(true));
        }
        None
    });
    assert!(acted.errors[0].message.contains("stays in quarantine"), "{acted:?}");
    assert_eq!(world.quarantined_trees().len(), 1);
    // Its row is live now, its name is taken: the next sweeps keep both, whatever time passes.
    world.set_live(&id(1), true);
    for _ in 0..3 {
        let acted = world.sweep();
        assert_eq!((acted.restored.len(), acted.purged.len()), (0, 0), "{acted:?}");
        world.pass(30 * DAY);
    }
    fs::remove_dir(&path).unwrap();
    assert_eq!(world.sweep().restored, [id(1)]);
    assert!(path.join("src/deep/data").exists());
}

#[test]
fn a_row_that_comes_back_before_it_is_condemned_keeps_it() {
    let (world, _) = world_with_one_orphan();
    assert_eq!(world.sweep().quarantined.len(), 1);
    world.pass(8 * DAY);
    let acted = sweep_with(&world, |call| (call == 1).then_some(Reading::Complete(true)));
    assert_eq!(acted.quarantined.len(), 0);
    assert_eq!(world.quarantined_trees().len(), 1);
}

/// A database that never answers.
struct Mute;

#[async_trait]
impl SessionStore for Mute {
    async fn live(&self) -> Reading<LiveSessions> {
        std::future::pending().await
    }

    async fn is_live(&self, _: &SessionId) -> Reading<bool> {
        std::future::pending().await
    }
}

#[test]
fn a_request_to_stop_does_not_wait_for_the_database() {
    let (world, path) = world_with_one_orphan();
    let stop = world.stop.clone();
    let asking = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        stop.request();
    });
    let swept = world.try_sweep(Sources { sessions: Arc::new(Mute), containers: Vec::new(), efs: None }).unwrap();
    asking.join().unwrap();
    assert!(swept.observed.plan.held.is_some());
    assert!(path.exists());
}
