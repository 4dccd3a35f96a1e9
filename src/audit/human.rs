//! The human log of a run: everything, one line an item, complete where the screen folds.
//!
//! Invariants: every foreign byte passes [`neutral`], so an item is one line and no name can fake another; the last
//! line holds the digest of the record, so the log vouches for it.

use std::fmt::Write;

use chrono::{DateTime, Utc};

use crate::host::clock;
use crate::model::finding::Severity;
use crate::model::record::{
    ChangeDoc, Lane, LeftDoc, LogLane, PublishLane, Record, ResultWord, TruthLane,
};
use crate::model::text::{neutral, size};
use crate::model::words::{Ends, moment, next_command, shown, version, word};

/// `truth_apply_2025-10-07_14-00-00_1a2b3c.log`, in local time.
pub fn file_name(record: &Record) -> String {
    let safe = |text: &str| -> String {
        let ok = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
        text.chars().filter(ok).collect()
    };
    let at = DateTime::parse_from_rfc3339(&record.started)
        .map(|at| at.with_timezone(&Utc))
        .unwrap_or_default();
    format!(
        "{}_{}_{}_{}.log",
        safe(&record.command),
        record.mode.word(),
        clock::local(at).format("%Y-%m-%d_%H-%M-%S"),
        safe(record.id())
    )
}

/// The whole log. `digest` is that of the record's file.
pub fn text(record: &Record, digest: &str) -> String {
    let mut out = String::new();
    header(&mut out, record);
    findings(&mut out, record);
    for lane in &record.lanes {
        match lane {
            Lane::Truth(lane) => truth(&mut out, lane, &Ends::of(record, lane)),
            Lane::Log(lane) => log(&mut out, lane),
            Lane::Publish(lane) => publish(&mut out, lane),
        }
    }
    footer(&mut out, record, digest);
    out
}

fn line(out: &mut String, key: &str, value: &str) {
    if !value.is_empty() {
        let _ = writeln!(out, "{key:<9} {value}");
    }
}

fn header(out: &mut String, r: &Record) {
    let who = &r.who;
    line(out, "run", &neutral(&r.run));
    line(
        out,
        "command",
        &format!("{} ({})", neutral(&r.command), r.mode.word()),
    );
    line(out, "started", &format!("{} UTC", moment(&r.started, 0)));
    let by = format!(
        "{} on {}, process {}, site {}",
        neutral(&who.user),
        neutral(&who.host),
        who.pid,
        neutral(&who.site)
    );
    line(out, "by", &by);
    line(out, "reason", &neutral(&who.reason));
    line(
        out,
        "version",
        &format!("ubos-sync {}", neutral(&who.version)),
    );
    line(out, "policy", &neutral(&r.policy.file));
    line(out, "", &neutral(&r.policy.digest));
    line(out, "plan", &neutral(r.plan.as_deref().unwrap_or_default()));
}

fn findings(out: &mut String, r: &Record) {
    if !r.findings.is_empty() {
        out.push_str("\nFindings\n");
    }
    for f in &r.findings {
        let how = match f.severity {
            Severity::Refuse => "refused",
            Severity::Waived => "waived",
            Severity::Warn => "warning",
            Severity::Note => "note",
        };
        let peer = f
            .peer
            .as_ref()
            .map_or(String::new(), |p| format!(" [{}]", neutral(p)));
        let _ = writeln!(
            out,
            "  {how:<8}{}{peer}: {}",
            neutral(&f.guard),
            neutral(&f.message)
        );
        if !f.hint.is_empty() {
            let _ = writeln!(out, "          {}", neutral(&f.hint));
        }
    }
}

fn truth(out: &mut String, lane: &TruthLane, ends: &Ends) {
    let _ = writeln!(
        out,
        "\nTruth, {} and {}: {}",
        ends.local,
        ends.peer,
        lane.outcome.word()
    );
    let plain = |out: &mut String, key: &str, text: &str| {
        let _ = writeln!(out, "  {key:<10} {}", neutral(text));
    };
    for (key, value) in [("message", &lane.message), ("plan", &lane.plan)] {
        if let Some(value) = value {
            plain(out, key, value);
        }
    }
    lane.versions.iter().for_each(|v| plain(out, "engine", v));
    if let Some(ms) = lane.skew_ms {
        plain(out, "clocks", &format!("{ms} ms apart"));
    }
    if !lane.engine_argv.is_empty() {
        let argv: Vec<String> = lane.engine_argv.iter().map(|a| word(a)).collect();
        plain(out, "ran", &argv.join(" "));
    }
    lane.changes.iter().for_each(|c| change(out, c, ends));
    lane.left.iter().for_each(|l| left(out, "left", l));
    lane.notes.iter().for_each(|l| left(out, "note", l));
    for k in &lane.kept {
        let path = shown(&k.path, k.path_hex.as_deref());
        let _ = writeln!(
            out,
            "  kept       {path} on {}: {}",
            ends.host(&k.side),
            shown(&k.at, k.at_hex.as_deref())
        );
    }
    if let Some(generation) = &lane.generation {
        plain(out, "archive", generation);
    }
    if !lane.engine_output.is_empty() {
        out.push_str("  what the engine said:\n");
    }
    for said in &lane.engine_output {
        let _ = writeln!(out, "  | {}", neutral(said));
    }
}

fn log(out: &mut String, lane: &LogLane) {
    let _ = writeln!(
        out,
        "\nLog, {} of {}: {} ({}, {} bytes, {} held before)",
        shown(&lane.log, lane.log_hex.as_deref()),
        neutral(&lane.peer),
        lane.outcome.word(),
        lane.action.word(),
        lane.bytes,
        lane.have
    );
    let mut plain = |key: &str, text: &str| {
        let _ = writeln!(out, "  {key:<10} {}", neutral(text));
    };
    if !lane.local.is_empty() {
        plain("file", &lane.local);
    }
    lane.message.iter().for_each(|m| plain("message", m));
    lane.hint.iter().for_each(|h| plain("next", h));
    lane.notes.iter().for_each(|n| plain("note", n));
}

fn publish(out: &mut String, lane: &PublishLane) {
    let ends = Ends {
        local: "source".into(),
        peer: neutral(&lane.target),
    };
    let _ = writeln!(out, "\nTarget {}: {}", ends.peer, lane.outcome.word());
    let mut plain = |key: &str, text: &str| {
        let _ = writeln!(out, "  {key:<10} {}", neutral(text));
    };
    for (key, value) in [
        ("commit", &lane.commit),
        ("found", &lane.found),
        ("message", &lane.message),
        ("next", &lane.hint),
        ("kept in", &lane.backup),
        ("release", &lane.release),
        ("before", &lane.previous),
    ] {
        value.iter().for_each(|v| plain(key, v));
    }
    lane.notes.iter().for_each(|n| plain("note", n));
    lane.changes.iter().for_each(|c| change(out, c, &ends));
    lane.modified.iter().for_each(|l| left(out, "modified", l));
}

fn change(out: &mut String, c: &ChangeDoc, ends: &Ends) {
    let result = match c.result {
        ResultWord::Planned => "planned",
        ResultWord::Done => "done",
        ResultWord::Failed => "FAILED",
        ResultWord::Skipped => "skipped",
    };
    let _ = write!(
        out,
        "  {result:<10} {:<8} {}  {}  ({})",
        neutral(&c.kind),
        ends.arrow(&c.to),
        shown(&c.path, c.path_hex.as_deref()),
        size(c.bytes)
    );
    if c.moved {
        out.push_str(" renamed");
    }
    out.push('\n');
    if let Some(error) = &c.error {
        let _ = writeln!(out, "             error: {}", neutral(error));
    }
    if let Some(how) = &c.conflict {
        let why = c.why.as_deref().unwrap_or_default();
        let _ = writeln!(
            out,
            "             conflict, {}: {}",
            neutral(how),
            neutral(why)
        );
        for (what, host, entry) in [
            ("wins ", ends.other(&c.to), &c.source),
            ("loses", ends.host(&c.to), &c.target),
        ] {
            let Some(entry) = entry else { continue };
            let at = entry
                .mtime
                .as_deref()
                .map_or(String::new(), |t| moment(t, 9));
            let _ = writeln!(out, "             {what} {host}  {at}  {}", version(entry));
        }
    }
}

fn left(out: &mut String, key: &str, l: &LeftDoc) {
    let key = if l.conflict { "conflict" } else { key };
    let path = shown(&l.path, l.path_hex.as_deref());
    let _ = writeln!(out, "  {key:<10} {path}: {}", neutral(&l.why));
}

fn footer(out: &mut String, r: &Record, digest: &str) {
    out.push('\n');
    line(
        out,
        "outcome",
        &format!("{} (exit {})", r.outcome.word(), r.exit_code),
    );
    line(out, "took", &format!("{:.1} s", r.seconds));
    if let Some(next) = next_command(r) {
        line(out, "next", &next);
    }
    line(
        out,
        "record",
        &format!("{} sha256 {}", r.sequence, neutral(digest)),
    );
}

#[cfg(test)]
mod tests {
    use super::super::samples::{entry, record};
    use super::*;
    use crate::model::finding::Finding;
    use crate::model::record::KeptDoc;

    const EVIL: &str = "a\x1b[31m\nb\u{202e}c";

    fn full(text: &str) -> Record {
        let mut r = record(1);
        r.command = "truth".into();
        r.plan = Some(text.into());
        r.who.reason = text.into();
        r.who.user = text.into();
        r.policy.file = text.into();
        r.findings.push(Finding {
            guard: text.into(),
            severity: Severity::Warn,
            peer: Some(text.into()),
            message: text.into(),
            hint: text.into(),
        });
        let Lane::Truth(lane) = &mut r.lanes[0] else {
            panic!("a truth lane")
        };
        lane.message = Some(text.into());
        lane.versions = vec![text.into()];
        lane.engine_argv = vec!["unison".into(), text.into()];
        lane.engine_output = vec![text.into()];
        lane.generation = Some(text.into());
        lane.skew_ms = Some(12);
        let c = &mut lane.changes[0];
        c.path = text.into();
        c.conflict = Some("newer".into());
        c.why = Some(text.into());
        c.error = Some(text.into());
        c.source = Some(entry(120, "2025-10-07T12:00:01.5Z"));
        c.target = Some(entry(80, "2025-10-07T11:00:00Z"));
        lane.left.push(LeftDoc {
            path: text.into(),
            path_hex: None,
            why: text.into(),
            conflict: true,
        });
        lane.kept.push(KeptDoc {
            path: text.into(),
            path_hex: None,
            side: "peer".into(),
            at: text.into(),
            at_hex: None,
        });
        r
    }

    #[test]
    fn a_log_tells_everything_an_item_a_line() {
        insta::assert_snapshot!(text(&full("x"), "d1"));
    }

    #[test]
    fn hostile_text_stays_on_its_line_and_cannot_drive_a_terminal() {
        let (evil, tame) = (text(&full(EVIL), EVIL), text(&full("x"), "x"));
        assert!(evil.chars().all(|c| c == '\n' || !c.is_control()), "{evil}");
        assert!(!evil.contains('\u{202e}'));
        assert_eq!(evil.lines().count(), tame.lines().count());
    }

    #[test]
    fn the_name_of_a_log_cannot_leave_its_directory() {
        let mut r = record(1);
        r.command = "../x y".into();
        r.run = "q-../../z".into();
        assert!(
            !file_name(&r).contains(['/', ' ', '.'].as_slice())
                || file_name(&r).matches('.').count() == 1
        );
        assert!(file_name(&r).starts_with("xy_apply_2025-10-07_"));
    }
}
