//! The only place that writes to standard output and standard error.
//!
//! Invariants: a closed pipe ends the talking, never the work; with `--json` one document goes to
//! standard output and nothing else does.

use std::io::{IsTerminal, Write};
use std::path::Path;

use serde::Serialize;

use super::args::{Color, Global};
use super::render::Style;
use crate::lanes::telling::Telling;
use crate::model::progress::Progress;

/// Decides about colour once, before anything is printed.
pub fn set_up(global: &Global) {
    let choice = match global.color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

/// A line of the result. `text` holds no foreign bytes that were not neutralised.
pub fn line(text: &str) {
    let _ = writeln!(anstream::stdout(), "{text}");
}

/// A whole screen, made by `render`; it ends with one line break, whatever it ends with now.
pub fn text(text: &str) {
    let mut out = anstream::stdout();
    let _ = writeln!(out, "{}", text.trim_end_matches('\n'));
}

/// How a screen is to look on this standard output.
pub fn style(global: &Global, all: bool) -> Style {
    let stdout = std::io::stdout();
    let terminal = stdout.is_terminal();
    let color = match global.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
    };
    let width = rustix::termios::tcgetwinsize(&stdout).map_or(0, |w| usize::from(w.ws_col));
    Style {
        color,
        width: if terminal && width >= 40 { width } else { 80 },
        all,
    }
}

/// Who is told how far long work is: a person at a terminal, or nobody.
pub fn progress(global: &Global) -> Box<dyn Progress> {
    let wanted = !global.no_progress && !global.quiet && !global.json;
    super::progress::listener(std::io::stderr().is_terminal(), wanted)
}

/// The same for a run of the lanes, which a live view may look at from outside, too.
pub fn told(global: &Global, state_dir: &Path, command: &str) -> Telling {
    Telling::new(progress(global), state_dir, command)
}

/// Bytes of the result exactly as they are: a profile may hold any.
pub fn raw(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// The one document of `--json`.
pub fn json(document: &impl Serialize) {
    let mut out = std::io::stdout().lock();
    let _ = serde_json::to_writer_pretty(&mut out, document);
    let _ = writeln!(out);
}

/// A message beside the result.
pub fn note(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}
