//! A strict file system: carries a plan out, and tells what both sides have in common then.

use super::*;

/// Carries a plan out as a strict file system would.
pub(super) fn apply(plan: &TruthPlan, before: &[Disk; 2]) -> [Disk; 2] {
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

pub(super) fn next_base(base: &Manifest, done: &Reconciled) -> Manifest {
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
