//! Two replicas and their base become a plan. Pure; the same trees give the same plan.
//!
//! Invariants: unreadable is not absent; nothing that must stay apart (state, excluded files) is ever inside something that
//! is deleted or replaced; a path only travels to where its directory will be.

mod replace;
mod replica;

pub use replica::Replica;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::decide::{Decision, Judge};
use super::entry::{ContentHash, Entry};
use super::manifest::Manifest;
use super::path::RelPath;
use super::plan::{Change, Decided, Kind, Left, Note, Side, TruthPlan};
use super::sorted::Sorted;
use super::tree::What;
use super::walk;

/// A plan, and what both sides already agree on although the base says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reconciled {
    pub plan: TruthPlan,
    /// `Some`: both have this now; `None`: neither has anything.
    pub agreed: Vec<(RelPath, Option<Entry>)>,
}

impl Reconciled {
    /// Only what concerns these paths and what is below them; the rest waits for another run.
    pub fn limit_to(&mut self, paths: &[RelPath]) {
        let wanted = |p: &RelPath| paths.iter().any(|w| p.is_within(w.as_bytes()));
        // A directory above a named path comes along when it is to be made.
        let above = |p: &RelPath| {
            let on_the_way = |w: &RelPath| w.ancestors().any(|a| a == p.as_bytes());
            paths.iter().any(on_the_way)
        };
        let plan = &mut self.plan;
        plan.changes
            .retain(|c| wanted(&c.path) || (above(&c.path) && c.kind == Kind::Create));
        // Nor does anything move below what is undecided.
        plan.left.retain(|l| wanted(&l.path) || above(&l.path));
        plan.notes.retain(|n| wanted(&n.path));
        // Where one half of a rename waits, the other is none.
        plan.changes.iter_mut().for_each(|c| c.moved = false);
        mark_moves(&mut plan.changes);
        self.agreed.retain(|(p, _)| wanted(p));
    }
}

/// Who decided a conflict, and why.
type Conflict = (Decided, String);

struct Work<'a> {
    judge: &'a Judge,
    base: &'a Manifest,
    local: &'a Replica,
    peer: &'a Replica,
    flows: BTreeMap<RelPath, (Side, Option<Conflict>)>,
    left: BTreeMap<RelPath, Left>,
    notes: Vec<Note>,
    agreed: Vec<(RelPath, Option<Entry>)>,
}

pub fn reconcile(judge: &Judge, base: &Manifest, local: &Replica, peer: &Replica) -> Reconciled {
    let mut work = Work {
        judge,
        base,
        local,
        peer,
        flows: BTreeMap::new(),
        left: BTreeMap::new(),
        notes: Vec::new(),
        agreed: Vec::new(),
    };
    work.name_unreadable_directories();
    work.decide_each_path();
    work.spread_named();
    work.settle_replacements();
    work.hold_below_undecided();
    work.settle_deleted_directories();
    work.finish()
}

impl<'a> Work<'a> {
    fn replica(&self, side: Side) -> &'a Replica {
        match side {
            Side::Local => self.local,
            Side::Peer => self.peer,
        }
    }

    fn name(&self, side: Side) -> &'a str {
        match side {
            Side::Local => &self.judge.local_name,
            Side::Peer => &self.judge.peer_name,
        }
    }

    fn leave(&mut self, path: &RelPath, why: String, conflict: bool) {
        self.flows.remove(path);
        let path = path.clone();
        self.left.insert(
            path.clone(),
            Left {
                path,
                why,
                conflict,
            },
        );
    }

    fn name_unreadable_directories(&mut self) {
        for side in Side::BOTH {
            for dir in &self.replica(side).tree.unreadable {
                if !self.concerns_truth(dir) {
                    continue;
                }
                let why = format!(
                    "the directory cannot be read on {}; nothing below it was touched",
                    self.name(side)
                );
                self.leave(dir, why, false);
            }
        }
    }

    /// Whether truth is known at, right above or below a path; of a directory beside the included ones nobody needs to hear.
    fn concerns_truth(&self, dir: &RelPath) -> bool {
        dir.is_root()
            || Self::within(&self.base.entries, dir).next().is_some()
            || Side::BOTH.into_iter().any(|side| {
                let truth = &self.replica(side).tree.truth;
                Self::within(truth, dir).next().is_some()
                    || dir.parent().is_some_and(|p| truth.contains_key(&p))
            })
    }

    fn decide_each_path(&mut self) {
        let (local, peer) = (self.local, self.peer);
        let (mut near, mut far) = (local.walk(), peer.walk());
        let is_readable = [local, peer].map(|r| r.tree.unreadable.is_empty()) == [true, true];
        for (path, base, ..) in walk::three(&self.base.entries, &local.tree.truth, &peer.tree.truth)
        {
            let (a, b) = (near(path), far(path));
            // What both sides could read is nothing special, stands nowhere apart and is not left before it is decided.
            let is_clear = is_readable && a.is_some() && b.is_some();
            if !is_clear && self.in_the_way(path) {
                continue;
            }
            match self.judge.decide(a.as_ref(), b.as_ref(), base) {
                Decision::Equal => {
                    // What is nowhere is known to the base: else nobody would have asked for it.
                    let known = a
                        .as_ref()
                        .zip(base)
                        .is_some_and(|(a, s)| self.judge.same(a, s));
                    if !known {
                        self.agreed.push((path.clone(), a));
                    }
                }
                Decision::Flow { to, conflict } => {
                    self.flows.insert(path.clone(), (to, conflict));
                }
                Decision::Left { why, conflict } => self.leave(path, why, conflict),
            }
        }
    }

    /// Paths about which nothing can be decided; true when this is one. Each reason is looked for on both sides before
    /// the next one, so that the answer does not depend on which host drives.
    fn in_the_way(&mut self, path: &RelPath) -> bool {
        let either = |has: &dyn Fn(&Replica) -> bool| {
            Side::BOTH
                .into_iter()
                .find(|side| has(self.replica(*side)))
                .map(|side| (side, self.name(side)))
        };
        let is_special = |r: &Replica| {
            r.tree
                .truth
                .get(path)
                .is_some_and(|s| s.what == What::Other)
        };
        if self.left.contains_key(path) || either(&|r| r.tree.is_unknown(path)).is_some() {
            return true;
        }
        if let Some((side, host)) = either(&is_special) {
            let other = self.replica(side.other());
            if other.tree.truth.contains_key(path) && !is_special(other) {
                let why = format!("it is a pipe, socket or device on {host}");
                self.leave(path, why, true);
            } else {
                let text =
                    format!("a pipe, socket or device on {host}; such things are not synced");
                let path = path.clone();
                self.notes.push(Note { path, text });
            }
            return true;
        }
        let in_truth = |r: &Replica| r.tree.truth.contains_key(path);
        if let Some((_, host)) = either(&|r| r.tree.apart.contains_key(path))
            && either(&in_truth).is_some()
        {
            let why = format!("something that never crosses stands at this place on {host}");
            self.leave(path, why, true);
            return true;
        }
        // A file that is there and has no entry has unknown content: it is anything but deleted.
        if let Some((_, host)) = either(&|r| in_truth(r) && !r.has(path)) {
            let why = format!("the file cannot be read on {host}");
            self.leave(path, why, false);
            return true;
        }
        false
    }

    /// A path and all below it.
    fn within<'m, V>(
        map: &'m Sorted<V>,
        dir: &RelPath,
    ) -> impl Iterator<Item = (&'m RelPath, &'m V)> {
        let dir = dir.as_bytes().to_vec();
        map.from(&RelPath::new(dir.clone()).unwrap_or_default())
            .take_while({
                let dir = dir.clone();
                move |(p, _)| p.as_bytes().starts_with(&dir)
            })
            .filter(move |(p, _)| p.is_within(&dir))
    }

    /// Below a path that is left, and below something that never crosses where a directory should be, nothing moves.
    /// Before directories are settled: one that would only arrive for such a file does not arrive.
    fn hold_below_undecided(&mut self) {
        let paths: Vec<RelPath> = self.flows.keys().cloned().collect();
        for path in paths {
            let above: Vec<RelPath> = path.ancestors().filter_map(RelPath::new).collect();
            if let Some(dir) = above.iter().find(|a| self.left.contains_key(*a)) {
                let deleted = self
                    .flows
                    .remove(&path)
                    .is_some_and(|(to, _)| !self.replica(to.other()).has(&path));
                if !deleted {
                    self.leave(&path, format!("its directory {dir} is undecided"), false);
                }
                continue;
            }
            let blocked = Side::BOTH.into_iter().find_map(|side| {
                let apart = &self.replica(side).tree.apart;
                let dir = above
                    .iter()
                    .find(|a| apart.get(*a).is_some_and(|(_, is_dir)| !is_dir))?;
                Some(format!("{dir} is not a directory on {}", self.name(side)))
            });
            if let Some(why) = blocked {
                self.leave(&path, why, true);
            }
        }
    }

    /// A directory is deleted only when nothing in it stays.
    fn settle_deleted_directories(&mut self) {
        for side in Side::BOTH {
            let replica = self.replica(side);
            let doomed: BTreeSet<RelPath> = self
                .flows
                .iter()
                .filter(|(p, (to, _))| {
                    *to == side && !self.replica(side.other()).has(p) && replica.is_dir(p)
                })
                .map(|(p, _)| p.clone())
                .collect();
            if doomed.is_empty() {
                continue;
            }
            let mut fate: HashMap<&[u8], Stays> = HashMap::new();
            let mut mark = |path: &RelPath, why: Stays| {
                let found: Vec<&RelPath> = path
                    .ancestors()
                    .filter_map(|a| RelPath::new(a).and_then(|a| doomed.get(&a)))
                    .collect();
                for dir in found {
                    let fate = fate.entry(dir.as_bytes()).or_insert(why);
                    *fate = (*fate).max(why);
                }
            };
            for path in replica.tree.truth.keys() {
                match self.flows.get(path) {
                    Some((to, _)) if *to == side && !self.replica(side.other()).has(path) => {}
                    Some(_) => mark(path, Stays::Travels),
                    None => mark(path, Stays::Undecided),
                }
            }
            for path in &replica.tree.unreadable {
                mark(path, Stays::Undecided);
            }
            for path in replica.tree.apart.keys() {
                mark(path, Stays::Apart);
            }
            let fate: Vec<(RelPath, Stays)> = fate
                .into_iter()
                .filter_map(|(d, s)| Some((RelPath::new(d)?, s)))
                .collect();
            for (dir, stays) in fate {
                self.keep_directory(dir, side, stays);
            }
        }
        self.notes.sort_by(|a, b| a.path.cmp(&b.path));
    }

    fn keep_directory(&mut self, dir: RelPath, side: Side, stays: Stays) {
        match stays {
            Stays::Travels => {
                self.flows.insert(dir, (side.other(), None));
            }
            Stays::Undecided => {
                self.flows.remove(&dir);
            }
            Stays::Apart => {
                self.flows.remove(&dir);
                let text = format!(
                    "kept on {}: it holds state or excluded files",
                    self.name(side)
                );
                self.notes.push(Note { path: dir, text });
            }
        }
    }

    fn finish(mut self) -> Reconciled {
        let mut changes: Vec<Change> = Vec::with_capacity(self.flows.len());
        for (path, (to, conflict)) in std::mem::take(&mut self.flows) {
            let source = self.replica(to.other()).entry(&path);
            let target = self.replica(to).entry(&path);
            let kind = match (&source, &target) {
                (None, _) => Kind::Delete,
                (_, None) => Kind::Create,
                (Some(s), Some(t)) if std::mem::discriminant(s) != std::mem::discriminant(t) => {
                    Kind::Replace
                }
                (Some(s), Some(t)) if s.same_content(t) => Kind::Meta,
                _ => Kind::Update,
            };
            changes.push(Change {
                path,
                kind,
                to,
                source,
                target,
                conflict,
                moved: false,
            });
        }
        mark_moves(&mut changes);
        Reconciled {
            plan: TruthPlan {
                changes,
                left: self.left.into_values().collect(),
                notes: self.notes,
            },
            agreed: self.agreed,
        }
    }
}

/// Why a directory that one side deleted stays on the other, weakest reason first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stays {
    Apart,
    Undecided,
    Travels,
}

/// A deleted file whose content is created under another name on the same side was renamed.
fn mark_moves(changes: &mut [Change]) {
    let hash = |e: &Option<Entry>| match e {
        Some(Entry::File(f)) => Some(f.hash),
        _ => None,
    };
    let mut arrivals: HashMap<(Side, ContentHash), usize> = HashMap::new();
    for c in changes.iter().filter(|c| c.kind == Kind::Create) {
        if let Some(h) = hash(&c.source) {
            *arrivals.entry((c.to, h)).or_default() += 1;
        }
    }
    for c in changes.iter_mut().filter(|c| c.kind == Kind::Delete) {
        if let Some(h) = hash(&c.target)
            && let Some(n) = arrivals.get_mut(&(c.to, h))
            && *n > 0
        {
            *n -= 1;
            c.moved = true;
        }
    }
}

#[cfg(test)]
mod tests;
