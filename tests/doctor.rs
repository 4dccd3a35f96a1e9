//! `doctor`: each planted fault is found and its fix named; nothing is changed.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use lab::{Lab, Side};
use pair::{BALAUR, MAC, pair, pair_with, seed, sync};
use serde_json::Value;

#[track_caller]
fn doctor(lab: &Lab, code: i32) -> Vec<Value> {
    let json = lab.run(&["doctor", "--json"]).expect(code).json();
    json["checks"].as_array().unwrap().clone()
}

/// The bad row that speaks of this; its fix.
#[track_caller]
fn fix(rows: &[Value], about: &str) -> String {
    let bad = rows.iter().filter(|r| r["result"] != "ok");
    let found: Vec<&Value> = bad
        .filter(|r| r["found"].as_str().unwrap().contains(about))
        .collect();
    assert_eq!(found.len(), 1, "{about}: {rows:#?}");
    let fix = found[0]["fix"].as_str().unwrap();
    assert!(!fix.is_empty(), "{rows:#?}");
    fix.to_owned()
}

#[test]
fn a_healthy_pair_is_well_and_looking_leaves_no_trace() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["docs/a.md"]);
    let before = Side::BOTH.map(|s| lab.snapshot(s));
    let rows = doctor(&lab, 0);
    assert!(rows.iter().all(|r| r["result"] != "bad"), "{rows:#?}");
    for what in [
        "policy",
        "program",
        "connection",
        "unison",
        "clocks",
        "roots",
        "space",
        "memory",
    ] {
        assert!(rows.iter().any(|r| r["check"] == what), "{what}: {rows:#?}");
    }
    assert!(
        !lab.state_dir(BALAUR).exists(),
        "the peer's state directory was made"
    );
    sync(&lab);
    let after = Side::BOTH.map(|s| lab.snapshot(s));
    assert_ne!(before[1].paths(), after[1].paths());
    doctor(&lab, 0);
    let text = lab.run(&["doctor"]).expect(0);
    assert!(text.stdout.contains("ok"), "{text}");
}

#[test]
fn planted_faults_are_found_with_their_fixes() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["docs/a.md"]);
    sync(&lab);
    fs::remove_file(lab.tree(BALAUR).join(".ubos-root")).unwrap();
    fs::set_permissions(lab.state_dir(MAC), fs::Permissions::from_mode(0o755)).unwrap();
    lab.run(&["hold", "balaur", "--why", "a reason"]).expect(0);
    fs::set_permissions(lab.state_dir(MAC), fs::Permissions::from_mode(0o755)).unwrap();
    let rows = doctor(&lab, 1);
    assert!(fix(&rows, "marker").contains("touch"));
    assert!(fix(&rows, "may be entered by others").starts_with("chmod 700"));
    assert!(fix(&rows, "a reason").contains("ubos-sync release balaur"));
    let screen = lab.run(&["doctor"]).expect(1);
    assert!(
        screen.stdout.starts_with("BAD"),
        "the worst comes first: {screen}"
    );
}

#[test]
fn a_peer_that_is_away_a_skewed_clock_and_a_talking_shell_are_found() {
    let Some(mut lab) = pair() else { return };
    lab.sshd().stop();
    let rows = doctor(&lab, 1);
    let bad: Vec<&Value> = rows.iter().filter(|r| r["check"] == "connection").collect();
    assert_eq!(bad[0]["result"], "bad", "{rows:#?}");
    assert!(!bad[0]["fix"].as_str().unwrap().is_empty());
    let Some(lab) = pair_with(Lab::builder().skew(3600), "") else {
        return;
    };
    let rows = doctor(&lab, 1);
    assert!(!fix(&rows, "clock").is_empty());
    let Some(lab) = pair_with(Lab::builder().noisy("welcome to balaur"), "") else {
        return;
    };
    let rows = doctor(&lab, 1);
    assert!(fix(&rows, "quiet login shell").contains("start-up files"));
    let Some(lab) = pair_with(Lab::builder().hide(BALAUR, &["unison"]), "") else {
        return;
    };
    let rows = doctor(&lab, 1);
    assert!(fix(&rows, "unison").contains("install"));
}
