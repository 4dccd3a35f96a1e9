//! What the worker says of itself: one small file that `status`, `health` and `stop` read.

use serde::{Deserialize, Serialize};

use super::record::{Lane, Record};
use super::text::{age, count, size};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
    /// What all its cycles carried, to either side.
    #[serde(default)]
    pub files: u64,
    #[serde(default)]
    pub bytes: u64,
    /// Time that its cycles took, and the longest of them.
    #[serde(default)]
    pub busy_ms: u64,
    #[serde(default)]
    pub longest_ms: u64,
    /// When it ended, and why; `None` while it lives or when it died.
    pub ended: Option<String>,
}

impl WorkerDoc {
    /// The file's name in the state directory, and that of the lock that a live worker holds.
    pub const FILE: &'static str = "worker.json";
    pub const LOCK: &'static str = "worker.lock";

    /// Adds what a cycle carried and the time it took.
    pub fn add(&mut self, record: &Record) {
        for carried in record.lanes.iter().flat_map(Lane::carried) {
            self.files += carried.files;
            self.bytes += carried.bytes;
        }
        let took = (record.seconds.max(0.0) * 1000.0) as u64;
        self.busy_ms += took;
        self.longest_ms = self.longest_ms.max(took);
    }

    /// Its statistics in one line.
    pub fn sum(&self) -> String {
        let n = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let seconds = i64::try_from(self.busy_ms / 1000).unwrap_or(i64::MAX);
        format!(
            "{}, {} good, {} failed, {} skipped; {} and {} carried; at work for {}, the longest cycle took {:.1} s",
            count(n(self.cycles), "cycle"),
            self.succeeded,
            self.failed,
            self.skipped,
            count(n(self.files), "file"),
            size(self.bytes),
            age(seconds),
            self.longest_ms as f64 / 1000.0,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::{LogLane, Mode, Outcome};

    #[test]
    fn what_was_carried_and_how_long_it_took_adds_up() {
        let mut doc = WorkerDoc {
            cycles: 2,
            succeeded: 2,
            ..WorkerDoc::default()
        };
        for seconds in [1.5, 0.25] {
            let mut record = Record::open("R", "full", Mode::Apply, "2026-01-01T00:00:00Z");
            let mut lane = LogLane::new("balaur", "app.log");
            (lane.outcome, lane.bytes) = (Outcome::Applied, 1024);
            record.lanes.push(Lane::Log(lane));
            record.seconds = seconds;
            doc.add(&record);
        }
        assert_eq!(
            doc.sum(),
            "2 cycles, 2 good, 0 failed, 0 skipped; 2 files and 2.0 KiB carried; at work for 1 s, the longest cycle took 1.5 s"
        );
    }
}
