//! The audit log: what every run did, opened before its first effect, chained so that nothing can be taken away.

pub mod catalog;
pub mod chain;
pub mod human;
pub mod retention;
pub mod store;
mod thin;
pub mod trace;
pub mod verify;

#[cfg(test)]
pub(crate) mod samples;
