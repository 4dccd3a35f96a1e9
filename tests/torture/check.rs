//! The invariants, each by its number in the list at the head of `torture.rs`: what two looks at the pair, one before and one
//! after a step, must not show.
//!
//! Invariant: nothing here runs the program, so that each check can be shown to notice what it is there for.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde_json::Value;

use super::model::{Base, Clock, Replica, Run, What, is_apart, is_litter, is_truth, show, what};
use super::script::Host;
use super::world::{Checked, Seen, index};
use crate::lab::{Kind, Lab, Side, Snapshot, wait_until};

/// A path in an item of a document, with its own bytes.
fn bytes_of(item: &Value, name: &str) -> Vec<u8> {
    let Some(hex) = item[format!("{name}_hex")].as_str() else {
        return item[name].as_str().unwrap_or_default().into();
    };
    let byte = |n: usize| u8::from_str_radix(&hex[n..n + 2], 16).unwrap_or(b'?');
    (0..hex.len() / 2).map(|n| byte(2 * n)).collect()
}

fn path_of(item: &Value) -> Vec<u8> {
    bytes_of(item, "path")
}

fn items<'a>(doc: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    doc["lanes"][0][list].as_array().into_iter().flatten()
}

/// The host that `local` or `peer` means in a document of this driver.
fn side_of(driver: Host, word: &Value) -> Side {
    match word.as_str() {
        Some("local") => driver.side(),
        _ => driver.side().other(),
    }
}

/// What the model needs to judge a run that says it is done.
pub fn run<'a>(
    base: &'a Base,
    before: &'a Seen,
    after: &'a Seen,
    docs: &[(Host, &Value)],
    code: i32,
    clock: Clock,
    restless: &'a dyn Fn(&[u8]) -> bool,
) -> Run<'a> {
    let left = docs.iter().flat_map(|(_, d)| items(d, "left"));
    Run {
        before: [0, 1].map(|i| Replica::of(&before.trees[i])),
        after: [0, 1].map(|i| Replica::of(&after.trees[i])),
        base,
        left: left.map(path_of).collect(),
        code,
        clock,
        restless,
    }
}

/// I4, I6, I13: nothing has changed, to the last inode and nanosecond; with `memory`, what both remember has not either.
pub fn untouched(before: &Seen, after: &Seen, memory: bool, who: &str) -> Checked {
    for side in Side::BOTH {
        let i = index(side);
        let mut diff = before.trees[i].diff(&after.trees[i]);
        if memory {
            diff += &before.memory[i].diff(&after.memory[i]);
        }
        if !diff.is_empty() {
            return Err(format!("{who} changed {}\n{diff}", side.host()));
        }
    }
    Ok(())
}

/// I1: every path holds a whole value that a user once put there.
pub fn whole(history: &BTreeMap<Vec<u8>, BTreeSet<What>>, after: &Seen) -> Checked {
    for side in Side::BOTH {
        for (path, entry) in &after.trees[index(side)].entries {
            let value = what(entry);
            if is_truth(path)
                && value != What::Dir
                && !history.get(path).is_some_and(|h| h.contains(&value))
            {
                return Err(format!(
                    "I1: {} on {} holds what nobody put there: {value:?}, {} bytes",
                    show(path),
                    side.host(),
                    entry.size
                ));
            }
        }
    }
    Ok(())
}

/// I2: what never crosses is as it was, and nothing like it has come; but for what its user did meanwhile.
pub fn apart(before: &Seen, after: &Seen, by_user: impl Fn(Side, &[u8]) -> bool) -> Checked {
    for side in Side::BOTH {
        let i = index(side);
        let only = |seen: &Seen| {
            let mut tree = seen.trees[i].clone();
            tree.entries.retain(|p, _| is_apart(p) && !by_user(side, p));
            tree
        };
        let diff = only(before).diff(&only(after));
        if !diff.is_empty() {
            let host = side.host();
            return Err(format!(
                "I2: what never crosses has changed on {host}\n{diff}"
            ));
        }
    }
    Ok(())
}

/// I12: a value that was live and is no longer can be had back. `by_author`: somebody replaced it himself.
pub fn lost(
    before: &Seen,
    after: &Seen,
    owed: &mut BTreeSet<What>,
    by_author: impl Fn(Side, &[u8]) -> bool,
    retrievable: impl Fn() -> BTreeSet<What>,
) -> Checked {
    let live = |seen: &Seen, spare: bool| {
        let mut all = BTreeMap::new();
        for side in Side::BOTH {
            for (path, entry) in &seen.trees[index(side)].entries {
                let counts = is_truth(path) && entry.kind != Kind::Dir;
                if counts && !(spare && by_author(side, path)) {
                    all.insert(what(entry), path.clone());
                }
            }
        }
        all
    };
    let now = live(after, false);
    let mut places = live(before, true);
    places.retain(|value, _| !now.contains_key(value));
    owed.extend(places.keys().cloned());
    if owed.is_empty() {
        return Ok(());
    }
    let kept = retrievable();
    match owed
        .iter()
        .find(|v| !kept.contains(*v) && !now.contains_key(*v))
    {
        Some(value) => {
            let place = places.get(value).map(|p| show(p)).unwrap_or_default();
            Err(format!("I12: lost, and nowhere kept: {value:?} of {place}"))
        }
        None => Ok(()),
    }
}

/// I18, and the documented way to what was lost: what a run changed stands in its record, what it took away where that says.
/// `is_only`: no dead run's work may be among it.
pub fn recorded(
    before: &Seen,
    after: &Seen,
    docs: &[(Host, &Value)],
    is_only: bool,
) -> Vec<String> {
    let mut faults = Vec::new();
    let mut told = BTreeSet::new();
    let mut kept = BTreeMap::new();
    for (driver, doc) in docs {
        for change in items(doc, "changes") {
            let side = side_of(*driver, &change["to"]);
            told.insert((index(side), path_of(change)));
            if change["result"] != "done" {
                faults.push(format!("I11: done, and yet {change}"));
            }
        }
        for entry in items(doc, "kept") {
            let side = side_of(*driver, &entry["side"]);
            kept.insert((index(side), path_of(entry)), bytes_of(entry, "at"));
        }
    }
    if !is_only {
        return faults;
    }
    let all = after.trees.iter().flat_map(|t| t.entries.values());
    let live: BTreeSet<What> = all.map(what).collect();
    for side in Side::BOTH {
        let i = index(side);
        let (was, is) = (&before.trees[i].entries, &after.trees[i].entries);
        let paths: BTreeSet<&Vec<u8>> = was
            .keys()
            .chain(is.keys())
            .filter(|p| is_truth(p))
            .collect();
        for path in paths {
            let facts = |e: &crate::lab::Entry| {
                let time = if e.kind == Kind::File { e.mtime_ns } else { 0 };
                let mode = if e.kind == Kind::Link { 0 } else { e.mode };
                (what(e), mode, time)
            };
            let (old, new) = (was.get(path), is.get(path));
            if old.map(facts) == new.map(facts) {
                continue;
            }
            let key = (i, path.clone());
            let name = format!("{} on {}", show(path), side.host());
            if !told.contains(&key) {
                faults.push(format!(
                    "I18: {name} has changed, and the record does not say so"
                ));
            }
            let Some(old) = old
                .map(what)
                .filter(|w| *w != What::Dir && !live.contains(w))
            else {
                continue;
            };
            let found = kept.get(&key).and_then(|at| {
                let place = Snapshot::of(Path::new(OsStr::from_bytes(at)));
                place.entries.get(b"".as_slice()).map(what)
            });
            if found != Some(old.clone()) {
                faults.push(format!(
                    "I12: {name} was {old:?}; the record leads to {found:?}"
                ));
            }
        }
    }
    faults
}

/// CR-04: when all is done, nothing of ours lies about and nothing runs.
pub fn clean(lab: &Lab) -> Checked {
    wait_until("nothing but the sshd runs", || {
        lab.processes().iter().all(|p| p.program() == "sshd")
    });
    for side in Side::BOTH {
        let state = lab.state_dir(side);
        let tree = lab.snapshot(side);
        let mut litter: Vec<String> = tree
            .entries
            .keys()
            .filter(|p| is_litter(p))
            .map(|p| show(p))
            .collect();
        let names = fs::read_dir(&state).into_iter().flatten().flatten();
        let names = names.map(|e| e.file_name().to_string_lossy().into_owned());
        litter.extend(names.filter(|n| n == "lock.d" || n.starts_with("run-")));
        if !litter.is_empty() {
            return Err(format!("left lying on {}: {litter:?}", side.host()));
        }
    }
    let tmp = fs::read_dir(lab.root().join("tmp")).unwrap().flatten();
    let tmp: Vec<_> = tmp.map(|e| e.path()).collect();
    match tmp.is_empty() {
        true => Ok(()),
        false => Err(format!("left lying: {tmp:?}")),
    }
}
