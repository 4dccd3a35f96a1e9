//! A run that pulled logs is taken back: the files hold the bytes they had, under the inodes they had, and what was pulled lies
//! beside them.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use lab::{Lab, need, truth_difference};
use pair::{BALAUR, MAC, said};
use serde_json::Value;

const NAMED: &str = "\n[[peer.log]]\nremote = \"logs/app.log\"\nlocal = \"pulled/app.log\"\n";

fn lab() -> Option<Lab> {
    if !need(&["ssh", "sshd", "ssh-keygen", "rsync"]) {
        return None;
    }
    let lab = Lab::new();
    fs::create_dir_all(lab.tree(BALAUR).join("logs")).unwrap();
    lab.policy(NAMED);
    Some(lab)
}

fn far(lab: &Lab, name: &str) -> PathBuf {
    lab.tree(BALAUR).join("logs").join(name)
}

fn near(lab: &Lab, name: &str) -> PathBuf {
    lab.tree(MAC).join("pulled").join(name)
}

fn add(lab: &Lab, text: &str) {
    let mut file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(far(lab, "app.log"))
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[track_caller]
fn pull(lab: &Lab) -> String {
    let json = said(lab.run(&["logs", "--apply", "--json"]), 0);
    assert_eq!(json["outcome"], "applied", "{json:#}");
    json["run"].as_str().unwrap().to_owned()
}

#[track_caller]
fn back(lab: &Lab, args: &[&str], code: i32) -> Value {
    let mut all = vec!["rollback"];
    all.extend(args);
    all.push("--json");
    said(lab.run(&all), code)
}

/// Name, inode, time and content of everything beside the log but what a rollback set aside.
fn held(lab: &Lab) -> BTreeMap<String, (u64, i64, i64, String)> {
    let mut all = files(lab);
    all.retain(|name, _| !name.contains(".undone."));
    all
}

fn files(lab: &Lab) -> BTreeMap<String, (u64, i64, i64, String)> {
    let dir = lab.tree(MAC).join("pulled");
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries
        .map(|e| e.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| {
            let m = fs::metadata(&path).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, (m.ino(), m.mtime(), m.mtime_nsec(), text))
        })
        .collect()
}

fn aside(lab: &Lab) -> String {
    let all = files(lab);
    let own = all.iter().filter(|(name, _)| name.contains(".undone."));
    own.map(|(_, f)| f.3.as_str()).collect()
}

#[test]
fn an_append_goes_back_to_the_bytes_it_had_and_the_next_pull_waits_for_a_release() {
    let Some(lab) = lab() else { return };
    add(&lab, "one\n");
    pull(&lab);
    let before = held(&lab);
    add(&lab, "two\nthr");
    let run = pull(&lab);
    let after = files(&lab);
    let dry = back(&lab, &[&run], 0);
    assert_eq!(
        (
            &dry["outcome"],
            &dry["lanes"][0]["bytes"],
            &dry["lanes"][0]["have"]
        ),
        (&"pending".into(), &7.into(), &4.into()),
        "{dry:#}"
    );
    assert_eq!(files(&lab), after, "a dry run touched something");
    let json = back(&lab, &[&run, "--apply"], 0);
    assert_eq!(json["outcome"], "applied", "{json:#}");
    assert_eq!(json["lanes"][0]["undoes"][0], run.as_str());
    assert_eq!(held(&lab), before);
    assert_eq!(aside(&lab), "two\nthr");
    let again = lab.run(&["rollback", &run, "--apply"]).expect(3);
    assert!(
        again.stderr.contains("rolled back already"),
        "{}",
        again.stderr
    );
    // Held: no pull does it over.
    let refused = said(lab.run(&["logs", "--apply", "--json"]), 3);
    assert_eq!(refused["findings"][0]["guard"], "held", "{refused:#}");
    lab.run(&["release", "balaur"]).expect(0);
    pull(&lab);
    assert_eq!(files(&lab)["app.log"].3, "one\ntwo\nthr");
    assert_eq!(
        held(&lab)["app.log"].0,
        before["app.log"].0,
        "another inode"
    );
}

#[test]
fn a_rotation_goes_back_too_and_a_first_pull_leaves_nothing() {
    let Some(lab) = lab() else { return };
    add(&lab, "one\n");
    let first = pull(&lab);
    let before = held(&lab);
    add(&lab, "end of one\n");
    fs::rename(far(&lab, "app.log"), far(&lab, "app.log.1")).unwrap();
    add(&lab, "two\n");
    let run = pull(&lab);
    assert_eq!(held(&lab).len(), 2, "{:?}", held(&lab));
    back(&lab, &["last", "--apply"], 0);
    assert_eq!(held(&lab), before);
    assert_eq!(aside(&lab), "two\nend of one\n");
    lab.run(&["release", "balaur"]).expect(0);
    let third = pull(&lab);
    assert_eq!(files(&lab)["app.log"].3, "two\n");
    // All of it in one go, back to where nothing was.
    let refused = lab.run(&["rollback", &first, "--apply"]).expect(3);
    assert!(refused.stderr.contains(&third), "{}", refused.stderr);
    assert!(!refused.stderr.contains(&run), "{}", refused.stderr);
    back(&lab, &["--to", &first, "--apply"], 0);
    assert_eq!(held(&lab), BTreeMap::new());
    lab.run(&["release", "balaur"]).expect(0);
    pull(&lab);
    assert_eq!(held(&lab)["app.log"].3, "two\n");
}

#[test]
fn a_log_that_was_changed_here_since_is_left_until_force_sets_the_change_aside() {
    let Some(lab) = lab() else { return };
    add(&lab, "one\n");
    pull(&lab);
    let before = held(&lab);
    add(&lab, "two\n");
    let run = pull(&lab);
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(near(&lab, "app.log"))
        .unwrap();
    file.write_all(b"mine\n").unwrap();
    let was = files(&lab);
    let json = back(&lab, &[&run, "--apply"], 4);
    assert!(
        json["lanes"][0]["message"]
            .as_str()
            .unwrap()
            .contains("--force"),
        "{json:#}"
    );
    assert_eq!(files(&lab), was);
    back(&lab, &[&run, "--force", "--apply"], 0);
    assert_eq!(held(&lab), before);
    assert_eq!(aside(&lab), "two\nmine\n");
}

#[test]
fn bytes_that_are_no_longer_there_cannot_come_back_and_nothing_is_touched() {
    let Some(lab) = lab() else { return };
    add(&lab, "one\n");
    pull(&lab);
    add(&lab, "two\n");
    let run = pull(&lab);
    fs::write(near(&lab, "app.log"), "eno\nowt\n").unwrap();
    let was = files(&lab);
    let json = back(&lab, &[&run, "--force", "--apply"], 4);
    let message = json["lanes"][0]["message"].as_str().unwrap();
    assert!(message.contains("were changed here"), "{json:#}");
    assert_eq!(files(&lab), was);
}

#[test]
fn a_rollback_that_is_killed_anywhere_is_simply_run_again() {
    let Some(lab) = lab() else { return };
    let line = "a line of a log that is long enough to take its time\n";
    add(&lab, &line.repeat(1000));
    pull(&lab);
    let before = held(&lab);
    add(&lab, &line.repeat(80_000));
    fs::rename(far(&lab, "app.log"), far(&lab, "app.log.1")).unwrap();
    add(&lab, &line.repeat(40_000));
    let run = pull(&lab);
    let whole: usize = held(&lab).values().map(|f| f.3.len()).sum();
    for ms in [5, 20, 40, 60, 80, 100, 130, 160, 200, 300] {
        let child = lab.spawn(&["rollback", &run, "--apply"]);
        std::thread::sleep(Duration::from_millis(ms));
        child.kill();
        let out = child.wait();
        let all: usize = files(&lab).values().map(|f| f.3.len()).sum();
        assert!(all >= whole, "{ms} ms: bytes are gone");
        if out.code == 0 {
            break;
        }
    }
    let last = lab.run(&["rollback", &run, "--apply"]);
    assert!(matches!(last.code, 0 | 3), "{}", last.stderr);
    let sizes = |of: &BTreeMap<String, (u64, i64, i64, String)>| {
        of.iter()
            .map(|(name, f)| (name.clone(), f.3.len(), f.1, f.2))
            .collect::<Vec<_>>()
    };
    assert!(
        held(&lab) == before,
        "{:?} are not {:?}\n{last}",
        sizes(&held(&lab)),
        sizes(&before)
    );
    let dirs = fs::read_dir(lab.tree(MAC).join("pulled")).unwrap();
    assert_eq!(
        dirs.filter(|e| e.as_ref().unwrap().path().is_dir()).count(),
        0,
        "a stage is left"
    );
    assert_eq!(aside(&lab).len(), whole - before["app.log"].3.len());
}

#[test]
fn a_full_run_goes_back_with_its_logs() {
    let Some(lab) = pair::pair_with(Lab::builder(), NAMED) else {
        return;
    };
    fs::create_dir_all(lab.tree(BALAUR).join("logs")).unwrap();
    add(&lab, "one\n");
    said(lab.run(&["full", "--apply", "--json"]), 0);
    let before = held(&lab);
    add(&lab, "two\n");
    let theirs = lab.snapshot(BALAUR);
    lab.write(MAC, "docs/new.md", "new");
    let full = said(lab.run(&["full", "--apply", "--json"]), 0);
    let json = back(&lab, &[full["run"].as_str().unwrap(), "--apply"], 0);
    let lanes: Vec<&str> = json["lanes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["lane"].as_str().unwrap())
        .collect();
    assert_eq!(lanes, ["log", "truth"], "{json:#}");
    assert_eq!(held(&lab), before);
    assert_eq!(truth_difference(&theirs, &lab.snapshot(BALAUR), &[]), "");
    let screen = lab.run(&["status", "--offline"]);
    assert!(screen.stdout.contains("HELD"), "{}", screen.stdout);
}
