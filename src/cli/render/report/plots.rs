//! The plots of the page, as SVG that a screen reader can name.

use std::fmt::Write as _;

use super::{class, esc, time};
use crate::model::record::{Mode, Outcome, Record};

/// Runs that a plot shows.
const MOST: usize = 400;
const WIDTH: f64 = 1000.0;

fn applied(records: &[Record]) -> Vec<&Record> {
    let mut all: Vec<&Record> = records
        .iter()
        .filter(|r| r.mode == Mode::Apply)
        .take(MOST)
        .collect();
    all.reverse();
    all
}

/// One mark per applied run, where it lies in time, by how it ended.
pub fn timeline(records: &[Record]) -> String {
    let all = applied(records);
    let at = |r: &Record| time(&r.started).map(|t| t.timestamp());
    let (Some(first), Some(last)) = (
        all.first().and_then(|r| at(r)),
        all.last().and_then(|r| at(r)),
    ) else {
        return "<p>No run has been applied yet.</p>\n".into();
    };
    let span = (last - first).max(1) as f64;
    let bad = all.iter().filter(|r| class(ended(r)) == "bad").count();
    let mut out = format!(
        "<p>Timeline: {} applied runs, {bad} of them failed, from {} to {}.</p>\n<svg viewBox=\"0 0 {WIDTH} 60\" role=\"img\" aria-label=\"{0} applied runs, {bad} failed\">",
        all.len(),
        all.first().map_or("", |r| &r.started),
        all.last().map_or("", |r| &r.started),
    );
    for r in &all {
        let Some(t) = at(r) else { continue };
        let x = 5.0 + (t - first) as f64 / span * (WIDTH - 10.0);
        let class = class(ended(r));
        // Not by colour alone: what failed stands taller.
        let (y, h) = if class == "good" { (25, 20) } else { (8, 44) };
        let _ = write!(
            out,
            "<rect x=\"{x:.1}\" y=\"{y}\" width=\"2\" height=\"{h}\" fill=\"currentColor\" class=\"{class}\"/>"
        );
    }
    out += "</svg>\n";
    out
}

fn ended(record: &Record) -> Outcome {
    match record.complete {
        true => record.outcome,
        false => Outcome::Interrupted,
    }
}

/// A bar per applied run, oldest first; the tallest one is named.
pub fn bars(
    records: &[Record],
    title: &str,
    value: impl Fn(&Record) -> f64,
    shown: impl Fn(f64) -> String,
) -> String {
    let all = applied(records);
    let most = all.iter().map(|r| value(r)).fold(0.0, f64::max);
    if most <= 0.0 {
        return String::new();
    }
    let step = WIDTH / all.len().max(20) as f64;
    let mut out = format!(
        "<p>{}; the most: {}</p>\n<svg viewBox=\"0 0 {WIDTH} 90\" role=\"img\" aria-label=\"{0}, at most {1}\"><g fill=\"var(--bar)\">",
        esc(title),
        esc(&shown(most))
    );
    for (i, r) in all.iter().enumerate() {
        let h = (value(r) / most * 80.0).max(if value(r) > 0.0 { 1.0 } else { 0.0 });
        if h > 0.0 {
            let _ = write!(
                out,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{h:.1}\"/>",
                i as f64 * step,
                85.0 - h,
                (step * 0.8).max(0.8)
            );
        }
    }
    out += "</g></svg>\n";
    out
}
