//! The calls of the library, each judged when it is over.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use workspace_hygiene::act::LockWait;
use workspace_hygiene::fsio::Dir;
use workspace_hygiene::names::PlanHash;
use workspace_hygiene::plan::{KeepReason, Verdict};
use workspace_hygiene::records::{AnswerKind, StateDir};
use workspace_hygiene::stop::Stop;
use workspace_hygiene::sweep::{self, Context, Observed, Settling, Sources, SweepError, Swept};

use super::actions::{Db, Mischief, Trick, Which};
use super::rules::{Approval, Call, Kind, Model, judge};
use super::run::Sequence;
use super::volume::manifest;
use super::world::State;

impl Sequence<'_> {
    fn context(&self) -> Context {
        let world = self.world.clone();
        Context {
            clock: Arc::new(self.world.clone()),
            stop: self.world.state().stop.clone(),
            progress: Arc::new(self.world.clone()),
            new_id: Arc::new(move || world.new_id()),
            actor: "model".into(),
            command: "model".into(),
            lock: LockWait::default(),
            orders: Arc::new(self.world.clone()),
            settling: Settling::Wait,
            state: StateDir::new(Some(self.bench.dir.path().join("state"))),
        }
    }

    fn sources(&self) -> Sources {
        Sources { sessions: Arc::new(self.world.clone()), containers: Vec::new(), efs: None }
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

    /// What the stored plan says under this key.
    fn held_as(&self, key: &str) -> Option<String> {
        let text = fs::read_to_string(self.world.state().volume.join(".hygiene/held/plan.json")).ok()?;
        let value = serde_json::from_str::<serde_json::Value>(&text).ok()?[key].clone();
        (!value.is_null()).then(|| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    /// Calls the library, and judges what came of it.
    pub fn call<T, F>(&mut self, kind: Kind, trick: Option<Trick>, work: F) -> Result<Result<T, SweepError>, String>
    where
        F: AsyncFnOnce(Arc<workspace_hygiene::policy::Policy>, Sources, Context) -> Result<T, SweepError>,
    {
        let held = self.held().map(|_| self.held_as("reason").unwrap_or_default());
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
        let killed = state.fired.as_ref().is_some_and(|f| f.what == Mischief::Kill);
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

    pub fn sweep(&mut self, trick: Option<Trick>) -> Result<Option<Swept>, String> {
        let swept = self.call(Kind::Sweep, trick, sweep::sweep)?;
        let state = self.world.state();
        // A volume that is not bound yet remembers nothing: a plan then goes by the host's clock.
        if self.spec.enforce && swept.is_ok() && !state.stop.requested() && self.model.bound.is_some() {
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
    pub fn plan(&mut self) -> Result<Observed, String> {
        let volume = self.world.state().volume.clone();
        let before = manifest(&volume);
        let observed = self.call(Kind::Still, None, sweep::plan)?.map_err(|e| format!("no plan: {e}"))?;
        if manifest(&volume) != before {
            return Err("a plan wrote to the volume".into());
        }
        Ok(observed)
    }

    /// A plan and the sweep that follows it agree, where the sweep has nothing to settle first and no new clock.
    pub fn both(&mut self) -> Result<(), String> {
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

    pub fn answer(&mut self, approve: bool, which: Which) -> Result<(), String> {
        let hash = match which {
            Which::Held => match self.held() {
                Some(hash) => hash,
                None => return Ok(()),
            },
            Which::Current => self.plan()?.plan.hash.to_string(),
            Which::Wrong => "0123456789abcdef0123456789abcdef".into(),
        };
        let held = self.held();
        let dropped = self.held_as("live").and_then(|live| live.parse::<u64>().ok());
        let kind = if approve { AnswerKind::Approve } else { AnswerKind::Dismiss };
        let wanted = PlanHash::new(hash);
        let answered = self.call(Kind::Still, None, async move |policy, sources, context| {
            sweep::answer(policy, sources, context, kind, wanted).await
        })?;
        match (answered, which) {
            (Ok(_), Which::Wrong) => Err("an unknown hash was answered".into()),
            (Ok(answered), _) if approve => {
                self.model.confirmed = true;
                // What it is an answer to is remembered beside it, until the volume itself is bound.
                self.model.aside |= self.model.bound.is_none();
                let keys = answered.answer.orphans.iter().map(|key| (key.inode, key.changed.as_nanosecond()));
                let roots: BTreeSet<_> = keys.collect();
                self.model.approvals.push(Approval {
                    hash: answered.answer.hash.to_string(),
                    reason: answered.answer.reason.clone(),
                    in_line: roots.clone(),
                    roots,
                });
                // The person saw how many sessions are live, where that is what the plan was held for.
                if let Some(live) = dropped.filter(|_| Some(answered.answer.hash.to_string()) == held) {
                    let now = self.world.state().now;
                    self.model.live_since = now;
                    self.model.live.push((now + 1, live));
                }
                Ok(())
            }
            (Ok(answered), _) => {
                let hash = answered.answer.hash.to_string();
                self.model.approvals.retain(|approval| approval.hash != hash);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub fn adopt(&mut self, really: bool) -> Result<(), String> {
        let adopted = self.call(Kind::Still, None, async move |policy, sources, context| {
            sweep::adopt(policy, sources, context, really).await
        })?;
        if adopted.is_ok_and(|adoption| adoption.done) && self.spec.enforce {
            let state = self.world.state();
            self.skew = state.skew;
            let db = state.listing.as_ref().map_or(Db::Fine, |listing| listing.db);
            let Model { spent, disturbed, .. } = std::mem::take(&mut self.model);
            self.model = Model {
                bound: Some((State::identity(db), self.spec.evidence.pattern)),
                watched: (state.now, state.now),
                spent,
                disturbed,
                ..Model::default()
            };
        }
        Ok(())
    }
}
