//! Which folders of runs may go. Pure.
//!
//! Invariant: never one of an unfinished run, none while the pair is held, and none that keeps the loser of a conflict before its
//! time.

use std::time::Duration;

use super::time::run_order;

/// What a run has put aside on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    pub run: String,
    pub kib: u64,
    pub is_unfinished: bool,
    pub has_losers: bool,
    /// How long ago the run was.
    pub age: Option<Duration>,
}

/// The folders that may go, the oldest first.
pub fn to_drop(all: &[Folder], keep: u64, keep_losers: Duration, is_held: bool) -> Vec<&Folder> {
    if is_held {
        return Vec::new();
    }
    let mut newest: Vec<&Folder> = all.iter().collect();
    newest.sort_by(|a, b| run_order(&b.run).cmp(&run_order(&a.run)));
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    let mut old: Vec<&Folder> = newest.into_iter().skip(keep).collect();
    old.reverse();
    // A name whose time cannot be read is young.
    let losers_stay = |f: &Folder| f.has_losers && f.age.is_none_or(|age| age < keep_losers);
    old.retain(|f| !f.is_unfinished && !losers_stay(f));
    old
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(run: &str, days: u64) -> Folder {
        Folder {
            run: run.into(),
            kib: 4,
            is_unfinished: false,
            has_losers: false,
            age: Some(Duration::from_secs(days * 86_400)),
        }
    }

    #[test]
    fn the_newest_stay_and_so_do_losers_unfinished_runs_and_everything_of_a_held_pair() {
        let mut all = vec![
            folder("20260101T000000Z-truth-000000", 200),
            folder("20260201T000000Z-truth-000000", 170),
            folder("20260301T000000Z-truth-000000", 80),
            folder("20260401T000000Z-truth-000000", 1),
        ];
        let dropped = |all: &[Folder], held| -> Vec<String> {
            let day = Duration::from_secs(86_400);
            to_drop(all, 1, day * 90, held)
                .iter()
                .map(|f| f.run[4..6].to_owned())
                .collect()
        };
        assert_eq!(dropped(&all, false), ["01", "02", "03"]);
        assert!(dropped(&all, true).is_empty());
        all[0].has_losers = true;
        all[2].has_losers = true;
        assert_eq!(dropped(&all, false), ["01", "02"]);
        all[1].is_unfinished = true;
        assert_eq!(dropped(&all, false), ["01"]);
    }

    #[test]
    fn a_loser_goes_when_its_days_are_over_and_one_without_a_date_never() {
        let days = |n: u64| Duration::from_secs(86_400 * n);
        for (age, goes) in [
            (Some(days(89)), false),
            (Some(days(90)), true),
            (None, false),
        ] {
            let loser = Folder {
                has_losers: true,
                age,
                ..folder("20260101T000000Z-truth-000000", 0)
            };
            let dropped = to_drop(std::slice::from_ref(&loser), 0, days(90), false);
            assert_eq!(!dropped.is_empty(), goes, "{age:?}");
        }
    }
}
