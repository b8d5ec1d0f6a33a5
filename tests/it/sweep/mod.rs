//! The sweep as a whole, on real directories and a real session store.

mod crash;
mod cycle;
mod equality;
mod hazards;
mod mishaps;
pub mod races;
