//! The live screen: what is shown, from what is known, on a canvas of any size. Pure: no clock, no file, no terminal.
//!
//! Invariants: the worst comes first and colour only repeats what words and marks say; foreign text is neutralised; nothing panics,
//! however small the canvas.

mod body;
mod page;
mod painted;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style as Look};
use ratatui::text::{Line, Text};
use ratatui::widgets::{RenderDirection, Sparkline, SparklineBar};
use serde_json::Value;

use super::table::wrap;
use super::{Meaning, Style};
use crate::audit::catalog::Summary;
use crate::model::overview::Standing;
use crate::model::streak::Streak;
use crate::model::text::{age, neutral};
use crate::model::under_way::UnderWay;
use crate::model::verdict::{Level, Verdict};
use crate::model::worker_doc::WorkerDoc;

pub use page::{HELP, Page};

/// What is known at one moment, without connecting to anybody.
pub struct Facts {
    /// When this look was over.
    pub looked: DateTime<Utc>,
    pub site: String,
    pub verdict: Verdict,
    pub standings: Vec<Standing>,
    /// Peers that wait for a decision, and why.
    pub held: Vec<(String, String)>,
    pub streak: Streak,
    /// Whether it lives, and what it says of itself.
    pub worker: Option<(bool, WorkerDoc)>,
    /// The installed units, as `status` tells them; `None` before the service manager was asked.
    pub units: Option<Vec<Value>>,
    pub next_run: Option<String>,
    /// Newest first.
    pub runs: Vec<Summary>,
    /// The run under way, if one is.
    pub under_way: Option<UnderWay>,
    /// Why something of this may be old or absent.
    pub trouble: Option<String>,
}

/// The dry run that was asked for here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dry {
    None,
    Running(DateTime<Utc>),
    Ended {
        meaning: Meaning,
        words: String,
        run: Option<String>,
    },
}

/// Everything that decides what is on the screen.
pub struct View {
    pub now: DateTime<Utc>,
    pub color: bool,
    /// `None` before the first look is over.
    pub facts: Option<Facts>,
    pub dry: Dry,
    /// The run that a key would open, counted from the newest.
    pub chosen: usize,
    /// What lies over everything else.
    pub page: Option<Page>,
}

/// From here on the runs stand beside the lanes instead of below them.
const WIDE: u16 = 150;
/// Seconds for which a look counts; one is over in less than two unless something hangs.
const FRESH: i64 = 10;
/// Rows that the runs keep: heading, two of bars, marks, and three runs.
const RUNS: usize = 7;
const KEYS: &str = "d dry run  ↑↓ choose  Enter open  o last plan  ? help  q quit";

impl View {
    fn style(&self, width: u16) -> Style {
        Style {
            color: self.color,
            width: usize::from(width),
            all: false,
        }
    }

    /// Rows of the page's text that fit below its title and above its keys.
    pub fn page_rows(height: u16) -> usize {
        usize::from(height.saturating_sub(2)).max(1)
    }
}

pub fn draw(frame: &mut Frame, view: &View) {
    let area = frame.area();
    if let Some(page) = &view.page {
        return page::draw(frame, page);
    }
    let Some(facts) = &view.facts else {
        frame.render_widget(Line::raw("Looking …"), area);
        return;
    };
    let style = view.style(area.width);
    let head = head(view, facts, &style);
    let rows = [
        Constraint::Length(u16::try_from(head.len()).unwrap_or(u16::MAX)),
        Constraint::Min(0),
        Constraint::Length(1),
    ];
    let [top, middle, bottom] = Layout::vertical(rows).areas(area);
    frame.render_widget(Text::from(head), top);
    frame.render_widget(
        Line::styled(KEYS, Look::default().add_modifier(Modifier::DIM)),
        bottom,
    );
    let (left, right) = match area.width >= WIDE {
        true => {
            let halves = [Constraint::Percentage(52), Constraint::Percentage(48)];
            let [left, right] = Layout::horizontal(halves).spacing(2).areas(middle);
            (left, Some(right))
        }
        false => (middle, None),
    };
    let kept = if right.is_some() { 0 } else { RUNS };
    let room = usize::from(left.height).saturating_sub(kept);
    let lines = above(view, facts, room, &view.style(left.width));
    let used = u16::try_from(lines.len())
        .unwrap_or(u16::MAX)
        .min(left.height);
    frame.render_widget(Text::from(lines), left);
    let runs = right.unwrap_or(Rect {
        y: left.y + used,
        height: left.height - used,
        ..left
    });
    draw_runs(frame, view, facts, runs);
}

/// Name, clock and the answer to the only question that matters.
fn head(view: &View, facts: &Facts, style: &Style) -> Vec<Line<'static>> {
    let name = format!("ubos-sync on {}", neutral(&facts.site));
    let clock = view.now.format("%H:%M:%S UTC").to_string();
    let title = body::between(&name, &clock, style.width);
    let mut lines = vec![bold(title)];
    let meaning = match facts.verdict.level {
        Level::Good => Meaning::Good,
        Level::Look => Meaning::Look,
        Level::Bad => Meaning::Loss,
    };
    let old = (view.now - facts.looked).num_seconds();
    let (meaning, words) = match old > FRESH {
        false => (meaning, neutral(&facts.verdict.words)),
        true => {
            let meaning = match meaning {
                Meaning::Loss => Meaning::Loss,
                _ => Meaning::Look,
            };
            let words = format!(
                "Not looked since {} UTC, {} ago: a disk or a program of this host does not answer. It was: {}",
                facts.looked.format("%H:%M:%S"),
                age(old),
                neutral(&facts.verdict.words)
            );
            (meaning, words)
        }
    };
    let words = wrap(&words, 0, style);
    let mut said: Vec<&str> = words.lines().collect();
    let more = said.len() > 2;
    said.truncate(2);
    for (i, line) in said.iter().enumerate() {
        let end = if more && i == 1 { " …" } else { "" };
        lines.extend(painted::painted(
            &style.paint(meaning, &format!("{line}{end}")),
        ));
    }
    if let Some(trouble) = &facts.trouble {
        let said = wrap(&neutral(trouble), 0, style);
        let first = said.lines().next().unwrap_or_default();
        lines.extend(painted::painted(&style.paint(Meaning::Look, first)));
    }
    lines.push(Line::default());
    lines
}

/// The lanes and what goes on now, in at most `room` rows: the lanes give way.
fn above(view: &View, facts: &Facts, room: usize, style: &Style) -> Vec<Line<'static>> {
    let now = body::now(view, facts, style);
    let for_lanes = room.saturating_sub(now.len() + 4).max(1);
    let mut lines = vec![bold("Peers and targets".into())];
    lines.extend(painted::painted(&body::lanes(
        view, facts, for_lanes, style,
    )));
    lines.push(Line::default());
    lines.push(bold("Now".into()));
    lines.extend(now.iter().flat_map(|l| painted::painted(l)));
    lines.push(Line::default());
    lines
}

fn draw_runs(frame: &mut Frame, view: &View, facts: &Facts, area: Rect) {
    let tall = if area.height >= 16 { 4 } else { 2 };
    let rows = [
        Constraint::Length(1),
        Constraint::Length(tall),
        Constraint::Length(1),
        Constraint::Min(0),
    ];
    let [heading, bars, marks, list] = Layout::vertical(rows).areas(area);
    if facts.runs.is_empty() {
        let lines = vec![bold("Runs".into()), Line::raw("  No run yet.")];
        frame.render_widget(Text::from(lines), area);
        return;
    }
    let (title, all) = body::bars(&facts.runs, usize::from(area.width));
    frame.render_widget(bold(title), heading);
    let bar = |b: &body::Bar| {
        let look = painted::of(b.meaning, view.color);
        SparklineBar::from(b.height).style(Some(look))
    };
    let sparkline = Sparkline::default()
        .direction(RenderDirection::RightToLeft)
        .data(all.iter().map(bar).collect::<Vec<_>>());
    frame.render_widget(sparkline, bars);
    let mark = |b: &body::Bar| {
        ratatui::text::Span::styled(b.mark.to_string(), painted::of(b.meaning, view.color))
    };
    let line = Line::from(all.iter().rev().map(mark).collect::<Vec<_>>());
    frame.render_widget(line.right_aligned(), marks);
    let style = view.style(list.width);
    let room = usize::from(list.height);
    let (text, chosen) = body::runs(view, &facts.runs, room, &style);
    let mut lines = painted::painted(&text);
    if let Some(line) = lines.get_mut(chosen) {
        *line = std::mem::take(line).style(Look::default().add_modifier(Modifier::REVERSED));
        // The mark says it, too, where nothing can be reversed.
        if let Some(first) = line.spans.first_mut() {
            let rest = first.content.strip_prefix(' ').unwrap_or(&first.content);
            first.content = format!(">{rest}").into();
        }
    }
    frame.render_widget(Text::from(lines), list);
}

fn bold(text: String) -> Line<'static> {
    Line::styled(text, Look::default().add_modifier(Modifier::BOLD))
}
