//! The worker and its peers: one connection that is kept and made again, and ears on the other side.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use lab::{Lab, LabBuilder, Running, Side, need, wait_until};
use pair::{BALAUR, MAC, S, T, pair_with, seed};
use rustix::process::Signal;
use serde_json::Value;

const RARELY: &str =
    "[schedule]\ninterval = \"1h\"\njitter = 0\nmin_interval = 0\ndebounce = \"100ms\"\n";
const TOOLS: [&str; 2] = ["inotifywait", "fswatch"];

fn lab(builder: LabBuilder, extra: &str) -> Option<Lab> {
    let lab = pair_with(builder, extra)?;
    seed(&lab, &["docs/a.md"]);
    Some(lab)
}

fn can_hear() -> bool {
    let either = TOOLS.iter().any(|t| lab::find_program(t).is_some());
    either || need(&["inotifywait"])
}

fn worker(lab: &Lab) -> Value {
    pair::worker(lab, MAC)
}

fn cycles(lab: &Lab, n: u64) -> bool {
    worker(lab)["cycles"].as_u64().is_some_and(|c| c >= n)
}

fn start(lab: &Lab) -> Running {
    let running = lab.spawn(&["watch", "--apply"]);
    wait_until("the first cycle", || cycles(lab, 1));
    running
}

fn connections(lab: &mut Lab) -> usize {
    lab.sshd().log().matches("Accepted publickey").count()
}

/// Whether a tool listens on the peer.
fn is_heard(lab: &mut Lab) -> bool {
    let sessions = lab.sshd().sessions();
    sessions.iter().any(|p| TOOLS.contains(&p.program()))
}

/// What a worker must not leave: processes on either side, folders, sockets.
#[track_caller]
fn nothing_is_left(lab: &mut Lab) {
    wait_until("no process of the worker is left on the peer", || {
        !is_heard(lab)
    });
    for side in Side::BOTH {
        wait_until("no folder of the worker is left", || {
            let names = fs::read_dir(lab.state_dir(side)).unwrap();
            let names: Vec<String> = names
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .collect();
            let of_ours = ["worker-", "run-", "ear."];
            !names
                .iter()
                .any(|n| of_ours.iter().any(|o| n.starts_with(o)))
        });
    }
}

#[test]
fn changes_of_the_peer_arrive_at_once_over_the_one_connection_and_echoes_start_nothing() {
    if !can_hear() {
        return;
    }
    let Some(mut lab) = lab(Lab::builder(), RARELY) else {
        return;
    };
    let running = start(&lab);
    lab.write_at(BALAUR, "docs/b.md", "theirs", T + S);
    wait_until("a change of the peer arrives", || {
        lab.exists(MAC, "docs/b.md")
    });
    wait_until("its cycle is counted", || cycles(&lab, 2));
    lab.write_at(MAC, "docs/c.md", "mine", T + 2 * S);
    wait_until("a change here travels", || lab.exists(BALAUR, "docs/c.md"));
    wait_until("its cycle is counted", || cycles(&lab, 3));
    // State is no reason on either side: the next change is the fourth cycle.
    lab.write_at(BALAUR, "docs/run_state.json", "{}", T);
    lab.write_at(BALAUR, "docs/odd\n name", "x", T + 3 * S);
    wait_until("an odd name arrives", || lab.exists(MAC, "docs/odd\n name"));
    wait_until("its cycle is counted", || cycles(&lab, 4));
    lab.write_at(MAC, "docs/a.md", "edited", T + 4 * S);
    wait_until("an edit travels", || {
        lab.read_text(BALAUR, "docs/a.md") == "edited"
    });
    wait_until("its cycle is counted", || cycles(&lab, 5));
    assert_eq!(connections(&mut lab), 1);
    let runs = lab
        .run(&["runs", "list", "-n", "0", "--json"])
        .expect(0)
        .json();
    let mut reasons: Vec<String> = Vec::new();
    for run in runs["runs"].as_array().unwrap() {
        let shown = lab.run(&["runs", "show", run["run"].as_str().unwrap(), "--json"]);
        reasons.push(shown.json()["who"]["reason"].as_str().unwrap().to_owned());
    }
    reasons.sort();
    assert_eq!(
        reasons,
        ["changes", "changes", "changes", "changes", "startup"]
    );
    running.signal(Signal::TERM);
    running.wait().expect(0);
    nothing_is_left(&mut lab);
}

/// An edit here has reached the peer.
#[track_caller]
fn travels(lab: &Lab, path: &str) {
    let before = worker(lab)["succeeded"].as_u64().unwrap();
    lab.write_at(MAC, path, "mine", T + 5 * S);
    wait_until("an edit travels", || {
        lab.exists(BALAUR, path) && worker(lab)["succeeded"].as_u64() > Some(before)
    });
}

#[test]
fn a_connection_that_is_lost_is_made_again_without_a_hand() {
    let Some(mut lab) = lab(Lab::builder(), RARELY) else {
        return;
    };
    let running = start(&lab);
    travels(&lab, "docs/1.md");
    assert_eq!(connections(&mut lab), 1);
    // A network that is gone: both halves of sshd end, and what they ran finds its pipes closed.
    lab.sshd().drop_connections();
    travels(&lab, "docs/2.md");
    assert_eq!(connections(&mut lab), 2);
    assert!(running.kill_program("ssh") > 0);
    travels(&lab, "docs/3.md");
    // A peer that goes down with all that it ran, and comes back.
    lab.sshd().kill_sessions();
    lab.sshd().stop();
    lab.write_at(MAC, "docs/4.md", "mine", T + 5 * S);
    wait_until("a cycle finds it away", || {
        worker(&lab)["last_outcome"] == "offline"
    });
    lab.sshd().start();
    travels(&lab, "docs/5.md");
    assert!(lab.exists(BALAUR, "docs/4.md"));
    assert_eq!(worker(&lab)["failures_in_row"], 0);
    // A signal of its own, and nothing of it is left.
    running.signal(Signal::INT);
    running.wait().expect(0);
    nothing_is_left(&mut lab);
}

#[test]
fn a_killed_worker_leaves_no_process_and_the_next_run_sweeps_up() {
    let Some(mut lab) = lab(Lab::builder(), RARELY) else {
        return;
    };
    let running = start(&lab);
    if can_hear() {
        wait_until("the peer is heard", || is_heard(&mut lab));
    }
    let children: Vec<u32> = running.children().iter().map(|p| p.pid).collect();
    running.kill();
    running.wait();
    wait_until("no child is left", || {
        children.iter().all(|p| !lab::alive(*p))
    });
    wait_until("nothing runs on the peer", || {
        lab.sshd().sessions().is_empty()
    });
    lab.run(&["truth", "--apply"]).expect(0);
    nothing_is_left(&mut lab);
}

#[test]
fn a_peer_without_a_tool_is_told_of_once_and_looked_at_by_turns() {
    let often = RARELY.replace("\"1h\"", "\"200ms\"");
    let Some(lab) = lab(Lab::builder().hide(BALAUR, &TOOLS), &often) else {
        return;
    };
    let running = start(&lab);
    lab.write_at(BALAUR, "docs/b.md", "theirs", T + S);
    wait_until("a turn brings it", || lab.exists(MAC, "docs/b.md"));
    wait_until("some cycles more", || cycles(&lab, 5));
    running.signal(Signal::TERM);
    let said = running.wait().expect(0);
    let told = said
        .stderr
        .matches("neither inotifywait nor fswatch")
        .count();
    assert_eq!(told, 1, "{said}");
}

#[test]
fn a_tool_that_dies_is_started_again_by_the_next_cycle() {
    if !can_hear() {
        return;
    }
    let Some(mut lab) = lab(Lab::builder(), RARELY) else {
        return;
    };
    let running = start(&lab);
    let died = "its changes are looked for at the interval only";
    for round in 0..2 {
        wait_until("the peer is heard", || is_heard(&mut lab));
        let killed: usize = TOOLS.iter().map(|t| lab.sshd().kill_program(t)).sum();
        assert_eq!(killed, 1);
        wait_until("its end is told of", || running.so_far().1.contains(died));
        travels(&lab, &format!("docs/mine{round}.md"));
    }
    wait_until("the peer is heard again", || is_heard(&mut lab));
    wait_until("the last cycle is counted", || cycles(&lab, 3));
    lab.write_at(BALAUR, "docs/b.md", "theirs", T + S);
    wait_until("a change of the peer arrives", || {
        lab.exists(MAC, "docs/b.md")
    });
    running.signal(Signal::TERM);
    let said = running.wait().expect(0);
    assert_eq!(said.stderr.matches(died).count(), 1, "{said}");
    nothing_is_left(&mut lab);
}

#[test]
fn a_tool_that_talks_without_end_is_not_listened_to_and_harms_nothing() {
    let Some(mut lab) = lab(Lab::builder().hide(BALAUR, &TOOLS), RARELY) else {
        return;
    };
    let fake = lab.root().join("server-bin/inotifywait");
    fs::write(&fake, "#!/bin/sh\nexec yes 'no record of anything'\n").unwrap();
    fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
    let running = start(&lab);
    travels(&lab, "docs/b.md");
    let (_, said) = running.so_far();
    assert!(said.contains("no list of changes"), "{said}");
    running.signal(Signal::TERM);
    running.wait().expect(0);
    wait_until("it has ended over there", || {
        lab.sshd().sessions().iter().all(|p| p.program() != "yes")
    });
    nothing_is_left(&mut lab);
}
