//! ubos-sync: sync truth, not state. Unison and rsync made safe to run unattended.
//!
//! The layers, top to bottom; imports point down only (a test holds this):
//! `cli` → `worker` → `lanes` → `audit` → `tool` → `host` → `model`.

pub mod model;
