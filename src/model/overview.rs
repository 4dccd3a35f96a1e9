//! How each lane of each peer and target stands, as the records tell it. Pure.
//!
//! Invariant: nothing here is newer than the newest record; whoever shows it says how old that is.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::policy::Policy;
use super::record::{Lane, Outcome, Record};

/// The last run that had a part for a lane.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Last {
    pub run: String,
    /// RFC 3339, like every time here.
    pub at: String,
    pub outcome: Outcome,
    pub message: Option<String>,
    pub hint: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Standing {
    pub subject: String,
    /// `truth`, `logs` or `publish`.
    #[cfg_attr(test, schemars(extend("enum" = ["truth", "logs", "publish"])))]
    pub lane: &'static str,
    pub last_success: Option<String>,
    pub last: Option<Last>,
    /// Since when it has not succeeded any more, when the last run did not.
    pub since: Option<String>,
}

/// Every lane that the policy asks for.
pub fn wanted(policy: &Policy) -> Vec<(String, &'static str)> {
    let mut all = Vec::new();
    for p in &policy.peers {
        let lanes = [(p.truth, "truth"), (!p.logs.is_empty(), "logs")];
        let lanes = lanes.iter().filter(|(has, _)| *has);
        all.extend(lanes.map(|(_, lane)| (p.name.clone(), *lane)));
    }
    let targets = policy.publish.iter().flat_map(|p| &p.targets);
    all.extend(targets.map(|t| (t.name.clone(), "publish")));
    all
}

/// `records` are the newest first.
pub fn standings(policy: &Policy, records: &[Record]) -> Vec<Standing> {
    let all = wanted(policy).into_iter();
    all.map(|(subject, lane)| standing(subject, lane, records))
        .collect()
}

fn standing(subject: String, lane: &'static str, records: &[Record]) -> Standing {
    let mut standing = Standing {
        subject,
        lane,
        last_success: None,
        last: None,
        since: None,
    };
    for record in records.iter().filter(|r| counts(r)) {
        let at = record.started.clone();
        let Some(own) = worst(record, &standing.subject, lane) else {
            continue;
        };
        let good = is_good(own.outcome());
        if standing.last.is_none() {
            standing.last = Some(Last {
                run: record.run.clone(),
                at: at.clone(),
                outcome: own.outcome(),
                message: own.message().map(str::to_owned),
                hint: own.hint().map(str::to_owned),
            });
        }
        if good {
            standing.last_success = Some(at);
            break;
        }
        standing.since = Some(at);
    }
    standing
}

/// Until when the first of these lanes is not late, when its last success may be so old. One that never had any is new, which is
/// told elsewhere.
pub fn due<'s>(
    standings: impl Iterator<Item = &'s Standing>,
    most: Duration,
) -> Option<DateTime<Utc>> {
    let most = chrono::Duration::from_std(most).unwrap_or_default();
    let success = |s: &Standing| DateTime::parse_from_rfc3339(s.last_success.as_deref()?).ok();
    standings
        .filter_map(success)
        .map(|at| at.to_utc() + most)
        .min()
}

/// Whether a lane that a timer serves has not succeeded for so long.
pub fn is_late(standings: &[Standing], of_lane: &str, most: Duration, now: DateTime<Utc>) -> bool {
    let served = |s: &&Standing| match of_lane {
        "full" => s.lane != "publish",
        lane => s.lane == lane,
    };
    due(standings.iter().filter(served), most).is_some_and(|due| due < now)
}

/// Runs of the lanes themselves, carried out to their end.
fn counts(record: &Record) -> bool {
    record.is_applied() && ["truth", "logs", "full", "publish"].contains(&record.command.as_str())
}

pub fn is_good(outcome: Outcome) -> bool {
    matches!(
        outcome,
        Outcome::InSync | Outcome::Applied | Outcome::Partial | Outcome::Current
    )
}

/// The part of a record that is about this lane; of several logs the one that fared worst.
pub fn worst<'r>(record: &'r Record, subject: &str, lane: &str) -> Option<&'r Lane> {
    let own = record.lanes.iter().filter(|l| {
        let same = match l {
            Lane::Truth(_) => lane == "truth",
            Lane::Log(_) => lane == "logs",
            Lane::Publish(_) => lane == "publish",
        };
        same && l.subject() == subject && l.undoes().is_empty()
    });
    own.min_by_key(|l| is_good(l.outcome()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::Mode;
    use crate::model::record::TruthLane;

    fn record(at: &str, outcome: Outcome) -> Record {
        let mut record = Record::open(at, "full", Mode::Apply, at);
        record.complete = true;
        let mut lane = TruthLane::new("balaur");
        lane.outcome = outcome;
        lane.message = Some(format!("it is {}", outcome.word()));
        record.lanes.push(Lane::Truth(lane));
        record
    }

    #[test]
    fn a_timer_is_late_when_a_lane_of_its_own_has_not_succeeded_for_long() {
        let standing = |lane, at: Option<&str>| Standing {
            subject: "balaur".into(),
            lane,
            last_success: at.map(str::to_owned),
            last: None,
            since: None,
        };
        let now = DateTime::parse_from_rfc3339("2026-01-01T12:00:00Z")
            .unwrap()
            .to_utc();
        let all = [
            standing("truth", Some("2026-01-01T11:50:00Z")),
            standing("logs", Some("2026-01-01T08:00:00Z")),
            standing("publish", Some("2025-01-01T08:00:00Z")),
            standing("truth", None),
        ];
        let late = |lane| is_late(&all, lane, Duration::from_secs(900), now);
        assert_eq!(["full", "truth", "logs"].map(late), [true, false, true]);
        assert!(!is_late(&all[3..], "full", Duration::ZERO, now));
    }

    #[test]
    fn the_last_success_and_since_when_it_has_failed_are_known() {
        let all = [
            record("2026-11-25T12:10:00Z", Outcome::Offline),
            record("2026-11-25T12:05:00Z", Outcome::Offline),
            record("2026-11-25T12:00:00Z", Outcome::InSync),
            record("2026-11-25T11:55:00Z", Outcome::Failed),
        ];
        let s = standing("balaur".into(), "truth", &all);
        assert_eq!(s.last_success.as_deref(), Some("2026-11-25T12:00:00Z"));
        assert_eq!(s.since.as_deref(), Some("2026-11-25T12:05:00Z"));
        assert_eq!(s.last.unwrap().message.as_deref(), Some("it is offline"));
        let s = standing("balaur".into(), "truth", &all[2..]);
        assert_eq!(s.since, None);
        assert_eq!(standing("balaur".into(), "logs", &all).last, None);
    }
}
