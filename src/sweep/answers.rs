//! What people say: to a plan that is held, or seen in mode Report, and to a volume that is bound to something else.

use std::sync::Arc;

use jiff::SignedDuration;
use tokio::runtime::Handle;

use super::held::{Held, open_root};
use super::observing::{Volumes, observe_and_plan, read_only};
use super::{Context, Fresh, Observed, Sources, SweepError, new_sweep, on_own_thread};
use crate::fsio::Dir;
use crate::journal::{self, Event, Ledger, Remark};
use crate::names::{EntryId, PlanHash};
use crate::observe::Reading;
use crate::observe::volume::Hygiene;
use crate::plan::{HoldKind, HoldReason, identity_now, orphan_keys};
use crate::policy::{Mode, Policy};
use crate::records::{Answer, AnswerKind, Difference, HeldPlan, Identity, Memory, Records, RecordsError};

/// What came of an answer.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The answer, which the next sweep takes over.
    pub answer: Answer,
    /// Whether it was left on the volume; else in the state directory.
    pub on_volume: bool,
}

/// Our folder on the volume and the one of the state directory, for reading.
struct Places {
    hygiene: Option<Hygiene>,
    state: Option<Dir>,
}

impl Places {
    fn open(policy: &Policy, context: &Context) -> Result<Self, SweepError> {
        let root = open_root(policy).map_err(|source| SweepError::Root { path: policy.root.clone(), source })?;
        let hygiene = Hygiene::open(&root, &policy.root)?;
        Ok(Self { hygiene, state: context.state.open(policy).map_err(SweepError::Records)? })
    }

    fn records(&self) -> Result<Records, SweepError> {
        let volume = self.hygiene.as_ref().map(|hygiene| &hygiene.dir);
        Records::read(volume, self.state.as_ref()).map_err(SweepError::from)
    }
}

/// The plan that is held, if one is. Writes nothing.
///
/// # Errors
/// When the volume or our records cannot be read.
pub async fn held_plan(policy: Arc<Policy>, context: Context) -> Result<Option<HeldPlan>, SweepError> {
    on_own_thread(move |_| Ok(Places::open(&policy, &context)?.records()?.held)).await
}

/// Approves or dismisses the plan with this hash. Needs no lock: the answer is left where the next sweep finds it. A plan
/// that is not held can be approved in advance, as long as it is still the one that follows from what is there.
///
/// # Errors
/// When there is no such plan, a source that it needs is unavailable, the orders to approve it do not stand any more, or the
/// answer cannot be left.
pub async fn answer(
    policy: Arc<Policy>,
    sources: Sources,
    context: Context,
    kind: AnswerKind,
    hash: PlanHash,
) -> Result<Answered, SweepError> {
    on_own_thread(move |handle| {
        let places = Places::open(&policy, &context)?;
        let records = places.records()?;
        let approved = records.approved.iter().find(|approval| approval.hash == hash);
        let held = records.held.clone();
        let mut identity = records.identity.clone();
        let (reason, orphans) = match (&held, kind) {
            (Some(held), _) if held.hash == hash => (Some(held.reason.clone()), held.orphans.clone()),
            // An approval can be taken back, as far as it is not carried out.
            (_, AnswerKind::Dismiss) if let Some(approved) = approved => (None, approved.orphans.clone()),
            (None, AnswerKind::Dismiss) => return Err(SweepError::NothingHeld),
            _ => {
                let observed = read_only(&policy, &sources, &context, handle);
                if observed.plan.hash != hash || kind == AnswerKind::Dismiss || !observed.plan.is_approvable() {
                    let held = held.map(|held| held.hash);
                    return Err(SweepError::NoSuchPlan { wanted: hash, held, now: observed.plan.hash });
                }
                let like =
                    identity.take().unwrap_or_else(|| Identity::unbound((context.new_id)(), context.clock.now()));
                identity = identity_now(&policy, &observed.snapshot, &Identity { approved: false, ..like });
                let reason = observed.plan.held.as_ref().map(|hold| hold.reason.word().to_owned());
                (reason, orphan_keys(&observed.snapshot, &observed.plan))
            }
        };
        let identity = identity.ok_or_else(|| SweepError::Records("the volume is bound to nothing yet".into()))?;
        let (by, at, binding) = (context.actor.clone(), context.clock.now(), identity.binding());
        let answer = Answer { kind, hash, by, at, binding, reason, orphans };
        // What is there was looked at since, which may take long. A dismissal lets nothing go and needs nobody's orders.
        if kind == AnswerKind::Approve {
            context.orders.standing().map_err(SweepError::Orders)?;
        }
        let left = match &places.hygiene {
            Some(hygiene) if policy.mode == Mode::Enforce && records.bound => answer.leave(&hygiene.dir).map(|()| true),
            // Beside what it is an answer to: where nothing is remembered yet, that is written down first.
            _ => context.state.ensure(&policy).and_then(|dir| {
                if records.identity.is_none() {
                    Records::write_identity(&dir, &identity)?;
                }
                answer.leave(&dir).map(|()| false)
            }),
        };
        let on_volume = left.map_err(SweepError::Records)?;
        Ok(Answered { answer, on_volume })
    })
    .await
}

/// What binding a volume anew changes.
#[derive(Clone, Debug)]
pub struct Adoption {
    /// What the volume is bound to now; `None` where it is to nothing.
    pub before: Option<Identity>,
    /// What it will be bound to.
    pub after: Identity,
    /// In what the two differ.
    pub differences: Vec<Difference>,
    /// What is wrong with the journal, which a new one then takes the place of.
    pub damage: Option<String>,
    /// Whether it was done; else it was only looked at.
    pub done: bool,
}

/// Shows what binding the volume anew would change, and does it where `really`: in mode Enforce on the volume, in mode
/// Report in the state directory. The next plan then waits for approval.
///
/// # Errors
/// When a source is unavailable, no live session has its workspace on the volume, or the lock is taken.
pub async fn adopt(
    policy: Arc<Policy>,
    sources: Sources,
    context: Context,
    really: bool,
) -> Result<Adoption, SweepError> {
    on_own_thread(move |handle| {
        if !really || policy.mode == Mode::Report {
            let observed = read_only(&policy, &sources, &context, handle);
            let mut adoption = adoption(&policy, &context, &observed)?;
            if really {
                let dir = context.state.ensure(&policy).map_err(SweepError::Records)?;
                // How far the file server's clock is ahead is no matter of identity: the plan that follows is made by it.
                let ahead = match Memory::read(&dir) {
                    Err(RecordsError::Damaged(_)) => SignedDuration::ZERO,
                    memory => memory?.server_ahead(),
                };
                forget(&dir, None, adoption.before.as_ref(), &adoption.after, ahead).map_err(SweepError::Records)?;
                adoption.done = true;
            }
            return Ok(adoption);
        }
        adopt_on_volume(&policy, &sources, &context, handle)
    })
    .await
}

fn adopt_on_volume(
    policy: &Policy,
    sources: &Sources,
    context: &Context,
    handle: &Handle,
) -> Result<Adoption, SweepError> {
    let Some(held) = Held::take(policy, context)? else { return Err(SweepError::NothingThere(policy.root.clone())) };
    let (context, ahead) = held.by_server_clock(context);
    let context = &context;
    let state = context.state.open(policy).map_err(SweepError::Records)?;
    let records = match Records::read(Some(&held.hygiene.dir), state.as_ref()) {
        // What is remembered may be what is broken; then nothing of it is kept.
        Err(RecordsError::Damaged(_)) => Records::default(),
        read => read?,
    };
    let journal = journal::read(&held.hygiene.journal, |_| ());
    let damaged = journal.as_ref().err().filter(|error| error.is_damage()).map(ToString::to_string);
    let seen = Volumes { root: Ok(&held.root), hygiene: Ok(Some(&held.hygiene)), journal, records: Ok(&records) };
    let observed = observe_and_plan(policy, sources, context, handle, &seen);
    let mut adoption = adoption(policy, context, &observed)?;
    if let Some(damage) = &damaged {
        let aside = journal::set_apart(&held.hygiene.journal, &new_sweep(context))?;
        tracing::warn!(damage, aside, "the damaged journal was set apart");
    }
    let ledger = if damaged.is_some() { Ledger::default() } else { seen.journal? };
    forget(&held.hygiene.dir, state.as_ref(), records.identity.as_ref(), &adoption.after, ahead)
        .map_err(SweepError::Records)?;
    let answers = Fresh { sources, handle, stop: &context.stop };
    let new_id = || EntryId::new((context.new_id)());
    let mut act = held.act(policy, context, &answers, &new_id, ledger, new_sweep(context));
    let before =
        adoption.before.as_ref().map_or_else(|| "nothing".to_owned(), |b| format!("{} and {}", b.owner, b.database));
    let damage = damaged.map_or_else(String::new, |damage| format!("; a new journal begins, since {damage}"));
    let why = format!(
        "adopted by {} for {} and {}, was bound to {before}{damage}",
        context.actor, adoption.after.owner, adoption.after.database
    );
    act.remark(Event::Bound(Remark { plan: None, why }));
    if let Some(error) = act.acted.errors.first() {
        return Err(SweepError::Records(error.message.clone()));
    }
    adoption.done = true;
    Ok(adoption)
}

/// What would be bound, from what was seen.
fn adoption(policy: &Policy, context: &Context, observed: &Observed) -> Result<Adoption, SweepError> {
    let seen = &observed.snapshot;
    if let Some(hold) = observed.plan.held.as_ref().filter(|hold| hold.reason.kind() == HoldKind::Gate)
        && !matches!(hold.reason, HoldReason::SpecChanged | HoldReason::Suspended | HoldReason::OutsideWindow)
    {
        return Err(SweepError::Records(format!("{}: {}", hold.reason.word(), hold.message)));
    }
    if observed.plan.live == 0 {
        let why = "no live session has its workspace below the root, so nothing shows that this is the right volume";
        return Err(SweepError::Records(why.into()));
    }
    let history = match &seen.history {
        Reading::Complete(history) => history,
        Reading::Unavailable(why) => return Err(SweepError::Records(why.clone())),
    };
    let before = history.identity.clone();
    let like = Identity::unbound((context.new_id)(), context.clock.now());
    let after = identity_now(policy, seen, &like)
        .ok_or_else(|| SweepError::Records("the volume or the sessions cannot be read".into()))?;
    let differences = before.as_ref().map(|before| before.differences(&after)).unwrap_or_default();
    Ok(Adoption { before, after, differences, damage: history.damage.clone(), done: false })
}

/// Binds anew: nothing that was approved, held or remembered under the old identity counts any more. Wherever it stops, what
/// is left lets nothing go that no person approved since.
fn forget(
    dir: &Dir,
    state: Option<&Dir>,
    before: Option<&Identity>,
    identity: &Identity,
    ahead: SignedDuration,
) -> Result<(), String> {
    if let Some(before) = before {
        Records::write_identity(dir, &Identity { approved: false, ..before.clone() })?;
    }
    for place in [Some(dir), state].into_iter().flatten() {
        Records::forget_answers(place)?;
    }
    let mut fresh = Records::default();
    fresh.memory.observed(identity.bound, None);
    fresh.memory.saw_server_ahead(ahead);
    fresh.write_held(dir, None)?;
    fresh.memory.write(dir)?;
    Records::write_identity(dir, identity)
}
