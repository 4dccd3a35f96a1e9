//! What a person reads about a path that is left or noted.

use super::*;

#[test]
fn what_is_left_or_noted_says_on_which_host_it_stands() {
    for (local, peer, why) in [
        (
            &["d/?"][..],
            &["d/"][..],
            "cannot be read on mac; nothing below",
        ),
        (&["f=1"], &["f?"], "the file cannot be read on balaur"),
        (&["f|"], &["f=1"], "it is a pipe, socket or device on mac"),
        (
            &["f=1"],
            &["f/!"],
            "never crosses stands at this place on balaur",
        ),
        (&["a^"], &["a/^", "a/b/"], "a is not a directory on mac"),
        (&["a/^", "a/b/"], &["a^"], "a is not a directory on balaur"),
    ] {
        let r = plan(&[], local, peer);
        assert!(r.plan.left[0].why.contains(why), "{}", r.plan.left[0].why);
    }
    let gone = plan(&["d/"], &[], &["d/", "d/x_state.json!"]);
    assert!(gone.plan.notes[0].text.contains("kept on balaur"));
    let pipe = plan(&[], &["p|"], &[]);
    assert!(pipe.plan.notes[0].text.contains("device on mac;"));
    for (inside, why) in [
        ("d/x_state.json!", "on balaur holds state or excluded files"),
        (
            "d/new=1",
            "inside the directory on balaur is new or changed",
        ),
    ] {
        let r = plan(&["d/"], &["d=new@5"], &["d/", inside]);
        assert!(r.plan.left[0].why.contains(why), "{}", r.plan.left[0].why);
    }
}

#[test]
fn why_a_path_is_left_does_not_depend_on_which_host_drives() {
    let (a, b) = (&["x?"][..], &["x/!", "x/a!"][..]);
    assert_eq!(left(&plan(&[], a, b)), left(&plan(&[], b, a)));
}
