//! What the records say of one path: the newest run that had anything to do with it.

use crate::audit::store::{Result, Store};
use crate::model::path::RelPath;
use crate::model::record::{Lane, Record};

/// How many records are read before the search is given up: older ones are found with `runs`.
const DEPTH: usize = 200;

/// What a run did with a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    pub run: String,
    pub started: String,
    pub peer: String,
    /// In words: `update to peer, done`, `left: …`.
    pub what: String,
}

impl Store {
    /// The newest mention of a path; `None` when none of the last runs names it.
    pub fn trace(&self, path: &RelPath) -> Result<Option<Trace>> {
        for summary in self.newest(DEPTH)? {
            let touched = summary
                .facts
                .as_ref()
                .is_some_and(|f| f.changes + f.left > 0);
            if !touched {
                continue;
            }
            // A damaged record is `runs verify`'s business; it says nothing about this path.
            let Ok(record) = self.read(&summary.run) else {
                continue;
            };
            if let Some(found) = in_record(&record, path) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

fn in_record(record: &Record, path: &RelPath) -> Option<Trace> {
    let (name, hex) = (path.lossy(), path.hex_if_not_utf8());
    let same = |p: &str, h: &Option<String>| p == name && *h == hex;
    record.lanes.iter().find_map(|lane| {
        let Lane::Truth(truth) = lane else {
            return None;
        };
        let changed = truth
            .changes
            .iter()
            .find(|c| same(&c.path, &c.path_hex))
            .map(|c| {
                let result = serde_json::to_value(c.result).unwrap_or_default();
                let error = c
                    .error
                    .as_ref()
                    .map_or(String::new(), |e| format!(" ({e})"));
                format!(
                    "{} to {}, {}{error}",
                    c.kind,
                    c.to,
                    result.as_str().unwrap_or_default()
                )
            });
        let left = || {
            truth
                .left
                .iter()
                .find(|l| same(&l.path, &l.path_hex))
                .map(|l| format!("left: {}", l.why))
        };
        Some(Trace {
            run: record.run.clone(),
            started: record.started.clone(),
            peer: truth.peer.clone(),
            what: changed.or_else(left)?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::samples;

    #[test]
    fn the_newest_run_that_names_a_path_is_found() {
        let (_dir, store) = samples::store();
        let record = samples::record(1);
        let Lane::Truth(lane) = &record.lanes[0] else {
            panic!("a truth lane")
        };
        let path = RelPath::new(lane.changes[0].path.clone()).unwrap();
        let run = store.closed(record.clone());
        let found = store.trace(&path).unwrap().unwrap();
        assert_eq!(found.run, run);
        assert!(found.what.contains(&lane.changes[0].kind));
        assert_eq!(
            store.trace(&RelPath::new("never/seen").unwrap()).unwrap(),
            None
        );
    }
}
