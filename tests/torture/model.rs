//! The pure half of the torture: two replicas as values, what each path last was on both, and what a run may make of that.
//!
//! Invariants: nothing here touches a disk; the rules are told anew from the promises and share no code with the program. Where
//! nobody can know what both sides last had in common (a crash, a damaged memory), every possibility is kept, and a run may act
//! upon any one of them, path by path.

use std::collections::{BTreeMap, BTreeSet};

use crate::lab::{Entry, Kind, Snapshot};

/// What lies at a path, as far as a user would miss it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    File(String),
    Link(Vec<u8>),
    Dir,
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Val {
    pub what: What,
    pub mode: u32,
}

/// What a path may last have been on both sides; a path that is not in it was nothing.
pub type Base = BTreeMap<Vec<u8>, Vec<Option<Val>>>;

pub fn what(entry: &Entry) -> What {
    match entry.kind {
        Kind::File => What::File(entry.sha256.clone().unwrap()),
        Kind::Link => What::Link(entry.target.clone().unwrap()),
        Kind::Dir => What::Dir,
        Kind::Other => What::Other,
    }
}

pub fn val(entry: &Entry) -> Val {
    Val {
        what: what(entry),
        mode: entry.mode,
    }
}

/// State, what is excluded, the log with its generations: what no two-way run may touch.
pub fn is_apart(path: &[u8]) -> bool {
    let mut names = path.split(|b| *b == b'/');
    let named = names.any(|n| n.ends_with(b"_state.json") || n.ends_with(b".tmp"));
    let log_or_git = path.starts_with(b"logs/m.log") || path == b".git";
    (named || log_or_git) && !is_litter(path)
}

/// Left behind by an engine or by us in the middle of something.
pub fn is_litter(path: &[u8]) -> bool {
    path.split(|b| *b == b'/')
        .any(|n| n.starts_with(b".unison.") || n.starts_with(b".ubos-sync."))
}

/// Whether two replicas are to be equal here.
pub fn is_truth(path: &[u8]) -> bool {
    !path.is_empty() && path != b".ubos-root" && !is_apart(path) && !is_litter(path)
}

/// The path itself, then everything above it.
pub fn upwards(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().filter(|(_, b)| **b == b'/');
    let above: Vec<usize> = slashes.map(|(i, _)| i).collect();
    std::iter::once(path).chain(above.into_iter().rev().map(|i| &path[..i]))
}

pub fn is_below(path: &[u8], dir: &[u8]) -> bool {
    path.len() > dir.len() && path.starts_with(dir) && path[dir.len()] == b'/'
}

pub fn show(path: &[u8]) -> String {
    path.escape_ascii().to_string()
}

/// What a run may make of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// Both sides have this.
    Both(Option<What>),
    /// Both are as they were, and the path is named as left for a person.
    Left,
}

/// How far times can be trusted to decide.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// Now, in nanoseconds.
    pub now: i128,
    /// The hosts disagree about it.
    pub skewed: bool,
}

const S: i128 = 1_000_000_000;

/// I7 to I10 for one path that is a directory on neither side.
pub fn wants(a: Option<&Entry>, b: Option<&Entry>, base: Option<&Val>, clock: Clock) -> Vec<Want> {
    let (x, y) = (a.map(what), b.map(what));
    if x == y {
        return vec![Want::Both(x)];
    }
    let base = base.map(|v| v.what.clone());
    match (x != base, y != base) {
        (true, false) => return vec![Want::Both(x)],
        (false, true) => return vec![Want::Both(y)],
        _ => {}
    }
    let (Some(a), Some(b)) = (a, b) else {
        // An edit beats a delete.
        return vec![Want::Both(x.or(y))];
    };
    let newer = match a.mtime_ns.cmp(&b.mtime_ns) {
        std::cmp::Ordering::Greater => x,
        std::cmp::Ordering::Less => y,
        std::cmp::Ordering::Equal => return vec![Want::Left],
    };
    let latest = a.mtime_ns.max(b.mtime_ns);
    let mut all = Vec::new();
    // The program allows two seconds; between sure and sure not lies the time that the run took.
    if latest <= clock.now + 3 * S || clock.skewed {
        all.push(Want::Both(newer));
    }
    if latest > clock.now - 30 * S || clock.skewed {
        all.push(Want::Left);
    }
    all
}

/// One side's truth, with the paths where something stands apart.
pub struct Replica<'a> {
    pub truth: BTreeMap<&'a [u8], &'a Entry>,
    pub apart: Vec<&'a [u8]>,
}

impl<'a> Replica<'a> {
    pub fn of(tree: &'a Snapshot) -> Replica<'a> {
        let named = |(p, e): (&'a Vec<u8>, &'a Entry)| (p.as_slice(), e);
        let all = || tree.entries.iter().map(named);
        Replica {
            truth: all().filter(|(p, _)| is_truth(p)).collect(),
            apart: all().map(|(p, _)| p).filter(|p| is_apart(p)).collect(),
        }
    }

    pub fn get(&self, path: &[u8]) -> Option<&'a Entry> {
        self.truth.get(path).copied()
    }

    pub fn what(&self, path: &[u8]) -> Option<What> {
        self.get(path).map(what)
    }

    pub fn holds_apart(&self, dir: &[u8]) -> bool {
        self.apart.iter().any(|p| is_below(p, dir))
    }

    fn is_dir(&self, path: &[u8]) -> Option<bool> {
        self.get(path).map(|e| e.kind == Kind::Dir)
    }

    /// Everything at and below a path.
    fn subtree(&self, top: &[u8]) -> BTreeMap<&'a [u8], What> {
        let within = |p: &&[u8]| *p == top || is_below(p, top);
        let all = self.truth.iter().filter(|(p, _)| within(p));
        all.map(|(p, e)| (*p, what(e))).collect()
    }
}

/// A run that ended and says that it is done, with 0 or with items left.
pub struct Run<'a> {
    pub before: [Replica<'a>; 2],
    pub after: [Replica<'a>; 2],
    pub base: &'a Base,
    pub left: BTreeSet<Vec<u8>>,
    pub clock: Clock,
    /// Paths that somebody changed meanwhile.
    pub restless: &'a dyn Fn(&[u8]) -> bool,
}

impl Run<'_> {
    fn is_left(&self, path: &[u8]) -> bool {
        upwards(path).any(|p| self.left.contains(p))
    }

    /// A directory on one side and something else on the other, here or above; the topmost such path.
    fn clash<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        let [a, b] = &self.before;
        let unlike = |p: &&[u8]| matches!((a.is_dir(p), b.is_dir(p)), (Some(x), Some(y)) if x != y);
        upwards(path).filter(unlike).last()
    }

    fn paths(&self) -> BTreeSet<&[u8]> {
        let trees = self.before.iter().chain(&self.after);
        let all = trees.flat_map(|r| r.truth.keys().copied());
        all.chain(self.base.keys().map(Vec::as_slice)).collect()
    }

    fn bases(&self, path: &[u8]) -> Vec<Option<Val>> {
        self.base.get(path).cloned().unwrap_or(vec![None])
    }

    /// I5, I7 to I11.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = self.unequal();
        for path in self.paths() {
            if (self.restless)(path) {
                continue;
            }
            match self.clash(path) {
                Some(top) if top == path => faults.extend(self.one_sided(path)),
                Some(_) => {}
                None => faults.extend(self.one_path(path)),
            }
        }
        faults
    }

    /// I5 and I11: what differs is named.
    fn unequal(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let [a, b] = &self.after;
        for path in self.paths() {
            if self.is_left(path) || (self.restless)(path) {
                continue;
            }
            let name = show(path);
            match (a.get(path), b.get(path)) {
                (None, None) => {}
                (Some(x), Some(y)) => {
                    if what(x) != what(y) {
                        faults.push(format!("I5: {name} differs"));
                    } else if x.kind != Kind::Link && x.mode != y.mode {
                        faults.push(format!("I5: modes of {name}: {:o} {:o}", x.mode, y.mode));
                    } else if x.kind == Kind::File && !is_same_time(x.mtime_ns, y.mtime_ns) {
                        let (x, y) = (x.mtime_ns, y.mtime_ns);
                        faults.push(format!("I5: times of {name}: {x} {y}"));
                    }
                }
                // A directory stays for what is apart in it, or for what was left in it.
                (Some(e), None) | (None, Some(e)) => {
                    let keeper = if a.get(path).is_some() { a } else { b };
                    let stays = e.kind == Kind::Dir
                        && (keeper.holds_apart(path)
                            || self.left.iter().any(|l| is_below(l, path)));
                    if !stays {
                        faults.push(format!("I5: {name} is on one side only"));
                    }
                }
            }
        }
        faults
    }

    fn one_path(&self, path: &[u8]) -> Option<String> {
        let [a, b] = [0, 1].map(|i| self.before[i].get(path));
        let [x, y] = [0, 1].map(|i| self.after[i].what(path));
        let name = show(path);
        let is_dir = |e: Option<&Entry>| e.is_some_and(|e| e.kind == Kind::Dir);
        if is_dir(a) || is_dir(b) {
            // What stays in it decides about a directory; only that a new one arrives is sure.
            let is_new = self.bases(path) == [None];
            let arrived = is_dir(self.after[0].get(path)) && is_dir(self.after[1].get(path));
            let apart = self.before.iter().any(|r| r.holds_apart(path));
            return (is_new && !arrived && !apart && !self.is_left(path))
                .then(|| format!("I7: the directory {name} did not arrive"));
        }
        // Where something that never crosses stands in the way, the path is left.
        let crossed = |p: &[u8]| self.before.iter().any(|r| r.apart.contains(&p));
        if upwards(path).any(crossed) {
            return None;
        }
        let bases = self.bases(path);
        let all: Vec<Want> = bases
            .iter()
            .flat_map(|s| wants(a, b, s.as_ref(), self.clock))
            .collect();
        let is_met = |want: &Want| match want {
            Want::Both(v) => x == *v && y == *v,
            Want::Left => self.is_left(path) && x == a.map(what) && y == b.map(what),
        };
        if !all.iter().any(is_met) {
            return Some(format!(
                "I7-I10: {name}: was {:?} and {:?}, last common {bases:?}; is {x:?} and {y:?}, wanted {all:?}",
                a.map(|e| (what(e), e.mtime_ns)),
                b.map(|e| (what(e), e.mtime_ns)),
            ));
        }
        self.one_mode(path, a?, b?, &bases)
    }

    /// I7 for a mode alone: whoever changed it is followed.
    fn one_mode(&self, path: &[u8], a: &Entry, b: &Entry, bases: &[Option<Val>]) -> Option<String> {
        let [Some(base)] = bases else { return None };
        let is_file = |e: &Entry| what(e) == base.what && e.kind == Kind::File;
        if !is_file(a) || !is_file(b) || self.is_left(path) {
            return None;
        }
        let wanted = match (a.mode == base.mode, b.mode == base.mode) {
            (false, true) => a.mode,
            (true, false) => b.mode,
            _ => return None,
        };
        let now = self.after[0].get(path)?.mode;
        (now != wanted)
            .then(|| format!("I7: the mode of {} is {now:o}, not {wanted:o}", show(path)))
    }

    /// I7 where types differ: a side that changed nothing below such a path follows the other one.
    fn one_sided(&self, top: &[u8]) -> Option<String> {
        let within = |p: &&Vec<u8>| p.as_slice() == top || is_below(p, top);
        let mut base = BTreeMap::new();
        for path in self.base.keys().filter(within) {
            match self.bases(path).as_slice() {
                [Some(v)] => base.insert(path.as_slice(), v.what.clone()),
                [None] => None,
                _ => return None,
            };
        }
        if self.before.iter().any(|r| r.holds_apart(top)) {
            return None;
        }
        for (still, moved) in [(0, 1), (1, 0)] {
            if self.before[still].subtree(top) != base || self.before[moved].subtree(top) == base {
                continue;
            }
            let wanted = self.before[moved].subtree(top);
            if self.after.iter().any(|r| r.subtree(top) != wanted) {
                return Some(format!(
                    "I7: {} changed its type on one side only and is not so on both",
                    show(top)
                ));
            }
        }
        None
    }

    /// What both last had, from now on.
    pub fn learn(&self) -> Base {
        let mut base = self.base.clone();
        for path in self.paths() {
            let [x, y] = [0, 1].map(|i| self.after[i].get(path).map(val));
            if (self.restless)(path) {
                // The run may have seen any of it.
                let before = [0, 1].map(|i| self.before[i].get(path).map(val));
                let all = [before, [x, y]].concat();
                let known = base.entry(path.to_vec()).or_insert_with(|| vec![None]);
                known.extend(all);
            } else if x.as_ref().map(|v| &v.what) == y.as_ref().map(|v| &v.what) {
                base.insert(path.to_vec(), vec![x]);
            }
        }
        base
    }
}

/// The engine takes times for equal that are a second apart, or an hour give or take one, and does not carry such a difference.
fn is_same_time(a: i128, b: i128) -> bool {
    let apart = a.div_euclid(S).abs_diff(b.div_euclid(S));
    apart <= 1 || apart.abs_diff(3600) <= 1
}

/// What both may last have had after a run that broke off: what it made equal was delivered, unless somebody else may have done
/// that (`shared`); where both were equal already, nobody knows whether that was written down.
pub fn learn_from_crash(
    base: &Base,
    before: [&Snapshot; 2],
    after: [&Snapshot; 2],
    shared: bool,
) -> Base {
    let mut all = base.clone();
    let [b0, b1] = before.map(Replica::of);
    let [a0, a1] = after.map(Replica::of);
    let paths: BTreeSet<&[u8]> = [&b0, &b1, &a0, &a1]
        .into_iter()
        .flat_map(|r| r.truth.keys().copied())
        .chain(base.keys().map(Vec::as_slice))
        .collect();
    for path in paths {
        if a0.what(path) != a1.what(path) {
            continue;
        }
        let now = a0.get(path).map(val);
        let known = all.entry(path.to_vec()).or_insert_with(|| vec![None]);
        if !shared && b0.what(path) != b1.what(path) {
            *known = vec![now];
        } else if !known.contains(&now) {
            known.push(now);
        }
    }
    all
}
