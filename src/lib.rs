//! ubos-sync: sync truth, not state. Unison and rsync made safe to run unattended.
//!
//! The layers, top to bottom; imports point down only (a test holds this):
//! `cli` → `worker` → `lanes` → `audit` → `host` → `tool` → `model`.

pub mod audit;
pub mod cli;
pub mod host;
pub mod lanes;
pub mod model;
pub mod tool;
pub mod worker;
