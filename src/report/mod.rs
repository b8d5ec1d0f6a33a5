//! The last step: what a sweep saw and did, as documents and tables.

pub mod text;
