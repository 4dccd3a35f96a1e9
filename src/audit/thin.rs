//! The applied runs as `status` wants them: how each lane fared, without the lists of files, which alone make a record long.
//!
//! Invariant: a record is read line by line, as we wrote it. No string of JSON holds a line break, so a line that begins with so
//! many blanks and a bracket closes what one with as many opened. What does not look so (somebody laid it out anew) is read whole.

use memchr::memmem;

use super::chain::{record_path, runs_by_name};
use super::store::{MAX_RECORD, Result, Store, parse};
use crate::host::files;
use crate::model::record::{Mode, Record};

/// The part of a record in which its mode stands.
const HEAD: u64 = 4096;
/// Lists of a lane that have an entry for every file.
const LONG: [&str; 2] = ["changes", "kept"];

impl Store {
    /// The closed applied runs among the newest `limit`, the newest first, with the lists of [`LONG`] emptied. What cannot be read is
    /// left out.
    pub fn applied(&self, limit: usize) -> Result<Vec<Record>> {
        let names = runs_by_name(self.runs())?.into_iter().rev().take(limit);
        let records = names.filter_map(|run| self.thin(&run).ok().flatten());
        let is_applied = |r: &Record| r.mode == Mode::Apply && r.complete;
        Ok(records.filter(is_applied).collect())
    }

    /// `None`: a dry run, of which no more than that was read.
    fn thin(&self, run: &str) -> Result<Option<Record>> {
        let path = record_path(self.runs(), run);
        let head = files::read_head(&path, HEAD)?;
        if memmem::find(&head, b"\n  \"mode\": \"dry-run\",\n").is_some() {
            return Ok(None);
        }
        let whole = files::read_bounded(&path, MAX_RECORD)?;
        match parse(run, &thinned(&whole)) {
            Ok(record) => Ok(Some(record)),
            Err(_) => parse(run, &whole).map(Some),
        }
    }
}

/// The document with the long lists of its lanes emptied.
fn thinned(document: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = document;
    // A lane's keys stand behind six blanks.
    let end = memmem::Finder::new(b"\n      ]");
    let begins = LONG.map(|key| format!("\n      \"{key}\": ["));
    let next = |rest: &[u8]| {
        let found = begins.iter().filter_map(|begin| {
            let at = memmem::find(rest, begin.as_bytes())? + begin.len();
            (rest.get(at) == Some(&b'\n')).then_some(at)
        });
        found.min()
    };
    while let Some(begin) = next(rest) {
        let Some(length) = end.find(&rest[begin..]) else {
            break;
        };
        out.extend_from_slice(&rest[..begin]);
        rest = &rest[begin + length..];
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::super::samples::{record, store};
    use super::*;
    use crate::model::record::{KeptDoc, Lane};

    /// Two lanes with lists of every kind, and a text that looks like the end of one.
    fn long(n: u32) -> Record {
        let mut record = record(n);
        let mut lane = record.lanes[0].clone();
        if let Lane::Truth(t) = &mut lane {
            t.changes = vec![t.changes[0].clone(); 3];
            t.changes[1].path = "docs/\n      ]\n      \"changes\": [\n.md".into();
            t.notes.clear();
            let kept = KeptDoc {
                path: "docs/a.md".into(),
                path_hex: None,
                side: "peer".into(),
                at_hex: None,
                at: "/kept/a.md".into(),
            };
            t.kept = vec![kept.clone(), kept];
        }
        record.lanes.extend([lane.clone(), lane]);
        record
    }

    fn without_lists(mut record: Record) -> Record {
        for lane in &mut record.lanes {
            if let Lane::Truth(t) = lane {
                t.changes.clear();
                t.kept.clear();
            }
        }
        record
    }

    #[test]
    fn everything_but_the_lists_of_files_is_as_it_was_written() {
        let record = long(1);
        let thin = thinned(record.document().as_bytes());
        assert_eq!(parse::<Record>("r", &thin).unwrap(), without_lists(record));
        let empty = Record::open("r", "truth", Mode::Apply, "2026-01-01T00:00:00Z");
        let thin = thinned(empty.document().as_bytes());
        assert_eq!(parse::<Record>("r", &thin).unwrap(), empty);
    }

    #[test]
    fn applied_runs_come_newest_first_whoever_laid_them_out() {
        let (_tmp, store) = store();
        let mut dry = record(3);
        dry.mode = Mode::DryRun;
        let runs = [long(1), long(2), dry, record(4)].map(|r| store.closed(r));
        let path = |n: usize| record_path(store.runs(), &runs[n]);
        // Of a dry run no more than the head is read, and what is damaged is nobody's.
        let text = std::fs::read_to_string(path(2)).unwrap();
        std::fs::write(path(2), &text[..text.len() / 2]).unwrap();
        std::fs::write(path(3), "{").unwrap();
        let other = serde_json::to_vec(&store.read(&runs[1]).unwrap()).unwrap();
        std::fs::write(path(1), other).unwrap();
        let all = store.applied(9).unwrap();
        let wanted = [1, 0].map(|n| store.read(&runs[n]).unwrap());
        assert_eq!(all[0], wanted[0], "laid out anew, it is read whole");
        assert_eq!(all[1], without_lists(wanted[1].clone()));
        assert_eq!(all.len(), 2);
        assert_eq!(store.applied(3).unwrap().len(), 1);
    }
}
