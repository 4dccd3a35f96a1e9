//! Values and pure functions: no I/O, no clock, no printing.

pub mod decide;
pub mod entry;
pub mod exit;
pub mod finding;
pub mod glob;
pub mod guard_facts;
pub mod guards;
pub mod index;
pub mod invocation;
pub mod log_doc;
pub mod manifest;
pub mod path;
pub mod plan;
pub mod policy;
pub mod progress;
pub mod publish_doc;
pub mod publish_plan;
pub mod reconcile;
pub mod record;
pub mod rules;
pub mod scope;
pub mod text;
pub mod time;
pub mod tree;
pub mod truth_doc;
pub mod words;
