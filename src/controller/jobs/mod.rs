//! Sweeper Jobs: what is made for a resource whose volume is a claim, who comes first, what stands in a Job's way, what it said,
//! and what is left of it.

mod calls;
mod follow;
mod history;
pub(crate) mod manifest;
mod queue;
mod run;
mod trouble;

pub use manifest::Operator;
pub(crate) use manifest::VOLUME as MOUNT;
pub(super) use run::InJobs;
pub use run::Jobs;
