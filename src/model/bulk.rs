//! What of a plan is many new files at one place: that travels in one stream, which takes a fraction of the time that the engine
//! needs for file by file.
//!
//! Invariants: a batch only makes what the target does not have, below a directory that both have; a new directory is part of a
//! batch with everything that is planned below it, or not at all.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::entry::{ContentHash, Entry};
use super::path::RelPath;
use super::plan::{Change, Kind, Side, TruthPlan};
use super::reconcile::Replica;

/// Fewer files at one place are sooner done by the engine than a stream is started.
pub const LEAST: usize = 100;

/// So many places get a stream of their own, those with the most files.
const PLACES: usize = 8;

/// Longer paths do not leave room for the name of a stage on every system.
const LONG: usize = 700;

/// New files and directories below one directory that both sides have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub to: Side,
    pub parent: RelPath,
    pub tops: Vec<Top>,
}

/// What lies directly in the parent: a file, or a directory with all that is new in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Top {
    pub path: RelPath,
    pub is_dir: bool,
    /// Itself and everything below, in the order of the plan.
    pub all: Vec<RelPath>,
}

impl Batch {
    pub fn paths(&self) -> impl Iterator<Item = &RelPath> {
        self.tops.iter().flat_map(|t| &t.all)
    }
}

/// One top while the plan is read.
struct Group<'a> {
    first: &'a Change,
    all: Vec<RelPath>,
    files: usize,
    fits: bool,
}

/// The batches of a plan, and what else it changes.
pub fn divide(plan: &TruthPlan, local: &Replica, peer: &Replica) -> (Vec<Batch>, TruthPlan) {
    let renamed = renamed(plan);
    let mut groups: Vec<Group> = Vec::new();
    let mut made: HashMap<&[u8], usize> = HashMap::new();
    for c in &plan.changes {
        // The topmost new directory above it comes first in the plan.
        let above = c.path.ancestors().filter_map(|a| made.get(a)).min();
        let group = match above {
            Some(group) => *group,
            None => {
                groups.push(Group {
                    first: c,
                    all: Vec::new(),
                    files: 0,
                    fits: true,
                });
                groups.len() - 1
            }
        };
        let into = &mut groups[group];
        into.fits &= fits(c, &renamed) && c.to == into.first.to;
        into.files += usize::from(matches!(c.source, Some(Entry::File(_))));
        into.all.push(c.path.clone());
        if c.source.as_ref().is_some_and(Entry::is_dir)
            || c.target.as_ref().is_some_and(Entry::is_dir)
        {
            made.insert(c.path.as_bytes(), group);
        }
    }
    let mut places: BTreeMap<(RelPath, bool), Vec<Group>> = BTreeMap::new();
    for group in groups.into_iter().filter(|g| g.fits) {
        let parent = group.first.path.parent().unwrap_or_else(RelPath::root);
        let is_there = |r: &Replica| parent.is_root() || r.is_dir(&parent);
        if is_there(local) && is_there(peer) {
            let key = (parent, group.first.to == Side::Peer);
            places.entry(key).or_default().push(group);
        }
    }
    let files = |groups: &[Group]| groups.iter().map(|g| g.files).sum::<usize>();
    let mut places: Vec<_> = places
        .into_iter()
        .filter(|(_, groups)| files(groups) >= LEAST)
        .collect();
    places.sort_by_key(|(_, groups)| std::cmp::Reverse(files(groups)));
    places.truncate(PLACES);
    let batches: Vec<Batch> = places
        .into_iter()
        .map(|((parent, _), g)| batch(parent, g))
        .collect();
    let mut taken: Vec<&RelPath> = batches.iter().flat_map(Batch::paths).collect();
    taken.sort();
    let rest = plan.only(|c| taken.binary_search(&&c.path).is_err());
    (batches, rest)
}

fn batch(parent: RelPath, groups: Vec<Group>) -> Batch {
    let to = groups[0].first.to;
    let top = |g: Group| Top {
        path: g.first.path.clone(),
        is_dir: g.first.source.as_ref().is_some_and(Entry::is_dir),
        all: g.all,
    };
    Batch {
        to,
        parent,
        tops: groups.into_iter().map(top).collect(),
    }
}

/// What is deleted because it has another name now, by content: the engine copies that on the host where it is.
fn renamed(plan: &TruthPlan) -> HashSet<ContentHash> {
    let moved = plan.changes.iter().filter(|c| c.moved);
    moved
        .filter_map(|c| match &c.target {
            Some(Entry::File(f)) => Some(f.hash),
            _ => None,
        })
        .collect()
}

fn fits(c: &Change, renamed: &HashSet<ContentHash>) -> bool {
    let is_new = c.kind == Kind::Create && c.target.is_none() && c.conflict.is_none();
    let is_plain = match &c.source {
        Some(Entry::File(f)) => f.mode & !0o777 == 0 && !renamed.contains(&f.hash),
        // It is moved into its place when it has its mode already.
        Some(Entry::Dir { mode }) => mode & !0o777 == 0 && mode & 0o700 == 0o700,
        _ => false,
    };
    is_new && is_plain && c.path.as_bytes().len() <= LONG
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::entry::File;
    use crate::model::tree::{Stat, Tree, What};

    fn path(p: &str) -> RelPath {
        RelPath::new(p).unwrap()
    }

    fn file(mode: u32) -> Entry {
        Entry::File(File {
            size: 1,
            mode,
            mtime_ns: 0,
            hash: "h".into(),
        })
    }

    fn create(p: &str, entry: Entry, to: Side) -> Change {
        Change {
            path: path(p),
            kind: Kind::Create,
            to,
            source: Some(entry),
            target: None,
            conflict: None,
            moved: false,
        }
    }

    const DIR: Entry = Entry::Dir { mode: 0o755 };

    /// A plan with a new directory of many files, and whatever is added; both sides have `old`.
    fn plan(more: Vec<Change>) -> TruthPlan {
        let mut changes = vec![create("n", DIR, Side::Peer)];
        changes.extend((0..LEAST).map(|n| create(&format!("n/f{n:03}"), file(0o644), Side::Peer)));
        changes.extend(more);
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        TruthPlan {
            changes,
            ..TruthPlan::default()
        }
    }

    fn divided(plan: &TruthPlan) -> (Vec<Batch>, Vec<String>) {
        let mut tree = Tree::default();
        let stat = Stat {
            what: What::Dir,
            size: 0,
            mtime_ns: 0,
            ctime_ns: 0,
            ino: 1,
            mode: 0o755,
        };
        tree.truth.insert(path("old"), stat);
        let both = Replica::of(tree, |_, _| None);
        let (batches, rest) = divide(plan, &both, &both);
        (
            batches,
            rest.changes.iter().map(|c| c.path.lossy()).collect(),
        )
    }

    #[test]
    fn many_new_files_in_a_new_directory_are_one_batch() {
        let (batches, rest) = divided(&plan(vec![create(
            "x",
            Entry::Link {
                target: b"n".to_vec(),
                mtime_ns: 0,
            },
            Side::Peer,
        )]));
        assert_eq!(rest, ["x"]);
        assert_eq!(batches.len(), 1);
        assert!(batches[0].parent.is_root());
        assert_eq!(batches[0].paths().count(), LEAST + 1);
        assert!(batches[0].tops[0].is_dir);
    }

    #[test]
    fn few_files_are_none() {
        let mut few = plan(Vec::new());
        few.changes.pop();
        assert!(divided(&few).0.is_empty());
    }

    #[test]
    fn a_directory_goes_with_all_that_is_planned_below_it_or_not_at_all() {
        let link = Entry::Link {
            target: b"x".to_vec(),
            mtime_ns: 0,
        };
        let contested = Change {
            conflict: Some((crate::model::plan::Decided::Newer, String::new())),
            ..create("n/z", file(0o644), Side::Peer)
        };
        for odd in [
            create("n/z", link, Side::Peer),
            create("n/z", file(0o644), Side::Local),
            create("n/z", file(0o4755), Side::Peer),
            create("n/z", Entry::Dir { mode: 0o555 }, Side::Peer),
            contested,
        ] {
            let (batches, rest) = divided(&plan(vec![odd.clone()]));
            assert!(batches.is_empty(), "{odd:?}");
            assert_eq!(rest.len(), LEAST + 2);
        }
    }

    #[test]
    fn what_only_has_another_name_is_left_to_the_engine() {
        let old = Change {
            kind: Kind::Delete,
            source: None,
            target: Some(file(0o644)),
            moved: true,
            ..create("old/f", DIR, Side::Peer)
        };
        assert!(divided(&plan(vec![old])).0.is_empty());
    }

    #[test]
    fn nothing_is_put_where_a_directory_itself_changes() {
        let mut p = plan(Vec::new());
        p.changes[0].kind = Kind::Replace;
        p.changes[0].target = Some(file(0o644));
        assert!(divided(&p).0.is_empty());
        let both = Replica::default();
        let loose: Vec<Change> = (0..LEAST)
            .map(|n| create(&format!("gone/f{n:03}"), file(0o644), Side::Peer))
            .collect();
        let p = TruthPlan {
            changes: loose,
            ..TruthPlan::default()
        };
        assert!(
            divide(&p, &both, &both).0.is_empty(),
            "its parent is nowhere"
        );
    }

    #[test]
    fn files_of_one_place_go_each_way_by_themselves() {
        let each = |to, tag: &str| {
            (0..LEAST)
                .map(move |n| create(&format!("old/{tag}{n:03}"), file(0o644), to))
                .collect::<Vec<_>>()
        };
        let changes = [each(Side::Local, "a"), each(Side::Peer, "b")].concat();
        let (batches, rest) = divided(&TruthPlan {
            changes,
            ..TruthPlan::default()
        });
        assert!(rest.is_empty());
        assert_eq!(batches.len(), 2);
        assert!(
            batches
                .iter()
                .all(|b| b.parent == path("old") && b.tops.len() == LEAST)
        );
    }
}
