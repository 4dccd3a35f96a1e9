//! Files, directories and links that turn into one another (catalogue TY): nothing outside a replica is ever reached.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use lab::{Lab, Side};
use pair::{
    BALAUR, HOUR, MAC, T, apply, both, decided, done, idle, kept, left, neither, noted, outside,
    pair, seed, settled, sync,
};

#[track_caller]
fn links(lab: &Lab, path: &str, target: &Path) {
    for side in Side::BOTH {
        let found = std::fs::read_link(lab.at(side, path));
        assert_eq!(
            found.unwrap_or_else(|e| panic!("{path} on {}: {e}", side.host())),
            target
        );
    }
}

#[test]
fn ty_01_02_things_that_replace_one_another_are_as_on_the_side_that_changed() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["f2d", "full/a", "full/in/b", "f2l", "d2l/x", "b2d"]);
    lab.mkdir(MAC, "empty");
    lab.symlink(MAC, "l2f", "somewhere");
    lab.symlink(MAC, "l2d", "somewhere");
    sync(&lab);
    for gone in ["f2d", "full", "empty", "f2l", "d2l", "l2f", "l2d"] {
        lab.remove(MAC, gone);
    }
    lab.write_at(MAC, "f2d/inside", "a file became a directory", T + HOUR);
    lab.write_at(MAC, "full", "a full directory became a file", T + HOUR);
    lab.write_at(MAC, "empty", "an empty directory became a file", T + HOUR);
    lab.symlink(MAC, "f2l", "elsewhere");
    lab.symlink(MAC, "d2l", "elsewhere");
    lab.write_at(MAC, "l2f", "a link became a file", T + HOUR);
    lab.write_at(MAC, "l2d/x", "a link became a directory", T + HOUR);
    lab.remove(BALAUR, "b2d");
    lab.write_at(BALAUR, "b2d/y", "and on the other side", T + HOUR);
    let json = sync(&lab);
    for (path, to) in [
        ("f2d", "peer"),
        ("full", "peer"),
        ("empty", "peer"),
        ("f2l", "peer"),
        ("d2l", "peer"),
        ("l2f", "peer"),
        ("l2d", "peer"),
        ("b2d", "local"),
    ] {
        done(&json, path, "replace", to);
    }
    both(&lab, "f2d/inside", "a file became a directory");
    both(&lab, "full", "a full directory became a file");
    both(&lab, "empty", "an empty directory became a file");
    links(&lab, "f2l", Path::new("elsewhere"));
    links(&lab, "d2l", Path::new("elsewhere"));
    both(&lab, "l2f", "a link became a file");
    both(&lab, "l2d/x", "a link became a directory");
    both(&lab, "b2d/y", "and on the other side");
    assert_eq!(kept(&json, "f2d", "peer"), b"base of f2d\n");
    assert_eq!(kept(&json, "full/in/b", "peer"), b"base of full/in/b\n");
    settled(&lab);
}

#[test]
fn ty_03_links_of_every_kind_keep_their_text() {
    let Some(lab) = pair() else { return };
    let (outside, before) = outside(&lab);
    let absolute = outside.as_os_str().as_bytes();
    seed(&lab, &["d/f"]);
    let kinds: [(&str, &[u8]); 6] = [
        ("relative", b"d/f"),
        ("up", b"../d/f"),
        ("to-dir", b"d"),
        ("dangling", b"not/there -> at all"),
        ("absolute", absolute),
        ("raw", b"\xff bytes"),
    ];
    for (name, target) in kinds {
        lab.symlink(MAC, format!("links/{name}"), target);
    }
    sync(&lab);
    let text = |target: &[u8]| Path::new(std::ffi::OsStr::from_bytes(target)).to_owned();
    for (name, target) in kinds {
        links(&lab, &format!("links/{name}"), &text(target));
    }
    settled(&lab);

    lab.remove(BALAUR, "links/to-dir");
    lab.symlink(BALAUR, "links/to-dir", "../d");
    lab.remove(MAC, "links/dangling");
    let json = sync(&lab);
    done(&json, "links/to-dir", "update", "local");
    done(&json, "links/dangling", "delete", "peer");
    links(&lab, "links/to-dir", Path::new("../d"));
    neither(&lab, "links/dangling");
    before.assert_unchanged(&outside, "a run over links to it");
    settled(&lab);
}

#[test]
fn ty_04_a_directory_swapped_for_a_link_to_the_outside_is_never_entered() {
    let Some(lab) = pair() else { return };
    let (outside, before) = outside(&lab);
    seed(&lab, &["d/precious.txt", "d/other", "calm/precious.txt"]);
    sync(&lab);
    for dir in ["d", "calm"] {
        lab.remove(BALAUR, dir);
        lab.symlink(BALAUR, dir, outside.as_os_str().as_bytes());
    }
    lab.write_at(MAC, "d/precious.txt", "edited under it", T + HOUR);
    lab.write_at(MAC, "d/born", "born under it", T + HOUR);
    let json = apply(&lab, 4);
    left(&json, "d");
    assert_eq!(lab.read_text(MAC, "d/precious.txt"), "edited under it");
    assert_eq!(lab.read_text(MAC, "d/other"), "base of d/other\n");
    // Where nothing was edited, the link is simply what the directory has become.
    done(&json, "calm", "replace", "local");
    links(&lab, "calm", &outside);
    before.assert_unchanged(&outside, "a run with a link to it");
    idle(&lab, "partial", 4);
    before.assert_unchanged(&outside, "a second run with a link to it");
}

#[test]
fn ty_05_deleting_a_link_leaves_what_it_points_to() {
    let Some(lab) = pair() else { return };
    let (outside, before) = outside(&lab);
    lab.symlink(MAC, "out", outside.as_os_str().as_bytes());
    sync(&lab);
    lab.remove(BALAUR, "out");
    done(&sync(&lab), "out", "delete", "local");
    neither(&lab, "out");
    before.assert_unchanged(&outside, "the delete of a link to it");
    settled(&lab);
}

#[test]
fn ty_06_pipes_and_sockets_are_named_and_hold_nothing_up() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["d/f"]);
    sync(&lab);
    let pipe = |side: Side, path: &str| {
        let mut mkfifo = lab.tool(side, "mkfifo");
        mkfifo.arg(lab.at(side, path));
        assert!(mkfifo.status().unwrap().success());
    };
    pipe(MAC, "d/pipe");
    pipe(BALAUR, "was-free");
    let _listener = std::os::unix::net::UnixListener::bind(lab.at(MAC, "sock")).unwrap();
    lab.write_at(BALAUR, "d/g", "arrives all the same", T);
    let json = sync(&lab);
    for (path, host) in [("d/pipe", "mac"), ("sock", "mac"), ("was-free", "balaur")] {
        assert!(noted(&json, path).contains(host), "{json:#}");
    }
    both(&lab, "d/g", "arrives all the same");
    for path in ["d/pipe", "sock"] {
        assert!(!lab.exists(BALAUR, path));
    }
    idle(&lab, "in-sync", 0);

    // A file against a pipe is nobody's to decide.
    lab.write_at(MAC, "was-free", "a file", T);
    let json = apply(&lab, 4);
    assert!(left(&json, "was-free").contains("balaur"));
    assert_eq!(lab.read_text(MAC, "was-free"), "a file");
}

#[test]
fn ty_07_hard_links_arrive_as_files_with_the_right_content() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["one"]);
    std::fs::hard_link(lab.at(MAC, "one"), lab.at(MAC, "two")).unwrap();
    sync(&lab);
    both(&lab, "two", "base of one\n");
    settled(&lab);
    // Written through one name, both names change.
    lab.write_at(MAC, "one", "through one", T + HOUR);
    sync(&lab);
    both(&lab, "one", "through one");
    both(&lab, "two", "through one");
    // What arrives at one of two linked names must not write through to the other unasked.
    lab.write_at(BALAUR, "two", "only two", T + 2 * HOUR);
    sync(&lab);
    both(&lab, "one", "through one");
    both(&lab, "two", "only two");
    let inode = |path: &str| lab.at(MAC, path).metadata().unwrap().ino();
    assert_ne!(inode("one"), inode("two"));
    settled(&lab);
}

#[test]
fn cf_07_a_link_against_an_edit_is_decided_by_time_and_kept() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["f"]);
    sync(&lab);
    lab.remove(MAC, "f");
    lab.symlink(MAC, "f", "elsewhere");
    lab.set_mtime(MAC, "f", T + HOUR);
    lab.write_at(BALAUR, "f", "edited later", T + 2 * HOUR);
    let json = sync(&lab);
    decided(&json, "f", "newer", "local");
    both(&lab, "f", "edited later");
    let at = pair::kept_at(&json, "f", "local");
    assert_eq!(std::fs::read_link(at).unwrap().to_str(), Some("elsewhere"));
    settled(&lab);
}
