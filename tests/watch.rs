//! The worker: turns, changed files, its echo, the policy that changes under it, the stop, and what others see of it.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use std::fs;

use lab::{Lab, Output, Running, wait_until};
use pair::{BALAUR, MAC, S, T, pair_with, seed, sync};
use rustix::process::Signal;
use serde_json::Value;

const OFTEN: &str =
    "[schedule]\ninterval = \"1h\"\njitter = 0\nmin_interval = 0\ndebounce = \"100ms\"\n";

fn lab(extra: &str) -> Option<Lab> {
    // What a peer tells of its changes is the matter of tests/watch_peer.rs.
    let deaf = Lab::builder().hide(BALAUR, &["inotifywait", "fswatch"]);
    let lab = pair_with(deaf, extra)?;
    seed(&lab, &["docs/a.md"]);
    Some(lab)
}

/// What the worker says of itself right now.
fn worker(lab: &Lab) -> Value {
    pair::worker(lab, MAC)
}

fn cycles(lab: &Lab, n: u64) -> bool {
    worker(lab)["cycles"].as_u64().is_some_and(|c| c >= n)
}

fn start(lab: &Lab, args: &[&str]) -> Running {
    let mut all = vec!["watch"];
    all.extend(args);
    lab.spawn(&all)
}

#[track_caller]
fn end(worker: Running) -> Output {
    worker.signal(Signal::TERM);
    worker.wait().expect(0)
}

/// The reasons of all runs, oldest first.
fn reasons(lab: &Lab) -> Vec<String> {
    let runs = lab.run(&["runs", "list", "-n", "0", "--json"]).json();
    let names = runs["runs"].as_array().unwrap().iter().rev();
    names
        .filter(|r| r["command"] == "full")
        .map(|r| {
            let shown = lab.run(&["runs", "show", r["run"].as_str().unwrap(), "--json"]);
            shown.json()["who"]["reason"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[test]
fn it_syncs_at_the_start_and_when_files_change_here_and_not_for_its_own_changes() {
    let Some(lab) = lab(OFTEN) else { return };
    let running = start(&lab, &["--apply"]);
    wait_until("the first cycle", || cycles(&lab, 1));
    assert_eq!(lab.read_text(BALAUR, "docs/a.md"), "base of docs/a.md\n");
    lab.write_at(MAC, "docs/b.md", "new", T + S);
    wait_until("the change travels", || lab.exists(BALAUR, "docs/b.md"));
    wait_until("its cycle is counted", || cycles(&lab, 2));
    // What comes from the peer changes files here, and that is no news.
    lab.write_at(BALAUR, "docs/far.md", "from balaur", T + 2 * S);
    lab.write_at(MAC, "docs/c.md", "mine", T + 3 * S);
    wait_until("both came", || lab.exists(BALAUR, "docs/c.md"));
    wait_until("its cycle is counted", || cycles(&lab, 3));
    lab.write_at(MAC, "docs/run_state.json", "{}", T);
    // State is no reason either: the next change is the fourth cycle.
    lab.write_at(MAC, "docs/d.md", "mine", T + 4 * S);
    wait_until("the next change travels", || {
        lab.exists(BALAUR, "docs/d.md")
    });
    wait_until("its cycle is counted", || cycles(&lab, 4));
    let health = lab.run(&["health", "--worker"]);
    assert_eq!(health.code, 0, "{health}");
    end(running);
    let all = reasons(&lab);
    assert_eq!(
        all[..4],
        ["startup", "changes", "changes", "changes"],
        "{all:?}"
    );
    assert!(!lab.exists(BALAUR, "docs/run_state.json"));
    let ended = worker(&lab);
    assert!(
        ended["ended"].as_str().unwrap().contains("asked to stop"),
        "{ended}"
    );
    let health = lab.run(&["health", "--worker"]);
    assert_eq!(health.code, 1, "{health}");
}

#[test]
fn cc_07_a_storm_of_an_editor_ends_in_few_cycles_and_then_it_is_quiet() {
    let Some(lab) = lab(OFTEN) else { return };
    let running = start(&lab, &["--apply"]);
    wait_until("the first cycle", || cycles(&lab, 1));
    let text = |n: u32| format!("{n}\n").repeat(50);
    for n in 1..=150 {
        // As editors save: beside it, and then in its place.
        lab.write(MAC, "docs/.a.md.swp", text(n));
        fs::rename(lab.at(MAC, "docs/.a.md.swp"), lab.at(MAC, "docs/a.md")).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    wait_until("the last of it travels", || {
        lab.read_text(BALAUR, "docs/a.md") == text(150)
    });
    let mut seen = worker(&lab)["cycles"].as_u64().unwrap();
    wait_until("its cycle is counted", || {
        std::thread::sleep(std::time::Duration::from_millis(700));
        let now = worker(&lab)["cycles"].as_u64().unwrap();
        std::mem::replace(&mut seen, now) == now
    });
    // Its own changes, and what it put away, are no news to it.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(worker(&lab)["cycles"].as_u64().unwrap(), seen);
    assert!(seen <= 40, "{seen} cycles for 150 saves");
    end(running);
    lab.assert_equal_truth(&[]);
}

#[test]
fn without_apply_it_only_reports_and_a_second_worker_is_refused() {
    let Some(lab) = lab(OFTEN) else { return };
    let running = start(&lab, &[]);
    wait_until("the first cycle", || cycles(&lab, 1));
    let second = lab.run(&["watch", "--apply"]).expect(6);
    assert!(second.stderr.contains("ubos-sync stop"), "{second}");
    // People are let in between the cycles.
    sync(&lab);
    let status = lab.run(&["status", "--offline", "--json"]).expect(0).json();
    assert_eq!(status["worker"]["alive"], true, "{status:#}");
    assert!(
        status["next_run"].is_string() && status["overdue"] == false,
        "{status:#}"
    );
    let stopped = lab.run(&["stop"]).expect(0);
    assert!(stopped.stdout.contains("ended"), "{stopped}");
    running.wait().expect(0);
    lab.run(&["stop"]).expect(0);
}

#[test]
fn cc_09_a_changed_policy_is_taken_when_it_is_valid_and_the_old_one_stays_when_not() {
    let Some(lab) = lab(OFTEN) else { return };
    let running = start(&lab, &["--apply"]);
    wait_until("the first cycle", || cycles(&lab, 1));
    let good = fs::read_to_string(lab.policy_file(MAC)).unwrap();
    fs::write(lab.policy_file(MAC), "schema = 1\n[site]\nnmae = 1\n").unwrap();
    wait_until("the bad policy is told of", || {
        running.so_far().1.contains("the old one stays")
    });
    lab.write_at(MAC, "docs/b.md", "new", T + S);
    wait_until("the change travels", || lab.exists(BALAUR, "docs/b.md"));
    fs::write(lab.policy_file(MAC), good.replace("\"1h\"", "\"2h\"")).unwrap();
    wait_until("the good policy is taken", || {
        worker(&lab)["interval_seconds"] == 7200
    });
    end(running);
}

#[test]
fn it_gives_up_after_failures_in_a_row_and_an_absent_peer_is_none() {
    let Some(mut lab) = lab(&OFTEN
        .replace("\"1h\"", "\"300ms\"")
        .replace("debounce", "max_failures = 2\ndebounce"))
    else {
        return;
    };
    lab.sshd().stop();
    let running = start(&lab, &["--apply"]);
    wait_until("three cycles without a peer", || cycles(&lab, 3));
    assert_eq!(worker(&lab)["failures_in_row"], 0);
    lab.sshd().start();
    wait_until("a success", || worker(&lab)["succeeded"].as_u64() > Some(0));
    lab.remove(MAC, ".ubos-root");
    let out = running.wait().expect(1);
    assert!(out.stderr.contains("2 cycles failed in a row"), "{out}");
}

#[test]
fn once_is_one_cycle_and_changes_wait_for_the_least_interval() {
    let Some(lab) = lab(
        "[schedule]\nmin_interval = \"1h\"\ninterval = \"2h\"\nthreshold = 3\ndebounce = \"100ms\"\n",
    ) else {
        return;
    };
    let once = lab.run(&["watch", "--apply", "--once", "--json"]).expect(0);
    assert_eq!(once.json()["outcome"], "applied");
    let running = start(&lab, &["--apply"]);
    wait_until("it waits", || worker(&lab)["next_run"].is_string());
    lab.write_at(MAC, "docs/b.md", "new", T + S);
    wait_until("the skip is told with its reason", || {
        running.so_far().1.contains("skipped: the last sync began")
    });
    assert!(!lab.exists(BALAUR, "docs/b.md"));
    lab.write_at(MAC, "docs/c.md", "new", T + S);
    lab.write_at(MAC, "docs/d.md", "new", T + S);
    wait_until("three are worth a cycle", || {
        lab.exists(BALAUR, "docs/d.md")
    });
    end(running);
}
