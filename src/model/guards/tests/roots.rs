//! Both roots: present, marked, the directories that they were, and not within each other.

use super::*;

#[test]
fn both_sides_are_looked_at() {
    let both = stopped_by(|f| {
        f.local.marker = false;
        f.remote.marker = false;
    });
    assert_eq!(both, ["marker", "marker"]);
}

#[test]
fn a_missing_root_is_not_also_one_without_a_marker() {
    let missing = stopped_by(|f| {
        f.local.real_root = None;
        f.local.marker = false;
        f.local.root_is_usable = false;
    });
    assert_eq!(missing, ["roots"]);
}

#[test]
fn another_directory_or_an_emptied_one_is_not_the_root_that_was() {
    assert_eq!(
        stopped_by(|f| f.local.root_identity = "1:3".into()),
        ["roots"]
    );
    assert_eq!(stopped_by(|f| f.remote.files = 0), ["roots"]);
    assert!(stopped_by(|f| (f.remote.files, f.remote.before) = (0, 0)).is_empty());
}

#[test]
fn roots_within_each_other_are_refused_on_one_machine_only() {
    for (a, b, bad) in [
        ("/a", "/a", true),
        ("/a", "/a/b", true),
        ("/a/b", "/a", true),
        ("/a", "/ab", false),
        ("/", "/a", true),
        ("/a", "/", true),
    ] {
        let bend = |same: bool| {
            stopped_by(move |f| {
                f.same_machine = same;
                f.local.real_root = Some(a.into());
                f.remote.real_root = Some(b.into());
            })
        };
        assert_eq!(bend(true) == ["roots"], bad, "{a} {b}");
        assert!(bend(false).is_empty(), "{a} {b}");
    }
}
