//! Conflicts as the records tell of them: what is open, what was settled and where its loser lies. Pure.
//!
//! Invariant: a path is open only when the newest look at everything says so and nothing newer has settled it.

use std::collections::HashSet;

use serde::Serialize;

use super::record::{EntryDoc, Lane, Outcome, Record, ResultWord, TruthLane};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum State {
    Open,
    Settled,
}

/// One side's version.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Version {
    pub host: String,
    /// `local` or `peer`.
    #[cfg_attr(test, schemars(extend("enum" = ["local", "peer"])))]
    pub side: &'static str,
    /// `None`: it was deleted there.
    #[serde(flatten)]
    pub entry: Option<EntryDoc>,
    /// Where it is kept on that host, for a loser.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_hex: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Conflict {
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    pub peer: String,
    pub state: State,
    pub run: String,
    pub when: String,
    pub why: String,
    pub winner: Option<Version>,
    pub loser: Option<Version>,
}

/// All conflicts, the open ones first, then the newest first. `records` are the newest first.
pub fn conflicts(records: &[Record]) -> Vec<Conflict> {
    let mut open = Vec::new();
    let mut settled = Vec::new();
    let mut looked: HashSet<&str> = HashSet::new();
    let mut done: HashSet<(&str, &str)> = HashSet::new();
    let mut told: HashSet<(&str, &str)> = HashSet::new();
    for record in records.iter().filter(|r| r.complete) {
        for lane in record.lanes.iter().filter_map(truth) {
            let whole = matches!(
                lane.outcome,
                Outcome::InSync | Outcome::Pending | Outcome::Applied | Outcome::Partial
            ) && !lane.limited;
            if whole && looked.insert(&lane.peer) {
                let left = lane.left.iter().filter(|l| l.conflict);
                let still = left.filter(|l| !done.contains(&(lane.peer.as_str(), l.path.as_str())));
                open.extend(still.map(|l| Conflict {
                    path: l.path.clone(),
                    path_hex: l.path_hex.clone(),
                    peer: lane.peer.clone(),
                    state: State::Open,
                    run: record.run.clone(),
                    when: record.started.clone(),
                    why: l.why.clone(),
                    winner: None,
                    loser: None,
                }));
            }
            for c in lane.changes.iter().filter(|c| c.result == ResultWord::Done) {
                let key = (lane.peer.as_str(), c.path.as_str());
                done.insert(key);
                if c.conflict.is_some() && told.insert(key) {
                    settled.push(of_change(record, lane, c));
                }
            }
        }
    }
    open.extend(settled);
    open
}

fn truth(lane: &Lane) -> Option<&TruthLane> {
    match lane {
        Lane::Truth(t) if t.undoes.is_empty() => Some(t),
        _ => None,
    }
}

fn of_change(record: &Record, lane: &TruthLane, c: &super::record::ChangeDoc) -> Conflict {
    let to_peer = c.to == "peer";
    let (loser, winner) = if to_peer {
        ("peer", "local")
    } else {
        ("local", "peer")
    };
    let host = |side: &str| match side {
        "peer" => lane.peer.clone(),
        _ => record.who.site.clone(),
    };
    let at = lane
        .kept
        .iter()
        .find(|k| (&k.path, &k.path_hex) == (&c.path, &c.path_hex) && k.side == loser);
    Conflict {
        path: c.path.clone(),
        path_hex: c.path_hex.clone(),
        peer: lane.peer.clone(),
        state: State::Settled,
        run: record.run.clone(),
        when: record.started.clone(),
        why: c.why.clone().unwrap_or_default(),
        winner: Some(Version {
            host: host(winner),
            side: winner,
            entry: c.source.as_deref().cloned(),
            at: None,
            at_hex: None,
        }),
        loser: Some(Version {
            host: host(loser),
            side: loser,
            entry: c.target.as_deref().cloned(),
            at: at.map(|k| k.at.clone()),
            at_hex: at.and_then(|k| k.at_hex.clone()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::{LeftDoc, Mode};

    fn record(left: &[&str], limited: bool) -> Record {
        let mut record = Record::open("R", "truth", Mode::Apply, "2026-01-01T00:00:00Z");
        record.complete = true;
        let mut lane = TruthLane::new("balaur");
        lane.outcome = Outcome::Partial;
        lane.limited = limited;
        lane.left = left
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

    #[test]
    fn only_a_look_at_everything_says_what_is_open() {
        let of = |records: &[Record]| -> Vec<String> {
            conflicts(records).into_iter().map(|c| c.path).collect()
        };
        assert_eq!(
            of(&[record(&["a"], true), record(&["a", "b"], false)]),
            ["a", "b"]
        );
        assert!(of(&[record(&[], false), record(&["a"], false)]).is_empty());
    }
}
