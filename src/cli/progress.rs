//! Progress for people: a bar or a spinner on standard error, on a terminal only.
//!
//! Invariants: standard output is never touched; a phase shorter than [`PATIENCE`] shows nothing, so quick runs
//! do not flicker; what is shown is gone when the phase is over; texts are neutralised.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::model::progress::{Progress, Silent};
use crate::model::text::neutral;

/// How long a phase must last before it is worth showing.
pub const PATIENCE: Duration = Duration::from_millis(400);
const TICK: Duration = Duration::from_millis(120);

/// The listener for this run: silent unless standard error is a terminal and progress is wanted.
pub fn listener(stderr_is_terminal: bool, wanted: bool) -> Box<dyn Progress> {
    match stderr_is_terminal && wanted {
        true => Box::new(Bars::new(ProgressDrawTarget::stderr)),
        false => Box::new(Silent),
    }
}

/// Progress drawn with indicatif. Bars of works that go on beside one another share the screen.
pub struct Bars {
    screen: MultiProgress,
    /// Of the work that this listener is for, when there are several.
    name: Option<String>,
    current: Mutex<Option<Phase>>,
}

struct Phase {
    bar: ProgressBar,
    /// Dropped at the end of the phase, which wakes the one who waits to show it.
    _over: Sender<()>,
}

impl Bars {
    pub fn new(target: fn() -> ProgressDrawTarget) -> Self {
        Self {
            screen: MultiProgress::with_draw_target(target()),
            name: None,
            current: Mutex::new(None),
        }
    }

    /// A listener that panicked must not take the run with it.
    fn with<T>(&self, act: impl FnOnce(&mut Option<Phase>) -> T) -> T {
        act(&mut self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Progress for Bars {
    fn phase(&self, name: &str, total: Option<u64>) {
        self.done();
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        bar.set_style(look(total.is_some()));
        bar.set_prefix(match &self.name {
            Some(work) => format!("{work}: {}", neutral(name)),
            None => neutral(name),
        });
        let (over, ended) = channel();
        let (later, screen) = (bar.clone(), self.screen.clone());
        std::thread::spawn(move || show_later(&later, &ended, || screen.add(later.clone())));
        self.with(|current| *current = Some(Phase { bar, _over: over }));
    }

    fn advance(&self, n: u64) {
        self.with(|current| {
            if let Some(phase) = current {
                phase.bar.inc(n);
            }
        });
    }

    fn message(&self, text: &str) {
        self.with(|current| {
            if let Some(phase) = current {
                phase.bar.set_message(neutral(text));
            }
        });
    }

    fn done(&self) {
        if let Some(phase) = self.with(Option::take) {
            phase.bar.finish_and_clear();
            self.screen.remove(&phase.bar);
        }
    }

    fn beside(&self, name: &str) -> Box<dyn Progress> {
        Box::new(Bars {
            screen: self.screen.clone(),
            name: Some(neutral(name)),
            current: Mutex::new(None),
        })
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.done();
    }
}

/// Shows the bar if its phase outlasts our patience.
fn show_later(bar: &ProgressBar, ended: &Receiver<()>, show: impl FnOnce() -> ProgressBar) {
    let still_going = ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout);
    if still_going && !bar.is_finished() {
        show();
        bar.enable_steady_tick(TICK);
        // The phase may have ended while the bar was being shown; then nobody else clears it.
        if ended.try_recv() == Err(std::sync::mpsc::TryRecvError::Disconnected) {
            bar.finish_and_clear();
        }
    }
}

fn look(has_total: bool) -> ProgressStyle {
    let template = match has_total {
        true => "{prefix} {bar:24} {human_pos}/{human_len} {eta} {wide_msg}",
        false => "{spinner} {prefix} {human_pos} {elapsed} {wide_msg}",
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_follow_one_another_and_what_comes_between_is_ignored() {
        let bars = Bars::new(ProgressDrawTarget::hidden);
        bars.advance(1);
        bars.message("early");
        bars.phase("scan\x1b", Some(10));
        bars.advance(3);
        bars.message("a\nb");
        bars.with(|p| {
            let bar = &p.as_ref().unwrap().bar;
            assert_eq!((bar.position(), bar.length()), (3, Some(10)));
            assert_eq!(
                (bar.prefix(), bar.message()),
                ("scan\\e".into(), "a\\nb".into())
            );
        });
        bars.phase("transfer", None);
        bars.with(|p| assert_eq!(p.as_ref().unwrap().bar.position(), 0));
        bars.done();
        bars.done();
        assert!(bars.with(|p| p.is_none()));
    }

    #[test]
    fn a_short_phase_is_never_shown() {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let (over, ended) = channel::<()>();
        drop(over);
        show_later(&bar, &ended, || panic!("shown"));
    }

    #[test]
    fn both_looks_are_sound_templates() {
        for total in [true, false] {
            let _ = look(total);
        }
        listener(false, true).phase("nobody sees this", None);
        listener(true, false).phase("nor this", None);
    }
}
