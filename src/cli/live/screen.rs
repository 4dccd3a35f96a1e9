//! The terminal while it is drawn on.
//!
//! Invariant: dropping it, and a panic anywhere in the program, gives the terminal back as it was.

use std::io::{self, stdout};

use ratatui::DefaultTerminal;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::style::force_color_output;

pub struct Screen {
    // Given back before the terminal itself is dropped.
    _back: GiveBack,
    pub terminal: DefaultTerminal,
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
        // Also sets a panic hook that gives it back.
        let terminal = ratatui::try_init()?;
        Ok(Self {
            _back: back,
            terminal,
        })
    }
}
