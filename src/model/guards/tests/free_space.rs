//! What a plan needs of which disk: what arrives, and what is kept for undo.

use super::*;

#[test]
fn free_space_counts_the_receiving_side_and_what_undo_keeps() {
    let passes = |free: u64, c: Change| {
        let mut facts = quiet();
        facts.remote.free_bytes = Some(free);
        judge(plan_of(vec![c]), &facts, &limits(), &[]).0
    };
    // A delete is kept for undo; a touch takes nothing; what goes the other way is not counted here.
    assert!(!passes(1029, change("a", Side::Peer, None, Some(file(30)))));
    assert!(passes(1030, change("a", Side::Peer, None, Some(file(30)))));
    let mut touch = change("a", Side::Peer, Some(file(30)), Some(file(30)));
    touch.kind = Kind::Meta;
    assert!(passes(0, touch));
    assert!(passes(0, change("a", Side::Local, Some(file(30)), None)));
    // Our own files on a disk of their own: each disk is asked for its part.
    let apart = |free: u64, state: u64| {
        let mut facts = quiet();
        (facts.remote.free_bytes, facts.remote.state_free) = (Some(free), Some(state));
        let c = change("a", Side::Peer, Some(file(50)), Some(file(30)));
        judge(plan_of(vec![c]), &facts, &limits(), &[]).0
    };
    assert!(apart(1050, 1030) && !apart(1049, 1030) && !apart(1050, 1029));
    // Absurd sizes do not wrap around to small ones.
    assert!(!passes(
        1 << 40,
        change("a", Side::Peer, Some(file(u64::MAX)), Some(file(u64::MAX)))
    ));
    let mut unknown = quiet();
    unknown.remote.free_bytes = None;
    assert!(
        judge(
            plan_of(vec![change("a", Side::Peer, Some(file(30)), None)]),
            &unknown,
            &limits(),
            &[]
        )
        .0
    );
}
