//! Parts of a plan: the items that an engine is given, and the paths that a run is limited to.

use super::*;
use crate::model::region::Region;
use crate::model::rules::Rules;
use crate::model::scope::scope;

/// Every change lies in exactly one item; whole items hold nothing else.
pub(super) fn check_scope(past: &Past, plan: &TruthPlan) {
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

/// A part that is bounded is planned as the whole would have it.
pub(super) fn check_region(past: &Past, judge: &Judge, whole: &Reconciled, named: &[RelPath]) {
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
