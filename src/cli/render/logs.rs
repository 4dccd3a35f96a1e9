//! The logs of a run as a table: what went wrong first, one row each.
//!
//! Invariant: only neutral text comes out.

use super::paint::{Meaning, Style};
use super::screen::{how, meaning};
use super::table::{Align, Cell, lines, wrap};
use crate::model::record::{Action, Lane, LogLane, Outcome, Record};
use crate::model::text::{count, neutral, size};
use crate::model::words::shown;

/// All logs of the run, by peer; empty when it has none.
pub fn section(record: &Record, style: &Style) -> String {
    let mut all: Vec<&LogLane> = record
        .lanes
        .iter()
        .filter_map(|l| match l {
            Lane::Log(log) => Some(log),
            _ => None,
        })
        .collect();
    if all.is_empty() {
        return String::new();
    }
    all.sort_by_key(|l| rank(l.outcome));
    let title = style.paint(Meaning::Heading, &format!("logs, {}", how(record)));
    let rows: Vec<Vec<Cell>> = all.iter().map(|l| row(l)).collect();
    let align = [
        Align::Left,
        Align::Left,
        Align::Left,
        Align::Right,
        Align::Left,
    ];
    let mut out = format!("{title}\n{}", lines(&rows, &align, 1, 2, style));
    for lane in all {
        let said = lane.message.iter().chain(&lane.notes);
        for text in said {
            let name = shown(&lane.log, lane.log_hex.as_deref());
            out += &wrap(&format!("{name}: {}", neutral(text)), 2, style);
        }
    }
    out
}

/// Worst first.
fn rank(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Failed | Outcome::Interrupted => 0,
        Outcome::Refused | Outcome::Partial => 1,
        Outcome::Offline | Outcome::Locked => 2,
        Outcome::InSync => 4,
        _ => 3,
    }
}

fn row(lane: &LogLane) -> Vec<Cell> {
    let bytes = match lane.bytes {
        0 => String::new(),
        n if lane.action == Action::Back => format!("-{}", size(n)),
        n => format!("+{}", size(n)),
    };
    let lines = lane
        .lines
        .filter(|n| *n > 0)
        .map_or(String::new(), |n| count(n as usize, "line"));
    let outcome = match lane.outcome {
        Outcome::InSync => "in sync",
        other => other.word(),
    };
    vec![
        Cell::new(neutral(&lane.peer)),
        Cell::new(shown(&lane.log, lane.log_hex.as_deref())),
        Cell::of(meaning(lane.outcome), outcome),
        Cell::new(bytes),
        Cell::of(Meaning::Aside, lines),
    ]
}
