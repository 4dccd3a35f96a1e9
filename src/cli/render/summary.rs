//! The one line that says how much would happen, or has happened, and on which host.

use std::collections::BTreeMap;

use crate::model::record::{ChangeDoc, Mode, ResultWord, TruthLane};
use crate::model::text::{count, size, thousands};
use crate::model::words::Ends;

/// Kinds in the order in which they are spoken of: word in the record, to be done, done.
const SPOKEN: [(&str, &str, &str); 5] = [
    ("create", "to create", "created"),
    ("update", "to update", "updated"),
    ("replace", "to replace", "replaced"),
    ("meta", "to re-date or re-mode", "re-dated or re-moded"),
    ("delete", "to delete", "deleted"),
];

/// `3 to create, 1 to update, 2 to delete on balaur; 1 conflict; 1.2 MiB would travel`
pub fn summary(lane: &TruthLane, mode: Mode, ends: &Ends) -> String {
    let dry = mode == Mode::DryRun;
    let wanted = if dry {
        ResultWord::Planned
    } else {
        ResultWord::Done
    };
    let counted = || lane.changes.iter().filter(|c| c.result == wanted);
    let mut parts = Vec::new();
    for side in ["peer", "local"] {
        let kinds = kinds(counted().filter(|c| c.to == side), dry);
        if !kinds.is_empty() {
            parts.push(format!("{} on {}", kinds.join(", "), ends.host(side)));
        }
    }
    let of = |word| lane.changes.iter().filter(|c| c.result == word).count();
    if !dry {
        for (n, word) in [
            (of(ResultWord::Failed), "failed"),
            (
                of(ResultWord::Skipped) + of(ResultWord::Planned),
                "not done",
            ),
        ] {
            if n > 0 {
                parts.push(format!("{} {word}", thousands(n)));
            }
        }
    }
    let conflicts = lane.changes.iter().filter(|c| c.conflict.is_some()).count();
    if conflicts > 0 {
        parts.push(count(conflicts, "conflict"));
    }
    if !lane.left.is_empty() {
        parts.push(format!("{} left for a person", thousands(lane.left.len())));
    }
    let travels: u64 = counted()
        .filter(|c| c.kind != "delete")
        .map(|c| c.bytes)
        .sum();
    if travels > 0 {
        let verb = if dry { "would travel" } else { "travelled" };
        parts.push(format!("{} {verb}", size(travels)));
    }
    parts.join("; ")
}

fn kinds<'a>(changes: impl Iterator<Item = &'a ChangeDoc>, dry: bool) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut moved = 0;
    for c in changes {
        *counts.entry(&c.kind).or_default() += 1;
        moved += usize::from(c.moved && c.kind == "delete");
    }
    let spoken = |(kind, todo, done): &(&str, &str, &str)| {
        let n = thousands(*counts.get(kind)?);
        let word = if dry { todo } else { done };
        // A file that goes away under one name and comes under another is no loss.
        let renamed = match (*kind, moved) {
            ("delete", 1..) => format!(" ({} of them renamed)", thousands(moved)),
            _ => String::new(),
        };
        Some(format!("{n} {word}{renamed}"))
    };
    SPOKEN.iter().filter_map(spoken).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::samples::change;

    fn ends() -> Ends {
        Ends {
            local: "mac".into(),
            peer: "balaur".into(),
        }
    }

    #[test]
    fn the_sum_names_the_hosts_and_what_would_travel() {
        let mut lane = TruthLane::new("balaur");
        lane.changes = vec![
            change("a", "create", "peer", 1024),
            change("b", "update", "peer", 1024),
            change("c", "delete", "peer", 999),
            change("d", "delete", "peer", 999),
            change("e", "create", "local", 0),
        ];
        lane.changes[2].moved = true;
        lane.changes[1].conflict = Some("newer".into());
        assert_eq!(
            summary(&lane, Mode::DryRun, &ends()),
            "1 to create, 1 to update, 2 to delete (1 of them renamed) on balaur; 1 to create on mac; \
             1 conflict; 2.0 KiB would travel"
        );
    }

    #[test]
    fn after_an_apply_only_what_was_done_counts_as_done() {
        let mut lane = TruthLane::new("balaur");
        lane.changes = ["a", "b", "c", "d"]
            .map(|p| change(p, "create", "peer", 10))
            .into();
        lane.changes[0].result = ResultWord::Done;
        lane.changes[1].result = ResultWord::Failed;
        assert_eq!(
            summary(&lane, Mode::Apply, &ends()),
            "1 created on balaur; 1 failed; 2 not done; 10 B travelled"
        );
        assert_eq!(summary(&TruthLane::new("x"), Mode::Apply, &ends()), "");
    }
}
