//! How the service is, told over HTTP. It runs on a thread and a runtime of its own and asks nobody: neither database, nor
//! AWS, nor volume. It only shows; nothing here changes anything, and nothing is killed.
#![deny(missing_docs)]

mod board;
mod cgroup;
mod counts;
pub(crate) mod fetch;
mod memory;
mod metrics;
mod page;
mod pulse;
mod server;
mod steps;

pub use board::{Board, OrphanLine, QuarantineLine, ResourceView, Step, SweepLine};
pub use memory::{MemoryMonitor, MemoryWarn, Place};
pub use metrics::Metrics;
pub use pulse::{Pulse, PulseState};
pub use server::{Admin, Options};
pub use steps::Steps;

/// The version that is told.
const VERSION: &str = env!("CARGO_PKG_VERSION");
