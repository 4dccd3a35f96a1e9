//! The parts of the live screen as text, in the words and colours of the other screens.
//!
//! Invariant: every line fits its width; what has no room is counted, not dropped in silence.

use chrono::{DateTime, Utc};
use serde_json::Value;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::super::status::service;
use super::super::table::{Align, Cell, lines, shorten};
use super::super::{Meaning, Style};
use super::{Dry, Facts, View};
use crate::audit::catalog::Summary;
use crate::cli::runs;
use crate::model::overview::{Standing, is_good};
use crate::model::record::Outcome;
use crate::model::text::{age, count, neutral, thousands};
use crate::model::under_way::Work;

fn time(text: &str) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
}

fn seconds_since(view: &View, at: &str) -> Option<i64> {
    Some((view.now - time(at)?).num_seconds())
}

fn ago(view: &View, at: &str) -> Option<String> {
    seconds_since(view, at).map(|s| format!("{} ago", age(s)))
}

/// Two texts at the ends of one line.
pub fn between(left: &str, right: &str, width: usize) -> String {
    let room = width.saturating_sub(right.width() + 1);
    let left = shorten(left, room);
    let gap = width.saturating_sub(left.width() + right.width());
    format!("{left}{}{right}", " ".repeat(gap))
}

/// The beginning of a sentence, which tells most.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.into();
    }
    let mut out = String::new();
    for c in text.chars() {
        if out.width() + c.width().unwrap_or(0) >= width {
            break;
        }
        out.push(c);
    }
    out + "…"
}

/// How a lane stands: what counts first, the word, what it means.
fn state(facts: &Facts, s: &Standing) -> (u8, String, Meaning) {
    let is_held = facts.held.iter().any(|(peer, _)| *peer == s.subject);
    if is_held && s.lane != "publish" {
        return (0, "HELD".into(), Meaning::Loss);
    }
    let Some(last) = &s.last else {
        return (2, "no run yet".into(), Meaning::Aside);
    };
    let word = last.outcome.word().to_owned();
    match last.outcome {
        Outcome::Partial => (1, word, Meaning::Look),
        o if is_good(o) => (3, "in sync".into(), Meaning::Good),
        Outcome::Failed | Outcome::Refused | Outcome::Interrupted => (0, word, Meaning::Loss),
        _ => (1, word, Meaning::Look),
    }
}

/// Every lane in a row, the worst first, in at most `room` rows.
pub fn lanes(view: &View, facts: &Facts, room: usize, style: &Style) -> String {
    if facts.standings.is_empty() {
        return "  The policy names no peer and no target: ubos-sync check\n".into();
    }
    let mut all: Vec<_> = facts
        .standings
        .iter()
        .map(|s| (state(facts, s), s))
        .collect();
    all.sort_by_key(|((rank, ..), _)| *rank);
    let shown = if all.len() > room {
        room.saturating_sub(1)
    } else {
        all.len()
    };
    let rows: Vec<Vec<Cell>> = all[..shown]
        .iter()
        .map(|((_, word, meaning), s)| {
            vec![
                Cell::new(neutral(&s.subject)),
                Cell::new(s.lane),
                Cell::of(*meaning, word.clone()),
                Cell::of(Meaning::Aside, detail(view, facts, s)),
            ]
        })
        .collect();
    let mut text = lines(&rows, &[Align::Left; 4], 3, 2, style);
    if shown < all.len() {
        let rest = &all[shown..];
        let good = rest.iter().filter(|((rank, ..), _)| *rank == 3).count();
        text += &format!("  … {} more, {good} of them in sync\n", rest.len());
    }
    text
}

fn detail(view: &View, facts: &Facts, s: &Standing) -> String {
    let held = facts.held.iter().find(|(peer, _)| *peer == s.subject);
    if let Some((_, why)) = held.filter(|_| s.lane != "publish") {
        let name = neutral(&s.subject);
        return format!("{}; ubos-sync release {name}", neutral(why));
    }
    let mut parts = Vec::new();
    parts.push(
        match s.last_success.as_deref().and_then(|at| ago(view, at)) {
            Some(ago) => format!("ok {ago}"),
            None => "no success on record".into(),
        },
    );
    if let Some(since) = s.since.as_deref().and_then(|at| seconds_since(view, at)) {
        parts.push(format!("not since {}", age(since)));
    }
    let said = s.last.as_ref().and_then(|l| l.message.as_deref());
    let said = said.map(neutral).filter(|m| !m.is_empty());
    match said {
        Some(said) => format!("{}: {said}", parts.join(", ")),
        None => parts.join(", "),
    }
}

/// What goes on: the run under way, who syncs by itself, the dry run that was asked for, the streak.
pub fn now(view: &View, facts: &Facts, style: &Style) -> Vec<String> {
    let mut out = Vec::new();
    let mut say = |meaning: Meaning, text: String| {
        let text = cut(&text, style.width.saturating_sub(2));
        out.push(format!("  {}", style.paint(meaning, &text)));
    };
    if let Some(run) = &facts.under_way {
        let since = ago(view, &run.since).map_or(String::new(), |a| format!(", began {a}"));
        let command = neutral(&run.command);
        say(
            Meaning::Heading,
            format!("{command} is running (process {}{since})", run.pid),
        );
        for work in run.works.iter().take(3) {
            say(Meaning::Plain, progress(view, work));
        }
        if run.works.len() > 3 {
            say(
                Meaning::Aside,
                format!("… and {} beside it", run.works.len() - 3),
            );
        }
    }
    match &view.dry {
        Dry::None => {}
        Dry::Running(since) => {
            let long = age((view.now - *since).num_seconds());
            say(
                Meaning::Plain,
                format!("Dry run: looking at all peers, for {long}; x ends it"),
            );
        }
        Dry::Ended { meaning, words, .. } => say(*meaning, format!("Dry run: {}", neutral(words))),
    }
    if let Some((meaning, text)) = worker(view, facts) {
        say(meaning, text);
    }
    let plain = Style {
        color: false,
        ..*style
    };
    for unit in facts.units.iter().flatten() {
        let text = service(unit, &plain);
        let meaning = match unit["active"] == false || unit["enabled"] == false {
            true => Meaning::Look,
            false => Meaning::Aside,
        };
        say(meaning, text.lines().next().unwrap_or_default().to_owned());
    }
    if let Some(long) = facts
        .streak
        .since
        .as_deref()
        .and_then(|at| seconds_since(view, at))
    {
        let n = count(facts.streak.runs as usize, "run");
        say(
            Meaning::Aside,
            format!("Without a failure: {n}, for {}", age(long)),
        );
    }
    out
}

/// The worker in a line; nothing when units do its work.
fn worker(view: &View, facts: &Facts) -> Option<(Meaning, String)> {
    let is_active = |all: &Vec<Value>| all.iter().any(|u| u["active"] == true);
    // What is not known yet is not held against anybody.
    let by_itself = facts.units.as_ref().is_none_or(is_active);
    let Some((alive, w)) = &facts.worker else {
        let hint = "Nothing syncs by itself here: ubos-sync watch --apply";
        return (!by_itself).then(|| (Meaning::Look, hint.to_owned()));
    };
    let did = format!(
        "{}, {} good, {} failed",
        count(w.cycles as usize, "cycle"),
        thousands(w.succeeded as usize),
        thousands(w.failed as usize)
    );
    if let Some(ended) = &w.ended {
        return (!by_itself).then(|| {
            (
                Meaning::Aside,
                format!("Worker: ended {}; {did}", neutral(ended)),
            )
        });
    }
    if !alive {
        let hint = "ubos-sync watch --apply";
        return Some((
            Meaning::Loss,
            format!("Worker {} DIED; {did}; again: {hint}", w.pid),
        ));
    }
    let next = match facts
        .next_run
        .as_deref()
        .and_then(|at| seconds_since(view, at))
    {
        Some(late @ 1..) => format!("due since {}", age(late)),
        Some(early) => format!("next in {}", age(-early)),
        None => "next soon".into(),
    };
    let does = if w.applies { "applies" } else { "only reports" };
    let every = age(i64::try_from(w.interval_seconds).unwrap_or(i64::MAX));
    let text = format!("Worker {} {does} every {every}, {next}; {did}", w.pid);
    Some((Meaning::Good, text))
}

/// `balaur: carrying it out  ████████░░░░░░░░  50 %  60 of 120, 12 s left  docs/a.md`
fn progress(view: &View, work: &Work) -> String {
    const CELLS: u64 = 16;
    let mut text = match &work.name {
        Some(name) => format!("{}: {}", neutral(name), neutral(&work.phase)),
        None => neutral(&work.phase),
    };
    let spent = seconds_since(view, &work.since).unwrap_or(0).max(0);
    match work.total.filter(|t| *t > 0) {
        Some(total) => {
            let done = work.done.min(total);
            let full = usize::try_from(u128::from(done) * u128::from(CELLS) / u128::from(total))
                .unwrap_or(0);
            let empty = CELLS as usize - full;
            let percent = u128::from(done) * 100 / u128::from(total);
            text += &format!("  {}{}  {percent} %", "█".repeat(full), "░".repeat(empty));
            if done > 0 && spent >= 2 {
                let left = (total - done) as f64 * spent as f64 / done as f64;
                text += &format!(", {} left", age(left as i64));
            }
        }
        None => text += &format!(", for {}", age(spent)),
    }
    if !work.message.is_empty() {
        text += &format!("  {}", neutral(&work.message));
    }
    text
}

/// One run as a bar: how long it took, and how it ended.
pub struct Bar {
    pub height: u64,
    pub mark: char,
    pub meaning: Meaning,
}

/// The newest runs as bars, newest first, and what they are.
pub fn bars(runs: &[Summary], width: usize) -> (String, Vec<Bar>) {
    let facts: Vec<_> = runs
        .iter()
        .filter_map(|r| r.facts.as_ref())
        .take(width)
        .collect();
    let longest = facts.iter().map(|f| f.seconds).fold(0.0, f64::max);
    let bars: Vec<Bar> = facts
        .iter()
        .map(|f| {
            let (mark, meaning) = match (f.complete, f.outcome) {
                (false, _) => ('?', Meaning::Look),
                (_, Outcome::Partial) => ('!', Meaning::Look),
                (_, Outcome::Pending) => ('~', Meaning::Plain),
                (_, o) if is_good(o) => ('.', Meaning::Good),
                (_, Outcome::Failed | Outcome::Refused | Outcome::Interrupted) => {
                    ('x', Meaning::Loss)
                }
                _ => ('!', Meaning::Look),
            };
            // The root, or one long run would flatten all others.
            let height = (f.seconds.max(0.0) * 1000.0).sqrt() as u64 + 1;
            Bar {
                height,
                mark,
                meaning,
            }
        })
        .collect();
    let title = format!(
        "Last {}, newest right; longest {longest:.1} s (. good  ~ pending  ! look  x failed)",
        count(bars.len(), "run")
    );
    (cut(&title, width), bars)
}

/// The newest runs as rows, so many as there is room, around the chosen one; and in which row that is.
pub fn runs(view: &View, all: &[Summary], room: usize, style: &Style) -> (String, usize) {
    let chosen = view.chosen;
    let chosen = chosen.min(all.len().saturating_sub(1));
    let first = (chosen + 1).saturating_sub(room.max(1));
    let shown = &all[first..all.len().min(first + room)];
    let rows: Vec<Vec<Cell>> = shown.iter().map(|s| row(view, s)).collect();
    let (l, r) = (Align::Left, Align::Right);
    let text = lines(&rows, &[l, l, l, l, r, r, l], 3, 2, style);
    (text, chosen - first)
}

fn row(view: &View, summary: &Summary) -> Vec<Cell> {
    match &summary.facts {
        Some(facts) => {
            let mut cells = runs::row(&summary.run, facts);
            // Of today's runs the time says enough.
            let today = view.now.format("%Y-%m-%d ").to_string();
            if let Some(time) = cells[1].text.strip_prefix(&today) {
                cells[1].text = time.to_owned();
            }
            cells
        }
        None => {
            let mut cells = vec![Cell::new(neutral(&summary.run))];
            cells.resize(6, Cell::new(""));
            cells.push(Cell::of(Meaning::Loss, "unreadable"));
            cells
        }
    }
}
