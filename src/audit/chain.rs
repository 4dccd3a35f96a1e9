//! The chain of records: where it ends, which runs are open, where it starts; and the only way to lengthen it.
//!
//! Invariants: `.head` is read and written only under the exclusive lock on `.lock`, which is never unlinked. A
//! record enters the chain in three steps: the head announces its digest (`next`), the record is put in place,
//! the head moves on. A crash between any two of them is settled by whoever takes the lock next, from the digest
//! alone: the record is there, or it never came. A head that is missing or unreadable is replaced but not
//! forgotten: it stays a fault for `verify`.
//!
//! What the chain proves: no closed record was altered, removed, added or reordered without `.head` being forged
//! as well. Who can write both can forge both; a copy of the head's digest kept elsewhere (each human log ends
//! with the digest of its record) closes that door too.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::store::{AuditError, MAX_RECORD, Result};
use crate::host::files::{self, Sync};
use crate::model::record::{Mode, Record, SCHEMA};
use crate::model::time::run_order;

const HEAD: &str = ".head";
const LOCK: &str = ".lock";
const MAX_HEAD: u64 = 64 << 20;

/// A place in the chain: the digest and the run of a record, and how many there are up to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub digest: String,
    pub count: u64,
    pub run: String,
}

/// The state of the chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub schema: u32,
    /// The last closed record.
    #[serde(flatten)]
    pub last: Mark,
    /// A record that is about to become the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Mark>,
    /// Runs whose records are not closed yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<String>,
    /// The last record that retention removed: the chain starts behind it.
    #[serde(default)]
    pub checkpoint: Mark,
    /// Runs that retention is removing right now, or was when it died.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removing: Vec<String>,
    /// What was once wrong with the head itself, for `verify` to tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<String>,
}

impl Head {
    /// Every run that it names.
    fn runs(&self) -> impl Iterator<Item = &str> {
        let marks = [Some(&self.last), self.next.as_ref(), Some(&self.checkpoint)];
        // Before the first record, and where a checkpoint had to be guessed, a mark names none.
        let marked = marks.into_iter().flatten().map(|m| &m.run);
        let listed = self.open.iter().chain(&self.removing);
        marked
            .filter(|r| !r.is_empty())
            .chain(listed)
            .map(String::as_str)
    }
}

/// What of a record the chain is made of. Reading it does not need the lanes.
#[derive(Debug, Clone, Deserialize)]
pub struct Link {
    pub schema: u32,
    pub run: String,
    pub complete: bool,
    #[serde(default)]
    pub sequence: u64,
    pub previous: String,
    #[serde(default)]
    pub command: String,
    pub mode: Mode,
}

/// sha256 of a record file's bytes, lower-case hex.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// Where the record of a run lies.
pub fn record_path(runs: &Path, run: &str) -> PathBuf {
    runs.join(format!("{run}.json"))
}

/// Whether a run may be called so: what it is called becomes the name of a file.
pub fn is_name(run: &str) -> bool {
    let sound = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    !run.is_empty() && run.bytes().all(sound)
}

/// The run of each record file, oldest name first (whatever else lies there is not ours to judge).
pub fn runs_by_name(runs: &Path) -> Result<Vec<String>> {
    let stem = |name: &std::ffi::OsString| {
        let name = name.to_str()?;
        let stem = name.strip_suffix(".json")?;
        (!stem.starts_with('.')).then(|| stem.to_owned())
    };
    let mut all: Vec<String> = files::names(runs)?.iter().filter_map(stem).collect();
    all.sort_by(|a, b| run_order(a).cmp(&run_order(b)));
    Ok(all)
}

/// The bytes of a record file and what it says about its place.
pub fn read_link(runs: &Path, run: &str) -> Result<(Vec<u8>, Link)> {
    let bytes = files::read_bounded(&record_path(runs, run), MAX_RECORD)?;
    let link = super::store::parse::<Link>(run, &bytes)?;
    Ok((bytes, link))
}

/// The chain, held: nobody else reads or lengthens it until this is dropped.
pub struct Held {
    runs: PathBuf,
    pub head: Head,
    /// Whether a head was there and could be read.
    pub sound: bool,
    _lock: File,
}

impl Held {
    /// Takes the lock and brings the head to a settled state (in memory; the next write keeps it).
    pub fn take(runs: &Path) -> Result<Self> {
        let lock = files::lock(&runs.join(LOCK))?;
        let (mut head, why_not) = match read_head(runs)? {
            Ok(Some(head)) => (head, None),
            Ok(None) => rebuild(runs, "the head of the chain was missing")?,
            Err(why) => rebuild(
                runs,
                &format!("the head of the chain was unreadable: {why}"),
            )?,
        };
        let sound = why_not.is_none();
        head.broken.extend(why_not);
        settle(runs, &mut head);
        Ok(Self {
            runs: runs.into(),
            head,
            sound,
            _lock: lock,
        })
    }

    /// Writes the head.
    pub fn save(&mut self, sync: Sync) -> Result<()> {
        self.head.schema = SCHEMA;
        let text = serde_json::to_string(&self.head).map_err(|e| AuditError::Damaged {
            file: HEAD.into(),
            why: e.to_string(),
        })?;
        Ok(files::write_atomic(
            &self.runs.join(HEAD),
            text.as_bytes(),
            sync,
        )?)
    }

    /// Notes that a run is open.
    pub fn opened(&mut self, run: &str) -> Result<()> {
        self.list(run);
        self.save(Sync::Name)
    }

    /// Lists a run as open, in memory.
    pub fn list(&mut self, run: &str) {
        if self.must_be_open(run).is_err() {
            self.head.open.push(run.into());
        }
    }

    pub fn must_be_open(&self, run: &str) -> Result<()> {
        match self.head.open.iter().any(|open| open == run) {
            true => Ok(()),
            false => Err(AuditError::Closed { run: run.into() }),
        }
    }

    /// Closes an open record into the chain and returns its digest. A run that is not open was closed by someone
    /// who took it for dead; writing it again would tear the chain.
    pub fn append(&mut self, record: &mut Record) -> Result<String> {
        self.must_be_open(&record.run)?;
        record.complete = true;
        record.previous = self.head.last.digest.clone();
        // A head that somebody damaged may be at its end; that it lies, `verify` tells.
        record.sequence = self.head.last.count.saturating_add(1);
        let bytes = record.document().into_bytes();
        let mark = Mark {
            digest: digest(&bytes),
            count: record.sequence,
            run: record.run.clone(),
        };
        self.head.next = Some(mark.clone());
        self.save(Sync::Content)?;
        files::write_atomic(&record_path(&self.runs, &record.run), &bytes, Sync::Name)?;
        advance(&mut self.head, mark.clone());
        self.save(Sync::Name)?;
        Ok(mark.digest)
    }
}

fn advance(head: &mut Head, mark: Mark) {
    head.open.retain(|run| *run != mark.run);
    head.next = None;
    head.last = mark;
}

/// Finishes, or forgets, what a dead closer had announced.
fn settle(runs: &Path, head: &mut Head) {
    if let Some(mark) = head.next.take() {
        let there = files::read_bounded(&record_path(runs, &mark.run), MAX_RECORD);
        if there.is_ok_and(|bytes| digest(&bytes) == mark.digest) {
            advance(head, mark);
        }
    }
}

/// The head as it stands: `Ok(None)` when there is none, `Err` with the reason when it cannot be understood.
fn read_head(runs: &Path) -> Result<std::result::Result<Option<Head>, String>> {
    let bytes = match files::read_bounded(&runs.join(HEAD), MAX_HEAD) {
        Ok(bytes) => bytes,
        Err(e) if e.is_absent() => return Ok(Ok(None)),
        Err(e) => return Err(e.into()),
    };
    Ok(match super::store::parse::<Head>(HEAD, &bytes) {
        // What it names is read, written and removed: it may name nothing that lies elsewhere.
        Ok(head) if !head.runs().all(is_name) => Err("it names a run that is none".into()),
        Ok(head) => Ok(Some(head)),
        // A newer program wrote it: going on without it would tear its chain.
        Err(e @ AuditError::Newer { .. }) => return Err(e),
        Err(e) => Err(e.to_string()),
    })
}

/// A head for a directory that has none, with what is wrong about that (nothing, when there are no closed
/// records). New records go behind the highest one there is, so that the rest of the chain stays provable.
fn rebuild(runs: &Path, what: &str) -> Result<(Head, Option<String>)> {
    let mut head = Head::default();
    let mut first: Option<Link> = None;
    for run in runs_by_name(runs)?.into_iter().filter(|r| is_name(r)) {
        let Ok((bytes, link)) = read_link(runs, &run) else {
            continue;
        };
        if !link.complete {
            head.open.push(run);
            continue;
        }
        if link.sequence > head.last.count {
            head.last = Mark {
                digest: digest(&bytes),
                count: link.sequence,
                run,
            };
        }
        if first.as_ref().is_none_or(|f| link.sequence < f.sequence) {
            first = Some(link);
        }
    }
    let Some(first) = first else {
        return Ok((head, None));
    };
    head.checkpoint = Mark {
        digest: first.previous,
        count: first.sequence.saturating_sub(1),
        run: String::new(),
    };
    Ok((head, Some(what.into())))
}

#[cfg(test)]
mod tests {
    use super::super::samples::{record, store};
    use super::*;

    #[test]
    fn a_crash_between_the_record_and_the_head_is_rolled_forward() {
        let (_tmp, store) = store();
        store.closed(record(1));
        let before = std::fs::read(store.runs().join(HEAD)).unwrap();
        let run = store.closed(record(2));
        // The head as it was announced, before it moved on.
        let mut announced: Head = serde_json::from_slice(&before).unwrap();
        let bytes = std::fs::read(record_path(store.runs(), &run)).unwrap();
        announced.open = vec![run.clone()];
        announced.next = Some(Mark {
            digest: digest(&bytes),
            count: 2,
            run: run.clone(),
        });
        std::fs::write(
            store.runs().join(HEAD),
            serde_json::to_vec(&announced).unwrap(),
        )
        .unwrap();
        assert_eq!(store.verify().unwrap().faults, []);
        store.closed(record(3));
        let verdict = store.verify().unwrap();
        assert_eq!((verdict.records, verdict.faults), (3, vec![]));
    }

    #[test]
    fn a_crash_before_the_record_forgets_the_announcement() {
        let (_tmp, store) = store();
        store.closed(record(1));
        let open = store.begin(record(2)).unwrap();
        let mut head: Head =
            serde_json::from_slice(&std::fs::read(store.runs().join(HEAD)).unwrap()).unwrap();
        head.next = Some(Mark {
            digest: "00".into(),
            count: 2,
            run: open.record().run.clone(),
        });
        std::fs::write(store.runs().join(HEAD), serde_json::to_vec(&head).unwrap()).unwrap();
        std::mem::forget(open); // as kill -9 does
        assert_eq!(store.verify().unwrap().faults, []);
        store.mark_dead(&|_| false).unwrap();
        let verdict = store.verify().unwrap();
        assert_eq!((verdict.records, verdict.faults), (2, vec![]));
    }

    #[test]
    fn a_head_that_names_files_elsewhere_is_not_followed() {
        let (tmp, store) = store();
        store.closed(record(1));
        let victim = tmp.path().join("victim.json");
        let sound: Head =
            serde_json::from_slice(&std::fs::read(store.runs().join(HEAD)).unwrap()).unwrap();
        let elsewhere = || tmp.path().join("victim").to_str().unwrap().to_owned();
        let forged = [
            Head {
                removing: vec![elsewhere()],
                ..sound.clone()
            },
            Head {
                open: vec![elsewhere()],
                ..sound
            },
        ];
        for head in forged {
            let mut open = record(2);
            (open.run, open.complete) = (elsewhere(), false);
            std::fs::write(&victim, open.document()).unwrap();
            std::fs::write(store.runs().join(HEAD), serde_json::to_vec(&head).unwrap()).unwrap();
            store
                .prune(std::time::Duration::ZERO, chrono::DateTime::UNIX_EPOCH, &[])
                .unwrap();
            store.mark_dead(&|_| false).unwrap();
            assert_eq!(std::fs::read_to_string(&victim).unwrap(), open.document());
            let faults = store.verify().unwrap().faults;
            assert!(
                faults[0].to_string().contains("a run that is none"),
                "{faults:?}"
            );
        }
        // A record under a name that none may have does not come to stand in the new head.
        let mut odd = record(3);
        (odd.run, odd.complete) = ("a b".into(), false);
        std::fs::write(store.runs().join("a b.json"), odd.document()).unwrap();
        std::fs::remove_file(store.runs().join(HEAD)).unwrap();
        store.mark_dead(&|_| false).unwrap();
        store.closed(record(4));
        assert_eq!(store.verify().unwrap().faults.len(), 1);
    }

    #[test]
    fn a_lost_head_is_replaced_but_stays_a_fault() {
        let (_tmp, store) = store();
        (1..4).for_each(|n| drop(store.closed(record(n))));
        std::fs::remove_file(store.runs().join(HEAD)).unwrap();
        store.closed(record(4));
        let verdict = store.verify().unwrap();
        assert_eq!(verdict.records, 4);
        assert!(
            matches!(
                &verdict.faults[..],
                [super::super::verify::ChainFault::Head { .. }]
            ),
            "{:?}",
            verdict.faults
        );
    }

    #[test]
    fn a_head_of_a_newer_program_is_left_alone() {
        let (_tmp, store) = store();
        store.closed(record(1));
        let newer = br#"{"schema":99,"digest":"x","count":7,"run":"y"}"#;
        std::fs::write(store.runs().join(HEAD), newer).unwrap();
        assert!(matches!(
            store.begin(record(2)),
            Err(AuditError::Newer { schema: 99, .. })
        ));
        assert_eq!(std::fs::read(store.runs().join(HEAD)).unwrap(), newer);
    }
}
