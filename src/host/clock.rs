//! The clock: what time it is, how long it took, and waiting.
//!
//! Invariant: this is the only file that asks the system for the time; everything else is handed it, so that
//! it can be tested with any time at all.

use std::time::{Duration, Instant};

use chrono::{DateTime, Local, Utc};

/// The wall clock. Never used to measure: it may be set back at any moment.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock"
)]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// The wall clock in nanoseconds since 1970, to compare with the times of files.
pub fn now_ns() -> i128 {
    let t = now();
    i128::from(t.timestamp()) * 1_000_000_000 + i128::from(t.timestamp_subsec_nanos())
}

/// A moment in the time zone of this machine, for the eyes of the person who sits at it.
pub fn local(at: DateTime<Utc>) -> DateTime<Local> {
    at.with_timezone(&Local)
}

/// The clock that only goes forward, for measuring and for deadlines.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the monotonic clock"
)]
pub fn monotonic() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the one place that waits")]
pub fn sleep(how_long: Duration) {
    std::thread::sleep(how_long);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_does_not_go_back() {
        let before = monotonic();
        sleep(Duration::ZERO);
        assert!(monotonic() >= before);
        assert!(now().timestamp() > 1_600_000_000);
    }
}
