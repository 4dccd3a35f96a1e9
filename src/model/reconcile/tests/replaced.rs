//! A path that is a file on one side and a directory or link on the other: what gives way, and with what below it.

use super::*;

/// `local` replaced the directory `d` by a file.
fn dir_to_file(peer: &[&str]) -> Reconciled {
    plan(&["d/", "d/a=1", "d/e/", "d/e/b=1"], &["d=new@5"], peer)
}

#[test]
fn a_directory_gives_way_to_a_file_when_all_in_it_is_known() {
    let r = dir_to_file(&["d/", "d/a=1", "d/e/", "d/e/b=1"]);
    assert_eq!(
        changes(&r),
        [
            "replace d > peer",
            "delete d/a > peer",
            "delete d/e > peer",
            "delete d/e/b > peer"
        ]
    );
    assert_eq!(left(&r), NONE);
}

#[test]
fn a_directory_does_not_give_way_when_something_in_it_is_edited_new_kept_apart_or_unreadable() {
    for inside in [
        "d/a=2@9",
        "d/new=1",
        "d/x_state.json!",
        "d/.cache/!",
        "d/e/x_state.json!",
        "d/e/p|",
        "d/u?",
        "d/u/?",
    ] {
        let mut peer = vec!["d/", "d/a=1", "d/e/", "d/e/b=1"];
        peer.retain(|p| !inside.starts_with("d/a") || *p != "d/a=1");
        peer.push(inside);
        let r = dir_to_file(&peer);
        assert_eq!(changes(&r), NONE, "{inside}");
        assert!(
            left(&r).contains(&"d!".to_owned()),
            "{inside}: {:?}",
            left(&r)
        );
    }
}

#[test]
fn a_directory_gives_way_to_a_link() {
    let r = plan(&["d/", "d/a=1"], &["d>elsewhere"], &["d/", "d/a=1"]);
    assert_eq!(changes(&r), ["replace d > peer", "delete d/a > peer"]);
}

#[test]
fn a_file_gives_way_to_a_directory_with_all_that_is_in_it() {
    let r = plan(&["f=1"], &["f/", "f/a=1"], &["f=1"]);
    assert_eq!(changes(&r), ["replace f > peer", "create f/a > peer"]);
}

#[test]
fn a_file_here_and_a_directory_there_are_left_with_all_below() {
    for strategy in [Strategy::Newer, Strategy::Manual] {
        for base in [&[][..], &["f=1"]] {
            let r = plan_by(
                strategy,
                base,
                &["f=2@9"],
                &["f/", "f/a=1", "f/e/", "f/e/b=1"],
            );
            assert_eq!(changes(&r), NONE);
            assert_eq!(left(&r), ["f!", "f/a", "f/e", "f/e/b"]);
        }
    }
}

#[test]
fn what_changes_by_time_by_content_and_by_type_are_different_things() {
    let r = plan(
        &["a=1", "b=1", "c=1", "d>t"],
        &["a=1@9", "b=2@9", "c>t", "d>u"],
        &["a=1", "b=1", "c=1", "d>t"],
    );
    let wanted = ["meta a", "update b", "replace c", "update d"];
    assert_eq!(changes(&r), wanted.map(|w| format!("{w} > peer")));
}

#[test]
fn an_edit_beats_a_delete_even_when_the_edit_made_a_directory() {
    let r = plan(&["f=1"], &[], &["f/", "f/a=1"]);
    assert_eq!(changes(&r), ["create! f > local", "create f/a > local"]);
    let r = plan_by(Strategy::Manual, &["f=1"], &[], &["f/", "f/a=1"]);
    assert_eq!(
        (changes(&r).len(), left(&r)),
        (0, vec!["f!".into(), "f/a".into()])
    );
}

#[test]
fn a_type_change_against_a_delete_inside_is_carried_out() {
    // Both got rid of d/a; local went further and made d a file.
    let r = plan(&["d/", "d/a=1"], &["d=f@5"], &["d/"]);
    assert_eq!(changes(&r), ["replace d > peer"]);
    assert_eq!(r.agreed, [(path("d/a"), None)]);
}
