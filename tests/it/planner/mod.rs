//! The planner against its promises: properties over generated worlds, an oracle written in another style, and golden
//! plans of named situations.

mod agree;
mod oracle;
mod oracle_limits;
mod oracle_quarantine;
mod specs;
mod tape;
mod world;
mod worlds;
mod doubt;
mod hash;
mod protocol;
mod sources;
