//! The targets of a publish or a verification as one table, worst first.
//!
//! Invariant: only neutral text comes out.

use std::collections::BTreeMap;

use super::paint::{Meaning, Style};
use super::screen::meaning;
use super::table::{Align, Cell, lines, wrap};
use crate::model::record::{Lane, Mode, Outcome, PublishLane, Record};
use crate::model::text::{count, neutral, size, thousands};
use crate::model::words::shown;

/// Paths that are shown of each target.
const PATHS: usize = 8;

/// All targets of the run; empty when it has none.
pub fn section(record: &Record, style: &Style) -> String {
    let targets = record.lanes.iter().filter_map(|l| match l {
        Lane::Publish(lane) => Some(lane),
        _ => None,
    });
    let mut all: Vec<&PublishLane> = targets.collect();
    if all.is_empty() {
        return String::new();
    }
    all.sort_by_key(|l| rank(l.outcome));
    let how = match (record.command.as_str(), record.mode) {
        ("publish", Mode::DryRun) => "publish, dry run",
        ("publish", Mode::Apply) => "publish, apply",
        _ => "targets",
    };
    let commit = all
        .iter()
        .find_map(|l| l.commit.as_deref())
        .map_or(String::new(), |c| format!(": commit {}", brief(c)));
    let title = style.paint(Meaning::Heading, &format!("{how}{commit}"));
    let rows: Vec<Vec<Cell>> = all.iter().map(|l| row(l)).collect();
    let align = [Align::Left, Align::Left, Align::Left, Align::Left];
    let mut out = format!("{title}\n{}", lines(&rows, &align, 3, 2, style));
    for lane in &all {
        out += &details(lane, style);
    }
    if record.mode == Mode::DryRun && record.command == "publish" {
        out += &paths(&all, style);
    }
    out
}

fn rank(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Failed | Outcome::Interrupted => 0,
        Outcome::Refused | Outcome::Locked => 1,
        Outcome::Unreachable => 2,
        Outcome::Missing => 3,
        Outcome::Modified => 4,
        Outcome::Behind => 5,
        Outcome::Pending => 6,
        Outcome::Applied => 7,
        _ => 8,
    }
}

fn brief(commit: &str) -> String {
    let text = neutral(commit);
    match text.strip_prefix("INCOMPLETE ") {
        Some(rest) => format!("incomplete {}", rest.chars().take(12).collect::<String>()),
        None => text.chars().take(12).collect(),
    }
}

fn row(lane: &PublishLane) -> Vec<Cell> {
    let mut has = lane.found.as_deref().map_or(String::new(), brief);
    if let Some(n) = lane.behind.filter(|n| *n > 0) {
        has += &format!(
            " ({} behind)",
            count(usize::try_from(n).unwrap_or(usize::MAX), "commit")
        );
    }
    vec![
        Cell::new(neutral(&lane.target)),
        Cell::of(meaning(lane.outcome), lane.outcome.word()),
        Cell::new(has),
        Cell::new(counts(lane)),
    ]
}

fn counts(lane: &PublishLane) -> String {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for change in &lane.changes {
        *kinds.entry(&change.kind).or_default() += 1;
    }
    let mut parts: Vec<String> = kinds
        .iter()
        .map(|(k, n)| format!("{} {}", thousands(*n), neutral(k)))
        .collect();
    let bytes: u64 = lane
        .changes
        .iter()
        .filter(|c| !matches!(c.kind.as_str(), "delete" | "meta"))
        .map(|c| c.bytes)
        .sum();
    if bytes > 0 {
        parts.push(size(bytes));
    }
    parts.join(", ")
}

fn details(lane: &PublishLane, style: &Style) -> String {
    let name = neutral(&lane.target);
    let mut out = String::new();
    for text in lane.message.iter().chain(&lane.notes) {
        out += &wrap(&format!("{name}: {}", neutral(text)), 2, style);
    }
    let limit = if style.all { usize::MAX } else { PATHS };
    for l in lane.modified.iter().take(limit) {
        out += &wrap(
            &format!(
                "{name}: {} was modified there",
                shown(&l.path, l.path_hex.as_deref())
            ),
            2,
            style,
        );
    }
    if lane.modified.len() > limit {
        out += &format!(
            "  {name}: … and {} more modified\n",
            lane.modified.len() - limit
        );
    }
    if let Some(backup) = &lane.backup {
        out += &format!("  {name}: what was replaced lies in {}\n", neutral(backup));
    }
    out
}

/// The paths of a plan, each once, with how many targets they concern.
fn paths(all: &[&PublishLane], style: &Style) -> String {
    let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
    for change in all.iter().flat_map(|l| &l.changes) {
        *seen
            .entry((
                neutral(&change.kind),
                shown(&change.path, change.path_hex.as_deref()),
            ))
            .or_default() += 1;
    }
    if seen.is_empty() {
        return String::new();
    }
    // What goes away must be seen first.
    let mut order: Vec<_> = seen.iter().collect();
    order.sort_by_key(|((kind, path), _)| (kind != "delete", kind.clone(), path.clone()));
    let limit = if style.all { usize::MAX } else { 20 };
    let rows: Vec<Vec<Cell>> = order
        .iter()
        .take(limit)
        .map(|((kind, path), n)| {
            let how = if kind == "delete" {
                Meaning::Loss
            } else {
                Meaning::Plain
            };
            vec![
                Cell::of(how, kind.clone()),
                Cell::new(path.clone()),
                Cell::of(Meaning::Aside, count(**n, "target")),
            ]
        })
        .collect();
    let mut out = format!(
        "\n{}",
        lines(
            &rows,
            &[Align::Left, Align::Left, Align::Right],
            1,
            2,
            style
        )
    );
    if order.len() > limit {
        out += &format!(
            "  … and {} more (--all lists each)\n",
            thousands(order.len() - limit)
        );
    }
    out
}
