//! The screen of one run: a plan that a person can judge in ten seconds, or what an apply did.
//!
//! Invariants: the order is what is wrong, what goes away, what was contested, what is left to decide, the rest,
//! the sum, the next command; every line says the same with and without colour; no raw byte of a name gets out.

use super::paint::{Meaning, Style};
use super::summary::summary;
use super::table::wrap;
use super::{logs, publish, sections};
use crate::model::record::{Lane, Mode, Outcome, Record, ResultWord, TruthLane};
use crate::model::text::neutral;
use crate::model::words::{Ends, next_command};

/// Kinds in the order of the screen: word in the record, title of a plan, title of what was done.
const KINDS: [(&str, &str, &str); 4] = [
    ("replace", "REPLACE", "REPLACED"),
    ("create", "CREATE", "CREATED"),
    ("update", "UPDATE", "UPDATED"),
    ("meta", "MODE OR TIME ONLY", "MODE OR TIME SET"),
];

/// The record as the one JSON document.
pub fn json(record: &Record) -> String {
    record.document()
}

/// The record as a screen.
pub fn run(record: &Record, style: &Style) -> String {
    let mut out = sections::findings(record, style);
    for lane in &record.lanes {
        if let Lane::Truth(lane) = lane {
            if !out.is_empty() {
                out.push('\n');
            }
            out += &truth(record, lane, style);
        }
    }
    out += &logs::section(record, style);
    out += &publish::section(record, style);
    if record.lanes.is_empty() || record.outcome == Outcome::Interrupted {
        out += &format!(
            "{} {}\n",
            neutral(&record.command),
            style.paint(meaning(record.outcome), record.outcome.word())
        );
    }
    if let Some(next) = next_command(record) {
        out += &format!("Next: {}\n", style.paint(Meaning::Command, &next));
    }
    out
}

fn truth(record: &Record, lane: &TruthLane, style: &Style) -> String {
    let ends = Ends::of(record, lane);
    let dry = record.mode == Mode::DryRun;
    let mut out = heading(record, lane, &ends, style);
    let word = if dry {
        ResultWord::Planned
    } else {
        ResultWord::Done
    };
    let title = if dry { "DELETE" } else { "DELETED" };
    out += &sections::failures(lane, &ends, style);
    out += &sections::changes(lane, "delete", word, title, &ends, style);
    out += &sections::conflicts(lane, &ends, style);
    out += &sections::left(lane, style);
    for (kind, todo, done) in KINDS {
        let title = if dry { todo } else { done };
        out += &sections::changes(lane, kind, word, title, &ends, style);
    }
    if !dry {
        out += &sections::not_done(lane, &ends, style);
        out += &sections::kept(lane, &ends, style);
    }
    out += &sections::notes(lane, style);
    let sum = summary(lane, record.mode, &ends);
    if !sum.is_empty() {
        out.push('\n');
        for line in wrap(&sum, 0, style).lines() {
            out += &format!("{}\n", style.paint(Meaning::Heading, line));
        }
    }
    out
}

/// `truth, dry run: mac ↔ balaur, pending`, and what there is to say about it.
fn heading(record: &Record, lane: &TruthLane, ends: &Ends, style: &Style) -> String {
    let title = format!("truth, {}: {} ↔ {}", how(record), ends.local, ends.peer);
    let outcome = match lane.outcome {
        Outcome::InSync => "in sync",
        other => other.word(),
    };
    let mut out = format!(
        "{}  {}\n",
        style.paint(Meaning::Heading, &title),
        style.paint(meaning(lane.outcome), outcome)
    );
    if let Some(message) = &lane.message {
        out += &wrap(&neutral(message), 2, style);
    }
    out
}

/// How far the run went, in words.
pub fn how(record: &Record) -> &'static str {
    match (record.command.as_str(), record.mode) {
        ("verify", _) => "compared",
        ("rollback", Mode::DryRun) => "rollback, dry run",
        ("rollback", Mode::Apply) => "rollback",
        (_, Mode::DryRun) => "dry run",
        (_, Mode::Apply) => "apply",
    }
}

pub fn meaning(outcome: Outcome) -> Meaning {
    match outcome {
        Outcome::InSync | Outcome::Applied | Outcome::Current => Meaning::Good,
        Outcome::Failed | Outcome::Refused | Outcome::Interrupted | Outcome::Unreachable => {
            Meaning::Loss
        }
        Outcome::Skipped => Meaning::Aside,
        _ => Meaning::Look,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::samples::{change, entry, record};
    use crate::model::finding::{Finding, Severity};
    use crate::model::record::{KeptDoc, LeftDoc};

    fn plain() -> Style {
        Style::default()
    }

    fn lane(r: &mut Record) -> &mut TruthLane {
        match &mut r.lanes[0] {
            Lane::Truth(lane) => lane,
            _ => panic!("a truth lane"),
        }
    }

    /// A dry run with one of everything.
    fn plan() -> Record {
        let mut r = record(1);
        (r.mode, r.outcome) = (Mode::DryRun, Outcome::Pending);
        r.plan = Some("1a2b3c4d5e6f".into());
        let l = lane(&mut r);
        l.outcome = Outcome::Pending;
        let mut moved = change("missions/2025/new-name.json", "delete", "peer", 4096);
        moved.moved = true;
        let mut contested = change("docs/plan.md", "update", "local", 80);
        contested.conflict = Some("newer".into());
        contested.why = Some("balaur's version is newer by 61 s".into());
        contested.source = Some(entry(80, "2025-10-07T12:01:01.120000000Z"));
        contested.target = Some(entry(70, "2025-10-07T12:00:00.000000001Z"));
        let mut meta = change("scripts/run.sh", "meta", "peer", 0);
        meta.source = Some(entry(1, "2025-10-07T12:01:01Z"));
        meta.target = meta.source.clone();
        meta.source.as_mut().unwrap().mode = Some("0755".into());
        let mut replace = change("config/current", "replace", "peer", 9);
        (replace.source, replace.target) = (meta.source.clone(), meta.source.clone());
        replace.source.as_mut().unwrap().r#type = "link".into();
        l.changes = vec![
            change("docs/old.md", "delete", "peer", 1229),
            moved,
            contested,
            replace,
            change("docs/a.md", "create", "peer", 120),
            change("docs/naïve 日本.md", "create", "peer", 1_258_291),
            change("docs/from-server.md", "create", "local", 55),
            change("config/site.toml", "update", "peer", 300),
            meta,
        ];
        l.left = vec![LeftDoc {
            path: "docs/tie.md".into(),
            path_hex: None,
            why: "both sides changed it and both times are equal: make one of them newer, or set \
                  conflicts = \"local\" for a run"
                .into(),
            conflict: true,
        }];
        l.notes = vec![LeftDoc {
            path: "missions/old".into(),
            path_hex: None,
            why: "kept on balaur: it holds state files".into(),
            conflict: false,
        }];
        r
    }

    fn many() -> Record {
        let mut r = plan();
        let l = lane(&mut r);
        (l.left, l.notes) = (vec![], vec![]);
        let file = |n: u64| format!("missions/2025/run-{:02}/step-{n:06}.json", n % 40);
        l.changes = (0..100_000)
            .map(|n| {
                change(
                    &file(n),
                    if n % 50 == 0 { "delete" } else { "create" },
                    "peer",
                    1000 + n,
                )
            })
            .chain([change("docs/only.md", "delete", "local", 10)])
            .collect();
        r
    }

    fn applied() -> Record {
        let mut r = plan();
        (r.mode, r.outcome, r.exit_code) = (Mode::Apply, Outcome::Failed, 1);
        let l = lane(&mut r);
        l.outcome = Outcome::Failed;
        l.message = Some("one file could not be written on balaur".into());
        l.changes
            .iter_mut()
            .for_each(|c| c.result = ResultWord::Done);
        l.changes[4].result = ResultWord::Failed;
        l.changes[4].error = Some("No space left on device".into());
        l.changes[7].result = ResultWord::Skipped;
        l.kept = vec![KeptDoc {
            path: "docs/old.md".into(),
            path_hex: None,
            side: "peer".into(),
            at: "/home/b/.local/state/ubos-sync/pairs/balaur-mac/backups/r1/docs/old.md".into(),
            at_hex: None,
        }];
        r
    }

    fn refused() -> Record {
        let mut r = plan();
        (r.outcome, r.exit_code, r.plan) = (Outcome::Refused, 3, None);
        let finding = |guard: &str, severity, message: &str, hint: &str| Finding {
            guard: guard.into(),
            severity,
            peer: Some("balaur".into()),
            message: message.into(),
            hint: hint.into(),
        };
        r.findings = vec![
            finding(
                "rules_changed",
                Severity::Warn,
                "the rules changed since the last run",
                "",
            ),
            finding(
                "max_delete",
                Severity::Refuse,
                "212 of 400 files would be deleted on balaur (53 %), and the policy allows 20 %",
                "ubos-sync truth balaur --allow max_delete",
            ),
        ];
        let l = lane(&mut r);
        l.outcome = Outcome::Refused;
        l.changes.truncate(1);
        (l.left, l.notes) = (vec![], vec![]);
        r
    }

    #[test]
    fn a_plan_is_judged_in_ten_seconds() {
        insta::assert_snapshot!(run(&plan(), &plain()));
    }

    #[test]
    fn a_hundred_thousand_changes_fit_on_a_screen() {
        let text = run(&many(), &plain());
        assert!(text.lines().count() < 50, "{text}");
        insta::assert_snapshot!(text);
        let all = Style {
            all: true,
            ..plain()
        };
        assert!(run(&many(), &all).lines().count() > 100_000);
    }

    #[test]
    fn an_apply_shows_what_failed_first_and_where_losers_are() {
        insta::assert_snapshot!(run(&applied(), &plain()));
    }

    #[test]
    fn a_refusal_comes_first_with_its_way_out() {
        insta::assert_snapshot!(run(&refused(), &plain()));
    }

    #[test]
    fn nothing_to_do_is_one_line() {
        let mut r = plan();
        r.outcome = Outcome::InSync;
        *lane(&mut r) = TruthLane::new("balaur");
        lane(&mut r).outcome = Outcome::InSync;
        assert_eq!(run(&r, &plain()), "truth, dry run: mac ↔ balaur  in sync\n");
    }

    #[test]
    fn colour_adds_nothing_but_colour() {
        let style = Style {
            color: true,
            ..plain()
        };
        let coloured = run(&plan(), &style);
        insta::assert_snapshot!(coloured.replace('\x1b', "␛"));
        for r in [plan(), applied(), refused(), many()] {
            let mut text = run(&r, &style);
            for code in ["0", "1", "2", "31", "32", "33", "36"] {
                text = text.replace(&format!("\x1b[{code}m"), "");
            }
            assert_eq!(text, run(&r, &plain()));
        }
    }

    #[test]
    fn lines_fit_into_80_columns_but_for_what_must_be_pasted() {
        use unicode_width::UnicodeWidthStr;
        let mut r = plan();
        let long = "d/".repeat(60) + "end.md";
        for c in &mut lane(&mut r).changes {
            c.path = long.clone();
        }
        lane(&mut r).left[0].path = long;
        for r in [r, plan(), refused(), many()] {
            for line in run(&r, &plain()).lines() {
                assert!(line.width() <= 80 || line.starts_with("Next: "), "{line}");
            }
        }
    }

    #[test]
    fn hostile_text_in_any_field_stays_inert() {
        let evil = "a\x1b]0;x\x07\n\u{202e}b\u{9b}";
        for base in [plan(), applied(), refused()] {
            // Every text of the document becomes hostile, but for the words that the types fix.
            let mut doc = serde_json::to_value(&base).unwrap();
            poison(&mut doc, evil);
            let r: Record = serde_json::from_value(doc).unwrap();
            for style in [
                plain(),
                Style {
                    all: true,
                    ..plain()
                },
            ] {
                let text = run(&r, &style);
                assert!(
                    text.chars().all(|c| c == '\n' || !c.is_control()),
                    "{text:?}"
                );
                assert!(!text.contains('\u{202e}'));
            }
            assert!(json(&r).chars().all(|c| c == '\n' || !c.is_control()));
        }
    }

    fn poison(value: &mut serde_json::Value, evil: &str) {
        use serde_json::Value;
        const FIXED: [&str; 7] = [
            "lane", "mode", "outcome", "result", "severity", "kind", "to",
        ];
        match value {
            Value::String(s) => *s = evil.into(),
            Value::Array(all) => all.iter_mut().for_each(|v| poison(v, evil)),
            Value::Object(fields) => fields
                .iter_mut()
                .filter(|(k, _)| !FIXED.contains(&k.as_str()))
                .for_each(|(_, v)| poison(v, evil)),
            _ => {}
        }
    }
}
