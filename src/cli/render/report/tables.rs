//! What the logs gained, and where the targets are.

use std::collections::BTreeMap;

use super::{Facts, ROWS, before, class, esc, table};
use crate::model::overview::is_good;
use crate::model::record::{Lane, Mode, Outcome, PublishLane, Record};
use crate::model::text::size;

/// What each log gained, by day.
pub fn logs(f: &Facts) -> String {
    let mut by_log: BTreeMap<(&str, &str), BTreeMap<&str, u64>> = BTreeMap::new();
    for r in f.records.iter().filter(|r| r.mode == Mode::Apply) {
        for lane in &r.lanes {
            if let Lane::Log(l) = lane
                && l.undoes.is_empty()
            {
                let day = r.started.get(..10).unwrap_or("");
                let days = by_log.entry((&l.peer, &l.log)).or_default();
                *days.entry(day).or_default() += l.bytes;
            }
        }
    }
    if by_log.is_empty() {
        return String::new();
    }
    let rows: Vec<String> = by_log
        .iter()
        .take(ROWS * 3)
        .map(|((peer, log), days)| {
            let (last, bytes) = days.last_key_value().map_or(("", 0), |(d, n)| (*d, *n));
            format!(
                "<tr><td><code>{}</code></td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{} ({last})</td></tr>\n",
                esc(log),
                esc(peer),
                size(days.values().sum()),
                size(bytes)
            )
        })
        .collect();
    format!(
        "<h2 id=\"logs\">Logs</h2>\n{}",
        table(
            "What each log gained in these runs",
            &["Log", "From", "#Gained", "#Last day"],
            &rows
        )
    )
}

/// Where each target is, by the newest record that looked at it.
pub fn targets(f: &Facts) -> String {
    let mut seen: BTreeMap<&str, (&Record, &PublishLane)> = BTreeMap::new();
    for r in f.records.iter().filter(|r| r.complete) {
        for lane in &r.lanes {
            if let Lane::Publish(p) = lane {
                seen.entry(&p.target).or_insert((r, p));
            }
        }
    }
    if seen.is_empty() {
        return String::new();
    }
    let mut all: Vec<_> = seen.values().collect();
    all.sort_by_key(|(_, p)| (is_good(p.outcome), p.target.clone()));
    let short = |c: Option<&String>| c.map_or(String::new(), |c| c.chars().take(12).collect());
    let rows: Vec<String> = all
        .iter()
        .map(|(r, p)| {
            let has = match p.outcome {
                Outcome::Applied | Outcome::Current => p.commit.as_ref(),
                _ => p.found.as_ref(),
            };
            format!(
                "<tr><th scope=\"row\">{}</th><td class=\"{}\">{}</td><td><code>{}</code></td><td>{}</td></tr>\n",
                esc(&p.target),
                class(p.outcome),
                p.outcome.word(),
                esc(&short(has)),
                before(f, Some(&r.started))
            )
        })
        .collect();
    format!(
        "<h2 id=\"targets\">Targets</h2>\n{}",
        table(
            "Where each target is; to look again: <code>ubos-sync verify</code>",
            &["Target", "State", "Commit", "Looked at"],
            &rows
        )
    )
}
