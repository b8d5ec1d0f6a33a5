//! The orphans that wait for their turn: how many, how large, until when.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::cost;
use super::status::orphans;
use crate::api::{BacklogStatus, human_size};
use crate::clock::after;
use crate::observe::WalkOutcome;
use crate::policy::{Mode, Policy};
use crate::sweep::Swept;

/// The backlog that a sweep leaves.
pub(super) fn of(policy: &Policy, swept: &Swept) -> BacklogStatus {
    let plan = &swept.observed.plan;
    let directories = plan.orphans.saturating_sub(swept.acted.quarantined.len() as u64);
    let by_budget = u64::from(policy.limits.budget.directories.max(1));
    let drains = directories > 0 && policy.mode == Mode::Enforce && plan.held.is_none();
    let periods = u32::try_from(directories / by_budget).unwrap_or(u32::MAX);
    let sweeps = directories.div_ceil(u64::from(policy.limits.per_sweep.max(1)));
    let mut drained = after(plan.now, policy.limits.budget.period.saturating_mul(periods));
    // As many sweeps as it takes, by the schedule.
    let (mut at, mut left) = (plan.now, sweeps.min(1_000));
    while drains && left > 0 {
        let Some(next) = policy.schedule.next(at, at) else { break };
        (at, left) = (next, left - 1);
    }
    drained = drained.max(at);
    let bytes = bytes_left(policy, swept);
    BacklogStatus {
        directories,
        size: bytes.map(human_size),
        monthly_cost: bytes.and_then(|bytes| cost::monthly(policy, bytes)),
        estimated_drain_time: drains.then_some(Time(drained)),
    }
}

/// Bytes of the orphans that are left. One that was not inspected counts as large as those are on average that this sweep
/// inspected, the ones that it moved among them.
fn bytes_left(policy: &Policy, swept: &Swept) -> Option<u64> {
    let inspected = swept.observed.snapshot.inspections.values().filter_map(|inspection| match inspection.outcome {
        WalkOutcome::Idle { bytes, .. } => Some(u128::from(bytes)),
        _ => None,
    });
    let (count, bytes) = inspected.fold((0_u128, 0_u128), |(count, all), bytes| (count + 1, all + bytes));
    let average = bytes.checked_div(count)?;
    let left = orphans(policy, swept).map(|orphan| orphan.bytes.map_or(average, u128::from));
    u64::try_from(left.sum::<u128>()).ok()
}
