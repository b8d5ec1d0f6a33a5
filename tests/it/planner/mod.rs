//! The planner against its promises: properties over generated worlds, an oracle written in another style, and golden
//! plans of named situations.

mod agree;
mod checker;
mod doubt;
mod extremes;
mod golden;
mod hash;
mod oracle;
mod protocol;
mod sources;
mod specs;
mod spellings;
mod tape;
mod world;
mod worlds;
