//! Sweeper Jobs: what is made for a resource whose volume is a claim, what stands in its way, who comes first, and what is left
//! of it. Nothing here asks a cluster.

#![cfg_attr(
    not(test),
    expect(dead_code, unused_imports, reason = "the loop of the controller that makes Jobs is the next step")
)]

pub(crate) mod history;
pub(crate) mod manifest;
pub(crate) mod queue;
pub(crate) mod trouble;
