//! The status of everything as one screen, from its document.
//!
//! Invariant: only neutral text comes out.

use serde_json::Value;

use super::paint::{Meaning, Style};
use super::table::{Align, Cell, lines, wrap};
use crate::model::text::{age, count, neutral, size};

pub fn screen(doc: &Value, style: &Style) -> String {
    let mut rows = Vec::new();
    for peer in doc["peers"].as_array().into_iter().flatten() {
        rows.extend(of_peer(peer));
    }
    let align = [Align::Left, Align::Left, Align::Left, Align::Left];
    let title = format!("{} and its peers", text(&doc["site"]));
    let mut out = format!("{}\n", style.paint(Meaning::Heading, &title));
    out += &lines(&rows, &align, 1, 2, style);
    for peer in doc["peers"].as_array().into_iter().flatten() {
        if let Some(why) = peer["held"].as_str() {
            let name = text(&peer["name"]);
            let said = format!(
                "{name} is HELD: {}; when it is settled: ubos-sync release {name}",
                neutral(why)
            );
            out += &wrap(&style.paint(Meaning::Look, &said), 2, style);
        }
    }
    if let Some(words) = doc["lock"].as_str() {
        let held = format!("another run holds the lock: {}", neutral(words));
        out += &format!("{}\n", style.paint(Meaning::Look, &held));
    }
    out += &match doc["last_run"].as_object() {
        None => "No run has been applied yet.\n".to_owned(),
        Some(last) => format!(
            "Last applied: {} {} ({}), {} ago\n",
            text(&last["command"]),
            text(&last["run"]),
            text(&last["outcome"]),
            age(last["age_seconds"].as_i64().unwrap_or(0))
        ),
    };
    out += &standings(doc, style);
    let units: Vec<&Value> = doc["service"].as_array().into_iter().flatten().collect();
    let by_itself = units.iter().any(|u| u["active"] == true);
    if !by_itself || !doc["worker"].is_null() {
        out += &worker(doc, style);
    }
    for unit in units {
        out += &service(unit, style);
    }
    let waits = |p: &Value| p["pending"].as_u64().unwrap_or(0) > 0;
    if doc["peers"].as_array().into_iter().flatten().any(waits) {
        out += &format!(
            "Next: {}\n",
            style.paint(Meaning::Command, "ubos-sync full")
        );
    }
    out
}

/// How long ago something was, as the document's own clock tells.
fn ago(doc: &Value, at: &Value) -> Option<String> {
    let time = |v: &Value| chrono::DateTime::parse_from_rfc3339(v.as_str()?).ok();
    let seconds = (time(&doc["now"])? - time(at)?).num_seconds();
    Some(format!("{} ago", age(seconds)))
}

/// When each lane last succeeded, what has kept it from that since, and what to do about it.
fn standings(doc: &Value, style: &Style) -> String {
    let mut rows = Vec::new();
    let mut fixes = String::new();
    for s in doc["lanes"].as_array().into_iter().flatten() {
        let (subject, lane) = (text(&s["subject"]), text(&s["lane"]));
        let succeeded = ago(doc, &s["last_success"]);
        let mut cells = vec![Cell::new(subject.clone()), Cell::new(lane.clone())];
        cells.push(match &succeeded {
            Some(ago) => Cell::of(Meaning::Good, format!("ok {ago}")),
            None => Cell::of(Meaning::Aside, "no success on record"),
        });
        cells.push(match ago(doc, &s["since"]) {
            Some(since) => {
                let last = &s["last"];
                let said = text(&last["message"]);
                if !said.is_empty() {
                    fixes += &wrap(&format!("{subject} {lane}: {said}"), 2, style);
                }
                if let Some(hint) = last["hint"].as_str() {
                    let hint = style.paint(Meaning::Command, &neutral(hint));
                    fixes += &wrap(&format!("→ {hint}"), 4, style);
                }
                Cell::of(
                    Meaning::Look,
                    format!("{} since {since}", text(&last["outcome"])),
                )
            }
            None => Cell::new(""),
        });
        rows.push(cells);
    }
    let mut out = String::new();
    if !rows.is_empty() {
        out += &format!("{}\n", style.paint(Meaning::Heading, "Applied runs"));
        out += &lines(&rows, &[Align::Left; 4], 1, 2, style);
        out += &fixes;
    }
    if let Some(since) = ago(doc, &doc["streak"]["since"]) {
        let n = doc["streak"]["runs"].as_u64().unwrap_or(0) as usize;
        out += &format!("Without a failure: {} since {since}\n", count(n, "run"));
    }
    for peer in doc["peers"].as_array().into_iter().flatten() {
        if let Some(passed) = ago(doc, &peer["librarian"]) {
            let name = text(&peer["name"]);
            out += &format!("Acceptance tests with {name}: passed {passed}\n");
        }
    }
    out
}

/// A set of units in a line, and what is not as it should be.
pub fn service(unit: &Value, style: &Style) -> String {
    let does = match unit["applies"] == true {
        true => "applies",
        false => "only reports",
    };
    let mut said = format!(
        "Service: {} ({}) {does}, every {} s",
        text(&unit["unit"]),
        text(&unit["scope"]),
        unit["interval_seconds"]
    );
    let is_off = unit["enabled"] == false || unit["active"] == false;
    if is_off {
        said += ", switched off";
    }
    if let Some(next) = unit["next_run"].as_str() {
        said += &format!(", next at {}", neutral(next));
    }
    if let Some(result) = unit["last_result"].as_str() {
        said += &format!(", last {}", neutral(result));
    }
    let meaning = match is_off {
        true => Meaning::Look,
        false => Meaning::Aside,
    };
    let mut out = format!("{}\n", style.paint(meaning, &said));
    let drift: Vec<String> = unit["drift"]
        .as_array()
        .into_iter()
        .flatten()
        .map(text)
        .collect();
    if !drift.is_empty() {
        let said = format!(
            "not what the policy would make any more: {}; to bring it up to date: {}",
            drift.join(", "),
            text(&unit["install"])
        );
        out += &wrap(&style.paint(Meaning::Look, &said), 2, style);
    }
    out
}

/// The worker in a line: alive or not, its turns, and whether it is behind.
fn worker(doc: &Value, style: &Style) -> String {
    let mut out = match &doc["worker"] {
        Value::Null if has_timer(doc) => String::new(),
        Value::Null => {
            "No worker has run here; to let it run by itself: ubos-sync watch --apply\n".to_owned()
        }
        w => alive(w, doc, style),
    };
    if doc["overdue"] == true {
        let said = "OVERDUE: no success for three turns; to see why: ubos-sync runs list";
        out += &format!("{}\n", style.paint(Meaning::Loss, said));
    }
    out
}

fn has_timer(doc: &Value) -> bool {
    let units = doc["service"].as_array().into_iter().flatten();
    units
        .into_iter()
        .any(|u| u["mode"] == "timer" && u["enabled"] != false)
}

fn alive(w: &Value, doc: &Value, style: &Style) -> String {
    let did = format!(
        "{} cycles, {} good, {} failed",
        w["cycles"], w["succeeded"], w["failed"]
    );
    let (meaning, said) = match (w["alive"] == true, w["ended"].as_str()) {
        (true, _) => {
            let next = doc["next_run"].as_str().unwrap_or("soon");
            (
                Meaning::Good,
                format!("Worker: process {}, {did}, next at {next}", w["pid"]),
            )
        }
        (false, Some(ended)) => (
            Meaning::Aside,
            format!("Worker: ended {}; {did}", neutral(ended)),
        ),
        (false, None) => (Meaning::Loss, format!("Worker: DIED; {did}")),
    };
    format!("{}\n", style.paint(meaning, &said))
}

fn text(value: &Value) -> String {
    neutral(value.as_str().unwrap_or_default())
}

fn of_peer(peer: &Value) -> Vec<Vec<Cell>> {
    let name = text(&peer["name"]);
    let all = peer["lanes"].as_array().cloned().unwrap_or_default();
    if peer["reachable"] == false {
        let why = text(&all[0]["message"]);
        return vec![vec![
            Cell::new(name),
            Cell::new(""),
            Cell::of(Meaning::Look, "offline"),
            Cell::of(Meaning::Aside, why),
        ]];
    }
    if all.is_empty() {
        let cells = [
            Cell::new(name),
            Cell::new(""),
            Cell::of(Meaning::Aside, "not asked"),
            Cell::new(""),
        ];
        return vec![cells.into()];
    }
    all.iter().map(|l| row(&name, l)).collect()
}

fn row(peer: &str, lane: &Value) -> Vec<Cell> {
    let outcome = text(&lane["outcome"]);
    let (word, meaning) = match outcome.as_str() {
        "in-sync" => ("in sync", Meaning::Good),
        "failed" | "refused" => (outcome.as_str(), Meaning::Loss),
        other => (other, Meaning::Look),
    };
    let number = |key: &str| lane[key].as_u64().unwrap_or(0) as usize;
    let (what, detail) = match lane["lane"].as_str() {
        Some("log") => {
            let bytes = match number("bytes") {
                0 => String::new(),
                n => format!("+{}", size(n as u64)),
            };
            (text(&lane["log"]), bytes)
        }
        _ => {
            let mut parts = Vec::new();
            if number("to_peer") > 0 {
                parts.push(format!("{} for {peer}", count(number("to_peer"), "change")));
            }
            if number("to_local") > 0 {
                parts.push(format!(
                    "{} from {peer}",
                    count(number("to_local"), "change")
                ));
            }
            if number("conflicts") > 0 {
                parts.push(count(number("conflicts"), "open conflict"));
            }
            ("truth".to_owned(), parts.join(", "))
        }
    };
    let said = text(&lane["message"]);
    let detail = match (detail.is_empty(), said.is_empty()) {
        (_, true) => detail,
        (true, false) => said,
        (false, false) => format!("{detail}; {said}"),
    };
    vec![
        Cell::new(peer),
        Cell::new(what),
        Cell::of(meaning, word),
        Cell::of(Meaning::Aside, detail),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn everything_stands_on_one_screen() {
        let doc = json!({
            "site": "mac", "lock": null,
            "peers": [
                { "name": "balaur", "reachable": true, "pending": 4, "conflicts": 1, "lanes": [
                    { "lane": "truth", "outcome": "partial", "to_peer": 3, "to_local": 0, "conflicts": 1 },
                    { "lane": "log", "log": "logs/m.jsonl", "outcome": "pending", "bytes": 2048 } ] },
                { "name": "disk", "reachable": false, "pending": 0, "lanes": [ { "message": "disk is\u{1b} away" } ] },
                { "name": "idle", "reachable": true, "pending": 0, "held": "rolled back", "lanes": [ { "lane": "truth", "outcome": "in-sync" } ] } ],
            "now": "2026-11-25T14:10:00Z",
            "lanes": [
                { "subject": "balaur", "lane": "truth", "last_success": "2026-11-25T14:06:00Z", "since": null },
                { "subject": "disk", "lane": "logs", "last_success": "2026-11-24T14:06:00Z", "since": "2026-11-25T12:00:00Z",
                  "last": { "outcome": "offline", "message": "disk is away", "hint": "ssh disk true" } } ],
            "streak": { "since": "2026-11-22T14:10:00Z", "runs": 862 },
            "worker": { "pid": 7, "alive": true, "cycles": 3, "succeeded": 2, "failed": 1 },
            "next_run": "2026-11-25T14:10:50Z", "overdue": true,
            "last_run": { "command": "full", "run": "20261125T140550Z-full-78c03e", "outcome": "applied", "age_seconds": 240 },
        });
        insta::assert_snapshot!(screen(&doc, &Style::default()), @r"
        mac and its peers
          balaur  truth         partial  3 changes for balaur, 1 open conflict
          balaur  logs/m.jsonl  pending  +2.0 KiB
          disk                  offline  disk is\e away
          idle    truth         in sync
          idle is HELD: rolled back; when it is settled: ubos-sync release idle
        Last applied: full 20261125T140550Z-full-78c03e (applied), 4 min ago
        Applied runs
          balaur  truth  ok 4 min ago
          disk    logs   ok 24 h ago   offline since 2 h ago
          disk logs: disk is away
            → ssh disk true
        Without a failure: 862 runs since 3 days ago
        Worker: process 7, 3 cycles, 2 good, 1 failed, next at 2026-11-25T14:10:50Z
        OVERDUE: no success for three turns; to see why: ubos-sync runs list
        Next: ubos-sync full
        ");
    }
}
