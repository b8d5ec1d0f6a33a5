//! The last step: what a sweep saw and did, as documents and tables. Nothing here decides or asks anything; what is not in
//! the plan is not in the report.

pub mod answers;
mod backlog;
pub mod by_hand;
mod cost;
pub mod documents;
pub mod explanation;
mod figures;
pub mod journal;
pub mod outcome;
pub mod plan;
pub mod quarantine;
pub mod status;
pub mod sweep;
pub mod table;
pub mod text;
