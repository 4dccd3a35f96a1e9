//! What the worker says of itself: one small file that `status`, `health` and `stop` read.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerDoc {
    pub schema: u32,
    pub pid: u32,
    pub host: String,
    pub started: String,
    pub applies: bool,
    pub interval_seconds: u64,
    pub cycles: u64,
    pub skipped: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub failures_in_row: u64,
    pub last_run: Option<String>,
    pub last_outcome: Option<String>,
    pub last_success: Option<String>,
    pub next_run: Option<String>,
    /// When it ended, and why; `None` while it lives or when it died.
    pub ended: Option<String>,
}

impl WorkerDoc {
    /// The file's name in the state directory, and that of the lock that a live worker holds.
    pub const FILE: &'static str = "worker.json";
    pub const LOCK: &'static str = "worker.lock";
}
