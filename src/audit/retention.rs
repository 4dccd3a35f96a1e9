//! Retention: old records and their logs go, from the old end of the chain only, and a checkpoint stays.
//!
//! Invariants: what is removed has just been proven, by the record after it, to be what was closed, so retention
//! can never remove the evidence of a change; it stops at the first record that is too young, wanted, open or
//! wrong. The checkpoint is on disk before the first record goes.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};

use super::chain::{Held, Mark, digest, read_link, record_path, runs_by_name};
use super::store::{Result, Store};
use crate::host::files::{self, STAGE, Sync};
use crate::model::record::Mode;

/// A stage this old belongs to nobody who is still writing.
const STALE_STAGE_SECONDS: i64 = 3600;

/// What retention removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    pub records: usize,
    pub logs: usize,
}

struct Old {
    mark: Mark,
    previous: String,
    command: String,
    mode: Mode,
}

impl Store {
    /// Removes what is older than `keep`. A run in `wanted` (one that can still be rolled back, say) and
    /// everything after it stays.
    pub fn prune(&self, keep: Duration, now: DateTime<Utc>, wanted: &[String]) -> Result<Pruned> {
        let mut held = Held::take(self.runs())?;
        self.sweep_stages(now)?;
        if !held.sound {
            return Ok(Pruned::default());
        }
        let unfinished = std::mem::take(&mut held.head.removing);
        for run in &unfinished {
            files::remove_file(&record_path(self.runs(), run))?;
        }
        let going = self.going(&held, keep, now, wanted)?;
        let Some(last) = going.last() else {
            if !unfinished.is_empty() {
                held.save(Sync::Name)?;
            }
            return Ok(Pruned::default());
        };
        held.head.checkpoint = last.mark.clone();
        held.head.removing = going.iter().map(|o| o.mark.run.clone()).collect();
        held.save(Sync::Name)?;
        let logs = self.remove_logs(&going)?;
        for old in &going {
            files::remove_file(&record_path(self.runs(), &old.mark.run))?;
        }
        held.head.removing.clear();
        held.save(Sync::Name)?;
        Ok(Pruned {
            records: going.len(),
            logs,
        })
    }

    /// The old end of the chain, as far as it may go, oldest first.
    fn going(
        &self,
        held: &Held,
        keep: Duration,
        now: DateTime<Utc>,
        wanted: &[String],
    ) -> Result<Vec<Old>> {
        let (last, checkpoint) = (&held.head.last, &held.head.checkpoint);
        let mut old = self.older(keep, now)?;
        let mut going: Vec<Old> = Vec::new();
        let mut before = checkpoint.digest.clone();
        for place in checkpoint.count.saturating_add(1)..=last.count {
            let Some(here) = old.remove(&place) else {
                break;
            };
            // The word of the one after it, or of the head, that these are the bytes that were closed.
            let vouched = match old.get(&place.saturating_add(1)) {
                Some(after) => after.previous == here.mark.digest,
                None => place == last.count && last.digest == here.mark.digest,
            };
            if !vouched || here.previous != before || wanted.contains(&here.mark.run) {
                break;
            }
            before = here.mark.digest.clone();
            going.push(here);
        }
        Ok(going)
    }

    /// The closed records that are older than `keep`, by place.
    fn older(&self, keep: Duration, now: DateTime<Utc>) -> Result<BTreeMap<u64, Old>> {
        let keep = chrono::Duration::from_std(keep).unwrap_or(chrono::Duration::MAX);
        let Some(limit) = now.checked_sub_signed(keep) else {
            return Ok(BTreeMap::new());
        };
        let mut old = BTreeMap::new();
        for run in runs_by_name(self.runs())? {
            if started(&run).is_none_or(|at| at >= limit) {
                continue;
            }
            let Ok((bytes, link)) = read_link(self.runs(), &run) else {
                continue;
            };
            if !link.complete || link.run != run {
                continue;
            }
            let mark = Mark {
                digest: digest(&bytes),
                count: link.sequence,
                run,
            };
            old.insert(
                link.sequence,
                Old {
                    mark,
                    previous: link.previous,
                    command: link.command,
                    mode: link.mode,
                },
            );
        }
        Ok(old)
    }

    /// The human logs of these runs. Their names hold local time, and time zones change: the rest must fit.
    fn remove_logs(&self, going: &[Old]) -> Result<usize> {
        let ends: Vec<(String, String)> = going
            .iter()
            .map(|o| {
                let id = o.mark.run.rsplit('-').next().unwrap_or(&o.mark.run);
                let begin = format!("{}_{}_", o.command, o.mode.word());
                (begin, format!("_{id}.log"))
            })
            .collect();
        let by_end: BTreeMap<&str, &str> =
            ends.iter().map(|(b, e)| (e.as_str(), b.as_str())).collect();
        let mut removed = 0;
        for name in files::names(self.dir())? {
            let Some(name) = name.to_str() else { continue };
            let end = name.rfind('_').map_or("", |cut| &name[cut..]);
            if by_end.get(end).is_some_and(|b| name.starts_with(b)) {
                files::remove_file(&self.dir().join(name))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Stages of writers that died.
    fn sweep_stages(&self, now: DateTime<Utc>) -> Result<()> {
        for dir in [self.dir(), self.runs()] {
            for name in files::names(dir)? {
                let path = dir.join(&name);
                let stage = name.to_str().is_some_and(|n| n.starts_with(STAGE));
                let stale = |at: i64| now.timestamp() - at > STALE_STAGE_SECONDS;
                if stage && files::modified(&path).is_ok_and(stale) {
                    files::remove_file(&path)?;
                }
            }
        }
        Ok(())
    }
}

/// When a run started, by its name.
fn started(run: &str) -> Option<DateTime<Utc>> {
    let stamp = run.split('-').next()?;
    NaiveDateTime::parse_from_str(stamp, "%Y%m%dT%H%M%SZ")
        .ok()
        .map(|at| at.and_utc())
}

#[cfg(test)]
mod tests {
    use super::super::samples::{record, store};
    use super::*;

    /// Ten runs, one a minute; `now` is when run 10 would start.
    fn ten() -> (tempfile::TempDir, Store, DateTime<Utc>) {
        let (tmp, store) = store();
        (0..10).for_each(|n| drop(store.closed(record(n))));
        let now = started(&record(10).run).unwrap();
        (tmp, store, now)
    }

    fn minutes(n: u64) -> Duration {
        Duration::from_secs(60 * n)
    }

    fn logs(store: &Store) -> usize {
        let is_log = |n: &std::ffi::OsString| n.to_str().is_some_and(|n| n.ends_with(".log"));
        files::names(store.dir())
            .unwrap()
            .into_iter()
            .filter(is_log)
            .count()
    }

    #[test]
    fn old_runs_go_with_their_logs_and_the_rest_is_still_proven() {
        let (_tmp, store, now) = ten();
        let pruned = store.prune(minutes(4), now, &[]).unwrap();
        // Of the six old ones the last is vouched for only by one that is not old.
        assert_eq!(
            pruned,
            Pruned {
                records: 5,
                logs: 5
            }
        );
        let verdict = store.verify().unwrap();
        assert_eq!(
            (verdict.before, verdict.records, &verdict.faults[..]),
            (5, 5, &[][..])
        );
        assert_eq!(logs(&store), 5);
        store.closed(record(11));
        assert_eq!(store.verify().unwrap().faults, []);
        let all = store.prune(Duration::ZERO, now + minutes(9), &[]).unwrap();
        assert_eq!(all.records, 6);
        let verdict = store.verify().unwrap();
        assert_eq!(
            (verdict.before, verdict.records, verdict.faults),
            (11, 0, vec![])
        );
        store.closed(record(12));
        assert_eq!(store.verify().unwrap().faults, []);
    }

    #[test]
    fn wanted_and_open_runs_stay() {
        let (_tmp, store, now) = ten();
        let open = store.begin(record(12)).unwrap();
        let pruned = store
            .prune(Duration::ZERO, now + minutes(60), &[record(3).run])
            .unwrap();
        assert_eq!(pruned.records, 3);
        assert!(store.read(&record(3).run).is_ok());
        open.close(record(12)).unwrap();
        assert_eq!(store.verify().unwrap().faults, []);
    }

    #[test]
    fn what_was_altered_is_never_removed() {
        // One in the middle, which the next vouches for, and the last, for which the head does.
        for n in [2, 9] {
            let (_tmp, store, now) = ten();
            let path = record_path(store.runs(), &record(n).run);
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, text.replace("docs/a.md", "docs/x.md")).unwrap();
            store.prune(Duration::ZERO, now + minutes(60), &[]).unwrap();
            assert!(path.exists(), "{n}");
            assert!(!store.verify().unwrap().faults.is_empty(), "{n}");
        }
    }

    #[test]
    fn a_copy_under_another_name_is_not_taken_for_the_record() {
        let (_tmp, store, now) = ten();
        let path = record_path(store.runs(), &record(0).run);
        let copy = record_path(store.runs(), "20251007T000000Z-truth-ffffff");
        std::fs::copy(&path, &copy).unwrap();
        store.prune(minutes(4), now, &[]).unwrap();
        assert!(copy.exists() && !path.exists());
    }

    #[test]
    fn removing_the_old_end_by_hand_is_no_retention() {
        let (_tmp, store, now) = ten();
        store.prune(minutes(4), now, &[]).unwrap();
        std::fs::remove_file(record_path(store.runs(), &record(5).run)).unwrap();
        assert!(!store.verify().unwrap().faults.is_empty());
    }

    #[test]
    fn a_retention_that_died_is_finished_by_the_next() {
        let (_tmp, store, now) = ten();
        let kept = std::fs::read(record_path(store.runs(), &record(0).run)).unwrap();
        store.prune(minutes(4), now, &[]).unwrap();
        // As if it had died before it came to the first record.
        let path = record_path(store.runs(), &record(0).run);
        std::fs::write(&path, kept).unwrap();
        let mut held = Held::take(store.runs()).unwrap();
        held.head.removing = vec![record(0).run];
        held.save(Sync::Name).unwrap();
        drop(held);
        assert_eq!(store.verify().unwrap().faults, []);
        store.prune(minutes(4), now, &[]).unwrap();
        assert!(!path.exists());
        let head = Held::take(store.runs()).unwrap().head.clone();
        assert!(head.removing.is_empty(), "nothing is left to be finished");
    }

    #[test]
    fn stale_stages_are_swept_and_fresh_ones_are_not() {
        let (_tmp, store, _) = ten();
        let stage = store.runs().join(".ubos-sync.abc");
        std::fs::write(&stage, "").unwrap();
        let now = crate::host::clock::now();
        store
            .prune(minutes(1), now - minutes(600_000), &[])
            .unwrap();
        assert!(stage.exists());
        let made = files::modified(&stage).unwrap();
        for (seconds, stays) in [
            (STALE_STAGE_SECONDS, true),
            (STALE_STAGE_SECONDS + 1, false),
        ] {
            let now = DateTime::from_timestamp(made + seconds, 0).unwrap();
            store.prune(minutes(60_000_000), now, &[]).unwrap();
            assert_eq!(stage.exists(), stays, "{seconds}");
        }
    }
}
