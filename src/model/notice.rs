//! What of a run is worth waking somebody for: a pure comparison of its record with the ones before it.
//!
//! Invariant: a conflict that was open before is no news, and neither is a failure that was told of already.

use std::collections::HashSet;

use serde::Serialize;

use super::policy::Event;
use super::record::{Lane, Outcome, Record};
use super::text::count;

/// One event, as it goes out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Notice {
    #[cfg_attr(test, schemars(extend("enum" = ["failure", "conflict", "recovery", "success"])))]
    pub event: &'static str,
    pub host: String,
    /// Empty when it is about several at once.
    pub peer: String,
    /// All that it is about, when those are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<String>,
    pub lane: &'static str,
    pub run: String,
    pub message: String,
}

impl Event {
    pub fn word(self) -> &'static str {
        match self {
            Event::Failure => "failure",
            Event::Conflict => "conflict",
            Event::Recovery => "recovery",
            Event::Success => "success",
        }
    }
}

fn bad(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Failed | Outcome::Refused)
}

fn open_conflicts(lane: &Lane) -> HashSet<&str> {
    match lane {
        Lane::Truth(t) => t
            .left
            .iter()
            .filter(|l| l.conflict)
            .map(|l| l.path.as_str())
            .collect(),
        _ => HashSet::new(),
    }
}

/// What a lane is about, so that one run's is found in another's.
fn key(lane: &Lane) -> (&'static str, &str, &str) {
    let log = match lane {
        Lane::Log(l) => l.log.as_str(),
        _ => "",
    };
    (lane.word(), lane.subject(), log)
}

/// The events of a run. `before`: the applied runs before it, newest first.
pub fn notices(record: &Record, before: &[Record]) -> Vec<(Event, Notice)> {
    let mut all = Vec::new();
    for lane in &record.lanes {
        let mut earlier = before.iter().flat_map(|r| &r.lanes).filter(|l| {
            // What was not looked at says nothing.
            key(l) == key(lane)
                && !matches!(
                    l.outcome(),
                    Outcome::Offline | Outcome::Locked | Outcome::Interrupted
                )
        });
        let last = earlier.next();
        let was_bad = last.is_some_and(|l| bad(l.outcome()));
        let mut say = |event: Event, message: String| {
            let notice = Notice {
                event: event.word(),
                host: record.who.site.clone(),
                peer: lane.subject().to_owned(),
                peers: Vec::new(),
                lane: lane.word(),
                run: record.run.clone(),
                message,
            };
            all.push((event, notice));
        };
        let why = || {
            let finding = record
                .findings
                .iter()
                .find(|f| f.peer.as_deref().is_none_or(|p| p == lane.subject()));
            let text = lane.message().or(finding.map(|f| f.message.as_str()));
            text.unwrap_or("see the record").to_owned()
        };
        match lane.outcome() {
            o if bad(o) && !was_bad => {
                say(Event::Failure, format!("{}: {}", o.word(), why()));
            }
            Outcome::InSync | Outcome::Applied | Outcome::Partial if was_bad => {
                say(Event::Recovery, "it works again".into());
            }
            Outcome::InSync | Outcome::Applied => say(Event::Success, lane.outcome().word().into()),
            _ => {}
        }
        let known: HashSet<&str> = last.map(open_conflicts).unwrap_or_default();
        let fresh: Vec<&str> = open_conflicts(lane)
            .into_iter()
            .filter(|p| !known.contains(p))
            .collect();
        if !fresh.is_empty() {
            let mut names = fresh.clone();
            names.sort_unstable();
            names.truncate(3);
            say(
                Event::Conflict,
                format!(
                    "{} wait for a decision: {}",
                    count(fresh.len(), "new conflict"),
                    names.join(", ")
                ),
            );
        }
    }
    if record.lanes.is_empty() && bad(record.outcome) {
        let why = record
            .findings
            .first()
            .map_or("see the record", |f| f.message.as_str());
        all.push((
            Event::Failure,
            Notice {
                event: Event::Failure.word(),
                host: record.who.site.clone(),
                peer: String::new(),
                peers: Vec::new(),
                lane: "",
                run: record.run.clone(),
                message: format!("{}: {why}", record.outcome.word()),
            },
        ));
    }
    together(all)
}

/// What happened to many targets of a publish for one reason is one piece of news.
fn together(all: Vec<(Event, Notice)>) -> Vec<(Event, Notice)> {
    let mut out: Vec<(Event, Notice)> = Vec::new();
    for (event, notice) in all {
        let same = out.iter_mut().find(|(e, n)| {
            notice.lane == "publish"
                && *e == event
                && n.lane == notice.lane
                && n.message == notice.message
        });
        match same {
            None => out.push((event, notice)),
            Some((_, first)) => {
                if first.peers.is_empty() {
                    first.peers.push(std::mem::take(&mut first.peer));
                }
                first.peers.push(notice.peer);
            }
        }
    }
    for (_, notice) in out.iter_mut().filter(|(_, n)| !n.peers.is_empty()) {
        notice.message = format!(
            "{}: {}",
            count(notice.peers.len(), "target"),
            notice.message
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::{LeftDoc, Mode, PublishLane, TruthLane};

    fn record(outcome: Outcome, conflicts: &[&str]) -> Record {
        let mut record = Record::open("R", "full", Mode::Apply, "2026-01-01T00:00:00Z");
        let mut lane = TruthLane::new("balaur");
        lane.outcome = outcome;
        lane.left = conflicts
            .iter()
            .map(|p| LeftDoc {
                path: (*p).into(),
                path_hex: None,
                why: "both changed".into(),
                conflict: true,
            })
            .collect();
        record.lanes.push(Lane::Truth(lane));
        record
    }

    fn events(now: &Record, before: &[Record]) -> Vec<&'static str> {
        notices(now, before)
            .into_iter()
            .map(|(_, n)| n.event)
            .collect()
    }

    #[test]
    fn a_failure_is_told_once_and_so_is_its_end() {
        let (good, bad) = (record(Outcome::InSync, &[]), record(Outcome::Failed, &[]));
        assert_eq!(events(&bad, std::slice::from_ref(&good)), ["failure"]);
        assert!(events(&bad, std::slice::from_ref(&bad)).is_empty());
        assert_eq!(events(&good, std::slice::from_ref(&bad)), ["recovery"]);
        // An absent peer between the two is neither.
        let away = record(Outcome::Offline, &[]);
        assert!(events(&away, std::slice::from_ref(&bad)).is_empty());
        assert_eq!(events(&good, &[away, bad]), ["recovery"]);
    }

    #[test]
    fn what_stops_all_targets_is_told_once() {
        let mut now = Record::open("R", "publish", Mode::Apply, "2026-01-01T00:00:00Z");
        for (name, why) in [("a", "a secret"), ("b", "no room"), ("c", "a secret")] {
            let mut lane = PublishLane::new(name);
            lane.outcome = Outcome::Refused;
            lane.message = Some(why.into());
            now.lanes.push(Lane::Publish(lane));
        }
        let told: Vec<Notice> = notices(&now, &[]).into_iter().map(|(_, n)| n).collect();
        assert_eq!(told.len(), 2);
        assert_eq!(told[0].peers, ["a", "c"]);
        assert_eq!(told[0].message, "2 targets: refused: a secret");
        assert_eq!((told[1].peer.as_str(), told[1].peers.len()), ("b", 0));
    }

    #[test]
    fn only_a_new_conflict_is_news() {
        let one = record(Outcome::Partial, &["a"]);
        let two = record(Outcome::Partial, &["a", "b"]);
        assert_eq!(events(&one, &[]), ["conflict"]);
        assert!(events(&one, std::slice::from_ref(&one)).is_empty());
        let told = notices(&two, std::slice::from_ref(&one));
        assert!(told[0].1.message.contains("1 new conflict") && told[0].1.message.ends_with(": b"));
    }
}
