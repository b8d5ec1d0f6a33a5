//! Runs a sequence against the library.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::runtime::Runtime;
use workspace_hygiene::act::Pin;
use workspace_hygiene::fsio::Dir;
use workspace_hygiene::names::PlanHash;
use workspace_hygiene::observe::volume::Hygiene;
use workspace_hygiene::plan::{KeepReason, Verdict};
use workspace_hygiene::records::{AnswerKind, Identity, Memory, Records, StateDir, Watch};
use workspace_hygiene::stop::Stop;
use workspace_hygiene::sweep::{self, Context, Observed, Sources, SweepError, Swept};

use super::actions::{Action, DAY, Db, HOUR, KeepFile, SLOTS, Setup, Trick, Which};
use super::rules::{Call, Kind, Model, judge};
use super::spec::{Policies, Spec};
use super::volume::{Keep, Place, at, manifest};
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

struct Sequence<'a> {
    bench: &'a Bench,
    world: World,
    spec: Spec,
    model: Model,
    figures: Figures,
    /// The difference of the clocks that the volume remembers.
    skew: i64,
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
        let spec = Spec::default();
        let mut model = Model::default();
        if !setup.fresh {
            let policy = bench.policies.policy(&spec);
            let root = Dir::open_root(&volume).unwrap();
            let hygiene = Hygiene::ensure(&root, &volume).unwrap();
            let since = at(0) - SignedDuration::from_hours(24 * 365);
            let mut memory = Memory::default();
            memory.watch = Some(Watch { since, until: at(0) });
            memory.spec = Some(policy.digests.evidence.clone());
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

    fn context(&self) -> Context {
        let world = self.world.clone();
        Context {
            clock: Arc::new(self.world.clone()),
            stop: self.world.state().stop.clone(),
            progress: Arc::new(self.world.clone()),
            new_id: Arc::new(move || world.new_id()),
            actor: "model".into(),
            command: "model".into(),
            lock_timeout: Duration::ZERO,
            orders: Arc::new(self.world.clone()),
            state: StateDir::new(Some(self.bench.dir.path().join("state"))),
        }
    }

    fn sources(&self) -> Sources {
        Sources { sessions: Arc::new(self.world.clone()), containers: Vec::new() }
    }

    /// Whether a plan waits for a person who has not said anything to it yet, as far as the volume tells.
    fn held(&self) -> Option<String> {
        let held = self.world.state().volume.join(".hygiene/held");
        let text = fs::read_to_string(held.join("plan.json")).ok()?;
        let hash = text.split("\"hash\": \"").nth(1)?.split('"').next()?.to_owned();
        let mut places = vec![held];
        let states = fs::read_dir(self.bench.dir.path().join("state")).into_iter().flatten();
        places.extend(states.map(|folder| folder.unwrap().path().join("held")));
        let answers = places.into_iter().filter_map(|place| fs::read_dir(place).ok()).flatten();
        let answered = answers.map(|file| file.unwrap().file_name()).any(|name| name.to_string_lossy().contains(&hash));
        (!answered).then_some(hash)
    }

    /// Calls the library, and judges what came of it.
    fn call<T, F>(&mut self, kind: Kind, trick: Option<Trick>, work: F) -> Result<Result<T, SweepError>, String>
    where
        F: AsyncFnOnce(Arc<workspace_hygiene::policy::Policy>, Sources, Context) -> Result<T, SweepError>,
    {
        let held = self.held().is_some();
        let before = {
            let mut state = self.world.state();
            state.stop = Stop::default();
            (state.trick, state.points, state.fired, state.orders_changed) = (trick, 0, None, false);
            (state.listing, state.asked) = (None, Vec::new());
            state.trees.iter_mut().for_each(|tree| tree.touched = false);
            state.trees.clone()
        };
        let volume = self.world.state().volume.clone();
        let reads_only = !self.spec.enforce;
        let untouched = reads_only.then(|| manifest(&volume));
        let policy = self.bench.policies.policy(&self.spec);
        let (sources, context) = (self.sources(), self.context());
        let result = self.bench.runtime.block_on(work(policy, sources, context));
        self.figures.calls += 1;
        let world = self.world.clone();
        let mut state = world.state();
        state.trick = None;
        let killed = state.fired.as_ref().is_some_and(|f| f.what == super::actions::Mischief::Kill);
        let died = matches!(result, Err(SweepError::Died | SweepError::Refused(_)));
        if died && !killed {
            return Err(format!("it died: {:?}", result.err()));
        }
        if untouched.is_some_and(|before| state.fired.is_none() && before != manifest(&volume)) {
            return Err("the volume was written to in mode Report".into());
        }
        let ended = result.is_ok();
        let call = Call { kind, spec: self.spec, before, held, ended, killed };
        let moves = judge(&mut state, &mut self.model, &call)?;
        self.figures.killed += u64::from(killed);
        self.figures.quarantined += moves.quarantined.len() as u64;
        self.figures.restored += moves.restored.len() as u64;
        self.figures.condemned += moves.condemned.len() as u64;
        Ok(result)
    }

    fn sweep(&mut self, trick: Option<Trick>) -> Result<Option<Swept>, String> {
        let swept = self.call(Kind::Sweep, trick, sweep::sweep)?;
        let state = self.world.state();
        if self.spec.enforce && swept.is_ok() && !state.stop.requested() {
            self.skew = state.skew;
        }
        if let Err(error) = &swept
            && state.fired.is_none()
        {
            return Err(format!("the sweep failed: {error}"));
        }
        Ok(swept.ok())
    }

    /// A plan writes nothing.
    fn plan(&mut self) -> Result<Observed, String> {
        let volume = self.world.state().volume.clone();
        let before = manifest(&volume);
        let observed = self.call(Kind::Still, None, sweep::plan)?.map_err(|e| format!("no plan: {e}"))?;
        if manifest(&volume) != before {
            return Err("a plan wrote to the volume".into());
        }
        Ok(observed)
    }

    /// A plan and the sweep that follows it agree, where the sweep has nothing to settle first and no new clock.
    fn both(&mut self) -> Result<(), String> {
        let observed = self.plan()?;
        let settled = {
            let state = self.world.state();
            let open = Dir::open_root(&state.volume.join(".hygiene/journal"))
                .ok()
                .and_then(|dir| workspace_hygiene::journal::read(&dir, |_| ()).ok())
                .is_some_and(|ledger| !ledger.open.is_empty());
            state.skew == self.skew && !open
        };
        let Some(swept) = self.sweep(None)? else { return Ok(()) };
        let told = |seen: &Observed| {
            let plan = &seen.plan;
            let victims: Vec<_> = plan.victims.iter().map(|victim| victim.name.to_string()).collect();
            // Our own folder may be there only since the sweep.
            let reserved = Verdict::Keep(KeepReason::Reserved);
            let verdicts: Vec<_> = plan.verdicts.iter().filter(|verdict| **verdict != reserved).collect();
            format!("{} {:?} {verdicts:?} {:?} {victims:?}", plan.hash, plan.held, plan.quarantine)
        };
        let (planned, done) = (told(&observed), told(&swept.observed));
        if settled && planned != done {
            return Err(format!("the plan was\n{planned}\nand the sweep's\n{done}"));
        }
        Ok(())
    }

    fn answer(&mut self, approve: bool, which: Which) -> Result<(), String> {
        let hash = match which {
            Which::Held => match self.held() {
                Some(hash) => hash,
                None => return Ok(()),
            },
            Which::Current => self.plan()?.plan.hash.to_string(),
            Which::Wrong => "0123456789abcdef0123456789abcdef".into(),
        };
        let kind = if approve { AnswerKind::Approve } else { AnswerKind::Dismiss };
        let wanted = PlanHash::new(hash);
        let answered = self.call(Kind::Still, None, async move |policy, sources, context| {
            sweep::answer(policy, sources, context, kind, wanted).await
        })?;
        match (answered, which) {
            (Ok(_), Which::Wrong) => Err("an unknown hash was answered".into()),
            (Ok(answered), _) if approve => {
                self.model.confirmed = true;
                let keys = answered.answer.orphans.iter();
                self.model.approved.extend(keys.map(|key| (key.inode, key.changed.as_nanosecond())));
                // The person saw how many sessions are live.
                self.model.live.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn adopt(&mut self, really: bool) -> Result<(), String> {
        let adopted = self.call(Kind::Still, None, async move |policy, sources, context| {
            sweep::adopt(policy, sources, context, really).await
        })?;
        if adopted.is_ok_and(|adoption| adoption.done) && self.spec.enforce {
            let state = self.world.state();
            let db = state.listing.as_ref().map_or(Db::Fine, |listing| listing.db);
            let Model { spent, .. } = std::mem::take(&mut self.model);
            self.model = Model {
                bound: Some((State::identity(db), self.spec.evidence.pattern)),
                watched: (state.now, state.now),
                spent,
                ..Model::default()
            };
        }
        Ok(())
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
            Action::Watch { hours, every } => {
                let mut left = hours;
                while left > 0 {
                    let step = left.min(every);
                    self.world.state().now += step * HOUR;
                    self.sweep(None)?;
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
            Action::DeleteRow(slot) => {
                if state.rows.contains_key(&slot) {
                    state.set_row(slot, false);
                }
            }
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
