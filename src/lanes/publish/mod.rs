//! The fan-out lane: the tree of a commit, scanned, sent to many targets, each proven before its sentinel names the commit.

pub mod apply;
pub mod builtin;
pub mod check;
pub mod export;
pub mod plan;
pub mod run;
pub mod scan;
pub mod source;
pub mod target;
pub mod undo;
