//! A disk that is full, on either host, under the tree or under the state directory, while a run keeps, applies or puts back.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use lab::{Disk, Lab, Side};
use pair::{BALAUR, MAC, S, T, said};

fn text(name: &str, version: u32, kib: usize) -> String {
    format!("{name} {version}\n").repeat(kib * 1024 / (name.len() + 3))
}

/// The content of every version of a document that lies anywhere below both hosts.
fn versions(lab: &Lab) -> BTreeSet<String> {
    fn walk(dir: &Path, out: &mut BTreeSet<String>) {
        for e in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = e.path();
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|x| x == "md") {
                out.insert(fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut out = BTreeSet::new();
    for side in Side::BOTH {
        walk(&lab.home(side), &mut out);
        walk(&lab.tree(side), &mut out);
    }
    out
}

fn live(lab: &Lab, side: Side) -> Vec<String> {
    let read = |name| fs::read_to_string(lab.tree(side).join(format!("docs/{name}.md"))).unwrap();
    ["a", "b", "c"].map(read).into()
}

/// A synced pair whose next run has 800 KiB for each side and 400 KiB to keep, with a small disk under a tree or a state directory.
fn small(side: Side, of_state: bool) -> Option<(Lab, Disk)> {
    let lab = pair::pair_with(Lab::builder(), "[guards]\nmin_free_space = \"0\"\n")?;
    for (name, t) in [("a", T), ("b", T), ("c", T)] {
        lab.write_at(MAC, format!("docs/{name}.md"), text(name, 1, 200), t);
    }
    pair::sync(&lab);
    let dir = match of_state {
        true => lab.home(side).join(".local/state/ubos-sync"),
        false => lab.tree(side),
    };
    assert!(dir.exists());
    let disk = Disk::under(&dir)?;
    lab.write_at(MAC, "docs/a.md", text("a", 2, 400), T + 10 * S);
    lab.write_at(BALAUR, "docs/b.md", text("b", 2, 400), T + 10 * S);
    lab.write_at(MAC, "docs/c.md", text("c", 2, 400), T + 10 * S);
    lab.write_at(BALAUR, "docs/c.md", text("c", 3, 400), T + 20 * S);
    Some((lab, disk))
}

/// Says which host, and in numbers what is missing.
#[track_caller]
fn tells(out: &lab::Output, side: Side) {
    let said = out.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let host = side.host();
    let told = [
        format!("the disk of {host} "),
        format!("a disk of {host}"),
        format!("{host} has "),
        format!("on {host}, where "),
        format!("the lock on {host} cannot be taken: nothing can be written in"),
    ];
    assert!(told.iter().any(|t| said.contains(t)), "{out}");
}

fn apply_on_a_full_disk(side: Side, of_state: bool, left: u64) {
    let Some((lab, disk)) = small(side, of_state) else {
        return;
    };
    disk.fill(left);
    let (before, known) = (versions(&lab), Side::BOTH.map(|s| live(&lab, s)));
    let mut last = 0;
    for allow in [None, Some("free_space")] {
        let mut args = vec!["truth", "--apply"];
        args.extend(allow.iter().flat_map(|a| ["--allow", a]));
        let out = lab.run(&args);
        last = out.code;
        assert!(
            matches!(out.code, 1 | 3),
            "{side:?} {of_state} {left}: {out}"
        );
        tells(&out, side);
        assert!(!out.stdout.contains("transfer instruction"), "{out}");
        let after = versions(&lab);
        let lost: Vec<&str> = before.difference(&after).map(|t| &t[..4]).collect();
        assert!(
            lost.is_empty(),
            "{side:?} {of_state} {left} {allow:?}: {lost:?} is gone\n{out}"
        );
        for text in Side::BOTH.into_iter().flat_map(|s| live(&lab, s)) {
            assert!(
                known.iter().flatten().any(|k| *k == text),
                "a torn file\n{out}"
            );
        }
    }
    assert!(matches!(last, 1 | 3));
    disk.empty();
    lab.run(&["truth", "--apply"]).expect(0);
    assert_eq!(live(&lab, MAC), live(&lab, BALAUR));
    assert_eq!(
        live(&lab, MAC),
        [text("a", 2, 400), text("b", 2, 400), text("c", 3, 400)]
    );
    let after = versions(&lab);
    assert!(before.is_subset(&after), "a version is gone after all");
}

#[test]
fn cr_09_an_apply_on_a_full_disk_under_the_tree_loses_nothing_and_says_where() {
    for side in Side::BOTH {
        for left in [0, 300_000] {
            apply_on_a_full_disk(side, false, left);
        }
    }
}

#[test]
fn cr_09_a_snapshot_that_finds_no_room_stops_the_apply() {
    for side in Side::BOTH {
        for left in [0, 60_000] {
            apply_on_a_full_disk(side, true, left);
        }
    }
}

#[test]
fn a_rollback_on_a_full_disk_loses_nothing_and_is_finished_when_there_is_room() {
    for (side, of_state) in [(MAC, false), (BALAUR, false), (MAC, true), (BALAUR, true)] {
        let Some((lab, disk)) = small(side, of_state) else {
            return;
        };
        let before = Side::BOTH.map(|s| live(&lab, s));
        let run = pair::sync(&lab)["run"].as_str().unwrap().to_owned();
        let all = versions(&lab);
        disk.fill(20_000);
        for allow in [None, Some("free_space")] {
            let mut args = vec!["rollback", &run, "--apply"];
            args.extend(allow.iter().flat_map(|a| ["--allow", a]));
            let out = lab.run(&args);
            assert!(matches!(out.code, 1 | 3), "{side:?} {of_state}: {out}");
            tells(&out, side);
            let lost: Vec<String> = all
                .difference(&versions(&lab))
                .map(|t| t[..4].into())
                .collect();
            assert!(
                lost.is_empty(),
                "{side:?} {of_state} {allow:?}: {lost:?} is gone\n{out}"
            );
        }
        disk.empty();
        said(lab.run(&["rollback", &run, "--apply", "--json"]), 0);
        assert_eq!(Side::BOTH.map(|s| live(&lab, s)), before);
    }
}

#[test]
fn a_pull_on_a_full_disk_keeps_what_is_held_and_goes_on_when_there_is_room() {
    let policy = "[guards]\nmin_free_space = \"0\"\n\n[[peer.log]]\nremote = \"logs/app.log\"\nlocal = \"pulled/app.log\"\n";
    if !lab::need(&["ssh", "sshd", "ssh-keygen", "rsync"]) {
        return;
    }
    let lab = Lab::new();
    lab.policy(policy);
    lab.write(BALAUR, "logs/app.log", text("line", 1, 200));
    let local = lab.tree(MAC).join("pulled");
    fs::create_dir_all(&local).unwrap();
    let Some(disk) = Disk::under(&local) else {
        return;
    };
    let pull = |more: &[&str]| lab.run(&[&["logs", "--apply"], more].concat());
    let held = || fs::read_to_string(local.join("app.log")).unwrap();
    pull(&[]).expect(0);
    let first = held();
    let whole = first.clone() + &text("line", 2, 1000);
    lab.write(BALAUR, "logs/app.log", &whole);
    disk.fill(400_000);
    let refused = pull(&[]).expect(3);
    assert!(refused.stdout.contains("free_space"), "{refused}");
    assert_eq!(held(), first);
    let failed = pull(&["--allow", "free_space"]).expect(1);
    let said = failed
        .stdout
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    for word in ["pulled is full: ", "goes on from there"] {
        assert!(said.contains(word), "{failed}");
    }
    // As much of it as there was room for, and never more than was proven.
    assert!(
        held().starts_with(&first) && whole.starts_with(&held()),
        "{failed}"
    );
    disk.empty();
    pull(&[]).expect(0);
    assert_eq!(held(), whole);
}

#[test]
fn a_worker_whose_peer_has_no_room_goes_on_by_itself_when_there_is_some() {
    let schedule = "[guards]\nmin_free_space = \"0\"\n[schedule]\ninterval = \"300ms\"\njitter = 0\nmin_interval = 0\nmax_failures = 1000\n";
    let Some(lab) = pair::pair_with(Lab::builder(), schedule) else {
        return;
    };
    lab.write_at(MAC, "docs/a.md", text("a", 1, 200), T);
    pair::sync(&lab);
    let Some(disk) = Disk::under(&lab.tree(BALAUR)) else {
        return;
    };
    disk.fill(64 << 10);
    lab.write_at(MAC, "docs/a.md", text("a", 2, 400), T + S);
    let running = lab.spawn(&["watch", "--apply"]);
    lab::wait_until("it fails for want of room", || {
        pair::worker(&lab, MAC)["failed"].as_u64() >= Some(2)
    });
    assert_eq!(lab.read_text(BALAUR, "docs/a.md"), text("a", 1, 200));
    disk.empty();
    lab::wait_until("there is room, and it arrives", || {
        lab.read_text(BALAUR, "docs/a.md") == text("a", 2, 400)
    });
    running.signal(rustix::process::Signal::TERM);
    let out = running.wait().expect(0);
    assert_eq!(pair::worker(&lab, MAC)["failures_in_row"], 0, "{out}");
}
