//! The parts of a screen, in the order in which a person must see them: what is wrong, what goes away, what was
//! contested, what is left to decide, and only then the rest.
//!
//! Invariant: every function takes neutral or raw text from the record and lets only neutral text out.

use super::fold::{Item, Row, fold};
use super::paint::{Meaning, Style};
use super::table::{Align, Cell, lines, shorten, wrap};
use crate::model::finding::{Finding, Severity};
use crate::model::record::{ChangeDoc, EntryDoc, LeftDoc, Record, ResultWord, TruthLane};
use crate::model::text::{count, neutral, size};
use crate::model::words::{Ends, moment, shown, version};

/// Rows of a section before it is folded. Deletes get more room: they are what must be judged.
const DELETES: usize = 20;
const ROWS: usize = 12;
/// Conflicts take several lines each.
const CONFLICTS: usize = 6;
const ITEMS: usize = 10;

/// Refusals first, then warnings, then the rest, each with its way out.
pub fn findings(record: &Record, style: &Style) -> String {
    let mut all: Vec<&Finding> = record.findings.iter().collect();
    all.sort_by_key(|f| match f.severity {
        Severity::Refuse => 0,
        Severity::Warn => 1,
        Severity::Waived => 2,
        Severity::Note => 3,
    });
    let mut out = String::new();
    for f in all {
        let (word, meaning) = match f.severity {
            Severity::Refuse => ("REFUSED", Meaning::Loss),
            Severity::Warn => ("WARNING", Meaning::Look),
            Severity::Waived => ("WAIVED", Meaning::Look),
            Severity::Note => ("NOTE", Meaning::Aside),
        };
        let peer = f
            .peer
            .as_ref()
            .map_or(String::new(), |p| format!(" ({})", neutral(p)));
        out += &style.paint(meaning, &format!("{word} {}{peer}", neutral(&f.guard)));
        out.push('\n');
        out += &wrap(&neutral(&f.message), 2, style);
        // Not wrapped: it may hold a command, and a command must be pasted as one line.
        if !f.hint.is_empty() {
            out += &format!("  → {}\n", style.paint(Meaning::Command, &neutral(&f.hint)));
        }
    }
    out
}

/// A heading and what stands under it.
fn section(title: &str, tail: &str, meaning: Meaning, body: &str, style: &Style) -> String {
    let tail = if tail.is_empty() {
        String::new()
    } else {
        format!("  {tail}")
    };
    format!("\n{}{tail}\n{body}", style.paint(meaning, title))
}

fn path_of(c: &ChangeDoc) -> String {
    shown(&c.path, c.path_hex.as_deref())
}

/// What an apply could not do, with the error.
pub fn failures(lane: &TruthLane, ends: &Ends, style: &Style) -> String {
    let failed: Vec<_> = of_result(lane, ResultWord::Failed).collect();
    if failed.is_empty() {
        return String::new();
    }
    let limit = if style.all { usize::MAX } else { ITEMS };
    let mut body = String::new();
    for c in failed.iter().take(limit) {
        let path = fitted(&path_of(c), 22 + ends.arrow(&c.to).len(), style);
        body += &format!("  {}  {path}  ({})\n", ends.arrow(&c.to), neutral(&c.kind));
        let error = c.error.as_deref().unwrap_or("no reason was given");
        body += &wrap(&neutral(error), 6, style);
    }
    body += &more(failed.len(), limit, style);
    section(
        "FAILED",
        &count(failed.len(), "file"),
        Meaning::Loss,
        &body,
        style,
    )
}

fn of_result(lane: &TruthLane, word: ResultWord) -> impl Iterator<Item = &ChangeDoc> {
    lane.changes.iter().filter(move |c| c.result == word)
}

/// One kind of change, folded. `word` is the result that is listed.
pub fn changes(
    lane: &TruthLane,
    kind: &str,
    word: ResultWord,
    title: &str,
    ends: &Ends,
    style: &Style,
) -> String {
    let ours = |c: &&ChangeDoc| c.kind == kind && c.conflict.is_none();
    let chosen: Vec<&ChangeDoc> = of_result(lane, word).filter(ours).collect();
    let (meaning, rows) = match kind {
        "delete" => (Meaning::Loss, DELETES),
        _ => (Meaning::Heading, ROWS),
    };
    list(&chosen, title, meaning, rows, ends, style)
}

/// What was planned and did not come to be done in an apply.
pub fn not_done(lane: &TruthLane, ends: &Ends, style: &Style) -> String {
    let open = |c: &&ChangeDoc| matches!(c.result, ResultWord::Planned | ResultWord::Skipped);
    let chosen: Vec<&ChangeDoc> = lane.changes.iter().filter(open).collect();
    list(&chosen, "NOT DONE", Meaning::Look, ROWS, ends, style)
}

fn list(
    chosen: &[&ChangeDoc],
    title: &str,
    meaning: Meaning,
    rows: usize,
    ends: &Ends,
    style: &Style,
) -> String {
    if chosen.is_empty() {
        return String::new();
    }
    let item = |(index, c): (usize, &&ChangeDoc)| Item {
        path: path_of(c),
        to: c.to.clone(),
        bytes: c.bytes,
        index,
    };
    let items = chosen.iter().enumerate().map(item).collect();
    let folded = fold(items, if style.all { usize::MAX } else { rows });
    let is_folded = folded.iter().any(|r| matches!(r, Row::Dir { .. }));
    let cells: Vec<Vec<Cell>> = folded.iter().map(|r| row(r, chosen, ends)).collect();
    let align = [Align::Left, Align::Left, Align::Right, Align::Left];
    let bytes: u64 = chosen.iter().map(|c| c.bytes).sum();
    let mut tail = count(chosen.len(), "file");
    if bytes > 0 {
        tail += &format!(", {}", size(bytes));
    }
    if is_folded {
        tail += " (--all lists each)";
    }
    section(
        title,
        &tail,
        meaning,
        &lines(&cells, &align, 1, 2, style),
        style,
    )
}

fn row(row: &Row, chosen: &[&ChangeDoc], ends: &Ends) -> Vec<Cell> {
    match row {
        Row::File(item) => {
            let change = chosen[item.index];
            let bytes = match change.kind.as_str() {
                "meta" => String::new(),
                _ => size(item.bytes),
            };
            vec![
                Cell::new(ends.arrow(&item.to)),
                Cell::new(&item.path),
                Cell::new(bytes),
                Cell::of(Meaning::Aside, aside(change)),
            ]
        }
        Row::Dir {
            path,
            to,
            files,
            bytes,
        } => vec![
            Cell::new(ends.arrow(to)),
            Cell::new(path),
            Cell::new(size(*bytes)),
            Cell::new(count(*files, "file")),
        ],
    }
}

/// What else is worth knowing of one change.
fn aside(change: &ChangeDoc) -> String {
    let mode = |e: &Option<Box<EntryDoc>>| e.as_ref().and_then(|e| e.mode.clone());
    if change.moved {
        return "renamed".into();
    }
    match (change.kind.as_str(), &change.source, &change.target) {
        ("replace", Some(s), Some(t)) => neutral(&format!("{} becomes {}", t.r#type, s.r#type)),
        ("meta", s, t) if mode(s) != mode(t) => match (mode(t), mode(s)) {
            (Some(old), Some(new)) => neutral(&format!("mode {old} becomes {new}")),
            _ => String::new(),
        },
        ("meta", ..) => "time only".into(),
        _ => String::new(),
    }
}

/// Conflicts that the policy decided: both versions, and why this one won.
pub fn conflicts(lane: &TruthLane, ends: &Ends, style: &Style) -> String {
    let contested = |c: &&ChangeDoc| c.conflict.is_some() && c.result != ResultWord::Failed;
    let all: Vec<_> = lane.changes.iter().filter(contested).collect();
    if all.is_empty() {
        return String::new();
    }
    let limit = if style.all { usize::MAX } else { CONFLICTS };
    let shown: String = all
        .iter()
        .take(limit)
        .map(|c| conflict(c, ends, style))
        .collect();
    let body = shown + &more(all.len(), limit, style);
    let tail = format!(
        "{}, decided by the policy; the losing versions are kept",
        count(all.len(), "file")
    );
    section("CONFLICTS", &tail, Meaning::Look, &body, style)
}

fn conflict(c: &ChangeDoc, ends: &Ends, style: &Style) -> String {
    let arrow = ends.arrow(&c.to);
    let rule = neutral(c.conflict.as_deref().unwrap_or_default());
    let deletes = if c.kind == "delete" { ", deletes" } else { "" };
    let path = fitted(
        &path_of(c),
        12 + arrow.len() + rule.len() + deletes.len(),
        style,
    );
    let mut out = format!("  {arrow}  {path}  ({rule}{deletes})\n");
    let times = [&c.source, &c.target].map(|e| e.as_ref().and_then(|e| e.mtime.as_deref()));
    let coarse = times.map(|t| t.map(|t| moment(t, 3)));
    // Versions of the same millisecond are told apart by more decimals.
    let decimals = if coarse[0] == coarse[1] { 9 } else { 3 };
    let version = |what: Cell, host: &str, entry: &Option<Box<EntryDoc>>, time: Option<&str>| {
        vec![
            what,
            Cell::new(host),
            Cell::new(time.map_or(String::new(), |t| moment(t, decimals))),
            Cell::new(entry.as_deref().map_or("nothing".into(), version)),
        ]
    };
    let rows = [
        version(
            Cell::of(Meaning::Good, "wins"),
            ends.other(&c.to),
            &c.source,
            times[0],
        ),
        version(
            Cell::of(Meaning::Loss, "loses"),
            ends.host(&c.to),
            &c.target,
            times[1],
        ),
    ];
    let align = [Align::Left, Align::Left, Align::Left, Align::Right];
    out += &lines(&rows, &align, 1, 6, style);
    if let Some(why) = &c.why {
        out += &wrap(&neutral(why), 6, style);
    }
    out
}

/// What nobody may decide but a person.
pub fn left(lane: &TruthLane, style: &Style) -> String {
    let body = leaves(&lane.left, style);
    if body.is_empty() {
        return body;
    }
    let tail = count(lane.left.len(), "file");
    section("LEFT FOR A PERSON", &tail, Meaning::Look, &body, style)
}

pub fn notes(lane: &TruthLane, style: &Style) -> String {
    let body = leaves(&lane.notes, style);
    if body.is_empty() {
        return body;
    }
    section("NOTES", "", Meaning::Aside, &body, style)
}

fn leaves(items: &[LeftDoc], style: &Style) -> String {
    let limit = if style.all { usize::MAX } else { ITEMS };
    let mut body = String::new();
    for l in items.iter().take(limit) {
        let mark = if l.conflict { "  (conflict)" } else { "" };
        let path = fitted(
            &shown(&l.path, l.path_hex.as_deref()),
            2 + mark.len(),
            style,
        );
        body += &format!("  {path}{mark}\n");
        body += &wrap(&neutral(&l.why), 6, style);
    }
    body + &more(items.len(), limit, style)
}

/// Where the versions that lost are kept.
pub fn kept(lane: &TruthLane, ends: &Ends, style: &Style) -> String {
    if lane.kept.is_empty() {
        return String::new();
    }
    let limit = if style.all { usize::MAX } else { ITEMS };
    let mut body = String::new();
    for k in lane.kept.iter().take(limit) {
        let path = fitted(&shown(&k.path, k.path_hex.as_deref()), 2, style);
        // Not shortened: this is the address at which it can be fetched.
        body += &format!(
            "  {path}\n      {}: {}\n",
            ends.host(&k.side),
            shown(&k.at, k.at_hex.as_deref())
        );
    }
    body += &more(lane.kept.len(), limit, style);
    let tail = count(lane.kept.len(), "file");
    section(
        "KEPT (what was overwritten or deleted)",
        &tail,
        Meaning::Heading,
        &body,
        style,
    )
}

fn more(total: usize, limit: usize, style: &Style) -> String {
    match total.saturating_sub(limit) {
        0 => String::new(),
        n => format!(
            "  {}\n",
            style.paint(
                Meaning::Aside,
                &format!("… and {n} more (--all lists each)")
            )
        ),
    }
}

/// A path that leaves `used` columns of its line to others.
fn fitted(path: &str, used: usize, style: &Style) -> String {
    match style.all {
        true => path.into(),
        false => shorten(path, style.width.saturating_sub(used).max(20)),
    }
}
