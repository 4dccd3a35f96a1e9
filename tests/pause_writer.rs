//! Autonomous writers: those that obey a pause, and those that answer late, die behind their acknowledgement, lie, or ignore it. No
//! torn copy, no endless loop.
//!
//! `UBOS_TORTURE=N` makes the runs with writers that obey N.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lab::{Lab, Side};
use pair::{BALAUR, MAC, both, pair_with, seed};

const LINES: usize = 400;

/// How a writer takes a request to hold still.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// It holds still until the pause is gone.
    Obeys,
    /// It takes its time before it does.
    Late,
    /// It acknowledges at once and is never heard of again.
    DiesAfterAck,
    /// It acknowledges at once and goes on writing.
    Lies,
    Ignores,
}

/// A process that updates the files of one replica every tenth of a second, as its manner is.
struct Writer {
    end: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

/// Every line of a version names it: a file of two versions is torn.
fn version(who: &str, n: u64) -> String {
    format!("{who} {n}\n").repeat(LINES)
}

fn is_whole(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    text.lines().count() == LINES && text.lines().all(|l| l == first)
}

impl Writer {
    fn start(lab: &Lab, side: Side, files: &'static [&'static str], manner: Manner) -> Writer {
        let root = lab.tree(side);
        let end: Arc<AtomicBool> = Arc::default();
        let rounds: Arc<AtomicU64> = Arc::default();
        let (stop, count) = (Arc::clone(&end), Arc::clone(&rounds));
        let thread = std::thread::spawn(move || {
            let mut next = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                if holds_still(&root, manner) {
                    if manner == Manner::DiesAfterAck {
                        return;
                    }
                } else if Instant::now() >= next {
                    let n = count.fetch_add(1, Ordering::Relaxed) + 1;
                    for file in files {
                        write_in_pieces(&root.join(file), &version(side.host(), n));
                    }
                    next = Instant::now() + Duration::from_millis(100);
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Writer {
            end,
            rounds,
            thread: Some(thread),
        }
    }

    fn end(mut self) -> u64 {
        self.end.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.rounds.load(Ordering::Relaxed)
    }
}

/// In place and not at once, as careless programs write.
fn write_in_pieces(file: &Path, text: &str) {
    use std::io::Write as _;
    let mut out = fs::File::create(file).unwrap();
    for part in text.as_bytes().chunks(text.len() / 4 + 1) {
        out.write_all(part).unwrap();
        std::thread::yield_now();
    }
}

fn pause(root: &Path) -> PathBuf {
    root.join(".ubos/sync-pause")
}

fn ack(root: &Path) -> PathBuf {
    root.join(".ubos/sync-pause.ack")
}

/// Looks for a request, answers it in its manner, and says whether it holds still now.
fn holds_still(root: &Path, manner: Manner) -> bool {
    let Ok(text) = fs::read_to_string(pause(root)) else {
        return false;
    };
    if manner == Manner::Ignores {
        return false;
    }
    if fs::read_to_string(ack(root)).ok().as_ref() != Some(&text) {
        if manner == Manner::Late {
            std::thread::sleep(Duration::from_millis(700));
        }
        let _ = fs::write(ack(root), &text);
    }
    manner != Manner::Lies
}

const FILES: &[&str] = &["docs/one.txt", "docs/two.txt", "docs/three.txt"];
const THEIRS: &[&str] = &["docs/four.txt", "docs/five.txt"];

/// A synced pair with writers on these sides.
fn lab(sides: &str) -> Option<Lab> {
    let lab = pair_with(Lab::builder().in_memory(), "")?;
    seed(&lab, &["docs/a.md"]);
    pair::sync(&lab);
    lab.policy(&format!("[writer]\nsides = [{sides}]\nack_timeout = \"1s\"\nmax_pause = \"1m\"\non_timeout = \"proceed\"\n"));
    Some(lab)
}

/// Every copy of the writers' files on the side that does not write them is one whole version.
#[track_caller]
fn nothing_is_torn(lab: &Lab) {
    for (side, files) in [(BALAUR, FILES), (MAC, THEIRS)] {
        for file in files {
            if lab.exists(side, file) {
                let text = lab.read_text(side, file);
                assert!(
                    is_whole(&text),
                    "{file} on {} is torn:\n{text}",
                    side.host()
                );
            }
        }
    }
}

fn applied(lab: &Lab) -> String {
    let out = lab.run(&["truth", "--apply", "--json"]);
    let outcome = out.json()["outcome"].as_str().unwrap().to_owned();
    assert!(
        ["applied", "in-sync", "skipped", "failed"].contains(&outcome.as_str()),
        "{out}"
    );
    outcome
}

#[test]
fn writers_that_obey_lose_nothing_and_no_run_fails_for_them() {
    let Some(lab) = lab("\"local\", \"peer\"") else {
        return;
    };
    let runs = std::env::var("UBOS_TORTURE")
        .ok()
        .and_then(|n| n.parse().ok());
    let writers = [(MAC, FILES), (BALAUR, THEIRS)];
    let writers =
        writers.map(|(side, files)| (side, files, Writer::start(&lab, side, files, Manner::Obeys)));
    for n in 0..runs.unwrap_or(40) {
        let out = lab.run(&["truth", "--apply", "--json"]);
        assert_eq!(out.code, 0, "run {n}\n{out}");
        nothing_is_torn(&lab);
        for side in Side::BOTH {
            assert!(!pause(&lab.tree(side)).exists() && !ack(&lab.tree(side)).exists());
        }
    }
    let written = writers.map(|(side, files, writer)| (side, files, writer.end()));
    lab.run(&["truth", "--apply"]).expect(0);
    for (side, files, n) in written {
        for file in files {
            both(&lab, file, &version(side.host(), n));
        }
    }
}

#[test]
fn writers_of_bad_manners_get_no_torn_copy_through_and_no_loop() {
    for manner in [
        Manner::Late,
        Manner::DiesAfterAck,
        Manner::Lies,
        Manner::Ignores,
    ] {
        let Some(lab) = lab("\"local\"") else { return };
        let writer = Writer::start(&lab, MAC, FILES, manner);
        for _ in 0..3 {
            // A plan that is overtaken again and again is a failure in the end, and no endless loop.
            applied(&lab);
            nothing_is_torn(&lab);
            // An acknowledgement that comes too late is the next run's to clear; the pause is over.
            assert!(!pause(&lab.tree(MAC)).exists());
        }
        let written = writer.end();
        let last = lab.run(&["truth", "--apply", "--json"]);
        assert!([0, 1].contains(&last.code), "{last}");
        let last = lab.run(&["truth", "--apply", "--json"]);
        assert_eq!(last.code, 0, "{last}");
        if written > 0 {
            both(&lab, FILES[2], &version("mac", written));
        }
    }
}
