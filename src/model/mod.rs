//! Values and pure functions: no I/O, no clock, no printing.

pub mod entry;
pub mod exit;
pub mod finding;
pub mod path;
pub mod plan;
pub mod policy;
pub mod record;
pub mod rules;
pub mod text;
pub mod time;
