//! `status --watch` in a real pseudo-terminal: what it shows, its keys, and that the terminal is given back on every way out.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;

use std::os::unix::fs::PermissionsExt as _;

use lab::{At, Lab, Pty, Side, need, wait_until};
use rustix::process::Signal;

/// A host with one applied run, and its live screen.
fn live(lab: &Lab) -> Pty {
    let mut command = lab.command(Side::Laptop);
    command
        .args(["status", "--watch"])
        .env("TERM", "xterm-256color");
    Pty::start(command)
}

fn lab() -> Option<Lab> {
    if !need(&["unison"]) {
        return None;
    }
    let lab = Lab::builder().without_sshd().build();
    lab.local_policy("");
    lab.write(Side::Laptop, "docs/a.md", "a");
    lab.run(&["full", "--apply"]).expect(0);
    Some(lab)
}

#[test]
fn it_shows_lanes_and_runs_takes_keys_and_gives_the_terminal_back() {
    let Some(lab) = lab() else { return };
    let mut pty = live(&lab);
    let first = pty.sees("Everything is fine.");
    assert!(first.starts_with("ubos-sync on mac"), "{first}");
    assert!(first.contains("balaur  truth  in sync  ok"), "{first}");
    lab.write(Side::Laptop, "docs/b.md", "b");
    pty.press("d");
    pty.sees("pending, 1 change; o opens it");
    assert!(
        !lab.exists(Side::Server, "docs/b.md"),
        "a dry run changed something"
    );
    pty.press("o");
    pty.sees("docs/b.md");
    pty.press("\x1b");
    pty.sees("Peers and targets");
    pty.press("?");
    pty.sees("ends that dry run");
    pty.press("\x1b");
    // Runs of others come by themselves.
    lab.run(&["full", "--apply"]).expect(0);
    pty.sees("Last 3 runs");
    pty.resize(200, 50);
    wait_until("the wide screen is used", || {
        let text = pty.text();
        text.lines()
            .any(|l| l.contains("Peers and targets") && l.contains("Last 3 runs"))
    });
    pty.press("q");
    assert_eq!(pty.ended(), 0);
}

#[test]
fn a_run_under_way_is_seen_until_it_is_over() {
    if !need(&["unison"]) {
        return;
    }
    let lab = Lab::builder().without_sshd().injectable().build();
    lab.local_policy("");
    lab.write(Side::Laptop, "docs/a.md", "a");
    let gate = lab.gate(Side::Laptop, At::Start);
    let run = lab.spawn(&["full", "--apply"]);
    gate.wait();
    let mut pty = live(&lab);
    pty.sees("full is running (process");
    pty.sees("asking the engine");
    // The dry run meets the other's lock; the screen goes on.
    pty.press("d");
    pty.sees("locked");
    gate.open();
    run.wait().expect(0);
    wait_until("nothing is running any more", || {
        !pty.text().contains("is running")
    });
    pty.sees("in sync");
    pty.press("q");
    assert_eq!(pty.ended(), 0);
}

#[test]
fn a_signal_or_control_c_gives_the_terminal_back_too() {
    let Some(lab) = lab() else { return };
    let mut pty = live(&lab);
    pty.sees("Everything is fine.");
    pty.press("\x03");
    assert_eq!(pty.ended(), 0);
    for (sent, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 143)] {
        let pty = live(&lab);
        pty.sees("Everything is fine.");
        pty.signal(sent);
        assert_eq!(pty.ended(), code);
    }
}

#[test]
fn a_service_manager_that_hangs_is_told_and_holds_up_nobody() {
    if !cfg!(target_os = "linux") || !need(&["unison"]) {
        return;
    }
    let lab = Lab::builder().without_sshd().injectable().build();
    lab.local_policy("");
    let manager = |script: &str| {
        let file = lab.root().join("laptop-bin/systemctl");
        let staged = file.with_extension("staged");
        std::fs::write(&staged, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&staged, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(staged, file).unwrap();
    };
    manager("exit 0");
    lab.run(&["service", "install", "--apply"]).expect(0);
    manager("exec sleep 600");
    let told = lab.run(&["status", "--offline", "--json"]).expect(0).json();
    let why = told["service"][0]["manager_error"].as_str().unwrap();
    assert_eq!(why, "systemctl: no answer within 3 s");
    let mut pty = live(&lab);
    pty.sees("ubos-sync.timer");
    pty.press("q");
    assert_eq!(pty.ended(), 0);
}

#[test]
fn without_a_terminal_it_says_what_to_type_instead() {
    let lab = Lab::builder().without_sshd().build();
    lab.local_policy("");
    let out = lab.run(&["status", "--watch"]).expect(2);
    assert!(out.stderr.contains("ubos-sync status --json"), "{out}");
    let json = lab.run(&["status", "--watch", "--json"]).expect(2).json();
    assert!(
        json["error"].as_str().unwrap().contains("for eyes"),
        "{json}"
    );
}
