//! When a cycle that failed is tried again before its turn: only where the reason may be gone by then.
//!
//! Invariants: what a guard refused is never tried again early, nor what only a person can mend; each try waits longer than the one
//! before, and after the last one the failure counts.

use std::time::Duration;

use super::record::{Lane, Outcome, Record};

/// Tries that follow a failure before it counts.
const TRIES: u32 = 3;
const FIRST: Duration = Duration::from_secs(2);
/// How much longer each pause is than the one before.
const FACTOR: u32 = 4;

/// Whether every failure of this run may be gone the next time.
pub fn is_transient(record: &Record) -> bool {
    let failed = |l: &&Lane| l.outcome() == Outcome::Failed;
    record.outcome == Outcome::Failed
        && record.lanes.iter().filter(failed).all(Lane::is_transient)
        && record.lanes.iter().any(|l| failed(&l))
}

/// How long to wait before the next try when `tries` have been made already; `None`: there is none. `dice`, any number, spreads the
/// tries of many hosts by a quarter to either side; a turn that comes sooner is not waited past.
pub fn pause(tries: u32, interval: Duration, dice: u64) -> Option<Duration> {
    if tries >= TRIES {
        return None;
    }
    let base = FIRST * FACTOR.pow(tries);
    let spread = u64::try_from(base.as_millis()).unwrap_or(u64::MAX) / 2;
    let pause = base * 3 / 4 + Duration::from_millis(dice % (spread + 1));
    (pause < interval).then_some(pause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::{Mode, TruthLane};

    fn failed(transient: &[bool]) -> Record {
        let mut record = Record::open("r", "full", Mode::Apply, "t");
        record.outcome = Outcome::Failed;
        for t in transient {
            let mut lane = TruthLane::new("p");
            lane.outcome = Outcome::Failed;
            lane.transient = *t;
            record.lanes.push(Lane::Truth(lane));
        }
        record
    }

    #[test]
    fn only_what_may_be_gone_the_next_time_is_tried_again() {
        assert!(is_transient(&failed(&[true, true])));
        assert!(!is_transient(&failed(&[true, false])));
        assert!(!is_transient(&failed(&[])));
        let mut refused = failed(&[true]);
        refused.outcome = Outcome::Refused;
        assert!(!is_transient(&refused));
    }

    #[test]
    fn pauses_grow_are_spread_and_come_to_an_end() {
        let hour = Duration::from_secs(3600);
        let mut before = Duration::ZERO;
        for tries in 0..TRIES {
            let (least, most) = (
                pause(tries, hour, 0).unwrap(),
                (0..100_000)
                    .map(|d| pause(tries, hour, d).unwrap())
                    .max()
                    .unwrap(),
            );
            assert!(
                least > before && most > least && most < least * 2,
                "{least:?} {most:?}"
            );
            before = most;
        }
        assert_eq!(pause(TRIES, hour, 0), None);
        assert_eq!(pause(0, Duration::from_secs(1), 0), None);
    }
}
