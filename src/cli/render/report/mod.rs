//! The records as one page for a browser: self-contained, readable without a script, in light and in dark.
//!
//! Invariants: every foreign text is escaped; the page asks nobody for anything; its first line answers whether all is fine, also
//! when it is opened long after it was written.

mod plots;
mod tables;

use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::model::conflict::{Conflict, State};
use crate::model::overview::{Standing, is_good};
use crate::model::record::{ChangeDoc, Lane, Mode, Outcome, Record, ResultWord};
use crate::model::streak::Streak;
use crate::model::text::{age, count, neutral, size};
use crate::model::time::rfc3339;
use crate::model::verdict::{Known, Level, Verdict, verdict as judged};
use crate::model::worker_doc::WorkerDoc;

pub struct Facts<'a> {
    pub now: DateTime<Utc>,
    pub site: &'a str,
    /// How old the last success of a lane may be.
    pub most: Duration,
    pub standings: Vec<Standing>,
    pub conflicts: Vec<Conflict>,
    pub streak: Streak,
    /// Whether it lives, and what it says of itself.
    pub worker: Option<(bool, WorkerDoc)>,
    /// Newest first.
    pub records: &'a [Record],
    pub damaged: usize,
}

/// Rows of a table that grows with time.
const ROWS: usize = 40;

pub fn page(f: &Facts) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\
         <link rel=\"icon\" href=\"data:,\"><title>ubos-sync: {site}</title><style>{css}</style></head><body><main><h1>ubos-sync on {site}</h1>\n",
        site = esc(f.site),
        css = include_str!("style.css")
    );
    out += &verdict(f);
    out += &lanes(f);
    out += &open(f);
    out += &failures(f);
    out += "<h2 id=\"runs\">Runs</h2>\n";
    out += &plots::timeline(f.records);
    out += &plots::bars(
        f.records,
        "Seconds of each applied run",
        |r| r.seconds,
        |n| format!("{n:.1} s"),
    );
    out += &plots::bars(
        f.records,
        "Bytes of each applied run",
        |r| volume(r) as f64,
        |n| size(n as u64),
    );
    out += &runs(f);
    out += &tables::logs(f);
    out += &tables::targets(f);
    let _ = writeln!(
        out,
        "</main><footer>Written {} by ubos-sync {} from {}.{}</footer></body></html>",
        rfc3339(f.now),
        env!("CARGO_PKG_VERSION"),
        count(f.records.len(), "record"),
        match f.damaged {
            0 => String::new(),
            n => format!(
                " {} cannot be read: <code>ubos-sync runs verify</code>",
                count(n, "record")
            ),
        }
    );
    out
}

/// A text that a browser takes for nothing but text.
fn esc(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in neutral(text).chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            c => out.push(c),
        }
    }
    out
}

fn time(text: &str) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
}

/// `5 min before this page`: a page knows no now.
fn before(f: &Facts, at: Option<&str>) -> String {
    match at.and_then(time) {
        Some(at) => format!(
            "<time datetime=\"{}\">{} before</time>",
            rfc3339(at),
            age((f.now - at).num_seconds())
        ),
        None => "<span class=\"dim\">never</span>".into(),
    }
}

/// The first line. What is fine when the page is written may be overdue when it is read: without a script it says until when it
/// holds, with one it looks at the clock.
fn verdict(f: &Facts) -> String {
    let open = f.conflicts.iter().filter(|c| c.state == State::Open);
    let died = |w: &(bool, WorkerDoc)| !w.0 && w.1.ended.is_none();
    let Verdict {
        level,
        words,
        until,
        overdue,
    } = judged(&Known {
        now: f.now,
        most: f.most,
        standings: &f.standings,
        open: open.count(),
        worker_died: f.worker.as_ref().is_some_and(died),
    });
    let class = match level {
        Level::Good => "good",
        Level::Look => "look",
        Level::Bad => "bad",
    };
    let mut out = format!(
        "<p id=\"verdict\" class=\"{class}\" role=\"status\"{}>{}</p>\n",
        match until {
            Some(until) => format!(" data-until=\"{}\"", rfc3339(until)),
            None => String::new(),
        },
        esc(&words)
    );
    let _ = write!(
        out,
        "<p>As of <time datetime=\"{0}\">{0}</time>.",
        rfc3339(f.now)
    );
    if let Some(until) = until {
        let until = rfc3339(until);
        let said = match overdue {
            true => format!(" It has been overdue since <time>{until}</time>."),
            false => format!(
                " Read after <time>{until}</time> without a newer page, it is <strong>overdue</strong>."
            ),
        };
        out += &said;
    }
    if let (Some(since), n) = (f.streak.since.as_deref().and_then(time), f.streak.runs) {
        let long = age((f.now - since).num_seconds());
        let _ = write!(
            out,
            " {} without a failure, for {long}.",
            count(n as usize, "run")
        );
    }
    out += "</p>\n<script>(function(){var v=document.getElementById('verdict'),u=v.dataset.until;if(u&&Date.now()>Date.parse(u)){var h=Math.round((Date.now()-Date.parse(u))/36e5);v.className='bad';v.textContent='OVERDUE: no newer success is known'+(h>0?', for '+h+' h':'')+'. '+v.textContent}})();</script>\n";
    out
}

fn class(outcome: Outcome) -> &'static str {
    match outcome {
        // Good for the clock, but something was left for a person.
        Outcome::Partial => "look",
        o if is_good(o) => "good",
        Outcome::Failed | Outcome::Refused | Outcome::Interrupted => "bad",
        _ => "look",
    }
}

fn table(caption: &str, heads: &[&str], rows: &[String]) -> String {
    let heads: String = heads
        .iter()
        .map(|h| match h.strip_prefix('#') {
            Some(h) => format!("<th scope=\"col\" class=\"n\">{h}</th>"),
            None => format!("<th scope=\"col\">{h}</th>"),
        })
        .collect();
    format!(
        "<div class=\"wide\"><table><caption>{caption}</caption><thead><tr>{heads}</tr></thead><tbody>{}</tbody></table></div>\n",
        rows.concat()
    )
}

fn lanes(f: &Facts) -> String {
    let row = |s: &Standing| {
        let (word, class) = match &s.last {
            Some(last) => (last.outcome.word(), class(last.outcome)),
            None => ("never run", "dim"),
        };
        format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"{class}\">{word}</td><td>{}</td><td>{}</td></tr>\n",
            esc(&s.subject),
            s.lane,
            before(f, s.last_success.as_deref()),
            match &s.since {
                Some(since) => before(f, Some(since)),
                None => "".into(),
            }
        )
    };
    let rows: Vec<String> = f.standings.iter().map(row).collect();
    let mut out = "<h2 id=\"lanes\">Peers and targets</h2>\n".to_owned();
    out += &table(
        "How each lane stands",
        &["With", "Lane", "Last run", "Last success", "Failing since"],
        &rows,
    );
    if let Some((alive, doc)) = &f.worker {
        let word = match (alive, &doc.ended) {
            (true, _) => "<span class=\"good\">lives</span>".to_owned(),
            (false, Some(ended)) => format!("ended: {}", esc(ended)),
            (false, None) => {
                "<span class=\"bad\">died</span>: <code>ubos-sync watch --apply</code>".into()
            }
        };
        let _ = writeln!(
            out,
            "<p>Worker: {word}; {} cycles, {} good, {} failed.</p>",
            doc.cycles, doc.succeeded, doc.failed
        );
    }
    out
}

/// What waits for a person, and what the last look found to do.
fn open(f: &Facts) -> String {
    let open: Vec<&Conflict> = f
        .conflicts
        .iter()
        .filter(|c| c.state == State::Open)
        .collect();
    let mut out = "<h2 id=\"open\">Pending and open</h2>\n".to_owned();
    if let Some(record) = f.records.iter().find(|r| r.complete)
        && record.mode == Mode::DryRun
    {
        let n: usize = record.lanes.iter().map(pending).sum();
        let _ = writeln!(
            out,
            "<p>{} pending at the dry run of {}.</p>",
            count(n, "change"),
            esc(&record.started)
        );
    }
    if open.is_empty() {
        out += "<p>No open conflict.</p>\n";
        return out;
    }
    let rows: Vec<String> = open
        .iter()
        .take(ROWS)
        .map(|c| {
            format!(
                "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>\n",
                esc(&c.path),
                esc(&c.peer),
                esc(&c.why)
            )
        })
        .collect();
    out += &table(
        &format!(
            "{}; to decide: <code>ubos-sync conflicts</code>",
            count(open.len(), "open conflict")
        ),
        &["Path", "With", "Why"],
        &rows,
    );
    out
}

fn pending(lane: &Lane) -> usize {
    match lane {
        Lane::Log(l) => usize::from(l.outcome == Outcome::Pending),
        _ => lane.changes().len(),
    }
}

/// Failures of the last runs, with what to do about each; the same one is told once.
fn failures(f: &Facts) -> String {
    let mut rows: Vec<String> = Vec::new();
    let mut told = std::collections::BTreeSet::new();
    for r in f.records.iter().filter(|r| r.mode == Mode::Apply) {
        let mut put = |subject: &str, why: &str, hint: &str| {
            if told.insert((subject.to_owned(), why.to_owned())) && rows.len() < ROWS {
                rows.push(format!(
                    "<tr><td>{}</td><td>{}</td><td>{}</td><td><code>{}</code></td></tr>\n",
                    esc(&r.started),
                    esc(subject),
                    esc(why),
                    esc(hint)
                ));
            }
        };
        for finding in r
            .findings
            .iter()
            .filter(|x| x.severity == crate::model::finding::Severity::Refuse)
        {
            let peer = finding.peer.as_deref().unwrap_or("");
            put(peer, &finding.message, &finding.hint);
        }
        for lane in &r.lanes {
            if matches!(
                lane.outcome(),
                Outcome::Failed | Outcome::Interrupted | Outcome::Unreachable
            ) && let Some(message) = lane.message()
            {
                put(
                    lane.subject(),
                    message,
                    lane.hint().unwrap_or("ubos-sync doctor"),
                );
            }
        }
        if !r.complete {
            put("", "the run died before its end", "ubos-sync status");
        }
    }
    let mut out = "<h2 id=\"failures\">Failures</h2>\n".to_owned();
    out += &match rows.is_empty() {
        true => "<p>None in these records.</p>\n".to_owned(),
        false => table(
            "Newest first, each told once",
            &["When", "With", "What", "What to do"],
            &rows,
        ),
    };
    out
}

/// Bytes that a run moved.
fn volume(record: &Record) -> u64 {
    let of = |lane: &Lane| match lane {
        Lane::Log(l) => l.bytes,
        _ => {
            let done = |c: &&ChangeDoc| c.result == ResultWord::Done && c.kind != "delete";
            lane.changes().iter().filter(done).map(|c| c.bytes).sum()
        }
    };
    record.lanes.iter().map(of).sum()
}

fn runs(f: &Facts) -> String {
    let row = |r: &Record| {
        let changes: usize = r.lanes.iter().map(|l| l.changes().len()).sum();
        let outcome = if r.complete {
            r.outcome
        } else {
            Outcome::Interrupted
        };
        format!(
            "<tr><td>{}</td><td>{} ({})</td><td class=\"{}\">{}</td><td class=\"n\">{changes}</td><td class=\"n\">{}</td><td class=\"n\">{:.1} s</td><td><code>{}</code></td></tr>\n",
            esc(&r.started),
            esc(&r.command),
            r.mode.word(),
            class(outcome),
            outcome.word(),
            size(volume(r)),
            r.seconds,
            esc(r.id())
        )
    };
    let rows: Vec<String> = f.records.iter().take(ROWS).map(row).collect();
    table(
        "The newest runs; one of them whole: <code>ubos-sync runs show ID</code>",
        &[
            "Started", "Command", "Outcome", "#Changes", "#Bytes", "#Took", "ID",
        ],
        &rows,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::record::{LogLane, TruthLane};

    fn record(n: i64, outcome: Outcome) -> Record {
        let at: DateTime<Utc> = "2026-11-25T12:00:00Z".parse().unwrap();
        let started = rfc3339(at - chrono::Duration::minutes(5 * n));
        let mut r = Record::open(&format!("R{n}-full-{n:06x}"), "full", Mode::Apply, &started);
        (r.complete, r.outcome, r.seconds) = (true, outcome, 1.5);
        let mut lane = TruthLane::new("<b>balaur</b>");
        lane.outcome = outcome;
        lane.message = Some("it said \"no\" & <script>alert(1)</script>".into());
        r.lanes.push(Lane::Truth(lane));
        let mut log = LogLane::new("balaur", "logs/m.jsonl");
        (log.outcome, log.bytes) = (Outcome::Applied, 2048);
        r.lanes.push(Lane::Log(log));
        r
    }

    fn facts(records: &[Record], standings: Vec<Standing>) -> Facts<'_> {
        Facts {
            now: "2026-11-25T12:01:00Z".parse().unwrap(),
            site: "mac",
            most: Duration::from_secs(930),
            standings,
            conflicts: Vec::new(),
            streak: Streak::default(),
            worker: None,
            records,
            damaged: 0,
        }
    }

    fn standing(since: Option<&str>) -> Standing {
        Standing {
            subject: "<b>balaur</b>".into(),
            lane: "truth",
            last_success: Some("2026-11-25T11:55:00Z".into()),
            last: None,
            since: since.map(str::to_owned),
        }
    }

    #[test]
    fn the_first_line_answers_and_knows_until_when_it_holds() {
        let good = page(&facts(&[record(0, Outcome::InSync)], vec![standing(None)]));
        assert!(good.contains("data-until=\"2026-11-25T12:10:30Z\">Everything is fine.</p>"));
        let bad = page(&facts(&[], vec![standing(Some("2026-11-25T11:57:00Z"))]));
        assert!(bad.contains("class=\"bad\""), "{bad}");
        let mut late = facts(&[], vec![standing(None)]);
        late.now = "2026-11-25T13:00:00Z".parse().unwrap();
        assert!(page(&late).contains("Not fine: no success for three turns."));
    }

    #[test]
    fn a_page_of_a_thousand_runs_is_small_and_holds_no_foreign_markup() {
        let records: Vec<Record> = (0..1000)
            .map(|n| {
                record(
                    n,
                    if n % 7 == 3 {
                        Outcome::Failed
                    } else {
                        Outcome::Applied
                    },
                )
            })
            .collect();
        let html = page(&facts(&records, vec![standing(None)]));
        assert!(html.len() < 300_000, "{} bytes", html.len());
        assert!(!html.contains("<b>balaur") && !html.contains("<script>alert"));
        assert_eq!(html.matches("<script>").count(), 1);
        assert!(!html.contains("http:") && !html.contains("https:") && !html.contains("src="));
    }
}
