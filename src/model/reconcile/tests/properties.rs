//! One tree, perturbed twice, reconciled and applied to itself by a strict simulator: what must hold for every plan.
//!
//! The simulator panics where a file system would refuse (no parent, directory not empty) or where something that must
//! stay apart would go; the promises say what may never be lost and what both sides must agree on afterwards.

mod carry;
mod disk;
mod parts;
mod promises;
mod steps;

use proptest::prelude::*;
use proptest::strategy::Strategy;

use self::carry::{apply, next_base};
use self::disk::{Disk, Node};
use self::parts::{check_region, check_scope};
use self::promises::{check_agreement, check_mirror, check_no_loss, check_one_sided};
use self::steps::{Op, perturb, some_op};
use super::*;
use crate::model::policy::Strategy as Winner;

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
