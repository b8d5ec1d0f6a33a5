//! Removes orphaned session workspaces from a shared volume.
//!
//! One sweep is five steps, one room each: [`policy`] (the spec, parsed once), [`observe`] (read-only I/O),
//! [`plan`] (pure), [`act`] (I/O, one victim at a time) and [`report`]. [`sweep`] runs them in order; everything that
//! runs a sweep calls it there. Nothing in this crate may delete a directory of a volume by any other way.

pub mod act;
pub mod admin;
pub mod api;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod controller;
pub mod fsio;
pub mod journal;
pub mod names;
pub mod observe;
pub mod orders;
mod packed;
pub mod plan;
pub mod policy;
pub mod progress;
pub mod purge;
pub mod records;
pub mod report;
pub mod secrets;
pub mod service;
pub mod spec;
pub mod stop;
pub mod sweep;
pub mod sweeper;
pub mod term;
