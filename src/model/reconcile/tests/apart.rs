//! What never crosses (pipes, what is excluded, what is not included), and what happens to truth beside it.

use super::*;

#[test]
fn pipes_are_noted_alone_and_left_against_anything_else() {
    let r = plan(&[], &["p|", "a=1"], &[]);
    assert_eq!(
        (changes(&r), notes(&r)),
        (vec!["create a > peer".to_owned()], vec!["p".to_owned()])
    );
    let r = plan(&[], &["p|"], &["p|"]);
    assert_eq!((left(&r), notes(&r)), (vec![], vec!["p".to_owned()]));
    let r = plan(&["p=1"], &["p|"], &["p=1"]);
    assert_eq!((changes(&r), left(&r)), (vec![], vec!["p!".to_owned()]));
    let r = plan(&["d/", "d/p=1"], &[], &["d/", "d/p|"]);
    assert_eq!((changes(&r), notes(&r)), (vec![], vec!["d/p".to_owned()]));
}

#[test]
fn a_truth_file_against_an_excluded_directory_is_left_on_both() {
    for base in [&["x=1"][..], &["x/", "x/a=1"], &[]] {
        let r = plan(base, &["x=1"], &["x/!", "x/a!"]);
        assert_eq!((changes(&r), left(&r)), (vec![], vec!["x!".to_owned()]));
        let r = plan(base, &["x/!", "x/a!"], &["x=1"]);
        assert_eq!((changes(&r), left(&r)), (vec![], vec!["x!".to_owned()]));
    }
}

#[test]
fn an_exclusion_added_later_deletes_nothing_and_the_base_forgets() {
    let base = ["m/", "m/a=1", "k=1", "x.tmp=1"];
    let r = plan(
        &base,
        &["k=1", "m/!", "m/a!", "x.tmp!"],
        &["k=1", "m/!", "x.tmp!"],
    );
    assert!(r.plan.is_empty());
    assert_eq!(r.agreed.len(), 3);
    assert!(r.agreed.iter().all(|(_, e)| e.is_none()));
}

#[test]
fn an_exclusion_removed_later_is_a_first_meeting() {
    let r = plan(&["k=1"], &["k=1", "x=1@5"], &["k=1", "x=2@6", "y=1"]);
    assert_eq!(changes(&r), ["update! x > local", "create y > local"]);
}

#[test]
fn directories_above_the_included_ones_need_not_be_there() {
    let r = plan(&[], &["docs/^", "docs/pub/", "docs/pub/a=1"], &[]);
    assert_eq!(
        changes(&r),
        ["create docs/pub > peer", "create docs/pub/a > peer"]
    );
}

#[test]
fn a_file_or_link_where_the_included_ones_need_a_directory_stops_both_directions() {
    let (tree, gone) = (["a/^", "a/b/^", "a/b/c/", "a/b/c/f=1"], ["a^"]);
    let r = plan(&[], &tree, &gone);
    assert_eq!(
        (changes(&r), left(&r)),
        (vec![], vec!["a/b/c!".to_owned(), "a/b/c/f".into()])
    );
    // Not a delete either: the peer's docs may be a link to where they are now.
    let r = plan(&["a/b/c/", "a/b/c/f=1"], &tree, &gone);
    assert_eq!(changes(&r), NONE);
    assert_eq!(left(&r), ["a/b/c!"]);
}
