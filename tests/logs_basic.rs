//! The append-only lane over a real sshd: growth, rotation, truncation, rewriting, odd names, edits on this side.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;

use lab::{Lab, Side, Snapshot, need};
use pair::{BALAUR, MAC, said};
use serde_json::Value;

const LOGS: &str = r#"
  [[peer.log]]
  remote = "logs/*.log"
  local = "pulled"

  [[peer.log]]
  remote = "logs/mission_log.jsonl"
  local = "logs/mission_log.jsonl"
"#;

fn lab_with(text: &str) -> Option<Lab> {
    if !need(&["ssh", "sshd", "ssh-keygen", "rsync"]) {
        return None;
    }
    let lab = Lab::new();
    fs::create_dir_all(lab.tree(BALAUR).join("logs")).unwrap();
    lab.policy(text);
    Some(lab)
}

/// A lab with one named log of three lines.
fn one() -> Option<Lab> {
    let lab = lab_with("\n[[peer.log]]\nremote = \"logs/app.log\"\nlocal = \"logs/app.log\"\n")?;
    put(&lab, "app.log", "one\ntwo\nthree\n");
    Some(lab)
}

fn far(lab: &Lab, name: &str) -> PathBuf {
    lab.tree(BALAUR).join("logs").join(name)
}

fn near(lab: &Lab, name: &str) -> PathBuf {
    lab.tree(MAC).join("logs").join(name)
}

fn put(lab: &Lab, name: &str, text: impl AsRef<[u8]>) {
    fs::write(far(lab, name), text).unwrap();
}

fn add(lab: &Lab, name: &str, text: impl AsRef<[u8]>) {
    use std::io::Write;
    let mut file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(far(lab, name))
        .unwrap();
    file.write_all(text.as_ref()).unwrap();
}

#[track_caller]
fn pull(lab: &Lab, code: i32) -> Value {
    said(lab.run(&["logs", "--apply", "--json"]), code)
}

#[track_caller]
fn lane<'a>(json: &'a Value, log: &str) -> &'a Value {
    let lanes = json["lanes"].as_array().unwrap();
    let found = lanes.iter().find(|l| l["log"] == log);
    found.unwrap_or_else(|| panic!("no lane of {log}: {json:#}"))
}

/// The only archived generation of `logs/app.log`, as text.
fn archived(lab: &Lab, marker: &str) -> Vec<String> {
    let dir = lab.tree(MAC).join("logs");
    let mut names: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.file_name().unwrap().to_string_lossy().contains(marker))
        .collect();
    names.sort();
    names
        .iter()
        .map(|p| fs::read_to_string(p).unwrap())
        .collect()
}

fn held(lab: &Lab) -> String {
    fs::read_to_string(near(lab, "app.log")).unwrap()
}

#[test]
fn a_dry_run_says_what_would_come_and_touches_nothing() {
    let Some(lab) = one() else { return };
    let before = Side::BOTH.map(|s| lab.snapshot(s));
    let json = said(lab.run(&["logs", "--json"]), 0);
    let l = lane(&json, "logs/app.log");
    assert_eq!(
        (&l["outcome"], &l["action"]),
        (&"pending".into(), &"first".into()),
        "{json:#}"
    );
    assert_eq!(
        (&l["bytes"], &l["have"], &l["lines"]),
        (&14.into(), &0.into(), &3.into()),
        "{json:#}"
    );
    for (side, before) in Side::BOTH.into_iter().zip(&before) {
        before.assert_unchanged(&lab.tree(side), "a dry run");
    }
    assert_eq!(
        said(lab.run(&["logs", "--json", "--exit-code"]), 7)["outcome"],
        "pending"
    );
    pull(&lab, 0);
    let idle = said(lab.run(&["logs", "--json", "--exit-code"]), 0);
    assert_eq!(idle["outcome"], "in-sync", "{idle:#}");
}

#[test]
fn lg_01_two_logs_grow_and_four_pulls_follow_them() {
    let Some(lab) = lab_with(LOGS) else { return };
    put(&lab, "a.log", "");
    put(&lab, "mission_log.jsonl", "{}\n");
    for n in 0..4 {
        add(&lab, "a.log", format!("line {n}\n"));
        add(
            &lab,
            "mission_log.jsonl",
            format!("{{\"n\":{n}}}\nhalf a li"),
        );
        let before = fs::metadata(near(&lab, "mission_log.jsonl")).map(|m| m.ino());
        pull(&lab, 0);
        for (there, here) in [
            ("a.log", "pulled/a.log"),
            ("mission_log.jsonl", "logs/mission_log.jsonl"),
        ] {
            let here = lab.tree(MAC).join(here);
            assert_eq!(
                fs::read(far(&lab, there)).unwrap(),
                fs::read(&here).unwrap()
            );
            let times = [far(&lab, there), here].map(|p| fs::metadata(p).unwrap().mtime());
            assert_eq!(times[0], times[1], "the time follows");
        }
        if let Ok(ino) = before {
            assert_eq!(
                ino,
                fs::metadata(near(&lab, "mission_log.jsonl")).unwrap().ino(),
                "the inode stays"
            );
        }
    }
    let before = lab.snapshot(MAC);
    assert_eq!(pull(&lab, 0)["outcome"], "in-sync");
    before.assert_unchanged(&lab.tree(MAC), "a pull with nothing new");
}

#[test]
fn lg_02_a_renamed_log_leaves_both_generations_whole_with_its_unseen_end() {
    let Some(lab) = one() else { return };
    pull(&lab, 0);
    add(&lab, "app.log", "four, never pulled\n");
    fs::rename(far(&lab, "app.log"), far(&lab, "app.log.1")).unwrap();
    put(&lab, "app.log", "new\n");
    let json = pull(&lab, 0);
    assert_eq!(lane(&json, "logs/app.log")["action"], "rotated", "{json:#}");
    assert_eq!(held(&lab), "new\n");
    assert_eq!(
        archived(&lab, "app.log.g0001."),
        ["one\ntwo\nthree\nfour, never pulled\n"]
    );
    assert_eq!(pull(&lab, 0)["outcome"], "in-sync");
}

#[test]
fn lg_03_truncated_in_place_keeps_the_old_lines_and_tells_of_the_gap() {
    let Some(lab) = one() else { return };
    pull(&lab, 0);
    put(&lab, "app.log", "x\n");
    let json = pull(&lab, 4);
    let l = lane(&json, "logs/app.log");
    assert_eq!(
        (&l["action"], &l["outcome"]),
        (&"rotated".into(), &"partial".into()),
        "{json:#}"
    );
    assert!(l["notes"].to_string().contains("GAP"), "{json:#}");
    assert_eq!(held(&lab), "x\n");
    assert_eq!(archived(&lab, "app.log.g0001."), ["one\ntwo\nthree\n"]);
}

#[test]
fn lg_04_truncated_and_grown_past_the_old_size_is_never_spliced() {
    let Some(lab) = one() else { return };
    pull(&lab, 0);
    let new = "a much longer line than all of the old ones together\n".repeat(5);
    put(&lab, "app.log", &new);
    pull(&lab, 4);
    assert_eq!(held(&lab), new);
    assert_eq!(archived(&lab, "app.log.g0001."), ["one\ntwo\nthree\n"]);
}

#[test]
fn lg_05_a_log_deleted_at_its_source_stays_here() {
    let Some(lab) = lab_with(LOGS) else { return };
    put(&lab, "a.log", "a\n");
    put(&lab, "mission_log.jsonl", "{}\n");
    pull(&lab, 0);
    fs::remove_file(far(&lab, "a.log")).unwrap();
    let json = pull(&lab, 0);
    assert!(
        lane(&json, "logs/a.log")["notes"]
            .to_string()
            .contains("no longer"),
        "{json:#}"
    );
    fs::remove_file(far(&lab, "mission_log.jsonl")).unwrap();
    let json = pull(&lab, 1);
    assert_eq!(
        lane(&json, "logs/mission_log.jsonl")["outcome"],
        "failed",
        "{json:#}"
    );
    assert_eq!(
        fs::read_to_string(lab.tree(MAC).join("pulled/a.log")).unwrap(),
        "a\n"
    );
    assert_eq!(
        fs::read_to_string(near(&lab, "mission_log.jsonl")).unwrap(),
        "{}\n"
    );
}

#[test]
fn lg_06_an_emptied_and_then_a_removed_source_directory_change_nothing_here() {
    let Some(lab) = lab_with(LOGS) else { return };
    put(&lab, "a.log", "a\n");
    put(&lab, "mission_log.jsonl", "{}\n");
    pull(&lab, 0);
    let before = Snapshot::of(&lab.tree(MAC));
    for name in ["a.log", "mission_log.jsonl"] {
        fs::remove_file(far(&lab, name)).unwrap();
    }
    pull(&lab, 1);
    fs::remove_dir(lab.tree(BALAUR).join("logs")).unwrap();
    pull(&lab, 1);
    before.assert_unchanged(
        &lab.tree(MAC),
        "pulls from an empty and an absent directory",
    );
}

#[test]
fn lg_07_rewritten_with_the_same_size_brings_the_new_and_keeps_the_old() {
    let Some(lab) = one() else { return };
    pull(&lab, 0);
    put(&lab, "app.log", "ONE\nTWO\nTHREE\n");
    pull(&lab, 4);
    assert_eq!(held(&lab), "ONE\nTWO\nTHREE\n");
    assert_eq!(archived(&lab, "app.log.g0001."), ["one\ntwo\nthree\n"]);
}

#[test]
fn lg_08_a_log_swapped_for_a_link_to_a_secret_brings_nothing_of_it() {
    let Some(lab) = one() else { return };
    pull(&lab, 0);
    let secret = lab.root().join("secret");
    fs::write(&secret, "one\ntwo\nthree\nTOP SECRET\n").unwrap();
    fs::remove_file(far(&lab, "app.log")).unwrap();
    symlink(&secret, far(&lab, "app.log")).unwrap();
    let json = pull(&lab, 1);
    assert!(
        lane(&json, "logs/app.log")["message"]
            .to_string()
            .contains("symbolic link"),
        "{json:#}"
    );
    assert_eq!(held(&lab), "one\ntwo\nthree\n");
    // The same with a directory on the way.
    fs::remove_file(far(&lab, "app.log")).unwrap();
    fs::remove_dir(lab.tree(BALAUR).join("logs")).unwrap();
    let outside = lab.root().join("elsewhere");
    fs::create_dir(&outside).unwrap();
    fs::copy(&secret, outside.join("app.log")).unwrap();
    symlink(&outside, lab.tree(BALAUR).join("logs")).unwrap();
    pull(&lab, 1);
    assert_eq!(held(&lab), "one\ntwo\nthree\n");
}

#[test]
fn lg_10_files_of_this_side_and_the_source_stay_as_they_are() {
    let Some(lab) = lab_with(LOGS) else { return };
    put(&lab, "a.log", "a\n");
    put(&lab, "mission_log.jsonl", "{}\n");
    fs::create_dir_all(lab.tree(MAC).join("pulled")).unwrap();
    fs::write(lab.tree(MAC).join("pulled/own.log"), "mine\n").unwrap();
    let source = lab.snapshot(BALAUR);
    pull(&lab, 0);
    pull(&lab, 0);
    source.assert_unchanged(&lab.tree(BALAUR), "pulling");
    assert_eq!(
        fs::read_to_string(lab.tree(MAC).join("pulled/own.log")).unwrap(),
        "mine\n"
    );
}

#[test]
fn lg_11_one_log_that_may_not_be_read_does_not_stop_the_others() {
    if !need(&["ssh", "sshd", "ssh-keygen", "rsync"]) || !rustix::process::geteuid().is_root() {
        return;
    }
    let lab = Lab::builder().unprivileged_server().build();
    fs::create_dir_all(lab.tree(BALAUR).join("logs")).unwrap();
    lab.policy(LOGS);
    put(&lab, "closed.log", "secret\n");
    put(&lab, "open.log", "open\n");
    put(&lab, "mission_log.jsonl", "{}\n");
    fs::set_permissions(far(&lab, "closed.log"), fs::Permissions::from_mode(0o600)).unwrap();
    let json = pull(&lab, 1);
    assert_eq!(
        lane(&json, "logs/open.log")["outcome"],
        "applied",
        "{json:#}"
    );
    assert_eq!(
        lane(&json, "logs/closed.log")["outcome"],
        "failed",
        "{json:#}"
    );
    assert_eq!(
        fs::read_to_string(lab.tree(MAC).join("pulled/open.log")).unwrap(),
        "open\n"
    );
    assert!(!lab.tree(MAC).join("pulled/closed.log").exists());
}

#[test]
fn lg_13_odd_names_are_taken_literally() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let Some(lab) = lab_with("\n[[peer.log]]\nremote = \"logs/**\"\nlocal = \"pulled\"\n") else {
        return;
    };
    let names: [&[u8]; 9] = [
        b"-rf.log",
        b"new\nline.log",
        b"*.log",
        b"host:x.log",
        b"\xff.log",
        b"#c.log",
        b"$(touch PWNED).log",
        b"a b'\".log",
        "日本 {a,b}.log".as_bytes(),
    ];
    for name in names {
        fs::write(
            lab.tree(BALAUR).join("logs").join(OsStr::from_bytes(name)),
            name,
        )
        .unwrap();
    }
    for _ in 0..2 {
        let json = pull(&lab, 0);
        assert_eq!(
            json["lanes"].as_array().unwrap().len(),
            names.len(),
            "{json:#}"
        );
        for name in names {
            let here = lab.tree(MAC).join("pulled").join(OsStr::from_bytes(name));
            assert_eq!(
                fs::read(&here).unwrap(),
                fs::read(lab.tree(BALAUR).join("logs").join(OsStr::from_bytes(name))).unwrap()
            );
        }
        for name in names {
            use std::io::Write;
            let there = lab.tree(BALAUR).join("logs").join(OsStr::from_bytes(name));
            fs::OpenOptions::new()
                .append(true)
                .open(there)
                .unwrap()
                .write_all(b"more\n")
                .unwrap();
        }
    }
    for home in Side::BOTH {
        assert!(
            !lab.home(home).join("PWNED").exists() && !lab.tree(home).join("logs/PWNED").exists()
        );
    }
}

#[test]
fn lg_14_a_line_that_somebody_added_here_is_kept_aside() {
    let Some(lab) = one() else { return };
    pull(&lab, 0);
    fs::write(near(&lab, "app.log"), "one\ntwo\nthree\nscribble\n").unwrap();
    add(&lab, "app.log", "four\n");
    let json = pull(&lab, 4);
    assert!(
        lane(&json, "logs/app.log")["notes"]
            .to_string()
            .contains("local-edit"),
        "{json:#}"
    );
    assert_eq!(held(&lab), "one\ntwo\nthree\nfour\n");
    assert_eq!(
        archived(&lab, ".local-edit."),
        ["one\ntwo\nthree\nscribble\n"]
    );
    assert_eq!(pull(&lab, 0)["outcome"], "in-sync");
}

#[test]
fn lg_14_a_line_that_was_added_here_does_not_hide_the_end_of_a_rotated_log() {
    let Some(lab) = one() else { return };
    pull(&lab, 0);
    fs::write(near(&lab, "app.log"), "one\ntwo\nthree\nscribble\n").unwrap();
    add(&lab, "app.log", "four, never pulled\n");
    fs::rename(far(&lab, "app.log"), far(&lab, "app.log.1")).unwrap();
    put(&lab, "app.log", "new\n");
    let json = pull(&lab, 4);
    let notes = lane(&json, "logs/app.log")["notes"].to_string();
    assert!(
        notes.contains("local-edit") && !notes.contains("GAP"),
        "{json:#}"
    );
    assert_eq!(held(&lab), "new\n");
    assert_eq!(
        archived(&lab, "app.log.g0001."),
        ["one\ntwo\nthree\nfour, never pulled\n"]
    );
    assert_eq!(
        archived(&lab, ".local-edit."),
        ["one\ntwo\nthree\nscribble\n"]
    );
}

/// Where one may enter and not look around, the usual names are tried.
#[test]
fn a_rotated_log_is_found_by_its_usual_name_in_a_directory_that_cannot_be_listed() {
    if !need(&["ssh", "sshd", "ssh-keygen", "rsync"]) || !rustix::process::geteuid().is_root() {
        return;
    }
    let lab = Lab::builder().unprivileged_server().build();
    fs::create_dir_all(lab.tree(BALAUR).join("logs")).unwrap();
    lab.policy("\n[[peer.log]]\nremote = \"logs/app.log\"\nlocal = \"logs/app.log\"\n");
    put(&lab, "app.log", "one\n");
    pull(&lab, 0);
    add(&lab, "app.log", "two, never pulled\n");
    fs::rename(far(&lab, "app.log"), far(&lab, "app.log.1")).unwrap();
    put(&lab, "app.log", "new\n");
    let dir = lab.tree(BALAUR).join("logs");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o711)).unwrap();
    pull(&lab, 0);
    assert_eq!(held(&lab), "new\n");
    assert_eq!(
        archived(&lab, "app.log.g0001."),
        ["one\ntwo, never pulled\n"]
    );
}

#[test]
fn lg_15_packed_rotation_gives_its_unseen_end_and_no_duplicates() {
    if !need(&["gzip"]) {
        return;
    }
    let Some(lab) = one() else { return };
    pull(&lab, 0);
    add(&lab, "app.log", "four, only in the packed one\n");
    fs::rename(far(&lab, "app.log"), far(&lab, "app.log.1")).unwrap();
    let gz = std::process::Command::new("gzip")
        .arg(far(&lab, "app.log.1"))
        .status()
        .unwrap();
    assert!(gz.success());
    put(&lab, "app.log", "new\n");
    pull(&lab, 0);
    assert_eq!(
        archived(&lab, "app.log.g0001."),
        ["one\ntwo\nthree\nfour, only in the packed one\n"]
    );
    assert_eq!(held(&lab), "new\n");
}

#[test]
fn a_generation_that_came_and_went_between_two_pulls_is_fetched_whole() {
    let Some(lab) = one() else { return };
    pull(&lab, 0);
    add(&lab, "app.log", "end of the first\n");
    fs::rename(far(&lab, "app.log"), far(&lab, "app.log.2")).unwrap();
    put(&lab, "app.log.1", "second, never live at a pull\n");
    put(&lab, "app.log", "third\n");
    pull(&lab, 0);
    assert_eq!(
        archived(&lab, "app.log.g0001."),
        ["one\ntwo\nthree\nend of the first\n"]
    );
    assert_eq!(
        archived(&lab, "app.log.g0002."),
        ["second, never live at a pull\n"]
    );
    assert_eq!(held(&lab), "third\n");
}

#[test]
fn lg_16_the_same_name_from_two_hosts_goes_to_two_places() {
    let Some(lab) =
        lab_with("\n[[peer.log]]\nremote = \"logs/app.log\"\nlocal = \"logs/balaur/app.log\"\n")
    else {
        return;
    };
    let disk = lab.root().join("disk");
    fs::create_dir_all(disk.join("logs")).unwrap();
    fs::write(disk.join("logs/app.log"), "disk\n").unwrap();
    let text = format!(
        "\n[[peer.log]]\nremote = \"logs/app.log\"\nlocal = \"logs/balaur/app.log\"\n\n[[peer]]\nname = \"disk\"\nroot = {disk:?}\ntruth = false\n\n[[peer.log]]\nremote = \"logs/app.log\"\nlocal = \"logs/disk/app.log\"\n"
    );
    lab.policy(&text);
    put(&lab, "app.log", "balaur\n");
    pull(&lab, 0);
    for host in ["balaur", "disk"] {
        let here = lab.tree(MAC).join(format!("logs/{host}/app.log"));
        assert_eq!(fs::read_to_string(here).unwrap(), format!("{host}\n"));
    }
}

#[test]
fn a_history_rewritten_before_the_last_window_is_refused_and_verify_says_so() {
    let Some(lab) = one() else { return };
    let mut log = b"first line\n".to_vec();
    log.extend(std::iter::repeat_n(b"the same line again and again\n".as_slice(), 5000).flatten());
    put(&lab, "app.log", &log);
    pull(&lab, 0);
    said(lab.run(&["verify", "logs", "--json"]), 0);
    log[0] = b'F';
    log.extend(b"grown\n");
    put(&lab, "app.log", &log);
    let before = lab.snapshot(MAC);
    let json = pull(&lab, 4);
    assert_eq!(lane(&json, "logs/app.log")["action"], "refused", "{json:#}");
    before.assert_unchanged(&lab.tree(MAC), "a refused pull");
    said(lab.run(&["verify", "logs", "--json"]), 1);
}

#[test]
fn a_missing_marker_of_an_unmounted_root_refuses() {
    let Some(lab) = one() else { return };
    fs::remove_file(lab.tree(MAC).join(".ubos-root")).unwrap();
    let json = pull(&lab, 3);
    pair::found(&json, "marker", "refuse");
    assert!(!near(&lab, "app.log").exists());
}

#[test]
fn an_offline_peer_is_exit_5_and_state_never_comes_by_a_log() {
    let Some(mut lab) = lab_with("\n[[peer.log]]\nremote = \"logs/**\"\nlocal = \"pulled\"\n")
    else {
        return;
    };
    put(&lab, "worker_state.json", "{}");
    put(&lab, "a.log", "a\n");
    let json = pull(&lab, 0);
    assert!(
        lane(&json, "logs/worker_state.json")["notes"]
            .to_string()
            .contains("never crosses"),
        "{json:#}"
    );
    assert!(!lab.tree(MAC).join("pulled/worker_state.json").exists());
    assert!(lab.tree(MAC).join("pulled/a.log").exists());
    lab.sshd().stop();
    assert_eq!(pull(&lab, 5)["outcome"], "offline");
}

#[test]
fn a_byte_that_was_changed_here_is_kept_aside_and_not_blamed_on_the_peer() {
    let Some(lab) = one() else { return };
    pull(&lab, 0);
    fs::write(near(&lab, "app.log"), "one\nTWO\nthree\n").unwrap();
    let json = pull(&lab, 4);
    assert_eq!(json["lanes"][0]["action"], "first", "{json:#}");
    assert_eq!(held(&lab), "one\ntwo\nthree\n");
    assert_eq!(archived(&lab, "local-edit"), ["one\nTWO\nthree\n"]);
    pull(&lab, 0);
}

#[test]
fn what_cannot_be_seen_is_not_said_to_be_gone() {
    if !need(&["ssh", "sshd", "ssh-keygen", "rsync"]) || !rustix::process::geteuid().is_root() {
        return;
    }
    let lab = Lab::builder().unprivileged_server().build();
    fs::create_dir_all(lab.tree(BALAUR).join("logs/sub")).unwrap();
    fs::set_permissions(far(&lab, "sub"), fs::Permissions::from_mode(0o755)).unwrap();
    lab.policy("\n[[peer.log]]\nremote = \"logs/**\"\nlocal = \"pulled\"\n");
    put(&lab, "sub/a.log", "a\n");
    put(&lab, "b.log", "b\n");
    pull(&lab, 0);
    fs::set_permissions(far(&lab, "sub"), fs::Permissions::from_mode(0o000)).unwrap();
    add(&lab, "b.log", "more\n");
    let json = pull(&lab, 1);
    let note = lane(&json, "logs/sub/a.log")["notes"][0].as_str().unwrap();
    assert!(note.contains("cannot be seen"), "{json:#}");
    assert_eq!(lane(&json, "logs/b.log")["outcome"], "applied");
    fs::set_permissions(far(&lab, "sub"), fs::Permissions::from_mode(0o755)).unwrap();
    pull(&lab, 0);
}
