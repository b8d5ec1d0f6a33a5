//! Runs a sequence against the library.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::SignedDuration;
use tokio::runtime::Runtime;
use workspace_hygiene::act::Pin;
use workspace_hygiene::fsio::Dir;
use workspace_hygiene::observe::volume::Hygiene;
use workspace_hygiene::records::{Identity, Memory, Records, Watch};
use workspace_hygiene::sweep;

use super::actions::{Action, DAY, Db, HOUR, KeepFile, SLOTS, Setup};
use super::rules::{Kind, Model};
use super::spec::{Policies, Spec};
use super::volume::{Keep, Place, at};
use super::world::{Row, State, World};
use crate::world::id;

/// What one thread runs its sequences on.
pub struct Bench {
    pub dir: tempfile::TempDir,
    pub policies: Policies,
    pub runtime: Arc<Runtime>,
}

/// How often what happened, to show that the rules had something to judge.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub calls: u64,
    pub quarantined: u64,
    pub restored: u64,
    pub condemned: u64,
    pub killed: u64,
}

impl std::ops::AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.quarantined += other.quarantined;
        self.restored += other.restored;
        self.condemned += other.condemned;
        self.killed += other.killed;
    }
}

/// A sequence on its way.
pub struct Sequence<'a> {
    pub bench: &'a Bench,
    pub world: World,
    pub spec: Spec,
    pub model: Model,
    pub figures: Figures,
    /// The difference of the clocks that the volume remembers.
    pub skew: i64,
}

pub fn run(bench: &Bench, setup: Setup, actions: &[Action]) -> Result<Figures, String> {
    let mut sequence = Sequence::begin(bench, setup);
    for (number, action) in actions.iter().enumerate() {
        // No two things happen at one time.
        sequence.world.state().now += 1;
        sequence.act(*action).map_err(|why| format!("action {number}, {action:?}: {why}"))?;
    }
    sequence.end().map_err(|why| format!("at the end: {why}"))?;
    Ok(sequence.figures)
}

impl<'a> Sequence<'a> {
    fn begin(bench: &'a Bench, setup: Setup) -> Self {
        let volume = bench.dir.path().join("volume");
        for dir in ["volume", "state"] {
            let _ = fs::remove_dir_all(bench.dir.path().join(dir));
        }
        fs::create_dir(&volume).unwrap();
        let old = Row { live: true, since: -365 * DAY };
        let rows: BTreeMap<u32, Row> = (100..100 + setup.others).chain([0]).map(|slot| (slot, old)).collect();
        let mut state = State { volume: volume.clone(), yesterday: rows.clone(), rows, ..State::default() };
        state.make(0, 1, 0);
        let spec = Spec { retention: setup.retention, ..Spec::default() };
        let mut model = Model::default();
        if !setup.fresh {
            let policy = bench.policies.policy(&spec);
            let root = Dir::open_root(&volume).unwrap();
            let hygiene = Hygiene::ensure(&root, &volume).unwrap();
            let since = at(0) - SignedDuration::from_hours(24 * 365);
            let watch = Some(Watch { since, until: at(0) });
            let memory = Memory { watch, spec: Some(policy.digests.evidence.clone()), ..Memory::default() };
            memory.write(&hygiene.dir).unwrap();
            let identity = Identity {
                owner: policy.owner(),
                root: root.own_facts().unwrap().inode,
                database: State::identity(Db::Fine).into(),
                query: policy.digests.query.clone(),
                approved: true,
                ..Identity::unbound("model".into(), at(0))
            };
            Records::write_identity(&hygiene.dir, &identity).unwrap();
            model.bound = Some((State::identity(Db::Fine), 0));
            model.confirmed = true;
            model.watched = (-365 * DAY, 0);
            model.planned = Some(vec![spec.evidence]);
        }
        let world = World::new(state);
        Self { bench, world, spec, model, figures: Figures::default(), skew: 0 }
    }

    fn act(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::Sweep(trick) => self.sweep(trick).map(|_| ()),
            Action::Both => self.both(),
            Action::Plan => self.plan().map(|_| ()),
            Action::Answer { approve, which } => self.answer(approve, which),
            Action::Adopt(really) => self.adopt(really),
            Action::Restore { slot, pin } => {
                let (names, how) = (vec![id(slot)], if pin { Pin::Yes } else { Pin::No });
                let work = async move |policy, sources, context| {
                    sweep::restore_now(policy, sources, context, names, how).await
                };
                self.call(Kind::Restore { slot, pin }, None, work).map(|_| ())
            }
            Action::Purge { slot, trick } => {
                let names = vec![id(slot)];
                let work =
                    async move |policy, sources, context| sweep::purge_now(policy, sources, context, names).await;
                self.call(Kind::Purge(slot), trick, work).map(|_| ())
            }
            Action::Watch { hours, every, trick } => {
                let mut left = hours;
                while left > 0 {
                    let step = left.min(every);
                    self.world.state().now += step * HOUR;
                    self.sweep(trick)?;
                    left -= step;
                }
                Ok(())
            }
            Action::Spec(change) => {
                self.spec.change(change);
                Ok(())
            }
            other => {
                self.by_users(other);
                Ok(())
            }
        }
    }

    /// What users and administrators do.
    fn by_users(&self, action: Action) {
        let mut state = self.world.state();
        let now = state.now;
        match action {
            Action::Create { slot, row, dir, size, idle } => {
                if dir {
                    state.make(slot, size, idle);
                }
                if row {
                    state.set_row(slot, true);
                }
            }
            Action::DeleteRow(slot) if state.rows.contains_key(&slot) => state.set_row(slot, false),
            Action::EraseRow(slot) => {
                state.rows.remove(&slot);
            }
            Action::RemoveDir(slot) => {
                let path: PathBuf = state.volume.join(id(slot));
                let gone = state.trees.iter_mut().filter(|tree| tree.slot == slot && tree.place == Place::Named);
                gone.for_each(|tree| tree.place = Place::Removed);
                let _ = fs::remove_dir_all(path);
            }
            Action::Undelete(slot) => state.set_row(slot, true),
            Action::Write { slot, deep } => state.with_tree(slot, |tree, path, now| tree.write(path, now, deep)),
            Action::Keep { slot, what, quiet } => {
                let keep = match what {
                    KeepFile::Empty => Keep::Forever,
                    KeepFile::Hours(hours) => Keep::Until(now + hours * HOUR),
                    KeepFile::Remove => Keep::None,
                };
                state.with_tree(slot, |tree, path, now| tree.set_keep(path, now, keep, quiet));
            }
            Action::EmptyDir(slot) => state.make(slot, 0, 0),
            Action::Db(db) => state.db = Some(db),
            Action::Pass(seconds) => {
                state.yesterday = state.rows.clone();
                state.now += seconds;
            }
            Action::Skew(skew) => state.skew = skew,
            _ => {}
        }
    }

    /// Everything is mended and every session lives: whatever was not condemned is back under its name.
    fn end(&mut self) -> Result<(), String> {
        {
            let mut state = self.world.state();
            (state.now, state.db) = (state.now + 1, Some(Db::Fine));
            (0..SLOTS).for_each(|slot| state.set_row(slot, true));
        }
        (self.spec.enforce, self.spec.suspend) = (true, false);
        self.sweep(None)?;
        let state = self.world.state();
        let named: Vec<u32> =
            state.trees.iter().filter(|tree| tree.place == Place::Named).map(|tree| tree.slot).collect();
        let lost = state.trees.iter().find(|tree| tree.place == Place::Quarantine && !named.contains(&tree.slot));
        lost.map_or(Ok(()), |tree| Err(format!("the tree of slot {} is not back", tree.slot)))
    }
}
