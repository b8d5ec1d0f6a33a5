//! Whose volume it is: written down once it is shown, and compared by every sweep from then on.

use super::enforce::{look_back, remark_answers};
use super::{Context, Observed};
use crate::act::{Act, StepError};
use crate::fsio::Dir;
use crate::journal::{Event, Remark};
use crate::plan::{identity_now, is_complete};
use crate::policy::Policy;
use crate::records::{Identity, Records};

/// Whether what was seen shows that this volume, this database and this resource belong together: every source answered,
/// a live session has its workspace here, and nothing but the approval of a plan is missing.
pub(super) fn may_bind(observed: &Observed) -> bool {
    observed.plan.live > 0 && observed.plan.is_approvable()
}

/// Writes the identity of a volume that has none.
pub(super) fn bind(
    act: &mut Act<'_>,
    policy: &Policy,
    context: &Context,
    records: &mut Records,
    observed: &Observed,
    state: Option<&Dir>,
) {
    let like = Identity { approved: records.confirmed(), ..Identity::unbound((context.new_id)(), context.clock.now()) };
    let Some(identity) = identity_now(policy, &observed.snapshot, &like) else { return };
    let why = format!("bound to {} and {}", identity.owner, identity.database);
    let mut memory = records.memory.clone();
    look_back(&mut memory, policy, observed);
    // The identity comes last: what is not bound is bound again by the next sweep.
    let written = memory
        .write(&act.hygiene.dir)
        .and_then(|()| Records { held: None, ..records.clone() }.write_held(&act.hygiene.dir, None))
        .and_then(|()| Records::write_identity(&act.hygiene.dir, &identity))
        .and_then(|()| records.write_held(&act.hygiene.dir, state));
    match written {
        Ok(()) => {
            act.remark(Event::Bound(Remark { plan: None, why }));
            remark_answers(act, &records.answers);
            records.identity = Some(identity);
            records.memory = memory;
            records.bound = true;
            records.answers.clear();
        }
        Err(why) => act.acted.errors.push(StepError { name: ".hygiene".into(), step: "bind", message: why }),
    }
}

/// A volume that was bound before its spec named an EFS file system is bound to that one as well, once everything that is
/// known agrees: from here on another one holds.
pub(super) fn take_over_file_system(act: &mut Act<'_>, policy: &Policy, records: &mut Records, observed: &Observed) {
    let (seen, now) = (&observed.snapshot, observed.plan.now);
    let Some(before) = records.identity.as_ref().filter(|identity| records.bound && identity.efs.is_none()) else {
        return;
    };
    let Some(identity) = identity_now(policy, seen, before).filter(|_| is_complete(policy, seen, now)) else { return };
    let Some(efs) = identity.efs.clone() else { return };
    let identity = Identity { efs: Some(efs.clone()), ..before.clone() };
    match Records::write_identity(&act.hygiene.dir, &identity) {
        Ok(()) => {
            act.remark(Event::Bound(Remark { plan: None, why: format!("bound to the EFS file system {efs} as well") }));
            records.identity = Some(identity);
        }
        Err(why) => act.acted.errors.push(StepError { name: ".hygiene".into(), step: "bind", message: why }),
    }
}
