//! A publish is taken back: each target holds the commit that it had, in both layouts.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod fleet;
mod lab;

use std::fs;

use fleet::Fleet;
use lab::{Lab, Side, need};

fn ready() -> bool {
    need(&["git", "rsync", "ssh", "sshd"])
}

#[test]
fn each_target_gets_the_commit_back_that_it_had() {
    if !ready() {
        return;
    }
    let fleet = Fleet::new("");
    let first = fleet.commit();
    // One target is a commit behind the others, and one has nothing yet.
    fleet.publish(&["vm0", "vm1", "vm2"]).expect(0);
    fleet.write("README.md", "second");
    let second = fleet.commit();
    fleet.publish(&["vm1"]).expect(0);
    fleet.write("README.md", "third");
    fleet.write("only/third.md", "3");
    fleet.commit();
    let head = fleet.git(&["rev-parse", "HEAD"]);
    let run = fleet
        .publish(&["vm0", "vm1", "vm3", "--json"])
        .expect(0)
        .json()["run"]
        .as_str()
        .unwrap()
        .to_owned();
    fs::write(fleet.target(0).join("only/own.md"), "made there").unwrap();
    let dry = fleet
        .lab
        .run(&["rollback", &run, "--json"])
        .expect(4)
        .json();
    assert_eq!(Fleet::outcome(&dry, "vm0"), "pending", "{dry:#}");
    assert_eq!(
        fleet.rev(0),
        Some(head.clone()),
        "a dry run changed something"
    );
    let json = fleet
        .lab
        .run(&["rollback", &run, "--apply", "--json"])
        .expect(4)
        .json();
    let outcomes: Vec<String> = ["vm0", "vm1", "vm3"]
        .iter()
        .map(|t| Fleet::outcome(&json, t))
        .collect();
    assert_eq!(outcomes, ["applied", "applied", "partial"], "{json:#}");
    assert_eq!(fleet.rev(0), Some(first.clone()));
    assert_eq!(fleet.rev(1), Some(second));
    assert_eq!(
        fleet.rev(2),
        Some(first),
        "a target that the run left alone"
    );
    assert_eq!(
        fleet.rev(3),
        Some(head.clone()),
        "it had nothing to go back to"
    );
    assert_eq!(fleet.read(0, "README.md").as_deref(), Some("first"));
    assert_eq!(fleet.read(1, "README.md").as_deref(), Some("second"));
    assert!(!fleet.target(1).join("only").exists());
    assert_eq!(fleet.read(0, "only/own.md").as_deref(), Some("made there"));
    assert_eq!(
        fleet.git(&["rev-parse", "HEAD"]),
        head,
        "the checkout moved"
    );
    let again = fleet.lab.run(&["rollback", &run, "--apply"]).expect(3);
    assert!(again.stderr.contains("rolled back"), "{}", again.stderr);
}

#[test]
fn a_release_that_is_still_there_goes_live_again_without_a_transfer() {
    if !ready() {
        return;
    }
    let fleet = Fleet::new("layout = \"releases\"");
    let first = fleet.commit();
    fleet.publish(&["vm0", "vm1", "vm2"]).expect(0);
    let live = |i: usize| fs::read_link(fleet.target(i).join("current")).unwrap();
    let before = [live(0), live(1), live(2)];
    fleet.write("README.md", "second");
    let second = fleet.commit();
    fleet.publish(&["vm0", "vm1", "vm2"]).expect(0);
    let newer = live(0);
    // One target made something in the newer release, and in another somebody edits the older one.
    fs::write(fleet.target(1).join("current/own.md"), "made there").unwrap();
    fs::write(fleet.target(2).join(&before[2]).join("bin/run"), "edited").unwrap();
    let json = fleet
        .lab
        .run(&["rollback", "last", "--apply", "--json"])
        .expect(0)
        .json();
    for i in 0..3 {
        let at = |p: &str| fleet.read(i, &format!("current/{p}"));
        assert_eq!(at(".sync_rev").unwrap().trim(), first, "{json:#}");
        assert_eq!(at("README.md").as_deref(), Some("first"), "target {i}");
        assert_eq!(at("bin/run").as_deref(), Some("#!/bin/sh\n"), "target {i}");
    }
    assert_eq!(live(0), before[0], "the release was made anew");
    assert!(
        fleet.target(0).join(&newer).is_dir(),
        "the newer release is gone"
    );
    assert_eq!(
        fleet.read(1, "current/own.md").as_deref(),
        Some("made there")
    );
    let table = fleet
        .lab
        .run(&["verify", "vm0", "vm1", "vm2", "--json"])
        .expect(1)
        .json();
    assert_eq!(Fleet::outcome(&table, "vm0"), "behind", "{table:#}");
    fleet.publish(&["vm0", "vm1", "vm2"]).expect(0);
    assert_eq!(fleet.read(0, "current/.sync_rev").unwrap().trim(), second);
    assert_eq!(
        fleet.read(1, "current/own.md").as_deref(),
        Some("made there")
    );
}

#[test]
fn what_somebody_makes_in_a_release_while_another_one_goes_live_again_outlives_it() {
    if !ready() {
        return;
    }
    let lab = Lab::builder().injectable().build();
    let fleet = Fleet::of(lab, "layout = \"releases\"", "");
    fleet.commit();
    fleet.publish(&["vm0"]).expect(0);
    fleet.write("README.md", "second");
    fleet.commit();
    fleet.publish(&["vm0"]).expect(0);
    let live = fleet.target(0).join("current");
    let gate = fleet.lab.gate_call(Side::Server, "ln", "*link.d/current*");
    let run = fleet.lab.spawn(&["rollback", "last", "--apply"]);
    gate.wait();
    fs::write(live.join("new.tmp"), "edited there").unwrap();
    fs::rename(live.join("new.tmp"), live.join("README.md")).unwrap();
    fs::write(live.join("docs/own.md"), "made there").unwrap();
    gate.open();
    run.wait().expect(0);
    let kept = |path: &str| {
        let dirs = fs::read_dir(fleet.target(0).join(".ubos-sync.publish/trash")).unwrap();
        let of = dirs
            .flatten()
            .map(|d| fs::read_to_string(d.path().join(path)));
        of.flatten().collect::<Vec<_>>()
    };
    assert_eq!(kept("README.md"), ["edited there"]);
    assert_eq!(kept("docs/own.md"), ["made there"]);
}

#[test]
fn a_release_that_goes_live_again_names_its_commit_only_when_it_was_looked_at() {
    if !ready() {
        return;
    }
    let fleet = Fleet::injectable("layout = \"releases\"");
    let first = fleet.commit();
    fleet.publish(&["vm0"]).expect(0);
    let before = fs::read_link(fleet.target(0).join("current")).unwrap();
    fleet.write("README.md", "second");
    fleet.commit();
    fleet.publish(&["vm0"]).expect(0);
    let edited = fleet.target(0).join(before).join("bin/run");
    fs::remove_file(&edited).unwrap();
    fs::write(&edited, "edited").unwrap();
    // It dies between making that release live and publishing over what was edited.
    let gate = fleet.lab.gate_call(Side::Server, "rsync", "*--server*");
    let run = fleet.lab.spawn(&["rollback", "last", "--apply"]);
    gate.wait();
    assert_eq!(fleet.read(0, "current/bin/run").as_deref(), Some("edited"));
    let said = fleet.read(0, "current/.sync_rev").unwrap();
    assert!(said.starts_with("INCOMPLETE"), "{said}");
    run.kill();
    gate.open();
    run.wait();
    fleet
        .lab
        .run(&["rollback", "last", "--apply", "--wait", "20s"])
        .expect(0);
    assert_eq!(fleet.read(0, "current/.sync_rev").unwrap().trim(), first);
    let live = fleet.read(0, "current/bin/run");
    assert_eq!(live.as_deref(), Some("#!/bin/sh\n"));
}
