//! One tree, perturbed twice, reconciled and applied to itself by a strict simulator: what must hold for every plan.
//!
//! The simulator panics where a file system would refuse (no parent, directory not empty) or where something that must
//! stay apart would go; the properties say what may never be lost and what both sides must agree on afterwards.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;

use super::tests::judge_by;
use super::*;
use crate::model::entry::File;
use crate::model::policy::Strategy as Winner;
use crate::model::region::Region;
use crate::model::rules::{Rules, Verdict};
use crate::model::scope::scope;
use crate::model::tree::Stat;

/// What really stands on a disk, readable or not.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    File(u32, i128, u32),
    Dir(u32),
    Link(u8),
    Fifo,
}

impl Node {
    fn is_dir(&self) -> bool {
        matches!(self, Node::Dir(_))
    }

    fn entry(&self) -> Option<Entry> {
        match self {
            Node::File(content, mtime_ns, mode) => Some(Entry::File(File {
                size: 1,
                mode: *mode,
                mtime_ns: *mtime_ns,
                hash: content.to_string().as_str().into(),
            })),
            Node::Dir(mode) => Some(Entry::Dir { mode: *mode }),
            Node::Link(t) => Some(Entry::Link {
                target: vec![b'a' + *t],
                mtime_ns: i128::from(*t) * 1_000_000,
            }),
            Node::Fifo => None,
        }
    }

    fn of(entry: &Entry) -> Node {
        match entry {
            Entry::File(f) => Node::File(number(&f.hash), f.mtime_ns, f.mode),
            Entry::Dir { mode } => Node::Dir(*mode),
            Entry::Link { target, .. } => Node::Link(target[0] - b'a'),
        }
    }
}

/// The content behind a hash of this test.
fn number(hash: &ContentHash) -> u32 {
    let digits = hash.as_bytes().split(|b| *b == 0).next().unwrap();
    std::str::from_utf8(digits).unwrap().parse().unwrap()
}

/// One disk. Names decide what is apart: `*_state.json` is state, a *directory* `cache` is excluded.
#[derive(Debug, Clone, Default)]
struct Disk {
    nodes: BTreeMap<RelPath, Node>,
    unread: BTreeSet<RelPath>,
    unreadable: BTreeSet<RelPath>,
}

impl Disk {
    fn is_dir(&self, path: &RelPath) -> bool {
        path.is_root() || self.nodes.get(path).is_some_and(Node::is_dir)
    }

    fn below(&self, dir: &RelPath) -> Vec<RelPath> {
        let inside = |p: &&RelPath| *p != dir && p.is_within(dir.as_bytes());
        self.nodes.keys().filter(inside).cloned().collect()
    }

    fn verdict(&self, path: &RelPath, is_dir: bool) -> Verdict {
        let parts: Vec<&[u8]> = path.as_bytes().split(|b| *b == b'/').collect();
        for (i, part) in parts.iter().enumerate() {
            if part.ends_with(b"_state.json") {
                return Verdict::State("*_state.json".into());
            }
            if *part == b"cache" && (is_dir || i + 1 < parts.len()) {
                return Verdict::Excluded("cache/".into());
            }
        }
        Verdict::Truth(None)
    }

    fn is_apart(&self, path: &RelPath) -> bool {
        let is_dir = self.nodes.get(path).is_some_and(Node::is_dir);
        !matches!(self.verdict(path, is_dir), Verdict::Truth(_))
    }

    fn is_hidden(&self, path: &RelPath) -> bool {
        path.ancestors()
            .any(|a| self.unreadable.iter().any(|u| u.as_bytes() == a))
    }

    fn seen(&self) -> Replica {
        self.seen_of(|_| true)
    }

    /// As the sweep and the hashing would tell it.
    fn seen_of(&self, is_asked: impl Fn(&RelPath) -> bool) -> Replica {
        let mut r = Replica::default();
        for (path, node) in &self.nodes {
            if self.is_hidden(path) || !is_asked(path) {
                continue;
            }
            let verdict = self.verdict(path, node.is_dir());
            if !matches!(verdict, Verdict::Truth(_)) {
                r.tree.apart.insert(path.clone(), (verdict, node.is_dir()));
                continue;
            }
            let (what, mtime_ns, mode) = match node {
                Node::File(_, mtime_ns, mode) => (What::File, *mtime_ns, *mode),
                Node::Dir(mode) => (What::Dir, 0, *mode),
                Node::Link(t) => (What::Link(vec![b'a' + *t]), i128::from(*t) * 1_000_000, 0),
                Node::Fifo => (What::Other, 0, 0),
            };
            let stat = Stat {
                what,
                size: 1,
                mtime_ns,
                ctime_ns: 0,
                ino: 0,
                mode,
            };
            r.tree.truth.insert(path.clone(), stat);
            if self.unreadable.contains(path) {
                r.tree.unreadable.insert(path.clone());
            }
        }
        Replica::of(r.tree, |path, _| match self.nodes[path].entry() {
            Some(Entry::File(f)) if !self.unread.contains(path) => Some(f.hash),
            _ => None,
        })
    }

    fn put(&mut self, path: RelPath, node: Node) {
        let parent = path.parent().unwrap();
        if !self.is_dir(&parent) || self.nodes.contains_key(&path) {
            return;
        }
        self.nodes.insert(path, node);
    }

    fn remove(&mut self, path: &RelPath) {
        for p in self.below(path) {
            self.nodes.remove(&p);
        }
        self.nodes.remove(path);
    }
}

const NAMES: [&str; 6] = ["a", "a-b", "b", "a.b", "c", "cache"];

/// What a user does to a disk.
#[derive(Debug, Clone)]
enum Op {
    Create(Index, usize, i128),
    Mkdir(Index, usize, u32),
    Symlink(Index, usize, u8),
    Fifo(Index, usize),
    State(Index),
    Edit(Index, i128),
    SameEdit(Index, i128),
    Touch(Index, i128),
    Chmod(Index, u32),
    Delete(Index),
    RemoveTree(Index),
    Rename(Index, Index, usize),
    ToDir(Index, usize, i128),
    ToFile(Index, i128),
    /// The content, or the directory, can no longer be read.
    Lock(Index),
    Unlock,
}

fn some_op(locks: bool) -> BoxedStrategy<Op> {
    let at = any::<Index>;
    let name = 0..NAMES.len();
    // A few times only, so that ties are common.
    let t = (0i128..4).prop_map(|s| s * 1_000_000_000);
    let mode = prop_oneof![Just(0o644u32), Just(0o600), Just(0o755), Just(0o700)];
    let plain = prop_oneof![
        6 => (at(), name.clone(), t.clone()).prop_map(|(d, n, t)| Op::Create(d, n, t)),
        4 => (at(), name.clone(), mode.clone()).prop_map(|(d, n, m)| Op::Mkdir(d, n, m)),
        1 => (at(), name.clone(), 0u8..2).prop_map(|(d, n, t)| Op::Symlink(d, n, t)),
        1 => (at(), name.clone()).prop_map(|(d, n)| Op::Fifo(d, n)),
        2 => at().prop_map(Op::State),
        6 => (at(), t.clone()).prop_map(|(p, t)| Op::Edit(p, t)),
        1 => (at(), t.clone()).prop_map(|(p, t)| Op::SameEdit(p, t)),
        2 => (at(), t.clone()).prop_map(|(p, t)| Op::Touch(p, t)),
        2 => (at(), mode).prop_map(|(p, m)| Op::Chmod(p, m)),
        4 => at().prop_map(Op::Delete),
        3 => at().prop_map(Op::RemoveTree),
        3 => (at(), at(), name.clone()).prop_map(|(p, d, n)| Op::Rename(p, d, n)),
        2 => (at(), name, t.clone()).prop_map(|(p, n, t)| Op::ToDir(p, n, t)),
        2 => (at(), t).prop_map(|(p, t)| Op::ToFile(p, t)),
    ];
    if locks {
        prop_oneof![12 => plain, 2 => at().prop_map(Op::Lock), 1 => Just(Op::Unlock)].boxed()
    } else {
        plain.boxed()
    }
}

/// Carries one step out; `token` makes what it writes recognisable ever after.
fn perturb(disk: &mut Disk, op: &Op, token: u32) {
    let paths: Vec<RelPath> = disk.nodes.keys().cloned().collect();
    let mut dirs: Vec<RelPath> = vec![RelPath::root()];
    dirs.extend(paths.iter().filter(|p| disk.is_dir(p)).cloned());
    let files: Vec<RelPath> = paths
        .iter()
        .filter(|p| matches!(disk.nodes[*p], Node::File(..)))
        .cloned()
        .collect();
    let pick = |i: &Index, of: &[RelPath]| (!of.is_empty()).then(|| of[i.index(of.len())].clone());
    let child = |d: &Index, n: usize| dirs[d.index(dirs.len())].join(NAMES[n].as_bytes()).unwrap();
    match op {
        Op::Create(d, n, t) => disk.put(child(d, *n), Node::File(token, *t, 0o644)),
        Op::Mkdir(d, n, m) => disk.put(child(d, *n), Node::Dir(*m | 0o500)),
        Op::Symlink(d, n, t) => disk.put(child(d, *n), Node::Link(*t)),
        Op::Fifo(d, n) => disk.put(child(d, *n), Node::Fifo),
        Op::State(d) => {
            let dir = &dirs[d.index(dirs.len())];
            disk.put(
                dir.join(b"x_state.json").unwrap(),
                Node::File(token, 0, 0o644),
            );
        }
        Op::Edit(p, t) | Op::SameEdit(p, t) => {
            let token = if matches!(op, Op::Edit(..)) { token } else { 7 };
            if let Some(p) = pick(p, &files)
                && let Some(Node::File(c, at, _)) = disk.nodes.get_mut(&p)
            {
                (*c, *at) = (token, *t);
            }
        }
        Op::Touch(p, t) => {
            if let Some(p) = pick(p, &files)
                && let Some(Node::File(_, at, _)) = disk.nodes.get_mut(&p)
            {
                *at = *t;
            }
        }
        Op::Chmod(p, m) => {
            if let Some(p) = pick(p, &paths)
                && let Some(Node::File(_, _, mode) | Node::Dir(mode)) = disk.nodes.get_mut(&p)
            {
                *mode = *m;
            }
        }
        Op::Delete(p) => {
            if let Some(p) = pick(p, &paths)
                && disk.below(&p).is_empty()
            {
                disk.remove(&p);
            }
        }
        Op::RemoveTree(p) => {
            if let Some(p) = pick(p, &paths) {
                disk.remove(&p);
            }
        }
        Op::Rename(p, d, n) => {
            let Some(from) = pick(p, &paths) else { return };
            let to = child(d, *n);
            if to.is_within(from.as_bytes()) || disk.nodes.contains_key(&to) {
                return;
            }
            for old in disk.below(&from).into_iter().chain([from.clone()]) {
                let tail = &old.as_bytes()[from.as_bytes().len()..];
                let new = RelPath::new([to.as_bytes(), tail].concat()).unwrap();
                let node = disk.nodes.remove(&old).unwrap();
                disk.nodes.insert(new, node);
            }
        }
        Op::ToDir(p, n, t) => {
            if let Some(p) = pick(p, &files) {
                disk.nodes.insert(p.clone(), Node::Dir(0o755));
                disk.put(
                    p.join(NAMES[*n].as_bytes()).unwrap(),
                    Node::File(token, *t, 0o644),
                );
            }
        }
        Op::ToFile(d, t) => {
            if let Some(p) = pick(d, &dirs).filter(|p| !p.is_root()) {
                disk.remove(&p);
                disk.put(p, Node::File(token, *t, 0o644));
            }
        }
        Op::Unlock => (disk.unread, disk.unreadable) = Default::default(),
        Op::Lock(p) => {
            if let Some(p) = pick(p, &paths) {
                if disk.is_dir(&p) {
                    disk.unreadable.insert(p);
                } else if matches!(disk.nodes[&p], Node::File(..)) {
                    disk.unread.insert(p);
                }
            }
        }
    }
    // What no longer is there, or is something else now, is not locked either.
    let nodes = &disk.nodes;
    disk.unread
        .retain(|p| matches!(nodes.get(p), Some(Node::File(..))));
    disk.unreadable
        .retain(|p| matches!(nodes.get(p), Some(Node::Dir(_))));
}

/// One case: the common past, and what either side did since.
#[derive(Debug, Clone)]
struct Past {
    base: Manifest,
    disks: [Disk; 2],
    winner: Winner,
    permissions: bool,
    /// What either side does in each further round.
    later: Vec<[Vec<Op>; 2]>,
}

fn some_past(locks: bool) -> impl Strategy<Value = Past> {
    let ops = |n| proptest::collection::vec(some_op(locks), 0..n);
    let winner = prop_oneof![
        5 => Just(Winner::Newer),
        1 => Just(Winner::Manual),
        1 => Just(Winner::Local),
        1 => Just(Winner::Peer),
    ];
    let grow = proptest::collection::vec(some_op(false), 0..24);
    let round = move || (ops(7), ops(7)).prop_map(|(a, b)| [a, b]);
    let later = proptest::collection::vec(round(), 0..3);
    (grow, round(), later, winner, any::<bool>(), 0..8u8).prop_map(
        |(grow, first, later, winner, permissions, memory)| {
            let mut root = Disk::default();
            for (i, op) in grow.iter().enumerate() {
                perturb(&mut root, op, 1_000 + i as u32);
            }
            let mut base = Manifest::default();
            if memory > 0 {
                let seen = root.seen();
                base.entries = seen.entries().map(|(p, e)| (p.clone(), e)).collect();
            }
            let mut disks = [root.clone(), root];
            perturb_both(&mut disks, &first, 2_000);
            Past {
                base,
                disks,
                winner,
                permissions,
                later,
            }
        },
    )
}

fn perturb_both(disks: &mut [Disk; 2], ops: &[Vec<Op>; 2], first: u32) {
    for (side, (disk, ops)) in disks.iter_mut().zip(ops).enumerate() {
        for (i, op) in ops.iter().enumerate() {
            perturb(disk, op, first + 100 * side as u32 + i as u32);
        }
    }
}

fn index(side: Side) -> usize {
    usize::from(side == Side::Peer)
}

/// Carries a plan out as a strict file system would.
fn apply(plan: &TruthPlan, before: &[Disk; 2]) -> [Disk; 2] {
    let mut after = before.clone();
    for c in &plan.changes {
        let (source, target) = (&before[index(c.to.other())], &before[index(c.to)]);
        assert_eq!(source.nodes.get(&c.path).and_then(Node::entry), c.source);
        assert_eq!(target.nodes.get(&c.path).and_then(Node::entry), c.target);
    }
    for c in plan.changes.iter().rev().filter(|c| c.kind == Kind::Delete) {
        let disk = &mut after[index(c.to)];
        assert!(!disk.is_apart(&c.path), "{:?} must stay apart", c.path);
        assert_eq!(disk.below(&c.path), [], "{:?} is not empty", c.path);
        disk.nodes.remove(&c.path).expect("a delete of nothing");
    }
    for c in plan.changes.iter().filter(|c| c.kind != Kind::Delete) {
        let disk = &mut after[index(c.to)];
        assert!(!disk.is_apart(&c.path), "{:?} must stay apart", c.path);
        let parent = c.path.parent().unwrap();
        assert!(disk.is_dir(&parent), "{:?} has no directory", c.path);
        let new = Node::of(c.source.as_ref().unwrap());
        match c.kind {
            Kind::Create => assert!(!disk.nodes.contains_key(&c.path), "{:?}", c.path),
            _ => assert!(disk.nodes.contains_key(&c.path), "{:?}", c.path),
        }
        if !new.is_dir() {
            assert_eq!(disk.below(&c.path), [], "{:?} is not empty", c.path);
        }
        disk.nodes.insert(c.path.clone(), new);
    }
    after
}

fn next_base(base: &Manifest, done: &Reconciled) -> Manifest {
    let mut next = base.clone();
    let changes = done.plan.changes.iter();
    let all = changes
        .map(|c| (&c.path, &c.source))
        .chain(done.agreed.iter().map(|(p, e)| (p, e)));
    for (path, entry) in all {
        match entry {
            Some(e) => next.entries.insert(path.clone(), e.clone()),
            None => next.entries.remove(path),
        };
    }
    next
}

/// Whether a path is one that a person was told about, or lies below one.
fn is_left(plan: &TruthPlan, path: &RelPath) -> bool {
    plan.left.iter().any(|l| path.is_within(l.path.as_bytes()))
}

fn check_plan_is_sound(r: &Reconciled) {
    let paths: Vec<_> = r.plan.changes.iter().map(|c| &c.path).collect();
    assert!(paths.windows(2).all(|w| w[0] < w[1]), "sorted and unique");
    for l in &r.plan.left {
        assert!(
            !paths.contains(&&l.path),
            "{:?} is left and changed",
            l.path
        );
    }
}

/// Both sides have the same, but for what was left, what cannot be seen, and directories that hold such things.
fn check_agreement(judge: &Judge, plan: &TruthPlan, after: &[Disk; 2]) {
    let seen = [after[0].seen(), after[1].seen()];
    let stays = |disk: &Disk, p: &RelPath| {
        is_left(plan, p)
            || disk.is_apart(p)
            || disk.is_hidden(p)
            || disk.nodes.get(p) == Some(&Node::Fifo)
    };
    for (me, other) in [(0, 1), (1, 0)] {
        for (path, entry) in seen[me].entries() {
            if stays(&after[me], path) || after[other].is_hidden(path) {
                continue;
            }
            match seen[other].entry(path) {
                // Times that the engine takes for equal are not carried by themselves.
                Some(there) => assert!(
                    judge.same(&entry, &there) || judge.same_as_carried(&entry, &there),
                    "{path:?} differs"
                ),
                None => {
                    let holds = after[me].below(path).iter().any(|p| stays(&after[me], p));
                    assert!(
                        entry.is_dir() && holds || stays(&after[other], path),
                        "{path:?} is on one side only"
                    );
                }
            }
        }
    }
}

/// What a side had is overwritten or deleted only when the base knew it, or a conflict was decided and says so.
fn check_no_loss(past: &Past, plan: &TruthPlan, after: &[Disk; 2]) {
    for side in Side::BOTH {
        let (was, is) = (&past.disks[index(side)], &after[index(side)]);
        for (path, node) in &was.nodes {
            if is.nodes.get(path) == Some(node) {
                continue;
            }
            let c = plan.changes.iter().find(|c| c.path == *path).unwrap();
            assert_eq!(c.to, side);
            let old = c.target.as_ref().unwrap();
            let known = past
                .base
                .entries
                .get(path)
                .is_some_and(|b| b.same_content(old));
            let same = c.source.as_ref().is_some_and(|s| s.same_content(old));
            assert!(known || same || c.conflict.is_some(), "{path:?} is lost");
        }
    }
}

/// Whether a winner named by the policy decided a path or something above it, and with it all that lies below.
fn is_overruled(plan: &TruthPlan, path: &RelPath) -> bool {
    let own = std::iter::once(path.as_bytes());
    own.chain(path.ancestors()).any(|a| {
        let decided = |c: &&Change| c.path.as_bytes() == a && c.conflict.is_some();
        plan.changes.iter().any(|c| decided(&c))
    })
}

/// What one side alone did to a file arrives on the other.
fn check_one_sided(past: &Past, plan: &TruthPlan, after: &[Disk; 2]) {
    let seen = [past.disks[0].seen(), past.disks[1].seen()];
    let mut paths: BTreeSet<&RelPath> = past.base.entries.keys().collect();
    paths.extend(seen.iter().flat_map(|s| s.entries().map(|(p, _)| p)));
    for path in paths {
        let known = past.base.entries.get(path);
        let like = |a: Option<&Entry>, b: Option<&Entry>| match (a, b) {
            (Some(a), Some(b)) => a.same_content(b),
            (a, b) => a.is_none() && b.is_none(),
        };
        for (me, other) in [(0, 1), (1, 0)] {
            let (mine, theirs) = (seen[me].entry(path), seen[other].entry(path));
            let (mine, theirs) = (mine.as_ref(), theirs.as_ref());
            let file = mine.or(known).is_some_and(|e| !e.is_dir());
            let clear = |d: &Disk| {
                !d.is_hidden(path) && !d.is_apart(path) && d.nodes.get(path) != Some(&Node::Fifo)
            };
            if !file
                || like(mine, known)
                || !like(theirs, known)
                || is_left(plan, path)
                || is_overruled(plan, path)
                || !clear(&past.disks[0])
                || !clear(&past.disks[1])
            {
                continue;
            }
            for disk in after {
                let now = disk.nodes.get(path).and_then(Node::entry);
                assert!(like(now.as_ref(), mine), "{path:?} did not arrive");
            }
        }
    }
}

/// Every change lies in exactly one item; whole items hold nothing else.
fn check_scope(past: &Past, plan: &TruthPlan) {
    let seen = [past.disks[0].seen(), past.disks[1].seen()];
    let s = scope(plan, &seen[0], &seen[1]);
    let covers = |i: &crate::model::scope::Item, p: &RelPath| {
        i.path == *p || (i.whole && p.is_within(i.path.as_bytes()))
    };
    for c in &plan.changes {
        let items: Vec<_> = s.items.iter().filter(|i| covers(i, &c.path)).collect();
        let comes_along = c.kind == Kind::Create
            && c.source.as_ref().is_some_and(Entry::is_dir)
            && s.items
                .iter()
                .any(|i| i.to == c.to && i.path.is_within(c.path.as_bytes()));
        match items.len() {
            0 => assert!(comes_along, "{:?} is in no item", c.path),
            1 => assert_eq!(items[0].to, c.to, "{:?}", c.path),
            _ => panic!("{:?} is in {items:?}", c.path),
        }
        assert!(
            !s.ignore
                .iter()
                .any(|g| c.path.is_within(g.as_bytes())
                    && items.iter().any(|i| i.whole && i.to == c.to)),
            "{:?} is ignored",
            c.path
        );
    }
    for item in &s.items {
        let ignored = s.ignore.iter().any(|g| item.path.is_within(g.as_bytes()));
        assert!(!ignored, "{item:?} is ignored");
    }
    for item in s.items.iter().filter(|i| i.whole) {
        for disk in &past.disks {
            for path in disk.below(&item.path) {
                let ignored = s.ignore.iter().any(|g| path.is_within(g.as_bytes()));
                let goes = plan
                    .changes
                    .iter()
                    .any(|c| c.path == path && c.to == item.to);
                assert!(ignored || goes, "{path:?} is foreign in {item:?}");
            }
        }
    }
}

fn flipped(winner: Winner) -> Winner {
    match winner {
        Winner::Local => Winner::Peer,
        Winner::Peer => Winner::Local,
        w => w,
    }
}

fn check_mirror(past: &Past, here: &Reconciled) {
    let seen = [past.disks[0].seen(), past.disks[1].seen()];
    let judge = judge_by(flipped(past.winner), past.permissions);
    let there = reconcile(&judge, &past.base, &seen[1], &seen[0]);
    let facts = |c: &Change, to: Side| {
        let decided = c.conflict.is_some();
        (
            c.path.clone(),
            c.kind,
            to,
            c.source.clone(),
            c.moved,
            decided,
        )
    };
    assert_eq!(
        here.plan
            .changes
            .iter()
            .map(|c| facts(c, c.to))
            .collect::<Vec<_>>(),
        there
            .plan
            .changes
            .iter()
            .map(|c| facts(c, c.to.other()))
            .collect::<Vec<_>>(),
    );
    let left = |r: &Reconciled| {
        let all = r.plan.left.iter().map(|l| (l.path.clone(), l.conflict));
        all.collect::<Vec<_>>()
    };
    assert_eq!(left(here), left(&there));
    let notes = |r: &Reconciled| {
        r.plan
            .notes
            .iter()
            .map(|n| n.path.clone())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(notes(here), notes(&there));
}

/// A part that is bounded is planned as the whole would have it.
fn check_region(past: &Past, judge: &Judge, whole: &Reconciled, named: &[RelPath]) {
    let Some(region) = Region::of(named, &Rules::default()) else {
        return;
    };
    let is_asked = |p: &RelPath| region.covers(p) || region.above().contains(p);
    let [near, far] = [&past.disks[0], &past.disks[1]].map(|d| d.seen_of(is_asked));
    if !region.is_bounded(&near.tree) || !region.is_bounded(&far.tree) {
        return;
    }
    let mut here = reconcile(judge, &region.base(&past.base), &near, &far);
    here.limit_to(named);
    let mut whole = whole.clone();
    whole.limit_to(named);
    assert_eq!(here, whole, "limited to {named:?}");
}

/// One run after the other, each from what the last one left behind.
fn check(mut past: Past) {
    let later = std::mem::take(&mut past.later);
    for (round, ops) in later.into_iter().enumerate() {
        (past.base, past.disks) = check_run(&past);
        perturb_both(&mut past.disks, &ops, 3_000 + 1_000 * round as u32);
    }
    check_run(&past);
}

fn check_run(past: &Past) -> (Manifest, [Disk; 2]) {
    let judge = judge_by(past.winner, past.permissions);
    let [a, b] = [past.disks[0].seen(), past.disks[1].seen()];
    let r = reconcile(&judge, &past.base, &a, &b);
    check_plan_is_sound(&r);
    check_scope(past, &r.plan);
    let after = apply(&r.plan, &past.disks);
    check_agreement(&judge, &r.plan, &after);
    check_no_loss(past, &r.plan, &after);
    check_one_sided(past, &r.plan, &after);
    check_mirror(past, &r);
    let paths: BTreeSet<&RelPath> = past.disks.iter().flat_map(|d| d.nodes.keys()).collect();
    for path in &paths {
        check_region(past, &judge, &r, &[(*path).clone()]);
    }
    let some: Vec<RelPath> = paths.into_iter().step_by(3).cloned().collect();
    check_region(past, &judge, &r, &some);
    let base = next_base(&past.base, &r);
    let again = reconcile(&judge, &base, &after[0].seen(), &after[1].seen());
    assert_eq!(again.plan.changes, [], "a second run has nothing to do");
    assert_eq!(again.agreed, [], "a second run learns nothing");
    let left = |r: &Reconciled| {
        r.plan
            .left
            .iter()
            .map(|l| l.path.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(left(&again), left(&r), "what was left is left again");
    (base, after)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(600), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plans_of_readable_trees_lose_nothing_and_converge(past in some_past(false)) {
        check(past);
    }

    #[test]
    fn plans_of_partly_unreadable_trees_lose_nothing_and_converge(past in some_past(true)) {
        check(past);
    }
}
