//! What a run under way says of itself, in a small file that a live view reads.
//!
//! Invariant: it is for people only and may be old: whoever shows it asks whether that process still lives.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderWay {
    pub schema: u32,
    pub pid: u32,
    pub command: String,
    /// When the first of it began (RFC 3339).
    pub since: String,
    pub works: Vec<Work>,
}

/// One piece of long work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Whose it is, when several go on beside one another.
    pub name: Option<String>,
    pub phase: String,
    pub since: String,
    pub done: u64,
    pub total: Option<u64>,
    /// What it is at.
    pub message: String,
}

impl UnderWay {
    /// The file's name in the state directory.
    pub const FILE: &'static str = "under-way.json";
}
