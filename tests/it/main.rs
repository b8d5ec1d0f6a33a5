//! Tests through the front door: the built binary and the public library, on real directories and a real database.

#![allow(clippy::disallowed_methods)] // a test is an entry point: it may ask for the time

mod admin;
mod aws;
mod chart;
mod cli;
mod containers_http;
mod deploy;
mod documents;
mod fuse;
mod fuse_promises;
mod guards;
mod image;
mod incidents;
mod kubernetes;
mod model;
mod mutants;
mod planner;
mod purge;
mod release;
mod servers;
mod service;
mod sessions;
mod sessions_sqlite;
mod shards;
mod spec;
mod sweep;
mod world;
