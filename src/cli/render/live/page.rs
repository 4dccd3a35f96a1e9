//! A text over the whole screen: a run, or the help; scrolled by rows.
//!
//! Invariant: it never scrolls beyond its last row.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style as Look};
use ratatui::text::{Line, Text};

use super::body::between;
use super::painted::painted;
use crate::model::text::neutral;

pub const HELP: &str = "\
Everything here is read from this host alone, once a second: the records of the
runs, and what the worker and a run under way say of themselves. No peer is
asked, so none that is away can hold it up.

  d              a dry run with all peers: it changes nothing; see o
  x              ends that dry run
  ↑ ↓  k j       choose a run
  Enter          open the chosen run
  o              open that dry run, or else the newest run
  PgUp PgDn      scroll by a screen (also b and Space), Home and End (g and G)
  Esc            back
  ? h            this help
  Ctrl-Z         to the shell, and back with fg
  q  Ctrl-C      quit

The bars are the last runs, the newest on the right, as high as they took long;
below each stands how it ended:  . good   ~ pending   ! look   x failed   ? open

For one look: ubos-sync status      for a program: ubos-sync status --json
For a browser: ubos-sync report --out FILE
";

/// A text that is being read.
pub struct Page {
    title: String,
    /// The run it shows, so that it can be laid out again for another width.
    pub run: Option<String>,
    lines: Vec<Line<'static>>,
    top: usize,
}

impl Page {
    /// `text` is neutral, and painted at most.
    pub fn new(title: &str, run: Option<String>, text: &str) -> Self {
        Self {
            title: neutral(title),
            run,
            lines: painted(text),
            top: 0,
        }
    }

    /// The same place in the same text, laid out anew.
    pub fn in_place_of(mut self, old: &Page) -> Self {
        if self.run == old.run {
            self.top = old.top;
        }
        self
    }

    /// Moves by so many rows, where `rows` of them are visible.
    pub fn scroll(&mut self, by: isize, rows: usize) {
        let most = self.lines.len().saturating_sub(rows);
        self.top = self.top.min(most).saturating_add_signed(by).min(most);
    }
}

pub(super) fn draw(frame: &mut Frame, page: &Page) {
    let area = frame.area();
    let rows = [
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ];
    let [title, body, keys] = Layout::vertical(rows).areas(area);
    let width = usize::from(area.width);
    let bold = Look::default().add_modifier(Modifier::BOLD);
    frame.render_widget(Line::styled(page.title.clone(), bold), title);
    let room = usize::from(body.height);
    let top = page.top.min(page.lines.len().saturating_sub(room));
    let shown = page.lines.iter().skip(top).take(room).cloned();
    let shown: Vec<Line> = shown.collect();
    let place = match page.lines.len() > room {
        true => format!("{}–{} of {}", top + 1, top + shown.len(), page.lines.len()),
        false => String::new(),
    };
    frame.render_widget(Text::from(shown), body);
    let said = between("↑↓ PgUp PgDn scroll  Esc back  q quit", &place, width);
    frame.render_widget(
        Line::styled(said, Look::default().add_modifier(Modifier::DIM)),
        keys,
    );
}
