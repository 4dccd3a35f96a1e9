//! What the next base learns without a change, and what holds where there is none.

use super::*;

#[test]
fn what_both_deleted_and_what_both_made_alike_is_agreed_without_a_change() {
    let r = plan(
        &["a=1", "d/", "d/b=1"],
        &["n=1", "e/", "e/f=1"],
        &["n=1", "e/", "e/f=1"],
    );
    assert!(r.plan.is_empty());
    let shown: Vec<_> = r
        .agreed
        .iter()
        .map(|(p, e)| (p.to_string(), e.is_some()))
        .collect();
    let want = [
        ("a", false),
        ("d", false),
        ("d/b", false),
        ("e", true),
        ("e/f", true),
        ("n", true),
    ];
    assert_eq!(shown, want.map(|(p, e)| (p.to_owned(), e)));
}

#[test]
fn without_a_base_nothing_is_ever_deleted() {
    let r = plan(&[], &["a=1", "d/", "d/x=1@5"], &["b=1", "d/", "d/x=2@6"]);
    assert_eq!(
        changes(&r),
        ["create a > peer", "create b > local", "update! d/x > local"]
    );
}
