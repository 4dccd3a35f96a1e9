//! The worker when things go wrong around it: workers on both hosts and a manual run at once, signals at any moment, a process that
//! does not listen, a clock that jumps.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use std::collections::HashSet;
use std::fs;
use std::time::{Duration, Instant};

use lab::{At, Lab, Running, Side, libfaketime, need, wait_until};
use pair::{BALAUR, MAC, S, T, both, pair_with, seed, worker};
use rustix::process::Signal;

const OFTEN: &str =
    "[schedule]\ninterval = \"500ms\"\njitter = 0\nmin_interval = 0\ndebounce = \"100ms\"\n";
const RARELY: &str =
    "[schedule]\ninterval = \"1h\"\njitter = 0\nmin_interval = 0\ndebounce = \"100ms\"\n";

fn good(lab: &Lab, side: Side) -> u64 {
    worker(lab, side)["succeeded"].as_u64().unwrap_or(0)
}

/// What is written during a run comes to the same on both sides in the end.
#[track_caller]
fn settles(lab: &Lab) {
    wait_until("both sides are the same", || {
        let out = lab.run(&["truth", "--apply", "--wait", "30s", "--json"]);
        out.code == 0 && out.json()["outcome"] == "in-sync"
    });
    lab.assert_equal_truth(&[]);
}

#[test]
fn workers_on_both_hosts_and_a_manual_run_get_along() {
    if !need(&["ssh", "sshd", "ssh-keygen", "unison"]) {
        return;
    }
    let mut lab = Lab::new();
    lab.policy(OFTEN);
    lab.server_policy(OFTEN);
    lab.write(MAC, "docs/anchor.md", "does not move");
    let workers = Side::BOTH.map(|side| lab.spawn_on(side, &["watch", "--apply"]));
    wait_until("each has done something", || {
        Side::BOTH.iter().all(|s| good(&lab, *s) > 0)
    });
    for n in 0..6 {
        lab.write(MAC, format!("docs/mac{n}.md"), format!("{n}"));
        lab.write(BALAUR, format!("docs/far{n}.md"), format!("{n}"));
        // Whoever comes second waits; nobody fails for the other.
        let out = lab.run(&["truth", "--apply", "--wait", "60s"]);
        assert!(matches!(out.code, 0), "{out}");
    }
    settles(&lab);
    for n in 0..6 {
        both(&lab, &format!("docs/mac{n}.md"), &n.to_string());
        both(&lab, &format!("docs/far{n}.md"), &n.to_string());
    }
    for (side, running) in Side::BOTH.into_iter().zip(workers) {
        running.signal(Signal::TERM);
        let out = running.wait().expect(0);
        assert!(out.stderr.contains("the longest cycle took"), "{out}");
        let doc = worker(&lab, side);
        assert_eq!(doc["failed"], 0, "{} failed\n{out}", side.host());
        lab.run_on(side, &["runs", "verify"]).expect(0);
    }
}

#[test]
fn signals_at_any_moment_lose_nothing_and_leave_no_process() {
    let Some(mut lab) = pair_with(Lab::builder(), RARELY) else {
        return;
    };
    lab.run(&["truth", "--apply"]).expect(0);
    let mut came = HashSet::new();
    let signals = [Signal::TERM, Signal::INT, Signal::KILL];
    for (round, ms) in [40, 150, 260, 370, 480, 590, 700, 810, 920]
        .into_iter()
        .enumerate()
    {
        for n in 0..5 {
            let time = T + S * (1 + round as i128);
            lab.write_at(MAC, format!("docs/m{n}.md"), format!("mac {round}"), time);
            lab.write_at(
                BALAUR,
                format!("docs/b{n}.md"),
                format!("far {round}"),
                time,
            );
        }
        let mut running = lab.spawn(&["watch", "--apply"]);
        let start = Instant::now();
        wait_until("the moment has come", || {
            running.finished() || start.elapsed() >= Duration::from_millis(ms)
        });
        let children: Vec<u32> = running.children().iter().map(|p| p.pid).collect();
        let signal = signals[round % 3];
        running.signal(signal);
        let pid = running.pid();
        let out = running.wait();
        // Before it listens a signal ends it as it ends any program.
        let listened = worker(&lab, MAC)["pid"] == pid;
        assert!(
            out.code == 0 || signal == Signal::KILL || !listened,
            "{ms} ms\n{out}"
        );
        wait_until("no child is left", || {
            children.iter().all(|p| !lab::alive(*p))
        });
        wait_until("nothing runs on the peer", || {
            lab.sshd().sessions().is_empty()
        });
        for side in Side::BOTH {
            for n in 0..5 {
                let own = [("m", MAC), ("b", BALAUR)];
                for (of, from) in own {
                    let now = lab.at(side, format!("docs/{of}{n}.md"));
                    let text = fs::read_to_string(now).unwrap_or_default();
                    let name = (of, n, side.host());
                    let is_whole = match side == from {
                        true => text.ends_with(&format!(" {round}")),
                        false => {
                            text.starts_with(['m', 'f'])
                                || (text.is_empty() && !came.contains(&name))
                        }
                    };
                    assert!(is_whole, "{of}{n} on {} is {text:?}", side.host());
                    // What came once never goes.
                    if !text.is_empty() {
                        came.insert(name);
                    }
                }
            }
        }
    }
    settles(&lab);
    for n in 0..5 {
        both(&lab, &format!("docs/m{n}.md"), "mac 8");
        both(&lab, &format!("docs/b{n}.md"), "far 8");
    }
    lab.run(&["runs", "verify"]).expect(0);
}

/// A worker in the middle of a cycle that does not end by itself: the peer's engine waits for ever.
fn stuck() -> Option<(Lab, Running)> {
    let lab = pair_with(Lab::builder().injectable(), RARELY)?;
    lab.run(&["truth", "--apply"]).expect(0);
    seed(&lab, &["docs/a.md"]);
    let gate = lab.gate(BALAUR, At::Start);
    let running = lab.spawn(&["watch", "--apply"]);
    gate.wait();
    Some((lab, running))
}

#[test]
fn a_second_signal_and_stop_now_end_it_in_the_middle_of_a_cycle() {
    let Some((lab, running)) = stuck() else {
        return;
    };
    running.signal(Signal::TERM);
    wait_until("the first is heard", || {
        running.signal(Signal::TERM);
        !lab::alive(running.pid())
    });
    let out = running.wait();
    assert!(matches!(out.code, 0 | 143), "{out}");
    let gate = lab.gate(BALAUR, At::Start);
    let running = lab.spawn(&["watch", "--apply"]);
    gate.wait();
    let children: Vec<u32> = running.children().iter().map(|p| p.pid).collect();
    let out = lab.run(&["stop", "--now", "--json"]).expect(0).json();
    assert_eq!(out["ended"], true, "{out}");
    assert!(matches!(running.wait().code, 0 | 143));
    wait_until("no child is left", || {
        children.iter().all(|p| !lab::alive(*p))
    });
    lab.no_stand_in(BALAUR, "unison");
    lab.run(&["truth", "--apply"]).expect(0);
    both(&lab, "docs/a.md", "base of docs/a.md\n");
}

#[test]
fn stop_now_kills_what_does_not_listen() {
    let Some((lab, running)) = stuck() else {
        return;
    };
    running.signal(Signal::STOP);
    let out = lab.run(&["stop", "--now", "--json"]).expect(0).json();
    assert_eq!(out["killed"][0], running.pid(), "{out}");
    running.wait();
    lab.no_stand_in(BALAUR, "unison");
    lab.run(&["truth", "--apply"]).expect(0);
    both(&lab, "docs/a.md", "base of docs/a.md\n");
    let nothing = lab.run(&["stop", "--now"]).expect(0);
    assert!(nothing.stdout.contains("nothing is running"), "{nothing}");
}

#[test]
fn a_clock_that_jumps_stops_no_worker() {
    let Some(lab) = pair_with(Lab::builder(), RARELY) else {
        return;
    };
    let Some(library) = libfaketime() else { return };
    let file = lab.root().join("shift");
    let jump = |by: &str| {
        let new = lab.root().join("shift.new");
        fs::write(&new, format!("{by}\n")).unwrap();
        fs::rename(&new, &file).unwrap();
    };
    jump("+0");
    let mut command = lab.command(MAC);
    command
        .args(["watch", "--apply"])
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", &file)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("FAKETIME_DISABLE_SHM", "1")
        .env("NO_FAKE_STAT", "1");
    let running = lab.start(command);
    wait_until("the first cycle", || good(&lab, MAC) >= 1);
    // An hour is the interval: a turn comes with the jump, and two clocks that far apart decide no conflict.
    jump("+3h");
    wait_until("the jump is noticed", || {
        worker(&lab, MAC)["cycles"].as_u64() >= Some(2)
    });
    jump("-3h");
    lab.write_at(MAC, "docs/back.md", "written in the past", T + S);
    wait_until("a change still starts a cycle", || {
        worker(&lab, MAC)["cycles"].as_u64() >= Some(3)
    });
    jump("+0");
    lab.write_at(MAC, "docs/b.md", "the clock is right again", T + S);
    wait_until("all of it has travelled", || {
        lab.exists(BALAUR, "docs/b.md") && lab.exists(BALAUR, "docs/back.md")
    });
    running.signal(Signal::TERM);
    running.wait().expect(0);
}

#[test]
fn cc_08_more_events_than_the_system_holds_lead_to_a_look_at_everything() {
    let Some(lab) = pair_with(Lab::builder().in_memory(), RARELY) else {
        return;
    };
    seed(&lab, &["docs/a.md", "docs/b.md", "docs/deep/c.md"]);
    let running = lab.spawn(&["watch", "--apply"]);
    wait_until("the first cycle is done", || good(&lab, MAC) > 0);
    running.signal(Signal::STOP);
    // Only equal events behind each other count as one.
    let held = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events");
    let most: usize = held.map_or(16_384, |t| t.trim().parse().unwrap());
    for n in 0..most * 2 {
        let name = ["docs/a.md", "docs/b.md"][n % 2];
        fs::write(lab.at(MAC, name), format!("{n}")).unwrap();
    }
    lab.write(MAC, "docs/deep/c.md", "nobody was told of this");
    running.signal(Signal::CONT);
    wait_until("what nobody was told of is there", || {
        lab.read_text(BALAUR, "docs/deep/c.md") == "nobody was told of this"
    });
    running.signal(Signal::TERM);
    let out = running.wait().expect(0);
    assert!(
        out.stderr.contains("more happened than could be listed"),
        "{out}"
    );
    lab.assert_equal_truth(&[]);
}

#[test]
fn cc_08_where_the_system_lets_nobody_watch_the_turns_are_taken_and_it_is_said() {
    let Some(lab) = pair_with(Lab::builder(), OFTEN) else {
        return;
    };
    let allowed = lab.tool(MAC, "unshare").args(["-Ur", "true"]).status();
    if !allowed.is_ok_and(|s| s.success()) {
        return;
    }
    seed(&lab, &["docs/a.md", "docs/deep/er/b.md"]);
    let worker = lab.command(MAC);
    let mut command = lab.tool(MAC, "unshare");
    command.env("UBOS_SYNC_POLICY", lab.policy_file(MAC));
    let limit = "echo 2 >/proc/sys/user/max_inotify_watches && exec \"$0\" watch --apply";
    command
        .args(["-Ur", "sh", "-c", limit])
        .arg(worker.get_program());
    let running = lab.start(command);
    wait_until("the first cycle is done", || good(&lab, MAC) > 0);
    lab.write(MAC, "docs/a.md", "an edit");
    wait_until("a turn has brought it", || {
        lab.read_text(BALAUR, "docs/a.md") == "an edit"
    });
    running.signal(Signal::TERM);
    let out = running.wait().expect(0);
    assert!(out.stderr.contains("only turns are taken"), "{out}");
    assert!(out.stderr.contains("max_user_watches"), "{out}");
}
