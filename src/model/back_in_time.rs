//! A replica that was restored from an old backup: its files are older than what both sides had in common.
//!
//! Whether that was somebody's wish cannot be known, so that it is carried like any edit, what it replaces being kept; but it is said.

use super::entry::Entry;
use super::finding::{Finding, Severity};
use super::plan::{Change, Kind, Side, TruthPlan};
use super::text::count;

/// Times that are nearer than this may differ by how exactly a file system keeps them.
const NEAR_NS: i128 = 2_000_000_000;

/// One finding for each host whose files went back.
pub fn back_in_time(plan: &TruthPlan, local: &str, peer: &str) -> Vec<Finding> {
    let of = |to: Side, host: &str| {
        let gone_back = |c: &&Change| c.to == to && is_older(c);
        let mut all = plan.changes.iter().filter(gone_back);
        let first = all.next()?;
        Some(Finding {
            guard: "back_in_time".into(),
            severity: Severity::Warn,
            peer: None,
            message: format!(
                "{} on {host} went back in time, to before the last sync (such as {}): was a backup restored there?",
                count(1 + all.count(), "file"),
                first.path
            ),
            hint: "look at the plan first; what is replaced is kept, and `ubos-sync rollback` puts it back".into(),
        })
    };
    let hosts = [(Side::Peer, local), (Side::Local, peer)];
    hosts
        .into_iter()
        .filter_map(|(to, host)| of(to, host))
        .collect()
}

/// An edit that nobody contests, of which the new version is older than the one that both sides had.
fn is_older(change: &Change) -> bool {
    let (Some(Entry::File(now)), Some(Entry::File(was))) = (&change.source, &change.target) else {
        return false;
    };
    change.kind == Kind::Update
        && change.conflict.is_none()
        && now.mtime_ns + NEAR_NS < was.mtime_ns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::entry::File;
    use crate::model::path::RelPath;
    use crate::model::plan::Decided;

    fn file(hash: &str, mtime_ns: i128) -> Option<Entry> {
        Some(Entry::File(File {
            size: 1,
            mode: 0o644,
            mtime_ns,
            hash: hash.into(),
        }))
    }

    fn change(path: &str, to: Side, source: Option<Entry>, target: Option<Entry>) -> Change {
        Change {
            path: RelPath::new(path).unwrap(),
            kind: Kind::Update,
            to,
            source,
            target,
            conflict: None,
            moved: false,
        }
    }

    fn said(changes: Vec<Change>) -> Vec<String> {
        let plan = TruthPlan {
            changes,
            ..TruthPlan::default()
        };
        let all = back_in_time(&plan, "mac", "balaur").into_iter();
        all.map(|f| f.message).collect()
    }

    #[test]
    fn files_that_are_clearly_older_than_what_both_had_are_counted_by_host() {
        let older = |path, to| change(path, to, file("a", 0), file("b", NEAR_NS + 1));
        let found = said(vec![
            older("x", Side::Peer),
            older("y", Side::Local),
            older("z", Side::Peer),
        ]);
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("2 files on mac") && found[0].contains("such as x"));
        assert!(found[1].starts_with("1 file on balaur") && found[1].contains("such as y"));
    }

    #[test]
    fn what_is_contested_newer_or_no_edit_says_nothing() {
        let older = change("x", Side::Peer, file("a", 0), file("b", NEAR_NS + 1));
        let conflict = Some((Decided::Newer, String::new()));
        for change in [
            Change {
                conflict,
                ..older.clone()
            },
            Change {
                kind: Kind::Meta,
                ..older.clone()
            },
            Change {
                kind: Kind::Delete,
                source: None,
                ..older.clone()
            },
            Change {
                kind: Kind::Create,
                target: None,
                ..older.clone()
            },
            change("x", Side::Peer, file("a", 0), file("b", NEAR_NS)),
            change("x", Side::Peer, file("a", 5 * NEAR_NS), file("b", 0)),
        ] {
            assert_eq!(
                said(vec![change.clone()]),
                Vec::<String>::new(),
                "{change:?}"
            );
        }
    }
}
