//! The operator on a real Kubernetes API server.

mod audit;
mod cluster;
mod controller;
mod defaults;
mod definition;
mod kstatus;
mod proxy;
mod rules;
mod schema;
mod status;
mod tests;

pub use audit::Asked;
pub use cluster::Cluster;
