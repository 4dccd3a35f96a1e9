//! After the engine has spoken: what do both sides really have? Judged by facts and hashes taken anew, never by what it said.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::host::link::LinkError;
use crate::lanes::truth::content;
use crate::lanes::truth::hosts::{Host, Pair};
use crate::model::decide::Judge;
use crate::model::entry::{ContentHash, Entry};
use crate::model::index::Index;
use crate::model::path::RelPath;
use crate::model::plan::{Change, Kind, Side};
use crate::model::record::ResultWord;
use crate::model::sorted::Sorted;
use crate::model::tree::{Stat, What};

/// What became of one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub result: ResultWord,
    pub error: Option<String>,
    /// What both sides have now, when it was done.
    pub now: Option<Entry>,
    /// Something worth saying although it was done.
    pub note: Option<String>,
}

/// One side's view of the planned paths.
#[derive(Default)]
struct Seen {
    stats: BTreeMap<RelPath, Stat>,
    hashes: Sorted<ContentHash>,
}

impl Seen {
    fn entry(&self, path: &RelPath) -> Option<Entry> {
        self.stats.get(path)?.entry(self.hashes.get(path).copied())
    }

    fn is_there(&self, path: &RelPath) -> bool {
        self.stats.contains_key(path)
    }
}

/// Looks at every planned path on both sides and says what became of it. The index learns what it saw.
pub fn verify(
    pair: &Pair,
    judge: &Judge,
    changes: &[Change],
    said: &HashMap<Vec<u8>, String>,
    index: &mut Index,
) -> Result<Vec<Verified>, LinkError> {
    let (local, peer) = std::thread::scope(|s| {
        let far = s.spawn(|| see(&pair.peer, changes));
        let near = see(&pair.local, changes);
        (
            near,
            far.join().unwrap_or_else(|_| {
                Err(LinkError::failed(
                    "verification ended unexpectedly",
                    "ubos-sync verify",
                ))
            }),
        )
    });
    let (local, peer) = (local?, peer?);
    for (side, host, seen) in [
        (Side::Local, &pair.local, &local),
        (Side::Peer, &pair.peer, &peer),
    ] {
        // The clock of the sweep is older than these facts: what is younger than it is simply not remembered.
        for (path, hash) in &seen.hashes {
            if let Some(stat) = seen.stats.get(path) {
                index.remember(side, path, stat, *hash, host.said.swept_at);
            }
        }
    }
    Ok(changes
        .iter()
        .map(|c| {
            let (from, to) = match c.to {
                Side::Peer => (&local, &peer),
                Side::Local => (&peer, &local),
            };
            one(judge, c, from, to, said)
        })
        .collect())
}

fn see(host: &Host, changes: &[Change]) -> Result<Seen, LinkError> {
    let paths: BTreeSet<RelPath> = changes.iter().map(|c| c.path.clone()).collect();
    let paths: Vec<RelPath> = paths.into_iter().collect();
    let files: Vec<RelPath> = changes
        .iter()
        .filter(|c| matches!(c.source, Some(Entry::File(_))))
        .map(|c| c.path.clone())
        .collect();
    let (stats, hashes) = std::thread::scope(|s| {
        let hashes = s.spawn(|| content::hash(&host.link, &host.root_given, &files));
        let stats = content::look(
            &host.link,
            &host.root_given,
            &host.said.style,
            false,
            &paths,
        );
        (
            stats,
            hashes.join().unwrap_or_else(|_| {
                Err(LinkError::failed(
                    "hashing ended unexpectedly",
                    "run it again",
                ))
            }),
        )
    });
    Ok(Seen {
        stats: stats?,
        hashes: hashes?,
    })
}

fn one(
    judge: &Judge,
    c: &Change,
    from: &Seen,
    to: &Seen,
    said: &HashMap<Vec<u8>, String>,
) -> Verified {
    let failed = |why: String| Verified {
        result: ResultWord::Failed,
        error: Some(reason(c, said).unwrap_or(why)),
        now: None,
        note: None,
    };
    let Some(expected) = &c.source else {
        return if to.is_there(&c.path) {
            failed("it is still there".into())
        } else {
            Verified {
                result: ResultWord::Done,
                error: None,
                now: None,
                note: None,
            }
        };
    };
    let Some(arrived) = to.entry(&c.path) else {
        return failed(if to.is_there(&c.path) {
            "what is there now cannot be read".into()
        } else {
            "it did not arrive".into()
        });
    };
    let as_planned = match c.kind {
        Kind::Meta => judge.same_as_carried(expected, &arrived),
        _ => judge.same(expected, &arrived),
    };
    let source = from.entry(&c.path);
    if !as_planned {
        // Edited under the run before it was carried: what arrived is what the source has, and that is what was wanted of it.
        let follows = matches!((expected, &arrived), (Entry::File(_), Entry::File(_)))
            && source.as_ref().is_some_and(|s| judge.same(s, &arrived));
        return match follows {
            false => failed(difference(expected, &arrived)),
            true => Verified {
                result: ResultWord::Done,
                error: None,
                now: Some(arrived),
                note: Some(
                    "changed at its source after the plan was made; what is there now was carried"
                        .into(),
                ),
            },
        };
    }
    let moved_on = source.is_none_or(|e| !judge.same(expected, &e));
    Verified {
        result: ResultWord::Done,
        error: None,
        now: Some(arrived),
        note: moved_on.then(|| {
            "changed again at its source while the run was under way; the next run carries that"
                .into()
        }),
    }
}

/// What the engine said of this path, or of the directory it came with.
fn reason(c: &Change, said: &HashMap<Vec<u8>, String>) -> Option<String> {
    said.get(c.path.as_bytes())
        .or_else(|| c.path.ancestors().find_map(|a| said.get(a)))
        .cloned()
}

fn difference(expected: &Entry, arrived: &Entry) -> String {
    if !expected.same_content(arrived) {
        return "its content is not what the plan said".into();
    }
    match (expected.mode(), arrived.mode()) {
        (Some(a), Some(b)) if a != b => format!("its mode is {b:04o} instead of {a:04o}"),
        _ => "its time is not what the plan said".into(),
    }
}

/// The paths of a side whose versions are replaced, so that they have to be kept.
pub fn replaced(side: Side, changes: &[Change]) -> Vec<RelPath> {
    let is_replaced = |c: &&Change| {
        c.to == side && c.kind != Kind::Meta && c.target.as_ref().is_some_and(|t| !t.is_dir())
    };
    let replaced = changes.iter().filter(is_replaced);
    replaced.map(|c| c.path.clone()).collect()
}

/// Which of them really lie in the run's backup folder.
pub fn kept(host: &Host, folder: &str, wanted: &[RelPath]) -> Result<Vec<RelPath>, LinkError> {
    let found = content::look(&host.link, folder, &host.said.style, false, wanted)?;
    Ok(found
        .into_iter()
        .filter(|(_, s)| s.what != What::Dir)
        .map(|(p, _)| p)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::decide::Clocks;
    use crate::model::entry::File;
    use crate::model::policy::Strategy;

    const S: i128 = 1_000_000_000;

    fn file(content: &str, at: i128, mode: u32) -> Entry {
        Entry::File(File {
            size: 1,
            mode,
            mtime_ns: at * S,
            hash: content.into(),
        })
    }

    /// `None`: nothing is there; a file whose content is empty cannot be read.
    fn seen(entry: Option<&Entry>) -> Seen {
        let path = RelPath::new("d/f").unwrap();
        let mut seen = Seen::default();
        let Some(entry) = entry else { return seen };
        let (what, at, mode) = match entry {
            Entry::File(f) => (What::File, f.mtime_ns, f.mode),
            Entry::Dir { mode } => (What::Dir, 0, *mode),
            Entry::Link { target, mtime_ns } => (What::Link(target.clone()), *mtime_ns, 0),
        };
        let stat = Stat {
            what,
            size: 1,
            mtime_ns: at,
            ctime_ns: at,
            ino: 1,
            mode,
        };
        seen.stats.insert(path.clone(), stat);
        if let Entry::File(f) = entry
            && f.hash != "".into()
        {
            seen.hashes.insert(path, f.hash);
        }
        seen
    }

    fn verdict(
        kind: Kind,
        planned: Option<&Entry>,
        from: Option<&Entry>,
        to: Option<&Entry>,
        said: &[(&str, &str)],
    ) -> Verified {
        let judge = Judge {
            strategy: Strategy::Newer,
            permissions: true,
            clocks: Clocks::default(),
            local_name: "mac".into(),
            peer_name: "balaur".into(),
        };
        let change = Change {
            path: RelPath::new("d/f").unwrap(),
            kind,
            to: Side::Peer,
            source: planned.cloned(),
            target: None,
            conflict: None,
            moved: false,
        };
        let said = said
            .iter()
            .map(|(p, why)| (p.as_bytes().to_vec(), (*why).to_owned()))
            .collect();
        one(&judge, &change, &seen(from), &seen(to), &said)
    }

    #[test]
    fn what_did_not_become_as_planned_has_failed_and_says_why() {
        let planned = file("new", 50, 0o644);
        let (unread, other) = (file("", 50, 0o644), file("other", 50, 0o644));
        let (chmod, touch) = (file("new", 50, 0o600), file("new", 90, 0o644));
        let link = Entry::Link {
            target: b"t".to_vec(),
            mtime_ns: 0,
        };
        for (to, why) in [
            (None, "it did not arrive"),
            (Some(&unread), "what is there now cannot be read"),
            (Some(&other), "its content is not what the plan said"),
            (Some(&link), "its content is not what the plan said"),
            (Some(&chmod), "its mode is 0600 instead of 0644"),
            (Some(&touch), "its time is not what the plan said"),
        ] {
            let v = verdict(Kind::Update, Some(&planned), Some(&planned), to, &[]);
            assert_eq!(
                (v.result, v.error.as_deref()),
                (ResultWord::Failed, Some(why))
            );
            assert_eq!((v.now, v.note), (None, None));
        }
    }

    #[test]
    fn the_reason_is_the_engine_s_own_word_of_the_path_or_of_a_directory_above_it() {
        for (said, error) in [
            (&[("d/f", "no room"), ("d", "not permitted")][..], "no room"),
            (&[("d", "not permitted")], "not permitted"),
            (&[("d/f/x", "no room")], "it is still there"),
        ] {
            let there = file("old", 5, 0o644);
            let v = verdict(Kind::Delete, None, None, Some(&there), said);
            assert_eq!(
                (v.result, v.error.as_deref()),
                (ResultWord::Failed, Some(error))
            );
        }
        // What it said of something that was done all the same is not repeated.
        let v = verdict(Kind::Delete, None, None, None, &[("d/f", "no room")]);
        assert_eq!((v.result, v.error), (ResultWord::Done, None));
    }

    #[test]
    fn what_moved_on_at_its_source_under_the_run_is_done_and_noted() {
        let (planned, edited) = (file("new", 50, 0o644), file("newer", 60, 0o644));
        let of = |from, to| verdict(Kind::Update, Some(&planned), from, Some(to), &[]);
        let still = of(Some(&planned), &planned);
        assert_eq!((still.result, still.note), (ResultWord::Done, None));
        for (from, to, note) in [
            (Some(&edited), &planned, "changed again at its source"),
            (None, &planned, "changed again at its source"),
            (
                Some(&edited),
                &edited,
                "changed at its source after the plan",
            ),
        ] {
            let v = of(from, to);
            assert_eq!((v.result, v.now.as_ref()), (ResultWord::Done, Some(to)));
            assert!(v.note.unwrap().starts_with(note));
        }
        // Not what was planned, and not what the source has either.
        let v = of(Some(&file("newest", 70, 0o644)), &edited);
        assert_eq!(v.result, ResultWord::Failed);
    }

    #[test]
    fn of_a_change_of_times_alone_only_what_the_engine_carries_is_asked() {
        let (planned, near) = (file("c", 50, 0o644), file("c", 51, 0o644));
        let of = |kind| verdict(kind, Some(&planned), Some(&planned), Some(&near), &[]);
        assert_eq!(of(Kind::Meta).result, ResultWord::Done);
        assert_eq!(of(Kind::Update).result, ResultWord::Failed);
    }
}
