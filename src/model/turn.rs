//! Sync now or not: one pure decision for every cycle of the worker, with its reason in words.
//!
//! Invariant: nothing here waives a guard; a decision to sync is only the decision to look.

use std::time::Duration;

use super::policy::Schedule;
use super::text::count;

/// Why a cycle is considered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    Startup,
    Scheduled,
    /// Files changed on a host that tells of it.
    Changes,
    /// The cycle before failed for a reason that may be gone.
    Retry,
    /// The machine slept, or its clock was set.
    Wake,
    Manual,
    Exit,
}

impl Reason {
    pub fn word(self) -> &'static str {
        match self {
            Reason::Startup => "startup",
            Reason::Scheduled => "scheduled",
            Reason::Changes => "changes",
            Reason::Retry => "retry",
            Reason::Wake => "wake",
            Reason::Manual => "manual",
            Reason::Exit => "exit",
        }
    }
}

/// What is known when the question is asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known {
    /// Since the last applied run of any kind began.
    pub since_last: Option<Duration>,
    /// Files of which it is known that they changed since then.
    pub changed: u64,
    pub force: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The reason that the record will hold.
    Sync(&'static str),
    /// Why not, and after how long the answer may be another.
    Skip(String, Duration),
}

/// Decides.
pub fn decide(schedule: &Schedule, reason: Reason, known: &Known) -> Decision {
    let never = Duration::from_secs(u64::MAX / 4);
    match reason {
        _ if known.force => return Decision::Sync(reason.word()),
        Reason::Manual | Reason::Wake | Reason::Retry => return Decision::Sync(reason.word()),
        Reason::Startup if !schedule.on_start => {
            return Decision::Skip("the policy wants no cycle at the start".into(), never);
        }
        Reason::Exit if !schedule.on_exit => {
            return Decision::Skip("the policy wants no cycle at the end".into(), never);
        }
        Reason::Startup | Reason::Exit => return Decision::Sync(reason.word()),
        Reason::Scheduled | Reason::Changes => {}
    }
    if known.changed >= schedule.threshold.max(1) {
        return Decision::Sync("threshold");
    }
    // A turn that jitter brought forward is still a turn of its own.
    let least = match reason {
        Reason::Scheduled => schedule
            .min_interval
            .min(schedule.interval.saturating_sub(schedule.jitter)),
        _ => schedule.min_interval,
    };
    match known.since_last {
        Some(since) if since < least => Decision::Skip(
            format!(
                "the last sync began {} s ago, min_interval is {} s, and {} changed of {} that would not wait",
                since.as_secs(),
                least.as_secs(),
                count(usize::try_from(known.changed).unwrap_or(usize::MAX), "file"),
                schedule.threshold
            ),
            least.saturating_sub(since),
        ),
        _ => Decision::Sync(reason.word()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> Schedule {
        Schedule {
            interval: Duration::from_secs(300),
            jitter: Duration::from_secs(30),
            min_interval: Duration::from_secs(300),
            threshold: 50,
            max_failures: 5,
            on_start: true,
            on_exit: false,
            debounce: Duration::from_millis(300),
        }
    }

    fn known(since: u64, changed: u64) -> Known {
        Known {
            since_last: Some(Duration::from_secs(since)),
            changed,
            force: false,
        }
    }

    fn syncs(reason: Reason, known: &Known) -> bool {
        matches!(decide(&schedule(), reason, known), Decision::Sync(_))
    }

    #[test]
    fn changes_wait_for_the_interval_unless_there_are_many() {
        assert!(!syncs(Reason::Changes, &known(10, 49)));
        assert!(syncs(Reason::Changes, &known(10, 50)));
        assert!(syncs(Reason::Changes, &known(300, 1)));
        assert!(syncs(Reason::Changes, &Known::default()));
        let Decision::Skip(why, wait) = decide(&schedule(), Reason::Changes, &known(10, 3)) else {
            panic!("not skipped");
        };
        assert!(why.contains("10 s ago") && why.contains("3 files"), "{why}");
        assert_eq!(wait, Duration::from_secs(290));
    }

    #[test]
    fn a_turn_that_jitter_brought_forward_is_not_skipped_and_one_after_a_manual_run_is() {
        assert!(syncs(Reason::Scheduled, &known(271, 0)));
        assert!(!syncs(Reason::Scheduled, &known(60, 0)));
    }

    #[test]
    fn people_and_the_force_switch_do_not_wait_and_the_policy_says_about_start_and_end() {
        assert!(syncs(Reason::Manual, &known(0, 0)));
        // While a machine slept, anything may have happened on the others.
        assert!(syncs(Reason::Wake, &known(1, 0)) && syncs(Reason::Retry, &known(1, 0)));
        let force = Known {
            force: true,
            ..known(0, 0)
        };
        assert!(syncs(Reason::Changes, &force));
        assert!(syncs(Reason::Startup, &known(0, 0)));
        assert!(!syncs(Reason::Exit, &known(900, 0)));
    }
}
