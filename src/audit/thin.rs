//! The applied runs as `status` wants them: how each lane fared, without the lists of files, which alone make a record long.
//!
//! Invariant: a record is read line by line, as we wrote it. No string of JSON holds a line break, so a line that begins with so
//! many blanks and a bracket closes what one with as many opened. What does not look so (somebody laid it out anew) is read whole.

use memchr::memmem;

use super::chain::{record_path, runs_by_name};
use super::store::{Result, Store, parse};
use crate::host::files;
use crate::model::record::Record;

/// Lists of a lane that have an entry for every file.
const LONG: [&str; 2] = ["changes", "kept"];

impl Store {
    /// The closed applied runs among the newest `limit`, the newest first, with the lists of [`LONG`] emptied. What cannot be read is
    /// left out.
    pub fn applied(&self, limit: usize) -> Result<Vec<Record>> {
        let names = runs_by_name(self.runs())?.into_iter().rev().take(limit);
        let records = names.filter_map(|run| self.thin(&run).ok().flatten());
        Ok(records.filter(Record::is_applied).collect())
    }

    /// `None`: a dry run, of which no more than its first part was read.
    fn thin(&self, run: &str) -> Result<Option<Record>> {
        let path = record_path(self.runs(), run);
        let mut thinner = Thinner::default();
        let (mut is_first, mut is_dry) = (true, false);
        files::read_parts(&path, |part| {
            // The mode stands before anything that can be long.
            if std::mem::take(&mut is_first) {
                is_dry = memmem::find(part, b"\n  \"mode\": \"dry-run\",\n").is_some();
            }
            thinner.push(part);
            !is_dry
        })?;
        if is_dry {
            return Ok(None);
        }
        parse(run, &thinner.document())
            .or_else(|_| self.read(run))
            .map(Some)
    }
}

/// Takes a document in parts and keeps all of it but what stands in the long lists of its lanes.
#[derive(Default)]
struct Thinner {
    kept: Vec<u8>,
    /// Of what came last, the part in which something may have begun.
    rest: Vec<u8>,
    is_in_list: bool,
}

// A lane's keys stand behind six blanks, and so does what closes a list of theirs.
const KEY: &[u8] = b"\n      \"";
const OPENS: &[u8] = b"\": [\n";
const CLOSES: &[u8] = b"\n      ]";

impl Thinner {
    fn push(&mut self, part: &[u8]) {
        self.rest.extend_from_slice(part);
        let mut at = 0;
        while let Some(found) = self.next(at) {
            if !self.is_in_list {
                self.kept.extend_from_slice(&self.rest[at..found]);
            }
            self.is_in_list = !self.is_in_list;
            at = found;
        }
        // What is no longer than this may be the beginning of what is looked for.
        let longest = LONG.iter().map(|name| name.len()).max().unwrap_or(0);
        let most = KEY.len() + longest + OPENS.len();
        let done = self.rest.len().saturating_sub(most).max(at);
        if !self.is_in_list {
            self.kept.extend_from_slice(&self.rest[at..done]);
        }
        self.rest.drain(..done);
    }

    /// Where the next list begins, or this one ends.
    fn next(&self, from: usize) -> Option<usize> {
        let all = &self.rest[from..];
        if self.is_in_list {
            return Some(from + memmem::find(all, CLOSES)?);
        }
        memmem::find_iter(all, KEY).find_map(|key| {
            let key = key + KEY.len();
            let name = LONG.iter().find(|name| {
                let after = all[key..].strip_prefix(name.as_bytes());
                after.is_some_and(|a| a.starts_with(OPENS))
            })?;
            // The line break belongs to what follows: an end that comes at once has one of its own.
            Some(from + key + name.len() + OPENS.len() - 1)
        })
    }

    /// What was kept. A list that never ended leaves half a document.
    fn document(mut self) -> Vec<u8> {
        if !self.is_in_list {
            self.kept.append(&mut self.rest);
        }
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{record, store};
    use super::*;
    use crate::model::record::{KeptDoc, Lane, Mode};

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

    fn thinned(record: &Record, part: usize) -> Record {
        let mut thinner = Thinner::default();
        let document = record.document();
        document
            .as_bytes()
            .chunks(part)
            .for_each(|p| thinner.push(p));
        parse("r", &thinner.document()).unwrap()
    }

    #[test]
    fn everything_but_the_lists_of_files_is_as_it_was_written() {
        let empty = Record::open("r", "truth", Mode::Apply, "2026-01-01T00:00:00Z");
        // Wherever the document happens to be cut.
        for part in (1..40).chain([1 << 20]) {
            assert_eq!(thinned(&long(1), part), without_lists(long(1)), "{part}");
            assert_eq!(thinned(&empty, part), empty, "{part}");
        }
    }

    #[test]
    fn applied_runs_come_newest_first_whoever_laid_them_out() {
        let (_tmp, store) = store();
        let mut dry = record(3);
        dry.mode = Mode::DryRun;
        let runs = [long(1), long(2), dry, record(4)].map(|r| store.closed(r));
        let path = |n: usize| record_path(store.runs(), &runs[n]);
        // Of a dry run no more than the beginning is read, and what is damaged is nobody's.
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
