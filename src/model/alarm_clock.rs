//! When the next turn of the worker is due, judged by two clocks: the wall's, which goes on while a machine sleeps and may be set, and
//! the monotonic one, which only goes forward and may stand still during sleep.
//!
//! Invariants: a turn is due as soon as either clock says so; a wall clock that is set back puts no turn off; a machine that slept is
//! told of its waking once, and everything is due then.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// Clocks that move apart by more than this between two looks have been set, or the machine slept.
const APART: Duration = Duration::from_secs(5);

/// Both clocks at one moment; the monotonic one counts from any beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub wall: DateTime<Utc>,
    pub steady: Duration,
}

/// What a look at the clocks came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    NotYet,
    Due,
    /// The machine slept for about so long, or its clock was set forward: connections may be dead, and the turn is due.
    Woke(Duration),
}

#[derive(Debug, Clone)]
pub struct AlarmClock {
    seen: Moment,
    wall_due: DateTime<Utc>,
    steady_due: Duration,
    /// Changes wait until then, by the steady clock.
    not_before: Option<Duration>,
}

impl AlarmClock {
    /// Due at once.
    pub fn new(now: Moment) -> Self {
        Self {
            seen: now,
            wall_due: now.wall,
            steady_due: now.steady,
            not_before: None,
        }
    }

    /// When the next turn is, by the wall clock.
    pub fn turn(&self) -> DateTime<Utc> {
        self.wall_due
    }

    /// The next turn comes so much later.
    pub fn set(&mut self, now: Moment, later: Duration) {
        self.seen = now;
        self.wall_due = after(now.wall, later);
        self.steady_due = now.steady.saturating_add(later);
    }

    /// Changes have to wait so long; so does a turn that is due already.
    pub fn hold_back(&mut self, now: Moment, later: Duration) {
        self.not_before = Some(now.steady.saturating_add(later));
        if self.is_due(now) {
            self.set(now, later);
        }
    }

    /// A cycle takes everything that waits.
    pub fn taken(&mut self) {
        self.not_before = None;
    }

    /// Whether changes may start a cycle.
    pub fn changes_may(&self, now: Moment) -> bool {
        self.not_before.is_none_or(|t| now.steady >= t)
    }

    /// Looks at both clocks.
    pub fn look(&mut self, now: Moment) -> Tick {
        let steady = now.steady.saturating_sub(self.seen.steady);
        let gone = delta(steady);
        let wall = now.wall - self.seen.wall;
        self.seen = now;
        let apart = delta(APART);
        if wall - gone > apart {
            self.wall_due = now.wall;
            self.steady_due = now.steady;
            self.not_before = None;
            return Tick::Woke((wall - gone).to_std().unwrap_or_default());
        }
        if gone - wall > apart {
            // Set back: the turn keeps its distance by the clock that cannot be set.
            self.wall_due = after(now.wall, self.steady_due.saturating_sub(now.steady));
        }
        match self.is_due(now) {
            true => Tick::Due,
            false => Tick::NotYet,
        }
    }

    fn is_due(&self, now: Moment) -> bool {
        now.wall >= self.wall_due || now.steady >= self.steady_due
    }
}

fn delta(d: Duration) -> TimeDelta {
    TimeDelta::from_std(d).unwrap_or(TimeDelta::MAX)
}

/// A year off is as good as never.
fn after(at: DateTime<Utc>, later: Duration) -> DateTime<Utc> {
    at + delta(later).min(TimeDelta::days(366))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine whose clocks the test moves.
    struct Machine(Moment);

    impl Machine {
        fn new() -> Self {
            Self(Moment {
                wall: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
                steady: Duration::from_secs(77),
            })
        }
        fn runs(&mut self, seconds: u64) -> Moment {
            self.0.wall += TimeDelta::seconds(i64::try_from(seconds).unwrap());
            self.0.steady += Duration::from_secs(seconds);
            self.0
        }
        fn wall_moves(&mut self, seconds: i64) -> Moment {
            self.0.wall += TimeDelta::seconds(seconds);
            self.0
        }
    }

    fn with_turn_in(seconds: u64) -> (Machine, AlarmClock) {
        let machine = Machine::new();
        let mut alarm = AlarmClock::new(machine.0);
        alarm.set(machine.0, Duration::from_secs(seconds));
        (machine, alarm)
    }

    #[test]
    fn a_turn_is_due_at_its_time_and_not_before() {
        let (mut machine, mut alarm) = with_turn_in(300);
        assert_eq!(alarm.look(machine.runs(299)), Tick::NotYet);
        assert_eq!(alarm.look(machine.runs(1)), Tick::Due);
        assert_eq!(AlarmClock::new(machine.0).look(machine.0), Tick::Due);
    }

    #[test]
    fn a_machine_that_slept_is_due_at_once_and_is_told_so_once() {
        let (mut machine, mut alarm) = with_turn_in(300);
        alarm.look(machine.runs(10));
        alarm.hold_back(machine.0, Duration::from_secs(200));
        // The steady clock stood still for twenty seconds, less than was left of the turn.
        let slept = Tick::Woke(Duration::from_secs(20));
        assert_eq!(alarm.look(machine.wall_moves(20)), slept);
        assert!(alarm.changes_may(machine.0));
        assert_eq!(alarm.look(machine.0), Tick::Due);
        alarm.set(machine.0, Duration::from_secs(300));
        assert_eq!(alarm.look(machine.runs(1)), Tick::NotYet);
    }

    #[test]
    fn a_system_whose_steady_clock_goes_on_in_sleep_is_due_by_either_clock() {
        let (mut machine, mut alarm) = with_turn_in(300);
        assert_eq!(alarm.look(machine.runs(8 * 3600)), Tick::Due);
    }

    #[test]
    fn a_clock_that_is_set_back_puts_no_turn_off_and_shows_when_it_will_be() {
        let (mut machine, mut alarm) = with_turn_in(300);
        alarm.look(machine.runs(100));
        assert_eq!(alarm.look(machine.wall_moves(-86_400)), Tick::NotYet);
        assert_eq!(alarm.turn() - machine.0.wall, TimeDelta::seconds(200));
        assert_eq!(alarm.look(machine.runs(199)), Tick::NotYet);
        assert_eq!(alarm.look(machine.runs(1)), Tick::Due);
    }

    #[test]
    fn a_clock_that_is_corrected_a_little_is_no_sleep() {
        let (mut machine, mut alarm) = with_turn_in(300);
        assert_eq!(alarm.look(machine.wall_moves(4)), Tick::NotYet);
        assert_eq!(alarm.look(machine.wall_moves(-4)), Tick::NotYet);
    }

    #[test]
    fn what_is_held_back_waits_by_the_clock_that_cannot_be_set() {
        let (mut machine, mut alarm) = with_turn_in(300);
        alarm.look(machine.runs(300));
        alarm.hold_back(machine.0, Duration::from_secs(60));
        assert!(!alarm.changes_may(machine.runs(59)));
        assert_eq!(alarm.look(machine.wall_moves(-3600)), Tick::NotYet);
        assert!(alarm.changes_may(machine.runs(1)));
        assert_eq!(alarm.look(machine.0), Tick::Due);
        alarm.hold_back(machine.0, Duration::MAX);
        assert!(!alarm.changes_may(machine.runs(1)));
    }
}
