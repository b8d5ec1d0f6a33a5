//! The operator on a real Kubernetes API server.

mod audit;
mod cluster;
mod commands;
pub mod controller;
mod defaults;
mod definition;
mod jobs;
mod kstatus;
mod node;
mod node_tests;
mod proxy;
mod rules;
pub mod schema;
mod status;
mod tests;
pub mod turns;

pub use audit::Asked;
pub use cluster::{Cluster, program, programs};
pub use node::Node;
