//! The terminal while it is drawn on.
//!
//! Invariants: dropping it gives the terminal back as it was. A panic of any thread says nothing while it is drawn on: its words are
//! kept, and told when the terminal is somebody's again.

use std::io::{self, Stdout, stdout};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::{Mutex, PoisonError};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::style::force_color_output;
use ratatui::crossterm::terminal::{EnterAlternateScreen, enable_raw_mode};

pub struct Screen {
    // Given back before the terminal itself is dropped.
    _back: GiveBack,
    pub terminal: Terminal<CrosstermBackend<Stdout>>,
}

/// Exists before anything is changed, so that what fails half-way is undone, too.
struct GiveBack;

impl Drop for GiveBack {
    fn drop(&mut self) {
        let _ = ratatui::try_restore();
        let _ = execute!(stdout(), Show);
    }
}

impl Screen {
    pub fn open(color: bool) -> io::Result<Self> {
        force_color_output(color);
        let back = GiveBack;
        enable_raw_mode()?;
        execute!(stdout(), EnterAlternateScreen)?;
        Ok(Self {
            _back: back,
            terminal: Terminal::new(CrosstermBackend::new(stdout()))?,
        })
    }
}

/// What the first panic said, and where.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Whether some thread has panicked: whoever draws is to end.
pub fn has_panicked() -> bool {
    let said = PANIC.lock().unwrap_or_else(PoisonError::into_inner);
    said.is_some()
}

/// Draws; the words of a panic, of this thread or another, come back when the terminal has been given back.
pub fn guarded<T>(draw: impl FnOnce() -> T) -> Result<T, String> {
    type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Sync + Send>;
    struct Before(Option<Hook>);
    impl Drop for Before {
        fn drop(&mut self) {
            if let Some(hook) = self.0.take() {
                panic::set_hook(hook);
            }
        }
    }
    let _before = Before(Some(panic::take_hook()));
    panic::set_hook(Box::new(|info| {
        let mut said = PANIC.lock().unwrap_or_else(PoisonError::into_inner);
        said.get_or_insert_with(|| info.to_string());
    }));
    let drawn = panic::catch_unwind(AssertUnwindSafe(draw));
    let said = PANIC.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (drawn, said) {
        (Ok(drawn), None) => Ok(drawn),
        (_, said) => Err(said.unwrap_or_default()),
    }
}
