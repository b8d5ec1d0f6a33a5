//! Everything a sweep is handed: clock, session store, orders, progress. Each of their calls is a point at which the world
//! may change, or the sweep may die.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use workspace_hygiene::clock::Clock;
use workspace_hygiene::names::SessionId;
use workspace_hygiene::observe::sessions::SessionStore;
use workspace_hygiene::observe::{LiveSessions, Reading};
use workspace_hygiene::orders::Orders;
use workspace_hygiene::progress::Progress;
use workspace_hygiene::stop::Stop;

use super::actions::{ASKED, Db, HOUR, Mischief, Trick};
use super::volume::{Keep, Place, Tree, at, inode};
use crate::world::id;

/// An answer older than this counts for nothing (DESIGN, promise 1).
pub const OLDEST_ANSWER: u64 = 30;
const SLOW: u64 = 40;
/// Rows that a lagging database lacks.
const LAG: i64 = 30 * HOUR;

#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub live: bool,
    pub since: i64,
}

/// What the store answered about one id.
#[derive(Clone, Debug)]
pub struct Asked {
    pub slot: u32,
    pub live: Option<bool>,
    pub took: u64,
    /// Inode of what was under the name then.
    pub named: Option<u64>,
    /// Inodes of the trees of that name that were in quarantine then.
    pub quarantined: Vec<u64>,
}

/// What the store answered when it was asked for all ids.
#[derive(Clone, Debug)]
pub struct Listing {
    pub db: Db,
    pub live: BTreeSet<u32>,
}

/// What mischief was done in this call, and where every tree was then.
#[derive(Clone, Debug)]
pub struct Fired {
    pub what: Mischief,
    pub places: Vec<Place>,
}

#[derive(Debug, Default)]
pub struct State {
    pub volume: PathBuf,
    pub now: i64,
    /// How far the host's clock is ahead of the file server's.
    pub skew: i64,
    pub uptime: u64,
    pub rows: BTreeMap<u32, Row>,
    pub yesterday: BTreeMap<u32, Row>,
    pub db: Option<Db>,
    pub trees: Vec<Tree>,
    pub ids: u64,
    pub trick: Option<Trick>,
    pub points: u32,
    pub fired: Option<Fired>,
    pub orders_changed: bool,
    pub stop: Stop,
    pub listing: Option<Listing>,
    pub asked: Vec<Asked>,
}

/// What the hook has to do once nothing is locked any more.
#[derive(PartialEq)]
enum Then {
    GoOn,
    Die,
}

#[derive(Clone, Copy, PartialEq)]
enum Point {
    /// What is asked here is followed by another look at the tree.
    Watched,
    /// The last moment before a rename, which no look can follow.
    Last,
}

impl State {
    pub fn db(&self) -> Db {
        self.db.unwrap_or(Db::Fine)
    }

    /// Which database answers, as far as it can be told.
    pub fn identity(db: Db) -> &'static str {
        if matches!(db, Db::Another | Db::Twin) { "another" } else { "ours" }
    }

    fn live(&self) -> Option<BTreeSet<u32>> {
        let live = |rows: &BTreeMap<u32, Row>| rows.iter().filter(|(_, row)| row.live).map(|(slot, _)| *slot).collect();
        match self.db() {
            Db::Broken => None,
            Db::Emptied => Some(BTreeSet::new()),
            Db::Another => Some((500..510).chain([0]).collect()),
            Db::Copy => Some(live(&self.yesterday)),
            Db::Lagging => {
                let old = self.rows.iter().filter(|(_, row)| row.live && row.since + LAG <= self.now);
                Some(old.map(|(slot, _)| *slot).collect())
            }
            Db::Fine | Db::HalfBroken | Db::Twin | Db::Stale | Db::NoCanary => Some(live(&self.rows)),
        }
    }

    /// The tree of a slot that a user can write to: the one under the name, else the last one in quarantine.
    pub fn reach(&self, slot: u32) -> Option<usize> {
        let is_at = |place: Place| {
            let mine = |tree: &&Tree| tree.slot == slot && tree.find(&self.volume).is_some_and(|f| f.place == place);
            self.trees.iter().rposition(|tree| mine(&tree))
        };
        is_at(Place::Named).or_else(|| is_at(Place::Quarantine))
    }

    /// Does something to a tree, wherever it is, and notes that it was under its name.
    pub fn with_tree(&mut self, slot: u32, act: impl FnOnce(&mut Tree, &std::path::Path, i64)) {
        let Some(index) = self.reach(slot) else { return };
        let (now, volume) = (self.now, self.volume.clone());
        let tree = &mut self.trees[index];
        let Some(found) = tree.find(&volume) else { return };
        tree.touched |= found.place == Place::Named;
        tree.changed = found.changed;
        act(tree, &found.path, now);
    }

    pub fn make(&mut self, slot: u32, size: u32, idle: i64) {
        if inode(&self.volume.join(id(slot))).is_none() {
            let tree = Tree::make(&self.volume, slot, size, self.now - idle);
            self.trees.push(tree);
        }
    }

    pub fn set_row(&mut self, slot: u32, live: bool) {
        let since = self.now;
        self.rows.insert(slot, Row { live, since });
    }

    fn mischief(&mut self, what: Mischief) -> Then {
        let place = |tree: &Tree| tree.find(&self.volume).map_or(Place::Gone, |found| found.place);
        let places = self.trees.iter().map(place).collect();
        self.fired = Some(Fired { what, places });
        match what {
            Mischief::Kill => return Then::Die,
            Mischief::Stop => self.stop.request(),
            Mischief::OrdersChange => self.orders_changed = true,
            Mischief::Break => self.db = Some(Db::Broken),
            Mischief::Slow => self.uptime += SLOW,
            Mischief::Undelete(slot) => self.set_row(slot, true),
            Mischief::Write { slot, deep } => self.with_tree(slot, |tree, path, now| tree.write(path, now, deep)),
            Mischief::Keep(slot) => {
                self.with_tree(slot, |tree, path, now| tree.set_keep(path, now, Keep::Forever, true));
            }
            Mischief::Recreate(slot) => self.make(slot, 0, 0),
        }
        Then::GoOn
    }
}

/// Shared by everything that is handed to a sweep.
#[derive(Clone, Debug, Default)]
pub struct World(Arc<Mutex<State>>);

impl World {
    pub fn new(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// One call of a sweep to the outside. Those from threads that walk trees come in no certain order and do not count.
    fn point(&self, point: Point, asked: Option<u32>) {
        if std::thread::current().name() != Some("volume") {
            return;
        }
        let mut state = self.state();
        let Some(trick) = state.trick else { return };
        if trick.answer && asked.is_none() {
            return;
        }
        let number = state.points;
        state.points += 1;
        if state.fired.is_some() || number < trick.at {
            return;
        }
        // What is done to a tree must still be seen by a look at it, a request to stop by a look at that; what makes an answer
        // slow must be one.
        let fits = match trick.what {
            Mischief::Write { .. } | Mischief::Keep(_) | Mischief::Stop => point == Point::Watched,
            Mischief::Slow => asked.is_some(),
            _ => true,
        };
        if !fits {
            return;
        }
        let this = |slot: u32| asked.filter(|_| slot == ASKED).unwrap_or(slot);
        let then = state.mischief(match trick.what {
            Mischief::Undelete(slot) => Mischief::Undelete(this(slot)),
            Mischief::Write { slot, deep } => Mischief::Write { slot: this(slot), deep },
            Mischief::Keep(slot) => Mischief::Keep(this(slot)),
            Mischief::Recreate(slot) => Mischief::Recreate(this(slot)),
            other => other,
        });
        drop(state);
        if then == Then::Die {
            // As a panic, but without its message.
            std::panic::resume_unwind(Box::new("killed"));
        }
    }

    pub fn new_id(&self) -> String {
        self.point(Point::Watched, None);
        let mut state = self.state();
        state.ids += 1;
        format!("{:08}", state.ids)
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        self.point(Point::Watched, None);
        let state = self.state();
        at(state.now + state.skew)
    }

    fn uptime(&self) -> Duration {
        self.point(Point::Last, None);
        Duration::from_secs(self.state().uptime)
    }

    fn file_server(&self, _: Timestamp) -> Timestamp {
        at(self.state().now)
    }
}

impl Orders for World {
    fn standing(&self) -> Result<(), String> {
        self.point(Point::Last, None);
        if self.state().orders_changed { Err("the spec changed".into()) } else { Ok(()) }
    }
}

impl Progress for World {
    fn begin(&self, _: &'static str, _: Option<u64>) {
        self.point(Point::Last, None);
    }

    fn advance(&self, _: u64) {
        self.point(Point::Last, None);
    }

    fn end(&self) {
        self.point(Point::Last, None);
    }
}

#[async_trait]
impl SessionStore for World {
    async fn live(&self) -> Reading<LiveSessions> {
        self.point(Point::Watched, None);
        let mut state = self.state();
        let Some(live) = state.live() else { return Reading::Unavailable("connection refused".into()) };
        let db = state.db();
        let now = state.now + state.skew;
        state.listing = Some(Listing { db, live: live.clone() });
        Reading::Complete(LiveSessions {
            ids: live.into_iter().map(|slot| SessionId::new(id(slot))).collect(),
            canary: (db == Db::NoCanary).then_some(false),
            freshest: (db == Db::Stale).then(|| at(state.now - 26 * HOUR)),
            at: at(now),
            database: State::identity(db).into(),
            position: None,
            known: None,
        })
    }

    async fn is_live(&self, asked: &SessionId) -> Reading<bool> {
        let (before, stopped) = {
            let state = self.state();
            (state.uptime, state.stop.requested())
        };
        if stopped {
            // Which of two things that are ready is taken is left to chance; this way it is always the request.
            std::future::pending::<()>().await;
        }
        let slot = asked.as_str().rsplit('-').next().and_then(|n| n.parse().ok()).unwrap_or(u32::MAX);
        self.point(Point::Watched, Some(slot));
        let mut state = self.state();
        let live = if state.db() == Db::HalfBroken { None } else { state.live().map(|live| live.contains(&slot)) };
        let named = inode(&state.volume.join(id(slot)));
        let took = state.uptime - before;
        let in_quarantine = |tree: &&Tree| {
            tree.slot == slot && tree.find(&state.volume).is_some_and(|found| found.place == Place::Quarantine)
        };
        let quarantined = state.trees.iter().filter(in_quarantine).map(|tree| tree.inode).collect();
        state.asked.push(Asked { slot, live, took, named, quarantined });
        live.map_or_else(|| Reading::Unavailable("connection reset".into()), Reading::Complete)
    }
}
