//! `full`: truth and logs in one run, and the five acceptance tests through it, over a real sshd and two homes.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use std::fs;

use lab::{Lab, Side, need};
use pair::{BALAUR, MAC, S, T, said};
use serde_json::Value;

fn lab_with_log() -> Option<Lab> {
    if !need(&["ssh", "sshd", "ssh-keygen", "unison", "rsync"]) {
        return None;
    }
    let lab = Lab::new();
    lab.policy(
        "\n[[peer.log]]\nremote = \"logs/proposals.jsonl\"\nlocal = \"logs/proposals.jsonl\"\n",
    );
    lab.write_at(MAC, "docs/anchor.md", "does not move", T);
    lab.write_at(BALAUR, "logs/proposals.jsonl", "{\"n\":1}\n{\"n\":2}\n", T);
    Some(lab)
}

#[track_caller]
fn full(lab: &Lab, code: i32) -> Value {
    said(lab.run(&["full", "--apply", "--json"]), code)
}

fn pulled(lab: &Lab) -> String {
    fs::read_to_string(lab.tree(MAC).join("logs/proposals.jsonl")).unwrap_or_default()
}

#[test]
fn the_five_acceptance_tests_pass_through_full() {
    let Some(lab) = lab_with_log() else { return };
    lab.write_at(MAC, "docs/plan.md", "base", T);
    lab.write_at(MAC, "docs/back.md", "base", T);
    full(&lab, 0);
    // 1: both sides edited, two seconds apart; the newer wins, also when it is the peer's.
    lab.write_at(MAC, "docs/plan.md", "older, of mac", T + 10 * S);
    lab.write_at(BALAUR, "docs/plan.md", "newer, of balaur", T + 12 * S);
    lab.write_at(BALAUR, "docs/back.md", "older, of balaur", T + 10 * S);
    lab.write_at(MAC, "docs/back.md", "newer, of mac", T + 12 * S);
    // 2: permissions.
    lab.write(MAC, "scripts/run.sh", "#!/bin/sh\n");
    lab.chmod(MAC, "scripts/run.sh", 0o755);
    // 3: state never crosses.
    lab.write(MAC, "COMMS_HUB/claude_strategic_state.json", "{}");
    // 4: the log only grows.
    let before = pulled(&lab);
    full(&lab, 0);
    for side in Side::BOTH {
        assert_eq!(lab.read_text(side, "docs/plan.md"), "newer, of balaur");
        assert_eq!(lab.read_text(side, "docs/back.md"), "newer, of mac");
        assert_eq!(lab.mode(side, "scripts/run.sh"), 0o755);
    }
    assert!(!lab.exists(BALAUR, "COMMS_HUB/claude_strategic_state.json"));
    assert_eq!(pulled(&lab), before, "nothing new came, so nothing changed");
    assert_eq!(before.lines().count(), 2);
    // 5: the second run has nothing to do and does nothing.
    let idle = Side::BOTH.map(|s| lab.snapshot(s));
    assert_eq!(full(&lab, 0)["outcome"], "in-sync");
    for (side, idle) in Side::BOTH.into_iter().zip(&idle) {
        idle.assert_unchanged(&lab.tree(side), "a second full run");
    }
}

#[test]
fn logs_stay_dry_when_only_they_are_to() {
    let Some(lab) = lab_with_log() else { return };
    let json = said(lab.run(&["full", "--apply", "--dry-run-logs", "--json"]), 0);
    let lanes = json["lanes"].as_array().unwrap();
    assert_eq!(
        (lanes[0]["lane"].as_str(), lanes[0]["outcome"].as_str()),
        (Some("truth"), Some("applied")),
        "{json:#}"
    );
    assert_eq!(
        (lanes[1]["lane"].as_str(), lanes[1]["outcome"].as_str()),
        (Some("log"), Some("pending")),
        "{json:#}"
    );
    assert_eq!(json["mode"], "apply");
    assert!(!lab.tree(MAC).join("logs/proposals.jsonl").exists());
    let dry = said(lab.run(&["full", "--json"]), 0);
    assert_eq!(dry["mode"], "dry-run");
    assert!(!lab.tree(MAC).join("logs/proposals.jsonl").exists());
}

#[test]
fn a_pulled_log_is_never_truth_and_never_goes_back() {
    let Some(lab) = lab_with_log() else { return };
    full(&lab, 0);
    let before = lab.read(BALAUR, "logs/proposals.jsonl");
    fs::write(lab.tree(MAC).join("logs/proposals.jsonl"), "an edit here\n").unwrap();
    full(&lab, 4);
    assert_eq!(lab.read(BALAUR, "logs/proposals.jsonl"), before);
    let names: Vec<_> = fs::read_dir(lab.tree(BALAUR).join("logs"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(
        names,
        ["proposals.jsonl"],
        "neither generations nor edits cross"
    );
}

#[test]
fn trouble_in_one_lane_does_not_stop_the_other() {
    let Some(lab) = lab_with_log() else { return };
    fs::remove_file(lab.tree(BALAUR).join("logs/proposals.jsonl")).unwrap();
    lab.write(MAC, "docs/a.md", "a");
    let json = full(&lab, 1);
    assert_eq!(json["lanes"][0]["outcome"], "applied", "{json:#}");
    assert_eq!(json["lanes"][1]["outcome"], "failed", "{json:#}");
    // A tie is left for a person; the log comes all the same.
    lab.write_at(BALAUR, "logs/proposals.jsonl", "{}\n", T);
    lab.write_at(MAC, "docs/tie.md", "one", T);
    lab.write_at(BALAUR, "docs/tie.md", "two", T);
    let json = full(&lab, 4);
    assert_eq!(json["lanes"][1]["outcome"], "applied", "{json:#}");
    assert_eq!(pulled(&lab), "{}\n");
}

#[test]
fn verify_says_whether_all_is_as_it_should_be_and_changes_nothing() {
    let Some(lab) = lab_with_log() else { return };
    assert_eq!(
        said(lab.run(&["verify", "--json"]), 1)["outcome"],
        "pending"
    );
    full(&lab, 0);
    let before = Side::BOTH.map(|s| lab.snapshot(s));
    let json = said(lab.run(&["verify", "--json"]), 0);
    assert_eq!(json["outcome"], "in-sync", "{json:#}");
    for (side, before) in Side::BOTH.into_iter().zip(&before) {
        before.assert_unchanged(&lab.tree(side), "verify");
    }
    // A byte that went bad without leaving a trace in size or time.
    lab.write_at(BALAUR, "docs/anchor.md", "does nut move", T);
    let json = said(lab.run(&["verify", "balaur", "truth", "--json"]), 1);
    assert_eq!(
        json["lanes"][0]["changes"][0]["path"], "docs/anchor.md",
        "{json:#}"
    );
    assert_eq!(json["lanes"].as_array().unwrap().len(), 1);
    let json = said(lab.run(&["verify", "logs/proposals.jsonl", "--json"]), 0);
    assert_eq!(json["lanes"].as_array().unwrap().len(), 1, "{json:#}");
    assert_eq!(json["lanes"][0]["lane"], "log");
    let out = lab.run(&["verify", "balur"]).expect(2);
    assert!(out.stderr.contains("did you mean balaur"), "{}", out.stderr);
}

#[test]
fn a_connection_that_was_left_is_used_by_both_lanes_and_one_that_has_died_is_made_anew() {
    let Some(lab) = lab_with_log() else { return };
    lab.policy(
        "keep_connection = \"60s\"\n[[peer.log]]\nremote = \"logs/proposals.jsonl\"\nlocal = \"logs/proposals.jsonl\"\n",
    );
    full(&lab, 0);
    let masters = || -> Vec<u32> {
        let all = lab.processes();
        let kept = all.iter().filter(|p| p.command.contains("[mux]"));
        kept.map(|p| p.pid).collect()
    };
    let first = masters();
    assert_eq!(first.len(), 1, "one connection is left");
    for lines in 3..6 {
        let text = (1..=lines).map(|n| format!("{{\"n\":{n}}}\n"));
        lab.write(BALAUR, "logs/proposals.jsonl", text.collect::<String>());
        if lines == 4 {
            // Its socket stays.
            masters()
                .iter()
                .for_each(|pid| lab::signal(*pid, rustix::process::Signal::KILL));
        }
        let json = full(&lab, 0);
        assert_eq!(json["lanes"][1]["outcome"], "applied", "{json:#}");
        assert_eq!(pulled(&lab).lines().count(), lines);
        let now = masters();
        assert_eq!((now.len(), now == first), (1, lines == 3), "{lines}");
    }
}
