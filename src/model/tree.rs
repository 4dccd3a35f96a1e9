//! One replica as it was seen: raw facts of the sweep, sorted into what is truth and what only stands in the way.

use std::collections::{BTreeMap, BTreeSet};

use super::entry::{ContentHash, Entry, File};
use super::path::RelPath;
use super::rules::{Rules, Verdict};
use super::sorted::Sorted;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    File,
    Dir,
    Link(Vec<u8>),
    /// A pipe, socket or device.
    Other,
}

/// The facts of one object, enough to tell whether it changed since it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    pub what: What,
    pub size: u64,
    pub mtime_ns: i128,
    pub ctime_ns: i128,
    pub ino: u64,
    pub mode: u32,
}

/// A replica, sorted by the rules.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// Truth, by path.
    pub truth: Sorted<Stat>,
    /// Present but never crossing: state, excluded, pulled logs, marker. Directories stand for what they hold.
    pub apart: BTreeMap<RelPath, (Verdict, bool)>,
    /// Directories that could not be read: everything below them is unknown.
    pub unreadable: BTreeSet<RelPath>,
    /// Temporary files of the engine, left by runs that died.
    pub litter: Vec<RelPath>,
}

impl Tree {
    /// Sorts swept facts, which come in the order of their paths, by the rules.
    pub fn sort(mut stats: Vec<(RelPath, Stat)>, unreadable: Vec<RelPath>, rules: &Rules) -> Self {
        let mut tree = Tree::default();
        let mut apart = Vec::new();
        // What is truth stays where it is: a second list of a large tree would not be small.
        stats.retain(|(path, stat)| {
            if path.is_root() {
                return false;
            }
            if is_engine_temp(path.name()) {
                tree.litter.push(path.clone());
                return false;
            }
            if path.ancestors().any(|a| {
                let cut = a.iter().rposition(|b| *b == b'/').map_or(0, |i| i + 1);
                is_engine_temp(&a[cut..])
            }) {
                return false;
            }
            let is_dir = stat.what == What::Dir;
            match rules.verdict(path, is_dir) {
                Verdict::Truth(_) => true,
                verdict => {
                    apart.push((path.clone(), (verdict, is_dir)));
                    false
                }
            }
        });
        tree.truth = Sorted::in_order(stats);
        tree.apart = apart.into_iter().collect();
        for dir in unreadable {
            if dir.is_root() || may_hold_truth(&rules.verdict(&dir, true)) {
                tree.unreadable.insert(dir);
            }
        }
        tree
    }

    /// Whether a path lies in a directory that could not be read (or is one).
    pub fn is_unknown(&self, path: &RelPath) -> bool {
        !self.unreadable.is_empty()
            && (self.unreadable.contains(path)
                || self.unreadable.iter().any(|d| path.is_within(d.as_bytes())))
    }

    /// Whether something that must stay lies below this directory.
    pub fn holds_apart(&self, dir: &RelPath) -> bool {
        let mut prefix = dir.as_bytes().to_vec();
        prefix.push(b'/');
        RelPath::new(dir.as_bytes()).is_some()
            && self
                .apart
                .range(dir.clone()..)
                .skip_while(|(p, _)| *p == dir)
                .take_while(|(p, _)| p.as_bytes().starts_with(dir.as_bytes()))
                .any(|(p, _)| p.as_bytes().starts_with(&prefix))
    }

    /// Number of regular files that are truth.
    pub fn files(&self) -> usize {
        self.truth.values().filter(|s| s.what == What::File).count()
    }
}

/// Whether truth may lie in a directory of this verdict: an include entry may begin below one that is not included.
fn may_hold_truth(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Truth(_) | Verdict::NotIncluded)
}

/// `.unison.NAME.<hex>.unison.tmp`: what the engine calls a file that is on its way.
pub fn is_engine_temp(name: &[u8]) -> bool {
    name.starts_with(b".unison.") && name.ends_with(b".unison.tmp") && name.len() > 19
}

impl Stat {
    /// The entry that this is, given the content's hash. `None` for special files, and files without a hash.
    pub fn entry(&self, hash: Option<ContentHash>) -> Option<Entry> {
        match &self.what {
            What::File => Some(Entry::File(File {
                size: self.size,
                mode: self.mode,
                mtime_ns: self.mtime_ns,
                hash: hash?,
            })),
            What::Dir => Some(Entry::Dir { mode: self.mode }),
            What::Link(target) => Some(Entry::Link {
                target: target.clone(),
                mtime_ns: self.mtime_ns,
            }),
            What::Other => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(p: &str) -> RelPath {
        RelPath::new(p).unwrap()
    }

    fn stat(what: What) -> Stat {
        Stat {
            what,
            size: 0,
            mtime_ns: 0,
            ctime_ns: 0,
            ino: 1,
            mode: 0o755,
        }
    }

    #[test]
    fn an_unreadable_directory_above_the_included_ones_is_not_forgotten() {
        assert!(may_hold_truth(&Verdict::NotIncluded));
        assert!(may_hold_truth(&Verdict::Truth(None)));
        for out in [
            Verdict::State("s".into()),
            Verdict::Never("n".into()),
            Verdict::Excluded("e".into()),
        ] {
            assert!(!may_hold_truth(&out), "{out:?}");
        }
    }

    #[test]
    fn the_engines_temporary_files_are_litter_with_all_below() {
        let temp = ".unison.f.0123.unison.tmp";
        let stats = BTreeMap::from([
            (RelPath::root(), stat(What::Dir)),
            (path("d"), stat(What::Dir)),
            (path(&format!("d/{temp}")), stat(What::Dir)),
            (path(&format!("d/{temp}/x")), stat(What::File)),
            (path("d/.unison.unison.tmp"), stat(What::File)),
        ]);
        let stats = stats.into_iter().collect();
        let tree = Tree::sort(stats, vec![RelPath::root()], &Rules::default());
        assert_eq!(tree.litter, [path(&format!("d/{temp}"))]);
        assert_eq!(tree.truth.len(), 2);
        assert!(tree.is_unknown(&path("d")));
    }

    #[test]
    fn apart_is_held_by_the_directories_above_it_and_by_no_namesake() {
        let mut tree = Tree::default();
        let state = (Verdict::State("s".into()), false);
        tree.apart.insert(path("d/e/x_state.json"), state.clone());
        tree.apart.insert(path("f"), state);
        assert!(tree.holds_apart(&path("d")) && tree.holds_apart(&path("d/e")));
        assert!(!tree.holds_apart(&path("d/e-f")) && !tree.holds_apart(&path("f")));
    }
}
