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
