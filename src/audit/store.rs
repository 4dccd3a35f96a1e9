//! The store of records: opened before the first effect of a run, closed on every way out.
//!
//! Invariants: only an [`OpenRun`] writes a record; one that is dropped without being closed closes itself as
//! interrupted; one that never gets that far (kill -9) is left incomplete and marked by the next run. Records and
//! logs are 0600, `runs/` is 0700, and nothing is written through a link.

use std::path::{Path, PathBuf};
use std::time::Instant;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::chain::{Head, Held, Link, is_name, record_path, runs_by_name};
use super::human;
use crate::host::clock;
use crate::host::files::{self, FileError, Sync};
use crate::model::exit;
use crate::model::finding::{Finding, Severity};
use crate::model::record::{Outcome, Record, SCHEMA, Who};
use crate::model::text::neutral;
use crate::model::time::run_stamp;

/// The longest record that is read: one of a million changes is about a third of it.
pub const MAX_RECORD: u64 = 1 << 30;

/// How many of the newest records are looked at for runs that died before they could be listed as open.
const NEWEST: usize = 16;

/// A record that has only just been begun holds no plan yet, so none of them is longer than this. Long ones are
/// not worth the reading: a pair that is refused every five minutes may have written many.
const MAX_FRESH: u64 = 256 << 10;

#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "{} was written by a newer ubos-sync (schema {schema}, this one reads up to {SCHEMA}): \
         use that version to read it",
        neutral(file)
    )]
    Newer { file: String, schema: u32 },
    #[error("{} is damaged: {}", neutral(file), neutral(why))]
    Damaged { file: String, why: String },
    #[error("there is no run {}{}", neutral(asked), meant(nearest))]
    Unknown {
        asked: String,
        nearest: Option<String>,
    },
    #[error("{} could be {}", neutral(asked), neutral(&candidates.join(" or ")))]
    Ambiguous {
        asked: String,
        candidates: Vec<String>,
    },
    #[error(
        "{} is closed already: a closed record is never written again",
        neutral(run)
    )]
    Closed { run: String },
    #[error("{} cannot be the name of a run", neutral(run))]
    Name { run: String },
}

fn meant(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map_or(String::new(), |n| format!("; did you mean {}?", neutral(n)))
}

pub type Result<T> = std::result::Result<T, AuditError>;

/// What tells its schema, so that a newer one is refused whole.
pub(super) trait Versioned: DeserializeOwned {
    fn schema(&self) -> u32;
}

impl Versioned for Record {
    fn schema(&self) -> u32 {
        self.schema
    }
}

impl Versioned for Link {
    fn schema(&self) -> u32 {
        self.schema
    }
}

impl Versioned for Head {
    fn schema(&self) -> u32 {
        self.schema
    }
}

/// Reads a document of ours, or says why not: newer than this program, or damaged.
pub(super) fn parse<T: Versioned>(file: &str, bytes: &[u8]) -> Result<T> {
    #[derive(Deserialize)]
    struct SchemaOnly {
        schema: u32,
    }
    let newer = |schema| AuditError::Newer {
        file: file.into(),
        schema,
    };
    match serde_json::from_slice::<T>(bytes) {
        Ok(doc) if doc.schema() > SCHEMA => Err(newer(doc.schema())),
        Ok(doc) => Ok(doc),
        Err(e) => match serde_json::from_slice::<SchemaOnly>(bytes) {
            Ok(doc) if doc.schema > SCHEMA => Err(newer(doc.schema)),
            _ => Err(AuditError::Damaged {
                file: file.into(),
                why: e.to_string(),
            }),
        },
    }
}

/// A name for a run: tells the command, differs from every other, and sorts by time (`run_order`), also within one second:
/// its last part begins with the fraction of it.
pub fn new_run_id(now: DateTime<Utc>, command: &str) -> Result<String> {
    let word: String = command
        .chars()
        .filter(|c| c.is_ascii_alphanumeric())
        .collect();
    Ok(format!(
        "{}-{word}-{:02x}{}",
        run_stamp(now),
        now.timestamp_subsec_millis().min(999) * 256 / 1000,
        files::random_hex(2)?
    ))
}

/// The audit directory.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
    runs: PathBuf,
}

impl Store {
    /// Opens the audit log in `dir`, making what is absent. An existing `dir` of the user keeps its mode.
    pub fn open(dir: &Path) -> Result<Self> {
        files::shared_dir(dir)?;
        let runs = dir.join("runs");
        files::private_dir(&runs)?;
        Ok(Self {
            dir: dir.into(),
            runs,
        })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The directory of the records.
    pub fn runs(&self) -> &Path {
        &self.runs
    }

    /// Writes the record as incomplete, to the disk, before the first effect.
    pub fn begin(&self, mut record: Record) -> Result<OpenRun> {
        if !is_name(&record.run) {
            return Err(AuditError::Name { run: record.run });
        }
        unfinished(&mut record);
        let path = record_path(&self.runs, &record.run);
        // Both places are looked at now: after the run it would be too late to refuse.
        files::plain_or_absent(&path)?;
        files::plain_or_absent(&self.log_path(&record))?;
        let mut held = Held::take(&self.runs)?;
        if files::modified(&path).is_ok() {
            return Err(AuditError::Closed { run: record.run });
        }
        files::write_atomic(&path, record.document().as_bytes(), Sync::Content)?;
        held.opened(&record.run)?;
        Ok(OpenRun {
            store: self.clone(),
            record,
            since: clock::monotonic(),
            over: false,
        })
    }

    /// Closes the records of runs that died without a word (kill -9, power cut); returns their names. Those whose
    /// process `is_alive` are left alone.
    pub fn mark_dead(&self, is_alive: &dyn Fn(&Who) -> bool) -> Result<Vec<String>> {
        let mut held = Held::take(&self.runs)?;
        let mut candidates = held.head.open.clone();
        // A run killed between its record and the head is not listed: its record is among the newest.
        for run in runs_by_name(&self.runs)?.into_iter().rev().take(NEWEST) {
            let fresh = || -> Result<Link> {
                let bytes = files::read_bounded(&record_path(&self.runs, &run), MAX_FRESH)?;
                parse(&run, &bytes)
            };
            if is_name(&run) && !candidates.contains(&run) && fresh().is_ok_and(|l| !l.complete) {
                candidates.push(run);
            }
        }
        let mut marked = Vec::new();
        for run in candidates {
            // What cannot be read stays as it is: `runs verify` names it.
            let Ok(mut record) = self.read(&run) else {
                continue;
            };
            if record.complete || record.run != run || is_alive(&record.who) {
                continue;
            }
            unfinished(&mut record);
            record.findings.push(died(&record.who));
            held.list(&run);
            self.finish(&mut held, &mut record)?;
            marked.push(run);
        }
        Ok(marked)
    }

    /// The record of exactly this run.
    pub fn read(&self, run: &str) -> Result<Record> {
        let bytes = files::read_bounded(&record_path(&self.runs, run), MAX_RECORD)?;
        parse(run, &bytes)
    }

    /// Where the human log of a record lies.
    pub fn log_path(&self, record: &Record) -> PathBuf {
        self.dir.join(human::file_name(record))
    }

    fn finish(&self, held: &mut Held, record: &mut Record) -> Result<()> {
        let log_path = self.log_path(record);
        let digest = held.append(record)?;
        let text = human::text(record, &digest);
        Ok(files::write_atomic(
            &log_path,
            text.as_bytes(),
            Sync::Content,
        )?)
    }
}

/// What a record says of a run of which nothing more was heard.
fn unfinished(record: &mut Record) {
    record.complete = false;
    record.outcome = Outcome::Interrupted;
    record.exit_code = exit::INTERRUPTED;
    record.sequence = 0;
    record.previous.clear();
}

fn died(who: &Who) -> Finding {
    Finding {
        guard: "interrupted".into(),
        severity: Severity::Warn,
        peer: None,
        message: format!(
            "this run ended without a word (process {} on {} is gone): what it did after its last entry is not \
             recorded here",
            who.pid, who.host
        ),
        hint: "the next run recovers what it left; `ubos-sync status` shows the pair".into(),
    }
}

/// A run whose record is open. Dropped without [`OpenRun::close`], it is closed as interrupted.
#[derive(Debug)]
pub struct OpenRun {
    store: Store,
    record: Record,
    since: Instant,
    over: bool,
}

impl OpenRun {
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Changes the open record and writes it as a whole. Name and chain fields are not the caller's.
    pub fn update(&mut self, change: impl FnOnce(&mut Record)) -> Result<()> {
        let run = self.record.run.clone();
        change(&mut self.record);
        self.record.run = run;
        let (outcome, exit_code) = (self.record.outcome, self.record.exit_code);
        unfinished(&mut self.record);
        // A signal handler may already know better than "interrupted, 130".
        if outcome == Outcome::Interrupted {
            self.record.exit_code = exit_code;
        }
        let path = record_path(&self.store.runs, &self.record.run);
        let bytes = self.record.document();
        let held = Held::take(&self.store.runs)?;
        held.must_be_open(&self.record.run)?;
        Ok(files::write_atomic(&path, bytes.as_bytes(), Sync::Name)?)
    }

    /// Closes the run with what it came to, and gives it back as it was closed. An error from the log alone (something was planted in
    /// its place) leaves the record closed and in the chain.
    pub fn close(mut self, mut record: Record) -> Result<Record> {
        record.run = self.record.run.clone();
        self.end(&mut record)?;
        Ok(record)
    }

    fn end(&mut self, record: &mut Record) -> Result<()> {
        // Whatever happens below, a second try could only lie about it: what stays incomplete is marked later.
        self.over = true;
        let mut held = Held::take(&self.store.runs)?;
        self.store.finish(&mut held, record)
    }
}

impl Drop for OpenRun {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut record = self.record.clone();
        record.seconds = self.since.elapsed().as_secs_f64();
        let message = if std::thread::panicking() {
            "this run ended by a fault of the program itself (panic)"
        } else {
            "this run ended before its end was recorded"
        };
        record.findings.push(Finding {
            guard: "interrupted".into(),
            severity: Severity::Warn,
            peer: None,
            message: message.into(),
            hint: "the next run recovers what it left".into(),
        });
        // Nobody is left to tell; an incomplete record tells the next run.
        let _ = self.end(&mut record);
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{record, store};
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_run_is_incomplete_on_disk_until_it_is_closed() {
        let (_tmp, store) = store();
        let mut done = record(1);
        let run = done.run.clone();
        let mut open = store.begin(done.clone()).unwrap();
        let first = store.read(&run).unwrap();
        assert_eq!(
            (first.complete, first.outcome, first.exit_code),
            (false, Outcome::Interrupted, 130)
        );
        open.update(|r| r.plan = Some("abc".into())).unwrap();
        assert_eq!(store.read(&run).unwrap().plan.as_deref(), Some("abc"));
        assert!(!store.read(&run).unwrap().complete);
        done.outcome = Outcome::Applied;
        let closed = open.close(done).unwrap();
        let last = store.read(&run).unwrap();
        assert_eq!(
            (last.complete, last.outcome, last.sequence),
            (true, Outcome::Applied, 1)
        );
        let log_path = store.log_path(&closed);
        for file in [&record_path(store.runs(), &closed.run), &log_path] {
            assert_eq!(mode(file), 0o600);
        }
        assert_eq!(mode(store.runs()), 0o700);
        assert_eq!(mode(&store.runs().join(".lock")), 0o600);
        let log = log_path.file_name().unwrap().to_str().unwrap();
        assert!(
            log.starts_with("truth_apply_20") && log.ends_with("_000001.log"),
            "{log}"
        );
    }

    #[test]
    fn records_follow_one_another_by_digest() {
        let (_tmp, store) = store();
        let (a, b) = (store.closed(record(1)), store.closed(record(2)));
        let bytes = fs::read(record_path(store.runs(), &a)).unwrap();
        assert_eq!(store.read(&a).unwrap().previous, "");
        assert_eq!(
            store.read(&b).unwrap().previous,
            super::super::chain::digest(&bytes)
        );
    }

    #[test]
    fn a_dropped_run_is_closed_as_interrupted_also_by_a_panic() {
        let (_tmp, store) = store();
        let run = record(1).run;
        drop(store.begin(record(1)).unwrap());
        let dropped = store.read(&run).unwrap();
        assert!(dropped.complete && dropped.outcome == Outcome::Interrupted);
        let inner = store.clone();
        let _ = std::thread::spawn(move || {
            let _open = inner.begin(record(2)).unwrap();
            panic!("on purpose");
        })
        .join();
        let panicked = store.read(&record(2).run).unwrap();
        assert!(panicked.findings[0].message.contains("panic"));
        assert_eq!(store.verify().unwrap().faults, []);
    }

    #[test]
    fn a_killed_run_is_marked_by_the_next_and_a_live_one_is_not() {
        let (_tmp, store) = store();
        std::mem::forget(store.begin(record(1)).unwrap());
        let live = store.begin(record(2)).unwrap();
        let pid = record(2).who.pid;
        let marked = store.mark_dead(&|who| who.pid == pid).unwrap();
        assert_eq!(marked, [record(1).run]);
        let dead = store.read(&record(1).run).unwrap();
        assert!(dead.complete && dead.findings[0].message.contains("without a word"));
        assert!(store.log_path(&dead).exists());
        live.close(record(2)).unwrap();
        let verdict = store.verify().unwrap();
        assert_eq!(
            (verdict.records, verdict.open, verdict.faults),
            (2, 0, vec![])
        );
    }

    #[test]
    fn a_live_run_that_was_taken_for_dead_cannot_tear_the_chain() {
        let (_tmp, store) = store();
        let mut open = store.begin(record(1)).unwrap();
        store.mark_dead(&|_| false).unwrap();
        assert!(matches!(
            open.update(|_| ()),
            Err(AuditError::Closed { .. })
        ));
        assert!(matches!(
            open.close(record(1)),
            Err(AuditError::Closed { .. })
        ));
        let verdict = store.verify().unwrap();
        assert_eq!((verdict.records, verdict.faults), (1, vec![]));
    }

    #[test]
    fn a_name_is_given_to_one_run_only() {
        let (_tmp, store) = store();
        store.closed(record(1));
        assert!(store.begin(record(1)).is_err());
        assert_eq!(store.verify().unwrap().faults, []);
    }

    #[test]
    fn a_run_killed_before_it_was_listed_is_still_found() {
        let (_tmp, store) = store();
        store.closed(record(1));
        let lost = record(2);
        fs::write(record_path(store.runs(), &lost.run), lost.document()).unwrap();
        assert_eq!(store.verify().unwrap().faults, []);
        assert_eq!(store.mark_dead(&|_| false).unwrap(), [lost.run]);
        assert_eq!(store.verify().unwrap().records, 2);
    }

    #[test]
    fn concurrent_closers_make_one_chain() {
        let (_tmp, store) = store();
        std::thread::scope(|s| {
            for t in 0..2 {
                let store = &store;
                s.spawn(move || (0..10).for_each(|n| drop(store.closed(record(100 * t + n)))));
            }
        });
        let verdict = store.verify().unwrap();
        assert_eq!((verdict.records, verdict.faults), (20, vec![]));
    }

    #[test]
    fn planted_links_are_refused_before_the_run_and_their_targets_untouched() {
        let (tmp, store) = store();
        let victim = tmp.path().join("victim");
        fs::write(&victim, "whole").unwrap();
        let one = record(1);
        for place in [record_path(store.runs(), &one.run), store.log_path(&one)] {
            symlink(&victim, &place).unwrap();
            let why = store.begin(one.clone()).unwrap_err().to_string();
            assert!(why.contains("symbolic link"), "{why}");
            assert_eq!(fs::read(&victim).unwrap(), b"whole");
            fs::remove_file(&place).unwrap();
        }
        let open = store.begin(one.clone()).unwrap();
        symlink(&victim, store.log_path(&one)).unwrap();
        assert!(open.close(one.clone()).is_err());
        assert_eq!(fs::read(&victim).unwrap(), b"whole");
        // What was planted costs the log, not the record.
        assert!(store.read(&one.run).unwrap().complete);
        assert_eq!(store.verify().unwrap().faults, []);
    }

    #[test]
    fn a_linked_or_open_directory_is_refused() {
        let tmp = tempfile::tempdir().unwrap();
        let real = tmp.path().join("real");
        fs::create_dir(&real).unwrap();
        symlink(&real, tmp.path().join("logs")).unwrap();
        assert!(Store::open(&tmp.path().join("logs")).is_err());
        symlink(tmp.path(), real.join("runs")).unwrap();
        assert!(Store::open(&real).is_err());
        fs::remove_file(real.join("runs")).unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o775)).unwrap();
        assert!(Store::open(&real).is_err());
    }

    #[test]
    fn vm_02_newer_records_are_refused_with_the_reason_and_odd_names_too() {
        let (_tmp, store) = store();
        let text = record(1)
            .document()
            .replace("\"schema\": 1", "\"schema\": 2");
        fs::write(
            store.runs().join("x.json"),
            text.replace("\"lanes\"", "\"paths\""),
        )
        .unwrap();
        let why = store.read("x").unwrap_err().to_string();
        assert!(why.contains("newer ubos-sync (schema 2"), "{why}");
        let mut odd = record(1);
        odd.run = "../x".into();
        assert!(matches!(store.begin(odd), Err(AuditError::Name { .. })));
    }

    #[test]
    fn run_ids_sort_by_time_and_differ() {
        let at = DateTime::from_timestamp(1_759_838_400, 0).unwrap();
        let id = new_run_id(at, "truth").unwrap();
        assert!(
            id.starts_with("20251007T120000Z-truth-") && id.len() == 29,
            "{id}"
        );
        assert_ne!(id, new_run_id(at, "truth").unwrap());
        assert!(new_run_id(at, "../e\x1bvil").unwrap().contains("-evil-"));
    }
}
