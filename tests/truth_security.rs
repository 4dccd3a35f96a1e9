//! What an attacker could plant or say (catalogue SE, as far as the two-way lane goes): names, links, keys, surroundings, records.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use lab::{Lab, Side, need};

const T0: i128 = 1_700_000_000_000_000_000;
const SECOND: i128 = 1_000_000_000;

fn ready() -> bool {
    need(&["ssh", "sshd", "ssh-keygen", "unison"])
}

fn synced() -> Lab {
    let lab = Lab::new();
    lab.policy("");
    for n in 0..6 {
        lab.write_at(Side::Laptop, format!("docs/{n}"), format!("file {n}"), T0);
    }
    lab.run(&["truth", "--apply"]).expect(0);
    lab
}

/// Every human log and record of the laptop.
fn logs(lab: &Lab) -> Vec<(String, String)> {
    let dir = lab.home(Side::Laptop).join("logs");
    let files = |dir: &Path| -> Vec<_> {
        let list = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
        list.filter(|p| p.is_file()).collect()
    };
    let mut all = files(&dir);
    all.extend(files(&dir.join("runs")));
    all.iter()
        .map(|p| {
            let text = String::from_utf8_lossy(&std::fs::read(p).unwrap()).into_owned();
            (p.display().to_string(), text)
        })
        .collect()
}

/// Puts something where the program expects its own.
type Plant<'a> = &'a dyn Fn(&Path);

fn inert(text: &str) -> bool {
    text.chars().all(|c| {
        c == '\n'
            || !(c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    })
}

#[test]
fn se_01_02_nothing_from_disk_or_the_engine_drives_a_terminal_or_forges_a_line() {
    if !ready() {
        return;
    }
    let lab = synced();
    let evil: &[u8] = b"evil\x1b[2J\x07\n  done       delete   mac \xe2\x86\x92 balaur  forged";
    lab.write_at(Side::Laptop, evil, "x", T0);
    lab.symlink(
        Side::Server,
        "link\u{9b}31m",
        "to\x1b]0;title\x07\n\u{202e}",
    );
    lab.write_at(Side::Laptop, "contest\r\x1b[A", "one", T0);
    lab.write_at(Side::Server, "contest\r\x1b[A", "two", T0);
    for args in [
        &["truth", "--all"][..],
        &["truth", "--json"],
        &["truth", "--apply", "-v"],
        &["runs", "show", "last"],
    ] {
        let out = lab.run(args);
        assert!(matches!(out.code, 0 | 4), "{out}");
        assert!(inert(&out.stdout) && inert(&out.stderr), "{args:?}\n{out}");
    }
    assert_eq!(lab.read(Side::Server, evil), b"x");
    // What fails is said by the engine, too.
    lab.write_at(Side::Laptop, evil, "edited", T0 + SECOND);
    lab.run(&["truth", "--apply"]);
    let explained = lab.run(&["explain", "evil\x1b[2J"]);
    assert!(
        inert(&explained.stdout) && inert(&explained.stderr),
        "{explained}"
    );
    for (file, text) in logs(&lab) {
        assert!(inert(&text), "{file}\n{text}");
        let forged = text
            .lines()
            .any(|l| l.trim_start().starts_with("done       delete"));
        assert!(!forged, "{file}\n{text}");
    }
    lab.run(&["runs", "verify"]).expect(0);
}

#[test]
fn se_03_records_archives_and_kept_versions_are_nobody_elses_to_read() {
    if !ready() {
        return;
    }
    let lab = synced();
    lab.write_at(Side::Laptop, "docs/0", "edited", T0 + SECOND);
    lab.run(&["truth", "--apply"]).expect(0);
    for side in Side::BOTH {
        let state = lab.state_dir(side);
        for dir in [
            state.clone(),
            state.join("pairs"),
            state.join("pairs/balaur+mac"),
        ] {
            assert_eq!(
                dir.metadata().unwrap().permissions().mode() & 0o777,
                0o700,
                "{}",
                dir.display()
            );
        }
    }
    let runs = lab.home(Side::Laptop).join("logs/runs");
    for (file, _) in logs(&lab) {
        assert_eq!(
            Path::new(&file).metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{file}"
        );
    }
    assert_eq!(runs.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let temp = std::fs::read_dir(lab.root().join("tmp")).unwrap().count();
    assert_eq!(
        temp, 0,
        "nothing is put where another user could foresee it"
    );
}

#[test]
fn se_05_06_planted_links_and_pipes_are_refused_and_their_targets_whole() {
    if !ready() {
        return;
    }
    let lab = synced();
    lab.write_at(Side::Laptop, "docs/0", "edited", T0 + SECOND);
    let before = Side::BOTH.map(|side| lab.snapshot(side));
    let victim = lab.root().join("victim");
    std::fs::write(&victim, "whole").unwrap();
    let elsewhere = lab.root().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let state = lab.state_dir(Side::Laptop);
    let logs = lab.home(Side::Laptop).join("logs");
    let plant: [(&str, &Path, Plant); 7] = [
        ("a link as lock", &state.join("lock"), &|p| {
            symlink(&victim, p).unwrap()
        }),
        ("a hard link as lock", &state.join("lock"), &|p| {
            std::fs::hard_link(&victim, p).unwrap()
        }),
        ("a directory as lock", &state.join("lock"), &|p| {
            std::fs::create_dir(p).unwrap()
        }),
        ("a pipe as lock", &state.join("lock"), &|p| {
            assert!(
                std::process::Command::new("mkfifo")
                    .arg(p)
                    .status()
                    .unwrap()
                    .success()
            );
        }),
        ("a link as state directory", &state, &|p| {
            symlink(&elsewhere, p).unwrap()
        }),
        ("a link as log directory", &logs, &|p| {
            symlink(&elsewhere, p).unwrap()
        }),
        ("a link as records", &logs.join("runs"), &|p| {
            symlink(&elsewhere, p).unwrap()
        }),
    ];
    for (what, place, make) in plant {
        let aside = lab.root().join("aside");
        std::fs::rename(place, &aside).unwrap();
        make(place);
        let out = lab.run(&["truth", "--apply"]);
        assert!(!matches!(out.code, 0 | 4 | 7 | 101), "{what}\n{out}");
        assert!(
            !(out.stdout.clone() + &out.stderr).contains("panicked"),
            "{what}\n{out}"
        );
        assert_eq!(std::fs::read(&victim).unwrap(), b"whole", "{what}");
        assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0, "{what}");
        for (side, before) in Side::BOTH.iter().zip(&before) {
            before.assert_unchanged(&lab.tree(*side), what);
        }
        match place.symlink_metadata().unwrap().is_dir() {
            true => std::fs::remove_dir_all(place).unwrap(),
            false => std::fs::remove_file(place).unwrap(),
        }
        std::fs::rename(&aside, place).unwrap();
    }
    lab.run(&["truth", "--apply"]).expect(0);
    lab.assert_equal_truth(&[]);
}

#[test]
fn se_11_the_environment_of_the_caller_steers_no_child() {
    if !ready() {
        return;
    }
    let lab = synced();
    lab.write_at(Side::Laptop, "docs/0", "edited", T0 + SECOND);
    // The current directory and a relative one hold programs of our tools' names.
    let here = lab.home(Side::Laptop).join("here");
    std::fs::create_dir_all(here.join("bin")).unwrap();
    let trace = lab.root().join("started");
    for name in [
        "ssh",
        "unison",
        "rsync",
        "sh",
        "sha256sum",
        "find",
        "stat",
        "date",
    ] {
        for dir in [&here, &here.join("bin")] {
            let file = dir.join(name);
            std::fs::write(
                &file,
                format!("#!/bin/sh\necho {name} >>{}\nexit 1\n", trace.display()),
            )
            .unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    let mut command = lab.command(Side::Laptop);
    let path = std::env::var("PATH").unwrap_or_default();
    let hostile = trace.display().to_string();
    command
        .current_dir(&here)
        .env("PATH", format!(".:bin::{path}"))
        .env("UNISON", "/nonexistent")
        .env("UNISONLOCALHOSTNAME", "evil")
        .env("UNISONBACKUPDIR", "/nonexistent")
        .env("RSYNC_RSH", format!("touch {hostile}"))
        .env("RSYNC_PROXY", "localhost:1")
        .env("RSYNC_CONNECT_PROG", format!("touch {hostile}"))
        .env("SSH_ASKPASS", here.join("ssh"))
        .env("SSH_ASKPASS_REQUIRE", "force")
        .env("GIT_DIR", "/nonexistent")
        .env("ENV", here.join("ssh"))
        .env("BASH_ENV", here.join("ssh"))
        .env("IFS", "/")
        .env("CDPATH", "/")
        .env("LC_ALL", "tr_TR.UTF-8")
        .env("TZ", "Asia/Kathmandu")
        .args(["truth", "--apply", "--json"]);
    let out = lab.start(command).wait().expect(0);
    assert!(
        !trace.exists(),
        "{}",
        std::fs::read_to_string(&trace).unwrap_or_default()
    );
    assert_eq!(out.json()["outcome"], "applied");
    assert_eq!(
        lab.run(&["truth", "--json"]).expect(0).json()["outcome"],
        "in-sync"
    );
    lab.assert_equal_truth(&[]);
}

#[test]
fn se_13_a_host_key_that_changed_or_is_unknown_is_never_accepted() {
    if !ready() {
        return;
    }
    let lab = synced();
    lab.write_at(Side::Laptop, "docs/0", "edited", T0 + SECOND);
    let known = std::fs::read_to_string(lab.known_hosts()).unwrap();
    let client = std::fs::read_to_string(lab.root().join("ssh/client.pub")).unwrap();
    let key = client.split(' ').nth(1).unwrap();
    let before = Side::BOTH.map(|side| lab.snapshot(side));
    for (what, text) in [
        ("accepted", format!("balaur ssh-ed25519 {key}\n")),
        ("nobody has accepted", String::new()),
    ] {
        std::fs::write(lab.known_hosts(), &text).unwrap();
        let out = lab.run(&["truth", "--apply"]);
        assert!(matches!(out.code, 1 | 3), "{out}");
        assert!(out.stdout.replace("\n  ", " ").contains(what), "{out}");
        assert!(out.stdout.contains("ssh-keyscan"), "{out}");
        assert_eq!(std::fs::read_to_string(lab.known_hosts()).unwrap(), text);
        for (side, before) in Side::BOTH.iter().zip(&before) {
            before.assert_unchanged(&lab.tree(*side), what);
        }
    }
    std::fs::write(lab.known_hosts(), known).unwrap();
    lab.run(&["truth", "--apply"]).expect(0);
}

#[test]
fn se_14_an_altered_or_removed_record_is_told_by_runs_verify() {
    if !ready() {
        return;
    }
    let lab = synced();
    lab.run(&["truth"]).expect(0);
    lab.run(&["truth", "--apply"]).expect(0);
    lab.run(&["runs", "verify"]).expect(0);
    let runs = lab.home(Side::Laptop).join("logs/runs");
    let mut records: Vec<_> = std::fs::read_dir(&runs)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    records.retain(|p| p.extension().is_some_and(|e| e == "json"));
    records.sort();
    let middle = std::fs::read_to_string(&records[1]).unwrap();
    // A word that every record has: runs of one second do not sort in the order in which they ran.
    let altered = middle.replace("\"command\": \"truth\"", "\"command\": \"other\"");
    assert_ne!(altered, middle);
    std::fs::write(&records[1], altered).unwrap();
    lab.run(&["runs", "verify"]).expect(1);
    std::fs::remove_file(&records[1]).unwrap();
    lab.run(&["runs", "verify"]).expect(1);
    std::fs::write(&records[1], middle).unwrap();
    std::fs::set_permissions(&records[1], std::fs::Permissions::from_mode(0o600)).unwrap();
    lab.run(&["runs", "verify"]).expect(0);
}
