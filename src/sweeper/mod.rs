//! One sweep, or one shard of a purge, in the pod of a Job: by the orders that the API server confirms, and with a report that
//! the controller reads when it ended.

mod answers;
mod orders;
mod report;

pub use answers::answer;
pub use orders::{ApiOrders, Ordered};
pub use report::{Heard, JobReport, ShardReport, SweepReport};
