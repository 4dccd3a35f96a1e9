//! The two-way lane: observe both replicas, plan, guard, apply through one engine process, verify, commit.
//!
//! `run` is the whole lane with one peer. The way of the data: `hosts` (what is there) → `content` (hashes) → `base` (what both last had, dead runs rolled
//! forward) → `propose` (plan, `begin` an engine that may have been asked `early`, guards) → `apply` (`arm`, the last look by `still`, proceed) → `verify` → `commit`.

pub mod apply;
pub mod arm;
pub mod base;
pub mod begin;
pub mod bulk;
pub mod calm;
pub mod commit;
pub mod content;
pub mod early;
pub mod ends;
pub mod engine;
pub mod facts;
pub mod hosts;
pub mod pause;
pub mod propose;
pub mod room;
pub mod run;
pub mod said;
pub mod still;
pub mod verify;
