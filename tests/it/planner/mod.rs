//! The planner against its promises: properties over generated worlds, an oracle written in another style, and golden
//! plans of named situations.

mod agree;
mod approvals;
mod checker;
mod doubt;
mod extremes;
mod golden;
mod hash;
mod holding;
mod oracle;
mod past;
mod protocol;
mod sources;
mod specs;
mod spellings;
mod tampered;
mod tape;
mod world;
mod worlds;
mod worlds_past;
