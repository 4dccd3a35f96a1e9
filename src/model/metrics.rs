//! The state of every lane in the text form that Prometheus' node exporter reads. Pure.
//!
//! Invariants: a run restates only what it was about, so the series of other lanes stay as their last run left them; counters only
//! grow; what the policy no longer names goes away.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

use super::overview::is_good;
use super::record::{Lane, Outcome, Record};

/// What a run does not know of itself.
pub struct Around<'a> {
    /// When the run ended, in seconds.
    pub at: i64,
    /// Every lane of the policy (`truth`, `log` or `publish`) with its peer or target.
    pub lanes: &'a [(&'a str, &'a str)],
    /// Each peer, and whether nothing moves there until a person lets it go.
    pub held: &'a [(&'a str, bool)],
    pub version: &'a str,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Gauge,
    Counter,
}

/// Every family, in the order in which they are written.
const FAMILIES: [(&str, Kind, &str); 15] = [
    (
        "build_info",
        Kind::Gauge,
        "The version that wrote this, always 1.",
    ),
    (
        "runs_total",
        Kind::Counter,
        "Applied runs by their outcome.",
    ),
    (
        "run_duration_seconds_total",
        Kind::Counter,
        "Time that applied runs took.",
    ),
    (
        "run_timestamp_seconds",
        Kind::Gauge,
        "When the last run ended.",
    ),
    (
        "run_duration_seconds",
        Kind::Gauge,
        "How long the last run took.",
    ),
    (
        "run_exit_code",
        Kind::Gauge,
        "The exit code of the last run.",
    ),
    (
        "lane_success",
        Kind::Gauge,
        "Whether the last run of the lane succeeded.",
    ),
    (
        "lane_last_success_timestamp_seconds",
        Kind::Gauge,
        "When the lane last succeeded.",
    ),
    (
        "lane_changes",
        Kind::Gauge,
        "Changes of the last run, or a log's new bytes.",
    ),
    ("lane_left", Kind::Gauge, "Items that wait for a person."),
    (
        "lane_skipped_total",
        Kind::Counter,
        "Runs in which the lane was left out: peer away, locked, writer busy.",
    ),
    (
        "lane_files_total",
        Kind::Counter,
        "Files carried, by the side that changed.",
    ),
    (
        "lane_bytes_total",
        Kind::Counter,
        "Bytes of files carried, by the side that changed.",
    ),
    (
        "conflicts_open",
        Kind::Gauge,
        "Conflicts that nobody has decided.",
    ),
    (
        "pair_held",
        Kind::Gauge,
        "Whether the pair is held until a person lets it go.",
    ),
];

/// A series: its family, then its labels as they stand between the braces.
type Key = (String, String);

/// A label's value, as the format wants it.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// The lines after one run. `before` are the lines of the file that they replace.
pub fn lines(record: &Record, around: &Around, before: &str) -> String {
    let mut all = parse(before, around);
    drop_gone(&mut all, record);
    let mut set = |family: &str, labels: String, value: f64| {
        all.insert((family.to_owned(), labels), value);
    };
    set(
        "build_info",
        format!("version=\"{}\"", label(around.version)),
        1.0,
    );
    let command = format!("command=\"{}\"", label(&record.command));
    set("run_timestamp_seconds", command.clone(), around.at as f64);
    set("run_duration_seconds", command.clone(), record.seconds);
    set(
        "run_exit_code",
        command.clone(),
        f64::from(record.exit_code),
    );
    for (peer, held) in around.held {
        let peer = format!("peer=\"{}\"", label(peer));
        set("pair_held", peer, f64::from(u8::from(*held)));
    }
    for lane in &record.lanes {
        let labels = labels(lane);
        let good = is_good(lane.outcome());
        set("lane_success", labels.clone(), f64::from(u8::from(good)));
        if good {
            set(
                "lane_last_success_timestamp_seconds",
                labels.clone(),
                around.at as f64,
            );
        }
        let changes = match lane {
            Lane::Log(l) => l.bytes as f64,
            _ => lane.changes().len() as f64,
        };
        set("lane_changes", labels.clone(), changes);
        let Lane::Truth(truth) = lane else { continue };
        // A look at some paths, or none at all, says nothing of the others.
        if good && !truth.limited {
            set("lane_left", labels, truth.left.len() as f64);
            let open = truth.left.iter().filter(|l| l.conflict).count();
            let peer = format!("peer=\"{}\"", label(&truth.peer));
            set("conflicts_open", peer, open as f64);
        }
    }
    let mut add = |family: &str, labels: String, value: f64| {
        *all.entry((family.to_owned(), labels)).or_default() += value;
    };
    let ended = format!("{command},outcome=\"{}\"", record.outcome.word());
    add("runs_total", ended, 1.0);
    add("run_duration_seconds_total", command, record.seconds);
    for lane in &record.lanes {
        let labels = labels(lane);
        let out = matches!(
            lane.outcome(),
            Outcome::Offline | Outcome::Locked | Outcome::Skipped
        );
        add(
            "lane_skipped_total",
            labels.clone(),
            f64::from(u8::from(out)),
        );
        for carried in lane.carried() {
            let labels = format!("{labels},direction=\"to_{}\"", carried.to);
            add("lane_files_total", labels.clone(), carried.files as f64);
            add("lane_bytes_total", labels, carried.bytes as f64);
        }
    }
    print(&all)
}

/// Logs that were looked at are all that there are: a member of a pattern that went away is no lane any more. Taking one back
/// looks at that one only.
fn drop_gone(all: &mut BTreeMap<Key, f64>, record: &Record) {
    let is_log = |l: &&Lane| matches!(l, Lane::Log(_)) && l.undoes().is_empty();
    let logs = || record.lanes.iter().filter(is_log);
    let there: HashSet<String> = logs().map(labels).collect();
    let looked: HashSet<String> = logs()
        .filter(|l| is_good(l.outcome()))
        .map(|l| format!("lane=\"log\",peer=\"{}\",", label(l.subject())))
        .collect();
    all.retain(|(_, own), _| {
        let own = own.split(",direction=").next().unwrap_or_default();
        !looked.iter().any(|of_peer| own.starts_with(of_peer)) || there.contains(own)
    });
}

fn labels(lane: &Lane) -> String {
    let mut labels = format!(
        "lane=\"{}\",peer=\"{}\"",
        lane.word(),
        label(lane.subject())
    );
    if let Lane::Log(l) = lane {
        let _ = write!(labels, ",log=\"{}\"", label(&l.log));
    }
    labels
}

/// The series of a file that still mean something.
fn parse(text: &str, around: &Around) -> BTreeMap<Key, f64> {
    let families: HashSet<&str> = FAMILIES.iter().map(|f| f.0).collect();
    let mut known: Vec<String> = Vec::new();
    for (lane, subject) in around.lanes {
        let peer = format!("peer=\"{}\"", label(subject));
        known.push(format!("lane=\"{lane}\",{peer}"));
        known.push(peer);
    }
    let is_of = |labels: &str, known: &String| {
        labels
            .strip_prefix(known.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(','))
    };
    let line = |line: &str| {
        let (family, rest) = line.strip_prefix("ubos_sync_")?.split_once('{')?;
        // A value never holds a brace, a label may.
        let (labels, value) = rest.rsplit_once("} ")?;
        let lives = !labels.contains("peer=\"") || known.iter().any(|k| is_of(labels, k));
        // Of the version only the present one counts.
        (lives && families.contains(family) && family != "build_info").then_some(())?;
        Some(((family.to_owned(), labels.to_owned()), value.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

fn print(all: &BTreeMap<Key, f64>) -> String {
    let mut out = String::new();
    for (family, kind, help) in FAMILIES {
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        let _ = writeln!(
            out,
            "# HELP ubos_sync_{family} {help}\n# TYPE ubos_sync_{family} {kind}"
        );
        for ((_, labels), value) in all.iter().filter(|((f, _), _)| f == family) {
            let _ = writeln!(out, "ubos_sync_{family}{{{labels}}} {value}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::{Action, ChangeDoc, LogLane, Mode, ResultWord, TruthLane};

    const PEER: &str = "a\"b";

    fn after(lane: Lane, at: i64, before: &str) -> String {
        let mut record = Record::open("R", "full", Mode::Apply, "2026-01-01T00:00:00Z");
        record.outcome = lane.outcome();
        record.seconds = 1.5;
        record.lanes.push(lane);
        let around = Around {
            at,
            lanes: &[("truth", PEER), ("log", PEER)],
            held: &[(PEER, false)],
            version: "1.2.3",
        };
        lines(&record, &around, before)
    }

    fn truth(outcome: Outcome) -> TruthLane {
        let mut lane = TruthLane::new(PEER);
        lane.outcome = outcome;
        lane
    }

    fn has(text: &str, line: &str) {
        assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
    }

    #[test]
    fn a_failure_keeps_the_time_of_the_last_success() {
        let of = "lane=\"truth\",peer=\"a\\\"b\"";
        let first = after(Lane::Truth(truth(Outcome::Applied)), 1000, "");
        let success = format!("ubos_sync_lane_last_success_timestamp_seconds{{{of}}} 1000");
        has(&first, &success);
        let second = after(Lane::Truth(truth(Outcome::Failed)), 2000, &first);
        has(&second, &success);
        has(&second, &format!("ubos_sync_lane_success{{{of}}} 0"));
        has(&second, "ubos_sync_pair_held{peer=\"a\\\"b\"} 0");
        has(&second, "ubos_sync_build_info{version=\"1.2.3\"} 1");
    }

    #[test]
    fn counters_grow_and_other_lanes_stay_as_they_were() {
        let mut lane = truth(Outcome::Applied);
        let change = |kind: &str, to: &str, bytes, result| ChangeDoc {
            path: "p".into(),
            path_hex: None,
            kind: kind.into(),
            to: to.into(),
            bytes,
            conflict: None,
            why: None,
            moved: false,
            source: None,
            target: None,
            result,
            error: None,
        };
        lane.changes = vec![
            change("create", "peer", 10, ResultWord::Done),
            change("delete", "peer", 99, ResultWord::Done),
            change("update", "peer", 7, ResultWord::Failed),
            change("update", "local", 5, ResultWord::Done),
        ];
        let once = after(Lane::Truth(lane.clone()), 1, "");
        let twice = after(Lane::Truth(lane), 2, &once);
        let of = "lane=\"truth\",peer=\"a\\\"b\"";
        has(
            &twice,
            &format!("ubos_sync_lane_files_total{{{of},direction=\"to_peer\"}} 4"),
        );
        has(
            &twice,
            &format!("ubos_sync_lane_bytes_total{{{of},direction=\"to_peer\"}} 20"),
        );
        has(
            &twice,
            &format!("ubos_sync_lane_bytes_total{{{of},direction=\"to_local\"}} 10"),
        );
        has(
            &twice,
            "ubos_sync_runs_total{command=\"full\",outcome=\"applied\"} 2",
        );
        has(
            &twice,
            "ubos_sync_run_duration_seconds_total{command=\"full\"} 3",
        );
        let mut log = LogLane::new(PEER, "x} 1.log");
        log.outcome = Outcome::Offline;
        log.action = Action::Append;
        let third = after(Lane::Log(log), 3, &twice);
        has(&third, &format!("ubos_sync_lane_success{{{of}}} 1"));
        let own = "lane=\"log\",peer=\"a\\\"b\",log=\"x} 1.log\"";
        has(&third, &format!("ubos_sync_lane_skipped_total{{{own}}} 1"));
        let fourth = after(Lane::Truth(truth(Outcome::InSync)), 4, &third);
        has(&fourth, &format!("ubos_sync_lane_skipped_total{{{own}}} 1"));
    }

    #[test]
    fn a_peer_that_left_the_policy_leaves_the_file_too() {
        let before = "ubos_sync_lane_success{lane=\"truth\",peer=\"gone\"} 1\nubos_sync_odd{x=\"1\"} 1\nrubbish\n\
            ubos_sync_lane_success{lane=\"publish\",peer=\"a\\\"b\"} 0\n";
        let text = after(Lane::Truth(truth(Outcome::InSync)), 1, before);
        for gone in ["gone\"", "sync_odd", "rubbish", "publish\""] {
            assert!(!text.contains(gone), "{gone} in\n{text}");
        }
    }

    #[test]
    fn a_log_that_is_none_any_more_goes_when_the_logs_were_looked_at() {
        let log = |name: &str, outcome| {
            let mut log = LogLane::new(PEER, name);
            log.outcome = outcome;
            Lane::Log(log)
        };
        let first = after(log("day-1.log", Outcome::Applied), 1, "");
        let away = after(log("day-*.log", Outcome::Offline), 2, &first);
        assert!(away.contains("day-1.log"), "{away}");
        let second = after(log("day-2.log", Outcome::InSync), 3, &away);
        assert!(
            !second.contains("day-1.log") && !second.contains("day-*"),
            "{second}"
        );
        assert!(second.contains("day-2.log"));
        // Another of them is taken back.
        let mut back = LogLane::new(PEER, "other.log");
        (back.outcome, back.undoes) = (Outcome::Applied, vec!["R".into()]);
        assert!(after(Lane::Log(back), 4, &second).contains("day-2.log"));
    }

    #[test]
    fn what_waits_for_a_person_is_not_nothing_because_nobody_looked() {
        let mut lane = truth(Outcome::Partial);
        lane.left = vec![crate::model::record::LeftDoc {
            path: "p".into(),
            path_hex: None,
            why: "both changed".into(),
            conflict: true,
        }];
        let first = after(Lane::Truth(lane), 1, "");
        let away = after(Lane::Truth(truth(Outcome::Offline)), 2, &first);
        has(
            &away,
            "ubos_sync_lane_left{lane=\"truth\",peer=\"a\\\"b\"} 1",
        );
        has(&away, "ubos_sync_conflicts_open{peer=\"a\\\"b\"} 1");
    }
}
