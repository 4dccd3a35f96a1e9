//! What the engine is told to look at: the fewest paths that cover a plan exactly, each with one direction.
//!
//! Invariants: every change of the plan lies in exactly one item, or is a directory that comes with the first item below it; an item
//! that is a whole directory holds nothing that goes another way, is left, unknown, or must stay apart.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::entry::Entry;
use super::path::RelPath;
use super::plan::{Change, Kind, Side, TruthPlan};
use super::reconcile::Replica;

/// One path that the engine is told to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub path: RelPath,
    /// The side that changes.
    pub to: Side,
    /// A directory with all that is in it (created, deleted or replaced as one).
    pub whole: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// In the order in which they are carried out.
    pub items: Vec<Item>,
    /// Where the items begin that must have an engine of their own, see [`part_wide`].
    wide: usize,
    /// Paths inside whole items that the engine must be told to ignore, one by one.
    pub ignore: Vec<RelPath>,
}

/// How many paths one engine process is given: its cost grows with the square beyond a few thousand.
pub const CHUNK: usize = 2000;

impl Scope {
    /// Files whose content goes to the peer, in the order of their paths.
    pub fn of_files(paths: Vec<RelPath>) -> Self {
        let item = |path| Item {
            path,
            to: Side::Peer,
            whole: false,
        };
        Self {
            wide: paths.len(),
            items: paths.into_iter().map(item).collect(),
            ignore: Vec::new(),
        }
    }

    /// The items that one engine is given, from `start` on.
    pub fn part(&self, start: usize) -> &[Item] {
        let most = match start < self.wide {
            true => self.wide,
            false => self.items.len(),
        };
        &self.items[start..most.min(start + CHUNK)]
    }
}

pub fn scope(plan: &TruthPlan, local: &Replica, peer: &Replica) -> Scope {
    let by_path: BTreeMap<&RelPath, &Change> = plan.changes.iter().map(|c| (&c.path, c)).collect();
    let mut scope = Scope::default();
    // A set, not the latest one: `a-b` sorts between `a` and `a/b`.
    let mut covering: HashSet<&[u8]> = HashSet::new();
    for change in &plan.changes {
        if change.path.ancestors().any(|d| covering.contains(d)) {
            continue;
        }
        let source = match change.to {
            Side::Peer => local,
            Side::Local => peer,
        };
        let item = |whole| Item {
            path: change.path.clone(),
            to: change.to,
            whole,
        };
        let source_is_dir = change.source.as_ref().is_some_and(|e| e.is_dir());
        let target_is_dir = change.target.as_ref().is_some_and(|e| e.is_dir());
        match change.kind {
            Kind::Create if source_is_dir => {
                if moves_as_one(change, source, &by_path) {
                    covering.insert(change.path.as_bytes());
                    scope.items.push(item(true));
                } else if !has_changes_below(change, &plan.changes) {
                    scope.ignore.extend(foreign_below(change, source, &by_path));
                    scope.items.push(item(true));
                }
            }
            Kind::Delete | Kind::Replace if source_is_dir || target_is_dir => {
                scope.ignore.extend(foreign_below(change, source, &by_path));
                covering.insert(change.path.as_bytes());
                scope.items.push(item(true));
            }
            _ => scope.items.push(item(false)),
        }
    }
    part_wide(&mut scope, plan, local, peer);
    scope
}

/// Told to look at a directory for its mode alone, the engine looks at all that is in it too, and shows a directory in there
/// that only one side has as one item. Where the plan wants a part of such a directory, the mode gets an engine of its own.
fn part_wide(scope: &mut Scope, plan: &TruthPlan, local: &Replica, peer: &Replica) {
    let modes: HashSet<&[u8]> = plan
        .changes
        .iter()
        .filter(|c| {
            [&c.source, &c.target].map(|e| e.as_ref().is_some_and(Entry::is_dir)) == [true; 2]
        })
        .map(|c| c.path.as_bytes())
        .collect();
    let one_sided = |dir: &[u8]| {
        let dir = RelPath::new(dir);
        dir.is_some_and(|d| local.has(&d) != peer.has(&d))
    };
    let mut wide: HashSet<Vec<u8>> = HashSet::new();
    if !modes.is_empty() {
        for item in &scope.items {
            let above: Vec<&[u8]> = item.path.ancestors().collect();
            if above.iter().any(|a| one_sided(a)) {
                wide.extend(
                    above
                        .iter()
                        .filter(|a| modes.contains(*a))
                        .map(|a| a.to_vec()),
                );
            }
        }
    }
    let (last, first): (Vec<Item>, Vec<Item>) = std::mem::take(&mut scope.items)
        .into_iter()
        .partition(|i| wide.contains(i.path.as_bytes()));
    scope.wide = first.len();
    scope.items = first;
    scope.items.extend(last);
}

/// Everything below a new directory is new too and goes along.
fn moves_as_one(change: &Change, source: &Replica, plan: &BTreeMap<&RelPath, &Change>) -> bool {
    !source.tree.is_unknown(&change.path) && foreign_below(change, source, plan).is_empty()
}

/// What lies below a directory on the side it comes from and does not go along: state and excluded files, what is left,
/// what cannot be read, what cannot be synced. The topmost of each, since the engine ignores what is below them too.
fn foreign_below(
    change: &Change,
    source: &Replica,
    plan: &BTreeMap<&RelPath, &Change>,
) -> Vec<RelPath> {
    let dir = &change.path;
    let goes = |p: &RelPath| {
        plan.get(p)
            .is_some_and(|c| c.to == change.to && c.kind != Kind::Delete)
    };
    let tree = &source.tree;
    let apart = within(tree.apart.range(dir.clone()..).map(|(p, _)| p), dir);
    let unknown = within(tree.unreadable.range(dir.clone()..), dir);
    let staying = within(tree.truth.from(dir).map(|(p, _)| p), dir).filter(|p| !goes(p));
    let all: BTreeSet<&RelPath> = apart.chain(unknown).chain(staying).collect();
    let topmost = |p: &&&RelPath| {
        let mut above = p.ancestors().filter_map(RelPath::new);
        !above.any(|a| all.contains(&a))
    };
    all.iter().filter(topmost).map(|p| (*p).clone()).collect()
}

/// Of sorted paths that begin at `dir`, those that lie below it.
fn within<'a>(
    paths: impl Iterator<Item = &'a RelPath>,
    dir: &'a RelPath,
) -> impl Iterator<Item = &'a RelPath> {
    paths
        .take_while(move |p| p.as_bytes().starts_with(dir.as_bytes()))
        .filter(move |p| *p != dir && p.is_within(dir.as_bytes()))
}

fn has_changes_below(change: &Change, changes: &[Change]) -> bool {
    let start = changes.partition_point(|c| c.path <= change.path);
    changes[start..]
        .iter()
        .take_while(|c| c.path.as_bytes().starts_with(change.path.as_bytes()))
        .any(|c| {
            c.path.is_within(change.path.as_bytes()) && c.kind != Kind::Delete && c.to == change.to
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::entry::File;
    use crate::model::rules::Verdict;
    use crate::model::tree::{Stat, What};

    fn path(p: &str) -> RelPath {
        RelPath::new(p).unwrap()
    }

    fn replica(paths: &[&str]) -> Replica {
        let mut r = Replica::default();
        for p in paths {
            let dir = p.ends_with('/');
            let p = path(p.trim_end_matches('/'));
            let what = if dir { What::Dir } else { What::File };
            r.tree.truth.insert(
                p,
                Stat {
                    what,
                    size: 1,
                    mtime_ns: 0,
                    ctime_ns: 0,
                    ino: 1,
                    mode: if dir { 0o755 } else { 0o644 },
                },
            );
        }
        Replica::of(r.tree, |_, _| Some("h".into()))
    }

    fn entry(dir: bool) -> Entry {
        if dir {
            Entry::Dir { mode: 0o755 }
        } else {
            Entry::File(File {
                size: 1,
                mode: 0o644,
                mtime_ns: 0,
                hash: "h".into(),
            })
        }
    }

    fn create(r: &Replica, to: Side) -> TruthPlan {
        TruthPlan {
            changes: r
                .entries()
                .map(|(p, e)| Change {
                    path: p.clone(),
                    kind: Kind::Create,
                    to,
                    source: Some(e),
                    target: None,
                    conflict: None,
                    moved: false,
                })
                .collect(),
            ..TruthPlan::default()
        }
    }

    #[test]
    fn a_new_directory_goes_as_one_item() {
        let local = replica(&["n/", "n/a", "n/d/", "n/d/b", "x"]);
        let scope = scope(&create(&local, Side::Peer), &local, &Replica::default());
        let shown: Vec<_> = scope
            .items
            .iter()
            .map(|i| (i.path.lossy(), i.whole))
            .collect();
        assert_eq!(shown, [("n".to_owned(), true), ("x".to_owned(), false)]);
    }

    #[test]
    fn a_new_directory_with_a_state_file_goes_file_by_file() {
        let mut local = replica(&["n/", "n/a", "n/d/", "n/d/b"]);
        local.tree.apart.insert(
            path("n/x_state.json"),
            (Verdict::State("*_state.json".into()), false),
        );
        let scope = scope(&create(&local, Side::Peer), &local, &Replica::default());
        let shown: Vec<_> = scope
            .items
            .iter()
            .map(|i| (i.path.lossy(), i.whole))
            .collect();
        assert_eq!(shown, [("n/a".to_owned(), false), ("n/d".to_owned(), true)]);
    }

    #[test]
    fn a_new_directory_with_nothing_but_state_goes_alone_and_the_state_is_ignored() {
        let mut local = replica(&["n/"]);
        local.tree.apart.insert(
            path("n/x_state.json"),
            (Verdict::State("*_state.json".into()), false),
        );
        let scope = scope(&create(&local, Side::Peer), &local, &Replica::default());
        assert_eq!(scope.items.len(), 1);
        assert_eq!(scope.ignore, [path("n/x_state.json")]);
    }

    fn shown(scope: &Scope) -> Vec<(String, bool)> {
        let items = scope.items.iter().map(|i| (i.path.lossy(), i.whole));
        items.collect()
    }

    /// As [`create`], every path deleted on `to`, which has them.
    fn delete(r: &Replica, to: Side) -> TruthPlan {
        let mut plan = create(r, to);
        for c in &mut plan.changes {
            c.kind = Kind::Delete;
            c.target = c.source.take();
        }
        plan
    }

    #[test]
    fn a_name_that_sorts_between_a_directory_and_its_files_does_not_split_it() {
        let local = replica(&["a/", "a/x", "a-b/", "a-b/y", "a.b"]);
        let want = [("a", true), ("a-b", true), ("a.b", false)].map(|(p, w)| (p.to_owned(), w));
        let none = Replica::default();
        assert_eq!(
            shown(&scope(&create(&local, Side::Peer), &local, &none)),
            want
        );
        assert_eq!(
            shown(&scope(&delete(&local, Side::Peer), &none, &local)),
            want
        );
    }

    #[test]
    fn what_is_left_unreadable_or_special_inside_a_whole_item_is_ignored() {
        // `f` becomes a directory on the peer; in it a file that is left, a pipe, an unreadable directory, state.
        let mut local = replica(&["f/", "f/a", "f/left", "f/p", "f/u/"]);
        let mut pipe = local.tree.truth[&path("f/p")].clone();
        pipe.what = What::Other;
        local.tree.truth.insert(path("f/p"), pipe);
        local = Replica::of(local.tree, |_, _| Some("h".into()));
        local.tree.unreadable.insert(path("f/u"));
        local.tree.unreadable.insert(path("f/v"));
        for (p, is_dir) in [("f/c", true), ("f/c/x", false), ("f/x_state.json", false)] {
            let verdict = Verdict::State("*".into());
            local.tree.apart.insert(path(p), (verdict, is_dir));
        }
        let mut plan = create(&local, Side::Peer);
        plan.changes
            .retain(|c| ["f", "f/a"].contains(&c.path.lossy().as_str()));
        plan.changes[0].kind = Kind::Replace;
        plan.changes[0].target = Some(entry(false));
        let scope = scope(&plan, &local, &Replica::default());
        assert_eq!(shown(&scope), [("f".to_owned(), true)]);
        let want = ["f/c", "f/left", "f/p", "f/u", "f/v", "f/x_state.json"].map(path);
        assert_eq!(scope.ignore, want);
    }

    #[test]
    fn the_mode_of_a_directory_waits_for_what_goes_out_of_a_kept_one_in_it() {
        // `d` has another mode here; `d/k` is gone here, and stays on the peer for the state in it.
        let local = replica(&["d/", "x"]);
        let mut peer = replica(&["d/", "d/k/", "d/k/a", "x"]);
        let state = (Verdict::State("*".into()), false);
        peer.tree.apart.insert(path("d/k/x_state.json"), state);
        let mut plan = create(&peer, Side::Peer);
        for c in &mut plan.changes {
            c.kind = Kind::Update;
            c.target = c.source.clone();
        }
        plan.changes.retain(|c| c.path != path("d/k"));
        plan.changes[1].kind = Kind::Delete;
        plan.changes[1].source = None;
        let parts = |plan: &TruthPlan| {
            let scope = scope(plan, &local, &peer);
            let first: Vec<String> = scope.part(0).iter().map(|i| i.path.lossy()).collect();
            let next = scope.part(first.len()).iter();
            let next: Vec<String> = next.map(|i| i.path.lossy()).collect();
            (first, next)
        };
        let words = |of: &[&str]| of.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(parts(&plan), (words(&["d/k/a", "x"]), words(&["d"])));
        // Nothing to wait for: all in one.
        plan.changes.remove(1);
        assert_eq!(parts(&plan), (words(&["d", "x"]), words(&[])));
    }

    #[test]
    fn a_new_directory_with_nothing_but_a_file_that_is_left_goes_alone() {
        let local = replica(&["n/", "n/left"]);
        let mut plan = create(&local, Side::Peer);
        plan.changes.truncate(1);
        let scope = scope(&plan, &local, &Replica::default());
        assert_eq!(shown(&scope), [("n".to_owned(), true)]);
        assert_eq!(scope.ignore, [path("n/left")]);
    }
}
