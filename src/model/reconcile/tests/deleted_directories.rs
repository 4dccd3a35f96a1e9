//! A directory that one side deleted: what of it goes, what brings it back, and what it stays around.

use super::*;

/// `local` deleted the directory `d`; what the peer did inside it, and what comes of that.
#[track_caller]
fn dir_deleted(peer: &[&str], expected: &[&str], left_over: &[&str], noted: &[&str]) {
    let base = ["d/", "d/a=1", "d/e/", "d/e/b=1", "z=1"];
    let r = plan(&base, &["z=1"], &[peer, &["z=1"]].concat());
    assert_eq!(changes(&r), expected);
    assert_eq!(left(&r), left_over);
    assert_eq!(notes(&r), noted);
}

#[test]
fn a_deleted_directory_is_deleted_file_by_file_when_nothing_in_it_changed() {
    dir_deleted(
        &["d/", "d/a=1", "d/e/", "d/e/b=1"],
        &[
            "delete d > peer",
            "delete d/a > peer",
            "delete d/e > peer",
            "delete d/e/b > peer",
        ],
        &NONE,
        &NONE,
    );
}

#[test]
fn an_edit_in_a_deleted_directory_brings_it_back_with_its_ancestors_and_no_more() {
    dir_deleted(
        &["d/", "d/a=1", "d/e/", "d/e/b=2@9"],
        &[
            "create d > local",
            "delete d/a > peer",
            "create d/e > local",
            "create! d/e/b > local",
        ],
        &NONE,
        &NONE,
    );
}

#[test]
fn a_new_file_in_a_deleted_directory_brings_it_back() {
    dir_deleted(
        &["d/", "d/a=1", "d/e/", "d/e/b=1", "d/new=1"],
        &[
            "create d > local",
            "delete d/a > peer",
            "delete d/e > peer",
            "delete d/e/b > peer",
            "create d/new > local",
        ],
        &NONE,
        &NONE,
    );
}

#[test]
fn a_deleted_directory_stays_where_something_in_it_cannot_be_read() {
    dir_deleted(
        &["d/", "d/a=1", "d/e/", "d/e/b?"],
        &["delete d/a > peer"],
        &["d/e/b"],
        &NONE,
    );
    dir_deleted(
        &["d/", "d/a=1", "d/e/?"],
        &["delete d/a > peer"],
        &["d/e"],
        &NONE,
    );
}

#[test]
fn a_deleted_directory_stays_around_an_edit_that_a_person_must_decide() {
    let base = ["d/", "d/a=1", "d/b=1"];
    let r = plan_by(Strategy::Manual, &base, &[], &["d/", "d/a=1", "d/b=2@9"]);
    assert_eq!(changes(&r), ["delete d/a > peer"]);
    assert_eq!(left(&r), ["d/b!"]);
}

#[test]
fn a_deleted_directory_stays_around_state_and_excluded_files_and_says_so() {
    let gone = [
        "delete d/a > peer",
        "delete d/e > peer",
        "delete d/e/b > peer",
    ];
    dir_deleted(
        &["d/", "d/a=1", "d/e/", "d/e/b=1", "d/x_state.json!"],
        &gone,
        &NONE,
        &["d"],
    );
    dir_deleted(
        &["d/", "d/a=1", "d/e/", "d/e/b=1", "d/.cache/!"],
        &gone,
        &NONE,
        &["d"],
    );
    dir_deleted(
        &["d/", "d/a=1", "d/e/", "d/e/b=1", "d/e/x_state.json!"],
        &["delete d/a > peer", "delete d/e/b > peer"],
        &NONE,
        &["d", "d/e"],
    );
}

#[test]
fn a_directory_kept_for_its_state_is_not_pending_again_and_new_files_in_it_still_travel() {
    let r = plan(&["d/"], &[], &["d/", "d/x_state.json!"]);
    assert_eq!((changes(&r), left(&r)), (vec![], vec![]));
    assert_eq!(notes(&r), ["d"]);
    assert!(r.plan.is_empty() && r.agreed.is_empty());
    let r = plan(&["d/"], &[], &["d/", "d/x_state.json!", "d/new=1"]);
    assert_eq!(changes(&r), ["create d > local", "create d/new > local"]);
}

#[test]
fn a_state_file_inside_is_no_reason_to_bring_a_directory_back_or_to_touch_it() {
    let r = plan(
        &["d/", "d/a=1"],
        &["d/x_state.json!"],
        &["d/", "d/a=1", "d/x_state.json!"],
    );
    assert!(
        !r.plan
            .changes
            .iter()
            .any(|c| c.path.name().ends_with(b"_state.json"))
    );
}

#[test]
fn names_that_begin_alike_are_not_inside() {
    let base = ["d/", "d/a=1", "d-e/", "d-e/a=1"];
    let r = plan(
        &base,
        &["d-e/", "d-e/a=1"],
        &["d/", "d/a=1", "d-e/", "d-e/a=2@9", "d-e/x_state.json!"],
    );
    assert_eq!(
        changes(&r),
        [
            "delete d > peer",
            "update d-e/a > local",
            "delete d/a > peer"
        ]
    );
}

#[test]
fn a_parent_does_not_arrive_for_a_child_that_is_left() {
    // d/f was a file in a directory that local deleted; on the peer it is a directory now.
    let r = plan_by(
        Strategy::Manual,
        &["d/", "d/f=1", "d/g=1"],
        &[],
        &["d/", "d/f/", "d/f/a=1", "d/g=1"],
    );
    assert_eq!(changes(&r), ["delete d/g > peer"]);
    assert_eq!(left(&r), ["d/f!", "d/f/a"]);
}

#[test]
fn nothing_below_an_undecided_path_is_deleted() {
    // On the peer a pipe, or a file that cannot be read, stands where the directory was.
    for there in ["d|", "d?"] {
        let r = plan(
            &["d/", "d/a=1", "d/e/", "d/e/b=1"],
            &["d/", "d/a=1", "d/e/", "d/e/b=1"],
            &[there],
        );
        assert_eq!(changes(&r), NONE, "{there}");
        assert_eq!(r.plan.left.len(), 1, "{there}");
    }
}
