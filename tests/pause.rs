//! The writer of a root is asked to hold still before files travel, and always let go again.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lab::{Lab, Side, wait_until};
use pair::{BALAUR, MAC, S, T, pair_with, said, seed};

const WRITER: &str =
    "[writer]\nsides = [\"local\", \"peer\"]\nack_timeout = \"20s\"\nmax_pause = \"1m\"\n";

fn pause(lab: &Lab, side: Side) -> PathBuf {
    lab.tree(side).join(".ubos/sync-pause")
}

fn ack(lab: &Lab, side: Side) -> PathBuf {
    lab.tree(side).join(".ubos/sync-pause.ack")
}

/// A writer that acknowledges every pause on both sides once, until it is told to end; the pauses it
/// saw. It remembers what it answered: who only looks at the files could take a pause that is just
/// being lifted, with the answer gone before it, for a new one.
fn obedient(lab: &Lab) -> (Arc<AtomicBool>, std::thread::JoinHandle<Vec<String>>) {
    let end: Arc<AtomicBool> = Arc::default();
    let flag = Arc::clone(&end);
    let places = Side::BOTH.map(|s| (pause(lab, s), ack(lab, s)));
    let writer = std::thread::spawn(move || {
        let mut seen = Vec::new();
        let mut answered = [const { String::new() }; 2];
        while !flag.load(Ordering::Relaxed) {
            for ((pause, ack), answered) in places.iter().zip(&mut answered) {
                let Ok(text) = fs::read_to_string(pause) else {
                    continue;
                };
                if *answered != text {
                    let _ = fs::write(ack, &text);
                    seen.push(text.clone());
                    *answered = text;
                }
            }
            std::thread::yield_now();
        }
        seen
    });
    (end, writer)
}

#[test]
fn both_writers_hold_still_for_an_applied_run_and_are_let_go() {
    let Some(lab) = pair_with(Lab::builder(), WRITER) else {
        return;
    };
    seed(&lab, &["docs/a.md"]);
    let (end, writer) = obedient(&lab);
    // A dry run asks nobody.
    said(lab.run(&["truth", "--json"]), 0);
    assert!(!pause(&lab, MAC).exists());
    let json = said(lab.run(&["truth", "--apply", "--json"]), 0);
    assert_eq!(json["lanes"][0]["writer"], "held still", "{json:#}");
    end.store(true, Ordering::Relaxed);
    let seen = writer.join().unwrap();
    assert_eq!(seen.len(), 2, "{seen:?}");
    let run = json["run"].as_str().unwrap();
    for text in &seen {
        for key in [
            "pid=",
            "time=",
            "reason=truth",
            &format!("run={run}"),
            "expires=",
        ] {
            assert!(text.contains(key), "{text}");
        }
    }
    for side in Side::BOTH {
        assert!(!pause(&lab, side).exists() && !ack(&lab, side).exists());
        let kept = lab
            .home(side)
            .join(".local/state/ubos-sync/pairs/balaur+mac/runs");
        let snapshot = std::fs::read_to_string(kept.join(run).join("snapshot.json")).unwrap();
        assert!(snapshot.contains("held still"), "{snapshot}");
    }
    assert_eq!(lab.read_text(BALAUR, "docs/a.md"), "base of docs/a.md\n");
}

#[test]
fn a_writer_that_does_not_answer_means_skip_or_proceed_as_the_policy_says() {
    let deaf = WRITER.replace("20s", "1s");
    let Some(lab) = pair_with(Lab::builder(), &deaf) else {
        return;
    };
    seed(&lab, &["docs/a.md"]);
    let json = said(lab.run(&["truth", "--apply", "--json"]), 0);
    assert_eq!(json["outcome"], "skipped", "{json:#}");
    assert!(
        json["lanes"][0]["message"]
            .as_str()
            .unwrap()
            .contains("mac and balaur")
    );
    assert!(!lab.exists(BALAUR, "docs/a.md") && !pause(&lab, MAC).exists());
    lab.policy(&format!("{deaf}on_timeout = \"proceed\"\n"));
    let json = said(lab.run(&["truth", "--apply", "--json"]), 0);
    assert!(
        json["lanes"][0]["writer"]
            .as_str()
            .unwrap()
            .contains("did not hold still")
    );
    assert!(lab.exists(BALAUR, "docs/a.md") && !pause(&lab, BALAUR).exists());
}

#[test]
fn a_killed_run_leaves_a_pause_with_an_end_and_the_next_run_clears_it() {
    let Some(lab) = pair_with(Lab::builder(), WRITER) else {
        return;
    };
    seed(&lab, &["docs/a.md"]);
    let run = lab.spawn(&["truth", "--apply"]);
    wait_until("both are asked", || {
        Side::BOTH.iter().all(|s| pause(&lab, *s).exists())
    });
    run.kill();
    run.wait();
    let text = fs::read_to_string(pause(&lab, BALAUR)).unwrap();
    let expires: u64 = text
        .lines()
        .find_map(|l| l.strip_prefix("expires="))
        .unwrap()
        .parse()
        .unwrap();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert!(expires > now && expires <= now + 60, "{text}");
    let (end, writer) = obedient(&lab);
    said(lab.run(&["truth", "--apply", "--json"]), 0);
    end.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    assert!(Side::BOTH.iter().all(|s| !pause(&lab, *s).exists()));
    // Also when there is nothing to carry.
    fs::write(pause(&lab, MAC), &text).unwrap();
    said(lab.run(&["truth", "--apply", "--json"]), 0);
    assert!(!pause(&lab, MAC).exists());
    lab.write_at(MAC, "docs/a.md", "x", T + S);
}
