//! The directory of records, found in any state: first the head, a form feed, then the records one after the other.

use std::fs;
use std::time::Duration;

use ubos_sync::audit::store::Store;

pub fn check(data: &[u8]) {
    let dir = tempdir();
    let store = Store::open(dir.path()).expect("a new directory");
    let mut files = data.split(|b| *b == b'\x0c');
    let head = files.next().unwrap_or_default();
    if !head.is_empty() {
        fs::write(store.runs().join(".head"), head).unwrap();
    }
    for (n, record) in files.take(8).enumerate() {
        // Under the name it gives itself, where that is one.
        let own = serde_json::from_slice::<ubos_sync::audit::chain::Link>(record).map(|l| l.run);
        let sound = |run: &String| {
            run.len() < 64
                && !run.is_empty()
                && run.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let name = own
            .ok()
            .filter(sound)
            .unwrap_or_else(|| format!("r-truth-{n}"));
        fs::write(store.runs().join(format!("{name}.json")), record).unwrap();
    }
    let first = store.verify();
    if let Ok(verdict) = &first {
        verdict
            .faults
            .iter()
            .for_each(|f| super::assert_harmless(&f.to_string()));
        assert!(
            verdict.faults.len() < 1000,
            "{} faults of {} bytes",
            verdict.faults.len(),
            data.len()
        );
        assert_eq!(
            &store.verify().expect("as before"),
            verdict,
            "to look changes nothing"
        );
    }
    // Nothing that is there may be taken for old enough to go, nor end this.
    let pruned = store.prune(
        Duration::from_secs(u64::MAX / 4),
        chrono::DateTime::UNIX_EPOCH,
        &[],
    );
    assert!(pruned.is_err() || pruned.is_ok_and(|p| p.records == 0));
    // Whatever is there, either nothing is written or what is written can be read.
    let fresh = ubos_sync::model::record::Record::open(
        "x-truth-1",
        "truth",
        ubos_sync::model::record::Mode::DryRun,
        "",
    );
    if let Ok(open) = store.begin(fresh.clone())
        && let Ok(closed) = open.close(fresh)
    {
        assert!(
            store
                .read("x-truth-1")
                .is_ok_and(|r| r == closed && r.complete)
        );
    }
}

fn tempdir() -> tempfile::TempDir {
    // In memory where there is such a place: nothing here has to outlive the machine.
    let shm = std::path::Path::new("/dev/shm");
    match shm.is_dir() {
        true => tempfile::tempdir_in(shm),
        false => tempfile::tempdir(),
    }
    .expect("a scratch directory")
}
