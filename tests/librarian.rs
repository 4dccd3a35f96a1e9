//! The acceptance tests of the two-way lane (conflict, permissions, exclusion, idempotency) over a real sshd and two homes.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;

use lab::{Lab, Side, Snapshot, need};

fn ready() -> bool {
    need(&["ssh", "sshd", "ssh-keygen", "unison"])
}

#[test]
fn first_sync_unites_both_trees_and_the_second_run_is_idle() {
    if !ready() {
        return;
    }
    let lab = Lab::new();
    lab.policy("");
    lab.write(Side::Laptop, "docs/a.md", "from the laptop");
    lab.write(Side::Laptop, "docs/deep/er/b.md", "deep");
    lab.write(Side::Server, "missions/m 1.md", "from the server");
    let before = (lab.snapshot(Side::Laptop), lab.snapshot(Side::Server));
    lab.run(&["truth"]).expect(0);
    before
        .0
        .assert_unchanged(&lab.tree(Side::Laptop), "a dry run");
    before
        .1
        .assert_unchanged(&lab.tree(Side::Server), "a dry run");
    let out = lab.run(&["truth", "--apply"]);
    out.expect(0);
    lab.assert_equal_truth(&[]);
    assert_eq!(lab.read_text(Side::Server, "docs/deep/er/b.md"), "deep");
    let idle = lab.run(&["truth", "--apply", "--json"]).expect(0);
    assert_eq!(idle.json()["outcome"], "in-sync");
    let _ = Snapshot::of(&lab.tree(Side::Laptop));
}

#[test]
fn the_command_proves_the_real_pair_and_leaves_nothing_behind() {
    if !need(&["ssh", "sshd", "ssh-keygen", "unison", "rsync"]) {
        return;
    }
    let lab = Lab::new();
    lab.policy("");
    lab.write(Side::Laptop, "docs/a.md", "untouched");
    // A pair that never passed is told so, once.
    for is_first in [true, false] {
        let out = lab.run(&["truth", "--apply"]).expect(0);
        assert_eq!(
            out.stderr.contains("ubos-sync librarian balaur"),
            is_first,
            "{out}"
        );
    }
    let before = Side::BOTH.map(|s| lab.snapshot(s));
    let told = lab.run(&["librarian"]).expect(0);
    assert!(told.stdout.contains("idempotency"), "{told}");
    let json = lab
        .run(&["librarian", "--apply", "--json"])
        .expect(0)
        .json();
    let tests = json["tests"].as_array().unwrap();
    let names: Vec<&str> = tests.iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "conflict",
            "permissions",
            "exclusion",
            "append",
            "idempotency"
        ]
    );
    assert!(
        tests
            .iter()
            .all(|t| t["result"] == "pass" && t["evidence"] != ""),
        "{json:#}"
    );
    for (side, before) in Side::BOTH.into_iter().zip(&before) {
        let difference = lab::truth_difference(before, &lab.snapshot(side), &[]);
        assert!(difference.is_empty(), "{difference}");
    }
    let left: Vec<_> = Side::BOTH
        .into_iter()
        .filter_map(|s| std::fs::read_dir(lab.state_dir(s)).ok())
        .flatten()
        .map(|e| e.unwrap().file_name())
        .filter(|n| n.to_string_lossy().contains("librarian"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let screen = lab.run(&["librarian", "balaur", "--apply"]).expect(0);
    assert!(screen.stdout.contains("all five passed"), "{screen}");
    let status = lab.run(&["status", "--offline"]).expect(0);
    assert!(
        status
            .stdout
            .contains("Acceptance tests with balaur: passed"),
        "{status}"
    );
    assert!(
        status.stdout.contains("Without a failure: 2 runs"),
        "{status}"
    );
}

/// Scratch folders of the acceptance tests, wherever they may lie.
fn scratch(lab: &Lab) -> Vec<std::path::PathBuf> {
    let dirs = Side::BOTH.map(|s| [lab.tree(s), lab.state_dir(s)]);
    let entries = dirs
        .iter()
        .flatten()
        .filter_map(|d| std::fs::read_dir(d).ok());
    let all = entries.flatten().map(|e| e.unwrap().path());
    all.filter(|p| p.to_string_lossy().contains(".ubos-sync.librarian-"))
        .collect()
}

#[test]
fn a_failed_test_is_a_failure_and_leaves_nothing_behind() {
    if !need(&["ssh", "sshd", "ssh-keygen", "unison", "rsync"]) {
        return;
    }
    // With clocks an hour apart nobody may decide by time, so the newer version does not win.
    let lab = Lab::builder().skew(3600).build();
    lab.policy("");
    lab.write(Side::Laptop, "docs/a.md", "untouched");
    let json = lab
        .run(&["librarian", "--apply", "--json"])
        .expect(1)
        .json();
    let tests = json["tests"].as_array().unwrap();
    assert!(
        tests
            .iter()
            .any(|t| t["name"] == "conflict" && t["result"] == "fail"),
        "{json:#}"
    );
    assert_eq!(scratch(&lab), Vec::<std::path::PathBuf>::new());
    let status = lab.run(&["status", "--offline", "--json"]).expect(0).json();
    assert_eq!(status["peers"][0]["librarian"], serde_json::Value::Null);
}

#[test]
fn an_interrupt_leaves_nothing_behind() {
    if !need(&["ssh", "sshd", "ssh-keygen", "unison", "rsync"]) {
        return;
    }
    let lab = Lab::new();
    lab.policy("");
    lab.write(Side::Laptop, "docs/a.md", "untouched");
    let running = lab.spawn(&["librarian", "--apply"]);
    lab::wait_until("both scratch folders are there", || {
        Side::BOTH
            .iter()
            .all(|s| scratch(&lab).iter().any(|p| p.starts_with(lab.tree(*s))))
    });
    running.signal(rustix::process::Signal::TERM);
    let out = running.wait();
    assert_ne!(out.code, 0, "{out}");
    assert_eq!(scratch(&lab), Vec::<std::path::PathBuf>::new());
}
