//! The state of every lane in the text form that Prometheus' node exporter reads. Pure.

use std::fmt::Write;

use super::overview::is_good;
use super::record::{Lane, Record};

/// A label's value, as the format wants it.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// The lines for one run; `at` is when it ended, in seconds. `before` are the lines of the file that it replaces: the last
/// success of a lane that failed now is taken from there.
pub fn lines(record: &Record, at: i64, before: &str) -> String {
    let mut out = String::new();
    let mut family = |name: &str, help: &str, values: Vec<(String, f64)>| {
        let _ = writeln!(
            out,
            "# HELP ubos_sync_{name} {help}\n# TYPE ubos_sync_{name} gauge"
        );
        for (labels, value) in values {
            let _ = writeln!(out, "ubos_sync_{name}{{{labels}}} {value}");
        }
    };
    let lanes: Vec<(String, &Lane)> = record
        .lanes
        .iter()
        .map(|l| {
            let (word, log) = match l {
                Lane::Truth(_) => ("truth", None),
                Lane::Log(l) => ("log", Some(&l.log)),
                Lane::Publish(_) => ("publish", None),
            };
            let mut labels = format!("lane=\"{word}\",peer=\"{}\"", label(l.subject()));
            if let Some(log) = log {
                let _ = write!(labels, ",log=\"{}\"", label(log));
            }
            (labels, l)
        })
        .collect();
    let each = |f: &dyn Fn(&Lane) -> f64| {
        lanes
            .iter()
            .map(|(l, lane)| (l.clone(), f(lane)))
            .collect::<Vec<_>>()
    };
    family(
        "lane_success",
        "Whether the last run of the lane succeeded.",
        each(&|l| f64::from(u8::from(is_good(l.outcome())))),
    );
    let last = lanes
        .iter()
        .filter_map(|(labels, lane)| {
            let key = format!("ubos_sync_lane_last_success_timestamp_seconds{{{labels}}} ");
            let earlier = || {
                before
                    .lines()
                    .find_map(|l| l.strip_prefix(key.as_str())?.parse().ok())
            };
            let at = if is_good(lane.outcome()) {
                Some(at as f64)
            } else {
                earlier()
            };
            Some((labels.clone(), at?))
        })
        .collect();
    family(
        "lane_last_success_timestamp_seconds",
        "When the lane last succeeded.",
        last,
    );
    family(
        "lane_changes",
        "Changes of the last run, or a log's new bytes.",
        each(&|l| match l {
            Lane::Log(l) => l.bytes as f64,
            _ => l.changes().len() as f64,
        }),
    );
    family(
        "lane_left",
        "Items that wait for a person.",
        each(&|l| match l {
            Lane::Truth(t) => t.left.len() as f64,
            _ => 0.0,
        }),
    );
    let run = format!("command=\"{}\"", label(&record.command));
    family(
        "run_timestamp_seconds",
        "When the last run ended.",
        vec![(run.clone(), at as f64)],
    );
    family(
        "run_duration_seconds",
        "How long the last run took.",
        vec![(run.clone(), record.seconds)],
    );
    family(
        "run_exit_code",
        "The exit code of the last run.",
        vec![(run, f64::from(record.exit_code))],
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::{Mode, Outcome, TruthLane};

    #[test]
    fn a_failure_keeps_the_time_of_the_last_success() {
        let mut record = Record::open("R", "full", Mode::Apply, "2026-01-01T00:00:00Z");
        let mut lane = TruthLane::new("a\"b");
        lane.outcome = Outcome::Applied;
        record.lanes.push(Lane::Truth(lane.clone()));
        let first = lines(&record, 1000, "");
        let key = "ubos_sync_lane_last_success_timestamp_seconds{lane=\"truth\",peer=\"a\\\"b\"}";
        assert!(first.contains(&format!("{key} 1000\n")), "{first}");
        lane.outcome = Outcome::Failed;
        record.lanes = vec![Lane::Truth(lane)];
        let second = lines(&record, 2000, &first);
        assert!(second.contains(&format!("{key} 1000\n")), "{second}");
        assert!(second.contains("ubos_sync_lane_success{lane=\"truth\",peer=\"a\\\"b\"} 0\n"));
    }
}
