//! For how long the lanes have run without a failure. Pure: one step per run.
//!
//! Invariant: only a run that failed, was refused or broke off ends it; a peer that sleeps, a lock that another run holds and a
//! turn that was not due do not.

use serde::{Deserialize, Serialize};

use super::record::{Mode, Outcome, Record};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Streak {
    pub schema: u32,
    /// When its first run began (RFC 3339); `None`: the last one failed.
    pub since: Option<String>,
    pub runs: u64,
    /// The last run that failed.
    pub failed: Option<String>,
}

impl Streak {
    /// The file's name in the state directory.
    pub const FILE: &'static str = "streak.json";

    /// What it is after one more run.
    pub fn after(mut self, record: &Record) -> Self {
        let counts = ["truth", "logs", "full"].contains(&record.command.as_str());
        if record.mode != Mode::Apply || !counts {
            return self;
        }
        self.schema = super::record::SCHEMA;
        match record.outcome {
            Outcome::Applied | Outcome::InSync | Outcome::Partial => {
                self.since.get_or_insert_with(|| record.started.clone());
                self.runs += 1;
            }
            Outcome::Failed | Outcome::Refused | Outcome::Interrupted => {
                (self.since, self.runs) = (None, 0);
                self.failed = Some(record.run.clone());
            }
            _ => {}
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Duration, Utc};

    fn run(at: DateTime<Utc>, outcome: Outcome) -> Record {
        let started = crate::model::time::rfc3339(at);
        let mut record = Record::open(&format!("R{started}"), "full", Mode::Apply, &started);
        record.outcome = outcome;
        record
    }

    #[test]
    fn seven_days_of_a_timer_with_sleep_outages_and_a_reboot_are_one_streak() {
        let begin: DateTime<Utc> = "2026-11-01T00:00:00Z".parse().unwrap();
        let mut streak = Streak::default().after(&run(begin - Duration::hours(1), Outcome::Failed));
        assert_eq!(streak.since, None);
        let mut at = begin;
        let mut ran = 0;
        while at < begin + Duration::days(7) {
            let hour = (at - begin).num_hours();
            // Asleep at night: the timer coalesces what it missed into one run at seven.
            if hour % 24 < 7 && hour % 24 > 0 {
                at += Duration::hours(1);
                continue;
            }
            let outcome = match hour {
                // The peer is away for an afternoon; another run holds the lock for an hour; a reboot skips a few.
                38..44 => Outcome::Offline,
                60 => Outcome::Locked,
                80 => Outcome::Skipped,
                _ if hour % 3 == 0 => Outcome::Applied,
                _ => Outcome::InSync,
            };
            ran += u64::from(matches!(outcome, Outcome::Applied | Outcome::InSync));
            // It survives the reboot because it is written down.
            let text = serde_json::to_string(&streak).unwrap();
            streak = serde_json::from_str(&text).unwrap();
            streak = streak.after(&run(at, outcome));
            at += Duration::minutes(5);
        }
        assert_eq!(streak.since.as_deref(), Some("2026-11-01T00:00:00Z"));
        assert_eq!(streak.runs, ran);
        // A dry run, a rollback and a publish are no turns of it.
        let mut other = run(at, Outcome::Failed);
        other.command = "publish".into();
        assert_eq!(streak.clone().after(&other), streak);
        let ended = streak.after(&run(at, Outcome::Refused));
        assert_eq!((ended.since, ended.runs), (None, 0));
        assert!(ended.failed.is_some());
    }
}
