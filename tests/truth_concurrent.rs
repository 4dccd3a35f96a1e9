//! Users who go on working while a run is under way: what they do in any of its windows is neither lost nor undone.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use lab::{At, Lab, Output, Side, need};

fn ready() -> bool {
    need(&["ssh", "sshd", "ssh-keygen", "unison"])
}

/// A synced pair whose trees hold a few files.
fn pair() -> Lab {
    let lab = Lab::builder().injectable().in_memory().build();
    lab.policy("[guards]\nmax_delete = \"80%\"");
    for n in 0..6 {
        lab.write(Side::Laptop, format!("docs/{n}.md"), format!("old {n}"));
    }
    for n in 0..3 {
        lab.write(Side::Laptop, format!("dir/{n}.md"), format!("old {n}"));
    }
    lab.run(&["truth", "--apply"]).expect(0);
    lab
}

/// The windows of a run: before the engine looks, and after it was told to go on.
const WINDOWS: [At; 2] = [At::Start, At::Proceed];

/// Runs an apply, does something while it is held in a window, and lets it go on.
fn meanwhile(lab: &Lab, at: At, act: impl Fn()) -> Output {
    let gate = lab.gate(Side::Laptop, at);
    let run = lab.spawn(&["truth", "--apply"]);
    gate.wait();
    act();
    lab.no_stand_in(Side::Laptop, "unison");
    gate.open();
    run.wait()
}

/// Whatever the run in between came to, the next ones bring the pair to rest.
#[track_caller]
fn settle(lab: &Lab, first: &Output) {
    for _ in 0..2 {
        let next = lab.run(&["truth", "--apply"]);
        assert_eq!(next.code, 0, "first: {first}\nnext: {next}");
    }
}

fn anywhere_below(dir: &Path, content: &str) -> bool {
    fs::read_dir(dir).into_iter().flatten().flatten().any(|e| {
        let path = e.path();
        match e.file_type() {
            Ok(t) if t.is_dir() => anywhere_below(&path, content),
            _ => fs::read_to_string(path).is_ok_and(|t| t == content),
        }
    })
}

#[test]
fn cc_04_a_late_edit_on_the_target_is_never_lost() {
    if !ready() {
        return;
    }
    for at in WINDOWS {
        for (source, target) in [(Side::Laptop, Side::Server), (Side::Server, Side::Laptop)] {
            let lab = pair();
            let when = format!("{at:?}, to {}", target.host());
            lab.write(source, "docs/0.md", "planned edit");
            lab.remove(source, "docs/1.md");
            lab.write(source, "docs/new.md", "planned file");
            let first = meanwhile(&lab, at, || {
                lab.write(target, "docs/0.md", "late edit");
                lab.write(target, "docs/1.md", "late edit of a deleted one");
                lab.write(target, "docs/new.md", "late file of that name");
            });
            settle(&lab, &first);
            lab.assert_equal_truth(&[]);
            for (name, text) in [
                ("docs/0.md", "late edit"),
                ("docs/1.md", "late edit of a deleted one"),
                ("docs/new.md", "late file of that name"),
            ] {
                assert!(lab.exists(source, name), "{when}: {name} is gone\n{first}");
                assert_eq!(lab.read_text(source, name), text, "{when}\n{first}");
            }
            // The loser lies among the kept versions of one of the hosts.
            let kept = Side::BOTH
                .iter()
                .any(|s| anywhere_below(&lab.state_dir(*s), "planned edit"));
            assert!(kept, "{when}: the loser is nowhere\n{first}");
        }
    }
}

#[test]
fn cc_02_a_late_edit_of_the_source_travels_and_is_no_failure() {
    if !ready() {
        return;
    }
    for source in Side::BOTH {
        let lab = pair();
        lab.write(source, "docs/0.md", "planned edit");
        let first = meanwhile(&lab, At::Start, || {
            lab.write(source, "docs/0.md", "late edit");
        });
        assert_eq!(first.code, 0, "{first}");
        assert!(first.stdout.contains("changed at its source"), "{first}");
        lab.assert_equal_truth(&[]);
        assert_eq!(lab.read_text(source, "docs/0.md"), "late edit");
        // What was carried is on record as it was carried: nobody has edited it since.
        lab.run(&["rollback", "last", "--apply"]).expect(0);
        lab.run(&["release", "balaur"]).expect(0);
        settle(&lab, &first);
    }
}

#[test]
fn cc_01_a_file_that_is_appended_to_is_complete_at_rest() {
    if !ready() {
        return;
    }
    let lab = pair();
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            let path = lab.at(Side::Laptop, "docs/0.md");
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                let mut file = fs::File::options().append(true).open(&path).unwrap();
                writeln!(file, "line {n}").unwrap();
                n += 1;
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        for n in 0..3 {
            lab.write(Side::Server, format!("docs/other {n}.md"), "x");
            let out = lab.run(&["truth", "--apply"]);
            assert!(out.code == 0 || out.code == 1, "{out}");
        }
        stop.store(true, Ordering::Relaxed);
    });
    let whole = lab.read_text(Side::Laptop, "docs/0.md");
    lab.run(&["truth", "--apply"]).expect(0);
    lab.assert_equal_truth(&[]);
    assert_eq!(lab.read_text(Side::Server, "docs/0.md"), whole);
}

#[test]
fn cc_02_files_born_during_a_run_are_complete_at_rest() {
    if !ready() {
        return;
    }
    for at in WINDOWS {
        let lab = pair();
        lab.write(Side::Laptop, "docs/new.md", "new");
        lab.write(Side::Laptop, "fresh/first.md", "first");
        let first = meanwhile(&lab, at, || {
            for n in 0..50 {
                lab.write(Side::Laptop, format!("fresh/l{n}.md"), "born on the laptop");
                lab.write(Side::Server, format!("docs/s{n}.md"), "born on the server");
            }
        });
        settle(&lab, &first);
        lab.assert_equal_truth(&[]);
        let all = lab.snapshot(Side::Server).paths();
        assert_eq!(all.iter().filter(|p| p.starts_with("fresh/l")).count(), 50);
        assert_eq!(all.iter().filter(|p| p.starts_with("docs/s")).count(), 50);
    }
}

#[test]
fn cc_05_a_source_that_goes_away_converges() {
    if !ready() {
        return;
    }
    for at in WINDOWS {
        let lab = pair();
        lab.write(Side::Laptop, "docs/0.md", "edited");
        lab.write(Side::Laptop, "docs/short.md", "short-lived");
        lab.write(Side::Laptop, "brief/a.md", "short-lived too");
        lab.write(Side::Laptop, "docs/stays.md", "stays");
        let first = meanwhile(&lab, at, || {
            lab.remove(Side::Laptop, "docs/short.md");
            lab.remove(Side::Laptop, "brief");
        });
        settle(&lab, &first);
        lab.assert_equal_truth(&[]);
        for gone in ["docs/short.md", "brief"] {
            assert!(!lab.exists(Side::Server, gone), "{at:?}: {gone}\n{first}");
        }
        assert_eq!(lab.read_text(Side::Server, "docs/0.md"), "edited");
        assert_eq!(lab.read_text(Side::Server, "docs/stays.md"), "stays");
    }
}

#[test]
fn a_file_born_in_a_directory_that_goes_as_a_whole_is_not_deleted() {
    if !ready() {
        return;
    }
    for at in WINDOWS {
        let lab = pair();
        lab.remove(Side::Laptop, "dir");
        let first = meanwhile(&lab, at, || {
            lab.write(Side::Server, "dir/born.md", "born late");
        });
        settle(&lab, &first);
        lab.assert_equal_truth(&[]);
        assert!(lab.exists(Side::Laptop, "dir/born.md"), "{at:?}\n{first}");
        assert_eq!(lab.read_text(Side::Laptop, "dir/born.md"), "born late");
        assert!(!lab.exists(Side::Server, "dir/0.md"), "{at:?}\n{first}");
    }
}

#[test]
fn ex_02_state_born_in_a_directory_that_goes_or_comes_as_a_whole_stays_and_does_not_cross() {
    if !ready() {
        return;
    }
    for at in WINDOWS {
        let lab = pair();
        lab.remove(Side::Laptop, "dir");
        lab.write(Side::Laptop, "come/a.md", "a");
        let first = meanwhile(&lab, at, || {
            lab.write(Side::Server, "dir/agent_state.json", "alive");
            lab.write(Side::Laptop, "come/own_state.json", "mine");
        });
        settle(&lab, &first);
        assert!(
            lab.exists(Side::Server, "dir/agent_state.json"),
            "{at:?}: the state file is gone\n{first}"
        );
        assert_eq!(lab.read_text(Side::Server, "dir/agent_state.json"), "alive");
        assert!(!lab.exists(Side::Laptop, "dir/agent_state.json"), "{at:?}");
        assert_eq!(lab.read_text(Side::Laptop, "come/own_state.json"), "mine");
        assert!(
            !lab.exists(Side::Server, "come/own_state.json"),
            "{at:?}: state has crossed\n{first}"
        );
        assert!(!lab.exists(Side::Server, "dir/0.md"), "{at:?}\n{first}");
        assert_eq!(lab.read_text(Side::Server, "come/a.md"), "a");
    }
}
