//! The proof that no record was altered, removed, added or reordered.
//!
//! Invariant: the walk goes from the head backwards, each record vouching for the one before it, down to the
//! checkpoint; a record that nothing vouches for is never called sound.

use std::collections::BTreeMap;
use std::fmt;

use super::chain::{Held, Mark, digest, read_link, runs_by_name};
use super::store::{AuditError, Result, Store};
use crate::model::text::neutral;

/// One thing that is wrong with the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainFault {
    /// The bytes of a record are not those that were closed.
    Altered { run: String },
    /// No record stands at this place of the chain (its run, when known).
    Removed { place: u64, run: Option<String> },
    /// No record stands at any of these places, which are many.
    Stretch { from: u64, to: u64 },
    /// A record of a run that is open, or was when it died, is gone.
    OpenRemoved { run: String },
    /// The file cannot be read as a record at all.
    Damaged { run: String, why: String },
    /// A record under a name that is not its own.
    Reordered { file: String, run: String },
    /// A closed record that the chain does not know.
    Foreign { run: String },
    /// The one that vouched for this record is gone or altered.
    Unproven { run: String },
    /// The oldest record does not follow on the checkpoint that retention left.
    Checkpoint { count: u64 },
    /// The head itself was missing or damaged.
    Head { why: String },
}

impl fmt::Display for ChainFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Altered { run } => write!(f, "altered: {}", neutral(run)),
            Self::Removed {
                place,
                run: Some(run),
            } => write!(f, "removed: {} (record {place})", neutral(run)),
            Self::Removed { place, run: None } => write!(f, "removed: record {place}"),
            Self::Stretch { from, to } => write!(f, "removed: records {from} to {to}"),
            Self::OpenRemoved { run } => write!(f, "removed: {} (never closed)", neutral(run)),
            Self::Damaged { run, why } => write!(f, "damaged: {}: {}", neutral(run), neutral(why)),
            Self::Reordered { file, run } => {
                write!(
                    f,
                    "reordered: the record of {} lies at {}",
                    neutral(run),
                    neutral(file)
                )
            }
            Self::Foreign { run } => write!(f, "foreign: {} is not in the chain", neutral(run)),
            Self::Unproven { run } => {
                write!(
                    f,
                    "unproven: {} (what vouched for it is gone)",
                    neutral(run)
                )
            }
            Self::Checkpoint { count } => {
                write!(
                    f,
                    "checkpoint: the chain does not start behind record {count}"
                )
            }
            Self::Head { why } => write!(f, "head: {}", neutral(why)),
        }
    }
}

/// The result of a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Closed records that the chain holds now.
    pub records: u64,
    /// Records removed by retention before them.
    pub before: u64,
    /// Runs that are open.
    pub open: usize,
    /// Digest of the last closed record: kept elsewhere, it proves this state later.
    pub head: String,
    pub faults: Vec<ChainFault>,
}

struct Found {
    file: String,
    run: String,
    digest: String,
    previous: String,
}

/// Closed records by the place in the chain that they claim; more than one where someone added some.
type ByPlace = BTreeMap<u64, Vec<Found>>;

impl Store {
    /// Proves the chain, or says what is wrong with it.
    pub fn verify(&self) -> Result<Verdict> {
        let held = Held::take(self.runs())?;
        let mut faults: Vec<_> = held
            .head
            .broken
            .iter()
            .map(|why| ChainFault::Head { why: why.clone() })
            .collect();
        let (mut found, names) = self.sweep(&held, &mut faults)?;
        walk(&held, &mut found, &mut faults);
        for lost in held.head.open.iter().filter(|r| !names.contains(r)) {
            faults.push(ChainFault::OpenRemoved { run: lost.clone() });
        }
        let strangers = found.into_values().flatten();
        // What retention died over is no stranger: it is on the list of what was being removed.
        let strangers = strangers.filter(|s| !held.head.removing.contains(&s.run));
        faults.extend(strangers.map(|s| ChainFault::Foreign { run: s.file }));
        let head = &held.head;
        Ok(Verdict {
            records: head.last.count.saturating_sub(head.checkpoint.count),
            before: head.checkpoint.count,
            open: head.open.len(),
            head: head.last.digest.clone(),
            faults,
        })
    }

    /// Every closed record by the place it claims, and every name.
    fn sweep(&self, held: &Held, faults: &mut Vec<ChainFault>) -> Result<(ByPlace, Vec<String>)> {
        let names = runs_by_name(self.runs())?;
        let mut found = ByPlace::new();
        for file in &names {
            let (bytes, link) = match read_link(self.runs(), file) {
                Ok(read) => read,
                Err(e) => {
                    let why = match e {
                        AuditError::Damaged { why, .. } => why,
                        other => other.to_string(),
                    };
                    faults.push(ChainFault::Damaged {
                        run: file.clone(),
                        why,
                    });
                    continue;
                }
            };
            if link.run != *file {
                faults.push(ChainFault::Reordered {
                    file: file.clone(),
                    run: link.run.clone(),
                });
            }
            // An open record is not in the chain; one that the chain has already closed was put back.
            let put_back = link.sequence != 0 || held.head.last.run == link.run;
            if !link.complete && put_back {
                faults.push(ChainFault::Altered { run: file.clone() });
            } else if link.complete {
                found.entry(link.sequence).or_default().push(Found {
                    file: file.clone(),
                    run: link.run,
                    digest: digest(&bytes),
                    previous: link.previous,
                });
            }
        }
        Ok((found, names))
    }
}

/// From the head backwards to the checkpoint. What is left in `found` afterwards is not in the chain.
fn walk(held: &Held, found: &mut ByPlace, faults: &mut Vec<ChainFault>) {
    let (last, checkpoint) = (&held.head.last, &held.head.checkpoint);
    // What the record at this place must digest to, as far as that is known, and whether that word is good.
    let mut expected = Some(last.digest.clone());
    let mut vouched = true;
    let mut left = last.count;
    while left > checkpoint.count {
        let place = left;
        let Some(mut here) = found.remove(&place) else {
            // The head may claim any number of them.
            let before = found.range(..place).next_back();
            left = before.map_or(checkpoint.count, |(there, _)| *there.max(&checkpoint.count));
            missing(left + 1, place, last, faults);
            expected = None;
            continue;
        };
        left -= 1;
        let right = here
            .iter()
            .position(|f| Some(&f.digest) == expected.as_ref());
        let record = here.swap_remove(right.unwrap_or(0));
        let run = record.file.clone();
        match (right, &expected) {
            (Some(_), _) => vouched = true,
            (None, Some(_)) if vouched => {
                faults.push(ChainFault::Altered { run });
                vouched = false;
            }
            (None, _) => {
                faults.push(ChainFault::Unproven { run });
                vouched = false;
            }
        }
        expected = Some(record.previous);
        if !here.is_empty() {
            found.insert(place, here);
        }
    }
    if expected.is_some_and(|e| e != checkpoint.digest) {
        let count = checkpoint.count;
        faults.push(ChainFault::Checkpoint { count });
    }
}

/// So many holes in a row are told one by one.
const HOLES: u64 = 100;

/// Tells that nothing stands at the places `from` to `to`.
fn missing(from: u64, to: u64, last: &Mark, faults: &mut Vec<ChainFault>) {
    if to - from >= HOLES {
        faults.push(ChainFault::Stretch { from, to });
        return;
    }
    faults.extend((from..=to).rev().map(|place| ChainFault::Removed {
        place,
        run: (place == last.count).then(|| last.run.clone()),
    }));
}

#[cfg(test)]
mod tests {
    use super::super::samples::{record, store};
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    fn three() -> (tempfile::TempDir, Store, Vec<String>) {
        let (tmp, store) = store();
        let runs: Vec<_> = (1..4).map(|n| store.closed(record(n))).collect();
        assert_eq!(store.verify().unwrap().faults, []);
        (tmp, store, runs)
    }

    fn path(store: &Store, run: &str) -> PathBuf {
        store.runs().join(format!("{run}.json"))
    }

    #[test]
    fn an_edited_record_is_named_wherever_it_stands() {
        for n in 0..3 {
            let (_tmp, store, runs) = three();
            let text = fs::read_to_string(path(&store, &runs[n])).unwrap();
            let edited = text.replacen("docs/a.md", "docs/b.md", 1);
            assert_ne!(text, edited);
            fs::write(path(&store, &runs[n]), edited).unwrap();
            let run = runs[n].clone();
            assert_eq!(
                store.verify().unwrap().faults,
                [ChainFault::Altered { run }]
            );
        }
    }

    #[test]
    fn a_removed_record_leaves_a_hole_wherever_it_stood() {
        for n in 0..3 {
            let (_tmp, store, runs) = three();
            fs::remove_file(path(&store, &runs[n])).unwrap();
            let faults = store.verify().unwrap().faults;
            assert!(
                matches!(&faults[0], ChainFault::Removed { place, .. } if *place == n as u64 + 1),
                "{faults:?}"
            );
        }
    }

    #[test]
    fn a_head_that_claims_records_without_number_is_answered_at_once() {
        let (_tmp, store, _) = three();
        let head = store.runs().join(".head");
        let text = fs::read_to_string(&head).unwrap();
        let most = u64::MAX;
        fs::write(
            &head,
            text.replacen("\"count\":3", &format!("\"count\":{most}"), 1),
        )
        .unwrap();
        let faults = store.verify().unwrap().faults;
        assert_eq!(faults[0], ChainFault::Stretch { from: 4, to: most });
        // Nor does a place that no record can follow end the next run.
        store.closed(record(4));
    }

    #[test]
    fn a_truncated_record_is_damaged_and_missed() {
        let (_tmp, store, runs) = three();
        let bytes = fs::read(path(&store, &runs[1])).unwrap();
        fs::write(path(&store, &runs[1]), &bytes[..bytes.len() / 2]).unwrap();
        let faults = store.verify().unwrap().faults;
        assert!(matches!(&faults[0], ChainFault::Damaged { run, .. } if *run == runs[1]));
        assert!(matches!(&faults[1], ChainFault::Removed { place: 2, .. }));
    }

    #[test]
    fn swapped_records_are_seen() {
        let (_tmp, store, runs) = three();
        let (a, b) = (path(&store, &runs[0]), path(&store, &runs[1]));
        let (x, y) = (fs::read(&a).unwrap(), fs::read(&b).unwrap());
        fs::write(&a, y).unwrap();
        fs::write(&b, x).unwrap();
        let faults = store.verify().unwrap().faults;
        assert_eq!(faults.len(), 2);
        assert!(
            faults
                .iter()
                .all(|f| matches!(f, ChainFault::Reordered { .. }))
        );
    }

    #[test]
    fn an_added_record_is_foreign() {
        let (_tmp, store, runs) = three();
        for (place, name) in [(2, "20200101T000000Z-truth-aaaaaa"), (9, "x-truth-b")] {
            let mut forged = record(1);
            (forged.run, forged.complete, forged.sequence) = (name.into(), true, place);
            fs::write(path(&store, name), forged.document()).unwrap();
        }
        assert_eq!(store.verify().unwrap().faults.len(), 2);
        assert!(store.get(&runs[0]).is_ok());
    }

    #[test]
    fn a_closed_record_put_back_to_open_is_seen() {
        let (_tmp, store, runs) = three();
        let mut reopened = record(3);
        reopened.run = runs[2].clone();
        fs::write(path(&store, &runs[2]), reopened.document()).unwrap();
        assert!(!store.verify().unwrap().faults.is_empty());
    }

    #[test]
    fn the_record_of_an_open_run_cannot_vanish() {
        let (_tmp, store, _) = three();
        let open = store.begin(record(4)).unwrap();
        assert_eq!(store.verify().unwrap().open, 1);
        let run = open.record().run.clone();
        fs::remove_file(path(&store, &run)).unwrap();
        assert_eq!(
            store.verify().unwrap().faults,
            [ChainFault::OpenRemoved { run }]
        );
        std::mem::forget(open);
    }

    #[test]
    fn a_lost_head_is_a_fault_and_faults_read_on_one_line() {
        let (_tmp, store, _) = three();
        fs::remove_file(store.runs().join(".head")).unwrap();
        let faults = store.verify().unwrap().faults;
        assert!(faults[0].to_string().starts_with("head: "), "{faults:?}");
        let evil = ChainFault::Foreign {
            run: "a\n\x1b[2J".into(),
        };
        assert_eq!(evil.to_string(), "foreign: a\\n\\e[2J is not in the chain");
    }
}
