//! The lanes: each observes, plans, guards, applies, verifies and records in the same shape.

pub mod doctor;
pub mod flow;
pub mod installed;
pub mod kept;
pub mod librarian;
pub mod lock;
pub mod log;
pub mod memory;
pub mod outside;
pub mod overtaken;
pub mod peers;
pub mod publish;
pub mod reach;
pub mod service;
pub mod telling;
pub mod truth;
pub mod undo;
pub mod versions;
