//! Values and pure functions: no I/O, no clock, no printing.

pub mod alarm_clock;
pub mod conflict;
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
pub mod log_state;
pub mod log_undo;
pub mod manifest;
pub mod metrics;
pub mod notice;
pub mod overview;
pub mod path;
pub mod plan;
pub mod policy;
pub mod progress;
pub mod publish_doc;
pub mod publish_plan;
pub mod reconcile;
pub mod record;
pub mod retention;
pub mod retry;
pub mod rules;
pub mod scope;
pub mod snapshot;
pub mod streak;
pub mod text;
pub mod time;
pub mod tree;
pub mod truth_doc;
pub mod turn;
pub mod under_way;
pub mod undo;
pub mod verdict;
pub mod walk;
pub mod words;
pub mod worker_doc;

#[cfg(test)]
pub mod schema_tests;
