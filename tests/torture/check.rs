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

use super::model::{What, is_apart, is_litter, is_truth, show, what};
use super::runs::now;
use super::script::Host;
use super::world::{Checked, Seen, index};
use crate::lab::{Kind, Lab, Snapshot, wait_until};

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

/// What a run said of one pair.
#[derive(Clone, Copy)]
pub struct Said<'a> {
    pub driver: Host,
    pub lane: &'a Value,
}

impl<'a> Said<'a> {
    /// The lane of a pair, which the hub has by the name of the other host.
    pub fn of(doc: &'a Value, driver: Host, spoke: Host) -> Said<'a> {
        let peer = if driver == Host::Mac {
            spoke
        } else {
            Host::Mac
        };
        let mut lanes = doc["lanes"].as_array().into_iter().flatten();
        let lane = lanes.find(|l| l["peer"] == peer.name());
        Said {
            driver,
            lane: lane.unwrap_or(&Value::Null),
        }
    }

    fn items(&self, list: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.lane[list].as_array().into_iter().flatten()
    }

    pub fn left(&self) -> BTreeSet<Vec<u8>> {
        self.items("left").map(path_of).collect()
    }

    /// Whether `local` or `peer` means the hub.
    fn is_hub(&self, word: &Value) -> bool {
        (word == "local") == (self.driver == Host::Mac)
    }
}

/// Two trees that a run makes equal, the hub's first, and whose they are.
#[derive(Clone, Copy)]
pub struct Two<'a> {
    pub before: [&'a Snapshot; 2],
    pub after: [&'a Snapshot; 2],
    pub spoke: Host,
}

/// The hub's tree between two lanes of one run: the first has changed what it says, to what its peer has since.
pub fn between(hub: [&Snapshot; 2], peer: &Snapshot, said: Said) -> Snapshot {
    let mut tree = hub[0].clone();
    for change in said.items("changes").filter(|c| said.is_hub(&c["to"])) {
        let path = path_of(change);
        let Some(entry) = peer.entries.get(&path) else {
            tree.entries.remove(&path);
            continue;
        };
        // The engine cuts times, and carries none of a link: if it still is that version, it has the time that the hub shows.
        let is_link = entry.kind == Kind::Link;
        let last = hub[1].entries.get(&path).filter(|e| {
            let is_same = what(e) == what(entry) && e.mode == entry.mode;
            is_same && (is_link || e.mtime_ns.abs_diff(entry.mtime_ns) < 2_000)
        });
        let mut held = last.unwrap_or(entry).clone();
        if is_link && last.is_none() {
            // One that has gone since was as new as the run.
            held.mtime_ns = now();
        }
        tree.entries.insert(path, held);
    }
    tree
}

/// I4, I6, I13: nothing has changed, to the last inode and nanosecond; with `memory`, what both remember has not either.
pub fn untouched(before: &Seen, after: &Seen, memory: bool, who: &str) -> Checked {
    for host in hosts(after) {
        let i = index(*host);
        let mut diff = before.trees[i].diff(&after.trees[i]);
        if memory {
            diff += &before.memory[i].diff(&after.memory[i]);
        }
        if !diff.is_empty() {
            return Err(format!("{who} changed {}\n{diff}", host.name()));
        }
    }
    Ok(())
}

fn hosts(seen: &Seen) -> &'static [Host] {
    &Host::ALL[..seen.trees.len()]
}

/// I1: every path holds a whole value that a user once put there.
pub fn whole(history: &BTreeMap<Vec<u8>, BTreeSet<What>>, after: &Seen) -> Checked {
    for host in hosts(after) {
        for (path, entry) in &after.trees[index(*host)].entries {
            let value = what(entry);
            if is_truth(path)
                && value != What::Dir
                && !history.get(path).is_some_and(|h| h.contains(&value))
            {
                return Err(format!(
                    "I1: {} on {} holds what nobody put there: {value:?}, {} bytes",
                    show(path),
                    host.name(),
                    entry.size
                ));
            }
        }
    }
    Ok(())
}

/// I2: what never crosses is as it was, and nothing like it has come; but for what its user did meanwhile.
pub fn apart(before: &Seen, after: &Seen, by_user: impl Fn(Host, &[u8]) -> bool) -> Checked {
    for host in hosts(after) {
        let i = index(*host);
        let only = |seen: &Seen| {
            let mut tree = seen.trees[i].clone();
            tree.entries
                .retain(|p, _| is_apart(p) && !by_user(*host, p));
            tree
        };
        let diff = only(before).diff(&only(after));
        if !diff.is_empty() {
            let host = host.name();
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
    by_author: impl Fn(Host, &[u8]) -> bool,
    retrievable: impl Fn() -> BTreeSet<What>,
) -> Checked {
    let live = |seen: &Seen, spare: bool| {
        let mut all = BTreeMap::new();
        for host in hosts(seen) {
            for (path, entry) in &seen.trees[index(*host)].entries {
                let counts = is_truth(path) && entry.kind != Kind::Dir;
                if counts && !(spare && by_author(*host, path)) {
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
pub fn recorded(two: Two, said: &[Said], is_only: bool) -> Vec<String> {
    let mut faults = Vec::new();
    let mut told = BTreeSet::new();
    let mut kept = BTreeMap::new();
    let side = |said: &Said, word: &Value| usize::from(!said.is_hub(word));
    for run in said {
        for change in run.items("changes") {
            told.insert((side(run, &change["to"]), path_of(change)));
            if change["result"] != "done" {
                faults.push(format!("I11: done, and yet {change}"));
            }
        }
        for entry in run.items("kept") {
            let place = bytes_of(entry, "at");
            kept.insert((side(run, &entry["side"]), path_of(entry)), place);
        }
    }
    if !is_only {
        return faults;
    }
    let all = two.after.iter().flat_map(|t| t.entries.values());
    let live: BTreeSet<What> = all.map(what).collect();
    for (i, host) in [Host::Mac, two.spoke].into_iter().enumerate() {
        let (was, is) = (&two.before[i].entries, &two.after[i].entries);
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
            let name = format!("{} on {}", show(path), host.name());
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
pub fn clean(lab: &Lab, hosts: &[Host]) -> Checked {
    wait_until("nothing but the sshd runs", || {
        lab.processes().iter().all(|p| p.program() == "sshd")
    });
    for host in hosts {
        let state = lab.state_dir(host.side());
        let tree = lab.snapshot(host.side());
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
            return Err(format!("left lying on {}: {litter:?}", host.name()));
        }
    }
    let tmp = fs::read_dir(lab.root().join("tmp")).unwrap().flatten();
    let tmp: Vec<_> = tmp.map(|e| e.path()).collect();
    match tmp.is_empty() {
        true => Ok(()),
        false => Err(format!("left lying: {tmp:?}")),
    }
}
