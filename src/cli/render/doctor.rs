//! The doctor's table: the worst first, each bad row followed by what to type.
//!
//! Invariant: only neutral text comes out.

use super::paint::{Meaning, Style};
use super::table::{Align, Cell, lines, wrap};
use crate::lanes::doctor::mend::Mended;
use crate::lanes::doctor::{Check, Verdict};
use crate::model::text::{count, neutral};

/// What was mended, or would be; it stands above the table.
pub fn mended(all: &[Mended], applied: bool, style: &Style) -> String {
    if all.is_empty() {
        return "nothing here can be mended without a person\n\n".to_owned();
    }
    let mut out = String::new();
    for m in all {
        let (meaning, word) = match (&m.not, applied) {
            (None, true) => (Meaning::Good, "done "),
            (None, false) => (Meaning::Command, "would"),
            (Some(_), _) => (Meaning::Loss, "NOT  "),
        };
        let why = m
            .not
            .as_ref()
            .map_or(String::new(), |why| format!(": {why}"));
        out += &format!("{}  {}\n", style.paint(meaning, word), neutral(&m.host));
        out += &wrap(&neutral(&format!("{}{why}", m.mend.words())), 6, style);
    }
    if !applied {
        out += &format!(
            "to do it: {}\n",
            style.paint(Meaning::Command, "ubos-sync doctor --fix --apply")
        );
    }
    out + "\n"
}

pub fn screen(mut checks: Vec<Check>, style: &Style) -> String {
    checks.sort_by_key(|c| c.verdict);
    let mut out = String::new();
    for c in checks.iter().filter(|c| c.verdict != Verdict::Good) {
        let (meaning, word) = match c.verdict {
            Verdict::Bad => (Meaning::Loss, "BAD "),
            _ => (Meaning::Look, "look"),
        };
        out += &format!(
            "{}  {}  {}\n",
            style.paint(meaning, word),
            neutral(&c.host),
            c.what
        );
        out += &wrap(&neutral(&c.found), 6, style);
        out += &format!(
            "      {}\n",
            style.paint(Meaning::Command, &neutral(&c.fix))
        );
    }
    let rows: Vec<Vec<Cell>> = checks
        .iter()
        .filter(|c| c.verdict == Verdict::Good)
        .map(|c| {
            vec![
                Cell::of(Meaning::Good, "ok"),
                Cell::new(neutral(&c.host)),
                Cell::new(c.what),
                Cell::of(Meaning::Aside, neutral(&c.found)),
            ]
        })
        .collect();
    out += &lines(&rows, &[Align::Left; 4], 3, 0, style);
    let number = |v| checks.iter().filter(|c| c.verdict == v).count();
    let (bad, look) = (number(Verdict::Bad), number(Verdict::Look));
    let sum = match (bad, look) {
        (0, 0) => "everything is as it should be".to_owned(),
        (0, look) => format!(
            "nothing stands in the way; {} worth a look",
            count(look, "thing")
        ),
        (bad, _) => format!("{} in the way of a run", count(bad, "thing")),
    };
    out + &format!("{}\n", style.paint(Meaning::Heading, &sum))
}
