//! What holds for every plan and for what it leaves on both disks.

use super::*;

/// Whether a path is one that a person was told about, or lies below one.
fn is_left(plan: &TruthPlan, path: &RelPath) -> bool {
    plan.left.iter().any(|l| path.is_within(l.path.as_bytes()))
}

/// Both sides have the same, but for what was left, what cannot be seen, and directories that hold such things.
pub(super) fn check_agreement(judge: &Judge, plan: &TruthPlan, after: &[Disk; 2]) {
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
pub(super) fn check_no_loss(past: &Past, plan: &TruthPlan, after: &[Disk; 2]) {
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
pub(super) fn check_one_sided(past: &Past, plan: &TruthPlan, after: &[Disk; 2]) {
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

fn flipped(winner: Winner) -> Winner {
    match winner {
        Winner::Local => Winner::Peer,
        Winner::Peer => Winner::Local,
        w => w,
    }
}

pub(super) fn check_mirror(past: &Past, here: &Reconciled) {
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
