//! The part of both trees that a limited run looks at: the named paths with all that is below them, and the directories on the way.
//!
//! Invariants: what a plan says of the named paths depends on nothing else, as long as every directory on the way is one on both
//! sides (see [`Region::is_bounded`]); no path of a region lies in another.

use std::collections::{BTreeSet, HashSet};

use super::manifest::Manifest;
use super::path::RelPath;
use super::rules::Rules;
use super::tree::{Tree, What};

/// More, or longer ones, are no small part any more: each is named to both hosts.
const MOST: usize = 500;
const MOST_BYTES: usize = 32 << 10;

/// A directory that its owner may list and enter: all that is in it has been seen.
const OPEN: u32 = 0o500;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    paths: Vec<RelPath>,
    above: Vec<RelPath>,
    set: HashSet<Vec<u8>>,
}

impl Region {
    /// The region of these paths, as far as the rules let truth be there; none when it is better to look at everything.
    pub fn of(named: &[RelPath], rules: &Rules) -> Option<Self> {
        let roots = rules.include_roots();
        let mut paths = BTreeSet::new();
        for path in named {
            if roots.is_empty() || roots.iter().any(|r| path.is_within(r.as_bytes())) {
                paths.insert(path);
            } else {
                paths.extend(roots.iter().filter(|r| r.is_within(path.as_bytes())));
            }
        }
        let all = paths.clone();
        paths.retain(|p| {
            let mut above = p.ancestors().filter_map(RelPath::new);
            !above.any(|a| all.contains(&a))
        });
        let bytes: usize = paths.iter().map(|p| p.as_bytes().len()).sum();
        let sound = !paths.is_empty() && paths.len() <= MOST && bytes <= MOST_BYTES;
        if !sound || !paths.iter().all(|p| !p.is_root() && is_plain(p)) {
            return None;
        }
        let above: BTreeSet<RelPath> = paths
            .iter()
            .flat_map(|p| p.ancestors().filter_map(RelPath::new))
            .collect();
        Some(Self {
            set: paths.iter().map(|p| p.as_bytes().to_vec()).collect(),
            paths: paths.into_iter().cloned().collect(),
            above: above.into_iter().collect(),
        })
    }

    /// Looked at with all that is below them.
    pub fn paths(&self) -> &[RelPath] {
        &self.paths
    }

    /// The directories on the way to them, looked at alone.
    pub fn above(&self) -> &[RelPath] {
        &self.above
    }

    /// Whether a path is one of the named ones or lies below one.
    pub fn covers(&self, path: &RelPath) -> bool {
        self.set.contains(path.as_bytes()) || path.ancestors().any(|a| self.set.contains(a))
    }

    /// What is known of the region and of the way to it.
    pub fn base(&self, whole: &Manifest) -> Manifest {
        let of_it = whole.entries.iter().filter(|(p, _)| self.covers(p));
        let on_the_way = |p| Some((p, whole.entries.get(p)?));
        let above = self.above.iter().filter_map(on_the_way);
        let entries = of_it.chain(above).map(|(p, e)| (p.clone(), e.clone()));
        Manifest {
            entries: entries.collect(),
            facts: whole.facts.clone(),
        }
    }

    /// Whether nothing outside the region, as this side shows it, could have a say in what becomes of it.
    pub fn is_bounded(&self, tree: &Tree) -> bool {
        let is_open = |dir: &RelPath| match (tree.truth.get(dir), tree.apart.get(dir)) {
            (Some(stat), _) => stat.what == What::Dir && stat.mode & OPEN == OPEN,
            (None, apart) => apart.is_some_and(|(_, is_dir)| *is_dir),
        };
        tree.unreadable.is_empty() && self.above.iter().all(is_open)
    }
}

/// Whether a path can be told in a line of its own.
fn is_plain(path: &RelPath) -> bool {
    std::str::from_utf8(path.as_bytes()).is_ok_and(|t| !t.contains(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::rules::{Spec, Verdict};
    use crate::model::tree::Stat;

    fn path(p: &str) -> RelPath {
        RelPath::new(p).unwrap()
    }

    fn region(named: &[&str], rules: &Rules) -> Option<(Vec<String>, Vec<String>)> {
        let named: Vec<RelPath> = named.iter().map(|p| path(p)).collect();
        let lossy = |paths: &[RelPath]| paths.iter().map(RelPath::lossy).collect();
        let region = Region::of(&named, rules)?;
        Some((lossy(region.paths()), lossy(region.above())))
    }

    fn rules_of(include: &[&str]) -> Rules {
        Rules::new(Spec {
            include: include.iter().map(|p| path(p)).collect(),
            ..Spec::default()
        })
        .unwrap()
    }

    fn told(paths: &[&str], above: &[&str]) -> Option<(Vec<String>, Vec<String>)> {
        let own = |all: &[&str]| all.iter().map(|p| (*p).to_owned()).collect();
        Some((own(paths), own(above)))
    }

    #[test]
    fn what_lies_in_another_is_named_by_it_and_the_way_is_told() {
        let rules = Rules::default();
        let found = region(&["a/b/c", "a/b-c/d", "a/b", "x", "a/b/c/d"], &rules);
        assert_eq!(found, told(&["a/b", "a/b-c/d", "x"], &["a", "a/b-c"]));
        let named = Region::of(&[path("a/b")], &rules).unwrap();
        let covered = ["a/b", "a/b/c", "a", "a/b-c"].map(|p| named.covers(&path(p)));
        assert_eq!(covered, [true, true, false, false]);
    }

    #[test]
    fn only_what_may_be_truth_is_looked_at() {
        let rules = rules_of(&["docs/own", "docs/more", "etc"]);
        assert_eq!(
            region(&["docs/own/f"], &rules),
            told(&["docs/own/f"], &["docs", "docs/own"])
        );
        assert_eq!(
            region(&["docs", "etc/x"], &rules),
            told(&["docs/more", "docs/own", "etc/x"], &["docs", "etc"])
        );
        assert_eq!(region(&["elsewhere"], &rules), None);
    }

    #[test]
    fn everything_is_looked_at_where_a_part_cannot_be_told_or_is_no_small_one() {
        let rules = Rules::default();
        for odd in [&[][..], &[""], &["a\nb"], &["a", "b\u{1b}c"]] {
            assert_eq!(region(odd, &rules), None, "{odd:?}");
        }
        assert_eq!(Region::of(&[RelPath::new(b"\xff").unwrap()], &rules), None);
        let many = |n: usize, len: usize| -> Vec<RelPath> {
            (0..n).map(|i| path(&format!("{i:0len$}"))).collect()
        };
        assert!(Region::of(&many(MOST, 5), &rules).is_some());
        assert!(Region::of(&many(MOST + 1, 5), &rules).is_none());
        assert!(Region::of(&many(128, MOST_BYTES / 128), &rules).is_some());
        assert!(Region::of(&many(128, MOST_BYTES / 128 + 1), &rules).is_none());
    }

    #[test]
    fn a_way_that_is_none_or_that_nobody_may_read_bounds_nothing() {
        let region = Region::of(&[path("a/b/c")], &Rules::default()).unwrap();
        let stat = |what, mode| Stat {
            what,
            size: 0,
            mtime_ns: 0,
            ctime_ns: 0,
            ino: 1,
            mode,
        };
        let tree = |what, mode| {
            let mut tree = Tree::default();
            tree.truth.insert(path("a"), stat(What::Dir, 0o755));
            tree.truth.insert(path("a/b"), stat(what, mode));
            tree
        };
        assert!(region.is_bounded(&tree(What::Dir, 0o500)));
        for (what, mode) in [
            (What::Dir, 0o100),
            (What::Dir, 0o400),
            (What::File, 0o755),
            (What::Link(b"x".to_vec()), 0o777),
        ] {
            assert!(!region.is_bounded(&tree(what, mode)));
        }
        let mut cut = tree(What::Dir, 0o755);
        cut.truth.remove(&path("a"));
        assert!(!region.is_bounded(&cut));
        for (is_dir, bounds) in [(true, true), (false, false)] {
            cut.apart.insert(path("a"), (Verdict::NotIncluded, is_dir));
            assert_eq!(region.is_bounded(&cut), bounds);
        }
        cut.unreadable.insert(path("z"));
        cut.apart.insert(path("a"), (Verdict::NotIncluded, true));
        assert!(!region.is_bounded(&cut));
    }
}
