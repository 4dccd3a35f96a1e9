//! The append-only lane when things break: kills in the middle of a transfer, cuts, a writer that never rests, old rsyncs.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use lab::{Lab, Side, need, wait_until};
use pair::{BALAUR, MAC, said};
use rustix::process::Signal;

const LOG: &str =
    "bwlimit = \"BW\"\n\n[[peer.log]]\nremote = \"logs/app.log\"\nlocal = \"logs/app.log\"\n";

fn lab_with_limit(bytes_per_second: &str) -> Option<Lab> {
    if !need(&["ssh", "sshd", "ssh-keygen", "rsync"]) {
        return None;
    }
    let lab = Lab::new();
    fs::create_dir_all(lab.tree(BALAUR).join("logs")).unwrap();
    lab.policy(&LOG.replace("BW", bytes_per_second));
    Some(lab)
}

fn far(lab: &Lab) -> PathBuf {
    lab.tree(BALAUR).join("logs/app.log")
}

fn near(lab: &Lab) -> PathBuf {
    lab.tree(MAC).join("logs/app.log")
}

fn add(lab: &Lab, megabytes: usize) {
    let mut file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(far(lab))
        .unwrap();
    let start = file.metadata().unwrap().len();
    let mut text = String::new();
    for n in 0..megabytes * 16_384 {
        text += &format!("{start:012} {n:012} {}\n", "x".repeat(37));
    }
    file.write_all(text.as_bytes()).unwrap();
}

/// Bytes that lie in a stage beside the log right now.
fn staged(lab: &Lab) -> u64 {
    let Ok(dir) = fs::read_dir(lab.tree(MAC).join("logs")) else {
        return 0;
    };
    dir.filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| {
            p.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with(".ubos-sync.")
        })
        .filter_map(|p| fs::metadata(p.join("app.log")).ok())
        .map(|m| m.len())
        .max()
        .unwrap_or(0)
}

#[test]
fn lg_12_kills_in_the_middle_of_a_transfer_leave_a_prefix_and_the_next_pull_completes() {
    // Slow enough that there is a middle, also for a signal that a busy machine delivers late.
    let Some(mut lab) = lab_with_limit("2MiB") else {
        return;
    };
    add(&lab, 1);
    said(lab.run(&["logs", "--apply", "--json"]), 0);
    for kill in 0..6 {
        add(&lab, 4);
        let before = fs::read(near(&lab)).unwrap();
        let run = lab.spawn(&["logs", "--apply"]);
        wait_until("new bytes arrive in the stage", || {
            staged(&lab) > before.len() as u64 + (1 << 20)
        });
        match kill {
            0 => run.kill(),
            1 => run.signal(Signal::TERM),
            2 => run.signal(Signal::INT),
            3 => drop(run.kill_program("rsync")),
            4 => lab.sshd().kill_sessions(),
            _ => lab.sshd().drop_connections(),
        }
        let out = run.wait();
        match kill {
            1 => assert_eq!(out.code, 143, "{}", out.stdout),
            2 => assert_eq!(out.code, 130, "{}", out.stdout),
            _ => {}
        }
        let there = fs::read(far(&lab)).unwrap();
        let here = fs::read(near(&lab)).unwrap();
        assert!(there.starts_with(&here), "kill {kill}: a prefix");
        assert!(
            here.starts_with(&before),
            "kill {kill}: every byte that was held"
        );
        said(lab.run(&["logs", "--apply", "--json"]), 0);
        assert_eq!(
            fs::read(near(&lab)).unwrap(),
            there,
            "kill {kill}: complete"
        );
        assert_eq!(staged(&lab), 0, "kill {kill}: no stage is left");
    }
}

#[test]
fn lg_09_a_writer_that_never_rests_is_complete_after_a_quiet_pull() {
    let Some(lab) = lab_with_limit("0") else {
        return;
    };
    fs::write(far(&lab), "").unwrap();
    let rest = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            let mut n = 0;
            while !rest.load(Ordering::Relaxed) {
                let mut file = fs::OpenOptions::new().append(true).open(far(&lab)).unwrap();
                writeln!(file, "line {n}").unwrap();
                n += 1;
            }
        });
        for _ in 0..4 {
            said(lab.run(&["logs", "--apply", "--json"]), 0);
            let here = fs::read(near(&lab)).unwrap();
            assert!(fs::read(far(&lab)).unwrap().starts_with(&here));
        }
        rest.store(true, Ordering::Relaxed);
    });
    said(lab.run(&["logs", "--apply", "--json"]), 0);
    assert_eq!(fs::read(near(&lab)).unwrap(), fs::read(far(&lab)).unwrap());
}

#[test]
fn an_old_rsync_on_either_side_gets_the_conservative_way() {
    for old in Side::BOTH {
        if !need(&["ssh", "sshd", "ssh-keygen", "rsync"]) {
            return;
        }
        let lab = Lab::builder().injectable().build();
        fs::create_dir_all(lab.tree(BALAUR).join("logs")).unwrap();
        lab.policy(&LOG.replace("BW", "0"));
        // A real rsync that speaks protocol 29 and says it is the one that Macs ship.
        let script = "case \"$*\" in *--append-verify*) exit 1 ;; *--version*) echo 'rsync  version 2.6.9  protocol version 29'; exit ;; esac\n\
                      case \"$1\" in --server) exec \"$REAL\" \"$@\" ;; esac\nexec \"$REAL\" --protocol=29 \"$@\"\n";
        lab.stand_in(old, "rsync", script);
        add(&lab, 2);
        said(lab.run(&["logs", "--apply", "--json"]), 0);
        add(&lab, 1);
        let json = said(lab.run(&["logs", "--apply", "--json"]), 0);
        assert_eq!(json["lanes"][0]["action"], "append", "{json:#}");
        assert_eq!(
            fs::read(near(&lab)).unwrap(),
            fs::read(far(&lab)).unwrap(),
            "old on {}",
            old.host()
        );
        fs::write(far(&lab), "another generation\n").unwrap();
        said(lab.run(&["logs", "--apply", "--json"]), 4);
        assert_eq!(
            fs::read_to_string(near(&lab)).unwrap(),
            "another generation\n"
        );
    }
}

#[test]
fn a_transfer_that_stands_still_is_ended_tried_again_and_said() {
    if !need(&["ssh", "sshd", "ssh-keygen", "rsync"]) {
        return;
    }
    let lab = Lab::builder().injectable().build();
    fs::create_dir_all(lab.tree(BALAUR).join("logs")).unwrap();
    lab.policy(&LOG.replace("BW", "0"));
    let text = fs::read_to_string(lab.policy_file(MAC)).unwrap();
    let text = text.replacen("[[peer]]", "[[peer]]\nstall = \"1s\"", 1);
    lab.write_policy(MAC, &text);
    add(&lab, 2);
    let was = fs::read(far(&lab)).unwrap();
    // Its far half hangs; the second time for good, the first time only once.
    let once = lab.root().join("hung");
    for (script, code) in [
        (
            format!(
                "case \"$1\" in --server) [ -e '{0}' ] || {{ : >'{0}'; sleep 60; }} ;; esac\nexec \"$REAL\" \"$@\"\n",
                once.display()
            ),
            0,
        ),
        (
            "case \"$1\" in --server) sleep 60 ;; esac\nexec \"$REAL\" \"$@\"\n".to_owned(),
            1,
        ),
    ] {
        lab.stand_in(BALAUR, "rsync", &script);
        let json = said(lab.run(&["logs", "--apply", "--json"]), code);
        if code == 1 {
            let message = json["lanes"][0]["message"].as_str().unwrap();
            assert!(message.contains("nothing has moved for 1 s"), "{json:#}");
        }
        assert_eq!(fs::read(near(&lab)).unwrap(), was);
        add(&lab, 1);
    }
}

#[test]
fn without_rsync_nothing_is_touched_and_the_host_is_named() {
    if !need(&["ssh", "sshd", "ssh-keygen", "rsync"]) {
        return;
    }
    for side in Side::BOTH {
        let lab = Lab::builder().hide(side, &["rsync"]).build();
        fs::create_dir_all(lab.tree(BALAUR).join("logs")).unwrap();
        lab.policy(&LOG.replace("BW", "0"));
        add(&lab, 1);
        let json = said(lab.run(&["logs", "--apply", "--json"]), 1);
        let said = json["lanes"][0]["message"].as_str().unwrap();
        let host = match side {
            Side::Laptop => "this host",
            other => other.host(),
        };
        assert!(said.contains(host) && said.contains("rsync"), "{said}");
        assert!(!near(&lab).exists());
    }
}

#[test]
fn a_full_disk_keeps_what_is_held_and_the_guard_says_what_is_missing() {
    let Some(lab) = lab_with_limit("0") else {
        return;
    };
    add(&lab, 1);
    said(lab.run(&["logs", "--apply", "--json"]), 0);
    let before = fs::read(near(&lab)).unwrap();
    add(&lab, 1);
    lab.policy(&(LOG.replace("BW", "0") + "\n[guards]\nmin_free_space = \"900TiB\"\n"));
    let json = said(lab.run(&["logs", "--apply", "--json"]), 3);
    pair::found(&json, "free_space", "refuse");
    assert_eq!(fs::read(near(&lab)).unwrap(), before);
    said(
        lab.run(&["logs", "--apply", "--allow", "free_space", "--json"]),
        0,
    );
    assert_eq!(fs::read(near(&lab)).unwrap(), fs::read(far(&lab)).unwrap());
}

#[test]
fn a_log_that_is_rotated_under_the_pull_is_looked_at_anew() {
    if !need(&["ssh", "sshd", "ssh-keygen", "rsync"]) {
        return;
    }
    let lab = Lab::new();
    fs::create_dir_all(lab.tree(BALAUR).join("logs")).unwrap();
    // A stand-in for the peer's rsync that rotates the log at the worst moment, once.
    let rsync = lab.root().join("rotating-rsync");
    let script = format!(
        "#!/bin/sh\ncd {0:?} && [ \"$1\" = --server ] && [ -f ../rotate ] && rm ../rotate && mv logs/app.log logs/app.log.1 && echo young >logs/app.log\ncd - >/dev/null\nexec rsync \"$@\"\n",
        lab.tree(BALAUR)
    );
    fs::write(&rsync, script.replace("cd - >/dev/null", "cd logs")).unwrap();
    fs::set_permissions(&rsync, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    lab.policy(&format!(
        "rsync = {rsync:?}\n\n[[peer.log]]\nremote = \"logs/app.log\"\nlocal = \"logs/app.log\"\n"
    ));
    fs::write(far(&lab), "one\n").unwrap();
    said(lab.run(&["logs", "--apply", "--json"]), 0);
    fs::write(far(&lab), "one\ntwo\n").unwrap();
    fs::write(lab.tree(BALAUR).join("../rotate"), "").unwrap();
    let json = said(lab.run(&["logs", "--apply", "--json"]), 0);
    assert_eq!(json["lanes"][0]["action"], "rotated", "{json:#}");
    assert!(!lab.tree(BALAUR).join("../rotate").exists());
    assert_eq!(fs::read_to_string(near(&lab)).unwrap(), "young\n");
    let old: Vec<PathBuf> = fs::read_dir(lab.tree(MAC).join("logs"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.to_string_lossy().contains(".g0001."))
        .collect();
    assert_eq!(old.len(), 1, "{old:?}");
    assert_eq!(fs::read_to_string(&old[0]).unwrap(), "one\ntwo\n");
}
