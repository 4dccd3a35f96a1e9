//! The list of runs, and finding one of them by what a person types.
//!
//! Invariants: a damaged or newer file is listed with its reason, never hidden and never fatal; a list does not
//! keep the plans it passes over in memory.

use std::path::Path;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::chain::{record_path, runs_by_name};
use super::store::{AuditError, MAX_RECORD, Result, Store, Versioned, parse};
use crate::host::files;
use crate::model::record::{Mode, Outcome, Record};
use crate::model::text::nearest;

/// One run in a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Summary {
    pub run: String,
    #[serde(flatten)]
    pub facts: Option<Facts>,
    /// Why the record cannot be read, when it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damaged: Option<String>,
}

/// What a list tells of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Facts {
    pub command: String,
    pub mode: Mode,
    pub outcome: Outcome,
    pub exit_code: u8,
    pub started: String,
    pub seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    pub complete: bool,
    /// Peers or targets, in the order of the lanes.
    pub peers: Vec<String>,
    pub changes: usize,
    pub left: usize,
}

impl Summary {
    /// As [`Record::is_applied`]; what cannot be read is not.
    pub fn is_applied(&self) -> bool {
        self.facts.as_ref().is_some_and(Facts::is_applied)
    }
}

impl Facts {
    /// As [`Record::is_applied`].
    pub fn is_applied(&self) -> bool {
        self.mode == Mode::Apply && self.complete
    }
}

/// A record, with its plans counted instead of kept.
#[derive(Deserialize)]
struct Sketch {
    schema: u32,
    command: String,
    mode: Mode,
    outcome: Outcome,
    exit_code: u8,
    started: String,
    seconds: f64,
    #[serde(default)]
    plan: Option<String>,
    complete: bool,
    lanes: Vec<SketchLane>,
}

#[derive(Deserialize)]
struct SketchLane {
    #[serde(alias = "target")]
    peer: Option<String>,
    // A list of IgnoredAny takes no memory: it is its length.
    #[serde(default)]
    changes: Vec<IgnoredAny>,
    #[serde(default)]
    left: Vec<IgnoredAny>,
}

impl Versioned for Sketch {
    fn schema(&self) -> u32 {
        self.schema
    }
}

impl From<Sketch> for Facts {
    fn from(s: Sketch) -> Self {
        Self {
            command: s.command,
            mode: s.mode,
            outcome: s.outcome,
            exit_code: s.exit_code,
            started: s.started,
            seconds: s.seconds,
            plan: s.plan,
            complete: s.complete,
            changes: s.lanes.iter().map(|l| l.changes.len()).sum(),
            left: s.lanes.iter().map(|l| l.left.len()).sum(),
            peers: s.lanes.into_iter().filter_map(|l| l.peer).collect(),
        }
    }
}

fn sketch(runs: &Path, run: &str) -> Result<Facts> {
    let bytes = files::read_bounded(&record_path(runs, run), MAX_RECORD)?;
    parse::<Sketch>(run, &bytes).map(Facts::from)
}

impl Store {
    /// All runs, newest first.
    pub fn list(&self) -> Result<Vec<Summary>> {
        self.newest(usize::MAX)
    }

    /// The newest `limit` runs, newest first; older records are not even opened.
    pub fn newest(&self, limit: usize) -> Result<Vec<Summary>> {
        self.newest_beside(limit, &[])
    }

    fn summary(&self, run: String) -> Option<Summary> {
        match sketch(self.runs(), &run) {
            Ok(facts) => Some(Summary {
                run,
                facts: Some(facts),
                damaged: None,
            }),
            // Retention may have removed it since its name was read.
            Err(AuditError::File(e)) if e.is_absent() => None,
            Err(e) => Some(Summary {
                run,
                facts: None,
                damaged: Some(e.to_string()),
            }),
        }
    }

    /// As [`Self::newest`], but what is known of closed runs already is not read again.
    pub fn newest_beside(&self, limit: usize, known: &[Summary]) -> Result<Vec<Summary>> {
        let names = runs_by_name(self.runs())?.into_iter().rev().take(limit);
        let is_final = |s: &&Summary| s.facts.as_ref().is_none_or(|f| f.complete);
        let known = |run: &str| {
            known
                .iter()
                .filter(is_final)
                .find(|s| s.run == run)
                .cloned()
        };
        Ok(names
            .filter_map(|run| known(&run).or_else(|| self.summary(run)))
            .collect())
    }

    /// The run that was asked for: by name, by a beginning of the name or of its last part, or `last`.
    pub fn get(&self, asked: &str) -> Result<Record> {
        let names = runs_by_name(self.runs())?;
        let run = pick(&names, asked)?;
        let record = self.read(run)?;
        match record.run == *run {
            true => Ok(record),
            false => Err(AuditError::Damaged {
                file: run.into(),
                why: format!("it holds the record of {}", record.run),
            }),
        }
    }
}

fn id(run: &str) -> &str {
    run.rsplit('-').next().unwrap_or(run)
}

fn pick<'a>(names: &'a [String], asked: &str) -> Result<&'a String> {
    let unknown = || AuditError::Unknown {
        asked: asked.into(),
        nearest: nearest(asked, names.iter().map(String::as_str))
            .or_else(|| {
                let by_id = nearest(asked, names.iter().map(|n| id(n)))?;
                names.iter().map(String::as_str).find(|n| id(n) == by_id)
            })
            .map(str::to_owned),
    };
    if asked == "last" {
        return names.last().ok_or_else(unknown);
    }
    if let Some(exact) = names.iter().find(|n| *n == asked) {
        return Ok(exact);
    }
    let begins = |n: &&String| n.starts_with(asked) || id(n).starts_with(asked);
    let fitting: Vec<_> = names.iter().filter(begins).collect();
    match &fitting[..] {
        [one] if !asked.is_empty() => Ok(*one),
        [] => Err(unknown()),
        _ => Err(AuditError::Ambiguous {
            asked: asked.into(),
            candidates: fitting.iter().rev().take(3).map(|n| (*n).clone()).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{record, store};
    use super::*;

    #[test]
    fn the_newest_comes_first_and_damage_is_listed() {
        let (tmp, store) = store();
        (1..4).for_each(|n| drop(store.closed(record(n))));
        std::fs::write(record_path(store.runs(), &record(2).run), "{").unwrap();
        let link = record_path(store.runs(), "0-link");
        std::os::unix::fs::symlink(tmp.path().join("nowhere"), link).unwrap();
        std::fs::write(store.runs().join("stray.txt"), "").unwrap();
        let list = store.list().unwrap();
        let runs: Vec<_> = list.iter().map(|s| s.run.clone()).collect();
        assert_eq!(
            runs,
            [record(3).run, record(2).run, record(1).run, "0-link".into()]
        );
        assert!(list[1].damaged.is_some() && list[3].damaged.is_some());
        let facts = list[0].facts.as_ref().unwrap();
        assert_eq!(
            (facts.changes, &facts.peers[..]),
            (1, &["balaur".to_owned()][..])
        );
        assert_eq!(store.newest(1).unwrap().len(), 1);
    }

    #[test]
    fn a_run_is_found_by_what_a_person_types() {
        let (_tmp, store) = store();
        (1..4).for_each(|n| drop(store.closed(record(n))));
        for asked in ["last", "000003", "20251007T000300", &record(3).run] {
            assert_eq!(store.get(asked).unwrap().run, record(3).run, "{asked}");
        }
        assert!(matches!(
            store.get("2025"),
            Err(AuditError::Ambiguous { .. })
        ));
        assert!(matches!(store.get(""), Err(AuditError::Ambiguous { .. })));
        let why = store.get("00000z").unwrap_err().to_string();
        assert!(why.contains("did you mean 20251007T"), "{why}");
        assert!(store.get("../runs").is_err());
    }

    #[test]
    fn an_empty_store_has_no_last_run() {
        let (_tmp, store) = store();
        assert!(store.list().unwrap().is_empty());
        assert!(matches!(store.get("last"), Err(AuditError::Unknown { .. })));
    }
}
