//! `--plan ID` when the plan is another one by now: what differs from the one that was shown, found in the audit log.
//!
//! Invariant: nothing here can make a refused plan pass; a record that cannot be found or read only makes the answer shorter.

use std::collections::BTreeMap;

use crate::audit::store::Store;
use crate::model::finding::{Finding, Severity};
use crate::model::record::{ChangeDoc, Lane, LeftDoc, TruthLane};
use crate::model::text::count;

/// How many records are looked through, newest first; a plan that a person still has in mind is among them.
const NEWEST: usize = 200;

/// The refusal, with what differs added to the lane's notes, one path each.
pub fn refuse(store: Option<&Store>, command: &str, id: &str, lane: &mut TruthLane) -> Finding {
    let now = lane.plan.clone().unwrap_or_default();
    let shown = store.and_then(|s| find(s, id, &lane.peer));
    let differs = match &shown {
        Some(then) => {
            let notes = difference(then, lane);
            let words = in_words(&notes);
            lane.notes.extend(notes.into_iter().map(|(_, note)| note));
            words
        }
        None => {
            "no run on record here has shown that plan, so what differs is not known".to_owned()
        }
    };
    Finding {
        guard: "plan".into(),
        severity: Severity::Refuse,
        peer: Some(lane.peer.clone()),
        message: format!(
            "the plan is not {} any more, but {now}: {differs}",
            crate::model::text::neutral(id)
        ),
        hint: format!("look at it again: ubos-sync {command} {}", lane.peer),
    }
}

/// The lane as it was when this plan was shown.
fn find(store: &Store, id: &str, peer: &str) -> Option<TruthLane> {
    let newest = store.newest(NEWEST).ok()?;
    // A run with several peers has a plan for each and none of its own.
    let may_hold = newest.into_iter().filter(|s| {
        s.facts
            .as_ref()
            .is_some_and(|f| f.plan.as_deref().is_none_or(|p| p == id))
    });
    may_hold
        .filter_map(|s| store.read(&s.run).ok())
        .flat_map(|record| record.lanes)
        .find_map(|lane| match lane {
            Lane::Truth(t) if t.peer == peer && t.plan.as_deref() == Some(id) => Some(t),
            _ => None,
        })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum How {
    Added,
    Gone,
    Changed,
}

/// A path as the documents name it.
type Named<'a> = (&'a str, Option<&'a str>);

#[derive(PartialEq)]
enum Fate<'a> {
    Changes(Box<ChangeDoc>),
    Left(&'a LeftDoc),
}

fn fates(lane: &TruthLane) -> BTreeMap<Named<'_>, Fate<'_>> {
    let changes = lane.changes.iter().map(|c| {
        // What came of it is no part of what was planned.
        let planned = ChangeDoc {
            result: crate::model::record::ResultWord::Planned,
            error: None,
            ..c.clone()
        };
        let named = (c.path.as_str(), c.path_hex.as_deref());
        (named, Fate::Changes(Box::new(planned)))
    });
    let left = lane
        .left
        .iter()
        .map(|l| ((l.path.as_str(), l.path_hex.as_deref()), Fate::Left(l)));
    changes.chain(left).collect()
}

fn difference(then: &TruthLane, now: &TruthLane) -> Vec<(How, LeftDoc)> {
    let (before, after) = (fates(then), fates(now));
    let note = |named: &Named, how: How, why: String| {
        let doc = LeftDoc {
            path: named.0.to_owned(),
            path_hex: named.1.map(str::to_owned),
            why,
            conflict: false,
        };
        (how, doc)
    };
    let mut out = Vec::new();
    for (named, fate) in &after {
        match before.get(named) {
            None => out.push(note(
                named,
                How::Added,
                format!("not in the plan that was shown; now: {}", words(fate, now)),
            )),
            Some(old) if old != fate => out.push(note(
                named,
                How::Changed,
                format!("shown as: {}; now: {}", words(old, then), words(fate, now)),
            )),
            Some(_) => {}
        }
    }
    for (named, fate) in &before {
        if !after.contains_key(named) {
            out.push(note(
                named,
                How::Gone,
                format!("shown as: {}; not planned any more", words(fate, then)),
            ));
        }
    }
    out.sort_by(|a, b| (&a.1.path, a.0).cmp(&(&b.1.path, b.0)));
    out
}

fn words(fate: &Fate, lane: &TruthLane) -> String {
    match fate {
        Fate::Left(l) => format!("left ({})", l.why),
        Fate::Changes(c) => {
            let where_to = match c.to.as_str() {
                "peer" => format!("on {}", lane.peer),
                _ => "here".to_owned(),
            };
            let version = match c.source.as_ref().or(c.target.as_ref()) {
                Some(e) => match &e.mtime {
                    Some(time) => format!(", {} B of {time}", e.size.unwrap_or(0)),
                    None => String::new(),
                },
                None => String::new(),
            };
            format!("{} {where_to}{version}", c.kind)
        }
    }
}

/// How many of each, and the first few by name.
fn in_words(notes: &[(How, LeftDoc)]) -> String {
    let mut parts = Vec::new();
    for (how, word) in [
        (How::Added, "added"),
        (How::Gone, "gone"),
        (How::Changed, "changed"),
    ] {
        let paths: Vec<String> = notes
            .iter()
            .filter(|(h, _)| *h == how)
            .map(|(_, n)| crate::model::text::neutral(&n.path))
            .collect();
        if paths.is_empty() {
            continue;
        }
        let more = if paths.len() > 3 { ", …" } else { "" };
        let first: Vec<_> = paths.iter().take(3).map(String::as_str).collect();
        let n = count(paths.len(), "path");
        parts.push(format!("{n} {word} ({}{more})", first.join(", ")));
    }
    match parts.is_empty() {
        true => "the same paths, decided otherwise".to_owned(),
        false => parts.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::ResultWord;

    fn change(path: &str, kind: &str, bytes: u64) -> ChangeDoc {
        ChangeDoc {
            path: path.into(),
            path_hex: None,
            kind: kind.into(),
            to: "peer".into(),
            bytes,
            conflict: None,
            why: None,
            moved: false,
            source: None,
            target: None,
            result: ResultWord::Planned,
            error: None,
        }
    }

    fn lane(changes: &[ChangeDoc]) -> TruthLane {
        TruthLane {
            changes: changes.to_vec(),
            ..TruthLane::new("balaur")
        }
    }

    #[test]
    fn what_came_what_went_and_what_is_another_now_is_told_apart() {
        let then = lane(&[
            change("a", "create", 1),
            change("b", "update", 1),
            change("c", "delete", 1),
        ]);
        let now = lane(&[
            change("a", "create", 1),
            change("b", "update", 2),
            change("d", "create", 1),
        ]);
        let notes = difference(&then, &now);
        let told: Vec<_> = notes.iter().map(|(h, n)| (n.path.as_str(), *h)).collect();
        assert_eq!(
            told,
            [("b", How::Changed), ("c", How::Gone), ("d", How::Added)]
        );
        assert_eq!(
            in_words(&notes),
            "1 path added (d), 1 path gone (c), 1 path changed (b)"
        );
    }

    #[test]
    fn what_came_of_a_change_is_no_difference() {
        let then = lane(&[ChangeDoc {
            result: ResultWord::Done,
            ..change("a", "create", 1)
        }]);
        assert_eq!(difference(&then, &lane(&[change("a", "create", 1)])), []);
    }
}
