//! A synced pair over the lab, and the questions that tests of the two-way lane ask again and again.
#![allow(dead_code, reason = "every test binary asks its own questions")]
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

use std::path::Path;

use serde_json::Value;

use crate::lab::{Lab, LabBuilder, Output, Side, Snapshot, need};

pub const S: i128 = 1_000_000_000;
/// The time of everything that was there before a test began to change it.
pub const T: i128 = 1_700_000_000 * S;
pub const HOUR: i128 = 3600 * S;
pub const DAY: i128 = 24 * HOUR;

pub const MAC: Side = Side::Laptop;
pub const BALAUR: Side = Side::Server;

/// A lab with a plain policy, or `None` where its programs are absent.
pub fn pair() -> Option<Lab> {
    pair_with(Lab::builder(), "")
}

/// The same with a special lab and more policy text.
pub fn pair_with(builder: LabBuilder, extra: &str) -> Option<Lab> {
    if !need(&["ssh", "sshd", "ssh-keygen", "unison"]) {
        return None;
    }
    let lab = builder.build();
    lab.policy(extra);
    // Something that no test touches: a side whose every file changed at once is refused.
    lab.write_at(MAC, "docs/anchor.md", "does not move", T);
    Some(lab)
}

/// Files of the laptop, all at [`T`], with their own name as content.
pub fn seed(lab: &Lab, paths: &[&str]) {
    for path in paths {
        lab.write_at(MAC, path, format!("base of {path}\n"), T);
    }
}

/// `truth --apply --json` that has to end well.
#[track_caller]
pub fn sync(lab: &Lab) -> Value {
    apply(lab, 0)
}

#[track_caller]
pub fn apply(lab: &Lab, code: i32) -> Value {
    said(lab.run(&["truth", "--apply", "--json"]), code)
}

/// The document of a run that ended with `code`, having checked that the document says so too.
#[track_caller]
pub fn said(out: Output, code: i32) -> Value {
    let json = out.expect(code).json();
    assert_eq!(json["exit_code"], code, "{json:#}");
    json
}

#[track_caller]
fn of<'a>(json: &'a Value, list: &str, path: &str) -> Option<&'a Value> {
    let found = json["lanes"][0][list].as_array();
    let mut found = found.into_iter().flatten().filter(|c| c["path"] == path);
    let first = found.next();
    assert!(
        found.next().is_none(),
        "{path} stands in {list} twice: {json:#}"
    );
    first
}

#[track_caller]
pub fn change<'a>(json: &'a Value, path: &str) -> &'a Value {
    of(json, "changes", path).unwrap_or_else(|| panic!("no change of {path}: {json:#}"))
}

/// The change of `path`, which must be of this kind, go to this side and have been done.
#[track_caller]
pub fn done<'a>(json: &'a Value, path: &str, kind: &str, to: &str) -> &'a Value {
    let c = change(json, path);
    let shown = [&c["kind"], &c["to"], &c["result"]];
    assert_eq!(shown, [kind, to, "done"], "{path}: {json:#}");
    c
}

/// That `path` was decided as a conflict, so and in favour of the other side than `to`.
#[track_caller]
pub fn decided(json: &Value, path: &str, how: &str, to: &str) {
    let c = change(json, path);
    let shown = [&c["conflict"], &c["to"], &c["result"]];
    assert_eq!(shown, [how, to, "done"], "{path}: {json:#}");
}

/// That `path` was left to a person and stands in no change.
#[track_caller]
pub fn left<'a>(json: &'a Value, path: &str) -> &'a str {
    assert!(of(json, "changes", path).is_none(), "{json:#}");
    let entry = of(json, "left", path).unwrap_or_else(|| panic!("{path} not left: {json:#}"));
    entry["why"].as_str().unwrap()
}

#[track_caller]
pub fn noted<'a>(json: &'a Value, path: &str) -> &'a str {
    let entry = of(json, "notes", path).unwrap_or_else(|| panic!("{path} not noted: {json:#}"));
    entry["why"].as_str().unwrap()
}

/// Where the replaced or deleted version of `path` is kept. Both hosts of a lab are this machine.
#[track_caller]
pub fn kept_at(json: &Value, path: &str, side: &str) -> String {
    let entry = of(json, "kept", path).unwrap_or_else(|| panic!("{path} not kept: {json:#}"));
    assert_eq!(entry["side"], side, "{json:#}");
    entry["at"].as_str().unwrap().to_owned()
}

#[track_caller]
pub fn kept(json: &Value, path: &str, side: &str) -> Vec<u8> {
    let at = kept_at(json, path, side);
    std::fs::read(&at).unwrap_or_else(|e| panic!("{at}: {e}"))
}

/// What the worker of a side says of itself right now.
pub fn worker(lab: &Lab, side: Side) -> Value {
    let file = lab.state_dir(side).join("worker.json");
    std::fs::read(file)
        .ok()
        .and_then(|b| serde_json::from_slice(&b).ok())
        .unwrap_or(Value::Null)
}

/// Number of changes.
pub fn changes(json: &Value) -> usize {
    json["lanes"][0]["changes"].as_array().unwrap().len()
}

/// That a guard said something of this severity; its message.
#[track_caller]
pub fn found<'a>(json: &'a Value, guard: &str, severity: &str) -> &'a str {
    let findings = json["findings"].as_array().unwrap();
    let hit = findings
        .iter()
        .find(|f| f["guard"] == guard && f["severity"] == severity);
    hit.unwrap_or_else(|| panic!("no {severity} of {guard}: {json:#}"))["message"]
        .as_str()
        .unwrap()
}

/// That both sides hold these bytes at `path`.
#[track_caller]
pub fn both(lab: &Lab, path: &str, content: &str) {
    for side in Side::BOTH {
        assert_eq!(
            lab.read_text(side, path),
            content,
            "{path} on {}",
            side.host()
        );
    }
}

/// That neither side has anything at `path`.
#[track_caller]
pub fn neither(lab: &Lab, path: &str) {
    for side in Side::BOTH {
        assert!(!lab.exists(side, path), "{path} is on {}", side.host());
    }
}

/// That both trees are equal, that one more apply finds nothing, and that it touches nothing at all.
#[track_caller]
pub fn settled(lab: &Lab) {
    lab.assert_equal_truth(&[]);
    idle(lab, "in-sync", 0);
}

/// That one more apply changes nothing in either tree, to the last inode and nanosecond.
#[track_caller]
pub fn idle(lab: &Lab, outcome: &str, code: i32) -> Value {
    let before = Side::BOTH.map(|side| lab.snapshot(side));
    let json = apply(lab, code);
    assert_eq!(json["outcome"], outcome, "{json:#}");
    assert_eq!(changes(&json), 0, "{json:#}");
    for (side, before) in Side::BOTH.into_iter().zip(&before) {
        before.assert_unchanged(&lab.tree(side), "a run with nothing to do");
    }
    json
}

/// A tree outside both replicas, and what it holds now.
pub fn outside(lab: &Lab) -> (std::path::PathBuf, Snapshot) {
    let dir = lab.root().join("outside");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("precious.txt"), "not in any replica").unwrap();
    let now = Snapshot::of(&dir);
    (dir, now)
}

/// A new file in place of the old one, as editors write: another inode.
pub fn rewrite(lab: &Lab, side: Side, path: &str, content: &str, at: i128) {
    let aside = format!("{path}.aside");
    lab.write_at(side, &aside, content, at);
    lab.rename(side, &aside, path);
}

pub fn modified(file: &Path) -> i128 {
    crate::lab::mtime_ns(file)
}
