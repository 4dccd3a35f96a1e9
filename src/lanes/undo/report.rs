//! What a rollback would do, and what it did, as the record tells it.

use std::collections::HashSet;

use super::survey::{Step, host};
use crate::lanes::truth::hosts::Pair;
use crate::model::path::RelPath;
use crate::model::plan::Side;
use crate::model::record::{ChangeDoc, EntryDoc, LeftDoc, Outcome, ResultWord, TruthLane};
use crate::model::undo::{Back, Fate};

pub(super) fn describe(lane: &mut TruthLane, steps: &[Step], pair: &Pair) {
    for step in steps {
        let b = step.back;
        let on = &host(pair, b.side).name;
        let mut leave = |why: String| {
            lane.left.push(LeftDoc {
                path: b.path.lossy(),
                path_hex: b.path.hex_if_not_utf8(),
                why,
                conflict: false,
            });
        };
        if b.cut {
            leave(format!(
                "it was changed on {on} between the runs; what was written there then stays"
            ));
        }
        match (step.fate, &step.trouble) {
            (Fate::Already, _) => {}
            (_, Some(why)) => leave(why.clone()),
            (Fate::Edited, None) => leave(format!(
                "it was changed on {on} since that run; --force keeps the change beside it"
            )),
            (Fate::Restore, None) => lane.changes.push(document(b, ResultWord::Planned)),
        }
    }
    lane.changes.sort_by(|a, b| a.path.cmp(&b.path));
    lane.left.sort_by(|a, b| a.path.cmp(&b.path));
}

pub(super) fn document(b: &Back, result: ResultWord) -> ChangeDoc {
    let kind = match (&b.before, &b.after) {
        (None, _) => "delete",
        (_, None) => "create",
        (Some(x), Some(y)) if x.r#type != y.r#type => "replace",
        (Some(x), Some(y)) if x.hash == y.hash && x.link == y.link => "meta",
        _ => "update",
    };
    let bytes = |e: &Option<EntryDoc>| e.as_ref().and_then(|e| e.size).unwrap_or(0);
    ChangeDoc {
        path: b.path.lossy(),
        path_hex: b.path.hex_if_not_utf8(),
        kind: kind.into(),
        to: b.side.word().into(),
        bytes: match kind {
            "delete" => bytes(&b.after),
            _ => bytes(&b.before),
        },
        conflict: None,
        why: None,
        moved: false,
        source: b.before.clone().map(Box::new),
        target: b.after.clone().map(Box::new),
        result,
        error: None,
    }
}

/// What was done, judged by what is there afterwards.
pub(super) fn tell(lane: &mut TruthLane, steps: &[Step], after: &[Step], bad: &[RelPath]) {
    let back: HashSet<(&RelPath, Side)> = after
        .iter()
        .filter(|s| s.fate == Fate::Already)
        .map(|s| (&s.back.path, s.back.side))
        .collect();
    let is_back = |path: &RelPath, side: Side| back.contains(&(path, side));
    let bad: HashSet<&RelPath> = bad.iter().collect();
    let mut failed = 0_usize;
    lane.changes.clear();
    lane.left.retain(|l| {
        // Forced: it is back, and the edit lies beside it.
        !steps.iter().any(|s| {
            s.fate == Fate::Edited
                && !s.back.cut
                && s.back.path.lossy() == l.path
                && is_back(&s.back.path, s.back.side)
        })
    });
    for step in steps
        .iter()
        .filter(|s| s.fate != Fate::Already && s.trouble.is_none())
    {
        let done = is_back(&step.back.path, step.back.side);
        if !done && step.fate == Fate::Edited {
            continue;
        }
        let is_new_dir = step.back.before.is_none()
            && step
                .back
                .after
                .as_ref()
                .is_some_and(|a| a.r#type == "directory");
        if !done && is_new_dir {
            lane.notes.push(LeftDoc {
                path: step.back.path.lossy(),
                path_hex: step.back.path.hex_if_not_utf8(),
                why: "the run had made it; it stays, because something else lies in it by now"
                    .into(),
                conflict: false,
            });
            continue;
        }
        let mut doc = document(
            step.back,
            if done {
                ResultWord::Done
            } else {
                ResultWord::Failed
            },
        );
        if !done {
            failed += 1;
            doc.error = Some(match bad.contains(&step.back.path) {
                true => "it could not be put back: something stands in the way, changes it right now, or there is no room".into(),
                false => "it is not as it was before the run".into(),
            });
        }
        lane.changes.push(doc);
    }
    lane.changes.sort_by(|a, b| a.path.cmp(&b.path));
    lane.outcome = match (failed, lane.left.is_empty()) {
        (1.., _) => Outcome::Failed,
        (0, false) => Outcome::Partial,
        (0, true) if lane.changes.is_empty() => Outcome::InSync,
        _ => Outcome::Applied,
    };
}
