//! One run at a time on a pair: who holds the lock is named, and nothing that died holds it.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lab::{At, Lab, Output, Side, alive, need, wait_until};
use rustix::process::Signal;

fn ready() -> bool {
    need(&["ssh", "sshd", "ssh-keygen", "unison"])
}

/// A pair that has synced one file, and has one to carry now.
fn pair() -> Lab {
    let lab = Lab::builder().injectable().build();
    lab.policy("");
    lab.write(Side::Laptop, "docs/old.md", "old");
    lab.run(&["truth", "--apply"]).expect(0);
    lab.write(Side::Laptop, "docs/new.md", "new");
    lab
}

/// A run that carries something out, held on the given host.
fn held(lab: &Lab, side: Side) -> (lab::Running, lab::Gate) {
    let gate = lab.gate(side, At::Start);
    let run = lab.spawn(&["truth", "--apply"]);
    gate.wait();
    (run, gate)
}

fn let_go(lab: &Lab, gate: &lab::Gate) {
    lab.no_stand_in(Side::Laptop, "unison");
    lab.no_stand_in(Side::Server, "unison");
    gate.open();
}

fn findings(out: &Output) -> String {
    out.json()["findings"].to_string()
}

fn lock_dir(lab: &Lab, side: Side) -> PathBuf {
    lab.state_dir(side).join("lock.d")
}

fn sleeper(lab: &Lab) -> lab::Running {
    let mut c = lab.tool(Side::Server, "sleep");
    c.arg("300");
    lab.start(c)
}

/// What the lock of a run that lives says of it, where the system tells when a process began.
fn owner_of(run: &lab::Running) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", run.pid())).ok()?;
    let born = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.to_owned();
    Some(format!(
        "nonce=n\npid={}\nborn={born}\nboot={}\nremote=1\ndriver=elsewhere\ndriver_pid=4711\ncommand=full\nsince=2026-01-01T00:00:00Z\nrun=r\n",
        run.pid(),
        boot_id()
    ))
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

#[test]
fn cc_03_three_at_once_one_runs_and_the_others_name_it() {
    if !ready() {
        return;
    }
    let lab = pair();
    let before = Side::BOTH.map(|s| lab.snapshot(s));
    let (first, gate) = held(&lab, Side::Laptop);
    for args in [
        &["truth", "--apply", "--json"][..],
        &["truth", "--json"],
        &["truth", "--apply", "--json", "--wait", "0"],
    ] {
        let out = lab.run(args).expect(6);
        assert_eq!(out.json()["outcome"], "locked", "{out}");
        let said = findings(&out);
        for word in [
            &format!("pid {}", first.pid()),
            "mac",
            "truth",
            "since 20",
            "Z",
        ] {
            assert!(said.contains(word), "no `{word}` in {said}");
        }
    }
    let human = lab.run(&["truth", "--apply"]).expect(6);
    let said = format!("{}{}", human.stdout, human.stderr);
    assert!(said.contains(&format!("pid {}", first.pid())), "{human}");
    for (side, was) in Side::BOTH.iter().zip(&before) {
        was.assert_unchanged(&lab.tree(*side), "runs that met a lock");
    }
    let_go(&lab, &gate);
    first.wait().expect(0);
    lab.assert_equal_truth(&[]);
    lab.run(&["runs", "verify"]).expect(0);
}

#[test]
fn cc_03_a_run_that_waits_gets_its_turn() {
    if !ready() {
        return;
    }
    let lab = pair();
    let (first, gate) = held(&lab, Side::Laptop);
    let mut second = lab.spawn(&["truth", "--apply", "--wait", "1m", "--json"]);
    lab.run(&["truth"]).expect(6);
    assert!(!second.finished());
    let_go(&lab, &gate);
    first.wait().expect(0);
    let out = second.wait().expect(0);
    assert_eq!(out.json()["outcome"], "in-sync");
}

#[test]
fn cc_03_a_run_of_the_server_meets_the_lock_of_the_laptop_s_run() {
    if !ready() {
        return;
    }
    let mut lab = pair();
    lab.server_policy("");
    let (first, gate) = held(&lab, Side::Server);
    let before = Side::BOTH.map(|s| lab.snapshot(s));
    let out = lab
        .run_on(Side::Server, &["truth", "--apply", "--json"])
        .expect(6);
    assert_eq!(out.json()["outcome"], "locked", "{out}");
    let said = findings(&out);
    for word in [&format!("pid {} on mac", first.pid()), "truth", "since 20"] {
        assert!(said.contains(word), "no `{word}` in {said}");
    }
    for (side, was) in Side::BOTH.iter().zip(&before) {
        was.assert_unchanged(&lab.tree(*side), "a run that met a lock");
    }
    let waits = lab.spawn_on(Side::Server, &["truth", "--apply", "--wait", "1m"]);
    let_go(&lab, &gate);
    first.wait().expect(0);
    waits.wait().expect(0);
    lab.assert_equal_truth(&[]);
}

#[test]
fn cc_03_two_hosts_that_start_at_the_same_moment_do_not_both_give_up() {
    if !ready() {
        return;
    }
    let mut lab = pair();
    lab.server_policy("");
    for n in 0..6 {
        lab.write(Side::Laptop, "docs/tie.md", format!("{n}"));
        let both = Side::BOTH.map(|s| lab.spawn_on(s, &["truth", "--apply"]));
        let [laptop, server] = both.map(|run| run.wait());
        let one_did_it = [&laptop, &server].iter().any(|run| run.code == 0);
        assert!(one_did_it, "laptop: {laptop}\nserver: {server}");
        lab.assert_equal_truth(&[]);
    }
}

#[test]
fn cr_11_a_killed_holder_leaves_nothing_stuck_and_no_engine_on_either_host() {
    if !ready() {
        return;
    }
    let lab = pair();
    for at in Side::BOTH {
        let (first, gate) = held(&lab, at);
        // Only processes of this run: sshd itself is a program of the lab too.
        let engines: Vec<u32> = lab
            .processes()
            .iter()
            .filter(|p| p.program() == "unison" || p.command.contains("-bin/unison"))
            .map(|p| p.pid)
            .collect();
        assert!(!engines.is_empty());
        first.kill();
        first.wait().expect(137);
        let next = lab.gate(Side::Laptop, At::Start);
        let run = lab.spawn(&["truth", "--apply", "--wait", "10s"]);
        next.wait();
        for pid in &engines {
            assert!(!alive(*pid), "engine {pid} of the dead run still runs");
        }
        gate.open();
        let_go(&lab, &next);
        run.wait().expect(0);
        lab.assert_equal_truth(&[]);
        for side in Side::BOTH {
            assert!(!lock_dir(&lab, side).exists());
        }
        lab.write(Side::Laptop, format!("docs/after {}.md", at.host()), "x");
    }
}

#[test]
fn cr_11_engines_whose_whole_run_died_are_ended_before_the_next_begins() {
    if !ready() {
        return;
    }
    let mut lab = pair();
    // The far engine stands; the near one waits for its answer. Everything around them is killed at once.
    let (first, gate) = held(&lab, Side::Server);
    let is_engine = |p: &lab::Proc| {
        p.program() == "unison" || p.command.contains("/unison ") || p.command.contains("unison -s")
    };
    let all = lab.processes();
    let engines: Vec<u32> = all.iter().filter(|p| is_engine(p)).map(|p| p.pid).collect();
    assert!(engines.len() >= 2, "{all:?}");
    let sshd = lab.sshd().sessions();
    first.kill();
    for p in all.iter().chain(&sshd) {
        if !engines.contains(&p.pid) && !is_listener(&lab, p) && p.program() != "sleep" {
            lab::signal(p.pid, Signal::KILL);
        }
    }
    first.wait().expect(137);
    assert!(lock_dir(&lab, Side::Server).is_dir());
    lab.no_stand_in(Side::Server, "unison");
    let next = lab.gate(Side::Laptop, At::Start);
    let run = lab.spawn(&["truth", "--apply", "--json"]);
    next.wait();
    for pid in &engines {
        assert!(!alive(*pid), "engine {pid} of the dead run still runs");
    }
    let_go(&lab, &next);
    gate.open();
    let out = run.wait().expect(0);
    assert!(findings(&out).contains("was taken over on balaur"), "{out}");
    lab.assert_equal_truth(&[]);
}

/// The sshd that listens, not one of its sessions.
fn is_listener(lab: &Lab, p: &lab::Proc) -> bool {
    p.command.contains("sshd_config") && p.command.contains(lab.root().to_str().unwrap())
        || p.command.contains("listener")
}

#[test]
fn cr_11_locks_of_the_dead_are_taken_over() {
    if !ready() {
        return;
    }
    let lab = pair();
    let live = std::process::id();
    let boot = boot_id();
    let owner = |pid: u32, born: &str, boot: &str| {
        format!(
            "nonce=n\npid={pid}\nborn={born}\nboot={boot}\nremote=1\ndriver=x\ndriver_pid=1\ncommand=truth\nsince=s\nrun=20200101T000000Z-truth-000000\n"
        )
    };
    let cases = [
        ("a dead pid", Some(owner(u32::MAX / 4, "1", &boot))),
        ("a reused pid", Some(owner(live, "1", &boot))),
        ("another boot", Some(owner(live, "1", "another"))),
        ("an empty owner", Some(String::new())),
        ("no owner", None),
        ("nonsense", Some("\u{1b}[2J\0\n=\n".to_owned())),
    ];
    for (n, (what, text)) in cases.iter().enumerate() {
        for side in Side::BOTH {
            let dir = lock_dir(&lab, side);
            fs::create_dir_all(&dir).unwrap();
            if let Some(text) = text {
                fs::write(dir.join("owner"), text).unwrap();
            }
        }
        lab.write(Side::Laptop, format!("docs/{n}.md"), what);
        let out = lab.run(&["truth", "--apply"]);
        assert_eq!(out.code, 0, "{what}\n{out}");
        lab.assert_equal_truth(&[]);
        for side in Side::BOTH {
            assert!(!lock_dir(&lab, side).exists(), "{what}");
        }
    }
}

#[test]
fn cr_11_a_live_owner_is_honoured_and_an_owner_that_cannot_be_read_is_named() {
    if !ready() {
        return;
    }
    let lab = pair();
    let before = Side::BOTH.map(|s| lab.snapshot(s));
    let sleeper = sleeper(&lab);
    if let Some(owner) = owner_of(&sleeper) {
        let dir = lock_dir(&lab, Side::Server);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("beat"), "").unwrap();
        fs::write(dir.join("owner"), owner).unwrap();
        let out = lab.run(&["truth", "--apply", "--json"]).expect(6);
        assert!(findings(&out).contains("pid 4711 on elsewhere"), "{out}");
        assert!(alive(sleeper.pid()));
        fs::remove_dir_all(dir).unwrap();
    }
    for side in Side::BOTH {
        let dir = lock_dir(&lab, side);
        fs::create_dir_all(dir.join("owner")).unwrap();
        let out = lab.run(&["truth", "--apply", "--json"]).expect(3);
        assert!(out.stdout.contains("lock.d/owner"), "{out}");
        assert!(dir.join("owner").is_dir());
        fs::remove_dir_all(dir).unwrap();
    }
    for (side, was) in Side::BOTH.iter().zip(&before) {
        was.assert_unchanged(&lab.tree(*side), "runs that met a lock");
    }
    lab.run(&["truth", "--apply"]).expect(0);
}

#[test]
fn cc_03_a_lock_that_comes_and_goes_is_met_or_taken_and_never_called_strange() {
    if !ready() {
        return;
    }
    let lab = pair();
    let sleeper = sleeper(&lab);
    let Some(owner) = owner_of(&sleeper) else {
        return;
    };
    let dir = lock_dir(&lab, Side::Server);
    let stop = AtomicBool::new(false);
    let runs = std::thread::scope(|s| {
        s.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // A directory that a run took in between is that run's, and stays.
                if fs::create_dir(&dir).is_ok() {
                    let _ = fs::write(dir.join("beat"), "");
                    let _ = fs::write(dir.join("owner"), &owner);
                    std::thread::sleep(Duration::from_millis(10));
                    let _ = fs::remove_dir_all(&dir);
                }
            }
        });
        let runs = [(); 12].map(|()| lab.run(&["truth", "--apply"]));
        stop.store(true, Ordering::Relaxed);
        runs
    });
    for out in runs {
        assert!([0, 6].contains(&out.code), "{out}");
    }
    lab.run(&["truth", "--apply"]).expect(0);
    lab.assert_equal_truth(&[]);
}

#[test]
fn se_05_something_planted_at_a_lock_path_is_refused_and_left_alone() {
    if !ready() {
        return;
    }
    let lab = pair();
    let victim = lab.root().join("victim");
    fs::create_dir(&victim).unwrap();
    fs::write(victim.join("file"), "whole").unwrap();
    let site_lock = lab.state_dir(Side::Laptop).join("lock");
    fs::remove_file(&site_lock).unwrap();
    let places = [
        site_lock.clone(),
        lock_dir(&lab, Side::Laptop),
        lock_dir(&lab, Side::Server),
    ];
    for place in &places {
        for target in [victim.join("file"), victim.clone(), victim.join("nowhere")] {
            symlink(&target, place).unwrap();
            let out = lab.run(&["truth", "--apply", "--json"]);
            let why = format!("{} -> {}\n{out}", place.display(), target.display());
            assert_eq!(out.code, 3, "{why}");
            assert!(out.stdout.contains(place.to_str().unwrap()), "{why}");
            assert_eq!(fs::read_link(place).unwrap(), target, "{why}");
            assert_eq!(fs::read_to_string(victim.join("file")).unwrap(), "whole");
            assert_eq!(fs::read_dir(&victim).unwrap().count(), 1, "{why}");
            fs::remove_file(place).unwrap();
        }
    }
    assert!(!lab.exists(Side::Server, "docs/new.md"));
    lab.run(&["truth", "--apply"]).expect(0);
    lab.assert_equal_truth(&[]);
}

#[test]
fn the_lock_file_is_never_unlinked() {
    if !ready() {
        return;
    }
    let lab = pair();
    let file = lab.state_dir(Side::Laptop).join("lock");
    let inode = fs::metadata(&file).unwrap().ino();
    lab.run(&["truth"]).expect(0);
    lab.run(&["truth", "--apply"]).expect(0);
    let (first, gate) = held_after_edit(&lab);
    first.kill();
    first.wait().expect(137);
    let_go(&lab, &gate);
    lab.run(&["truth", "--apply", "--wait", "10s"]).expect(0);
    assert_eq!(fs::metadata(&file).unwrap().ino(), inode);
}

fn held_after_edit(lab: &Lab) -> (lab::Running, lab::Gate) {
    lab.write(Side::Laptop, "docs/more.md", "more");
    held(lab, Side::Laptop)
}

#[test]
fn two_dry_runs_at_once_touch_nothing_and_leave_nothing() {
    if !ready() {
        return;
    }
    let lab = pair();
    let before = Side::BOTH.map(|s| lab.snapshot(s));
    let gate = lab.gate(Side::Laptop, At::Start);
    let first = lab.spawn(&["truth"]);
    gate.wait();
    lab.run(&["truth"]).expect(6);
    let_go(&lab, &gate);
    first.wait().expect(0);
    wait_until("both locks are gone", || {
        Side::BOTH.iter().all(|s| !lock_dir(&lab, *s).exists())
    });
    for (side, was) in Side::BOTH.iter().zip(&before) {
        was.assert_unchanged(&lab.tree(*side), "two dry runs");
    }
}
