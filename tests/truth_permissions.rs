//! Modes, times and what may not be read (catalogue PM, and DL-06), against a server whose sessions are not root's.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;

use lab::{Lab, Side, mtime_ns, need};
use serde_json::Value;

const T0: i128 = 1_700_000_000_000_000_000;
const SECOND: i128 = 1_000_000_000;

fn ready() -> bool {
    need(&["ssh", "sshd", "ssh-keygen", "unison"])
        && (!rustix::process::geteuid().is_root() || need(&["setpriv"]))
}

fn with_still_files(lab: Lab) -> Lab {
    lab.policy("");
    for n in 0..6 {
        lab.write_at(Side::Laptop, format!("still/{n}"), format!("still {n}"), T0);
    }
    lab
}

fn pair() -> Lab {
    with_still_files(Lab::new())
}

/// A server on which an unreadable file really is unreadable, in sync with the laptop.
fn strict_pair(files: &[&str]) -> Lab {
    let lab = with_still_files(Lab::builder().unprivileged_server().build());
    for path in files {
        lab.write_at(Side::Laptop, path, *path, T0);
    }
    apply(&lab, 0);
    lab
}

fn apply(lab: &Lab, code: i32) -> Value {
    lab.run(&["truth", "--apply", "--json"]).expect(code).json()
}

fn paths(document: &Value, list: &str) -> Vec<String> {
    let list = document["lanes"][0][list].as_array();
    let path = |c: &Value| c["path"].as_str().unwrap().to_owned();
    list.into_iter().flatten().map(path).collect()
}

fn kinds(document: &Value) -> Vec<(String, String, String)> {
    let list = document["lanes"][0]["changes"].as_array().unwrap();
    let word = |c: &Value, key: &str| c[key].as_str().unwrap().to_owned();
    list.iter()
        .map(|c| (word(c, "path"), word(c, "kind"), word(c, "to")))
        .collect()
}

#[test]
fn pm_01_05_modes_travel_both_ways_and_setuid_does_not() {
    if !ready() {
        return;
    }
    let lab = pair();
    let files = [
        ("run.sh", 0o755),
        ("secret", 0o600),
        ("fixed", 0o444),
        ("group", 0o664),
        ("odd", 0o711),
    ];
    for (n, (path, mode)) in files.iter().enumerate() {
        lab.write_at(Side::BOTH[n % 2], path, *path, T0);
        lab.chmod(Side::BOTH[n % 2], path, *mode);
    }
    lab.write_at(Side::Laptop, "private/a", "a", T0);
    lab.chmod(Side::Laptop, "private", 0o700);
    lab.write_at(Side::Laptop, "setuid", "s", T0);
    lab.chmod(Side::Laptop, "setuid", 0o6755);
    apply(&lab, 0);
    for (path, mode) in files {
        for side in Side::BOTH {
            assert_eq!(lab.mode(side, path), mode, "{path} on {}", side.host());
        }
    }
    assert_eq!(lab.mode(Side::Server, "private"), 0o700);
    assert_eq!(
        lab.mode(Side::Server, "setuid"),
        0o755,
        "setuid is not carried"
    );
    let idle = apply(&lab, 0);
    assert_eq!(idle["outcome"], "in-sync", "{idle:#}");

    lab.chmod(Side::Laptop, "run.sh", 0o700);
    lab.chmod(Side::Server, "group", 0o640);
    lab.chmod(Side::Server, "private", 0o750);
    let changed = apply(&lab, 0);
    let meta = |path: &str, to: &str| (path.to_owned(), "meta".to_owned(), to.to_owned());
    assert_eq!(
        kinds(&changed),
        [
            meta("group", "local"),
            meta("private", "local"),
            meta("run.sh", "peer")
        ]
    );
    assert_eq!(lab.mode(Side::Server, "run.sh"), 0o700);
    assert_eq!(lab.mode(Side::Laptop, "group"), 0o640);
    assert_eq!(lab.mode(Side::Laptop, "private"), 0o750);

    // Read-only files are updated and deleted like others.
    lab.chmod(Side::Laptop, "fixed", 0o644);
    lab.write_at(Side::Laptop, "fixed", "fixed, edited", T0 + SECOND);
    lab.chmod(Side::Laptop, "fixed", 0o444);
    apply(&lab, 0);
    assert_eq!(lab.read_text(Side::Server, "fixed"), "fixed, edited");
    assert_eq!(lab.mode(Side::Server, "fixed"), 0o444);
    lab.remove(Side::Server, "fixed");
    apply(&lab, 0);
    assert!(!lab.exists(Side::Laptop, "fixed"));
    lab.assert_equal_truth(&["setuid"]);
}

#[test]
fn pm_01_permissions_false_leaves_modes_alone() {
    if !ready() {
        return;
    }
    let lab = pair();
    lab.policy("[truth]\npermissions = false");
    lab.write_at(Side::Laptop, "a", "a", T0);
    apply(&lab, 0);
    lab.chmod(Side::Laptop, "a", 0o600);
    lab.chmod(Side::Server, "a", 0o640);
    assert_eq!(apply(&lab, 0)["outcome"], "in-sync");
    assert_eq!(
        (lab.mode(Side::Laptop, "a"), lab.mode(Side::Server, "a")),
        (0o600, 0o640)
    );
    lab.write_at(Side::Laptop, "a", "a, edited", T0 + SECOND);
    apply(&lab, 0);
    assert_eq!(lab.read_text(Side::Server, "a"), "a, edited");
    assert_eq!(lab.mode(Side::Server, "a"), 0o640);
}

#[test]
fn pm_02_times_arrive_whatever_they_are() {
    if !ready() {
        return;
    }
    let lab = pair();
    let times = [
        ("sub-second", T0 + 123_456_500),
        ("just-before", T0 - 500),
        ("before-1970", -86_400 * 3650 * SECOND),
        ("epoch", 0),
        ("year-2100", 4_102_444_800 * SECOND),
    ];
    for (n, (path, ns)) in times.iter().enumerate() {
        lab.write_at(Side::BOTH[n % 2], path, *path, *ns);
    }
    apply(&lab, 0);
    for (path, ns) in times {
        for side in Side::BOTH {
            let off = (mtime_ns(&lab.at(side, path)) - ns).abs();
            assert!(off < 1000, "{path} on {} is off by {off} ns", side.host());
        }
    }
    assert_eq!(apply(&lab, 0)["outcome"], "in-sync");
    // An honest edit of the file from 2100 still travels: nobody else changed it.
    lab.write_at(Side::Laptop, "year-2100", "edited today", T0);
    apply(&lab, 0);
    assert_eq!(lab.read_text(Side::Server, "year-2100"), "edited today");
}

#[test]
fn pm_03_04_a_touch_is_no_conflict_and_six_tenths_of_a_second_decide_one() {
    if !ready() {
        return;
    }
    let lab = pair();
    for path in ["touched", "both-touched", "edited-and-touched", "contested"] {
        lab.write_at(Side::Laptop, path, path, T0);
    }
    apply(&lab, 0);
    lab.set_mtime(Side::Server, "touched", T0 + 100 * SECOND);
    lab.set_mtime(Side::Laptop, "both-touched", T0 + 100 * SECOND);
    lab.set_mtime(Side::Server, "both-touched", T0 + 200 * SECOND);
    lab.write_at(Side::Laptop, "edited-and-touched", "the edit", T0 + SECOND);
    lab.set_mtime(Side::Server, "edited-and-touched", T0 + 300 * SECOND);
    lab.write_at(Side::Laptop, "contested", "earlier", T0 + 10 * SECOND);
    lab.write_at(
        Side::Server,
        "contested",
        "later!!",
        T0 + 10 * SECOND + 600_000_000,
    );
    let run = apply(&lab, 0);
    let changes = run["lanes"][0]["changes"].as_array().unwrap();
    for change in changes {
        let decided = change.get("conflict").is_some();
        assert_eq!(decided, change["path"] == "contested", "{change:#}");
    }
    for side in Side::BOTH {
        assert_eq!(lab.read_text(side, "touched"), "touched");
        assert_eq!(lab.read_text(side, "both-touched"), "both-touched");
        assert_eq!(lab.read_text(side, "edited-and-touched"), "the edit");
        assert_eq!(lab.read_text(side, "contested"), "later!!");
    }
    let kept = run["lanes"][0]["kept"].as_array().unwrap();
    let loser = kept.iter().find(|k| k["path"] == "contested").unwrap();
    assert_eq!(
        std::fs::read(loser["at"].as_str().unwrap()).unwrap(),
        b"earlier"
    );
    lab.assert_equal_truth(&[]);
}

#[test]
fn pm_06_an_unreadable_file_is_left_and_the_rest_goes_on() {
    if !ready() {
        return;
    }
    let lab = strict_pair(&["shut", "shut-and-edited-here", "open"]);
    lab.write_at(Side::Laptop, "open", "open, edited", T0 + SECOND);
    lab.write_at(
        Side::Laptop,
        "shut-and-edited-here",
        "edited here",
        T0 + SECOND,
    );
    lab.write_at(Side::Server, "new-and-shut", "cannot be read", T0);
    lab.write_at(Side::Server, "shut", "edited there", T0 + SECOND);
    lab.hand_over();
    for path in ["shut", "shut-and-edited-here", "new-and-shut"] {
        lab.chmod(Side::Server, path, 0o000);
    }
    let first = apply(&lab, 4);
    assert_eq!(first["outcome"], "partial");
    assert_eq!(
        paths(&first, "left"),
        ["new-and-shut", "shut", "shut-and-edited-here"]
    );
    assert_eq!(lab.read_text(Side::Server, "open"), "open, edited");
    assert_eq!(lab.read_text(Side::Laptop, "shut"), "shut");
    assert!(!lab.exists(Side::Laptop, "new-and-shut"));
    for path in ["shut", "shut-and-edited-here", "new-and-shut"] {
        lab.chmod(Side::Server, path, 0o644);
    }
    apply(&lab, 0);
    assert_eq!(lab.read_text(Side::Laptop, "shut"), "edited there");
    assert_eq!(
        lab.read_text(Side::Laptop, "new-and-shut"),
        "cannot be read"
    );
    lab.assert_equal_truth(&[]);
}

#[test]
fn pm_07_an_unreadable_directory_is_unknown_and_never_empty() {
    if !ready() {
        return;
    }
    for mode in [0o000, 0o300, 0o600] {
        let lab = strict_pair(&["dir/a", "dir/deep/b", "other/c"]);
        lab.write_at(Side::Laptop, "dir/new-here", "new", T0);
        lab.write_at(Side::Laptop, "other/c", "edited", T0 + SECOND);
        lab.chmod(Side::Server, "dir", mode);
        let first = apply(&lab, 4);
        assert_eq!(paths(&first, "left"), ["dir"], "mode {mode:o}: {first:#}");
        for path in ["dir/a", "dir/deep/b", "dir/new-here"] {
            assert!(lab.exists(Side::Laptop, path), "{path} with mode {mode:o}");
        }
        assert_eq!(lab.read_text(Side::Server, "other/c"), "edited");
        lab.chmod(Side::Server, "dir", 0o755);
        apply(&lab, 0);
        assert_eq!(lab.read_text(Side::Server, "dir/new-here"), "new");
        lab.assert_equal_truth(&[]);
    }
}

#[test]
fn pm_07_deleting_a_directory_here_that_cannot_be_read_there_waits() {
    if !ready() {
        return;
    }
    let lab = strict_pair(&["dir/a", "dir/deep/b"]);
    lab.write(Side::Server, "dir/deep/only-there", "precious");
    lab.hand_over();
    lab.chmod(Side::Server, "dir/deep", 0o000);
    lab.remove(Side::Laptop, "dir");
    apply(&lab, 4);
    assert_eq!(
        lab.read_text(Side::Server, "dir/deep/only-there"),
        "precious"
    );
    assert_eq!(lab.read_text(Side::Server, "dir/deep/b"), "dir/deep/b");
    lab.chmod(Side::Server, "dir/deep", 0o755);
    apply(&lab, 0);
    // What was new in it lives, and with it the directory.
    assert_eq!(
        lab.read_text(Side::Laptop, "dir/deep/only-there"),
        "precious"
    );
    assert!(!lab.exists(Side::Server, "dir/deep/b"));
    lab.assert_equal_truth(&[]);
}

#[test]
fn dl_06_a_target_that_may_not_be_written_fails_by_name_and_is_done_later() {
    if !ready() {
        return;
    }
    let lab = strict_pair(&["locked/a", "locked/b", "free/c"]);
    lab.remove(Side::Laptop, "locked/a");
    lab.write_at(Side::Laptop, "locked/b", "edited", T0 + SECOND);
    lab.write_at(Side::Laptop, "free/c", "edited", T0 + SECOND);
    lab.chmod(Side::Server, "locked", 0o555);
    // The mode of the directory is itself a change there; it is put back to what the base says first.
    lab.chmod(Side::Laptop, "locked", 0o555);
    let first = apply(&lab, 1);
    assert_eq!(lab.read_text(Side::Server, "locked/a"), "locked/a");
    assert_eq!(lab.read_text(Side::Server, "locked/b"), "locked/b");
    assert_eq!(lab.read_text(Side::Server, "free/c"), "edited");
    let failed: Vec<_> = first["lanes"][0]["changes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| c["result"] == "failed")
        .map(|c| c["path"].as_str().unwrap())
        .collect();
    assert_eq!(failed, ["locked/a", "locked/b"]);
    for side in Side::BOTH {
        lab.chmod(side, "locked", 0o755);
    }
    apply(&lab, 0);
    assert!(!lab.exists(Side::Server, "locked/a"));
    lab.assert_equal_truth(&[]);
}
