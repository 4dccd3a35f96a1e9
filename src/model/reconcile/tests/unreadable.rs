//! What could not be read is neither deleted nor overwritten, and is named.

use super::*;

#[test]
fn an_unreadable_directory_is_never_a_delete_in_either_direction() {
    let base = ["d/", "d/a=1", "d/e/", "d/e/b=1"];
    for (local, peer) in [
        (&["d/?"][..], &base[..]),
        (&["d/?"], &["d/", "d/a=2@9"]),
        (&["d/?"], &[]),
        (&base, &["d/?"]),
        (&["d/?"], &["d/?"]),
    ] {
        let r = plan(&base, local, peer);
        assert_eq!(changes(&r), NONE, "{local:?} {peer:?}");
        assert_eq!(left(&r), ["d"], "{local:?} {peer:?}");
        assert!(r.agreed.is_empty(), "the base keeps what is unknown");
    }
}

#[test]
fn an_unreadable_root_stops_everything() {
    let mut local = Replica::default();
    local.tree.unreadable.insert(RelPath::root());
    let base = had(&["a=1"]);
    let r = reconcile(
        &judge_by(Strategy::Newer, true),
        &base,
        &local,
        &tree(&["a=2@9"]),
    );
    assert_eq!(
        (changes(&r).len(), r.plan.left.len(), r.agreed.len()),
        (0, 1, 0)
    );
}

#[test]
fn an_unreadable_directory_above_the_included_ones_hides_them_and_one_beside_them_says_nothing() {
    let base = ["docs/pub/", "docs/pub/a=1"];
    let mut local = Replica::default();
    local.tree.unreadable.insert(path("docs"));
    local.tree.unreadable.insert(path("private"));
    let base = had(&base);
    let r = reconcile(
        &judge_by(Strategy::Newer, true),
        &base,
        &local,
        &tree(&["docs/pub/", "docs/pub/a=1"]),
    );
    assert_eq!(changes(&r), NONE);
    assert_eq!(left(&r), ["docs"]);
}

#[test]
fn an_unreadable_directory_is_named_where_truth_is_known_at_above_or_below_it() {
    for (unreadable, base, peer, named) in [
        ("", &[][..], &[][..], true),
        ("docs", &["docs/"], &[], true),
        ("docs", &["docs/pub/"], &[], true),
        ("docs", &[], &["docs/"], true),
        ("docs", &[], &["docs/pub/"], true),
        ("docs/private", &[], &["docs/"], true),
        ("docs", &["docs-old/"], &["docs-old/"], false),
        ("docs/private", &[], &["a=1"], false),
    ] {
        let mut local = Replica::default();
        local.tree.unreadable.insert(path(unreadable));
        let base = had(base);
        let judge = judge_by(Strategy::Newer, true);
        let r = reconcile(&judge, &base, &local, &tree(peer));
        let all: Vec<_> = r.plan.left.iter().map(|l| &l.path).collect();
        assert_eq!(
            all.contains(&&path(unreadable)),
            named,
            "{unreadable} {base:?} {peer:?}"
        );
    }
}

#[test]
fn an_unreadable_directory_that_was_swept_by_name_only_still_keeps_what_holds_it() {
    let mut peer = tree(&["d/", "d/a=1"]);
    peer.tree.unreadable.insert(path("d/u"));
    let base = had(&["d/", "d/a=1"]);
    let judge = judge_by(Strategy::Newer, true);
    let r = reconcile(&judge, &base, &tree(&["d=new@5"]), &peer);
    assert_eq!(changes(&r), NONE);
    let r = reconcile(&judge, &base, &tree(&[]), &peer);
    assert_eq!(changes(&r), ["delete d/a > peer"]);
    assert_eq!(left(&r), ["d/u"]);
}

#[test]
fn what_was_seen_of_a_directory_before_it_could_not_be_read_any_more_is_not_believed() {
    let edited = ["d/", "d/a=2@9", "z=2@9"];
    let half = ["d/?", "d/a=1", "z=1"];
    for (local, peer, to) in [(edited, half, "peer"), (half, edited, "local")] {
        let r = plan(&["d/", "d/a=1", "z=1"], &local, &peer);
        assert_eq!(changes(&r), [format!("update z > {to}")]);
        assert_eq!(left(&r), ["d"]);
    }
}

#[test]
fn a_file_without_known_content_is_neither_deleted_nor_overwritten() {
    for base in [&["a=1"][..], &[]] {
        for peer in [&["a=2@9"][..], &[]] {
            let r = plan(base, &["a?"], peer);
            assert_eq!((changes(&r), left(&r)), (vec![], vec!["a".to_owned()]));
        }
    }
    // Also when nobody said that it could not be read.
    let mut local = tree(&["a=1"]);
    local = Replica::of(local.tree, |_, _| None);
    local.unread.clear();
    let base = had(&["a=1"]);
    let r = reconcile(
        &judge_by(Strategy::Newer, true),
        &base,
        &local,
        &tree(&["a=1"]),
    );
    assert_eq!((changes(&r), left(&r)), (vec![], vec!["a".to_owned()]));
}
