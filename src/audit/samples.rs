//! Records and a store for the tests of this layer.

use super::store::Store;
use crate::model::record::{
    ChangeDoc, EntryDoc, Lane, Mode, Outcome, Record, ResultWord, TruthLane, Who,
};

/// A store in a directory of its own.
pub fn store() -> (tempfile::TempDir, Store) {
    let tmp = tempfile::tempdir().unwrap();
    let store = Store::open(&tmp.path().join("logs")).unwrap();
    (tmp, store)
}

impl Store {
    /// Begins and closes a run; returns its name.
    pub fn closed(&self, record: Record) -> String {
        let run = record.run.clone();
        self.begin(record.clone()).unwrap().close(record).unwrap();
        run
    }
}

pub fn entry(size: u64, mtime: &str) -> Box<EntryDoc> {
    Box::new(EntryDoc {
        r#type: "file".into(),
        size: Some(size),
        mode: Some("0644".into()),
        mtime: Some(mtime.into()),
        hash: Some("aa".into()),
        link: None,
    })
}

pub fn change(path: &str, kind: &str, to: &str, bytes: u64) -> ChangeDoc {
    ChangeDoc {
        path: path.into(),
        path_hex: None,
        kind: kind.into(),
        to: to.into(),
        bytes,
        conflict: None,
        why: None,
        moved: false,
        source: None,
        target: None,
        result: ResultWord::Planned,
        error: None,
    }
}

/// Run number `n`: an applied run that started `n` minutes into 7 October 2025.
pub fn record(n: u32) -> Record {
    let (h, m) = (n / 60 % 24, n % 60);
    let run = format!("20251007T{h:02}{m:02}00Z-truth-{n:06x}");
    let started = format!("2025-10-07T{h:02}:{m:02}:00Z");
    let mut record = Record::open(&run, "truth", Mode::Apply, &started);
    record.outcome = Outcome::Applied;
    record.exit_code = 0;
    record.who = Who {
        user: "th".into(),
        host: "mac.local".into(),
        site: "mac".into(),
        pid: 1000 + n,
        version: "0.1.0".into(),
        reason: "by hand".into(),
    };
    let mut lane = TruthLane::new("balaur");
    lane.outcome = Outcome::Applied;
    lane.changes = vec![change("docs/a.md", "create", "peer", 120)];
    lane.changes[0].result = ResultWord::Done;
    record.lanes = vec![Lane::Truth(lane)];
    record
}
