//! What was renamed counts as no delete.

use super::*;

#[test]
fn a_renamed_file_is_a_delete_that_counts_for_nothing() {
    let r = plan(&["a=x", "b=y"], &["c=x", "b=y"], &["a=x", "b=y"]);
    assert_eq!(changes(&r), ["delete~ a > peer", "create c > peer"]);
    // One copy arrives, two were deleted: one of them is gone for good.
    let r = plan(&["a=x", "b=x"], &["c=x"], &["a=x", "b=x"]);
    assert_eq!(
        changes(&r),
        ["delete~ a > peer", "delete b > peer", "create c > peer"]
    );
    // What the other side creates is no rename of this side's.
    let r = plan(&["a=x"], &[], &["a=x", "c=x"]);
    assert_eq!(changes(&r), ["delete a > peer", "create c > local"]);
}

#[test]
fn a_renamed_directory_moves_all_its_files_and_leaves_the_state_behind() {
    let old = ["d/", "d/a=x", "d/b=y"];
    let r = plan(
        &old,
        &["e/", "e/a=x", "e/b=y"],
        &["d/", "d/a=x", "d/b=y", "d/x_state.json!"],
    );
    assert_eq!(
        changes(&r),
        [
            "delete~ d/a > peer",
            "delete~ d/b > peer",
            "create e > peer",
            "create e/a > peer",
            "create e/b > peer"
        ]
    );
    assert_eq!(notes(&r), ["d"]);
}

#[test]
fn a_rename_against_an_edit_keeps_both_names() {
    let r = plan(&["a=x"], &["c=x"], &["a=edit@9"]);
    assert_eq!(changes(&r), ["create! a > local", "create c > peer"]);
}

#[test]
fn the_same_rename_on_both_sides_is_agreed() {
    let r = plan(&["a=x"], &["c=x"], &["c=x"]);
    assert!(r.plan.is_empty());
    assert_eq!(r.agreed.len(), 2);
}
